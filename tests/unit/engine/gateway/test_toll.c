/* SPDX-License-Identifier: MIT */
/* Do the budgets of address groups hold: the rate, the burst, the open ones, and nobody else's? */
#include "gateway/toll.h"

#include "base/prng.h"
#include "tests/lib/tap.h"

#define SECOND ((uint64_t)SECOND_US)
#define START  (1000 * SECOND)

static struct toll *toll_of(uint32_t rate, uint32_t burst, uint32_t open)
{
    struct toll_options options = {.secret = "fifteen letters", .rate_per_s = rate,
                                     .burst = burst, .connections_max = open};
    struct toll *b = NULL;
    EQ(toll_new(&options, &b), 0);
    return b;
}

static struct toll_group v4(uint32_t address)
{
    uint8_t bytes[4] = {address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255};
    return toll_group_of(bytes, 4);
}

/* How many of `tries` at the same moment get in. */
static int enter(struct toll *b, struct toll_group group, int tries, uint64_t now_us)
{
    int in = 0;
    for (int i = 0; i < tries; i++) {
        in += toll_enter(b, group, now_us) == 0;
    }
    return in;
}

static void test_burst_then_rate(void)
{
    struct toll *b = toll_of(20, 50, 0);
    struct toll_group one = v4(0x0a010203);
    EQ(enter(b, one, 200, START), 50);
    EQ(toll_enter(b, one, START), TOLL_E_RATE);
    EQ(enter(b, one, 200, START + SECOND), 20);
    EQ(enter(b, one, 200, START + 2 * SECOND), 20);
    EQ(enter(b, one, 200, START + 60 * SECOND), 50); /* a pause earns the burst, no more */
    toll_free(b);
}

static void test_refused_is_not_charged(void)
{
    struct toll *b = toll_of(10, 10, 0);
    struct toll_group one = v4(0x0a010203);
    EQ(enter(b, one, 10, START), 10);
    for (int ms = 1; ms < 100; ms++) {
        EQ(toll_enter(b, one, START + (uint64_t)ms * 1000), TOLL_E_RATE);
    }
    EQ(toll_enter(b, one, START + SECOND / 10), 0); /* in spite of a hundred tries */
    toll_free(b);
}

static void test_open_ones(void)
{
    struct toll *b = toll_of(0, 0, 30);
    struct toll_group one = v4(0x0a010203);
    EQ(enter(b, one, 100, START), 30);
    EQ(toll_enter(b, one, START + SECOND), TOLL_E_OPEN);
    toll_leave(b, one);
    EQ(toll_enter(b, one, START), 0);
    EQ(toll_enter(b, one, START), TOLL_E_OPEN);
    toll_free(b);
}

static void test_zero_is_off(void)
{
    struct toll *b = toll_of(0, 0, 0);
    EQ(enter(b, v4(0x0a010203), 100000, START), 100000);
    toll_free(b);
}

static void test_groups(void)
{
    uint8_t six[16] = {0x20, 1, 0xd, 0xb8, 0, 1, 0, 7, [15] = 9};
    uint8_t same[16] = {0x20, 1, 0xd, 0xb8, 0, 1, 0xff, 0xff, [15] = 1};
    uint8_t other[16] = {0x20, 1, 0xd, 0xb8, 0, 2, 0, 7, [15] = 9};
    uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 1, [14] = 2, [15] = 77};
    OK(v4(0x0a010203).value == v4(0x0a0102ff).value);
    OK(v4(0x0a010203).value != v4(0x0a010303).value);
    OK(toll_group_of(six, 16).value == toll_group_of(same, 16).value);
    OK(toll_group_of(six, 16).value != toll_group_of(other, 16).value);
    OK(toll_group_of(mapped, 16).value == v4(0x0a010203).value);
}

/* Nobody pays for a flood from elsewhere, be it from thousands of networks. */
static void test_strangers(void)
{
    struct toll *b = toll_of(20, 20, 100);
    struct prng p;
    int refused = 0;
    prng_init(&p, 7);
    for (int i = 0; i < 1000; i++) {
        EQ(enter(b, v4((uint32_t)(0x50000000 + i * 256)), 40, START), 20);
    }
    for (int i = 0; i < 10000; i++) {
        struct toll_group honest = v4((uint32_t)(0x0b000000 + i * 256));
        refused += toll_enter(b, honest, START) != 0;
    }
    EQ(refused, 0);
    toll_free(b);
}

/* Against an exact model: never more than the budget; what leaves is forgotten. */
static void test_model(void)
{
    enum { GROUPS = 300, OPEN = 12 };
    struct toll *b = toll_of(5, 8, OPEN);
    struct prng p;
    static int open[GROUPS], began[GROUPS];
    int over = 0;
    prng_init(&p, 3);
    for (int step = 0; step < 60000; step++) {
        int g = (int)prng_below(&p, GROUPS);
        struct toll_group group = v4((uint32_t)(0x0c000000 + g * 256));
        if (prng_below(&p, 3) == 0 && open[g] > 0) {
            toll_leave(b, group);
            open[g]--;
        } else if (toll_enter(b, group, START + (uint64_t)step * 100) == 0) {
            open[g]++;
            began[g]++;
        }
        over += open[g] > OPEN || began[g] > 8 + step * 100 * 5 / 1000000;
    }
    EQ(over, 0);
    for (int g = 0; g < GROUPS; g++) {
        while (open[g]-- > 0) {
            toll_leave(b, v4((uint32_t)(0x0c000000 + g * 256)));
        }
        EQ(enter(b, v4((uint32_t)(0x0c000000 + g * 256)), 8, START + 100 * SECOND), 8);
    }
    toll_free(b);
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
