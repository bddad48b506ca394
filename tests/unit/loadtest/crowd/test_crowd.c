/* SPDX-License-Identifier: MIT */
/* Goal: one seed, one schedule, byte for byte on every compiler; random numbers with the moments
 * they promise; a client that reacts as its kind does, whatever it is told and in what order. */
#include "crowd/crowd.h"

#include <math.h>

#include "tests/lib/tap.h"

static void tell(void *user, const char *line)
{
    (void)user;
    printf("# %s\n", line);
}

static const char crowd_text[] =
    "[scenario]\nmode = live\nslots = 30\nwindow = 60 s\nrun = 20 min\n"
    "[population people]\nkind = people\nidentities = 500\nchange = 20 %\nreload = 20 %\n"
    "[population refreshers]\nkind = refreshers\nidentities = 50\n"
    "[population bots]\nkind = bots\nidentities = 40\nrate = 20\nearly = 1 s\n"
    "[population storm]\nkind = retry-storm\nidentities = 5\ntries = 50\n"
    "[population sellers]\nkind = sellers\nidentities = 10\n"
    "[population sockets]\nkind = many-connections\nidentities = 2\ndevices = 20\n"
    "[population thieves]\nkind = token-thieves\nvictims = people\nidentities = 10\n";

static struct crowd *crowd_of(uint64_t seed, enum crowd_mode mode, uint32_t part, uint32_t parts)
{
    struct crowd_scenario s;
    struct crowd_report report = {tell, NULL, 0};
    struct crowd *c = NULL;
    OK(scenario_read((struct span){(const uint8_t *)crowd_text, sizeof crowd_text - 1}, "t.ini",
                     &report, &s) == 0);
    s.mode = mode;
    OK(crowd_new(&s, seed, part, parts, &c) == 0);
    return c;
}

/* A world that answers by dice of its own, also nonsense. */
static struct crowd_say answer_of(const struct crowd_event *e, uint64_t seed, uint64_t n)
{
    uint64_t bits = dice_at(seed, e->client, n);
    enum crowd_answer a = (enum crowd_answer)dice_below(bits, CROWD_ANSWER_COUNT);
    return (struct crowd_say){a, (uint32_t)(bits % 30), bits % 3 ? 0 : 500000};
}

/* A world that works: a place, then every tenth is offered something. */
static struct crowd_say answer_well(const struct crowd_event *e)
{
    static const enum crowd_answer of[CROWD_ACT_COUNT] = {
        [CROWD_ACT_LIST] = CROWD_LISTED, [CROWD_ACT_TICKET] = CROWD_WAITING,
        [CROWD_ACT_HOLD] = CROWD_HELD, [CROWD_ACT_CONFIRM] = CROWD_CONFIRMED};
    struct crowd_say say = {of[e->act], e->client % 30, 0};
    if (e->act == CROWD_ACT_POLL) {
        say.answer = e->at_us < 70000000 ? CROWD_WAITING
                     : e->client % 10    ? CROWD_STANDBY
                                         : CROWD_OFFERED;
    }
    return say;
}

static uint64_t fnv(uint64_t hash, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * UINT64_C(1099511628211);
    }
    return hash;
}

static uint64_t run(struct crowd *c, bool is_nonsense, uint64_t *ret_count)
{
    uint64_t hash = UINT64_C(14695981039346656037), n = 0;
    struct crowd_event e;
    int64_t last = INT64_MIN;
    while (crowd_next(c, INT64_MAX, &e)) {
        OK(e.at_us >= last);
        last = e.at_us;
        hash = fnv(hash, &e, sizeof e);
        struct crowd_say say = is_nonsense ? answer_of(&e, 7, n) : answer_well(&e);
        crowd_answer(c, &e, e.at_us + 1000, &say);
        n++;
    }
    *ret_count = n;
    return hash;
}

static void accounted(const struct crowd *c)
{
    for (uint32_t k = 0; k < crowd_scenario(c)->populations_count; k++) {
        const struct crowd_tally *t = crowd_tally(c, k);
        EQ(t->sent, t->answered + t->refused + t->timed_out + t->cancelled);
        OK(t->entered <= t->arrived + t->wasted);
        OK(t->decided <= t->arrived);
    }
}

