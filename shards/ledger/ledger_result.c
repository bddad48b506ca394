/* SPDX-License-Identifier: MIT */
/* A release's result: what each ticket of the entry window got when it was served, by ticket id,
 * the same for everybody who asks.  A ticket id is a pseudonym that only its owner knows, so the
 * page tells a stranger no more than the bundle does.
 * By preference the first pass never changes once it is over; by turn, what is told stands at the
 * end.  RESULT_ROWS a page.  Owns nothing; fails by the book. */
#include <errno.h>

#include "ledger/ledger_release.h"

#define RESULT_ROWS 500

/* What the ticket got when it was first served; one that stood by and won later lost then. */
static uint8_t result_of(const struct ledger_release *r, const struct ledger_ticket *t)
{
    if (t->is_leaf_withdrawn) {
        return OUTCOME_WITHDRAWN;
    }
    if (r->serving == RELEASE_BY_PREFERENCE) {
        return (uint8_t)(t->first_us ? OUTCOME_WON + t->wish : OUTCOME_LOST);
    }
    return t->state == TICKET_TURN || t->state == TICKET_USED || t->state == TICKET_LAPSED
               ? OUTCOME_TURN
           : t->state == TICKET_WITHDRAWN ? OUTCOME_LEFT
                                          : OUTCOME_WAITING;
}

/* May it be told already? */
static bool result_stands(const struct ledger_release *r)
{
    bool is_served = r->phase == PHASE_STANDBY || r->phase == PHASE_CLOSING || r->cohort > 0;
    return r->serving == RELEASE_BY_PREFERENCE ? is_served || r->phase == PHASE_CLOSED
                                               : r->serving == RELEASE_BY_TURN &&
                                                     r->phase == PHASE_CLOSED;
}

static int result_fill(struct ledger_step *s, const struct ledger_release *r,
                       struct ledger_key *at, struct outcome_view *out)
{
    for (;;) {
        struct ledger_ticket t;
        int status = ledger_proof_next(s, r->space, at, &t);
        if (status) {
            return status == LEDGER_NONE ? 0 : err_trace(status);
        }
        if (out->count == RESULT_ROWS) {
            return err_trace(ledger_proof_token(s, out->ids[RESULT_ROWS - 1]));
        }
        if (t.cohort > 0) {
            continue;
        }
        memcpy(out->ids[out->count], t.id.bytes, sizeof t.id.bytes);
        out->outcomes[out->count] = result_of(r, &t);
        out->slots[out->count] = (struct slot_key){.start_us = t.first_us};
        status = ledger_keep(s->arena, t.first_slug, &out->slots[out->count].slug);
        if (status) {
            return err_trace(status);
        }
        out->count++;
    }
}

int ledger_result_get(struct ledger_step *s)
{
    struct ledger_release release;
    struct ledger_key at;
    int r = ledger_release_get(s); /* its view, which the answer begins with */
    if (r || s->v->reason != REASON_OK) {
        return err_trace(r);
    }
    r = ledger_release_find(s, &release);
    if (r) {
        return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
    }
    if (!result_stands(&release)) {
        s->v->result = RESULT_NONE;
        return ledger_refuse(s, REASON_RELEASE_STATE);
    }
    r = ledger_proof_from(s, release.space, &at);
    if (r) {
        return r < 0 ? err_trace(r) : ledger_refuse(s, REASON_PAGE_TOKEN_INVALID);
    }
    struct outcome_view *out = arena_alloc(s->arena, sizeof *out);
    if (out == NULL) {
        return err_origin(-ENOMEM);
    }
    out->count = 0;
    out->ids = arena_alloc(s->arena, RESULT_ROWS * sizeof *out->ids);
    out->outcomes = arena_alloc(s->arena, RESULT_ROWS);
    out->slots = arena_alloc(s->arena, RESULT_ROWS * sizeof *out->slots);
    if (out->ids == NULL || out->outcomes == NULL || out->slots == NULL) {
        return err_origin(-ENOMEM);
    }
    s->v->result = RESULT_OUTCOME;
    s->v->outcomes = out;
    return err_trace(result_fill(s, &release, &at, out));
}

/* -- the seed ---------------------------------------------------------------------------------- */

/* Nothing is decided here: the seed is revealed by the log, when root and parts stand, and at no
 * other time, else an operator could choose the moment.  So this tells it, or says that it is not
 * time; a seed handed in must be the one that was committed to. */
int ledger_release_reveal(struct ledger_step *s)
{
    struct ledger_release release;
    struct span seed = s->c->release->bytes;
    int r = ledger_release_find(s, &release);
    if (r) {
        return r == LEDGER_NONE ? ledger_refuse(s, REASON_RELEASE_UNKNOWN) : err_trace(r);
    }
    if (seed.len && memcmp(seed.ptr, release.operator_seed, sizeof release.operator_seed) != 0) {
        s->v->field = "seed";
        return ledger_refuse(s, REASON_PART_INVALID);
    }
    if (release.seal_us == 0 || release.phase < PHASE_RANKING || release.phase == PHASE_CANCELLED) {
        s->v->retry_ms = release.phase < PHASE_RANKING ? 1000 : 0;
        return ledger_refuse(s, REASON_RELEASE_STATE);
    }
    return err_trace(ledger_release_get(s));
}
