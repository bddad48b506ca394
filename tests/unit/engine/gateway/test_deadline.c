/* SPDX-License-Identifier: MIT */
/* Does the heap give deadlines back in order, whatever is armed, moved and disarmed? */
#include "gateway/deadline.h"

#include "base/prng.h"
#include "tests/lib/tap.h"

enum { MANY = 1000 };

static void test_in_order(void)
{
    struct deadline_heap heap;
    static struct deadline d[MANY];
    struct prng p;
    prng_init(&p, 1);
    EQ(deadline_heap_init(&heap, MANY), 0);
    EQ(deadline_next_ms(&heap), 0);
    OK(deadline_pull(&heap, UINT64_MAX) == NULL);
    for (int i = 0; i < MANY; i++) {
        d[i] = (struct deadline){0};
        deadline_arm(&heap, &d[i], 1 + prng_below(&p, 500));
    }
    uint64_t last = 0;
    for (int i = 0; i < MANY; i++) {
        EQ(deadline_next_ms(&heap) > 0, 1);
        struct deadline *due = deadline_pull(&heap, UINT64_MAX);
        OK(due && due->at_ms >= last);
        OK(due && due->place == 0);
        last = due ? due->at_ms : last;
    }
    EQ(heap.count, 0);
    deadline_heap_fini(&heap);
}

static void test_not_before_its_time(void)
{
    struct deadline_heap heap;
    struct deadline d = {0};
    EQ(deadline_heap_init(&heap, 1), 0);
    deadline_arm(&heap, &d, 100);
    OK(deadline_pull(&heap, 99) == NULL);
    OK(deadline_pull(&heap, 100) == &d);
    OK(deadline_pull(&heap, 100) == NULL);
    deadline_disarm(&heap, &d); /* harmless when not armed */
    deadline_heap_fini(&heap);
}

static void test_moves_both_ways(void)
{
    struct deadline_heap heap;
    struct deadline a = {0}, b = {0}, c = {0};
    EQ(deadline_heap_init(&heap, 3), 0);
    deadline_arm(&heap, &a, 10);
    deadline_arm(&heap, &b, 20);
    deadline_arm(&heap, &c, 30);
    deadline_arm(&heap, &c, 5);
    EQ(deadline_next_ms(&heap), 5);
    deadline_arm(&heap, &c, 40);
    EQ(deadline_next_ms(&heap), 10);
    OK(deadline_pull(&heap, 50) == &a);
    OK(deadline_pull(&heap, 50) == &b);
    OK(deadline_pull(&heap, 50) == &c);
    deadline_heap_fini(&heap);
}

/* Against a plain array, 100,000 random steps. */
static void test_against_a_model(void)
{
    struct deadline_heap heap;
    static struct deadline d[MANY];
    struct prng p;
    prng_init(&p, 7);
    memset(d, 0, sizeof d);
    EQ(deadline_heap_init(&heap, MANY), 0);
    for (int step = 0; step < 100000; step++) {
        struct deadline *one = &d[prng_below(&p, MANY)];
        if (prng_below(&p, 3)) {
            deadline_arm(&heap, one, 1 + prng_below(&p, 10000));
        } else {
            deadline_disarm(&heap, one);
            EQ(one->place, 0);
        }
        if (step % 100) {
            continue;
        }
        uint64_t first = 0;
        size_t armed = 0;
        for (int i = 0; i < MANY; i++) {
            armed += d[i].place != 0;
            first = d[i].place && (first == 0 || d[i].at_ms < first) ? d[i].at_ms : first;
        }
        EQ(deadline_next_ms(&heap), first);
        EQ(heap.count, armed);
    }
    deadline_heap_fini(&heap);
}

int main(void)
{
    TAP_RUN(test_in_order);
    TAP_RUN(test_not_before_its_time);
    TAP_RUN(test_moves_both_ways);
    TAP_RUN(test_against_a_model);
    return tap_done();
}
