/* SPDX-License-Identifier: MIT */
/* Exactly once: a verdict is remembered beside what it changed, in the same step, for 24 h of log
 * time.  The same request id and body get the same answer, byte for byte; another body is refused.
 * A snapshot of what was done is kept, not the packed answer: it is smaller, and packing is pure.
 * Refusals are remembered too (by their reason): a retry must not succeed where its first try was
 * told no.  Not remembered, because nothing was decided: RATE_LIMITED, POOL_UNKNOWN, ROLE_MISSING.
 * An older record counts as absent whether the sweep has met it or not.  Owns nothing. */
#include <errno.h>

#include "ledger/ledger_parts.h"

static int ledger_request_pool(struct ledger_step *s, struct span snapshot)
{
    struct pool_view *pool = arena_alloc(s->arena, sizeof *pool);
    if (pool == NULL) {
        return err_origin(-ENOMEM);
    }
    int r = ledger_read_pool(snapshot, pool);
    s->v->result = RESULT_POOL;
    s->v->pools = pool;
    s->v->pools_count = 1;
    return err_trace(r);
}

static int ledger_request_created(struct ledger_step *s, struct span snapshot)
{
    struct reader r = reader_of(snapshot.ptr, snapshot.len);
    s->v->result = RESULT_SLOTS_CREATED;
    s->v->created_count = reader_u32(&r);
    s->v->log_index = reader_u64(&r);
    return r.bad || reader_left(&r) > 0 ? err_origin(-EBADMSG) : 0;
}

static int ledger_request_item(struct ledger_step *s, struct span snapshot, uint64_t owner)
{
    struct ledger_item item;
    int r = ledger_read_item(snapshot, &item);
    if (r) {
        return err_trace(r);
    }
    bool is_hold = s->c->kind == COMMAND_CREATE_HOLD || s->c->kind == COMMAND_DROP_HOLD;
    return err_trace(is_hold ? ledger_account_answer_hold(s, &item, owner)
                             : ledger_account_answer_reservation(s, &item, owner));
}

int ledger_request_recall(struct ledger_step *s, const struct ledger_key *key, uint64_t owner)
{
    struct span value, snapshot;
    struct ledger_memory m;
    int r = ledger_get(s->l, key, &value);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    r = ledger_read_memory(value, &m);
    if (r) {
        return err_trace(r);
    }
    if (m.log_time_us + DAY_US <= s->now_us) {
        return LEDGER_NONE;
    }
    if (m.kind != s->c->kind || m.body_hash != s->c->body_hash) {
        return ledger_refuse(s, REASON_REQUEST_ID_REUSED);
    }
    if (m.reason != REASON_OK) {
        return ledger_refuse(s, m.reason);
    }
    /* A copy: the answer outlives the round's next put. */
    r = ledger_keep(s->arena, m.snapshot, &snapshot);
    if (r) {
        return err_trace(r);
    }
    if (m.kind == COMMAND_CREATE_POOL) {
        return err_trace(ledger_request_pool(s, snapshot));
    }
    if (m.kind == COMMAND_CREATE_SLOTS) {
        return err_trace(ledger_request_created(s, snapshot));
    }
    return err_trace(ledger_request_item(s, snapshot, owner));
}

int ledger_request_remember(struct ledger_step *s, const struct ledger_key *key,
                            struct span snapshot)
{
    uint8_t bytes[BOOK_VALUE_MAX];
    struct writer w = writer_of(bytes, sizeof bytes);
    struct ledger_memory m = {.body_hash = s->c->body_hash,
                              .log_time_us = s->now_us,
                              .kind = s->c->kind,
                              .reason = s->v->reason,
                              .snapshot = snapshot};
    ledger_record_memory(&w, &m);
    return err_trace(ledger_put(s->l, key, &w));
}
