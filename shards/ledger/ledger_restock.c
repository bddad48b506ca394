/* SPDX-License-Identifier: MIT */
/* Returned slots become free again, without a release: an operator's word for a whole pool.
 *
 *   RESTOCK -> first part of the walk -> the pool's end: done, answered, remembered
 *                                    \-> a job in the state {who, request, count, cursor}
 *   RESTOCK_STEP (the shard itself, each round) -> next part -> ... -> end: the job goes, and its
 *                                    verdict is remembered under the request that began it
 *
 * A part changes at most FREED_MAX slots, so a pool with 100,000 of them delays no round.  Until
 * the job is done every RESTOCK of the pool is told RESTOCK_RUNNING, which is not remembered: so
 * the same request id gets the count of the whole walk, exactly once, and another one begins a
 * walk that finds what has come back since.  The answer counts what this walk freed: every slot
 * that it met in state returned and that had not started when it was met.
 * A job lies in the state, so it survives restarts; which pools have one is derived at the start.
 * Owns: the list of those pools in struct ledger. */
#include <errno.h>

#include "ledger/ledger_memory.h"

#define FREED_MAX 256  /* slots changed by one command */
#define LOOK_MAX  1024 /* records looked at by one command */

/* A walk under way. */
struct ledger_job {
    struct identity identity; /* whose */
    struct request_id request;
    uint64_t body_hash;
    uint32_t count;           /* freed so far */
    struct ledger_key cursor; /* the last record that was looked at, or where to begin */
    bool is_begun;            /* the cursor is a record */
};

static struct ledger_key ledger_restock_key(uint64_t space)
{
    return ledger_key_make((struct routing_key){space, 0}, 'J', (struct span){0});
}

/* -- which pools have one ---------------------------------------------------------------------- */

int ledger_restock_load(struct ledger *l, uint64_t space)
{
    if (l->restocks_count == RESTOCKS_MAX) {
        return err_origin(-EBADMSG);
    }
    l->restocks[l->restocks_count++] = space;
    return 0;
}

static void ledger_restock_forget(struct ledger *l, uint64_t space)
{
    for (size_t i = 0; i < l->restocks_count; i++) {
        if (l->restocks[i] == space) {
            l->restocks_count--;
            memmove(&l->restocks[i], &l->restocks[i + 1],
                    (l->restocks_count - i) * sizeof l->restocks[0]);
            return;
        }
    }
}

/* -- the job's record -------------------------------------------------------------------------- */

static int ledger_restock_put(struct ledger_step *s, uint64_t space, const struct ledger_job *job)
{
    uint8_t bytes[64 + BOOK_KEY_MAX];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct ledger_key key = ledger_restock_key(space);
    CHECK(job->is_begun);
    scribe_u8(&w, LEDGER_FORMAT);
    scribe_bytes(&w, job->identity.bytes, sizeof job->identity.bytes);
    scribe_bytes(&w, job->request.bytes, sizeof job->request.bytes);
    scribe_u64(&w, job->body_hash);
    scribe_u32(&w, job->count);
    scribe_bytes(&w, job->cursor.bytes, job->cursor.len);
    return err_trace(ledger_put(s->l, &key, &w));
}

/* 0, LEDGER_NONE, < 0. */
static int ledger_restock_get(struct ledger_step *s, uint64_t space, struct ledger_job *ret_job)
{
    struct ledger_key key = ledger_restock_key(space);
    const uint8_t *identity = NULL, *request = NULL;
    struct span value;
    int r = ledger_get(s->l, &key, &value);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    struct reader at = reader_of(value.ptr, value.len);
    bool is_ours = reader_u8(&at) == LEDGER_FORMAT;
    is_ours = reader_take(&at, sizeof ret_job->identity.bytes, &identity) && is_ours;
    is_ours = reader_take(&at, sizeof ret_job->request.bytes, &request) && is_ours;
    ret_job->body_hash = reader_u64(&at);
    ret_job->count = reader_u32(&at);
    ret_job->is_begun = true;
    ret_job->cursor.len = reader_left(&at);
    if (!is_ours || at.bad || ret_job->cursor.len < 17 || ret_job->cursor.len > BOOK_KEY_MAX) {
        return err_origin(-EBADMSG);
    }
    memcpy(ret_job->identity.bytes, identity, sizeof ret_job->identity.bytes);
    memcpy(ret_job->request.bytes, request, sizeof ret_job->request.bytes);
    memcpy(ret_job->cursor.bytes, at.at, ret_job->cursor.len);
    return 0;
}

/* -- the walk ---------------------------------------------------------------------------------- */

/* The record behind the cursor. 0, LEDGER_NONE at the pool's end, < 0. */
static int ledger_restock_one(struct ledger_step *s, uint64_t space, struct ledger_job *job,
                              bool *ret_is_freed)
{
    struct ledger_slots_walk walk = {space, ledger_key_span(&job->cursor), job->is_begun};
    bool is_scarce = ledger_is_scarce(s->l, s->c->pool);
    uint8_t bytes[LEDGER_SLOT_BYTES];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct slot_key at;
    struct ledger_slot slot;
    int r = ledger_slots_step(s, &walk, &at, &slot);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    job->is_begun = true;
    job->cursor = ledger_key_slot(space, &at);
    *ret_is_freed = slot.state == SLOT_RETURNED && at.start_us > s->now_us;
#ifdef PLANT_RESTOCK_TAKEN
    *ret_is_freed = slot.state != SLOT_FREE;
#endif
    if (!*ret_is_freed) {
        return 0;
    }
    if (is_scarce) {
        ledger_slots_free_turned(&slot, s);
    }
    slot.state = SLOT_FREE;
    slot.version++;
    ledger_record_slot(&w, &slot);
    job->count++;
#ifdef PLANT_SLOT_LOST /* never defined but by tests/sim */
    return err_trace(ledger_del(s->l, &job->cursor));
#endif
    return err_trace(ledger_put(s->l, &job->cursor, &w));
}

