/* SPDX-License-Identifier: MIT */
/* Answers over HTTP/1.1: a call's queue becomes a head and a body, as they are pulled.
 *
 *   call->outgoing -> [100 Continue] head, then bytes (content-length) or chunks -> caller's buffer
 *
 * Owns: the head of one answer until it has left; a chunk's frame in `small`.
 * The head is written when the first byte is asked for: by then a unary answer is finished, so its
 * length is known and nothing is chunked; a stream is not, and is.
 * Happy path of a unary call: one allocation for the head, one copy of the body.
 * Ends: when all has left the call ends and the next request is read out of what was pipelined; a
 * call that was answered before its request was whole ends too, and the rest is passed over.
 * Fails: out of memory loses the connection. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/limits.h"
#include "wire/h1.h"

#define CHUNK_MAX 16384

static const char *answer_phrase(uint16_t status)
{
    switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return status < 500 ? "Error" : "Internal Server Error";
    }
}

static void answer_put(struct scribe *w, const char *text)
{
    scribe_bytes(w, text, strlen(text));
}

static void answer_field(struct scribe *w, const char *name, struct span value)
{
    answer_put(w, name);
    answer_put(w, ": ");
    scribe_bytes(w, value.ptr, value.len);
    answer_put(w, "\r\n");
}

/* How the body ends, and whether the connection does. */
static void answer_framing(struct wire_h1 *h, const struct wire_head *head, struct scribe *w)
{
    struct wire_call *call = h->call;
    char length[24];
    h->is_chunked = false;
    if (call->is_finished) {
        snprintf(length, sizeof(length), "%zu", wire_queue_len(&call->outgoing));
        if (head->status != 204 && head->status != 304) {
            answer_field(w, "content-length", span_of(length));
        }
    } else if (h->parser.http_minor == 1) {
        h->is_chunked = true;
        answer_put(w, "transfer-encoding: chunked\r\n");
    } else {
        h->is_closing = true; /* HTTP/1.0: the end of the connection is the body's */
    }
    h->is_closing |= h->server->drains > 0;
    if (h->is_closing) {
        answer_put(w, "connection: close\r\n");
    } else if (h->parser.http_minor == 0) {
        answer_put(w, "connection: keep-alive\r\n");
    }
    answer_put(w, "\r\n");
}

static size_t answer_head_max(const struct wire_head *head)
{
    size_t len = 256; /* status line and framing */
    for (size_t i = 0; i < head->count; i++) {
        len += strlen(head->fields[i].name) + head->fields[i].value.len + 4;
    }
    return len;
}

static int answer_head(struct wire_h1 *h)
{
    struct wire_server *s = h->server;
    struct wire_head head;
    wire_reply_head(h->call, &head);
    size_t cap = answer_head_max(&head);
    h->out = s->mem.malloc(cap, s->mem.mem_user_data);
    if (!h->out) {
        return wire_server_fail(s, err_origin(-ENOMEM)), s->failure;
    }
    struct scribe w = scribe_of(h->out, cap);
    char line[64];
    snprintf(line, sizeof(line), "HTTP/1.1 %u %s\r\n", head.status, answer_phrase(head.status));
    answer_put(&w, line);
    for (size_t i = 0; i < head.count; i++) {
        answer_field(&w, head.fields[i].name, head.fields[i].value);
    }
    answer_framing(h, &head, &w);
    CHECK(!w.bad);
    h->out_len = scribe_len(&w);
    h->out_at = 0;
    h->is_head_out = true;
    return 0;
}

static void answer_small(struct wire_h1 *h, const char *text)
{
    size_t len = strlen(text);
    CHECK(h->small_len == h->small_at);
    CHECK(len <= sizeof(h->small));
    memcpy(h->small, text, len);
    h->small_len = (uint8_t)len;
    h->small_at = 0;
}

