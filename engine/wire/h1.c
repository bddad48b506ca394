/* SPDX-License-Identifier: MIT */
/* Requests over HTTP/1.1.
 *
 *   bytes -> head: kept until its empty line, each line looked at -> llhttp -> face.c -> call_open
 *         -> body: llhttp (length or chunks) -> body.c -> call_message, call_half_closed
 *         -> behind it: kept until the answer has left, then the next head
 *
 * Owns: the head (a call's header values stand in it), the bytes that wait behind a request.
 * One request at a time: answers leave in the order of their requests by themselves, and who pipes
 * more than WIRE_H1_PIPE_MAX gets the answers of what was kept, then 429, then the end.
 * Smuggling: a hop before us may part requests elsewhere than we do, so whatever two readers could
 * take for two things ends the connection with 400: bare CR or LF, a folded line, a blank before a
 * colon, length and chunks together or twice, any transfer coding but chunked, NUL.  llhttp is
 * built strict and finds most of it; the scan of the head finds the line ends that it forgives.
 * An answer that leaves before its body came passes over the rest, up to WIRE_H1_REST_MAX, so that
 * the client can read it; the connection goes on where the rest was short.
 * Fails: out of memory is < 0; everything hostile is a refusal, after which the connection ends.
 * Road not taken: several requests at once; those who want that speak HTTP/2. */
#include "wire/h1.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/limit.h"
#include "base/limits.h"
#include "wire/value.h"

#define HEAD_CAP 1024 /* at first: a browser's is about so long */

static void *h1_grow(struct wire_h1 *h, void *ptr, size_t size)
{
    nghttp2_mem *mem = &h->server->mem;
    return mem->realloc(ptr, size, mem->mem_user_data);
}

static void h1_free(struct wire_h1 *h, uint8_t **ptr)
{
    nghttp2_mem *mem = &h->server->mem;
    if (*ptr) {
        mem->free(*ptr, mem->mem_user_data);
        *ptr = NULL;
    }
}

/* -- refusals ---------------------------------------------------------------------------------- */

/* The last word on this connection. */
static int h1_refuse(struct wire_h1 *h, enum wire_refusal why)
{
    struct wire_server *s = h->server;
    bool is_answered = !h->call && h->state == H1_BODY; /* one request, one answer */
    h->state = H1_OVER;
    h->is_closing = true;
    wire_server_ends(s, WIRE_END_PROTOCOL);
    if (is_answered) {
        return WIRE_E_CLOSE;
    }
    if (!h->call) {
        h->call = wire_call_new(s, 0);
        if (!h->call) {
            return wire_server_fail(s, err_origin(-ENOMEM)), s->failure;
        }
    }
    struct wire_call *call = h->call;
    if (!call->is_open && !call->is_finished) {
        call->protocol = WIRE_CONNECT;
        call->encoding = WIRE_JSON;
    }
    int r = call->is_finished ? 0 : wire_call_refuse(call, why);
    return r < 0 ? err_trace(r) : WIRE_E_CLOSE;
}

/* What llhttp's error means; the request line tells a wrong version or method from garbage. */
static int h1_refuse_error(struct wire_h1 *h, llhttp_errno_t error)
{
    const uint8_t *end = h->head ? memchr(h->head, '\r', h->head_len) : NULL;
    size_t len = end ? (size_t)(end - h->head) : 0;
    bool is_http = len && memmem(h->head, len, " HTTP/", 6);
    bool is_ours = len && memmem(h->head, len, " HTTP/1.", 8);
    if (is_http && (error == HPE_INVALID_VERSION || !is_ours)) {
        return h1_refuse(h, WIRE_REFUSAL_HTTP_VERSION);
    }
    if (is_ours && error == HPE_INVALID_METHOD) {
        return h1_refuse(h, WIRE_REFUSAL_METHOD);
    }
    return h1_refuse(h, WIRE_REFUSAL_HTTP_INVALID);
}

/* -- llhttp's events --------------------------------------------------------------------------- */

