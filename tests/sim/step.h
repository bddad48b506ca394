/* SPDX-License-Identifier: MIT */
/* A step of the world: what sim.c and city.c have in common.
 * Who is next is the earliest of the first message, a node's timer and what goes wrong; time jumps
 * there.  Of two at one instant the message comes first, then the timer. */
#ifndef FAIRSLOT_TESTS_SIM_STEP_H
#define FAIRSLOT_TESTS_SIM_STEP_H

#include "tests/sim/heap.h"
#include "tests/sim/nodes.h"

#define NEMESIS_MS 10

struct doing {
    int64_t (*timer_ms)(struct node *n); /* of one that is up: when it wants to be called */
    void (*timer)(struct node *n);
    void (*deliver)(void);               /* the first message */
    void (*nemesis)(void);
};

static void world_step(const struct doing *doing, int64_t *nemesis_ms)
{
    int64_t next_ms = *nemesis_ms;
    struct node *timer = NULL;
    for (size_t i = 0; i < w.nodes_count; i++) {
        struct node *n = &w.nodes[i];
        int64_t at_ms = n->is_up ? doing->timer_ms(n) : INT64_MAX;
        if (at_ms < next_ms) {
            next_ms = at_ms;
            timer = n;
        }
    }
    bool is_message = w.heap_count > 0 && w.heap[0].at_ms <= next_ms;
    next_ms = is_message ? w.heap[0].at_ms : next_ms;
    w.now_ms = next_ms > w.now_ms ? next_ms : w.now_ms;
    if (is_message) {
        doing->deliver();
    } else if (timer) {
        doing->timer(timer);
    } else {
        doing->nemesis();
        *nemesis_ms = w.now_ms + NEMESIS_MS;
    }
}

#endif
