/* SPDX-License-Identifier: MIT */
/* Goal: a million waiting identities fit, in at most 160 bytes each, and every one is served once
 * and in order.  What it costs is printed, not judged: the machine is shared. */
#include "fair/fairq.h"

#include <time.h>
#include <unistd.h>

#include "base/prng.h"
#include "tests/lib/tap.h"

enum { PEOPLE = 1000000 };

static struct fairq_entry entries[PEOPLE];

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* the machine is shared */
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static size_t resident_bytes(void)
{
    unsigned long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%lu %lu", &size, &resident) != 2) {
        resident = 0;
    }
    if (f) {
        fclose(f);
    }
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static struct identity identity_of(uint64_t n)
{
    struct identity i;
    uint64_t a = n * 2, b = n * 2 + 1;
    a = prng_splitmix(&a);
    b = prng_splitmix(&b);
    memcpy(i.bytes, &a, 8);
    memcpy(i.bytes + 8, &b, 8);
    return i;
}

static void test_million(void)
{
    struct fairq_options o = {.secret = "sixteen secret b", .weights = {8, 4, 2, 1},
                              .waiting_per_identity = 16, .identities_max = PEOPLE,
                              .groups_max = 1000};
    struct fairq *q = NULL;
    for (int i = 0; i < PEOPLE; i++) {
        entries[i].class = FAIRQ_RESERVE; /* touched: not counted below */
    }
    size_t before = resident_bytes();
    EQ(fairq_new(&o, &q), 0);
    size_t empty = resident_bytes() - before;
    double start = now_s();
    for (uint64_t i = 0; i < PEOPLE; i++) {
        struct fairq_place at_queue = {.identity = identity_of(i)};
        OK(fairq_push(q, &at_queue, &entries[i]) == 0);
    }
    double pushed = now_s();
    size_t each = (resident_bytes() - before) / PEOPLE;
    EQ(fairq_waiting_identities(q), PEOPLE);
    size_t at = 0;
    struct fairq_entry *out[64];
    double pull_start = now_s();
    for (size_t n; (n = fairq_pull(q, out, 64)) > 0;) {
        for (size_t i = 0; i < n; i++) {
            OK(out[i] == &entries[at++]);
        }
    }
    double pulled = now_s();
    EQ(at, PEOPLE);
    printf("# %d identities: push %.0f ns, pull %.0f ns, %zu bytes each (empty queue: %zu kB), "
           "longest search %zu\n", PEOPLE, (pushed - start) * 1e9 / PEOPLE,
           (pulled - pull_start) * 1e9 / PEOPLE, each, empty / 1024, fairq_probe_max(q));
    OK(each <= 160);
    fairq_free(q);
}

/* What a calm gateway pays: few wait, the same few come back. */
static void test_calm(void)
{
    enum { ROUNDS = 2000000, CALM = 1000 };
    struct fairq_options o = {.secret = "sixteen secret b", .weights = {8, 4, 2, 1},
                              .waiting_per_identity = 16, .identities_max = 65536};
    struct fairq *q = NULL;
    struct fairq_entry *out;
    static struct fairq_place ids[CALM];
    EQ(fairq_new(&o, &q), 0);
    for (uint64_t i = 0; i < CALM; i++) {
        ids[i].identity = identity_of(i);
        OK(fairq_push(q, &ids[i], &entries[i]) == 0);
    }
    double start = now_s();
    for (int i = 0; i < ROUNDS; i++) {
        OK(fairq_pull(q, &out, 1) == 1);
        OK(fairq_push(q, &ids[out - entries], out) == 0);
    }
    printf("# %d waiting: pull and push %.0f ns\n", CALM, (now_s() - start) * 1e9 / ROUNDS);
    EQ(fairq_waiting(q), CALM);
    fairq_free(q);
}

int main(void)
{
    TAP_RUN(test_million);
    TAP_RUN(test_calm);
    return tap_done();
}