static int h1_on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct wire_h1 *h = parser->data;
    struct span url = {(const uint8_t *)at, len};
    /* RFC 9112 3.2.2: the absolute form says the host again; the path is what counts. */
    if (len > 7 && memcmp(at, "http://", 7) == 0) {
        const uint8_t *path = memchr(at + 7, '/', len - 7);
        size_t skip = path ? (size_t)(path - url.ptr) : len;
        url = (struct span){url.ptr + skip, len - skip};
    }
    wire_face_header(h->call, span_of(":path"), url, NULL);
    return 0;
}

static int h1_on_field(llhttp_t *parser, const char *at, size_t len)
{
    struct wire_h1 *h = parser->data;
    if (h->is_parsed) {
        h->rest_bytes += len; /* trailers: gRPC has none from clients */
        return 0;
    }
    uint8_t *name = (uint8_t *)at; /* in our own copy of the head */
    for (size_t i = 0; i < len; i++) {
        name[i] |= name[i] >= 'A' && name[i] <= 'Z' ? 0x20 : 0;
    }
    h->name = (struct span){name, len};
    return 0;
}

/* Headers of HTTP/1.1 itself. */
static void h1_header(struct wire_h1 *h, struct span value)
{
    value = wire_value_trim(value);
    if (span_equal(h->name, span_of("host"))) {
        h->hosts_count = h->hosts_count ? 2 : 1;
    } else if (span_equal(h->name, span_of("transfer-encoding"))) {
        bool is_chunked = h->codings_count == 0 && wire_value_same(value, "chunked");
        h->codings_count = 1;
        h->refusal = is_chunked ? h->refusal : WIRE_REFUSAL_HTTP_INVALID;
    } else if (span_equal(h->name, span_of("expect"))) {
        h->is_waited_for = wire_value_same(value, "100-continue");
        if (!h->is_waited_for && h->refusal < 0) {
            h->refusal = WIRE_REFUSAL_EXPECTATION;
        }
    }
}

static int h1_on_value(llhttp_t *parser, const char *at, size_t len)
{
    struct wire_h1 *h = parser->data;
    if (h->is_parsed) {
        h->rest_bytes += len;
        return 0;
    }
    struct span value = {(const uint8_t *)at, len};
    h1_header(h, value);
    wire_face_header(h->call, h->name, value, NULL);
    return 0;
}

static int h1_on_headers(llhttp_t *parser)
{
    struct wire_h1 *h = parser->data;
    h->is_parsed = true;
    h->is_keeping = llhttp_should_keep_alive(parser);
    parser->upgrade = 0; /* an offer of another protocol is not taken up */
    return 0;
}

static int h1_on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct wire_h1 *h = parser->data;
    if (!h->call || !wire_body_is_heard(h->call)) {
        h->rest_bytes += len;
        return 0;
    }
    int r = wire_body_bytes(h->call, (struct span){(const uint8_t *)at, len});
    h->failure = r < 0 ? r : h->failure;
    return r < 0 ? -1 : 0;
}

static int h1_on_extension(llhttp_t *parser, const char *at, size_t len)
{
    struct wire_h1 *h = parser->data;
    h->rest_bytes += len;
    return 0;
}

static int h1_on_message(llhttp_t *parser)
{
    struct wire_h1 *h = parser->data;
    h->is_whole = true;
    return HPE_PAUSED; /* what follows is the next one's */
}

static const llhttp_settings_t h1_settings = {
    .on_url = h1_on_url,
    .on_header_field = h1_on_field,
    .on_header_value = h1_on_value,
    .on_headers_complete = h1_on_headers,
    .on_body = h1_on_body,
    .on_message_complete = h1_on_message,
    .on_chunk_extension_name = h1_on_extension,
    .on_chunk_extension_value = h1_on_extension,
};

/* -- the head ---------------------------------------------------------------------------------- */

#define H1_HEAD_ENDS 1000

