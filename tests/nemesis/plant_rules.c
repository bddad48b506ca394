/* SPDX-License-Identifier: MIT */
/* Plants that only one rule of the checker can see: each takes a good story and breaks it in one
 * place, so that everything else still fits together.
 * Owns: nothing.  Fails: false when the story has nothing of the kind that is needed.
 * Found by taking the rules of judge.c away, one by one: those that no plant missed came here. */
#include "nemesis/plant_inside.h"

/* The same refused request once more, with another reason. */
bool plant_refused_twice(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                         struct story_thing *things)
{
    (void)slots;
    (void)things;
    for (size_t i = 0; i < c->lines_count; i++) {
        if (lines[i].op == STORY_HOLD && lines[i].outcome == STORY_REFUSED) {
            struct story_line *more = &lines[c->lines_count++];
            *more = lines[i];
            more->reason = lines[i].reason == STORY_POOL_UNKNOWN ? STORY_SLOT_UNKNOWN
                                                                 : STORY_POOL_UNKNOWN;
            return true;
        }
    }
    return false;
}

/* Its new owner finds the reservation, too: only the hold before it shows whose it was. */
bool plant_others_confirm(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                          struct story_thing *things)
{
    (void)slots;
    struct story_line *l = plant_find(c, lines, STORY_CONFIRM, STORY_TAKEN);
    struct story_thing *t = plant_thing(c, things, l);
    if (t == NULL) {
        return false;
    }
    t->identity = ++l->identity;
    return true;
}

/* Two changes where one was asked for; the end fits the second. */
bool plant_silent_change(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                         struct story_thing *things)
{
    (void)things;
    struct story_line *l = plant_find(c, lines, STORY_CONFIRM, STORY_TAKEN);
    if (l == NULL) {
        return false;
    }
    slots[l->slot].version = ++l->version;
    return true;
}

/* The confirm was on its way when the hold was, so that real time allows any order of the two. */
bool plant_order_in_slot(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                         struct story_thing *things)
{
    (void)slots;
    (void)things;
    struct story_line *l = plant_find(c, lines, STORY_CONFIRM, STORY_TAKEN), *hold = NULL;
    for (size_t i = 0; l && i < c->lines_count && hold == NULL; i++) {
        if (lines[i].op == STORY_HOLD && lines[i].outcome == STORY_OK &&
            lines[i].thing == l->thing && lines[i].log_index > 1) {
            hold = &lines[i];
        }
    }
    if (hold == NULL) {
        return false;
    }
    l->invoke_us = hold->invoke_us;
    l->log_index = hold->log_index - 1;
    return true;
}

bool plant_free_again(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                      struct story_thing *things)
{
    (void)things;
    struct story_line *l = plant_find(c, lines, STORY_HOLD, STORY_HELD);
    if (l == NULL) {
        return false;
    }
    slots[l->slot].state = STORY_FREE;
    return true;
}

/* The first that was cancelled and still stands on its holder's list. */
static struct story_thing *plant_cancelled(struct judge_case *c, struct story_line *lines,
                                           struct story_thing *things)
{
    struct story_thing *t = NULL;
    for (size_t i = 0; i < c->lines_count && t == NULL; i++) {
        if (lines[i].op == STORY_CANCEL && lines[i].outcome == STORY_OK) {
            t = plant_thing(c, things, &lines[i]);
        }
    }
    return t;
}

bool plant_cancelled_lives(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                           struct story_thing *things)
{
    (void)slots;
    struct story_thing *t = plant_cancelled(c, lines, things);
    if (t == NULL) {
        return false;
    }
    t->state = STORY_TAKEN;
    return true;
}

bool plant_hold_on_list(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                        struct story_thing *things)
{
    (void)slots;
    struct story_thing *t =
        plant_thing(c, things, plant_find(c, lines, STORY_CONFIRM, STORY_TAKEN));
    if (t == NULL) {
        return false;
    }
    t->state = STORY_HELD;
    return true;
}

/* One that has ended may leave the list: another one, of nobody, stands in its place. */
bool plant_stranger(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                    struct story_thing *things)
{
    (void)slots;
    struct story_thing *t = plant_cancelled(c, lines, things);
    if (t == NULL) {
        return false;
    }
    t->thing ^= UINT64_C(0xbf58476d1ce4e5b9);
    return true;
}

bool plant_early_read(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                      struct story_thing *things)
{
    (void)slots;
    (void)things;
    struct story_line *l = plant_find(c, lines, STORY_CONFIRM, 0);
    if (l == NULL) {
        return false;
    }
    struct story_line *read = &lines[c->lines_count++];
    *read = *l;
    read->op = STORY_READ;
    read->invoke_us = l->invoke_us - 5;
    read->return_us = l->invoke_us - 2;
    return true;
}

bool plant_not_found(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                     struct story_thing *things)
{
    (void)slots;
    (void)things;
    struct story_line *l = plant_find(c, lines, STORY_HOLD, STORY_HELD);
    if (l == NULL) {
        return false;
    }
    struct story_line *read = &lines[c->lines_count++];
    *read = *l;
    read->op = STORY_READ;
    read->outcome = STORY_REFUSED;
    read->reason = STORY_HOLD_UNKNOWN;
    read->invoke_us = l->return_us + 1;
    read->return_us = l->return_us + 2;
    return true;
}
