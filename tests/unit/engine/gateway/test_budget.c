/* SPDX-License-Identifier: MIT */
/* Do the budgets of address groups hold: the rate, the burst, the open ones, and nobody else's? */
#include "gateway/budget.h"

#include "base/prng.h"
#include "tests/lib/tap.h"

#define SECOND ((uint64_t)SECOND_US)
#define START  (1000 * SECOND)

static struct budget *budget_of(uint32_t rate, uint32_t burst, uint32_t open)
{
    struct budget_options options = {.secret = "fifteen letters", .rate_per_s = rate,
                                     .burst = burst, .connections_max = open};
    struct budget *b = NULL;
    EQ(budget_new(&options, &b), 0);
    return b;
}

static struct budget_group v4(uint32_t address)
{
    uint8_t bytes[4] = {address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255};
    return budget_group_of(bytes, 4);
}

/* How many of `tries` at the same moment get in. */
static int enter(struct budget *b, struct budget_group group, int tries, uint64_t now_us)
{
    int in = 0;
    for (int i = 0; i < tries; i++) {
        in += budget_enter(b, group, now_us) == 0;
    }
    return in;
}

static void test_burst_then_rate(void)
{
    struct budget *b = budget_of(20, 50, 0);
    struct budget_group one = v4(0x0a010203);
    EQ(enter(b, one, 200, START), 50);
    EQ(budget_enter(b, one, START), BUDGET_E_RATE);
    EQ(enter(b, one, 200, START + SECOND), 20);
    EQ(enter(b, one, 200, START + 2 * SECOND), 20);
    EQ(enter(b, one, 200, START + 60 * SECOND), 50); /* a pause earns the burst, no more */
    budget_free(b);
}

static void test_refused_is_not_charged(void)
{
    struct budget *b = budget_of(10, 10, 0);
    struct budget_group one = v4(0x0a010203);
    EQ(enter(b, one, 10, START), 10);
    for (int ms = 1; ms < 100; ms++) {
        EQ(budget_enter(b, one, START + (uint64_t)ms * 1000), BUDGET_E_RATE);
    }
    EQ(budget_enter(b, one, START + SECOND / 10), 0); /* in spite of a hundred tries */
    budget_free(b);
}

static void test_open_ones(void)
{
    struct budget *b = budget_of(0, 0, 30);
    struct budget_group one = v4(0x0a010203);
    EQ(enter(b, one, 100, START), 30);
    EQ(budget_enter(b, one, START + SECOND), BUDGET_E_OPEN);
    budget_leave(b, one);
    EQ(budget_enter(b, one, START), 0);
    EQ(budget_enter(b, one, START), BUDGET_E_OPEN);
    budget_free(b);
}

static void test_zero_is_off(void)
{
    struct budget *b = budget_of(0, 0, 0);
    EQ(enter(b, v4(0x0a010203), 100000, START), 100000);
    budget_free(b);
}

static void test_groups(void)
{
    uint8_t six[16] = {0x20, 1, 0xd, 0xb8, 0, 1, 0, 7, [15] = 9};
    uint8_t same[16] = {0x20, 1, 0xd, 0xb8, 0, 1, 0xff, 0xff, [15] = 1};
    uint8_t other[16] = {0x20, 1, 0xd, 0xb8, 0, 2, 0, 7, [15] = 9};
    uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 1, [14] = 2, [15] = 77};
    OK(v4(0x0a010203).value == v4(0x0a0102ff).value);
    OK(v4(0x0a010203).value != v4(0x0a010303).value);
    OK(budget_group_of(six, 16).value == budget_group_of(same, 16).value);
    OK(budget_group_of(six, 16).value != budget_group_of(other, 16).value);
    OK(budget_group_of(mapped, 16).value == v4(0x0a010203).value);
}

/* Nobody pays for a flood from elsewhere, be it from thousands of networks. */
static void test_strangers(void)
{
    struct budget *b = budget_of(20, 20, 100);
    struct prng p;
    int refused = 0;
    prng_init(&p, 7);
    for (int i = 0; i < 1000; i++) {
        EQ(enter(b, v4((uint32_t)(0x50000000 + i * 256)), 40, START), 20);
    }
    for (int i = 0; i < 10000; i++) {
        struct budget_group honest = v4((uint32_t)(0x0b000000 + i * 256));
        refused += budget_enter(b, honest, START) != 0;
    }
    EQ(refused, 0);
    budget_free(b);
}

/* Against an exact model: never more than the budget; what leaves is forgotten. */
static void test_model(void)
{
    enum { GROUPS = 300, OPEN = 12 };
    struct budget *b = budget_of(5, 8, OPEN);
    struct prng p;
    static int open[GROUPS], began[GROUPS];
    int over = 0;
    prng_init(&p, 3);
    for (int step = 0; step < 60000; step++) {
        int g = (int)prng_below(&p, GROUPS);
        struct budget_group group = v4((uint32_t)(0x0c000000 + g * 256));
        if (prng_below(&p, 3) == 0 && open[g] > 0) {
            budget_leave(b, group);
            open[g]--;
        } else if (budget_enter(b, group, START + (uint64_t)step * 100) == 0) {
            open[g]++;
            began[g]++;
        }
        over += open[g] > OPEN || began[g] > 8 + step * 100 * 5 / 1000000;
    }
    EQ(over, 0);
    for (int g = 0; g < GROUPS; g++) {
        while (open[g]-- > 0) {
            budget_leave(b, v4((uint32_t)(0x0c000000 + g * 256)));
        }
        EQ(enter(b, v4((uint32_t)(0x0c000000 + g * 256)), 8, START + 100 * SECOND), 8);
    }
    budget_free(b);
}

int main(void)
{
    TAP_RUN(test_burst_then_rate);
    TAP_RUN(test_refused_is_not_charged);
    TAP_RUN(test_open_ones);
    TAP_RUN(test_zero_is_off);
    TAP_RUN(test_groups);
    TAP_RUN(test_strangers);
    TAP_RUN(test_model);
    return tap_done();
}
