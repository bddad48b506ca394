/* SPDX-License-Identifier: MIT */
/* One call: its life, what the gateway may know of it, and its answer.
 *
 *   wire_call_send ---> outgoing queue --(nghttp2 pulls: call_read)--> DATA
 *         first one: HEADERS                 | empty, not finished: deferred until the next send
 *   wire_call_finish -> trailer kept --------+ empty, finished: trailers (END_STREAM)
 *         nothing sent before: one HEADERS with everything (trailers-only)
 *   other protocols: reply.c frames messages and end, the end is in the queue too; Connect's unary
 *         head waits for the end, which decides its status
 *   HTTP/1.1: h1_answer.c pulls from the same queue
 *
 * Owns: the call objects of a connection, live and spare; the bytes of each answer until nghttp2
 * pulled them.  Header values are nghttp2's counted buffers, kept without a copy.
 * Happy path of a unary call: no malloc here; HEADERS, DATA and trailers leave in one send.
 * Fails: out of memory loses the connection (a half-sent answer cannot be taken back); a full
 * queue is WIRE_E_FULL; text or details over their limit are cut or left out, never refused,
 * because the status matters more.
 * Invariants: on server->calls until on_stream_close or the connection's end; call_closed exactly
 * once for each call_open; server->queued_bytes is the sum of the queues.
 * Road not taken: handing nghttp2 the caller's memory (NO_COPY); small answers make the copy
 * cheaper than tracking who may free what. */
#include "wire/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/limit.h"
#include "base/limits.h"
#include "wire/h1.h"
#include "wire/value.h"

#define NV_STATIC (NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE)
#define NV_ONCE   (NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_INDEX)

