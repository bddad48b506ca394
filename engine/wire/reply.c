/* SPDX-License-Identifier: MIT */
/* Answers as each protocol frames them: messages into a call's queue, the head before them, the end
 * behind them.  gRPC's own head and trailers are call.c's.
 *
 *                     message                 end                                head
 *   gRPC-Web          0 length message        0x80 length "grpc-status: ..."     200
 *     nothing sent    -                       -                                  200, grpc-status
 *   gRPC-Web text     the same, each frame in base64 with its padding            200
 *   Connect stream    0 length message        2 length {} or {"error":...}       200
 *   Connect unary     message                 - or, instead, {"code":...}        200 or the code's
 *
 * Owns nothing; what is queued is the call's.  Heads borrow from the call and from static text.
 * Fails: out of memory, with nothing queued.
 * Cross-origin headers stand on every answer to a page that may call, refusals too, because a page
 * cannot read the reason of a refusal without them.
 * Not here: how a head travels (call.c for HTTP/2, h1_answer.c for HTTP/1.1). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/limits.h"
#include "wire/connect.h"
#include "wire/server.h"
#include "wire/value.h"

#define FLAG_TRAILERS 0x80 /* gRPC-Web */
#define FLAG_END      0x02 /* Connect */

/* What a preflight allows, and what an answer lets a page read. */
#define CORS_METHODS "GET, POST, OPTIONS"
#define CORS_HEADERS                                                                            \
    "Authorization, Content-Type, Connect-Protocol-Version, Connect-Timeout-Ms, Grpc-Timeout, " \
    "X-Grpc-Web, X-User-Agent, Traceparent"
#define CORS_EXPOSED "Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin, Content-Encoding, " \
                     "Connect-Content-Encoding"
#define CORS_MAX_AGE "7200" /* seconds; browsers take no more */

/* -- messages ---------------------------------------------------------------------------------- */

size_t wire_reply_size(const struct wire_call *call, size_t message_len)
{
    switch (call->protocol) {
    case WIRE_CONNECT: return message_len;
    case WIRE_GRPC_WEB_TEXT: return base64_len(WIRE_PREFIX + message_len, true);
    default: return WIRE_PREFIX + message_len;
    }
}

/* A frame in base64, which is encoded as a whole: prefix and message meet in a group of four. */
static int reply_push_text(struct wire_call *call, uint8_t flags, struct span message)
{
    nghttp2_mem *mem = &call->server->mem;
    size_t len = WIRE_PREFIX + message.len;
    uint8_t *frame = mem->malloc(len, mem->mem_user_data);
    if (!frame) {
        return err_origin(-ENOMEM);
    }
    wire_frame_prefix(flags, message.len, frame);
    if (message.len > 0) {
        memcpy(frame + WIRE_PREFIX, message.ptr, message.len);
    }
    uint8_t *at = wire_queue_extend(&call->outgoing, base64_len(len, true), mem);
    if (at) {
        base64_encode((struct span){frame, len}, true, at);
    }
    mem->free(frame, mem->mem_user_data);
    return at ? 0 : err_origin(-ENOMEM);
}

static int reply_push_bare(struct wire_call *call, struct span message)
{
    uint8_t *at = wire_queue_extend(&call->outgoing, message.len, &call->server->mem);
    if (!at) {
        return err_origin(-ENOMEM);
    }
    if (message.len > 0) {
        memcpy(at, message.ptr, message.len);
    }
    return 0;
}

static int reply_push_frame(struct wire_call *call, uint8_t flags, struct span message)
{
    return err_trace(call->protocol == WIRE_GRPC_WEB_TEXT
                         ? reply_push_text(call, flags, message)
                         : wire_queue_push(&call->outgoing, flags, message, &call->server->mem));
}

int wire_reply_push(struct wire_call *call, struct span message)
{
    return err_trace(call->protocol == WIRE_CONNECT ? reply_push_bare(call, message)
                                                    : reply_push_frame(call, 0, message));
}

/* -- the end ----------------------------------------------------------------------------------- */