/* A line has ended.  -1: go on; else a refusal, or H1_HEAD_ENDS; so is h1_scan(). */
static int h1_scan_line(struct wire_h1 *h)
{
    bool is_empty = h->line_len == 0;
    h->line_len = 0;
    if (is_empty && h->lines_count == 0) {
        /* RFC 9112 2.2: one empty line before a request is passed over. */
        return h->head_len > 2 ? WIRE_REFUSAL_HTTP_INVALID : -1;
    }
    if (is_empty) {
        return H1_HEAD_ENDS;
    }
    h->lines_count++;
    if (h->lines_count == 1 && !memmem(h->head, h->head_len, " HTTP/", 6)) {
        return WIRE_REFUSAL_HTTP_INVALID; /* whoever speaks something else waits for our word */
    }
    bool is_over = h->lines_count > WIRE_H1_LINES_MAX && limit_is_on("headers");
    return is_over ? WIRE_REFUSAL_HEADERS_TOO_LARGE : -1;
}

/* One byte of the head. */
static int h1_scan(struct wire_h1 *h, uint8_t c)
{
    char last = h->last;
    h->last = (char)c;
    if (c == '\n') {
        return last == '\r' ? h1_scan_line(h) : WIRE_REFUSAL_HTTP_INVALID;
    }
    if (last == '\r' || c == '\0') {
        return WIRE_REFUSAL_HTTP_INVALID;
    }
    if (c == '\r') {
        return -1;
    }
    /* A folded line, a header without a name. */
    bool is_odd = h->line_len == 0 && (c == ' ' || c == '\t' || c == ':');
    if (h->lines_count == 0) { /* two blanks; no text at all: TLS, say */
        is_odd |= c < ' ' || c >= 0x7f || (c == ' ' && last == ' ');
    }
    if (is_odd) {
        return WIRE_REFUSAL_HTTP_INVALID;
    }
    if (++h->line_len > WIRE_H1_LINE_MAX && h->lines_count == 0 && limit_is_on("headers")) {
        return WIRE_REFUSAL_LINE_TOO_LONG;
    }
    return -1;
}

static int h1_head_room(struct wire_h1 *h)
{
    if (h->head_len < h->head_cap) {
        return 0;
    }
    uint32_t cap = h->head_cap ? 2 * h->head_cap : HEAD_CAP;
    uint8_t *head = h1_grow(h, h->head, cap);
    if (!head) {
        return wire_server_fail(h->server, err_origin(-ENOMEM)), h->server->failure;
    }
    h->head = head;
    h->head_cap = cap;
    return 0;
}

/* Before anything of a request has come. */
static void h1_begin(struct wire_h1 *h)
{
    h1_free(h, &h->head);
    h->head_len = h->head_cap = h->line_len = h->lines_count = 0;
    h->rest_bytes = h->chunk_left = 0;
    h->hosts_count = h->codings_count = 0;
    h->refusal = -1;
    h->last = 0;
    h->is_parsed = h->is_whole = h->is_waited_for = h->is_head_out = h->is_end_out = false;
    h->state = H1_HEAD;
}

/* What llhttp cannot know to be wrong; -1: nothing. */
static int h1_check(const struct wire_h1 *h)
{
    const llhttp_t *p = &h->parser;
    if (p->http_major != 1 || p->http_minor > 1) {
        return WIRE_REFUSAL_HTTP_VERSION;
    }
    if (h->refusal >= 0) {
        return h->refusal;
    }
    bool has_length = p->flags & F_CONTENT_LENGTH;
    if (h->hosts_count > 1 || (h->hosts_count == 0 && p->http_minor == 1) ||
        (has_length && h->codings_count) || (h->codings_count && p->http_minor == 0)) {
        return WIRE_REFUSAL_HTTP_INVALID;
    }
    bool has_body = h->codings_count || p->content_length > 0;
    if (has_body && (p->method == HTTP_GET || p->method == HTTP_HEAD)) {
        return WIRE_REFUSAL_HTTP_INVALID; /* some hop would not read it */
    }
    return p->method == HTTP_POST && !has_length && !h->codings_count
               ? WIRE_REFUSAL_LENGTH_MISSING
               : -1;
}

static enum wire_method h1_method(const struct wire_h1 *h)
{
    switch (h->parser.method) {
    case HTTP_POST: return WIRE_METHOD_POST;
    case HTTP_GET: return WIRE_METHOD_GET;
    case HTTP_HEAD: return WIRE_METHOD_HEAD;
    case HTTP_OPTIONS: return WIRE_METHOD_OPTIONS;
    default: return WIRE_METHOD_OTHER;
    }
}

