/* SPDX-License-Identifier: MIT */
/* Goal: a scenario file is read whole or refused with file, line and the nearest word; every
 * shipped scenario reads, every key stands in docs/scenarios.md, and no bytes do harm. */
#include "crowd/crowd.h"

#include "base/prng.h"
#include "crowd/scenario_inside.h"
#include "tests/lib/tap.h"

static char told[8000];

static void tell(void *user, const char *line)
{
    (void)user;
    size_t n = strlen(told);
    snprintf(told + n, sizeof told - n, "%s\n", line);
}

static int read_text(const char *text, struct crowd_scenario *s)
{
    struct crowd_report report = {tell, NULL, 0};
    told[0] = '\0';
    return scenario_read((struct span){(const uint8_t *)text, strlen(text)}, "f.ini", &report, s);
}

static void wrong(const char *text, const char *words)
{
    struct crowd_scenario s;
    EQ(read_text(text, &s), CROWD_E_WRONG);
    if (strstr(told, words) == NULL) {
        printf("# told: %s# not: %s\n", told, words);
        OK(false);
    }
}

#define PEOPLE "[population p]\nkind = people\n"

static void test_values(void)
{
    struct crowd_scenario s;
    EQ(read_text("# head\n[scenario]\nmode=draw ; why\nslots = 300\r\nwindow = 1.5 min\n"
                 "draw_window = 2 d\n\n" PEOPLE "identities = 7\nreaction = 250 ms\nsigma = 0.75\n"
                 "reload = 12.5 %\n[population b]\nkind = bots\nidentities = 10\nrate = 20\n"
                 "attack = no\n", &s), 0);
    EQ(s.mode, CROWD_DRAW);
    EQ(s.slots, 300);
    EQ(s.window_us, 90000000);
    EQ(scenario_window_us(&s), 172800000000);
    EQ(s.populations_count, 2);
    EQ(s.populations[0].reaction_us, 250000);
    EQ(s.populations[0].sigma_milli, 750);
    EQ(s.populations[0].reload_permille, 125);
    EQ(s.populations[1].interval_us, 500000); /* ten of them make 20 requests a second */
    EQ(s.populations[1].first_client, 7);
    EQ(s.populations[1].is_attack, false);
    EQ(s.clients_count, 17);
    EQS(s.name, "f");
}

static void test_mistakes(void)
{
    wrong("[scenario]\nslotz = 3\n" PEOPLE, "f.ini:2: [scenario] has no key 'slotz': did you mean "
          "'slots'?");
    wrong("[population p]\nkind = pepole\n", "f.ini:2: there is no kind 'pepole'; did you mean "
          "'people'?");
    wrong("[population p]\nkind = people\nrate = -3\n", "f.ini:3: rate takes a number, not '-3': "
          "it cannot be negative");
    wrong("[population p]\nkind = people\nreaction = -3 s\n", "f.ini:3: reaction takes a time");
    wrong("[population p]\nkind = people\nreaction = 3\n", "needs a unit");
    wrong("[population p]\nkind = people\nidentities = 0\n", "it must be 1 to 20,000,000");
    wrong("[population p]\nkind = people\nidentities = 99999999999999999999\n", "f.ini:3: ");
    wrong("[population p]\nkind = people\nreload = 101 %\n", "it must be 0 % to 100 %");
    wrong("[population p]\nidentities = 3\n", "f.ini:2: kind is missing");
    wrong("[population p]\nkind = bots\nidentities = 3\nkind = people\n", "f.ini:4: kind stands");
    wrong("[population p]\nkind = bots\nattack = maybe\n", "it is one of no, yes");
    wrong(PEOPLE PEOPLE, "f.ini:3: [population p] stands here a second time: first in line 1");
    wrong("[populaton p]\n", "f.ini:1: there is no section [populaton p]");
    wrong("[populaton p]\n", "did you mean 'population'?");
    wrong("", "f.ini:1: no [population NAME]");
    wrong("[population P!]\n", "needs a name");
    wrong("slots = 3\n", "stands above the first [section]");
    wrong("[scenario]\nwhat\n", "f.ini:2: neither [section] nor key = value");
    wrong("[scenario\n", "f.ini:1: neither");
    wrong("[scenario]\nslots = 3\n", "nobody would come");
    wrong("[scenario]\nslots = 3\nslots = 4\n" PEOPLE, "f.ini:3: slots stands here a second time");
    wrong(PEOPLE "[population t]\nkind = token-thieves\n", "f.ini:3: [population t] needs victims");
    wrong(PEOPLE "[population t]\nkind = token-thieves\nvictims = peple\n",
          "f.ini:5: victims = peple: no population above");
    wrong(PEOPLE "identities = 2\n[population t]\nkind = token-thieves\nvictims = p\n"
          "identities = 3\n", "more stolen tokens than its victims have");
    wrong(PEOPLE "identities = 20000000\ndevices = 2\n", "more than 20000000 clients");
    wrong("[scenario]\nslots = 3\001\n", "f.ini:2: a control character");
    wrong("", "nobody would come");
}

