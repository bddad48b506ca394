/* SPDX-License-Identifier: MIT */
/* Requests as they come in over HTTP/2: nghttp2's events become calls and messages.
 *
 *   begin_headers -> header* -> frame(HEADERS) -> face.c -> call_open, or refused
 *   data_chunk* -> body.c -> call_message, or refused
 *   END_STREAM  -> body.c -> call_half_closed, or refused
 *   stream_close -> call_closed
 *
 * Owns nothing; the call objects are call.c's.
 * Flow control: bytes are given back to the peer once the gateway has seen them, or once they are
 * kept under WIRE_ASSEMBLY_MAX (a message may be larger than a window, so keeping must not wait).
 * Floods: nghttp2 limits resets by the peer, CONTINUATION, SETTINGS and acks; it lets PRIORITY,
 * unknown frames, WINDOW_UPDATE, empty DATA and resets that the peer provokes go on for ever
 * (measured).  meter.c charges for every frame and is paid here by calls, messages and answers;
 * every reset of ours costs one of another budget.
 * Fails: out of memory ends the connection; everything hostile is a refusal, a reset or a GOAWAY.
 * Time pays a little as well (wire_server_time), for connections that are idle for days.
 * Road not taken: frame rates per second alone, as work already measures what is honest. */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/limit.h"
#include "base/limits.h"
#include "wire/server.h"

static struct wire_call *intake_call(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

static int intake_result(struct wire_server *s, int r)
{
    return r < 0 ? wire_server_fail(s, r) : 0;
}

/* -- budgets ----------------------------------------------------------------------------------- */

static void intake_spend(struct wire_server *s, int32_t frames)
{
    if (!wire_meter_spend(&s->meter, frames)) {
        wire_server_calm(s, WIRE_END_FRAMES);
    }
}

/* DATA of ours went.  What a tiny window alone made so small pays for nothing: a peer that grants
 * one byte at a time would earn more frames than it spends. */
static void intake_earn_data(struct wire_server *s, const nghttp2_frame *frame)
{
    struct wire_call *call = nghttp2_session_get_stream_user_data(s->session,
                                                                  frame->hd.stream_id);
    bool is_rest_waiting = call && wire_queue_len(&call->outgoing) > 0;
    if (frame->hd.length >= WIRE_FRAME_SMALL || !is_rest_waiting || !limit_is_on("dribble")) {
        wire_meter_earn(&s->meter, WIRE_FRAMES_PER_DATA);
    }
}

/* -- headers ----------------------------------------------------------------------------------- */

static int intake_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct wire_server *s = user;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    struct wire_call *call = wire_call_new(s, frame->hd.stream_id);
    if (!call) {
        return wire_server_fail(s, err_origin(-ENOMEM));
    }
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call);
    s->opening = call;
    return 0;
}

/* The list is over its limit.  A header that does not fit is not kept, but a token that would be
 * too long on its own is the caller's fault, and told so: every token over TOKEN_MAX is status
 * 16. */
static void intake_header_over(struct wire_call *call, nghttp2_vec name, size_t value_len)
{
    bool is_token = name.len == 13 && memcmp(name.base, "authorization", 13) == 0;
    call->is_token_over |= is_token && value_len > TOKEN_MAX;
}

static int intake_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                         nghttp2_rcbuf *value, uint8_t flags, void *user)
{
    struct wire_server *s = user;
    struct wire_call *call = s->opening;
    if (!call || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0; /* a client's trailers: gRPC has none */
    }
    nghttp2_vec name_bytes = nghttp2_rcbuf_get_buf(name);
    nghttp2_vec value_bytes = nghttp2_rcbuf_get_buf(value);
    size_t value_len = value_bytes.len;
    size_t len = name_bytes.len + value_len + 32;
    if (!call->is_header_over && len > s->limits.header_bytes - call->header_bytes &&
        limit_is_on("headers")) {
        call->is_header_over = true;
        call->is_token_over = wire_call_authorization(call).len > TOKEN_MAX;
        intake_spend(s, WIRE_HEADERS_FRAMES);
    }
    if (call->is_header_over) {
        intake_header_over(call, name_bytes, value_len);
        return 0;
    }
    call->header_bytes += (uint32_t)len;
    wire_face_header(call, (struct span){name_bytes.base, name_bytes.len},
                     (struct span){value_bytes.base, value_bytes.len}, value);
    return 0;
}

