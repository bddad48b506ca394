/* SPDX-License-Identifier: MIT */
/* A step of the world, its begin and its end: what sim.c and city.c have in common.
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

/* Nothing is known of any other seed. */
static void world_begin(uint64_t seed)
{
    memset(&w.nodes, 0, sizeof w.nodes);
    w.seed = seed;
    prng_init(&w.prng, seed);
    w.now_ms = 1000;
    w.steps = w.order = w.number = 0;
    w.heap_count = w.truths_count = 0;
    w.trace = seed;
    w.is_healed = w.had_members = false;
    w.violation = NULL;
    memset(w.link_ms, 0, sizeof w.link_ms);
    memset(w.is_cut, 0, sizeof w.is_cut);
    memset(w.leaders, 0, sizeof w.leaders);
    memset(w.votes, 0, sizeof w.votes);
    memset(w.table, 0, w.table_used * sizeof w.table[0]);
    w.table_used = 0;
    for (size_t i = 0; i < NODES_MAX; i++) {
        w.nodes[i].id = i + 1;
    }
}

static void world_end(void)
{
    for (size_t i = 0; i < w.nodes_count; i++) {
        replica_free(w.nodes[i].replica);
        free(w.nodes[i].live.recs);
        free(w.nodes[i].disk.recs);
    }
    while (w.heap_count > 0) {
        free(w.heap[--w.heap_count].bytes);
    }
    while (w.pool_count > 0) {
        free(w.pool[--w.pool_count]);
    }
}

#endif