/* One part. 0: there is more; LEDGER_NONE: done; < 0. */
static int ledger_restock_walk(struct ledger_step *s, uint64_t space, struct ledger_job *job)
{
    size_t freed = 0;
    for (size_t looked = 0; looked < LOOK_MAX && freed < FREED_MAX; looked++) {
        bool is_freed;
        int r = ledger_restock_one(s, space, job, &is_freed);
        if (r) {
            return r == LEDGER_NONE ? r : err_trace(r);
        }
        freed += is_freed;
    }
    return 0;
}

/* -- commands ---------------------------------------------------------------------------------- */

/* One is under way already. */
static int ledger_restock_busy(struct ledger_step *s, const struct ledger_job *job)
{
    bool is_same = memcmp(&job->request, &s->c->request_id, sizeof job->request) == 0 &&
                   memcmp(&job->identity, &s->c->identity, sizeof job->identity) == 0;
    return ledger_refuse(s, is_same && job->body_hash != s->c->body_hash
                                ? REASON_REQUEST_ID_REUSED
                                : REASON_RESTOCK_RUNNING);
}

int ledger_restock_begin(struct ledger_step *s)
{
    const struct ledger_pool *pool;
    struct ledger_key request;
    struct ledger_job job;
    uint8_t bytes[16];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    int r = ledger_pool_open(s, &pool, &request);
    if (r) {
        return r == LEDGER_ANSWERED ? 0 : err_trace(r);
    }
    uint64_t space = pool->space;
    r = ledger_restock_get(s, space, &job);
    if (r != LEDGER_NONE) {
        return r ? err_trace(r) : ledger_restock_busy(s, &job);
    }
    if (s->l->restocks_count == RESTOCKS_MAX) {
        return ledger_refuse(s, REASON_RESTOCKS_FULL);
    }
    int64_t now_us = s->now_us > 0 ? s->now_us : 0;
    struct slot_key first = {.start_us = now_us - now_us % SECOND_US};
    job = (struct ledger_job){.identity = s->c->identity,
                              .request = s->c->request_id,
                              .body_hash = s->c->body_hash,
                              .cursor = ledger_key_slot(space, &first)};
    r = ledger_restock_walk(s, space, &job);
    if (r < 0) {
        return err_trace(r);
    }
    if (r == LEDGER_NONE) {
        ledger_request_counted(s, job.count, s->log_index, &w);
        struct span snapshot = {bytes, scribe_len(&w)};
        return err_trace(ledger_request_remember(s, &request, LEDGER_FORMAT_1, snapshot));
    }
    r = ledger_restock_put(s, space, &job);
    if (r == 0) {
        r = ledger_restock_load(s->l, space);
    }
    return r ? err_trace(r) : ledger_refuse(s, REASON_RESTOCK_RUNNING);
}

int ledger_restock_own(struct ledger_step *s, uint64_t space)
{
    struct ledger_job job;
    int64_t now_us = s->now_us > 0 ? s->now_us : 0;
    struct slot_key first = {.start_us = now_us - now_us % SECOND_US};
    int r = ledger_restock_get(s, space, &job);
    if (r != LEDGER_NONE || s->l->restocks_count == RESTOCKS_MAX) {
        return r == LEDGER_NONE ? 0 : err_trace(r);
    }
    job = (struct ledger_job){.cursor = ledger_key_slot(space, &first), .is_begun = true};
    r = ledger_restock_put(s, space, &job); /* every slot's key is behind the first's */
    return r ? err_trace(r) : err_trace(ledger_restock_load(s->l, space));
}

/* The verdict, under the request that began the walk; nobody waits for the shard's own. */
static int ledger_restock_done(struct ledger_step *s, uint64_t space,
                               const struct ledger_job *job)
{
    struct command asked = {.kind = COMMAND_RESTOCK,
                            .body_hash = job->body_hash,
                            .identity = job->identity,
                            .request_id = job->request};
    struct ledger_key key = ledger_restock_key(space);
    uint8_t bytes[16];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct verdict v = {.reason = REASON_OK};
    struct ledger_step of = *s;
    of.c = &asked;
    of.v = &v;
    ledger_request_counted(&of, job->count, s->log_index, &w);
    struct span snapshot = {bytes, scribe_len(&w)};
    struct ledger_key request = ledger_key_admin(&job->identity, &job->request);
    int r = ledger_is_anonymous(&asked)
                ? 0
                : ledger_request_remember(&of, &request, LEDGER_FORMAT_1, snapshot);
    if (r == 0) {
        r = ledger_del(s->l, &key);
    }
    if (r == 0) {
        ledger_restock_forget(s->l, space);
    }
    return err_trace(r);
}

int ledger_restock_step(struct ledger_step *s)
{
    const struct ledger_pool *pool;
    struct ledger_job job;
    int r = ledger_pool_find(s->l, s->c->pool, &pool);
    if (r) {
        return r == LEDGER_NONE ? 0 : err_trace(r);
    }
    uint64_t space = pool->space;
    r = ledger_restock_get(s, space, &job);
    if (r) {
        return r == LEDGER_NONE ? 0 : err_trace(r); /* done: proposed twice */
    }
    r = ledger_restock_walk(s, space, &job);
    if (r < 0) {
        return err_trace(r);
    }
    return r == LEDGER_NONE ? err_trace(ledger_restock_done(s, space, &job))
                            : err_trace(ledger_restock_put(s, space, &job));
}
