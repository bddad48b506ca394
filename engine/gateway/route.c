/* SPDX-License-Identifier: MIT */
/* Routes: the first look at a call.
 *
 *   path -> health, reflection: answered on the loop, no token, no queue
 *        -> a method that is served -> admit.c
 *        -> a method that is planned, or none: status 12
 *
 * Owns: the tables.  Happy path: health first, because it is asked most often and must stay cheap.
 * Fails: by refusing the call; whatever comes later on a refused call is ignored.
 * Invariant: a route that takes one message sees `message` at most once, and `half_closed` only
 * after it. */
#include "gateway/route.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/limit.h"
#include "gateway/admit.h"
#include "gateway/answer.h"
#include "gateway/conn.h"
#include "gateway/face.h"
#include "gateway/health.h"
#include "gateway/inside.h"
#include "gateway/reflect.h"
#include "wire/wire.h"

static const struct route route_builtin[] = {
    {"/grpc.health.v1.Health/Check", true, true, NULL, health_check_message,
     health_check_half_closed},
    {"/grpc.health.v1.Health/Watch", true, false, health_watch_open, health_watch_message, NULL},
    {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", false, true, reflect_open,
     reflect_message, reflect_half_closed},
    {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", false, true, reflect_open,
     reflect_message, reflect_half_closed},
};

static const struct route route_method = {NULL, true, true, admit_open, admit_message,
                                          admit_half_closed};

/* As those, but a stream: it ends when its client wants. */
static const struct route route_watch = {NULL, true, false, admit_open, admit_message,
                                         admit_half_closed};

static const struct route *route_find(struct span path)
{
    for (size_t i = 0; i < ARRAY_COUNT(route_builtin); i++) {
        if (span_equal(span_of(route_builtin[i].path), path)) {
            return &route_builtin[i];
        }
    }
    return NULL;
}

bool route_is_served(struct span path)
{
    const struct codec_method *method = codec_method_find(path);
    return route_find(path) != NULL || (method && method->kind != 0);
}

/* Arms the call's deadline: the client's, cut to our limit, or ours. */
static void route_deadline(struct call *call)
{
    struct gateway *g = call_gateway(call);
    int64_t asked_us = wire_call_timeout_us(call->wire);
    uint64_t ms = g->options->deadline_ms > 0 ? (uint64_t)g->options->deadline_ms : DEADLINE_MS;
    if (asked_us < 0 && !call->route->has_end && call->method == NULL) {
        return;
    }
    if (asked_us >= 0) {
        uint64_t asked_ms = ((uint64_t)asked_us + 999) / 1000;
        call->has_own_deadline = asked_ms <= DEADLINE_MS_MAX || !call->route->has_end;
        ms = call->has_own_deadline ? asked_ms : DEADLINE_MS_MAX;
    }
    /* One more: uv_now() is cut to whole milliseconds, and nobody's time may end early. */
    deadline_arm(&g->deadlines, &call->deadline, uv_now(&g->loop) + ms + 1);
}

static bool route_is_stream(const struct codec_method *method)
{
    return method->kind == COMMAND_WATCH_SLOTS || method->kind == COMMAND_WATCH_TICKET ||
           method->kind == COMMAND_WATCH_EVENTS || method->kind == COMMAND_EXPORT_RELEASE;
}

static bool route_is_catalogue(const struct codec_method *method)
{
    static const char service[] = "/fairslot.v1.CatalogService/";
    return strncmp(method->path, service, sizeof service - 1) == 0;
}

/* Where operators have a listener of their own, their methods are served there alone; and there is
 * nothing else for them but the catalogue, so that no operator books by mistake. */
static bool route_belongs(const struct call *call)
{
    const struct conn *conn = call->conn;
    if (conn->is_admin) {
        return call->method->needs_role || route_is_catalogue(call->method);
    }
    return !call->method->needs_role || conn->gateway->front->admin_tls == NULL;
}

void route_call_open(void *user, struct wire_call *wire)
{
    struct conn *conn = user;
    struct gateway *g = conn->gateway;
    struct call *call = call_new(&g->calls, conn, wire);
    wire_call_set_user(wire, call);
    if (call == NULL) {
        if (answer_wire(g, wire, REASON_GATEWAY_FULL, "too many calls") < 0) {
            conn_fail(conn);
        }
        return;
    }
    if (!guard_has_room(g)) {
        answer_reason(call, REASON_GATEWAY_FULL, "too much memory is in use");
        return;
    }
    call->route = route_find(wire_call_path(wire));
    if (call->route == NULL) {
        call->method = codec_method_find(wire_call_path(wire));
        if (call->method == NULL) {
            answer_reason(call, REASON_METHOD_UNKNOWN, NULL);
            return;
        }
        if (!route_belongs(call)) {
            answer_reason(call, REASON_LISTENER_WRONG, NULL);
            return;
        }
        if (call->method->kind == 0) {
            answer_reason(call, REASON_METHOD_PLANNED, NULL);
            return;
        }
        call->route = route_is_stream(call->method) ? &route_watch : &route_method;
    }
    if (!guard_await(call)) {
        return;
    }
    route_deadline(call);
    if (wire_call_timeout_us(wire) == 0 && limit_is_on("deadline")) {
        call_expired(call); /* else a quick shard might be in time for no time at all */
        return;
    }
    if (call->route->open) {
        call->route->open(call);
    }
}