/* gRPC-Web: what gRPC says in trailers, as a frame; in the head when nothing was sent before. */
static int reply_end_web(struct wire_call *call, const uint8_t *trailer)
{
    if (!call->is_answering) {
        call->is_bare = true;
        return err_trace(wire_call_keep_trailer(call, trailer));
    }
    char text[3 * WIRE_TEXT_MAX + WIRE_DETAILS_MAX / 3 * 4 + 128];
    int len = snprintf(text, sizeof(text), "grpc-status: %d\r\n", call->status);
    if (call->trailer_text_len) {
        len += snprintf(text + len, sizeof(text) - (size_t)len, "grpc-message: %.*s\r\n",
                        (int)call->trailer_text_len, (const char *)trailer);
    }
    if (call->trailer_details_len) {
        len += snprintf(text + len, sizeof(text) - (size_t)len,
                        "grpc-status-details-bin: %.*s\r\n", (int)call->trailer_details_len,
                        (const char *)trailer + call->trailer_text_len);
    }
    CHECK((size_t)len < sizeof(text));
    return err_trace(reply_push_frame(call, FLAG_TRAILERS,
                                      (struct span){(const uint8_t *)text, (size_t)len}));
}

/* As the gateway writes it, which knows what the details mean, or as we can. */
static size_t reply_error(const struct wire_call *call, struct span text, struct span details,
                          uint8_t *out)
{
    const struct wire_server *s = call->server;
    struct span json;
    if (s->ops->error_json && details.len > 0 && s->ops->error_json(s->user, details, &json) &&
        json.len <= WIRE_CONNECT_ERROR_MAX) {
        memcpy(out, json.ptr, json.len);
        return json.len;
    }
    return wire_connect_error(call->status, text, details, out);
}

static int reply_end_stream(struct wire_call *call, struct span text, struct span details)
{
    uint8_t json[WIRE_CONNECT_ERROR_MAX + 16];
    struct scribe w = scribe_of(json, sizeof(json));
    scribe_bytes(&w, "{", 1);
    if (call->status != 0) {
        scribe_bytes(&w, "\"error\":", 8);
        w.at += reply_error(call, text, details, w.at);
    }
    scribe_bytes(&w, "}", 1);
    CHECK(!w.bad);
    return err_trace(reply_push_frame(call, FLAG_END, (struct span){json, scribe_len(&w)}));
}

/* A tag of the whole answer (FNV-1a, 64 bits: nobody gains by a collision that he cannot choose),
 * and the answer is dropped for a caller who has it.  A weak tag names the same bytes here. */