static int h1_whole(struct wire_h1 *h)
{
    h->state = H1_READ;
    return h->call ? err_trace(wire_body_end(h->call)) : wire_h1_next(h);
}

/* The call is open or refused; what now of its body? */
static int h1_await_body(struct wire_h1 *h)
{
    struct wire_server *s = h->server;
    struct wire_call *call = h->call;
    if (wire_body_is_heard(call) && call->protocol == WIRE_CONNECT &&
        h->parser.content_length > s->limits.message_bytes && limit_is_on("message")) {
        int r = wire_call_refuse(call, WIRE_REFUSAL_MESSAGE_TOO_LARGE);
        if (r < 0) {
            return err_trace(r);
        }
    }
    h->state = H1_BODY;
    if (wire_body_is_heard(call)) {
        if (h->is_waited_for && h->parser.http_minor == 1) {
            memcpy(h->small, "HTTP/1.1 100 Continue\r\n\r\n", 25);
            h->small_len = 25;
            h->small_at = 0;
        }
        return 0;
    }
    /* Refused.  Whoever waits for our word may send the body or not: nobody could tell. */
    bool is_long = h->parser.content_length > WIRE_H1_REST_MAX && limit_is_on("rest");
    if (h->is_waited_for || is_long) {
        wire_server_ends(s, is_long ? WIRE_END_REST : WIRE_END_NONE);
        h->state = H1_OVER;
        h->is_closing = true;
        return WIRE_E_CLOSE;
    }
    return 0;
}

/* The head is whole. */
static int h1_head_done(struct wire_h1 *h)
{
    struct wire_server *s = h->server;
    struct wire_call *call = wire_call_new(s, 0);
    if (!call) {
        return wire_server_fail(s, err_origin(-ENOMEM)), s->failure;
    }
    h->call = call;
    s->is_greeted = true;
    llhttp_init(&h->parser, HTTP_REQUEST, &h1_settings);
    h->parser.data = h;
    llhttp_errno_t error = llhttp_execute(&h->parser, (const char *)h->head, h->head_len);
    if ((error != HPE_OK && error != HPE_PAUSED) || !h->is_parsed) {
        return h1_refuse_error(h, error);
    }
    int wrong = h1_check(h);
    if (wrong >= 0) {
        return h1_refuse(h, (enum wire_refusal)wrong);
    }
    call->method = (uint8_t)h1_method(h);
    h->is_closing = !h->is_keeping;
    int r = wire_face_open(call);
    if (r < 0) {
        return err_trace(r);
    }
    return h->is_whole ? h1_whole(h) : h1_await_body(h);
}

static int h1_eat_head(struct wire_h1 *h, const uint8_t *bytes, size_t n, size_t *ret_taken)
{
    struct wire_server *s = h->server;
    int verdict = -1;
    size_t at = 0;
    while (at < n && verdict < 0) {
        int r = h1_head_room(h);
        if (r < 0) {
            return err_trace(r);
        }
        h->head[h->head_len++] = bytes[at];
        verdict = h1_scan(h, bytes[at++]);
        if (verdict < 0 && h->head_len > s->limits.header_bytes && limit_is_on("headers")) {
            verdict = WIRE_REFUSAL_HEADERS_TOO_LARGE;
        }
    }
    *ret_taken = at;
    if (verdict < 0) {
        return 0;
    }
    return verdict == H1_HEAD_ENDS ? h1_head_done(h)
                                   : h1_refuse(h, (enum wire_refusal)verdict);
}

/* -- the body and what follows ----------------------------------------------------------------- */

