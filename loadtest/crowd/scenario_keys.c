/* SPDX-License-Identifier: MIT */
/* The keys of scenario files with their ranges, and what each kind of population does by itself.
 * Owns: nothing.  Fails: never; scenario.c tells mistakes.
 * docs/scenarios.md says the same in words; tests/unit/loadtest/crowd holds the two together. */
#include <string.h>

#include "base/check.h"
#include "crowd/scenario_inside.h"

#define SECOND UINT64_C(1000000)
#define DAYS(n) ((n) * 86400 * SECOND)

#define S(field) offsetof(struct crowd_scenario, field)
static const struct scenario_key scenario_keys[] = {
    {"mode", S(mode), SCENARIO_MODE, 0, 0, ""},
    {"assurance", S(assurance), SCENARIO_ASSURANCE, 0, 0, ""},
    {"slots", S(slots), SCENARIO_COUNT, 1, CROWD_SLOTS_MAX, "1 to 1,000,000"},
    {"window", S(window_us), SCENARIO_TIME, 10000, DAYS(1), "10 ms to 1 d"},
    {"draw_window", S(draw_window_us), SCENARIO_TIME, 10000, DAYS(60), "10 ms to 60 d"},
    {"grace", S(grace_us), SCENARIO_TIME, 0, 600 * SECOND, "0 to 10 min"},
    {"cohort", S(cohort_us), SCENARIO_TIME, 0, 3600 * SECOND, "0 to 1 h"},
    {"accept", S(accept_us), SCENARIO_TIME, SECOND, DAYS(7), "1 s to 7 d"},
    {"run", S(run_us), SCENARIO_TIME, SECOND, DAYS(7), "1 s to 7 d"},
    {"wishes", S(wishes), SCENARIO_COUNT, 1, CROWD_WISHES_MAX, "1 to 8"},
    {"timeout", S(timeout_us), SCENARIO_TIME, 10000, 60 * SECOND, "10 ms to 1 min"},
    {"by_turn", S(by_turn), SCENARIO_YESNO, 0, 0, ""},
    {"capacity", S(capacity), SCENARIO_COUNT, 1, 1000000, "1 to 1,000,000 requests a second"},
};
#undef S

#define P(field) offsetof(struct crowd_population, field)
#define TIME_TO_DAY SCENARIO_TIME, 0, DAYS(1), "0 to 1 d"
#define SHARE SCENARIO_PERCENT, 0, 1000, "0 % to 100 %"
static const struct scenario_key scenario_population_keys[] = {
    {"kind", P(kind), SCENARIO_KIND, 0, 0, ""},
    {"attack", P(is_attack), SCENARIO_YESNO, 0, 0, ""},
    {"assurance", P(assurance), SCENARIO_ASSURANCE, 0, 0, ""},
    {"identities", P(identities), SCENARIO_COUNT, 1, CROWD_IDENTITIES_MAX, "1 to 20,000,000"},
    {"devices", P(devices), SCENARIO_COUNT, 1, 1000, "1 to 1,000"},
    {"connections", P(connections), SCENARIO_COUNT, 0, 1000000, "0 (one each) to 1,000,000"},
    {"addresses", P(addresses), SCENARIO_COUNT, 0, 65000, "0 (this machine's own) to 65,000"},
    {"reaction", P(reaction_us), TIME_TO_DAY},
    {"sigma", P(sigma_milli), SCENARIO_MILLI, 0, 3000, "0 to 3"},
    {"spread", P(spread_us), SCENARIO_TIME, 0, DAYS(60), "0 to 60 d"},
    {"early", P(early_us), TIME_TO_DAY},
    {"interval", P(interval_us), TIME_TO_DAY},
    {"rate", P(rate_milli), SCENARIO_RATE, 1, 1000000000, "0.001 to 1,000,000 requests a second"},
    {"think", P(think_us), TIME_TO_DAY},
    {"tries", P(tries), SCENARIO_COUNT, 0, 60000, "0 to 60,000"},
    {"retry", P(retry_us), TIME_TO_DAY},
    {"rtt", P(rtt_us), SCENARIO_TIME, 0, 10 * SECOND, "0 to 10 s"},
    {"reload", P(reload_permille), SHARE},
    {"change", P(change_permille), SHARE},
    {"abandon", P(abandon_permille), SHARE},
    {"drop", P(drop_permille), SHARE},
    {"cancel", P(cancel_permille), SHARE},
    {"cancel_after", P(cancel_after_us), TIME_TO_DAY},
    {"unread", P(unread_us), SCENARIO_TIME, 0, 600 * SECOND, "0 to 10 min"},
    {"scan", P(scan_permille), SHARE},
    {"replay", P(replay_permille), SHARE},
    {"absent", P(absent_permille), SHARE},
};
#undef P

