/* SPDX-License-Identifier: MIT */
/* Goal: a million random pushes, pulls and removals give the same answers as a model that is too
 * simple to be wrong: arrays, searched from the front.  A failure names its seed. */
#include "fair/fairq.h"

#include "base/check.h"
#include "base/prng.h"
#include "tests/lib/tap.h"

enum { PEOPLE = 60, PEOPLE_MAX = 40, CAP = 5, WORKS = 250, STEPS = 1000000 };

static const uint32_t weights[FAIRQ_CLASSES] = {8, 4, 2, 1};

struct work {
    struct fairq_entry entry;
    int who;
    bool waits; /* as the model knows it */
};

struct model {
    int calls[FAIRQ_CLASSES][PEOPLE][CAP]; /* numbers of works, oldest first */
    int calls_count[FAIRQ_CLASSES][PEOPLE];
    int ring[FAIRQ_CLASSES][PEOPLE];       /* people of the class, next to be served first */
    int ring_count[FAIRQ_CLASSES];
    int class;
    uint32_t left; /* of the class's turn */
};

static struct work works[WORKS];
static struct model m;
static int refused[3]; /* by verdict, so that a run that never met one is seen */

static void array_remove(int *array, int *count, int value)
{
    for (int i = 0; i < *count; i++) {
        if (array[i] == value) {
            memmove(&array[i], &array[i + 1], sizeof *array * (size_t)(*count - i - 1));
            --*count;
            return;
        }
    }
    CHECK(!"the value is in the array");
}

static int model_waiting(int who)
{
    int n = 0;
    for (int c = 0; c < FAIRQ_CLASSES; c++) {
        n += m.calls_count[c][who];
    }
    return n;
}

static int model_people(void)
{
    int n = 0;
    for (int i = 0; i < PEOPLE; i++) {
        n += model_waiting(i) > 0;
    }
    return n;
}

static int model_push(int number)
{
    int who = works[number].who, c = (int)works[number].entry.class;
    if (model_waiting(who) == 0 && model_people() == PEOPLE_MAX) {
        return FAIRQ_E_FULL;
    }
    if (model_waiting(who) == CAP) {
        return FAIRQ_E_FULL_IDENTITY;
    }
    if (m.calls_count[c][who] == 0) {
        m.ring[c][m.ring_count[c]++] = who;
    }
    m.calls[c][who][m.calls_count[c][who]++] = number;
    return 0;
}

static void model_remove(int number)
{
    int who = works[number].who, c = (int)works[number].entry.class;
    array_remove(m.calls[c][who], &m.calls_count[c][who], number);
    if (m.calls_count[c][who] == 0) {
        array_remove(m.ring[c], &m.ring_count[c], who);
    }
    if (m.ring_count[c] == 0 && c == m.class) {
        m.left = 0;
    }
}

/* -1: nothing waits. */
static int model_pull(void)
{
    for (int tries = 0; tries <= FAIRQ_CLASSES; tries++) {
        if (m.left > 0 && m.ring_count[m.class] > 0) {
            int c = m.class, who = m.ring[c][0], number = m.calls[c][who][0];
            m.left--;
            model_remove(number);
            if (m.calls_count[c][who] > 0) {
                array_remove(m.ring[c], &m.ring_count[c], who);
                m.ring[c][m.ring_count[c]++] = who;
            }
            return number;
        }
        if (tries < FAIRQ_CLASSES && (m.ring_count[0] || m.ring_count[1] || m.ring_count[2] ||
                                      m.ring_count[3])) {
            m.class = (m.class + 1) % FAIRQ_CLASSES;
            m.left = weights[m.class];
        }
    }
    return -1;
}

static void step_push(struct fairq *q, struct prng *p)
{
    int number = (int)prng_below(p, WORKS);
    struct work *w = &works[number];
    if (w->waits) {
        return;
    }
    struct fairq_place at = {0};
    w->who = (int)prng_below(p, 2 + prng_below(p, PEOPLE - 1)); /* some come more often */
    w->entry.class = (enum fairq_class)prng_below(p, FAIRQ_CLASSES);
    at.identity.bytes[15] = (uint8_t)w->who;
    int want = model_push(number);
    EQ(fairq_push(q, &at, &w->entry), want);
    w->waits = want == 0;
    refused[want]++;
}

static void step_pull(struct fairq *q, struct prng *p)
{
    struct fairq_entry *out[8];
    size_t max = prng_below(p, ARRAY_COUNT(out) + 1);
    size_t n = fairq_pull(q, out, max);
    for (size_t i = 0; i < n; i++) {
        int want = model_pull();
        EQ(CONTAINER_OF(out[i], struct work, entry) - works, want);
        OK(out[i]->flow == NULL);
        CHECK(want >= 0);
        works[want].waits = false;
    }
    IMPLY(n < max, model_pull() == -1);
}

static void run(uint64_t seed)
{
    struct fairq_options o = {.secret = "a secret of 16 b", .waiting_per_identity = CAP,
                              .identities_max = PEOPLE_MAX};
    memcpy(o.weights, weights, sizeof weights);
    struct fairq *q = NULL;
    struct prng p;
    prng_init(&p, seed);
    memset(works, 0, sizeof works);
    m = (struct model){.left = weights[0]};
    EQ(fairq_new(&o, &q), 0);
    for (int i = 0; i < STEPS && !tap_broken; i++) {
        uint64_t mood = i / 5000 % 2 ? 60 : 40; /* fills for a while, then drains */
        uint64_t dice = prng_below(&p, 100);
        if (dice < mood + 30) {
            step_push(q, &p);
        } else if (dice < 93) {
            step_pull(q, &p);
        } else {
            int number = (int)prng_below(&p, WORKS);
            if (works[number].waits) {
                model_remove(number);
                works[number].waits = false;
            }
            fairq_remove(q, &works[number].entry);
        }
        if (i % 64 == 0) {
            EQ(fairq_waiting_identities(q), model_people());
        }
    }
    if (tap_broken) {
        printf("# seed %llu\n", (unsigned long long)seed);
    }
    fairq_free(q);
}

static void test_every_verdict_was_met(void)
{
    printf("# pushes: %d taken, %d own cap, %d full\n", refused[0], refused[1], refused[2]);
    OK(refused[0] > 100000);
    OK(refused[FAIRQ_E_FULL_IDENTITY] > 10000);
    OK(refused[FAIRQ_E_FULL] > 10000);
}

static void test_against_model(void)
{
    run(1);
}

static void test_against_model_again(void)
{
    run(20261201);
}

int main(void)
{
    TAP_RUN(test_against_model);
    TAP_RUN(test_against_model_again);
    TAP_RUN(test_every_verdict_was_met);
    return tap_done();
}
