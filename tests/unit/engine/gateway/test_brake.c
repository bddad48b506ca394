/* SPDX-License-Identifier: MIT */
/* Goal: an identity whose queue is full may overdo it a little; who goes on is left unread for
 * longer and longer, up to an end, is forgiven after it, and costs nobody else anything. */
#include "gateway/brake.h"

#include "tests/lib/tap.h"

static struct brake brake;

static struct identity identity_of(uint8_t first, uint8_t last)
{
    struct identity i = {{0}};
    i.bytes[0] = first;
    i.bytes[15] = last;
    return i;
}

static void test_a_little_is_free(void)
{
    struct identity anna = identity_of(1, 1);
    for (int i = 0; i < 200; i++) {
        EQ(brake_press(&brake, &anna, 1000000), 0);
    }
    EQ(brake_press(&brake, &anna, 1001000), 0); /* a second later the budget is whole again */
}

static void test_a_flood_is_held(void)
{
    struct identity mallory = identity_of(2, 1);
    uint32_t before = 0, now = 0, most = 0;
    for (int i = 0; i < 100000; i++) {
        now = brake_press(&brake, &mallory, 2000000);
        OK(now >= before);
        before = now;
        most = now > most ? now : most;
    }
    EQ(most, 5000);
    /* Sixty thousand calls that are back every 2.5 to 5 s are 12,000 to 24,000 a second, and not
     * as many as the processor can refuse. */
    struct identity anna = identity_of(1, 1);
    EQ(brake_press(&brake, &anna, 2000000), 0);
    EQ(brake_press(&brake, &mallory, 2000000 + 6000), 0); /* forgiven */
}

/* Two of one slot: the brake may forget one, it never holds the wrong one. */
static void test_one_slot(void)
{
    struct identity a = identity_of(3, 1), b = identity_of(3, 2);
    for (int i = 0; i < 1000; i++) {
        brake_press(&brake, &a, 3000000);
    }
    OK(brake_press(&brake, &a, 3000000) > 0);
    EQ(brake_press(&brake, &b, 3000000), 0);
    EQ(brake_press(&brake, &a, 3000000), 0);
}

int main(void)
{
    TAP_RUN(test_a_little_is_free);
    TAP_RUN(test_a_flood_is_held);
    TAP_RUN(test_one_slot);
    return tap_done();
}