const struct scenario_key *scenario_key_find(bool of_population, const char *name,
                                             size_t *ret_place)
{
    const struct scenario_key *keys = of_population ? scenario_population_keys : scenario_keys;
    size_t count = of_population ? ARRAY_COUNT(scenario_population_keys)
                                 : ARRAY_COUNT(scenario_keys);
    CHECK(count <= 64);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(keys[i].name, name) == 0) {
            *ret_place = i;
            return &keys[i];
        }
    }
    return NULL;
}

void scenario_key_offer(bool of_population, struct guess *guess)
{
    for (size_t i = 0; of_population && i < ARRAY_COUNT(scenario_population_keys); i++) {
        guess_offer(guess, scenario_population_keys[i].name);
    }
    for (size_t i = 0; !of_population && i < ARRAY_COUNT(scenario_keys); i++) {
        guess_offer(guess, scenario_keys[i].name);
    }
    if (of_population) {
        guess_offer(guess, "victims");
    }
}

const char *scenario_word_at(enum scenario_type type, uint64_t i)
{
    static const char *const modes[] = {"fcfs", "live", "draw", NULL};
    static const char *const levels[] = {"low", "substantial", "high", NULL};
    static const char *const truths[] = {"no", "yes", NULL};
    static const char *const kinds[] = {
#define SCENARIO_KIND_WORD(name, word, is_attack) word,
        CROWD_KINDS(SCENARIO_KIND_WORD)
#undef SCENARIO_KIND_WORD
        NULL};
    switch (type) {
    case SCENARIO_MODE:
        return modes[i];
    case SCENARIO_ASSURANCE:
        return levels[i];
    case SCENARIO_YESNO:
        return truths[i];
    case SCENARIO_KIND:
        return kinds[i];
    default:
        return NULL;
    }
}

const char *scenario_mode_name(enum crowd_mode mode)
{
    CHECK(mode < CROWD_MODES);
    return scenario_word_at(SCENARIO_MODE, mode);
}

bool scenario_mode_named(const char *name, enum crowd_mode *ret_mode)
{
    for (int i = 0; i < CROWD_MODES; i++) {
        if (strcmp(name, scenario_mode_name((enum crowd_mode)i)) == 0) {
            *ret_mode = (enum crowd_mode)i;
            return true;
        }
    }
    return false;
}

const char *scenario_kind_name(enum crowd_kind kind)
{
    CHECK(kind < CROWD_KIND_COUNT);
    return scenario_word_at(SCENARIO_KIND, kind);
}

/* What everybody does who is not said otherwise: a person at home. */
static const struct crowd_population scenario_person = {
    .assurance = CROWD_HIGH, .victims = -1, .identities = 100, .devices = 1, .reaction_us = 6000000,
    .sigma_milli = 1000, .think_us = 4000000, .tries = 5, .retry_us = 2000000, .rtt_us = 40000,
    .reload_permille = 50, .cancel_after_us = 30000000};

/* A program: at once, by the clock, without a thought. */
static void scenario_program(struct crowd_population *p)
{
    p->reaction_us = 5000;
    p->sigma_milli = 500;
    p->interval_us = 3000000;
    p->think_us = 0;
    p->tries = 1000;
    p->retry_us = 100000;
    p->rtt_us = 2000;
    p->reload_permille = 0;
}

static void scenario_kind(struct crowd_population *p, enum crowd_kind kind)
{
    switch (kind) {
    case CROWD_REFRESHERS:
        p->interval_us = 2000000;
        break;
    case CROWD_BACKENDS:
        p->connections = 4;
        p->reload_permille = 0;
        break;
    case CROWD_SLOW_READERS:
        p->unread_us = 20000000;
        break;
    case CROWD_STORM:
        p->interval_us = 0;
        p->retry_us = 5000;
        p->tries = 60000;
        break;
    case CROWD_SYBILS:
        p->assurance = CROWD_LOW;
        break;
    case CROWD_HOARDERS:
        p->abandon_permille = 1000;
        break;
    case CROWD_SELLERS:
        p->cancel_permille = 1000;
        break;
    case CROWD_CONNECTORS:
        p->devices = 100;
        break;
    case CROWD_SCANNERS:
        p->scan_permille = 1000;
        p->interval_us = 500000;
        break;
    case CROWD_PROXIES:
        p->devices = 50;
        p->addresses = 5000;
        break;
    case CROWD_REPLAYERS:
        p->replay_permille = 1000;
        break;
    case CROWD_GHOSTS:
        p->absent_permille = 1000;
        p->abandon_permille = 1000;
        break;
    default:
        break;
    }
}

