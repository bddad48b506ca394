/* SPDX-License-Identifier: MIT */
/* Thirty-one ways in which a shard could lose, double or undo what it acknowledged, each made in
 * memory out of a good story by changing one or two records, as a bad shard would have left them.
 * Owns: nothing; the caller keeps copies of its arrays and puts them back.
 * `lines` has room for PLANT_LINES more than lines_count.
 * Fails: false when the story has nothing of the kind that is needed (no cancelled reservation...).
 * The place is looked for from the middle of the history on, so that the planted loss is not at an
 * end, where a checker could see it by accident.
 * Every rule of judge.c is needed by one of them at least: without it that one is not caught. */
#include "nemesis/plant_inside.h"

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

struct story_line *plant_find(struct judge_case *c, struct story_line *lines, uint8_t op,
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

struct story_thing *plant_thing(struct judge_case *c, struct story_thing *things,
                                const struct story_line *l)
{
    for (size_t i = 0; l && i < c->head->things_count; i++) {
        if (things[i].thing == l->thing) {
            return &things[i];
        }
    }
    return NULL;
}

struct story_line *plant_more(struct judge_case *c, struct story_line *lines,
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

/* A hold that lives to the end: given back in the final state, and nobody asked for it. */
static bool plant_released(struct judge_case *c, struct story_line *lines,
                           struct story_slot *slots, struct story_thing *things)
{
    struct story_line *l = plant_find(c, lines, STORY_HOLD, STORY_HELD);
    struct story_thing *t = plant_thing(c, things, l);
    if (t == NULL) {
        return false;
    }
    slots[l->slot].state = t->state = STORY_RETURNED;
    slots[l->slot].version++;
    return true;
}

/* Somebody else holds the slot of a reservation, and it is theirs in the end. */
static bool plant_replaced(struct judge_case *c, struct story_line *lines,
                           struct story_slot *slots, struct story_thing *things)
{
    struct story_line *l = plant_find(c, lines, STORY_CONFIRM, STORY_TAKEN);
    struct story_thing *t = plant_thing(c, things, l);
    if (t == NULL) {
        return false;
    }
    struct story_line *more = plant_more(c, lines, l);
    more->op = STORY_HOLD;
    more->state = STORY_HELD;
    more->identity++;
    more->version++;
    more->log_index++;
    *t = (struct story_thing){.thing = more->thing, .identity = more->identity, .slot = l->slot,
                              .state = STORY_HELD};
    slots[l->slot].state = STORY_HELD;
    slots[l->slot].version++;
    return true;
}

/* A second holder for a while: held and dropped before the end, which shows nothing of it. */
static bool plant_two_for_a_while(struct judge_case *c, struct story_line *lines,
                                  struct story_slot *slots, struct story_thing *things)
{
    (void)slots;
    (void)things;
    struct story_line *l = plant_find(c, lines, STORY_DROP, STORY_RETURNED);
    if (l == NULL) {
        return false;
    }
    struct story_line *hold = plant_more(c, lines, l), *drop = plant_more(c, lines, l);
    drop->request[1] ^= UINT64_C(0x94d049bb133111eb);
    hold->identity = ++drop->identity;
    hold->op = STORY_HOLD;
    hold->state = STORY_HELD;
    hold->version--;
    return true;
}

/* Two reads while a confirm is under way: the first shows it, the second does not. */
static bool plant_reads_back(struct judge_case *c, struct story_line *lines,
                             struct story_slot *slots, struct story_thing *things)
{
    (void)slots;
    (void)things;
    struct story_line *l = plant_find(c, lines, STORY_CONFIRM, 0);
    if (l == NULL || l->return_us - l->invoke_us < 10) {
        return false;
    }
    for (uint32_t i = 0; i < 2; i++) {
        struct story_line *read = &lines[c->lines_count++];
        *read = *l;
        read->op = STORY_READ;
        read->request[0] = read->request[1] = 0;
        read->invoke_us = l->invoke_us + 2 + 3 * i;
        read->return_us = read->invoke_us + 1;
        read->version -= i;
        read->state = i ? STORY_HELD : STORY_TAKEN;
    }
    return true;
}

static bool plant_beyond_end(struct judge_case *c, struct story_line *lines,
                             struct story_slot *slots, struct story_thing *things)
{
    (void)slots;
    (void)things;
    struct story_line *l = plant_find(c, lines, STORY_CONFIRM, STORY_TAKEN);
    if (l == NULL) {
        return false;
    }
    l->log_index = c->head->log_end + 1;
    return true;
}

static bool plant_other_state(struct judge_case *c, struct story_line *lines,
                              struct story_slot *slots, struct story_thing *things)
{
    (void)slots;
    (void)things;
    struct story_line *l = plant_find(c, lines, STORY_CONFIRM, STORY_TAKEN);
    if (l == NULL) {
        return false;
    }
    l->state = STORY_HELD;
    return true;
}

/* Its holder is told that it has ended; it stands there to the end. */
static bool plant_denied(struct judge_case *c, struct story_line *lines,
                         struct story_slot *slots, struct story_thing *things)
{
    (void)slots;
    (void)things;
    struct story_line *l = plant_find(c, lines, STORY_HOLD, STORY_HELD);
    if (l == NULL) {
        return false;
    }
    uint64_t thing = l->thing;
    int64_t after_us = l->return_us + 1;
    l = plant_more(c, lines, l);
    *l = (struct story_line){.request = {l->request[0], l->request[1]}, .thing = thing,
                             .invoke_us = after_us, .return_us = after_us + 1, .slot = l->slot,
                             .identity = l->identity, .op = STORY_CONFIRM,
                             .outcome = STORY_REFUSED, .reason = STORY_HOLD_ENDED};
    return true;
}

/* Refused as taken, though nobody ever asked for the slot. */
static bool plant_taken_by_nobody(struct judge_case *c, struct story_line *lines,
                                  struct story_slot *slots, struct story_thing *things)
{
    (void)things;
    struct story_line *l = plant_find(c, lines, STORY_HOLD, 0);
    uint32_t slot = (uint32_t)c->head->slots_count;
    for (size_t i = 0; i < c->head->slots_count && slot == c->head->slots_count; i++) {
        bool is_untouched = slots[i].version == c->head->first_version;
        for (size_t at = 0; is_untouched && at < c->lines_count; at++) {
            is_untouched = lines[at].slot != i;
        }
        slot = is_untouched ? (uint32_t)i : slot;
    }
    if (l == NULL || slot == c->head->slots_count) {
        return false;
    }
    l = plant_more(c, lines, l);
    l->slot = slot;
    l->outcome = STORY_REFUSED;
    l->reason = STORY_SLOT_TAKEN;
    l->thing = l->log_index = l->version = l->state = 0;
    return true;
}

static bool plant_done_and_refused(struct judge_case *c, struct story_line *lines,
                                   struct story_slot *slots, struct story_thing *things)
{
    (void)slots;
    (void)things;
    struct story_line *l = plant_find(c, lines, STORY_CANCEL, 0);
    if (l == NULL) {
        return false;
    }
    struct story_line *more = &lines[c->lines_count++];
    *more = *l;
    more->outcome = STORY_REFUSED;
    more->reason = STORY_RESERVATION_UNKNOWN;
    return true;
}

/* What a person's retry got is what another person's request had been answered. */
static bool plant_others_answer(struct judge_case *c, struct story_line *lines,
                                struct story_slot *slots, struct story_thing *things)
{
    (void)slots;
    (void)things;
    struct story_line *l = plant_find(c, lines, STORY_HOLD, 0);
    if (l == NULL) {
        return false;
    }
    struct story_line *more = &lines[c->lines_count++];
    *more = *l;
    more->identity++;
    return true;
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
    {"a hold was given back by nobody", JUDGE_LOST, plant_released},
    {"a reservation was replaced by another", JUDGE_HOLDERS, plant_replaced},
    {"a slot had two holders for a while", JUDGE_HOLDERS, plant_two_for_a_while},
    {"somebody's reads went back in time", JUDGE_STALE, plant_reads_back},
    {"acknowledged beyond the log's end", JUDGE_LOST, plant_beyond_end},
    {"acknowledged with another state", JUDGE_LOST, plant_other_state},
    {"a living hold was called ended", JUDGE_ENDED, plant_denied},
    {"refused as taken, by nobody", JUDGE_STALE, plant_taken_by_nobody},
    {"one request was done and refused", JUDGE_ONCE, plant_done_and_refused},
    {"an answer went to another's request", JUDGE_ONCE, plant_others_answer},
    {"one request was refused in two ways", JUDGE_ONCE, plant_refused_twice},
    {"a hold was confirmed by another", JUDGE_HOLDERS, plant_others_confirm},
    {"a hold changed between its answers", JUDGE_LOST, plant_silent_change},
    {"a confirm stands before its hold", JUDGE_TIME, plant_order_in_slot},
    {"a held slot is free in the end", JUDGE_LOST, plant_free_again},
    {"a cancelled reservation lives", JUDGE_ENDED, plant_cancelled_lives},
    {"a reservation is a hold on its list", JUDGE_LOST, plant_hold_on_list},
    {"somebody has what nobody asked for", JUDGE_LOST, plant_stranger},
    {"a read came before its cause", JUDGE_STALE, plant_early_read},
    {"a living hold was not found", JUDGE_STALE, plant_not_found},
};

const size_t plant_losses[PLANT_LOSSES] = {0, 2, 3};