static void test_one_seed_one_schedule(void)
{
    /* The numbers are part of what a seed means: they are the same on every compiler. */
    static const struct {
        uint64_t seed;
        enum crowd_mode mode;
        bool is_nonsense;
        uint64_t hash;
    } known[] = {
#include "crowd_hashes.h"
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct crowd *c = crowd_of(known[i].seed, known[i].mode, 0, 1);
        uint64_t count, hash = run(c, known[i].is_nonsense, &count);
        OK(hash == known[i].hash);
        printf("# {%llu, %d, %d, UINT64_C(0x%016llx)}, /* %llu events */\n",
               (unsigned long long)known[i].seed, known[i].mode, known[i].is_nonsense,
               (unsigned long long)hash, (unsigned long long)count);
        accounted(c);
        crowd_free(c);
    }
}

static void test_other_seeds_differ(void)
{
    struct crowd *a = crowd_of(1, CROWD_LIVE, 0, 1), *b = crowd_of(2, CROWD_LIVE, 0, 1);
    uint64_t count;
    OK(run(a, false, &count) != run(b, false, &count));
    crowd_free(a);
    crowd_free(b);
}

/* Three processes do together what one does. */
static void test_parts_make_the_whole(void)
{
    struct crowd *whole = crowd_of(5, CROWD_LIVE, 0, 1);
    uint64_t count, sum = 0, n = 0, won = 0, won_parts = 0;
    run(whole, false, &count);
    for (uint32_t part = 0; part < 3; part++) {
        struct crowd *c = crowd_of(5, CROWD_LIVE, part, 3);
        run(c, false, &n);
        sum += n;
        for (uint32_t k = 0; k < crowd_scenario(c)->populations_count; k++) {
            won_parts += crowd_tally(c, k)->won;
        }
        crowd_free(c);
    }
    for (uint32_t k = 0; k < crowd_scenario(whole)->populations_count; k++) {
        won += crowd_tally(whole, k)->won;
    }
    EQ(sum, count);
    EQ(won_parts, won);
    OK(won > 0);
    crowd_free(whole);
}

static void test_nonsense_ends(void)
{
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct crowd *c = crowd_of(seed, (enum crowd_mode)(seed % CROWD_MODES), 0, 1);
        uint64_t count;
        run(c, true, &count);
        OK(count > 600);
        OK(count < 3000000);
        accounted(c);
        crowd_free(c);
    }
}

static void test_moments(void)
{
    double sum = 0, squares = 0, cubes = 0, beyond = 0;
    const int n = 2000000;
    for (int i = 0; i < n; i++) {
        double z = dice_normal(dice_at(3, 1, (uint64_t)i)) / 65536.0;
        sum += z;
        squares += z * z;
        cubes += z * z * z;
        beyond += fabs(z) > 1.959964;
    }
    OK(fabs(sum / n) < 0.004);
    OK(fabs(squares / n - 1) < 0.005);
    OK(fabs(cubes / n) < 0.02);
    OK(fabs(beyond / n - 0.05) < 0.0008);
    EQ(dice_normal(UINT64_MAX >> 1) > 0, dice_normal(UINT64_MAX) < 0);
    OK(dice_normal(0) == dice_normal(1));
}

static void test_reaction_times(void)
{
    /* The median is the median, F(60 s) of median 6 s and sigma 1 is 0.98934. */
    int below = 0, in_window = 0;
    const int n = 500000;
    for (int i = 0; i < n; i++) {
        uint64_t us = dice_lognormal(dice_at(4, 2, (uint64_t)i), 6000000, 1000);
        below += us < 6000000;
        in_window += us <= 60000000;
    }
    OK(abs(below - n / 2) < 1500);
    OK(fabs((double)in_window / n - 0.989351) < 0.0006);
    EQ(dice_lognormal(UINT64_C(1) << 62, 1000, 0), 1000);
    OK(fabs((double)dice_lognormal(dice_at(1, 1, 1), 1000000, 1000) /
            (1e6 * exp(dice_normal(dice_at(1, 1, 1)) / 65536.0)) - 1) < 2e-4);
}

