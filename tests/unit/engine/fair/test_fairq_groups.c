/* SPDX-License-Identifier: MIT */
/* Goal: identities that cost nothing to have share one place when they come from one address, a
 * tenant has its part whatever the others do, and neither starves anybody. */
#include "fair/fairq.h"

#include "base/check.h"
#include "base/prng.h"
#include "tests/lib/tap.h"

struct work {
    struct fairq_entry entry;
    struct fairq_place place;
    uint32_t who;
};

static struct fairq *queue_of(uint32_t per_identity, uint32_t identities)
{
    struct fairq_options o = {.secret = "sixteen secret b", .weights = {8, 4, 2, 1},
                              .waiting_per_identity = per_identity, .identities_max = identities,
                              .tenants_max = 3};
    struct fairq *q = NULL;
    EQ(fairq_new(&o, &q), 0);
    return q;
}

/* group 0: none */
static struct work work_of(uint32_t who, uint32_t group, uint16_t tenant, uint16_t weight)
{
    struct work w = {.who = who, .place = {.is_grouped = group != 0, .tenant = tenant,
                                           .tenant_weight = weight},
                     .entry.class = FAIRQ_RESERVE};
    memcpy(w.place.identity.bytes, &who, sizeof who);
    memcpy(w.place.group.bytes, &group, sizeof group);
    return w;
}

static int push(struct fairq *q, struct work *w)
{
    return fairq_push(q, &w->place, &w->entry);
}

static struct work *pull(struct fairq *q)
{
    struct fairq_entry *e;
    return fairq_pull(q, &e, 1) ? CONTAINER_OF(e, struct work, entry) : NULL;
}

/* Everybody always waits: served `pulls` times, counted by number. */
static void serve(struct fairq *q, int pulls, uint32_t *counts)
{
    for (int n = 0; n < pulls; n++) {
        struct work *w = pull(q);
        counts[w->who]++;
        OK(push(q, w) == 0);
    }
}

/* Three people and two addresses with five and one weak identities: five places. */
static void test_a_group_is_one_place(void)
{
    static struct work works[9][2];
    uint32_t counts[9] = {0};
    struct fairq *q = queue_of(4, 16);
    for (uint32_t i = 0; i < 9; i++) {
        uint32_t group = i < 3 ? 0 : i < 8 ? 77 : 78;
        for (int k = 0; k < 2; k++) {
            works[i][k] = work_of(i, group, 0, 0);
            EQ(push(q, &works[i][k]), 0);
        }
    }
    EQ(fairq_waiting_identities(q), 9);
    serve(q, 50000, counts);
    for (uint32_t i = 0; i < 9; i++) {
        EQ(counts[i], i < 3 || i == 8 ? 10000 : 2000);
    }
    fairq_free(q);
}

/* A hundred thousand weak identities of one address delay nobody else. */
static void test_many_weak_ones_delay_nobody(void)
{
    enum { WEAK = 100000, PEOPLE = 50 };
    static struct work weak[WEAK], people[PEOPLE];
    struct fairq *q = queue_of(4, WEAK + PEOPLE);
    int turns = 0, served = 0;
    for (uint32_t i = 0; i < WEAK; i++) {
        weak[i] = work_of(i, 5, 0, 0);
        OK(push(q, &weak[i]) == 0);
    }
    for (uint32_t i = 0; i < PEOPLE; i++) {
        people[i] = work_of(WEAK + i, 0, 0, 0);
        OK(push(q, &people[i]) == 0);
    }
    for (; served < PEOPLE; turns++) {
        served += pull(q)->who >= WEAK;
    }
    OK(turns <= PEOPLE + 1);
    fairq_free(q);
}

/* Weights 3 and 1, whatever number of people a tenant has; a silent one costs nobody. */
static void test_tenants_have_their_part(void)
{
    enum { PEOPLE = 101 };
    static struct work works[PEOPLE];
    uint32_t counts[PEOPLE] = {0}, many = 0;
    struct fairq *q = queue_of(4, PEOPLE);
    for (uint32_t i = 0; i < PEOPLE; i++) {
        works[i] = i == 0 ? work_of(i, 0, 2, 3) : work_of(i, 0, 1, 1);
        EQ(push(q, &works[i]), 0);
    }
    /* Its only call is back at once: the tenant forfeits what is left of its turn. */
    serve(q, 20000, counts);
    EQ(counts[0], 10000);
    static struct work more[8];
    for (int i = 0; i < 3; i++) { /* four of it wait: it uses its turns */
        more[i] = work_of(0, 0, 2, 3);
        EQ(push(q, &more[i]), 0);
    }
    memset(counts, 0, sizeof counts);
    serve(q, 40000, counts);
    for (uint32_t i = 1; i < PEOPLE; i++) {
        many += counts[i];
    }
    EQ(counts[0], 30000);
    EQ(many, 10000);
    for (int i = 0; i < 3; i++) {
        fairq_remove(q, &more[i].entry);
    }
    fairq_remove(q, &works[0].entry);
    memset(counts, 0, sizeof counts);
    serve(q, 1000, counts); /* the other tenant alone */
    EQ(counts[0], 0);
    fairq_free(q);
}