/* -- messages ---------------------------------------------------------------------------------- */

static int intake_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                             const uint8_t *data, size_t len, void *user)
{
    struct wire_server *s = user;
    struct wire_call *call = intake_call(session, stream_id);
    int r = call ? wire_body_bytes(call, (struct span){data, len}) : 0;
    if (r == 0 && nghttp2_session_consume(session, stream_id, len) == NGHTTP2_ERR_NOMEM) {
        r = err_origin(-ENOMEM);
    }
    return intake_result(s, r);
}

/* -- frames ------------------------------------------------------------------------------------ */

static int intake_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct wire_server *s = user;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        s->is_greeted |= frame->hd.type == NGHTTP2_SETTINGS;
        if (frame->hd.type == NGHTTP2_PING && !(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
            wire_server_pinged(s);
        }
        return 0;
    }
    struct wire_call *call = intake_call(session, frame->hd.stream_id);
    if (!call) {
        return 0;
    }
    int r = 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        s->opening = NULL;
        r = wire_face_open(call);
    }
    if (r == 0 && frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        r = wire_body_end(call);
    }
    return intake_result(s, r);
}

/* The last frame of an answer left.  A client that still sends is told not to. */
static int intake_answered(nghttp2_session *session, const nghttp2_frame *frame,
                           struct wire_server *s)
{
    struct wire_call *call = intake_call(session, frame->hd.stream_id);
    if (!call) {
        return 0;
    }
    call->is_gone = true;
    if (!call->is_half_closed &&
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                  NGHTTP2_NO_ERROR) == NGHTTP2_ERR_NOMEM) {
        return wire_server_fail(s, err_origin(-ENOMEM));
    }
    return 0;
}

/* A frame of ours left: the answer's end, or a reset. */
static int intake_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct wire_server *s = user;
    if (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) {
        s->is_ping_free = true; /* clients measure their window with pings behind data */
        s->ping_strikes = 0;
    }
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
        intake_earn_data(s, frame);
        break;
    case NGHTTP2_HEADERS:
        break;
    case NGHTTP2_RST_STREAM:
        if (frame->rst_stream.error_code == NGHTTP2_REFUSED_STREAM) {
            intake_spend(s, 1); /* over streams_max: cheap, and honest before our SETTINGS came */
        } else if (frame->rst_stream.error_code != NGHTTP2_NO_ERROR && --s->resets_left < 0) {
            wire_server_calm(s, WIRE_END_RESETS);
        }
        return 0;
    case NGHTTP2_GOAWAY:
        if (frame->goaway.error_code != NGHTTP2_NO_ERROR) {
            /* nghttp2 calls too many resets by the peer an internal error. */
            wire_server_ends(s, frame->goaway.error_code == NGHTTP2_INTERNAL_ERROR
                                    ? WIRE_END_CANCELS
                                    : WIRE_END_PROTOCOL);
            s->is_closing = true;
        }
        return 0;
    default:
        return 0;
    }
    return frame->hd.flags & NGHTTP2_FLAG_END_STREAM ? intake_answered(session, frame, s) : 0;
}

static int intake_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                               void *user)
{
    struct wire_call *call = intake_call(session, stream_id);
    if (call) {
        nghttp2_session_set_stream_user_data(session, stream_id, NULL);
        wire_call_end(call);
    }
    return 0;
}

void wire_intake_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, intake_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, intake_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, intake_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, intake_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, intake_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, intake_stream_close);
}