void scenario_defaults(struct crowd_population *p, enum crowd_kind kind)
{
    static const bool attacks[] = {
#define SCENARIO_KIND_ATTACK(name, word, is_attack) is_attack,
        CROWD_KINDS(SCENARIO_KIND_ATTACK)
#undef SCENARIO_KIND_ATTACK
        false};
    char name[CROWD_NAME_MAX];
    memcpy(name, p->name, sizeof name);
    *p = scenario_person;
    memcpy(p->name, name, sizeof name);
    p->kind = kind;
    CHECK(kind <= CROWD_KIND_COUNT);
    p->is_attack = attacks[kind];
    if (kind == CROWD_PEOPLE || kind == CROWD_REFRESHERS || kind == CROWD_BACKENDS ||
        kind == CROWD_SLOW_READERS) {
        scenario_kind(p, kind);
        return;
    }
    scenario_program(p);
    scenario_kind(p, kind);
}

void scenario_fallback(struct crowd_scenario *s)
{
    *s = (struct crowd_scenario){.mode = CROWD_LIVE, .assurance = CROWD_HIGH, .slots = 100,
                                 .window_us = 60 * SECOND, .draw_window_us = DAYS(1),
                                 .grace_us = 10 * SECOND, .accept_us = 600 * SECOND,
                                 .run_us = 1800 * SECOND, .wishes = 4, .timeout_us = 10 * SECOND,
                                 .capacity = 20000};
}

/* -- numbers --------------------------------------------------------------------------------- */

int64_t scenario_window_us(const struct crowd_scenario *s)
{
    return (int64_t)(s->mode == CROWD_DRAW ? s->draw_window_us : s->window_us);
}

bool scenario_count(struct crowd_scenario *s)
{
    uint64_t clients = 0, identities = 0;
    for (uint32_t i = 0; i < s->populations_count; i++) {
        struct crowd_population *p = &s->populations[i];
        p->first_client = (uint32_t)clients;
        clients += p->identities * p->devices;
        if (p->victims >= 0) {
            p->first_identity = s->populations[p->victims].first_identity;
        } else {
            p->first_identity = (uint32_t)identities;
            identities += p->identities;
        }
        if (clients > CROWD_IDENTITIES_MAX) {
            return false;
        }
        if (p->rate_milli) { /* of all its clients together */
            p->interval_us = p->identities * p->devices * 1000 * SECOND / p->rate_milli;
        }
    }
    s->clients_count = (uint32_t)clients;
    s->identities_count = (uint32_t)identities;
    return true;
}

static void scenario_times(uint64_t *value, uint64_t milli)
{
    uint64_t scaled = *value / 1000 * milli + *value % 1000 * milli / 1000;
    *value = scaled == 0 && *value > 0 ? 1 : scaled;
}

void scenario_scale(struct crowd_scenario *s, uint64_t milli)
{
    scenario_times(&s->slots, milli);
    scenario_times(&s->capacity, milli);
    for (uint32_t i = 0; i < s->populations_count; i++) {
        scenario_times(&s->populations[i].identities, milli);
        scenario_times(&s->populations[i].rate_milli, milli);
    }
}

/* Up to 60 d, so that nothing overflows. */
static void scenario_times_fine(uint64_t *value, uint64_t millionths)
{
    uint64_t scaled = *value / 1000000 * millionths + *value % 1000000 * millionths / 1000000;
    *value = scaled == 0 && *value > 0 ? 1 : scaled;
}

void scenario_hasten(struct crowd_scenario *s, uint64_t millionths)
{
    uint64_t *const of_all[] = {&s->window_us, &s->draw_window_us, &s->grace_us, &s->cohort_us,
                                &s->accept_us, &s->run_us};
    for (size_t i = 0; i < ARRAY_COUNT(of_all); i++) {
        scenario_times_fine(of_all[i], millionths);
    }
    for (uint32_t k = 0; k < s->populations_count; k++) {
        struct crowd_population *p = &s->populations[k];
        uint64_t *const each[] = {&p->reaction_us, &p->spread_us, &p->early_us, &p->think_us,
                                  &p->retry_us, &p->cancel_after_us, &p->unread_us};
        for (size_t i = 0; i < ARRAY_COUNT(each); i++) {
            scenario_times_fine(each[i], millionths);
        }
    }
}
