/* SPDX-License-Identifier: MIT */
/* What a request wants: its headers, whatever carried them, become an open call or a refusal.
 *
 *   header* -> wire_face_header: what is wanted of it, each checked where it stands
 *   headers complete -> wire_face_open:
 *     gRPC by POST ------------------------------------------------+-> call_open
 *     gRPC-Web, Connect by POST: path known, type fits the method -+
 *     Connect by GET: no side effects, query whole ----------------+
 *     OPTIONS from a page: may it call? -> 204 with what it may send (CORS)
 *     else refused as HTTP: 404, 405, 415, ... with an error of Connect's form and our details
 *
 * Owns nothing: values are nghttp2's counted buffers or stand in the HTTP/1.1 head.
 * Happy path: gRPC is seen first and costs no more than before there were others.
 * Cross-origin: only what ops->origin() allows is named in an answer; an origin that is not allowed
 * is told so at its preflight, and gets answers that no browser hands to the page.
 * Invariant: call_open is called once, for calls that are not refused here. */
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/limits.h"
#include "wire/connect.h"
#include "wire/server.h"
#include "wire/value.h"

/* -- headers ----------------------------------------------------------------------------------- */

static bool face_is(struct span name, const char *what)
{
    return memcmp(name.ptr, what, name.len) == 0;
}

static void face_keep(struct wire_value *slot, struct span value, nghttp2_rcbuf *held)
{
    if (slot->held) {
        nghttp2_rcbuf_decref(slot->held);
    }
    if (held) {
        nghttp2_rcbuf_incref(held);
    }
    *slot = (struct wire_value){wire_value_trim(value), held};
}

static enum wire_method face_method(struct span value)
{
    static const char *const names[] = {
        [WIRE_METHOD_POST] = "POST", [WIRE_METHOD_GET] = "GET", [WIRE_METHOD_HEAD] = "HEAD",
        [WIRE_METHOD_OPTIONS] = "OPTIONS"};
    for (size_t i = WIRE_METHOD_POST; i < ARRAY_COUNT(names); i++) {
        if (span_equal(value, span_of(names[i]))) {
            return (enum wire_method)i;
        }
    }
    return WIRE_METHOD_OTHER;
}

static bool face_is_identity(struct span value)
{
    value = wire_value_trim(value);
    return value.len == 0 || wire_value_same(value, "identity");
}

/* Twelve letters: the two headers of that length. */
static void face_header_12(struct wire_call *call, struct span name, struct span value)
{
    enum wire_protocol protocol = WIRE_GRPC;
    enum wire_encoding encoding = WIRE_PROTO;
    if (face_is(name, "content-type")) {
        value = wire_value_trim(value);
        call->is_typed = wire_value_face(value, &protocol, &encoding);
        call->is_form = wire_value_same(value, "application/x-www-form-urlencoded");
        call->protocol = (uint8_t)protocol;
        call->encoding = (uint8_t)encoding;
    } else if (face_is(name, "grpc-timeout") &&
               !wire_value_timeout_parse(wire_value_trim(value), &call->timeout_us)) {
        call->is_header_invalid = true;
    }
}

/* What only browsers and Connect send. */
static void face_header_long(struct wire_call *call, struct span name, struct span value)
{
    value = wire_value_trim(value);
    if (name.len == 16 && face_is(name, "content-encoding")) {
        call->is_encoded |= !face_is_identity(value);
    } else if (name.len == 18 && face_is(name, "connect-timeout-ms")) {
        call->is_header_invalid |= !wire_connect_timeout(value, &call->timeout_us);
    } else if (name.len == 24 && face_is(name, "connect-content-encoding")) {
        call->is_connect_encoded |= !face_is_identity(value);
    } else if (name.len == 24 && face_is(name, "connect-protocol-version")) {
        call->is_version_wrong |= !span_equal(value, span_of("1"));
    } else if (name.len == 29 && face_is(name, "access-control-request-method")) {
        call->is_preflight = true;
    }
}

void wire_face_header(struct wire_call *call, struct span name, struct span value,
                      nghttp2_rcbuf *held)
{
    switch (name.len) {
    case 5:
        if (face_is(name, ":path")) {
            face_keep(&call->path, value, held);
        }
        return;
    case 6:
        if (face_is(name, "origin")) {
            face_keep(&call->origin, value, held);
        }
        return;
    case 7:
        if (face_is(name, ":method")) {
            call->method = (uint8_t)face_method(value);
        }
        return;
    case 11:
        if (face_is(name, "traceparent")) {
            face_keep(&call->traceparent, value, held);
        }
        return;
    case 12:
        face_header_12(call, name, value);
        return;
    case 13:
        if (face_is(name, "authorization")) {
            /* Which of two would count is a guess that another hop may make differently. */
            call->is_twice_authorized |= call->authorization.bytes.ptr != NULL;
            face_keep(&call->authorization, value, held);
        } else if (face_is(name, "if-none-match")) {
            face_keep(&call->none_match, value, held);
        }
        return;
    default:
        if (name.len >= 16) {
            face_header_long(call, name, value);
        }
    }
}

/* -- the call ---------------------------------------------------------------------------------- */

static int face_opened(struct wire_call *call)
{
    struct wire_server *s = call->server;
    if (call->is_twice_authorized) {
        return err_trace(wire_call_refuse(call, WIRE_REFUSAL_AUTHORIZATION_TWICE));
    }
    if (call->is_header_invalid) {
        return err_trace(wire_call_refuse(call, WIRE_REFUSAL_HEADERS_INVALID));
    }
    call->is_open = true;
    s->calls_count++;
    wire_meter_earn(&s->meter, WIRE_FRAMES_PER_CALL);
    s->ops->call_open(s->user, call);
    return 0;
}

