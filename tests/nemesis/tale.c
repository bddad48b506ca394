/* SPDX-License-Identifier: MIT */
/* A faultless shard of its own, as plain arrays, and people who ask it one after the other: for the
 * test of the checker, with every kind of call, lost answers and requests that nobody ever settled.
 * Owns: nothing after it returns.  Ends the process when memory ends.
 * Deterministic: a seed gives the same story everywhere. */
#include "nemesis/tale.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/prng.h"

#define TALE_PEOPLE    400
#define TALE_MAX_LIVE  4
#define TALE_UNTOUCHED 5 /* slots that nobody asked for */

/* What a person has. */
struct tale_own {
    uint32_t slots[TALE_MAX_LIVE];
    size_t count;
};

struct tale {
    struct prng prng;
    struct story_line *lines;
    size_t count, room;
    struct story_slot *slots;
    uint64_t *things; /* of each slot */
    uint32_t *owners;
    struct tale_own people[TALE_PEOPLE];
    uint32_t next; /* slot that nobody touched */
    int64_t now_us;
    uint64_t log_index;
};

/* The change happens, and its answer comes; sometimes only to a second attempt. */
static void tale_tell(struct tale *t, uint32_t identity, uint8_t op, uint32_t slot, uint8_t state)
{
    struct story_slot *s = &t->slots[slot];
    s->state = state;
    s->version++;
    t->log_index += prng_below(&t->prng, 4) == 0; /* several share one entry */
    t->now_us += 20;
    struct story_line l = {
        .invoke_us = t->now_us - 1000, .return_us = t->now_us, .log_index = t->log_index,
        .request = {prng_next(&t->prng), prng_next(&t->prng)}, .thing = t->things[slot],
        .answer = prng_next(&t->prng), .identity = identity, .slot = slot, .version = s->version,
        .op = op, .outcome = STORY_OK, .state = state,
    };
    t->lines[t->count++] = l;
    if (prng_below(&t->prng, 10) == 0) {
        l.outcome = STORY_UNKNOWN;
        l.return_us -= 500;
        l.log_index = l.answer = l.version = 0;
        t->lines[t->count++] = l;
    }
    if (prng_below(&t->prng, 10) == 0) {
        l = (struct story_line){.invoke_us = t->now_us + 1, .return_us = t->now_us + 2,
                                .thing = t->things[slot], .identity = identity, .slot = slot,
                                .version = s->version, .op = STORY_READ, .outcome = STORY_OK,
                                .state = state};
        t->lines[t->count++] = l;
    }
}

/* Asked for something, and never heard of it again: it happened, or not. */
static void tale_unsettled(struct tale *t, uint32_t identity)
{
    uint32_t slot = t->next++;
    if (prng_below(&t->prng, 2) == 0) {
        t->slots[slot].state = STORY_HELD;
        t->slots[slot].version++;
    }
    t->lines[t->count++] = (struct story_line){
        .invoke_us = t->now_us, .return_us = t->now_us + 9, .identity = identity, .slot = slot,
        .request = {prng_next(&t->prng), prng_next(&t->prng)}, .op = STORY_HOLD};
}

/* Wanted what another one has, and was told so. */
static void tale_refused(struct tale *t, uint32_t identity)
{
    uint32_t slot = (uint32_t)prng_below(&t->prng, t->next);
    if (t->things[slot]) {
        t->now_us += 20;
        t->lines[t->count++] = (struct story_line){
            .invoke_us = t->now_us - 9, .return_us = t->now_us, .identity = identity, .slot = slot,
            .request = {prng_next(&t->prng), prng_next(&t->prng)}, .op = STORY_HOLD,
            .outcome = STORY_REFUSED, .reason = STORY_SLOT_TAKEN};
    }
}

static void tale_step(struct tale *t)
{
    uint32_t identity = (uint32_t)prng_below(&t->prng, TALE_PEOPLE);
    struct tale_own *own = &t->people[identity];
    size_t at = own->count ? prng_below(&t->prng, own->count) : 0;
    if (prng_below(&t->prng, 1000) == 0) {
        tale_unsettled(t, identity);
    } else if (t->next > 0 && prng_below(&t->prng, 20) == 0) {
        tale_refused(t, identity);
    } else if (own->count < TALE_MAX_LIVE && prng_below(&t->prng, 3) > 0) {
        uint32_t slot = t->next++;
        t->things[slot] = prng_next(&t->prng) | 1;
        t->owners[slot] = identity;
        own->slots[own->count++] = slot;
        tale_tell(t, identity, STORY_HOLD, slot, STORY_HELD);
    } else if (own->count && t->slots[own->slots[at]].state == STORY_HELD &&
               prng_below(&t->prng, 4) > 0) {
        tale_tell(t, identity, STORY_CONFIRM, own->slots[at], STORY_TAKEN);
    } else if (own->count) {
        uint32_t slot = own->slots[at];
        bool is_held = t->slots[slot].state == STORY_HELD;
        own->slots[at] = own->slots[--own->count];
        tale_tell(t, identity, is_held ? STORY_DROP : STORY_CANCEL, slot, STORY_RETURNED);
    }
}

struct judge_case tale_make(uint64_t seed, uint64_t lines)
{
    static struct tale t;
    t = (struct tale){.room = lines + 8, .now_us = 5000, .log_index = 10};
    prng_init(&t.prng, seed);
    struct story_head *head = calloc(1, sizeof *head);
    t.lines = calloc(t.room, sizeof *t.lines);
    t.slots = calloc(lines + TALE_UNTOUCHED, sizeof *t.slots);
    t.things = calloc(lines, sizeof *t.things);
    t.owners = calloc(lines, sizeof *t.owners);
    struct story_thing *things = calloc(lines, sizeof *things);
    CHECK(head && t.lines && t.slots && t.things && t.owners && things);
    for (uint32_t i = 0; i < lines + TALE_UNTOUCHED; i++) {
        t.slots[i] = (struct story_slot){.slot = i, .version = 1, .state = STORY_FREE};
    }
    while (t.count + 4 < lines) {
        tale_step(&t);
    }
    *head = (struct story_head){.magic = STORY_MAGIC, .slots_count = t.next + TALE_UNTOUCHED,
                                .max_live = TALE_MAX_LIVE, .first_version = 1,
                                .log_end = t.log_index + 1};
    for (uint32_t i = 0; i < t.next; i++) {
        if (t.things[i] && (t.slots[i].state != STORY_RETURNED || i % 2)) {
            things[head->things_count++] = (struct story_thing){
                .thing = t.things[i], .identity = t.owners[i], .slot = i,
                .state = t.slots[i].state};
        }
    }
    free(t.things);
    free(t.owners);
    return (struct judge_case){.lines = t.lines, .lines_count = t.count, .head = head,
                               .slots = t.slots, .things = things};
}
