/* SPDX-License-Identifier: MIT */
/* Exports of releases on one loop.
 *
 *   begin -> ExportRelease in its caller's own name, through the fair queue
 *   home  -> a piece of a file, and the token behind which it goes on, which is cut off
 *         -> the piece to the client; little of it unread? the next one at once
 *   tick  -> asks for whoever has read enough; gives up on what is out for too long
 *   no token: the bundle is whole, OK
 *
 * Owns: the exporters, each with what it takes to ask again and the hashes of the files late and
 * returns so far, which the shard writes into the file parts: it keeps nothing between two pieces.
 * A shard of before sends no returns, and is told of no hash of it.
 * Happy path: one piece on its way to the shard or to the client, never a bundle in memory.
 * Fails: a refusal of the shard's ends the stream, as does a shard that is away; a full queue in
 * the middle only delays the next question.  For whoever does not read nothing more is asked; he
 * ends after EXPORT_SLOW_MS with READER_TOO_SLOW.
 * Bounded: EXPORTS_MAX a loop, EXPORTS_PER_IDENTITY of one identity. */
#include "gateway/export.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "gateway/answer.h"
#include "gateway/call.h"
#include "gateway/errand.h"
#include "gateway/inside.h"
#include "gateway/pb.h"
#include "proto/codec.h"
#include "wire/wire.h"

#define EXPORT_TICK_MS  20
#define EXPORT_PAUSE_MS 500
#define EXPORT_SLOW_MS  30000
#define EXPORT_AHEAD    (64 * 1024) /* bytes unread, below which the next piece is asked for */

/* Of ExportPage (shard.proto). */
enum { CHUNK_FIELD = 1, FILE_FIELD = 2, TOKEN_FIELD = 15 };

struct exporter {
    struct list link;    /* in the loop's exporters */
    struct call *call;   /* whose stream this is */
    uint64_t give_up_ms; /* of the question that is out: when it is called back */
    uint64_t read_ms;    /* when little waited on the stream, or it began to wait */
    uint64_t again_ms;   /* it asks no earlier: the queue was full */
    bool has_begun;      /* a piece was told */
    crypto_hash_sha256_state late; /* of the file late, as far as it went out */
    crypto_hash_sha256_state returns;
    bool has_returns;              /* a piece of that file has come */
    struct command command;        /* its spans: the four below */
    struct release_words words;
    uint8_t hashes[2 * crypto_hash_sha256_BYTES];
    uint8_t pool[POOL_ID_MAX];
    uint8_t release[RELEASE_ID_MAX];
    uint8_t token[PAGE_TOKEN_MAX];
};

static struct list *export_all(struct gateway *g)
{
    return &g->exports.exporters;
}

/* -- asking ------------------------------------------------------------------------------------ */

/* May end the call, and the exporter with it. */
static void export_ask(struct gateway *g, struct exporter *x)
{
    struct arena arena;
    struct span packed;
    struct errand *e = NULL;
    crypto_hash_sha256_state late = x->late, returns = x->returns;
    crypto_hash_sha256_final(&late, x->hashes);
    crypto_hash_sha256_final(&returns, x->hashes + crypto_hash_sha256_BYTES);
    x->words.bytes.len = x->has_returns ? sizeof x->hashes : crypto_hash_sha256_BYTES;
    arena_init(&arena, 16 * 1024);
    if (codec_command_pack(&x->command, &arena, &packed) == 0) {
        e = errand_new(packed);
    }
    arena_fini(&arena);
    x->give_up_ms = uv_now(&g->loop) + DEADLINE_MS;
    if (e) {
        errand_ask(x->call, e);
    } else {
        answer_reason(x->call, REASON_GATEWAY_FULL, NULL);
    }
}

/* The client's piece, and what else the shard said. */
struct export_page {
    struct span piece; /* of the message, up to the token */
    struct span chunk, file, token;
};

static struct export_page export_page_of(struct span message)
{
    struct reader r = reader_of(message.ptr, message.len);
    struct export_page page = {.piece = message};
    struct pb_field f;
    size_t before = 0;
    while (pb_next(&r, &f)) {
        if (f.number == CHUNK_FIELD) {
            page.chunk = f.bytes;
        } else if (f.number == FILE_FIELD) {
            page.file = f.bytes;
        } else if (f.number == TOKEN_FIELD) {
            page.token = f.bytes;
            page.piece.len = before;
        }
        before = message.len - reader_left(&r);
    }
    return page;
}

/* May end the call, and the exporter with it. */
static void export_tell(struct call *call, struct span message)
{
    struct gateway *g = call_gateway(call);
    struct exporter *x = call->exporter;
    struct export_page page = export_page_of(message);
    if (page.file.len == 0 || page.token.len > sizeof x->token) {
        answer_reason(call, REASON_INTERNAL, NULL);
        return;
    }
    if (span_equal(page.file, span_of("late"))) {
        crypto_hash_sha256_update(&x->late, page.chunk.ptr, page.chunk.len);
    } else if (span_equal(page.file, span_of("returns"))) {
        crypto_hash_sha256_update(&x->returns, page.chunk.ptr, page.chunk.len);
        x->has_returns = true;
    }
    if (page.token.len == 0) {
        answer_part(call, page.piece);
        if (call->state == CALL_STREAM) {
            answer_end(call);
        }
        return;
    }
    memcpy(x->token, page.token.ptr, page.token.len);
    x->command.page_token = (struct span){x->token, page.token.len};
    x->has_begun = true;
    answer_part(call, page.piece);
    if (call->exporter && wire_call_queued_bytes(call->wire) < EXPORT_AHEAD) {
        x->read_ms = uv_now(&g->loop);
        export_ask(g, x);
    }
}

