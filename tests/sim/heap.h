/* SPDX-License-Identifier: MIT */
/* Messages under way, the earliest first; of two at one instant the one that was sent first. */
#ifndef FAIRSLOT_TESTS_SIM_HEAP_H
#define FAIRSLOT_TESTS_SIM_HEAP_H

#include "tests/sim/world.h"

static void heap_swap(size_t a, size_t b)
{
    struct message m = w.heap[a];
    w.heap[a] = w.heap[b];
    w.heap[b] = m;
}

static bool heap_before(size_t a, size_t b)
{
    const struct message *x = &w.heap[a], *y = &w.heap[b];
    return x->at_ms < y->at_ms || (x->at_ms == y->at_ms && x->order < y->order);
}

static void heap_push(struct message m)
{
    if (w.heap_count == w.heap_cap) {
        w.heap_cap = w.heap_cap ? w.heap_cap * 2 : 256;
        w.heap = realloc(w.heap, w.heap_cap * sizeof *w.heap);
    }
    size_t i = w.heap_count++;
    w.heap[i] = m;
    for (; i > 0 && heap_before(i, (i - 1) / 2); i = (i - 1) / 2) {
        heap_swap(i, (i - 1) / 2);
    }
}

static struct message heap_pull(void)
{
    struct message m = w.heap[0];
    w.heap[0] = w.heap[--w.heap_count];
    for (size_t i = 0;;) {
        size_t least = i;
        for (size_t c = 2 * i + 1; c <= 2 * i + 2 && c < w.heap_count; c++) {
            least = heap_before(c, least) ? c : least;
        }
        if (least == i) {
            return m;
        }
        heap_swap(i, least);
        i = least;
    }
}

#endif
