/* SPDX-License-Identifier: MIT */
/* Deadlines: which call, connection or step of the house is due next.  Pure, no allocation after
 * init.  Owns: the array of pointers.  Does not own: the deadlines, which sit in their owners.
 *
 *   slots[1] <= slots[2], slots[3] <= slots[4] ... slots[7] ...        place = index of a deadline
 *
 * Happy path: most calls carry the same timeout, so a new one is the latest and costs one
 * comparison; most are disarmed before they are due.
 * Invariant: slots[d->place] == d for every armed d; a parent is never due after its child.
 * Fails never: the heap has room for every call and connection there can be.
 * Not a timer wheel: a tick costs CPU while idle; the heap does not show in a profile. */
#include "gateway/deadline.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"

int deadline_heap_init(struct deadline_heap *heap, size_t max)
{
    CHECK(max > 0);
    CHECK(max < UINT32_MAX);
    struct deadline **slots = calloc(max + 1, sizeof *slots);
    if (slots == NULL) {
        return err_origin(-ENOMEM);
    }
    *heap = (struct deadline_heap){.slots = slots, .max = max};
    return 0;
}

void deadline_heap_fini(struct deadline_heap *heap)
{
    free(heap->slots);
    *heap = (struct deadline_heap){0};
}

static void deadline_place(struct deadline_heap *heap, struct deadline *d, size_t place)
{
    heap->slots[place] = d;
    d->place = (uint32_t)place;
}

/* Moves d from its place towards the top while its parent is due later. */
static void deadline_rise(struct deadline_heap *heap, struct deadline *d)
{
    size_t place = d->place;
    while (place > 1 && heap->slots[place / 2]->at_ms > d->at_ms) {
        deadline_place(heap, heap->slots[place / 2], place);
        place /= 2;
    }
    deadline_place(heap, d, place);
}

/* Moves d from its place towards the bottom while a child is due earlier. */
static void deadline_sink(struct deadline_heap *heap, struct deadline *d)
{
    size_t place = d->place;
    for (;;) {
        size_t child = 2 * place;
        if (child > heap->count) {
            break;
        }
        if (child < heap->count && heap->slots[child + 1]->at_ms < heap->slots[child]->at_ms) {
            child++;
        }
        if (heap->slots[child]->at_ms >= d->at_ms) {
            break;
        }
        deadline_place(heap, heap->slots[child], place);
        place = child;
    }
    deadline_place(heap, d, place);
}

void deadline_arm(struct deadline_heap *heap, struct deadline *d, uint64_t at_ms)
{
    if (d->place == 0) {
        CHECK(heap->count < heap->max);
        heap->count++;
        deadline_place(heap, d, heap->count);
    }
    CHECK(heap->slots[d->place] == d);
    d->at_ms = at_ms;
    deadline_rise(heap, d);
    deadline_sink(heap, d);
}

void deadline_disarm(struct deadline_heap *heap, struct deadline *d)
{
    if (d->place == 0) {
        return;
    }
    CHECK(d->place <= heap->count);
    CHECK(heap->slots[d->place] == d);
    size_t hole = d->place;
    struct deadline *last = heap->slots[heap->count];
    heap->slots[heap->count] = NULL;
    heap->count--;
    d->place = 0;
    if (last != d) {
        deadline_place(heap, last, hole);
        deadline_rise(heap, last);
        deadline_sink(heap, last);
    }
}

struct deadline *deadline_pull(struct deadline_heap *heap, uint64_t now_ms)
{
    if (heap->count == 0 || heap->slots[1]->at_ms > now_ms) {
        return NULL;
    }
    struct deadline *d = heap->slots[1];
    deadline_disarm(heap, d);
    return d;
}

uint64_t deadline_next_ms(const struct deadline_heap *heap)
{
    return heap->count ? heap->slots[1]->at_ms : 0;
}