static void reply_tag(struct wire_call *call)
{
    const struct wire_queue *q = &call->outgoing;
    const uint8_t *bytes = q->heap ? q->heap : q->store;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    char tag[19];
    for (size_t i = q->head; i < q->tail; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    snprintf(tag, sizeof tag, "\"%016llx\"", (unsigned long long)hash);
    memcpy(call->etag, tag, sizeof call->etag);
    struct span has = call->none_match.bytes;
    bool is_same = has.len && (memmem(has.ptr, has.len, tag, sizeof call->etag) ||
                               span_equal(has, span_of("*")));
    if (is_same) {
        call->server->queued_bytes -= wire_queue_len(&call->outgoing);
        wire_queue_fini(&call->outgoing, &call->server->mem);
        call->http_status = 304;
    }
}

static bool reply_is_kept(const struct wire_call *call)
{
    return call->method == WIRE_METHOD_GET && call->facts & WIRE_PATH_KEEP && call->status == 0;
}

static int reply_end_unary(struct wire_call *call, struct span text, struct span details)
{
    if (call->http_status == 0) {
        call->http_status = wire_connect_http(call->status);
    }
    if (call->status == 0) {
        if (reply_is_kept(call)) {
            reply_tag(call);
        }
        return 0; /* its message is queued; a preflight has none */
    }
    struct wire_server *s = call->server;
    s->queued_bytes -= wire_queue_len(&call->outgoing);
    wire_queue_fini(&call->outgoing, &s->mem); /* a message before an error is none */
    uint8_t json[WIRE_CONNECT_ERROR_MAX];
    size_t len = reply_error(call, text, details, json);
    return err_trace(reply_push_bare(call, (struct span){json, len}));
}

int wire_reply_end(struct wire_call *call, struct span text, struct span details,
                   const uint8_t *trailer)
{
    struct wire_server *s = call->server;
    size_t before = wire_queue_len(&call->outgoing);
    int r;
    switch (call->protocol) {
    case WIRE_CONNECT:
        r = reply_end_unary(call, text, details);
        before = call->status == 0 && call->http_status != 304 ? before : 0;
        break;
    case WIRE_CONNECT_STREAM:
        r = reply_end_stream(call, text, details);
        break;
    default:
        r = reply_end_web(call, trailer);
    }
    s->queued_bytes += wire_queue_len(&call->outgoing) - before;
    return err_trace(r);
}

/* -- the head ---------------------------------------------------------------------------------- */

static void reply_field(struct wire_head *head, const char *name, struct span value, bool is_kept)
{
    CHECK(head->count < WIRE_FIELDS_MAX);
    head->fields[head->count++] = (struct wire_field){name, value, is_kept};
}

static void reply_static(struct wire_head *head, const char *name, const char *value)
{
    reply_field(head, name, span_of(value), true);
}

static const char *reply_type(const struct wire_call *call)
{
    bool is_json = call->encoding == WIRE_JSON;
    switch (call->protocol) {
    case WIRE_GRPC_WEB: return "application/grpc-web+proto";
    case WIRE_GRPC_WEB_TEXT: return "application/grpc-web-text+proto";
    case WIRE_CONNECT_STREAM:
        return is_json ? "application/connect+json" : "application/connect+proto";
    default: return is_json || call->status != 0 ? "application/json" : "application/proto";
    }
}

static void reply_trailers(const struct wire_call *call, struct wire_head *head)
{
    static const char *const statuses[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                           "9", "10", "11", "12", "13", "14", "15", "16"};
    reply_static(head, "grpc-status", statuses[call->status]);
    if (call->trailer_text_len) {
        reply_field(head, "grpc-message",
                    (struct span){call->trailer, call->trailer_text_len}, false);
    }
    if (call->trailer_details_len) {
        reply_field(head, "grpc-status-details-bin",
                    (struct span){call->trailer + call->trailer_text_len,
                                  call->trailer_details_len}, false);
    }
}

/* Fetch, "CORS protocol". */
static void reply_cors(const struct wire_call *call, struct wire_head *head)
{
    if (call->origin_verdict == WIRE_ORIGIN_NO) {
        return;
    }
    if (call->origin_verdict == WIRE_ORIGIN_ANY) {
        reply_static(head, "access-control-allow-origin", "*");
    } else {
        reply_field(head, "access-control-allow-origin", call->origin.bytes, false);
    }
    if (call->method == WIRE_METHOD_OPTIONS) {
        reply_static(head, "access-control-allow-methods", CORS_METHODS);
        reply_static(head, "access-control-allow-headers", CORS_HEADERS);
        reply_static(head, "access-control-max-age", CORS_MAX_AGE);
    } else {
        reply_static(head, "access-control-expose-headers", CORS_EXPOSED);
    }
}

/* What a refusal as HTTP says beside its status. */
static void reply_hints(const struct wire_call *call, struct wire_head *head)
{
    if (call->http_status == 405) {
        reply_static(head, "allow", call->facts & WIRE_PATH_GET ? "GET, POST, OPTIONS"
                                                                : "POST, OPTIONS");
    } else if (call->http_status == 415) {
        reply_static(head, "accept-post",
                     call->facts & WIRE_PATH_STREAM
                         ? "application/connect+json, application/connect+proto, "
                           "application/grpc, application/grpc-web, application/grpc-web-text"
                         : "application/json, application/proto, application/grpc, "
                           "application/grpc-web, application/grpc-web-text");
    } else if (call->is_refused && call->refusal == WIRE_REFUSAL_COMPRESSED) {
        reply_static(head, call->protocol == WIRE_CONNECT          ? "accept-encoding"
                           : call->protocol == WIRE_CONNECT_STREAM ? "connect-accept-encoding"
                                                                   : "grpc-accept-encoding",
                     "identity");
    }
}

void wire_reply_head(const struct wire_call *call, struct wire_head *ret_head)
{
    struct wire_head *head = ret_head;
    head->status = call->http_status ? call->http_status : 200;
    head->count = 0;
    if (head->status != 204) {
        reply_static(head, "content-type", reply_type(call));
    } else {
        reply_static(head, "allow", CORS_METHODS);
    }
    if (call->is_bare) {
        reply_trailers(call, head);
    }
    bool is_cached = call->method == WIRE_METHOD_GET && call->facts & WIRE_PATH_CACHE &&
                     call->status == 0;
    if (reply_is_kept(call) && call->etag[0]) {
        reply_field(head, "etag", (struct span){call->etag, sizeof call->etag}, false);
        reply_static(head, "cache-control", "public, max-age=60");
    } else if (is_cached) {
        bool is_own = call->facts & WIRE_PATH_OWN && call->authorization.bytes.len > 0;
        reply_static(head, "cache-control",
                     is_own ? "private, max-age=1" : "max-age=1, s-maxage=1");
    } else if (call->method != WIRE_METHOD_OPTIONS) {
        reply_static(head, "cache-control", "no-store");
    }
    reply_cors(call, head);
    /* Always, as an answer that a cache keeps for one page must not reach another. */
    if (call->server->ops->origin) {
        reply_static(head, "vary", "Origin");
    }
    reply_hints(call, head);
}