/* A header whose name and value are string literals. */
#define NV(name, value) \
    {(uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, sizeof(value) - 1, NV_STATIC}

static const char *const call_statuses[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                            "9", "10", "11", "12", "13", "14", "15", "16"};

#define CALL_HEADERS_MAX 6 /* :status, content-type, accept-encoding, and the three trailers */

/* -- life -------------------------------------------------------------------------------------- */

struct wire_call *wire_call_new(struct wire_server *s, int32_t stream_id)
{
    struct list *link = list_pull(&s->spare);
    struct wire_call *call;
    if (link) {
        call = CONTAINER_OF(link, struct wire_call, link);
        CHECK(s->spare_count > 0);
        s->spare_count--;
    } else {
        call = s->mem.malloc(sizeof(*call), s->mem.mem_user_data);
        if (!call) {
            return NULL;
        }
    }
    memset(call, 0, offsetof(struct wire_call, outgoing.store)); /* the store is written first */
    call->server = s;
    call->stream_id = stream_id;
    call->timeout_us = -1;
    list_push(&s->calls, &call->link);
    return call;
}

static void call_release(struct wire_value *value)
{
    if (value->held) {
        nghttp2_rcbuf_decref(value->held);
    }
}

void wire_call_end(struct wire_call *call)
{
    struct wire_server *s = call->server;
    list_remove(&call->link);
    if (s->opening == call) {
        s->opening = NULL;
    }
    call->is_finished = true; /* whatever call_closed still says on it is ignored */
    if (call->is_open) {
        s->ops->call_closed(s->user, call, call->is_gone);
        CHECK(s->calls_count > 0);
        s->calls_count--;
        s->resets_left += call->is_gone && s->resets_left < WIRE_RESETS_BURST;
    }
    call_release(&call->path);
    call_release(&call->authorization);
    call_release(&call->traceparent);
    call_release(&call->origin);
    call_release(&call->none_match);
    CHECK(s->queued_bytes >= wire_queue_len(&call->outgoing));
    s->queued_bytes -= wire_queue_len(&call->outgoing);
    wire_queue_fini(&call->outgoing, &s->mem);
    CHECK(s->assembly_bytes >= call->incoming.bytes_cap);
    s->assembly_bytes -= call->incoming.bytes_cap;
    wire_frame_fini(&call->incoming, &s->mem);
    if (call->trailer) {
        s->mem.free(call->trailer, s->mem.mem_user_data);
    }
    list_push(&s->spare, &call->link);
    s->spare_count++;
    wire_call_trim(s, list_empty(&s->calls) ? WIRE_SPARE_CALLS_IDLE : WIRE_SPARE_CALLS);
}

void wire_call_trim(struct wire_server *s, uint32_t keep)
{
    while (s->spare_count > keep) {
        struct list *link = list_pull(&s->spare);
        s->spare_count--;
        s->mem.free(CONTAINER_OF(link, struct wire_call, link), s->mem.mem_user_data);
    }
}

/* -- what the gateway may know ----------------------------------------------------------------- */

enum wire_protocol wire_call_protocol(const struct wire_call *call)
{
    return call->protocol;
}

enum wire_encoding wire_call_encoding(const struct wire_call *call)
{
    return call->encoding;
}

struct span wire_call_path(const struct wire_call *call)
{
    return call->path.bytes;
}

struct span wire_call_authorization(const struct wire_call *call)
{
    return call->authorization.bytes;
}

struct span wire_call_traceparent(const struct wire_call *call)
{
    return call->traceparent.bytes;
}

int64_t wire_call_timeout_us(const struct wire_call *call)
{
    return call->timeout_us;
}

void wire_call_set_user(struct wire_call *call, void *user)
{
    call->user = user;
}

void *wire_call_user(const struct wire_call *call)
{
    return call->user;
}

size_t wire_call_queued_bytes(const struct wire_call *call)
{
    return wire_queue_len(&call->outgoing);
}

/* -- headers of the answer --------------------------------------------------------------------- */

static size_t call_head(const struct wire_call *call, nghttp2_nv *out)
{
    size_t n = 0;
    out[n++] = (nghttp2_nv)NV(":status", "200");
    out[n++] = (nghttp2_nv)NV("content-type", "application/grpc");
    if (call->wants_identity) {
        out[n++] = (nghttp2_nv)NV("grpc-accept-encoding", "identity");
    }
    return n;
}

static size_t call_trailers(const struct wire_call *call, const uint8_t *trailer, nghttp2_nv *out)
{
    const char *status = call_statuses[call->status];
    size_t n = 0;
    out[n++] = (nghttp2_nv){(uint8_t *)"grpc-status", (uint8_t *)status, 11, strlen(status),
                            NV_STATIC};
    if (call->trailer_text_len) {
        out[n++] = (nghttp2_nv){(uint8_t *)"grpc-message", (uint8_t *)trailer, 12,
                                call->trailer_text_len, NV_ONCE};
    }
    if (call->trailer_details_len) {
        out[n++] = (nghttp2_nv){(uint8_t *)"grpc-status-details-bin",
                                (uint8_t *)trailer + call->trailer_text_len, 23,
                                call->trailer_details_len, NV_ONCE};
    }
    return n;
}

/* Out of memory loses the connection; anything else means that the stream is gone already. */
static int call_submitted(struct wire_call *call, int r)
{
    if (r == NGHTTP2_ERR_NOMEM) {
        r = err_origin(-ENOMEM);
        wire_server_fail(call->server, r);
        return r;
    }
    return 0;
}

/* -- body of the answer ------------------------------------------------------------------------ */

static void call_drained(struct wire_call *call)
{
    struct wire_server *s = call->server;
    if (!call->is_full || wire_queue_len(&call->outgoing) > s->limits.queued_bytes / 2) {
        return;
    }
    call->is_full = false;
    if (s->ops->call_drained && !call->is_finished) {
        s->ops->call_drained(s->user, call);
    }
}

/* Tells whoever waits for room; all of them where the connection was what was full. */
void wire_call_pulled(struct wire_call *call, size_t n)
{
    struct wire_server *s = call->server;
    s->queued_bytes -= n;
    if (!s->is_full) {
        call_drained(call);
    } else if (s->queued_bytes <= WIRE_QUEUED_BYTES_MAX / 2) {
        s->is_full = false;
        for (struct list *l = s->calls.next; l != &s->calls; l = l->next) {
            call_drained(CONTAINER_OF(l, struct wire_call, link));
        }
    }
}

/* nghttp2 asks for the next bytes of DATA. */
static ssize_t call_read(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t cap,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct wire_call *call = source->ptr;
    size_t n = wire_queue_pull(&call->outgoing, buf, cap, &call->server->mem);
    wire_call_pulled(call, n);
    if (wire_queue_len(&call->outgoing) > 0) {
        return (ssize_t)n;
    }
    if (!call->is_finished) {
        call->is_waiting = n == 0;
        return n > 0 ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (call->protocol != WIRE_GRPC) {
        return (ssize_t)n;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    nghttp2_nv trailers[CALL_HEADERS_MAX];
    size_t count = call_trailers(call, call->trailer, trailers);
    int r = call_submitted(call, nghttp2_submit_trailer(session, stream_id, trailers, count));
    return r < 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : (ssize_t)n;
}

static nghttp2_nv call_field(const struct wire_field *f)
{
    return (nghttp2_nv){(uint8_t *)f->name, (uint8_t *)f->value.ptr, strlen(f->name), f->value.len,
                        f->is_kept ? NV_STATIC : NV_ONCE};
}

/* The head of every protocol but gRPC; without a provider the stream ends with it. */
static int call_answer_head(struct wire_call *call, const nghttp2_data_provider *body)
{
    struct wire_head head;
    nghttp2_nv headers[WIRE_FIELDS_MAX + 2];
    char status[8], length[24];
    wire_reply_head(call, &head);
    size_t status_len = (size_t)snprintf(status, sizeof(status), "%u", head.status);
    headers[0] = (nghttp2_nv){(uint8_t *)":status", (uint8_t *)status, 7, status_len,
                              NGHTTP2_NV_FLAG_NO_COPY_NAME};
    size_t count = 1;
    for (size_t i = 0; i < head.count; i++) {
        headers[count++] = call_field(&head.fields[i]);
    }
    if (call->is_finished && head.status != 204 && head.status != 304) {
        size_t n = (size_t)snprintf(length, sizeof(length), "%zu",
                                    wire_queue_len(&call->outgoing));
        headers[count++] = (nghttp2_nv){(uint8_t *)"content-length", (uint8_t *)length, 14, n,
                                        NV_ONCE};
    }
    return call_submitted(call, nghttp2_submit_response(call->server->session, call->stream_id,
                                                        headers, count, body));
}

/* Begins the answer; a finished one with nothing in the queue is its head alone. */
static int call_answer(struct wire_call *call)
{
    call->is_answering = true;
    if (call->server->h1) {
        return 0; /* pulls by itself */
    }
    nghttp2_data_provider body = {.source.ptr = call, .read_callback = call_read};
    if (call->protocol != WIRE_GRPC) {
        bool is_head = call->is_finished && (wire_queue_len(&call->outgoing) == 0 ||
                                             call->method == WIRE_METHOD_HEAD);
        return err_trace(call_answer_head(call, is_head ? NULL : &body));
    }
    nghttp2_nv headers[CALL_HEADERS_MAX];
    size_t count = call_head(call, headers);
    return call_submitted(call, nghttp2_submit_response(call->server->session, call->stream_id,
                                                        headers, count, &body));
}

/* Lets nghttp2 pull again after it was deferred. */
static int call_resume(struct wire_call *call)
{
    if (!call->is_waiting) {
        return 0; /* HTTP/1.1 never is */
    }
    call->is_waiting = false;
    return call_submitted(call,
                          nghttp2_session_resume_data(call->server->session, call->stream_id));
}

static bool call_has_room(struct wire_call *call, size_t more)
{
    struct wire_server *s = call->server;
    size_t queued = wire_queue_len(&call->outgoing);
    if (!limit_is_on("queued")) {
        return true;
    }
    if (s->queued_bytes > queued && s->queued_bytes + more > WIRE_QUEUED_BYTES_MAX) {
        s->is_full = true;
        return false;
    }
    return queued == 0 || queued + more <= s->limits.queued_bytes;
}

int wire_call_send(struct wire_call *call, struct span message)
{
    struct wire_server *s = call->server;
    if (call->is_finished) {
        return 0;
    }
    if (s->is_dead) {
        return err_trace(s->failure);
    }
    size_t more = wire_reply_size(call, message.len);
    if (!call_has_room(call, more)) {
        call->is_full = true;
        return WIRE_E_FULL;
    }
    int r = wire_reply_push(call, message);
    if (r < 0) {
        wire_server_fail(s, r);
        return err_trace(r);
    }
    s->queued_bytes += more;
    if (call->protocol == WIRE_CONNECT) {
        return 0; /* the end decides the status */
    }
    return err_trace(call->is_answering ? call_resume(call) : call_answer(call));
}

/* -- end of the answer ------------------------------------------------------------------------- */

static int call_finish_only(struct wire_call *call, const uint8_t *trailer)
{
    nghttp2_nv headers[CALL_HEADERS_MAX];
    size_t count = call_head(call, headers);
    count += call_trailers(call, trailer, headers + count);
    call->is_answering = true;
    return call_submitted(call, nghttp2_submit_response(call->server->session, call->stream_id,
                                                        headers, count, NULL));
}

int wire_call_keep_trailer(struct wire_call *call, const uint8_t *trailer)
{
    struct wire_server *s = call->server;
    size_t len = call->trailer_text_len + call->trailer_details_len;
    if (len == 0) {
        return 0;
    }
    call->trailer = s->mem.malloc(len, s->mem.mem_user_data);
    if (!call->trailer) {
        int r = err_origin(-ENOMEM);
        wire_server_fail(s, r);
        return r;
    }
    memcpy(call->trailer, trailer, len);
    return 0;
}

/* Every protocol but gRPC. */
static int call_finish_other(struct wire_call *call, struct span text, struct span details,
                             const uint8_t *trailer)
{
    int r = wire_reply_end(call, text, details, trailer);
    if (r < 0) {
        wire_server_fail(call->server, r);
        return err_trace(r);
    }
    return err_trace(call->is_answering ? call_resume(call) : call_answer(call));
}

int wire_call_finish(struct wire_call *call, int grpc_status, struct span text,
                     struct span details)
{
    CHECK(grpc_status >= 0);
    CHECK((size_t)grpc_status < ARRAY_COUNT(call_statuses));
    if (call->is_finished) {
        return 0;
    }
    if (call->server->is_dead) {
        return err_trace(call->server->failure);
    }
    uint8_t trailer[3 * WIRE_TEXT_MAX + WIRE_DETAILS_MAX / 3 * 4 + 4];
    call->is_finished = true;
    call->status = (uint8_t)grpc_status;
    text = wire_value_cut(text, WIRE_TEXT_MAX);
    call->trailer_text_len = (uint32_t)wire_value_percent_encode(text, trailer);
    if (details.len <= WIRE_DETAILS_MAX) {
        call->trailer_details_len =
            (uint32_t)base64_encode(details, false, trailer + call->trailer_text_len);
    }
    if (call->protocol != WIRE_GRPC) {
        return err_trace(call_finish_other(call, text, details, trailer));
    }
    if (!call->is_answering) {
        return err_trace(call_finish_only(call, trailer));
    }
    int r = wire_call_keep_trailer(call, trailer);
    return err_trace(r < 0 ? r : call_resume(call));
}

static const struct {
    uint8_t status;
    uint16_t http;
    const char *text;
} call_refusals[] = {
#define REFUSAL(name, refusal_status, refusal_http, refusal_text) \
    {refusal_status, refusal_http, refusal_text},
    WIRE_REFUSALS(REFUSAL)
#undef REFUSAL
};

const char *wire_refusal_text(enum wire_refusal why)
{
    CHECK((size_t)why < ARRAY_COUNT(call_refusals));
    return call_refusals[why].text;
}

void wire_call_cut(struct wire_call *call)
{
    struct wire_server *s = call->server;
    if (!s->session) {
        wire_server_calm(s, WIRE_END_HOG); /* HTTP/1.1: the connection is the call */
    } else if (!s->is_dead) {
        call_submitted(call, nghttp2_submit_rst_stream(s->session, NGHTTP2_FLAG_NONE,
                                                       call->stream_id,
                                                       NGHTTP2_ENHANCE_YOUR_CALM));
    }
}

int wire_call_refuse(struct wire_call *call, enum wire_refusal why)
{
    struct wire_server *s = call->server;
    call->is_refused = true;
    call->refusal = (uint8_t)why;
    call->http_status = call->protocol == WIRE_CONNECT ? call_refusals[why].http : 0;
    call->wants_identity = why == WIRE_REFUSAL_COMPRESSED;
    if (s->ops->call_refused) {
        s->ops->call_refused(s->user, call, why);
    }
    return err_trace(wire_call_finish(call, call_refusals[why].status,
                                      span_of(call_refusals[why].text), (struct span){0}));
}
