/* SPDX-License-Identifier: MIT */
/* What one apply costs beside its book: prints nanoseconds, fails only when it is wholly
 * out of proportion (100 us; the plan is 3 us).  LEDGER_COST_IDENTITIES and LEDGER_COST_SLOTS
 * in the environment make it as large as the figures ask (1,000,000 each). */
#include <time.h>

#include "base/prng.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

static struct book inner;
static int64_t book_ns;
static uint64_t book_calls;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

#define TIMED(call)                  \
    int64_t start = now_ns();        \
    int r = call;                    \
    book_ns += now_ns() - start;     \
    book_calls++;                    \
    return r

static int timed_get(void *self, struct span k, struct span *v)
{
    TIMED(inner.get(self, k, v));
}

static int timed_put(void *self, struct span k, struct span v)
{
    TIMED(inner.put(self, k, v));
}

static int timed_del(void *self, struct span k)
{
    TIMED(inner.del(self, k));
}

static int timed_next(void *self, struct span f, bool x, struct span *k, struct span *v)
{
    TIMED(inner.next(self, f, x, k, v));
}

static size_t size_of(const char *name, size_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoul(text, NULL, 10) : otherwise;
}

static void report(const char *name, int64_t took, size_t count)
{
    int64_t self = (took - book_ns) / (int64_t)count;
    printf("# %-14s %5lld ns in all, %5lld ns without the book (%.1f calls)\n", name,
           (long long)(took / (int64_t)count), (long long)self, (double)book_calls / (double)count);
    OK(self < 100000);
    book_ns = 0;
    book_calls = 0;
}

/* 0 to count - 1 in random order, on the heap. */
static uint32_t *shuffled(size_t count)
{
    uint32_t *order = calloc(count, sizeof *order);
    struct prng p;
    prng_init(&p, 8);
    for (size_t i = 0; i < count; i++) {
        order[i] = (uint32_t)i;
    }
    for (size_t i = count; i > 1; i--) {
        size_t j = prng_below(&p, i);
        uint32_t x = order[i - 1];
        order[i - 1] = order[j];
        order[j] = x;
    }
    return order;
}

static void test_cost(void)
{
    size_t people = size_of("LEDGER_COST_IDENTITIES", 40000);
    size_t slots = size_of("LEDGER_COST_SLOTS", 40000), pools = 50, per_pool;
    struct kit k;
    char pool[50][16];
    kit_init(&k);
    k.m.is_strict = false;
    slots = slots < people ? people : slots;
    per_pool = (slots + pools - 1) / pools;
    for (size_t i = 0; i < pools; i++) {
        snprintf(pool[i], sizeof pool[i], "office-%zu", i);
        EQ(kit_pool(&k, pool[i], "passport"), REASON_OK);
        for (size_t from = 0; from < per_pool; from += 4000) {
            size_t n = per_pool - from < 4000 ? per_pool - from : 4000;
            EQ(kit_slots(&k, pool[i], (unsigned)from, (unsigned)n), REASON_OK);
        }
    }
    inner = k.m.book;
    k.m.book.get = timed_get;
    k.m.book.put = timed_put;
    k.m.book.del = timed_del;
    k.m.book.next = timed_next;
    uint64_t (*ids)[2] = calloc(people, sizeof *ids);
    uint32_t *order = shuffled(people);
    int64_t start = now_ns();
    for (size_t n = 0; n < people; n++) {
        size_t i = order[n];
        if (kit_hold(&k, pool[i % pools], (unsigned)i, (unsigned)(i / pools)) != REASON_OK) {
            OK(false);
        }
        ids[i][0] = k.v.holds[0].owner;
        ids[i][1] = k.v.holds[0].number;
    }
    report("CreateHold", now_ns() - start, people);
    start = now_ns();
    for (size_t n = 0; n < people; n++) {
        size_t i = order[people - 1 - n];
        if (i % 4 && kit_change(&k, COMMAND_CONFIRM_HOLD, pool[i % pools], (unsigned)i, ids[i])) {
            OK(false);
        }
    }
    report("ConfirmHold", now_ns() - start, people - people / 4);
    start = now_ns();
    EQ(kit_reopen(&k), 0);
    int64_t took = now_ns() - start;
    printf("# ledger_new     %lld ms, %lld without the book, %zu slots, %zu records, %.0f B each\n",
           (long long)took / 1000000, (long long)(took - book_ns) / 1000000, per_pool * pools,
           k.m.count, (double)k.m.bytes / (double)k.m.count);
    free(ids);
    free(order);
    kit_fini(&k);
}

int main(void)
{
    TAP_RUN(test_cost);
    return tap_done();
}