static void test_small_clients(void)
{
    OK(sizeof(struct crowd_client) <= 64);
    OK(sizeof(struct crowd_event) == 24);
    struct crowd *c = crowd_of(1, CROWD_LIVE, 0, 1);
    /* What does not grow with them is not counted on so few. */
    OK((crowd_bytes(c) - 36000) / crowd_scenario(c)->clients_count <= 200);
    crowd_free(c);
}

/* One client of a kind, told what the world says; what it asks next. */
static struct crowd_event ask(struct crowd *c)
{
    struct crowd_event e = {.act = CROWD_ACT_COUNT};
    crowd_next(c, INT64_MAX, &e);
    return e;
}

static void say(struct crowd *c, const struct crowd_event *e, enum crowd_answer a)
{
    crowd_answer(c, e, e->at_us + 10000, &(struct crowd_say){a, 3, 0});
}

static struct crowd *one(const char *kind, const char *more)
{
    char text[400];
    struct crowd_scenario s;
    struct crowd_report report = {tell, NULL, 0};
    struct crowd *c = NULL;
    int n = snprintf(text, sizeof text, "[scenario]\n%s\n[population x]\nkind = %s\nidentities = 1"
                     "\nreload = 0 %%\ninterval = 0\n%s", strstr(more, "mode") ? "mode = fcfs" : "",
                     kind, strstr(more, "mode") ? "" : more);
    OK(scenario_read((struct span){(const uint8_t *)text, (size_t)n}, "t.ini", &report, &s) == 0);
    OK(crowd_new(&s, 9, 0, 1, &c) == 0);
    return c;
}

static void test_a_person_in_a_window(void)
{
    struct crowd *c = one("people", "");
    struct crowd_event e = ask(c);
    EQ(e.act, CROWD_ACT_TICKET);
    say(c, &e, CROWD_REFUSED);
    e = ask(c);
    EQ(e.act, CROWD_ACT_TICKET);
    say(c, &e, CROWD_WAITING);
    e = ask(c);
    EQ(e.act, CROWD_ACT_POLL);
    OK(e.at_us > 70000000); /* not before it was served */
    say(c, &e, CROWD_OFFERED);
    int64_t offered = e.at_us + 10000;
    e = ask(c);
    EQ(e.act, CROWD_ACT_CONFIRM);
    OK(e.at_us > offered + 500000); /* it read it first */
    say(c, &e, CROWD_CONFIRMED);
    EQ(crowd_client(c, 0)->state, CROWD_WON);
    EQ(crowd_client(c, 0)->decided_us, offered);
    EQ(crowd_open_count(c), 0);
    EQ(ask(c).act, CROWD_ACT_COUNT);
    crowd_free(c);
}

static void test_first_come(void)
{
    struct crowd *c = one("people", "mode");
    struct crowd_event e = ask(c);
    EQ(e.act, CROWD_ACT_LIST);
    say(c, &e, CROWD_LISTED);
    e = ask(c);
    EQ(e.act, CROWD_ACT_HOLD);
    EQ(e.slot, 3);
    say(c, &e, CROWD_TAKEN);
    e = ask(c);
    EQ(e.act, CROWD_ACT_LIST);
    say(c, &e, CROWD_FORBIDDEN);
    EQ(crowd_client(c, 0)->state, CROWD_LOST);
    crowd_free(c);
    c = one("bots", "mode");
    e = ask(c);
    EQ(e.act, CROWD_ACT_HOLD);
    OK(e.at_us < 50000); /* at once */
    crowd_free(c);
}

static void test_a_hoarder_sits_on_it(void)
{
    struct crowd *c = one("hoarders", "");
    struct crowd_event e = ask(c);
    say(c, &e, CROWD_WAITING);
    e = ask(c);
    say(c, &e, CROWD_OFFERED);
    EQ(ask(c).act, CROWD_ACT_COUNT);
    EQ(crowd_tally(c, 0)->wasted, 1);
    crowd_free(c);
}