void route_call_message(void *user, struct wire_call *wire, struct span message)
{
    struct call *call = wire_call_user(wire);
    if (call == NULL || call->state == CALL_ANSWERED) {
        return;
    }
    if (call->route->takes_one && call->messages) {
        answer_reason(call, REASON_MESSAGE_MALFORMED, "this method takes one message");
        return;
    }
    call->messages = 1;
    /* admit.c reads JSON once the token is good. */
    if (call->method == NULL && !face_request(call, message, &message)) {
        return;
    }
    guard_heard(call);
    call->route->message(call, message);
}

void route_call_half_closed(void *user, struct wire_call *wire)
{
    struct call *call = wire_call_user(wire);
    if (call == NULL || call->state == CALL_ANSWERED) {
        return;
    }
    call->is_half_closed = true;
    if (call->route->takes_one && call->messages == 0) {
        answer_reason(call, REASON_MESSAGE_MALFORMED, "this method takes one message, none came");
        return;
    }
    if (call->route->half_closed) {
        call->route->half_closed(call);
    }
}

/* What wire refuses by itself, in our words. */
static const struct codec_refusal route_refusals[] = {
    [WIRE_REFUSAL_MESSAGE_TOO_LARGE] = {.reason = REASON_MESSAGE_TOO_LARGE},
    [WIRE_REFUSAL_HEADERS_TOO_LARGE] = {.reason = REASON_HEADERS_TOO_LARGE},
    [WIRE_REFUSAL_ASSEMBLY_FULL] = {.reason = REASON_RATE_LIMITED,
                                    .detail = "too many half-sent messages on this connection"},
    [WIRE_REFUSAL_HEADERS_INVALID] = {.reason = REASON_MESSAGE_MALFORMED,
                                      .detail = "the call's time limit cannot be read"},
    [WIRE_REFUSAL_TRUNCATED] = {.reason = REASON_MESSAGE_MALFORMED,
                                .detail = "the request ends inside a message"},
    [WIRE_REFUSAL_COMPRESSED] = {.reason = REASON_COMPRESSION_UNSUPPORTED},
    [WIRE_REFUSAL_AUTHORIZATION_TWICE] = {.reason = REASON_TOKEN_INVALID,
                                          .detail = "the authorization header stands twice"},
    [WIRE_REFUSAL_AUTHORIZATION_TOO_LARGE] = {.reason = REASON_TOKEN_INVALID,
                                              .detail = "it is longer than 8 KiB"},
    [WIRE_REFUSAL_BASE64] = {.reason = REASON_MESSAGE_MALFORMED, .detail = "it is not base64"},
    [WIRE_REFUSAL_HTTP_INVALID] = {.reason = REASON_HTTP_MALFORMED},
    [WIRE_REFUSAL_HTTP_VERSION] = {.reason = REASON_HTTP_MALFORMED},
    [WIRE_REFUSAL_HTTP_GRPC] = {.reason = REASON_CONTENT_TYPE_UNSUPPORTED},
    [WIRE_REFUSAL_LINE_TOO_LONG] = {.reason = REASON_HEADERS_TOO_LARGE},
    [WIRE_REFUSAL_LENGTH_MISSING] = {.reason = REASON_HTTP_MALFORMED},
    [WIRE_REFUSAL_EXPECTATION] = {.reason = REASON_HTTP_MALFORMED},
    [WIRE_REFUSAL_PIPE_FULL] = {.reason = REASON_RATE_LIMITED},
    [WIRE_REFUSAL_METHOD] = {.reason = REASON_HTTP_METHOD_WRONG},
    [WIRE_REFUSAL_METHOD_GET] = {.reason = REASON_HTTP_METHOD_WRONG},
    [WIRE_REFUSAL_PATH] = {.reason = REASON_METHOD_UNKNOWN},
    [WIRE_REFUSAL_CONTENT_TYPE] = {.reason = REASON_CONTENT_TYPE_UNSUPPORTED},
    [WIRE_REFUSAL_ORIGIN] = {.reason = REASON_ORIGIN_NOT_ALLOWED},
    [WIRE_REFUSAL_CONNECT_VERSION] = {.reason = REASON_HTTP_MALFORMED},
    [WIRE_REFUSAL_QUERY] = {.reason = REASON_HTTP_MALFORMED},
};

void route_call_refused(void *user, struct wire_call *wire, enum wire_refusal why)
{
    struct conn *conn = user;
    struct call *call = wire_call_user(wire);
    struct codec_refusal refusal = {.reason = REASON_INTERNAL};
    if ((size_t)why < ARRAY_COUNT(route_refusals)) {
        refusal = route_refusals[why];
    }
    if (refusal.detail == NULL && why >= WIRE_REFUSAL_HTTP_INVALID) {
        refusal.detail = wire_refusal_text(why);
    }
    if (call) {
        answer_refuse(call, &refusal);
    } else if (answer_wire(conn->gateway, wire, refusal.reason, refusal.detail) < 0) {
        conn_fail(conn);
    }
}

void route_call_closed(void *user, struct wire_call *wire, bool finished)
{
    struct call *call = wire_call_user(wire);
    if (call) {
        call_move(call, CALL_GONE);
    }
}