static int h1_eat_body(struct wire_h1 *h, const uint8_t *bytes, size_t n, size_t *ret_taken)
{
    llhttp_errno_t error = llhttp_execute(&h->parser, (const char *)bytes, n);
    *ret_taken = n;
    if (h->failure < 0) {
        wire_server_fail(h->server, h->failure);
        return err_trace(h->failure);
    }
    if (error == HPE_PAUSED && h->is_whole) {
        *ret_taken = (size_t)((const uint8_t *)llhttp_get_error_pos(&h->parser) - bytes);
        return err_trace(h1_whole(h));
    }
    if (error != HPE_OK) {
        return h1_refuse(h, WIRE_REFUSAL_HTTP_INVALID);
    }
    if (h->rest_bytes > WIRE_H1_REST_MAX && limit_is_on("rest")) {
        wire_server_ends(h->server, WIRE_END_REST);
        h->state = H1_OVER;
        h->is_closing = true;
        return WIRE_E_CLOSE;
    }
    return 0;
}

/* As much as belongs to the request under way. */
static int h1_eat(struct wire_h1 *h, const uint8_t *bytes, size_t n, size_t *ret_taken)
{
    size_t at = 0;
    int r = 0;
    while (at < n && r == 0 && (h->state == H1_HEAD || h->state == H1_BODY)) {
        size_t taken = 0;
        r = h->state == H1_HEAD ? h1_eat_head(h, bytes + at, n - at, &taken)
                                : h1_eat_body(h, bytes + at, n - at, &taken);
        at += taken;
    }
    *ret_taken = at;
    return r;
}

static int h1_keep(struct wire_h1 *h, const uint8_t *bytes, size_t n)
{
    if (h->kept_len + n > WIRE_H1_PIPE_MAX && limit_is_on("pipe")) {
        h->is_pipe_over = true;
        n = WIRE_H1_PIPE_MAX - h->kept_len;
    }
    if (n == 0) {
        return 0;
    }
    uint8_t *kept = h1_grow(h, h->kept, h->kept_len + n);
    if (!kept) {
        return wire_server_fail(h->server, err_origin(-ENOMEM)), h->server->failure;
    }
    memcpy(kept + h->kept_len, bytes, n);
    h->kept = kept;
    h->kept_len += n;
    return 0;
}

int wire_h1_receive(struct wire_h1 *h, const uint8_t *bytes, size_t n)
{
    size_t taken = 0;
    int r = 0;
    if (h->state == H1_OVER) {
        return h->call ? 0 : WIRE_E_CLOSE; /* a last answer may still be awaited */
    }
    if (h->kept_len == 0 && !h->is_pipe_over) {
        r = h1_eat(h, bytes, n, &taken);
    }
    if (r == 0 && taken < n && h->state != H1_OVER) {
        r = h1_keep(h, bytes + taken, n - taken);
    }
    return r;
}

int wire_h1_next(struct wire_h1 *h)
{
    h1_begin(h);
    if (h->is_closing) {
        h->state = H1_OVER;
        h1_free(h, &h->kept);
        h->kept_len = 0;
        return 0;
    }
    size_t taken = 0;
    int r = h1_eat(h, h->kept, h->kept_len, &taken);
    h->kept_len -= taken;
    if (r < 0) {
        return err_trace(r);
    }
    if (h->kept_len > 0) {
        memmove(h->kept, h->kept + taken, h->kept_len);
        return r;
    }
    h1_free(h, &h->kept);
    if (r == 0 && h->is_pipe_over && (h->state == H1_HEAD || h->state == H1_BODY)) {
        return h1_refuse(h, WIRE_REFUSAL_PIPE_FULL);
    }
    return r;
}

/* -- life -------------------------------------------------------------------------------------- */

int wire_h1_new(struct wire_server *s, struct wire_h1 **ret_h1)
{
    struct wire_h1 *h = s->mem.calloc(1, sizeof(*h), s->mem.mem_user_data);
    if (!h) {
        return wire_server_fail(s, err_origin(-ENOMEM)), s->failure;
    }
    h->server = s;
    h1_begin(h);
    *ret_h1 = h;
    return 0;
}

void wire_h1_free(struct wire_h1 *h)
{
    if (!h) {
        return;
    }
    nghttp2_mem *mem = &h->server->mem;
    h1_free(h, &h->head);
    h1_free(h, &h->kept);
    h1_free(h, &h->out);
    mem->free(h, mem->mem_user_data);
}
