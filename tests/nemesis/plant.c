/* SPDX-License-Identifier: MIT */
/* Eleven ways in which a shard could lose, double or undo what it acknowledged, each made in memory
 * out of a good story by changing one or two records, as a bad shard would have left them.
 * Owns: nothing; the caller keeps copies of its arrays and puts them back.
 * `lines` has room for one more line than lines_count.
 * Fails: false when the story has nothing of the kind that is needed (no cancelled reservation...).
 * The place is looked for from the middle of the history on, so that the planted loss is not at an
 * end, where a checker could see it by accident. */
#include "nemesis/plant.h"

#include <string.h>

/* Was it asked once only?  Else another line may be the one that counts. */
static bool plant_is_alone(const struct judge_case *c, const struct story_line *l)
{
    for (size_t i = 0; i < c->lines_count; i++) {
        const struct story_line *other = &c->lines[i];
        if (other != l && memcmp(other->request, l->request, sizeof l->request) == 0) {
            return false;
        }
    }
    return true;
}

/* The first line from the middle on that was done with `op` and left its slot in `state` for good;
 * state 0: any. */
static struct story_line *plant_find(struct judge_case *c, struct story_line *lines, uint8_t op,
                                     uint32_t state)
{
    for (size_t i = 0; i < c->lines_count; i++) {
        struct story_line *l = &lines[(i + c->lines_count / 2) % c->lines_count];
        if (l->op == op && l->outcome == STORY_OK && l->slot < c->head->slots_count &&
            (state == 0 ||
             (c->slots[l->slot].state == state && c->slots[l->slot].version == l->version)) &&
            plant_is_alone(c, l)) {
            return l;
        }
    }
    return NULL;
}

static struct story_thing *plant_thing(struct judge_case *c, struct story_thing *things,
                                       const struct story_line *l)
{
    for (size_t i = 0; l && i < c->head->things_count; i++) {
        if (things[i].thing == l->thing) {
            return &things[i];
        }
    }
    return NULL;
}

/* One more call at the end of the history. */
static struct story_line *plant_more(struct judge_case *c, struct story_line *lines,
                                     const struct story_line *like)
{
    struct story_line *l = &lines[c->lines_count++];
    *l = *like;
    l->request[0] ^= UINT64_C(0x9e3779b97f4a7c15);
    l->thing ^= UINT64_C(0xbf58476d1ce4e5b9);
    l->answer ^= 1;
    return l;
}

static bool plant_lost_hold(struct judge_case *c, struct story_line *lines,
                            struct story_slot *slots, struct story_thing *things)
{
    struct story_line *l = plant_find(c, lines, STORY_HOLD, STORY_HELD);
    struct story_thing *t = plant_thing(c, things, l);
    if (t == NULL) {
        return false;
    }
    slots[l->slot].state = STORY_FREE;
    slots[l->slot].version = c->head->first_version;
    t->slot = UINT32_MAX; /* its holder does not find it */
    t->thing = 0;
    return true;
}

static bool plant_two_holders(struct judge_case *c, struct story_line *lines,
                              struct story_slot *slots, struct story_thing *things)
{
    (void)slots;
    (void)things;
    struct story_line *l = plant_find(c, lines, STORY_HOLD, 0);
    if (l == NULL) {
        return false;
    }
    uint32_t other = l->identity;
    for (size_t i = 0; i < c->lines_count && other == l->identity; i++) {
        other = lines[i].identity;
    }
    plant_more(c, lines, l)->identity = other;
    return other != l->identity;
}

static bool plant_lost_confirm(struct judge_case *c, struct story_line *lines,
                               struct story_slot *slots, struct story_thing *things)
{
    struct story_line *l = plant_find(c, lines, STORY_CONFIRM, STORY_TAKEN);
    struct story_thing *t = plant_thing(c, things, l);
    if (t == NULL) {
        return false;
    }
    slots[l->slot].state = STORY_HELD;
    slots[l->slot].version = l->version - 1;
    t->state = STORY_HELD;
    return true;
}

static bool plant_lost_cancel(struct judge_case *c, struct story_line *lines,
                              struct story_slot *slots, struct story_thing *things)
{
    (void)things;
    struct story_line *l = plant_find(c, lines, STORY_CANCEL, STORY_RETURNED);
    if (l == NULL) {
        return false;
    }
    slots[l->slot].state = STORY_TAKEN;
    slots[l->slot].version = l->version - 1;
    return true;
}