static void test_all_mistakes_at_once(void)
{
    struct crowd_scenario s;
    EQ(read_text("[scenario]\na = 1\nb = 2\n[population p]\nkind = bots\nc = 3\n", &s), 1);
    OK(strstr(told, "f.ini:2:") && strstr(told, "f.ini:3:") && strstr(told, "f.ini:6:"));
    EQ(read_text("[population p]\nkind = poeple\nidentities = -1\n", &s), 1);
    OK(strstr(told, "f.ini:2:") && strstr(told, "f.ini:3: identities"));
    EQ(read_text("[population p]\nidentitis = 3\nrate = -1\n", &s), 1);
    OK(strstr(told, "f.ini:2: [population] has no key") && strstr(told, "f.ini:3: rate"));
}

static char text[CROWD_TEXT_MAX + 2];

static size_t slurp(const char *path)
{
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f) {
        fclose(f);
    }
    text[n] = '\0';
    return n;
}

static void test_shipped(void)
{
    static const char *const names[] = {
        "munich-release", "firm-with-clients", "sybil-ring", "hoarders", "cancel-and-rebook",
        "national-day", "quiet-day", "fast-bots", "many-connections", "retry-storm",
        "stolen-tokens", "scanners", "slow-readers", "mass-cancel", "cohort-late",
        "double-click", "many-addresses", "replays", "last-second", "ghosts"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[300];
        struct crowd_scenario s;
        snprintf(path, sizeof path, "%s/loadtest/scenarios/%s.ini", SOURCE_ROOT, names[i]);
        OK(slurp(path) > 0);
        EQ(read_text(text, &s), 0);
        printf("%s", told);
    }
}

static void test_every_key_is_documented(void)
{
    struct guess g;
    size_t place;
    OK(slurp(SOURCE_ROOT "/docs/scenarios.md") > 0);
    static const char *const keys[] = {
        "mode", "assurance", "slots", "window", "draw_window", "grace", "cohort", "accept", "run",
        "wishes", "timeout", "capacity", "kind", "attack", "identities", "devices", "connections",
        "reaction", "sigma", "spread", "early", "interval", "rate", "think", "tries", "retry",
        "rtt", "reload", "change", "abandon", "drop", "cancel", "cancel_after", "unread", "scan",
        "addresses", "replay", "absent"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char cell[60];
        snprintf(cell, sizeof cell, "| `%s` |", keys[i]);
        OK(strstr(text, cell) != NULL);
        OK(scenario_key_find(false, keys[i], &place) || scenario_key_find(true, keys[i], &place));
    }
    guess_init(&g, "identites");
    scenario_key_offer(true, &g);
    EQS(g.best ? g.best : "", "identities");
    for (uint64_t i = 0; scenario_word_at(SCENARIO_KIND, i); i++) {
        char cell[60];
        snprintf(cell, sizeof cell, "| `%s` |", scenario_word_at(SCENARIO_KIND, i));
        OK(strstr(text, cell) != NULL);
    }
}

/* Bytes turned over, cut and doubled: read or refused, never worse. */
static void test_damage(void)
{
    struct prng p;
    size_t n = slurp(SOURCE_ROOT "/loadtest/scenarios/stolen-tokens.ini");
    static char copy[4096];
    prng_init(&p, 3);
    OK(n > 0 && n < sizeof copy);
    for (int i = 0; i < 20000; i++) {
        struct crowd_scenario s;
        struct crowd_report report = {tell, NULL, 0};
        memcpy(copy, text, n);
        size_t len = prng_below(&p, 4) ? n : prng_below(&p, n);
        for (uint64_t k = prng_below(&p, 6); k > 0; k--) {
            copy[prng_below(&p, n)] = (char)prng_next(&p);
        }
        told[0] = '\0';
        int r = scenario_read((struct span){(const uint8_t *)copy, len}, "f.ini", &report, &s);
        OK((r == 0) == (report.count == 0));
        OK(r == 0 || strncmp(told, "f.ini:", 6) == 0);
    }
}

static void test_scale(void)
{
    struct crowd_scenario s;
    EQ(read_text("[scenario]\nslots = 10\n" PEOPLE "identities = 100\n[population b]\n"
                 "kind = bots\nidentities = 10\nrate = 10\n", &s), 0);
    scenario_scale(&s, 100);
    OK(scenario_count(&s));
    EQ(s.slots, 1);
    EQ(s.clients_count, 11);
    EQ(s.populations[1].interval_us, 1000000); /* each asks as often as before */
    scenario_hasten(&s, 500000);
    EQ(s.window_us, 30000000);
    EQ(s.populations[0].reaction_us, 3000000);
}

int main(void)
{
    TAP_RUN(test_values);
    TAP_RUN(test_mistakes);
    TAP_RUN(test_all_mistakes_at_once);
    TAP_RUN(test_shipped);
    TAP_RUN(test_every_key_is_documented);
    TAP_RUN(test_damage);
    TAP_RUN(test_scale);
    return tap_done();
}
