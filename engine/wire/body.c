/* SPDX-License-Identifier: MIT */
/* What comes after a request's headers: bytes become messages, whatever carried them.
 *
 *   gRPC, gRPC-Web, Connect streams:  bytes -> frame.c -> call_message, each
 *   gRPC-Web text:  letters -> groups of four -> bytes -> frame.c (padding may stand anywhere)
 *   Connect unary:  bytes are kept until the request ends -> call_message, once
 *   Connect GET:    the request's end -> message out of the query -> call_message, once
 *   end of the request -> call_half_closed, or refused: it ends inside a message
 *
 * Owns: the message that comes in pieces (call->incoming), within message_bytes for one and
 * WIRE_ASSEMBLY_MAX for all of a connection.
 * Fails: out of memory is < 0 and ends the connection; what is hostile is a refusal.
 * Invariant: server->assembly_bytes is the sum of all calls' incoming. */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/limit.h"
#include "base/limits.h"
#include "wire/connect.h"
#include "wire/server.h"
#include "wire/value.h"

#define TEXT_BYTES 1536 /* decoded at a time */

static uint32_t body_max(const struct wire_server *s)
{
    return limit_is_on("message") ? s->limits.message_bytes : INT32_MAX;
}

/* Nothing more is heard of it: what came in part is of no use. */
static void body_forget(struct wire_call *call)
{
    struct wire_server *s = call->server;
    s->assembly_bytes -= call->incoming.bytes_cap;
    wire_frame_fini(&call->incoming, &s->mem);
}

static void body_message(struct wire_call *call, struct span message)
{
    struct wire_server *s = call->server;
    wire_meter_earn(&s->meter, WIRE_FRAMES_PER_MESSAGE);
    s->ops->call_message(s->user, call, message);
}

/* What a verdict of frame.c means for the call. */
static int body_verdict(struct wire_call *call, int r)
{
    struct wire_server *s = call->server;
    if (r == WIRE_FRAME_COMPRESSED) {
        return wire_call_refuse(call, WIRE_REFUSAL_COMPRESSED);
    }
    if (r == WIRE_FRAME_TOO_LARGE) {
        return wire_call_refuse(call, WIRE_REFUSAL_MESSAGE_TOO_LARGE);
    }
    if (r == 0 && s->assembly_bytes > WIRE_ASSEMBLY_MAX && limit_is_on("assembly")) {
        return wire_call_refuse(call, WIRE_REFUSAL_ASSEMBLY_FULL);
    }
    return r < 0 ? err_trace(r) : 0;
}

static int body_frames(struct wire_call *call, struct span input)
{
    struct wire_server *s = call->server;
    struct span message;
    int r = WIRE_FRAME_MESSAGE;
    while (r == WIRE_FRAME_MESSAGE && wire_body_is_heard(call)) {
        size_t cap = call->incoming.bytes_cap;
        r = wire_frame_push(&call->incoming, &input, body_max(s), &s->mem, &message);
        s->assembly_bytes += call->incoming.bytes_cap - cap;
        if (r == WIRE_FRAME_MESSAGE) {
            body_message(call, message);
        }
    }
    s->assembly_bytes -= call->incoming.bytes_cap;
    wire_frame_rest(&call->incoming, &s->mem);
    s->assembly_bytes += call->incoming.bytes_cap;
    return err_trace(body_verdict(call, r));
}

static int body_gather(struct wire_call *call, struct span input)
{
    struct wire_server *s = call->server;
    size_t cap = call->incoming.bytes_cap;
    int r = wire_frame_gather(&call->incoming, input, body_max(s), &s->mem);
    s->assembly_bytes += call->incoming.bytes_cap - cap;
    return err_trace(body_verdict(call, r));
}

/* The letters that wait, decoded; false: they are no base64. */
static bool body_group(struct wire_call *call, uint8_t *out, size_t *ret_len)
{
    struct span letters = {call->text_rest, call->text_have};
    call->text_have = 0;
    return wire_value_base64_decode(letters, out, ret_len);
}

/* What stands before a letter that is none is still handed on: however the bytes came, the same
 * messages did. */
static int body_text(struct wire_call *call, struct span input)
{
    uint8_t bytes[TEXT_BYTES + 4];
    size_t at = 0;
    bool is_base64 = true;
    while (at < input.len && is_base64 && wire_body_is_heard(call)) {
        size_t len = 0;
        while (at < input.len && len < TEXT_BYTES && is_base64) {
            call->text_rest[call->text_have++] = input.ptr[at++];
            size_t n = 0;
            is_base64 = call->text_have < 4 || body_group(call, bytes + len, &n);
            len += is_base64 ? n : 0;
        }
        int r = body_frames(call, (struct span){bytes, len});
        if (r < 0) {
            return err_trace(r);
        }
    }
    return is_base64 || !wire_body_is_heard(call)
               ? 0
               : err_trace(wire_call_refuse(call, WIRE_REFUSAL_BASE64));
}

int wire_body_bytes(struct wire_call *call, struct span input)
{
    if (!wire_body_is_heard(call)) {
        return 0;
    }
    int r;
    switch (call->protocol) {
    case WIRE_CONNECT:
        r = call->method == WIRE_METHOD_POST ? body_gather(call, input) : 0;
        break;
    case WIRE_GRPC_WEB_TEXT:
        r = body_text(call, input);
        break;
    default:
        r = body_frames(call, input);
    }
    if (!wire_body_is_heard(call)) {
        body_forget(call);
    }
    return err_trace(r);
}

/* -- the end ----------------------------------------------------------------------------------- */

/* The one message of a call by GET stands in its query; face.c has looked at the rest of it. */
static int body_query(struct wire_call *call)
{
    struct wire_server *s = call->server;
    struct wire_query query;
    wire_connect_query(call->query, &query);
    uint8_t *bytes = s->mem.malloc(query.message.len + 1, s->mem.mem_user_data);
    if (!bytes) {
        return err_origin(-ENOMEM);
    }
    size_t len = 0;
    int r = 0;
    if (wire_connect_message(&query, bytes, &len)) {
        body_message(call, (struct span){bytes, len});
    } else {
        r = wire_call_refuse(call, WIRE_REFUSAL_QUERY);
    }
    s->mem.free(bytes, s->mem.mem_user_data);
    return err_trace(r);
}

/* What is still kept, as the end of the request makes it whole. */
static int body_rest(struct wire_call *call)
{
    if (call->protocol == WIRE_CONNECT) {
        if (call->method != WIRE_METHOD_POST) {
            return err_trace(body_query(call));
        }
        body_message(call, (struct span){call->incoming.bytes, call->incoming.have});
        body_forget(call);
        return 0;
    }
    if (call->text_have > 0) {
        uint8_t bytes[4];
        size_t len = 0;
        if (!body_group(call, bytes, &len)) {
            return err_trace(wire_call_refuse(call, WIRE_REFUSAL_BASE64));
        }
        return err_trace(body_frames(call, (struct span){bytes, len}));
    }
    return 0;
}

int wire_body_end(struct wire_call *call)
{
    struct wire_server *s = call->server;
    call->is_half_closed = true;
    int r = wire_body_is_heard(call) ? body_rest(call) : 0;
    if (r < 0 || !wire_body_is_heard(call)) {
        body_forget(call);
        return err_trace(r);
    }
    if (wire_frame_inside(&call->incoming)) {
        body_forget(call);
        return err_trace(wire_call_refuse(call, WIRE_REFUSAL_TRUNCATED));
    }
    s->ops->call_half_closed(s->user, call);
    return 0;
}
