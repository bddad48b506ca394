/* SPDX-License-Identifier: MIT */
/* What answers mean to a person, and what is written down about them.
 * Owns: nothing.  An answer that cannot be read is written down as unknown, and asked again.
 * A refusal counts as the shard's decision only when its reason is one of the table; every other
 * end of a call says nothing about what happened, and the same request is sent again. */
#include <string.h>

#include "base/clock.h"
#include "ctl/refusal.h"
#include "nemesis/people.h"

#define HEAR_RETRY_US 20000 /* before a request is sent again; up to four times that */

static const char *const hear_verdicts[STORY_REASON_COUNT] = {
    [STORY_NO_REASON] = "",
    [STORY_SLOT_TAKEN] = "SLOT_TAKEN",
    [STORY_IDENTITY_QUOTA] = "IDENTITY_QUOTA",
    [STORY_HOLD_EXPIRED] = "HOLD_EXPIRED",
    [STORY_HOLD_ENDED] = "HOLD_ENDED",
    [STORY_HOLD_UNKNOWN] = "HOLD_UNKNOWN",
    [STORY_RESERVATION_ENDED] = "RESERVATION_ENDED",
    [STORY_RESERVATION_UNKNOWN] = "RESERVATION_UNKNOWN",
    [STORY_SLOT_PAST] = "SLOT_PAST",
    [STORY_REQUEST_ID_REUSED] = "REQUEST_ID_REUSED",
    [STORY_ETAG_MISMATCH] = "ETAG_MISMATCH",
    [STORY_POOL_UNKNOWN] = "POOL_UNKNOWN",
    [STORY_SLOT_UNKNOWN] = "SLOT_UNKNOWN",
    [STORY_NOT_YOURS] = "NOT_YOUR_RESERVATION",
};

/* FNV-1a of an id without its first letter: a hold and its reservation differ in nothing else. */
uint64_t people_thing(const char *id)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (const char *at = id[0] ? id + 1 : id; *at; at++) {
        h = (h ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    }
    return h | 1;
}

static uint64_t hear_hash(struct span bytes)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < bytes.len; i++) {
        h = (h ^ bytes.ptr[i]) * UINT64_C(0x100000001b3);
    }
    return h;
}

static void hear_keep(struct person *p, const char *name, uint64_t log_index, size_t n_slots,
                      Fairslot__V1__Slot **slots)
{
    const char *id = strrchr(name, '/');
    if (id == NULL || n_slots == 0) {
        return;
    }
    snprintf(p->said_id, sizeof p->said_id, "%s", id + 1);
    p->said.thing = people_thing(p->said_id);
    p->said.log_index = log_index;
    p->said.version = (uint32_t)slots[0]->version;
    p->said.state = (uint8_t)slots[0]->state;
    p->said.outcome = STORY_OK;
}

void people_hear(struct person *p, struct span message)
{
    const struct people_ask *ask = p->is_again ? &p->last : &p->now;
    bool is_hold = ask->op == STORY_HOLD || ask->op == STORY_DROP ||
                   (ask->op == STORY_READ && strstr(ask->path, "GetHold"));
    if (is_hold) {
        Fairslot__V1__Hold *m = fairslot__v1__hold__unpack(NULL, message.len, message.ptr);
        if (m) {
            hear_keep(p, m->name, m->log_index, m->n_slots, m->slots);
            fairslot__v1__hold__free_unpacked(m, NULL);
        }
    } else {
        Fairslot__V1__Reservation *m =
            fairslot__v1__reservation__unpack(NULL, message.len, message.ptr);
        if (m) {
            hear_keep(p, m->name, m->log_index, m->n_slots, m->slots);
            fairslot__v1__reservation__free_unpacked(m, NULL);
        }
    }
    p->said.answer = hear_hash(message);
}

/* What this person has now that the request was done. */
static void hear_move(struct person *p, const struct people_ask *ask)
{
    if (ask->op == STORY_HOLD && p->own_count < PEOPLE_OWN_MAX) {
        struct people_own *own = &p->own[p->own_count++];
        *own = (struct people_own){.thing = p->said.thing, .slot = ask->slot};
        memcpy(own->id, p->said_id, sizeof own->id);
        return;
    }
    for (size_t i = 0; i < p->own_count; i++) {
        struct people_own *own = &p->own[i];
        if (own->thing != ask->thing) {
            continue;
        }
        if (ask->op == STORY_CONFIRM && p->said.outcome == STORY_OK) {
            own->is_reservation = true;
            memcpy(own->id, p->said_id, sizeof own->id);
        } else {
            *own = p->own[--p->own_count];
        }
        return;
    }
}

static uint16_t hear_reason(int status, struct span text, struct span details)
{
    struct refusal r;
    refusal_read(&r, status, text, details);
    for (uint16_t i = 1; i < STORY_REASON_COUNT; i++) {
        if (strcmp(r.reason, hear_verdicts[i]) == 0) {
            return i;
        }
    }
    return 0;
}

void people_settle(struct people *g, struct person *p, int status, struct span text,
                   struct span details)
{
    struct people_ask *ask = p->is_again ? &p->last : &p->now;
    struct story_line *l = &p->said;
    int64_t now = clock_mono_us();
    if (status != 0) {
        l->reason = hear_reason(status, text, details);
        l->outcome = l->reason ? STORY_REFUSED : STORY_UNKNOWN;
    }
    if (l->outcome != STORY_OK) {
        l->thing = ask->thing;
    }
    l->invoke_us = p->invoke_us;
    l->return_us = now;
    memcpy(l->request, ask->request, sizeof l->request);
    l->identity = p->number;
    l->slot = ask->slot;
    l->op = ask->op;
    fwrite(l, sizeof *l, 1, g->history);
    bool is_new = !p->is_again && l->outcome == STORY_OK && ask->op != STORY_READ;
    if (is_new) {
        g->acknowledged++;
        g->gap_us = now - g->answered_us > g->gap_us ? now - g->answered_us : g->gap_us;
        g->answered_us = now;
    }
    g->unknown += l->outcome == STORY_UNKNOWN;
    p->retry_us = 0;
    if (l->outcome == STORY_UNKNOWN) {
        p->retry_us = now + HEAR_RETRY_US + (int64_t)prng_below(&g->prng, 3 * HEAR_RETRY_US);
    }
    if (p->is_again) {
        p->is_again = false; /* once: its answer is known */
    } else if (l->outcome != STORY_UNKNOWN) {
        if (ask->op != STORY_READ) {
            if (is_new || ask->op != STORY_HOLD) {
                hear_move(p, ask);
            }
            p->last = p->now;
        }
        p->now.op = STORY_NONE;
    } else if (ask->op == STORY_READ) {
        p->now.op = STORY_NONE;
    }
}