/* What was written before: 100 Continue, the head, what stands around chunks. */
static size_t answer_written(struct wire_h1 *h, uint8_t *buf, size_t cap)
{
    size_t n = (size_t)h->small_len - h->small_at;
    n = n < cap ? n : cap;
    memcpy(buf, h->small + h->small_at, n);
    h->small_at = (uint8_t)(h->small_at + n);
    if (h->small_at < h->small_len || !h->out) {
        return n;
    }
    size_t more = h->out_len - h->out_at;
    more = more < cap - n ? more : cap - n;
    memcpy(buf + n, h->out + h->out_at, more);
    h->out_at += more;
    if (h->out_at == h->out_len) {
        h->server->mem.free(h->out, h->server->mem.mem_user_data);
        h->out = NULL;
    }
    return n + more;
}

static bool answer_is_written(const struct wire_h1 *h)
{
    return h->small_at == h->small_len && !h->out;
}

/* Bytes of the body; the frame of a chunk is left in `small`. */
static size_t answer_body(struct wire_h1 *h, uint8_t *buf, size_t cap)
{
    struct wire_call *call = h->call;
    size_t len = wire_queue_len(&call->outgoing);
    if (call->method == WIRE_METHOD_HEAD) {
        wire_call_pulled(call, len);
        wire_queue_fini(&call->outgoing, &h->server->mem);
        len = 0;
    }
    if (len == 0) {
        if (call->is_finished) {
            bool has_end = h->is_chunked && call->method != WIRE_METHOD_HEAD;
            answer_small(h, has_end ? "0\r\n\r\n" : "");
            h->is_end_out = true;
        }
        return 0;
    }
    if (h->is_chunked && h->chunk_left == 0) {
        char line[20];
        h->chunk_left = len < CHUNK_MAX ? len : CHUNK_MAX;
        snprintf(line, sizeof(line), "%zx\r\n", h->chunk_left);
        answer_small(h, line);
        return 0;
    }
    size_t n = h->is_chunked && h->chunk_left < cap ? h->chunk_left : cap;
    n = wire_queue_pull(&call->outgoing, buf, n, &h->server->mem);
    if (h->is_chunked) {
        h->chunk_left -= n;
        answer_small(h, h->chunk_left == 0 ? "\r\n" : "");
    }
    wire_call_pulled(call, n);
    return n;
}

/* Has something that can be written now. */
static bool answer_goes_on(const struct wire_h1 *h)
{
    const struct wire_call *call = h->call;
    return call && call->is_answering && !h->is_end_out &&
           (!h->is_head_out || wire_queue_len(&call->outgoing) > 0 || call->is_finished);
}

bool wire_h1_wants_send(const struct wire_h1 *h)
{
    return !answer_is_written(h) || answer_goes_on(h) ||
           (h->call && h->is_end_out); /* the next request waits for a turn */
}

/* The answer has left. */
static int answer_left(struct wire_h1 *h)
{
    struct wire_call *call = h->call;
    call->is_gone = true;
    h->call = NULL;
    wire_call_end(call);
    if (h->state == H1_BODY) {
        return 0; /* the rest is passed over, then comes the next */
    }
    return wire_h1_next(h);
}

int wire_h1_send(struct wire_h1 *h, uint8_t *buf, size_t cap, size_t *ret_len)
{
    size_t len = 0;
    int r = 0;
    while (r >= 0 && !h->server->is_dead) {
        len += answer_written(h, buf + len, cap - len);
        if (!answer_is_written(h)) {
            break;
        }
        if (h->call && h->is_end_out) {
            r = answer_left(h);
        } else if (!answer_goes_on(h) || len == cap) {
            break;
        } else if (!h->is_head_out) {
            r = answer_head(h);
        } else {
            len += answer_body(h, buf + len, cap - len);
        }
    }
    *ret_len = len;
    return r < 0 ? err_trace(r) : 0;
}

bool wire_h1_owed(const struct wire_h1 *h)
{
    return !h->call && ((h->state == H1_HEAD && h->head_len > 0) || h->state == H1_BODY);
}

bool wire_h1_may_half_close(const struct wire_h1 *h)
{
    return h->call ? h->is_whole && (!h->is_head_out || h->call->is_finished) : h->state == H1_HEAD;
}

bool wire_h1_done(const struct wire_h1 *h)
{
    if (wire_h1_wants_send(h) || h->call) {
        return false;
    }
    return h->state == H1_OVER || h->server->drains >= 2;
}