/* The slot is as it should be, but its holder's list has lost the reservation. */
static bool plant_lost_from_list(struct judge_case *c, struct story_line *lines,
                                 struct story_slot *slots, struct story_thing *things)
{
    (void)slots;
    struct story_thing *t =
        plant_thing(c, things, plant_find(c, lines, STORY_CONFIRM, STORY_TAKEN));
    if (t == NULL) {
        return false;
    }
    t->slot = UINT32_MAX;
    t->thing = 0;
    return true;
}

static bool plant_stolen(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                         struct story_thing *things)
{
    (void)slots;
    struct story_thing *t =
        plant_thing(c, things, plant_find(c, lines, STORY_CONFIRM, STORY_TAKEN));
    if (t == NULL) {
        return false;
    }
    t->identity++;
    return true;
}

static bool plant_ended_lives(struct judge_case *c, struct story_line *lines,
                              struct story_slot *slots, struct story_thing *things)
{
    (void)slots;
    (void)things;
    struct story_line *l = plant_find(c, lines, STORY_DROP, 0);
    if (l == NULL) {
        return false;
    }
    uint64_t thing = l->thing;
    l = plant_more(c, lines, l);
    l->thing = thing;
    l->op = STORY_CONFIRM;
    l->version++;
    return true;
}

static bool plant_done_twice(struct judge_case *c, struct story_line *lines,
                             struct story_slot *slots, struct story_thing *things)
{
    (void)slots;
    (void)things;
    struct story_line *l = plant_find(c, lines, STORY_CONFIRM, 0);
    if (l == NULL) {
        return false;
    }
    struct story_line *more = plant_more(c, lines, l);
    memcpy(more->request, l->request, sizeof more->request);
    return true;
}

static bool plant_stale_read(struct judge_case *c, struct story_line *lines,
                             struct story_slot *slots, struct story_thing *things)
{
    (void)slots;
    (void)things;
    struct story_line *l = plant_find(c, lines, STORY_CONFIRM, 0);
    if (l == NULL) {
        return false;
    }
    struct story_line *more = &lines[c->lines_count++];
    *more = *l;
    more->op = STORY_READ;
    more->invoke_us = l->return_us + 1;
    more->return_us = l->return_us + 2;
    more->version--;
    return true;
}

/* A follower that took over had lost the last entries: their places in the log came again. */
static bool plant_log_rewound(struct judge_case *c, struct story_line *lines,
                              struct story_slot *slots, struct story_thing *things)
{
    (void)slots;
    (void)things;
    struct story_line *early = plant_find(c, lines, STORY_HOLD, 0), *late = NULL;
    for (size_t i = 0; early && i < c->lines_count && late == NULL; i++) {
        if (lines[i].op == STORY_HOLD && lines[i].outcome == STORY_OK &&
            lines[i].invoke_us > early->return_us + 1000 && plant_is_alone(c, &lines[i])) {
            late = &lines[i];
        }
    }
    if (late == NULL || late->log_index <= early->log_index) {
        return false;
    }
    uint64_t index = early->log_index;
    early->log_index = late->log_index;
    late->log_index = index;
    return true;
}

static bool plant_too_many(struct judge_case *c, struct story_line *lines,
                           struct story_slot *slots, struct story_thing *things)
{
    (void)slots;
    (void)things;
    struct story_line *taken = plant_find(c, lines, STORY_HOLD, STORY_HELD);
    uint32_t given = 0;
    for (size_t i = 0; taken && i < c->lines_count && given <= c->head->max_live; i++) {
        struct story_line *l = &lines[i];
        uint32_t state = c->slots[l->slot].state;
        if (l->op == STORY_HOLD && l->outcome == STORY_OK &&
            (state == STORY_HELD || state == STORY_TAKEN) && plant_is_alone(c, l)) {
            l->identity = taken->identity;
            given++;
        }
    }
    return given > c->head->max_live;
}

const struct plant plants[PLANT_COUNT] = {
    {"an acknowledged hold is lost", JUDGE_LOST, plant_lost_hold},
    {"a slot came to two holders", JUDGE_HOLDERS, plant_two_holders},
    {"an acknowledged confirm vanished", JUDGE_LOST, plant_lost_confirm},
    {"an acknowledged cancel vanished", JUDGE_LOST, plant_lost_cancel},
    {"a reservation left its holder's list", JUDGE_LOST, plant_lost_from_list},
    {"a reservation changed its holder", JUDGE_HOLDERS, plant_stolen},
    {"a dropped hold was confirmed", JUDGE_ENDED, plant_ended_lives},
    {"one request was done twice", JUDGE_ONCE, plant_done_twice},
    {"a read was stale", JUDGE_STALE, plant_stale_read},
    {"the log went back", JUDGE_TIME, plant_log_rewound},
    {"somebody has one too many", JUDGE_ENTITLEMENT, plant_too_many},
};