/* Refused as HTTP: the answer has Connect's form, whatever the request was. */
static int face_refuse(struct wire_call *call, enum wire_refusal why)
{
    call->protocol = WIRE_CONNECT;
    call->encoding = WIRE_JSON;
    return err_trace(wire_call_refuse(call, why));
}

static int face_options(struct wire_call *call)
{
    if (call->origin.bytes.ptr && call->is_preflight && call->origin_verdict == WIRE_ORIGIN_NO) {
        return face_refuse(call, WIRE_REFUSAL_ORIGIN);
    }
    call->protocol = WIRE_CONNECT;
    call->encoding = WIRE_JSON;
    call->http_status = 204;
    return err_trace(wire_call_finish(call, 0, (struct span){0}, (struct span){0}));
}

static int face_get(struct wire_call *call)
{
    if ((call->facts & WIRE_PATH_GET) == 0) {
        return face_refuse(call, WIRE_REFUSAL_METHOD_GET);
    }
    struct wire_query query;
    wire_connect_query(call->query, &query);
    call->protocol = WIRE_CONNECT;
    call->encoding = WIRE_JSON;
    if (query.connect.len > 0 && !span_equal(query.connect, span_of("v1"))) {
        return face_refuse(call, WIRE_REFUSAL_CONNECT_VERSION);
    }
    if (!query.has_message || query.encoding.len == 0) {
        return face_refuse(call, WIRE_REFUSAL_QUERY);
    }
    if (!face_is_identity(query.compression)) {
        return face_refuse(call, WIRE_REFUSAL_COMPRESSED);
    }
    if (span_equal(query.encoding, span_of("proto"))) {
        call->encoding = WIRE_PROTO;
    } else if (!span_equal(query.encoding, span_of("json"))) {
        return face_refuse(call, WIRE_REFUSAL_CONTENT_TYPE);
    }
    return face_opened(call);
}

static int face_post(struct wire_call *call)
{
    bool is_stream = (call->facts & WIRE_PATH_STREAM) != 0;
    if (call->is_form && !call->origin.bytes.ptr) {
        /* curl that was told nothing.  A page's form says the same, but browsers send it anywhere
         * without asking first, and with the page's origin: it is never taken. */
        call->protocol = WIRE_CONNECT;
        call->encoding = WIRE_JSON;
        call->is_typed = true;
    }
    if (!call->is_typed || (call->protocol == WIRE_CONNECT && is_stream) ||
        (call->protocol == WIRE_CONNECT_STREAM && !is_stream)) {
        return face_refuse(call, WIRE_REFUSAL_CONTENT_TYPE);
    }
    if (call->protocol == WIRE_GRPC) { /* by HTTP/1.1: see wire_face_open() */
        return face_refuse(call, WIRE_REFUSAL_HTTP_GRPC);
    }
    if (call->is_version_wrong) {
        return err_trace(wire_call_refuse(call, WIRE_REFUSAL_CONNECT_VERSION));
    }
    if (call->is_encoded || (call->is_connect_encoded && call->protocol == WIRE_CONNECT_STREAM)) {
        return err_trace(wire_call_refuse(call, WIRE_REFUSAL_COMPRESSED));
    }
    return face_opened(call);
}

/* "/path?query" -> "/path" and "query". */
static void face_cut_query(struct wire_call *call)
{
    struct span *path = &call->path.bytes;
    const uint8_t *mark = path->len ? memchr(path->ptr, '?', path->len) : NULL;
    if (mark) {
        size_t len = (size_t)(mark - path->ptr);
        call->query = (struct span){mark + 1, path->len - len - 1};
        path->len = len;
    }
}

/* Whatever is not gRPC over HTTP/2. */
static int face_open_http(struct wire_call *call)
{
    struct wire_server *s = call->server;
    face_cut_query(call);
    call->facts = (uint8_t)(s->ops->path_facts ? s->ops->path_facts(s->user, call->path.bytes)
                                               : WIRE_PATH_KNOWN);
    if (call->origin.bytes.ptr && s->ops->origin) {
        call->origin_verdict = (uint8_t)s->ops->origin(s->user, call->origin.bytes);
    }
    if (call->method == WIRE_METHOD_OPTIONS) {
        return face_options(call);
    }
    if ((call->facts & WIRE_PATH_KNOWN) == 0 && call->protocol != WIRE_GRPC_WEB &&
        call->protocol != WIRE_GRPC_WEB_TEXT) {
        return face_refuse(call, WIRE_REFUSAL_PATH);
    }
    switch (call->method) {
    case WIRE_METHOD_POST:
        return face_post(call);
    case WIRE_METHOD_GET:
    case WIRE_METHOD_HEAD:
        return face_get(call);
    default:
        return face_refuse(call, WIRE_REFUSAL_METHOD);
    }
}

int wire_face_open(struct wire_call *call)
{
    if (call->is_header_over) {
        if (!call->is_typed) {
            call->protocol = call->server->h1 ? WIRE_CONNECT : WIRE_GRPC;
        }
        return err_trace(wire_call_refuse(call, call->is_token_over
                                                    ? WIRE_REFUSAL_AUTHORIZATION_TOO_LARGE
                                                    : WIRE_REFUSAL_HEADERS_TOO_LARGE));
    }
    if (call->protocol == WIRE_GRPC && call->is_typed && call->method == WIRE_METHOD_POST &&
        call->server->session) {
        return err_trace(face_opened(call));
    }
    return err_trace(face_open_http(call));
}