void export_home(struct call *call, const struct answer *answer, enum reason reason,
                 const char *detail)
{
    bool is_over = call->has_own_deadline && call->deadline.place == 0;
    bool is_passing = call->exporter->has_begun && !is_over &&
                      (reason == REASON_QUEUE_FULL || reason == REASON_RATE_LIMITED);
    if (is_over || (answer == NULL && !is_passing)) {
        answer_reason(call, is_over ? REASON_DEADLINE_EXCEEDED : reason, is_over ? NULL : detail);
        if (is_over) {
            call_linger(call);
        }
    } else if (answer && answer->reason != REASON_OK) {
        answer_shard(call, answer);
    } else if (answer) {
        export_tell(call, answer->message);
    } else {
        call->exporter->again_ms = uv_now(&call_gateway(call)->loop) + EXPORT_PAUSE_MS;
    }
}

/* -- the clock --------------------------------------------------------------------------------- */

static void export_serve(struct gateway *g, struct exporter *x)
{
    uint64_t now = uv_now(&g->loop);
    struct call *call = x->call;
    if (call->is_away) {
        if (now >= x->give_up_ms) {
            x->give_up_ms = now + DEADLINE_MS;
            errand_expire(call);
        }
        return;
    }
    if (wire_call_queued_bytes(call->wire) < EXPORT_AHEAD) {
        x->read_ms = now;
        if (now >= x->again_ms) {
            export_ask(g, x);
        }
    } else if (now - x->read_ms > EXPORT_SLOW_MS) {
        answer_reason(call, REASON_READER_TOO_SLOW, NULL);
        call_linger(call);
    }
}

static void export_tick(uv_timer_t *timer)
{
    struct gateway *g = timer->data;
    struct list *all = export_all(g), *next;
    for (struct list *l = all->next; l != all; l = next) {
        next = l->next; /* one that ends leaves the list */
        export_serve(g, CONTAINER_OF(l, struct exporter, link));
    }
    if (list_empty(all)) {
        uv_timer_stop(&g->exports.timer);
        g->exports.is_timing = false;
    }
}

void export_open(struct gateway *g)
{
    list_init(export_all(g));
    uv_timer_init(&g->loop, &g->exports.timer);
    g->exports.timer.data = g;
}

void export_close(struct gateway *g)
{
    uv_handle_t *timer = (uv_handle_t *)&g->exports.timer;
    if (timer->data && !uv_is_closing(timer)) {
        CHECK(list_empty(export_all(g)));
        uv_close(timer, NULL);
    }
}

void export_end_all(struct gateway *g)
{
    while (!list_empty(export_all(g))) {
        struct list *first = export_all(g)->next;
        answer_reason(CONTAINER_OF(first, struct exporter, link)->call, REASON_SHUTTING_DOWN,
                      NULL);
    }
}

/* -- beginning and end ------------------------------------------------------------------------- */

/* NULL, or why there is no room for one more of this identity. */
static const char *export_is_full(struct gateway *g, const struct identity *identity)
{
    struct list *all = export_all(g);
    size_t mine = 0;
    if (g->exports.count >= EXPORTS_MAX) {
        return "as many releases are being exported as this gateway serves at once";
    }
    for (struct list *l = all->next; l != all; l = l->next) {
        const struct exporter *x = CONTAINER_OF(l, struct exporter, link);
        mine += memcmp(&x->call->identity, identity, sizeof *identity) == 0;
    }
    return mine >= EXPORTS_PER_IDENTITY ? "this identity exports 2 releases already" : NULL;
}

static struct span export_keep(uint8_t *room, struct span bytes)
{
    if (bytes.len) {
        memcpy(room, bytes.ptr, bytes.len);
    }
    return (struct span){room, bytes.len};
}

void export_begin(struct call *call, struct command *command)
{
    struct gateway *g = call_gateway(call);
    const char *detail = export_is_full(g, &call->identity);
    if (detail) {
        answer_reason(call, REASON_RATE_LIMITED, detail);
        return;
    }
    struct exporter *x = guard_take(call, sizeof *x) ? calloc(1, sizeof *x) : NULL;
    if (x == NULL) {
        answer_reason(call, REASON_GATEWAY_FULL, NULL);
        return;
    }
    CHECK(command->release != NULL);
    x->command = *command;
    x->command.pool = export_keep(x->pool, command->pool);
    x->words = (struct release_words){.action = command->release->action,
                                      .bytes = {x->hashes, crypto_hash_sha256_BYTES}};
    x->words.id = export_keep(x->release, command->release->id);
    x->command.release = &x->words;
    crypto_hash_sha256_init(&x->late);
    crypto_hash_sha256_init(&x->returns);
    if (!call->has_own_deadline) {
        deadline_disarm(&g->deadlines, &call->deadline);
    }
    call_move(call, CALL_STREAM);
    x->call = call;
    x->read_ms = uv_now(&g->loop);
    call->exporter = x;
    list_init(&x->link);
    list_push(export_all(g), &x->link);
    g->exports.count++;
    if (!g->exports.is_timing) {
        g->exports.is_timing = true;
        uv_timer_start(&g->exports.timer, export_tick, EXPORT_TICK_MS, EXPORT_TICK_MS);
    }
    export_ask(g, x);
}

void export_leave(struct call *call)
{
    struct exporter *x = call->exporter;
    struct gateway *g = call_gateway(call);
    call->exporter = NULL;
    list_remove(&x->link);
    CHECK(g->exports.count > 0);
    g->exports.count--;
    free(x);
}
