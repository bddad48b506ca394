/* SPDX-License-Identifier: MIT */
/* One reply at a time: an array of answers, their bytes in an arena that is kept.
 * Owns: both arenas.  happy path: for each item a verdict, packed as the client will see it, its
 * scratch thrown away; then one message.
 * The reply must fit one nng message (BATCH_BYTES_MAX) while one page of slots may be 120 KiB and a
 * batch 256 of them: a read whose answer has no room is told to come back (STILL_QUEUED), and so
 * are the reads behind it without being looked at.  Mutations answer small and always have room.
 * Fails: < 0 out of memory. */
#include "node/answers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"

#define ANSWERS_ARENA_MAX  (16 * 1024 * 1024)
#define ANSWERS_ARENA_KEPT (256 * 1024)
#define SMALL_ANSWER       1024 /* bytes kept free for each item: mutations, refusals */
#define REPLY_BYTES_MAX    (BATCH_BYTES_MAX - 1024)

struct answers {
    struct signer *signer;            /* borrowed; NULL: nothing is signed */
    const struct intake_batch *batch; /* the one that is being answered */
    size_t seen;                      /* its items, answered or left out */
    size_t count;                     /* items answered */
    bool is_turned_away;              /* what was left out is for the leader */
    size_t bytes;                     /* of their messages */
    bool is_full;                     /* a read had no room */
    struct arena reply;               /* messages and the packed reply */
    struct arena scratch;             /* one verdict */
    struct answer items[BATCH_ITEMS_MAX];
};

static int answers_warm(struct arena *a)
{
    arena_init(a, ANSWERS_ARENA_MAX);
    if (arena_alloc(a, ANSWERS_ARENA_KEPT) == NULL) {
        return err_origin(-ENOMEM);
    }
    arena_reset(a);
    return 0;
}

int answers_new(struct signer *signer, struct answers **ret_answers)
{
    struct answers *a = calloc(1, sizeof *a);
    int r = a ? answers_warm(&a->reply) : err_origin(-ENOMEM);
    r = r ? r : answers_warm(&a->scratch);
    if (r) {
        answers_free(a);
        return err_trace(r);
    }
    a->signer = signer;
    *ret_answers = a;
    return 0;
}

void answers_free(struct answers *a)
{
    if (a) {
        arena_fini(&a->reply);
        arena_fini(&a->scratch);
        free(a);
    }
}

void answers_begin(struct answers *a, const struct intake_batch *batch)
{
    a->batch = batch;
    a->seen = 0;
    a->count = 0;
    a->is_turned_away = false;
    a->bytes = 0;
    a->is_full = false;
    arena_reset(&a->reply);
}

struct arena *answers_scratch(struct answers *a)
{
    arena_reset(&a->scratch);
    return &a->scratch;
}

bool answers_takes_read(const struct answers *a)
{
    return !a->is_full;
}

static struct answer *answers_next(struct answers *a)
{
    CHECK(a->seen < a->batch->view.items_count);
    struct answer *x = &a->items[a->count];
    *x = (struct answer){.call = a->batch->view.items[a->seen].call};
    a->count++;
    a->seen++;
    return x;
}

void answers_omit(struct answers *a)
{
    CHECK(a->seen < a->batch->view.items_count);
    a->seen++;
}

void answers_turn_away(struct answers *a)
{
    a->is_turned_away = true;
}

void answers_refusal(struct answers *a, const struct intake_refusal *refusal)
{
    CHECK(refusal->reason != REASON_OK);
    struct answer *x = answers_next(a);
    x->reason = refusal->reason;
    x->retry_ms = refusal->retry_ms ? refusal->retry_ms : reason_retry_ms(refusal->reason);
    x->field = refusal->field ? span_of(refusal->field) : (struct span){0};
    a->bytes += SMALL_ANSWER;
}

/* Bytes that an answer may take so that every item behind it still has room for a small one. */
static size_t answers_room(const struct answers *a)
{
    size_t left = a->batch->view.items_count - a->seen - 1;
    size_t used = a->bytes + left * SMALL_ANSWER;
    return used < REPLY_BYTES_MAX ? REPLY_BYTES_MAX - used : 0;
}

/* What the verdict says besides the message. */
static int answers_meta(struct answers *a, const struct verdict *v, struct answer *x)
{
    x->reason = v->reason;
    x->retry_ms = v->retry_ms ? v->retry_ms : reason_retry_ms(v->reason);
    x->field = v->field ? span_of(v->field) : (struct span){0};
    for (size_t i = 0; i < v->meta_count; i++) {
        struct span value = v->meta[i].value; /* borrows from the scratch: copy */
        uint8_t *copy = arena_alloc(&a->reply, value.len);
        if (copy == NULL) {
            return err_origin(-ENOMEM);
        }
        if (value.len > 0) {
            memcpy(copy, value.ptr, value.len);
        }
        x->meta[i] = (struct verdict_meta){v->meta[i].key, {copy, value.len}};
    }
    x->meta_count = v->meta_count;
    return 0;
}

int answers_verdict(struct answers *a, const struct verdict *verdict)
{
    struct span message = {0};
    if (verdict->reason == REASON_OK) {
        struct verdict said = *verdict;
        struct verdict_signed signatures;
        if (a->signer) {
            signer_sign(a->signer, &said, &signatures);
        }
        int r = codec_answer(&said, &a->reply, &message);
        if (r) {
            return err_fold(r);
        }
    }
    size_t bytes = message.len > SMALL_ANSWER ? message.len + 64 : SMALL_ANSWER;
    if (bytes > answers_room(a)) {
        a->is_full = true;
        answers_refusal(a, &(struct intake_refusal){.reason = REASON_STILL_QUEUED});
        return 0;
    }
    a->bytes += bytes;
    struct answer *x = answers_next(a);
    x->message = message;
    return err_trace(answers_meta(a, verdict, x));
}

struct span answers_last(const struct answers *a)
{
    CHECK(a->count > 0);
    return a->items[a->count - 1].message;
}

int answers_message(struct answers *a, struct span message)
{
    size_t bytes = message.len > SMALL_ANSWER ? message.len + 64 : SMALL_ANSWER;
    if (bytes > answers_room(a)) {
        a->is_full = true;
        answers_refusal(a, &(struct intake_refusal){.reason = REASON_STILL_QUEUED});
        return 0;
    }
    uint8_t *copy = arena_alloc(&a->reply, message.len);
    if (copy == NULL) {
        return err_origin(-ENOMEM);
    }
    memcpy(copy, message.ptr, message.len);
    a->bytes += bytes;
    answers_next(a)->message = (struct span){copy, message.len};
    return 0;
}

int answers_end(struct answers *a, struct credit_grant grant, struct span *ret_reply)
{
    CHECK(a->seen == a->batch->view.items_count);
    IMPLY(!a->is_turned_away, a->count == a->seen);
    struct reply_view reply = {.map_epoch = a->batch->view.map_epoch,
                               .credit = grant.items,
                               .pause_us = grant.pause_us,
                               .answers = a->items,
                               .answers_count = a->count,
                               .is_turned_away = a->is_turned_away,
                               .cluster = a->batch->cluster};
    int r = codec_reply_pack(&reply, &a->reply, ret_reply);
    IMPLY(r == 0, ret_reply->len <= BATCH_BYTES_MAX);
    return err_fold(r);
}