static void test_a_seller_comes_back(void)
{
    struct crowd *c = one("sellers", "cancel_after = 5 s");
    struct crowd_event e = ask(c);
    say(c, &e, CROWD_WAITING);
    e = ask(c);
    say(c, &e, CROWD_OFFERED);
    e = ask(c);
    EQ(e.act, CROWD_ACT_CONFIRM);
    say(c, &e, CROWD_CONFIRMED);
    int64_t won = e.at_us + 10000;
    e = ask(c);
    EQ(e.act, CROWD_ACT_CANCEL);
    EQ(e.at_us, won + 5000000);
    say(c, &e, CROWD_DONE);
    e = ask(c);
    EQ(e.act, CROWD_ACT_TICKET);
    say(c, &e, CROWD_OVER);
    EQ(crowd_client(c, 0)->state, CROWD_LOST);
    EQ(crowd_tally(c, 0)->wasted, 1);
    crowd_free(c);
}

static void test_a_turn(void)
{
    struct crowd *c = one("people", "");
    struct crowd_event e = ask(c);
    say(c, &e, CROWD_WAITING);
    e = ask(c);
    say(c, &e, CROWD_TURN);
    e = ask(c);
    EQ(e.act, CROWD_ACT_LIST);
    say(c, &e, CROWD_LISTED);
    e = ask(c);
    EQ(e.act, CROWD_ACT_HOLD);
    say(c, &e, CROWD_HELD);
    EQ(ask(c).act, CROWD_ACT_CONFIRM);
    crowd_free(c);
}

static void test_a_ghost_lets_its_turn_pass(void)
{
    struct crowd *c = one("ghosts", "");
    struct crowd_event e = ask(c);
    say(c, &e, CROWD_WAITING);
    e = ask(c);
    EQ(e.act, CROWD_ACT_POLL);
    say(c, &e, CROWD_TURN);
    EQ(ask(c).act, CROWD_ACT_COUNT);
    EQ(crowd_tally(c, 0)->passed, 1);
    EQ(crowd_client(c, 0)->state, CROWD_LOST);
    EQ(crowd_open_count(c), 0);
    crowd_free(c);
}

/* What was carried out comes again once, and its answer changes nothing, whatever it is. */
static void test_what_was_carried_out_is_sent_again(void)
{
    for (int a = 0; a < CROWD_ANSWER_COUNT; a++) {
        struct crowd *c = one("replayers", "retry = 1 s");
        struct crowd_event e = ask(c);
        say(c, &e, CROWD_REFUSED);
        e = ask(c);
        EQ(e.act, CROWD_ACT_TICKET);
        EQ(e.is_replay, 0); /* what was refused is asked again, not replayed */
        say(c, &e, CROWD_WAITING);
        int64_t told = e.at_us + 10000;
        EQ(crowd_open_count(c), 2); /* the client, and what is to be sent again */
        e = ask(c);
        EQ(e.is_replay, 1);
        EQ(e.act, CROWD_ACT_TICKET);
        OK(e.at_us >= told + 500000 && e.at_us <= told + 1500000);
        say(c, &e, (enum crowd_answer)a);
        EQ(crowd_client(c, 0)->state, CROWD_ENTERED);
        EQ(crowd_tally(c, 0)->replayed, 1);
        EQ(crowd_open_count(c), 1);
        e = ask(c);
        EQ(e.act, CROWD_ACT_POLL);
        EQ(e.is_replay, 0);
        crowd_free(c);
    }
}

/* A bot that asks by its clock has two requests under way: HOLD and HOLD. */
static struct crowd *two_holds(struct crowd_event *ret_first, struct crowd_event *ret_second)
{
    static const char text[] = "[scenario]\nmode = fcfs\n[population x]\nkind = bots\n"
                               "identities = 1\nreload = 0 %\ninterval = 10 ms\n";
    struct crowd_scenario s;
    struct crowd_report report = {tell, NULL, 0};
    struct crowd *c = NULL;
    OK(scenario_read((struct span){(const uint8_t *)text, sizeof text - 1}, "t.ini", &report,
                     &s) == 0);
    OK(crowd_new(&s, 9, 0, 1, &c) == 0);
    *ret_first = ask(c);
    *ret_second = ask(c);
    EQ(ret_first->act, CROWD_ACT_HOLD);
    EQ(ret_second->act, CROWD_ACT_HOLD);
    return c;
}

