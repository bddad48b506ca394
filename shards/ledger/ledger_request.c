/* SPDX-License-Identifier: MIT */
/* Exactly once: a verdict is remembered beside what it changed, in the same step, for 24 h of log
 * time; a client's newest one inside its account (ledger_scene.c), where it costs no key.
 *  The same request id and body get the same answer, byte for byte; another body is refused.
 * A snapshot of what was done is kept, not the packed answer: it is smaller, and packing is pure.
 * Refusals are remembered too, metadata and all: a retry must not succeed where its first try was
 * told no.  Not remembered, because nothing was decided: RATE_LIMITED, POOL_UNKNOWN, ROLE_MISSING,
 * and what waiting alone changes (COOL_DOWN, RECONFIRM_EARLY, RESTOCK_RUNNING, RESTOCKS_FULL,
 * ERASE_RUNNING, ERASURES_FULL).
 * An older record counts as absent whether the sweep has met it or not.  Owns nothing. */
#include <errno.h>

#include "ledger/ledger_memory.h"
#include "ledger/ledger_release.h"

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

void ledger_request_counted(struct ledger_step *s, size_t count, uint64_t log_index,
                            struct scribe *w)
{
    s->v->result = RESULT_SLOTS_CHANGED;
    s->v->changed_count = (uint32_t)count;
    s->v->log_index = log_index;
    scribe_u32(w, s->v->changed_count);
    scribe_u64(w, s->v->log_index);
    CHECK(!w->bad);
}

static int ledger_request_changed(struct ledger_step *s, struct span snapshot)
{
    struct reader r = reader_of(snapshot.ptr, snapshot.len);
    s->v->result = RESULT_SLOTS_CHANGED;
    s->v->changed_count = reader_u32(&r);
    s->v->log_index = reader_u64(&r);
    return r.bad || reader_left(&r) > 0 ? err_origin(-EBADMSG) : 0;
}

static int ledger_request_item(struct ledger_step *s, uint8_t format, struct span snapshot,
                               uint64_t owner)
{
    struct ledger_item item;
    int r = ledger_read_item(snapshot, format, &item);
    if (r) {
        return err_trace(r);
    }
    bool is_hold = s->c->kind == COMMAND_CREATE_HOLD || s->c->kind == COMMAND_DROP_HOLD;
    return err_trace(is_hold ? ledger_account_answer_hold(s, &item, owner)
                             : ledger_account_answer_reservation(s, &item, owner));
}

/* -- refusals ---------------------------------------------------------------------------------- */

/* What the ledger says beside a reason.  Their places stand in records: new ones go to the end. */
static const char *const request_keys[] = {
    "next_free", "max_active", "slot", "max_slots", "in_use", "in_use_count", "max_changes"};

#define REQUEST_KEYS (sizeof request_keys / sizeof request_keys[0])

/* The verdict's metadata: (key u8, value with its length u16)*. */
static void ledger_request_meta(struct scribe *w, const struct verdict *v)
{
    for (size_t i = 0; i < v->meta_count; i++) {
        uint8_t key = 0;
        while (key < REQUEST_KEYS && strcmp(request_keys[key], v->meta[i].key) != 0) {
            key++;
        }
        CHECK(key < REQUEST_KEYS);
        scribe_u8(w, key);
        scribe_span16(w, v->meta[i].value);
    }
}

static int ledger_request_refused(struct ledger_step *s, enum reason reason, struct span snapshot)
{
    struct reader r = reader_of(snapshot.ptr, snapshot.len);
    while (!r.bad && reader_left(&r) > 0) {
        uint8_t key = reader_u8(&r);
        struct span value = reader_span16(&r);
        if (r.bad || key >= REQUEST_KEYS || s->v->meta_count == VERDICT_META_MAX) {
            return err_origin(-EBADMSG);
        }
        ledger_meta(s, request_keys[key], value);
    }
    return r.bad ? err_origin(-EBADMSG) : ledger_refuse(s, reason);
}

/* -- both ways --------------------------------------------------------------------------------- */

int ledger_request_is_known(struct ledger_step *s, const struct ledger_key *key)
{
    struct span value;
    struct ledger_memory m;
    int r = ledger_get(s->l, key, &value);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    r = ledger_read_memory(value, &m);
    return r ? err_trace(r) : ledger_memory_is_over(&m, s->now_us) ? LEDGER_NONE : 0;
}

int ledger_request_recall(struct ledger_step *s, const struct ledger_key *key, uint64_t owner)
{
    struct span value;
    struct ledger_memory m;
    int r = ledger_get(s->l, key, &value);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    r = ledger_read_memory(value, &m);
    if (r) {
        return err_trace(r);
    }
    r = ledger_request_recall_from(s, &m, owner);
    return r == LEDGER_NONE ? r : err_trace(r);
}

int ledger_request_recall_from(struct ledger_step *s, const struct ledger_memory *m,
                               uint64_t owner)
{
    struct span snapshot;
#ifdef PLANT_FORGET_REQUEST
    return LEDGER_NONE;
#endif
    if (ledger_memory_is_over(m, s->now_us)) {
        return LEDGER_NONE;
    }
    if (m->kind != s->c->kind || m->body_hash != s->c->body_hash) {
        return ledger_refuse(s, REASON_REQUEST_ID_REUSED);
    }
    /* A copy: the answer outlives the round's next put. */
    int r = ledger_keep(s->arena, m->snapshot, &snapshot);
    if (r) {
        return err_trace(r);
    }
    if (m->reason != REASON_OK) {
        return err_trace(ledger_request_refused(s, m->reason, snapshot));
    }
    switch (m->kind) {
    case COMMAND_CREATE_POOL:
    case COMMAND_UPDATE_POOL:
        return err_trace(ledger_request_pool(s, snapshot));
    case COMMAND_CREATE_SLOTS:
    case COMMAND_BLOCK_SLOTS:
    case COMMAND_UNBLOCK_SLOTS:
    case COMMAND_RESTOCK:
    case COMMAND_ERASE:
        return err_trace(ledger_request_changed(s, snapshot));
    case COMMAND_CREATE_RELEASE:
    case COMMAND_CHANGE_RELEASE:
    case COMMAND_ADD_PART:
        return err_trace(ledger_release_recalled(s, snapshot));
    case COMMAND_CREATE_TICKET:
    case COMMAND_DELETE_TICKET:
        return err_trace(ledger_ticket_recalled(s, snapshot));
    default:
        return err_trace(ledger_request_item(s, m->format, snapshot, owner));
    }
}

struct ledger_memory ledger_request_memory(struct ledger_step *s, uint8_t format,
                                           struct span snapshot, uint8_t *meta_bytes)
{
    struct scribe meta = scribe_of(meta_bytes, LEDGER_META_BYTES);
    if (s->v->reason != REASON_OK) {
        ledger_request_meta(&meta, s->v);
        CHECK(!meta.bad && snapshot.len == 0);
        snapshot = (struct span){meta_bytes, scribe_len(&meta)};
    }
    return (struct ledger_memory){.format = format,
                                  .body_hash = s->c->body_hash,
                                  .log_time_us = s->now_us,
                                  .kind = s->c->kind,
                                  .reason = s->v->reason,
                                  .snapshot = snapshot};
}

int ledger_request_remember(struct ledger_step *s, const struct ledger_key *key, uint8_t format,
                            struct span snapshot)
{
    uint8_t bytes[BOOK_VALUE_MAX], meta[LEDGER_META_BYTES];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct ledger_memory m = ledger_request_memory(s, format, snapshot, meta);
    ledger_record_memory(&w, &m);
    return err_trace(ledger_put(s->l, key, &w));
}