/* One of search waits behind classes, tenants and groups that never run empty. */
static void test_nobody_starves(void)
{
    static struct work busy[12], lone;
    struct fairq *q = queue_of(4, 64);
    for (uint32_t i = 0; i < 12; i++) {
        busy[i] = work_of(i, i % 4, (uint16_t)(i % 2), 20);
        busy[i].entry.class = (enum fairq_class)(i % 3);
        EQ(push(q, &busy[i]), 0);
    }
    lone = work_of(99, 9, 2, 1);
    lone.entry.class = FAIRQ_SEARCH;
    EQ(push(q, &lone), 0);
    int turns = 1;
    for (struct work *w; (w = pull(q)) != &lone; turns++) {
        OK(push(q, w) == 0);
    }
    OK(turns <= 15); /* one cycle of the classes */
    /* and in a class of busy tenants: at most a turn of each */
    lone.entry.class = FAIRQ_CONTROL;
    EQ(push(q, &lone), 0);
    turns = 1;
    for (struct work *w; (w = pull(q)) != &lone; turns++) {
        OK(push(q, w) == 0);
    }
    OK(turns <= 2 * 20 * 15 / 8 + 15);
    fairq_free(q);
}

/* The same address with another tenant is another group; a place once taken is kept. */
static void test_groups_are_a_tenants_own(void)
{
    struct work a = work_of(1, 7, 0, 0), b = work_of(2, 7, 1, 0), c = work_of(1, 8, 1, 0);
    struct work d = work_of(1, 7, 0, 0);
    struct fairq *q = queue_of(4, 2);
    EQ(push(q, &a), 0);
    EQ(push(q, &b), 0);
    EQ(push(q, &c), 0); /* the identity of a: with a */
    EQ(fairq_waiting_identities(q), 2);
    OK(pull(q) == &a);
    EQ(push(q, &d), 0);
    OK(pull(q) == &b);
    OK(pull(q) == &c);
    OK(pull(q) == &d);
    OK(pull(q) == NULL);
    fairq_free(q);
}

/* Random comings and goings: whoever waits comes out once, two backlogged members of one group
 * alternate, and in the end everything is given back. */
static void test_comings_and_goings(void)
{
    enum { STEADY = 6, OTHERS = 300, STEPS = 300000 };
    static struct work steady[STEADY][2], others[OTHERS];
    static bool waits[OTHERS];
    static uint32_t seen[STEADY][STEADY];
    size_t waiting = 2 * STEADY;
    struct prng p;
    prng_init(&p, 7);
    struct fairq *q = queue_of(4, OTHERS + STEADY);
    for (uint32_t i = 0; i < 2 * STEADY; i++) {
        steady[i / 2][i % 2] = work_of(i / 2, 3, 1, 2);
        EQ(push(q, &steady[i / 2][i % 2]), 0);
    }
    for (int n = 0; n < STEPS && !tap_broken; n++) {
        uint32_t i = (uint32_t)prng_below(&p, OTHERS);
        if (!waits[i] && prng_below(&p, 3)) {
            others[i] = work_of(STEADY + i, (uint32_t)prng_below(&p, 5),
                                (uint16_t)prng_below(&p, 3), (uint16_t)prng_below(&p, 4));
            others[i].entry.class = (enum fairq_class)prng_below(&p, FAIRQ_CLASSES);
            OK(push(q, &others[i]) == 0);
            waits[i] = true;
            waiting++;
        } else if (waits[i] && prng_below(&p, 4) == 0) {
            fairq_remove(q, &others[i].entry);
            waits[i] = false;
            waiting--;
        } else {
            struct work *w = pull(q);
            OK(w->who < STEADY || waits[w->who - STEADY]);
            if (w->who >= STEADY) {
                waits[w->who - STEADY] = false;
                waiting--;
                continue;
            }
            for (uint32_t b = 0; b < STEADY; b++) {
                OK(b == w->who || seen[w->who][b] == 0);
                seen[w->who][b] = 1;
                seen[b][w->who] = 0;
            }
            OK(push(q, w) == 0);
        }
        OK(fairq_waiting(q) == waiting);
    }
    while (waiting > 0 && pull(q)) {
        waiting--;
    }
    EQ(waiting, 0);
    EQ(fairq_waiting_identities(q), 0);
    fairq_free(q);
}

/* Every weak identity in a group of its own, as many as there may be, over and over. */
static void test_as_many_groups_as_identities(void)
{
    enum { MANY = 1000 };
    static struct work works[MANY + 1];
    struct fairq *q = queue_of(4, MANY);
    for (int turn = 0; turn < 20; turn++) {
        for (uint32_t i = 0; i <= MANY; i++) {
            works[i] = work_of(i, 1 + i + (uint32_t)turn * 3, (uint16_t)(i % 3), 1);
            EQ(push(q, &works[i]), i < MANY ? 0 : FAIRQ_E_FULL);
        }
        for (uint32_t i = 0; i < MANY; i++) {
            OK(pull(q) != NULL);
        }
        EQ(fairq_waiting(q), 0);
    }
    fairq_free(q);
}

int main(void)
{
    TAP_RUN(test_a_group_is_one_place);
    TAP_RUN(test_many_weak_ones_delay_nobody);
    TAP_RUN(test_tenants_have_their_part);
    TAP_RUN(test_nobody_starves);
    TAP_RUN(test_groups_are_a_tenants_own);
    TAP_RUN(test_comings_and_goings);
    TAP_RUN(test_as_many_groups_as_identities);
    return tap_done();
}