static struct crowd_event ask_confirm(struct crowd *c)
{
    struct crowd_event e = ask(c);
    while (e.act == CROWD_ACT_HOLD) {
        e = ask(c);
    }
    EQ(e.act, CROWD_ACT_CONFIRM);
    return e;
}

/* "You may not have a second one" is no "you have lost the first": the answers of requests that
 * were under way when it got its hold say nothing, in whatever order they come. */
static void test_a_late_no_loses_no_hold(void)
{
    static const enum crowd_answer no[] = {CROWD_FORBIDDEN, CROWD_OVER, CROWD_TAKEN,
                                           CROWD_REFUSED, CROWD_TIMED_OUT, CROWD_NOTHING};
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        struct crowd_event first, second;
        struct crowd *c = two_holds(&first, &second);
        say(c, &first, CROWD_HELD);
        struct crowd_event confirm = ask_confirm(c);
        say(c, &second, no[i]);
        EQ(crowd_client(c, 0)->state, CROWD_HOLDING);
        say(c, &confirm, CROWD_CONFIRMED);
        EQ(crowd_client(c, 0)->state, CROWD_WON);
        EQ(crowd_tally(c, 0)->won, 1);
        EQ(crowd_open_count(c), 0);
        crowd_free(c);
    }
}

/* It gave up, and then the hold that it had asked for is granted: it confirms it. */
static void test_a_late_yes_is_taken(void)
{
    struct crowd_event first, second;
    struct crowd *c = two_holds(&first, &second);
    say(c, &first, CROWD_FORBIDDEN);
    EQ(crowd_client(c, 0)->state, CROWD_LOST);
    EQ(crowd_open_count(c), 0);
    say(c, &second, CROWD_HELD);
    EQ(crowd_client(c, 0)->state, CROWD_HOLDING);
    struct crowd_event confirm = ask_confirm(c);
    say(c, &confirm, CROWD_CONFIRMED);
    EQ(crowd_client(c, 0)->state, CROWD_WON);
    EQ(crowd_tally(c, 0)->decided, 1);
    EQ(crowd_open_count(c), 0);
    crowd_free(c);
}

/* What holds ends by its own confirmation: a no to that is one. */
static void test_a_hold_that_expired_is_lost(void)
{
    struct crowd_event first, second;
    struct crowd *c = two_holds(&first, &second);
    say(c, &first, CROWD_HELD);
    struct crowd_event confirm = ask_confirm(c);
    say(c, &confirm, CROWD_OVER);
    EQ(crowd_client(c, 0)->state, CROWD_LOST);
    EQ(crowd_tally(c, 0)->too_late, 1);
    crowd_free(c);
}

int main(void)
{
    TAP_RUN(test_one_seed_one_schedule);
    TAP_RUN(test_other_seeds_differ);
    TAP_RUN(test_parts_make_the_whole);
    TAP_RUN(test_nonsense_ends);
    TAP_RUN(test_moments);
    TAP_RUN(test_reaction_times);
    TAP_RUN(test_small_clients);
    TAP_RUN(test_a_person_in_a_window);
    TAP_RUN(test_first_come);
    TAP_RUN(test_a_hoarder_sits_on_it);
    TAP_RUN(test_a_seller_comes_back);
    TAP_RUN(test_a_turn);
    TAP_RUN(test_a_ghost_lets_its_turn_pass);
    TAP_RUN(test_what_was_carried_out_is_sent_again);
    TAP_RUN(test_a_late_no_loses_no_hold);
    TAP_RUN(test_a_late_yes_is_taken);
    TAP_RUN(test_a_hold_that_expired_is_lost);
    return tap_done();
}
