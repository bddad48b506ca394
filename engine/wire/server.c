/* SPDX-License-Identifier: MIT */
/* A server connection: what it speaks shows in its first bytes, then they go there.
 *
 *   bytes -> wire_server_receive -+-> nghttp2 -> intake.c -+-> face.c, body.c -> ops (the gateway)
 *                                 +-> h1.c (llhttp) -------+
 *   bytes <- wire_server_send    <-+- nghttp2 <------+- call.c, reply.c <- wire_call_send,
 *                                  +- h1_answer.c <--+                     wire_call_finish
 *
 * HTTP/2 begins with a preface of 24 bytes; the first byte that is not its next one makes the
 * connection HTTP/1.1, and what had matched is replayed from the preface itself.  Neither costs
 * memory before it is spoken.
 * Owns: the session, the calls on it, the rest of a frame that the last buffer had no room for.
 * Lean: no output buffer of its own (frames go from nghttp2's buffer into the caller's), call
 * objects only while there are calls, a 512-byte HPACK encoder table (our answers have three
 * headers), no priority tree and no closed streams kept (SETTINGS_NO_RFC7540_PRIORITIES): an idle
 * connection is what nghttp2 needs.
 * Ends: is_closing = a GOAWAY with an error is to leave, then the socket closes; is_dead = nothing
 * leaves any more (not HTTP/2, out of memory, too many acks owed).  After either, the gateway hears
 * of every call still live from wire_server_free().
 * Invariant: the session is never used from inside wire_server_free(); calls end by
 * on_stream_close or there, never twice. */
#include "wire/server.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/limit.h"
#include "base/limits.h"
#include "wire/h1.h"

#define SERVER_DEFLATE_TABLE 512  /* bytes of HPACK encoder table */
#define SERVER_ACKS_MAX      1000 /* PING and SETTINGS acks owed; more is a flood */
#define SERVER_CONTINUATIONS_MAX 8 /* of one header block; nghttp2's own number */
#define SERVER_SLICE         16384 /* bytes handed to nghttp2 at a time */

const char *wire_end_label(enum wire_end end)
{
    static const char *const labels[] = {
#define END_LABEL(name, label) label,
        WIRE_ENDS(END_LABEL)
#undef END_LABEL
    };
    return labels[end];
}

void wire_server_ends(struct wire_server *s, enum wire_end why)
{
    if (s->end == WIRE_END_NONE) {
        s->end = why;
    }
}

int wire_server_fail(struct wire_server *s, int failure)
{
    CHECK(failure < 0);
    wire_server_ends(s, WIRE_END_MEMORY);
    if (s->failure == 0) {
        s->failure = failure;
    }
    s->is_dead = true;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

void wire_server_calm(struct wire_server *s, enum wire_end why)
{
    if (s->is_closing || !limit_is_on(wire_end_label(why))) {
        return;
    }
    wire_server_ends(s, why);
    s->is_closing = true;
    if (!s->session) {
        s->is_dead = true; /* HTTP/1.1 has no word for it */
        return;
    }
    if (nghttp2_session_terminate_session(s->session, NGHTTP2_ENHANCE_YOUR_CALM) ==
        NGHTTP2_ERR_NOMEM) {
        wire_server_fail(s, err_origin(-ENOMEM));
    }
}

/* -- life -------------------------------------------------------------------------------------- */

static int server_session(struct wire_server *s)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    if (nghttp2_session_callbacks_new(&callbacks)) {
        goto no_callbacks;
    }
    if (nghttp2_option_new(&option)) {
        goto no_option;
    }
    wire_intake_callbacks(callbacks);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_deflate_dynamic_table_size(option, SERVER_DEFLATE_TABLE);
    /* Blanks around a header value cost the call a reset otherwise: intake.c trims them. */
    nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(option, 1);
    nghttp2_option_set_max_outbound_ack(option, limit_is_on("acks") ? SERVER_ACKS_MAX : SIZE_MAX);
    nghttp2_option_set_max_continuations(
        option, limit_is_on("continuations") ? SERVER_CONTINUATIONS_MAX : SIZE_MAX);
    nghttp2_option_set_stream_reset_rate_limit(
        option, limit_is_on("cancels") ? s->limits.reset_burst : UINT32_MAX, s->limits.reset_rate);
    int r = nghttp2_session_server_new3(&s->session, callbacks, s, option,
                                       &s->memory.booked);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return r ? err_origin(-ENOMEM) : 0;
no_option:
    nghttp2_session_callbacks_del(callbacks);
no_callbacks:
    return err_origin(-ENOMEM);
}

static int server_settings(struct wire_server *s)
{
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, s->limits.streams_max},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, s->limits.header_bytes},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    int r = nghttp2_submit_settings(s->session, NGHTTP2_FLAG_NONE, settings,
                                    ARRAY_COUNT(settings));
    return r ? err_origin(-ENOMEM) : 0;
}

int wire_server_speak_h2(struct wire_server *s)
{
    int r = server_session(s);
    if (r == 0) {
        r = server_settings(s);
    }
    if (r < 0) {
        wire_server_fail(s, r);
    }
    return err_trace(r);
}

int wire_server_new_on(const struct wire_server_ops *ops, void *user,
                       const struct wire_limits *limits, nghttp2_mem *mem,
                       struct wire_server **ret_server)
{
    CHECK(ops->call_open);
    CHECK(ops->call_closed);
    struct wire_server *s = mem->calloc(1, sizeof(*s), mem->mem_user_data);
    if (!s) {
        return err_origin(-ENOMEM);
    }
    s->ops = ops;
    s->user = user;
    s->limits = *limits;
    wire_memory_init(&s->memory, mem, limits->memory);
    s->mem = s->memory.booked;
    wire_meter_init(&s->meter, NGHTTP2_CLIENT_MAGIC_LEN);
    s->resets_left = WIRE_RESETS_BURST;
    s->is_ping_free = true;
    list_init(&s->calls);
    list_init(&s->spare);
    *ret_server = s;
    return 0;
}

int wire_server_new(const struct wire_server_ops *ops, void *user, const struct wire_limits *limits,
                    struct wire_server **ret_server)
{
    nghttp2_mem mem = wire_memory_libc;
    return err_trace(wire_server_new_on(ops, user, limits, &mem, ret_server));
}

void wire_server_free(struct wire_server *s)
{
    if (!s) {
        return;
    }
    CHECK(!s->is_inside);
    s->is_dead = true;
    while (!list_empty(&s->calls)) {
        wire_call_end(CONTAINER_OF(s->calls.next, struct wire_call, link));
    }
    CHECK(s->calls_count == 0);
    CHECK(s->queued_bytes == 0);
    CHECK(s->assembly_bytes == 0);
    wire_call_trim(s, 0);
    wire_h1_free(s->h1);
    wire_memory_end(&s->memory, s->session, s->failure < 0);
    nghttp2_mem mem = s->memory.under;
    mem.free(s, mem.mem_user_data);
}

/* HTTP/2's good-bye: the notice, then the end. */
static int server_goaway(struct wire_server *s, uint8_t step)
{
    if (!s->session) {
        return 0;
    }
    int r = step == 0 ? nghttp2_submit_shutdown_notice(s->session)
                      : nghttp2_submit_goaway(s->session, NGHTTP2_FLAG_NONE,
                                              nghttp2_session_get_last_proc_stream_id(s->session),
                                              NGHTTP2_NO_ERROR, NULL, 0);
    if (r == NGHTTP2_ERR_NOMEM) {
        wire_server_fail(s, err_origin(-ENOMEM));
        return s->failure;
    }
    return 0;
}

/* -- bytes ------------------------------------------------------------------------------------- */

/* What an error of nghttp2 means for the connection. */
static int server_verdict(struct wire_server *s, int r)
{
    if (s->failure < 0) {
        return err_trace(s->failure);
    }
    if (r == NGHTTP2_ERR_NOMEM) {
        wire_server_fail(s, err_origin(-ENOMEM));
        return s->failure;
    }
    s->is_dead = true; /* nothing worth sending */
    wire_server_ends(s, r == NGHTTP2_ERR_FLOODED                   ? WIRE_END_ACKS
                        : r == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS ? WIRE_END_CONTINUATIONS
                        : r == NGHTTP2_ERR_BAD_CLIENT_MAGIC       ? WIRE_END_GARBAGE
                                                                  : WIRE_END_PROTOCOL);
    return WIRE_E_CLOSE;
}

static int server_slice(struct wire_server *s, const uint8_t *bytes, size_t n)
{
    if (!wire_meter_pass(&s->meter, bytes, n)) {
        wire_server_calm(s, WIRE_END_FRAMES);
    }
    if (!s->is_closing) {
        ssize_t r = nghttp2_session_mem_recv(s->session, bytes, n);
        if (r < 0 || s->failure < 0) {
            return server_verdict(s, (int)r);
        }
    }
    return s->failure < 0 ? err_trace(s->failure) : s->is_closing ? WIRE_E_CLOSE : 0;
}

static const uint8_t server_magic[] = NGHTTP2_CLIENT_MAGIC;

/* Bytes for what is spoken. */
static int server_pass(struct wire_server *s, const uint8_t *bytes, size_t n)
{
    if (s->h1) {
        return wire_h1_receive(s->h1, bytes, n);
    }
    int r = 0;
    while (n > 0 && r == 0) {
        /* In slices: frames are paid in advance, what they earn comes when they are read. */
        size_t part = n < SERVER_SLICE ? n : SERVER_SLICE;
        r = server_slice(s, bytes, part);
        bytes += part;
        n -= part;
    }
    return r;
}

/* Compares with the preface up to the first byte that is not its next.  *ret_taken: bytes of the
 * preface, which are passed on from here. */
static int server_sniff(struct wire_server *s, const uint8_t *bytes, size_t n, size_t *ret_taken)
{
    size_t taken = 0;
    while (taken < n && s->magic_have < NGHTTP2_CLIENT_MAGIC_LEN &&
           bytes[taken] == server_magic[s->magic_have]) {
        s->magic_have++;
        taken++;
    }
    *ret_taken = taken;
    bool is_h2 = s->magic_have == NGHTTP2_CLIENT_MAGIC_LEN;
    if (!is_h2 && taken == n) {
        return 0;
    }
    int r = is_h2 ? wire_server_speak_h2(s) : wire_h1_new(s, &s->h1);
    if (r < 0) {
        return err_trace(r);
    }
    r = s->magic_have ? server_pass(s, server_magic, s->magic_have) : 0;
    for (uint8_t i = 0; i < s->drains && r == 0; i++) {
        r = server_goaway(s, i); /* it was told to drain before it spoke */
    }
    return r;
}

int wire_server_receive(struct wire_server *s, const uint8_t *bytes, size_t n)
{
    CHECK(!s->is_inside);
    if (s->failure < 0) {
        return err_trace(s->failure);
    }
    if (s->is_closing || s->is_dead) {
        return WIRE_E_CLOSE;
    }
    int r = 0;
    size_t taken = 0;
    s->is_inside = true;
    if (!s->session && !s->h1) {
        r = server_sniff(s, bytes, n, &taken);
    }
    if (r == 0 && taken < n) {
        r = server_pass(s, bytes + taken, n - taken);
    }
    s->is_inside = false;
    return r;
}

/* The next run of bytes to send into s->pending; 0: none. */
static int server_next(struct wire_server *s)
{
    if (!nghttp2_session_want_write(s->session)) {
        return 0;
    }
    ssize_t r = nghttp2_session_mem_send(s->session, &s->pending);
    if (r < 0 || s->failure < 0) {
        return server_verdict(s, (int)r) < 0 ? s->failure : 0;
    }
    s->pending_len = (size_t)r;
    return 0;
}

/* What HTTP/2 has to send; *ret_len is how much of it is in `buf`. */
static int server_take(struct wire_server *s, uint8_t *buf, size_t cap, size_t *ret_len)
{
    size_t len = 0;
    int r = 0;
    while (len < cap && !s->is_dead) {
        if (s->pending_len == 0) {
            r = server_next(s);
            if (s->pending_len == 0) {
                break;
            }
        }
        size_t n = s->pending_len < cap - len ? s->pending_len : cap - len;
        memcpy(buf + len, s->pending, n);
        s->pending += n;
        s->pending_len -= n;
        len += n;
    }
    *ret_len = len;
    return r;
}

ssize_t wire_server_send(struct wire_server *s, uint8_t *buf, size_t cap)
{
    CHECK(!s->is_inside);
    size_t len = 0;
    s->is_inside = true;
    int r = s->h1 ? wire_h1_send(s->h1, buf, cap, &len)
            : s->session ? server_take(s, buf, cap, &len)
                         : 0;
    s->is_inside = false;
    return s->failure < 0 ? err_trace(s->failure) : r < 0 ? err_trace(r) : (ssize_t)len;
}

bool wire_server_wants_send(const struct wire_server *s)
{
    if (s->is_dead || !s->session) {
        return !s->is_dead && s->h1 && wire_h1_wants_send(s->h1);
    }
    return s->pending_len > 0 || nghttp2_session_want_write(s->session);
}

void wire_server_time(struct wire_server *s, uint64_t now_ms)
{
    s->now_ms = now_ms;
    if (s->time_ms == 0 || now_ms < s->time_ms) {
        s->time_ms = now_ms;
        return;
    }
    uint64_t seconds = (now_ms - s->time_ms) / 1000;
    s->time_ms += seconds * 1000;
    seconds = seconds < WIRE_FRAMES_BURST ? seconds : WIRE_FRAMES_BURST;
    wire_meter_earn(&s->meter, (int32_t)seconds * WIRE_FRAMES_PER_S);
    s->resets_left += (int32_t)seconds * WIRE_RESETS_PER_S;
    s->resets_left = s->resets_left < WIRE_RESETS_BURST ? s->resets_left : WIRE_RESETS_BURST;
}

int wire_server_ping(struct wire_server *s)
{
    if (s->is_dead || s->is_closing || !s->session || !s->is_greeted) {
        return WIRE_E_CLOSE;
    }
    if (nghttp2_submit_ping(s->session, NGHTTP2_FLAG_NONE, NULL) == NGHTTP2_ERR_NOMEM) {
        wire_server_fail(s, err_origin(-ENOMEM));
        return s->failure;
    }
    return 0;
}

void wire_server_each(struct wire_server *s, void (*each)(void *user, struct wire_call *call),
                      void *user)
{
    struct list *next;
    for (struct list *l = s->calls.next; l != &s->calls; l = next) {
        next = l->next;
        struct wire_call *call = CONTAINER_OF(l, struct wire_call, link);
        if (call->is_open && !call->is_finished) {
            each(user, call);
        }
    }
}

/* What gRPC's servers do, and its clients know (too_many_pings makes them ping less). */
void wire_server_pinged(struct wire_server *s)
{
    bool is_early = !s->is_ping_free && s->now_ms < s->pinged_ms + s->limits.ping_ms;
    s->is_ping_free = false;
    s->pinged_ms = s->now_ms;
    if (s->limits.ping_ms == 0 || !is_early || ++s->ping_strikes <= WIRE_PING_STRIKES ||
        s->is_closing || !limit_is_on(wire_end_label(WIRE_END_PINGS))) {
        return;
    }
    static const char why[] = "too_many_pings";
    wire_server_ends(s, WIRE_END_PINGS);
    s->is_closing = true;
    if (nghttp2_submit_goaway(s->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(s->session),
                              NGHTTP2_ENHANCE_YOUR_CALM, (const uint8_t *)why,
                              sizeof why - 1) == NGHTTP2_ERR_NOMEM) {
        wire_server_fail(s, err_origin(-ENOMEM));
    }
}

void wire_server_expel(struct wire_server *s)
{
    if (!s->is_dead) {
        wire_server_calm(s, WIRE_END_HOG);
    }
}

enum wire_end wire_server_end(const struct wire_server *s)
{
    return s->end;
}

size_t wire_server_memory(const struct wire_server *s)
{
    return s->memory.used + sizeof(*s);
}

bool wire_server_greeted(const struct wire_server *s)
{
    return s->is_greeted; /* HTTP/1.1: its first head came */
}

bool wire_server_owed(const struct wire_server *s)
{
    return !s->is_greeted || s->opening || (s->h1 && wire_h1_owed(s->h1));
}

bool wire_server_may_half_close(const struct wire_server *s)
{
    return s->h1 && wire_h1_may_half_close(s->h1);
}

bool wire_server_done(const struct wire_server *s)
{
    if (s->is_dead) {
        return true;
    }
    if (s->h1) {
        return wire_h1_done(s->h1);
    }
    return !wire_server_wants_send(s) &&
           (s->is_closing || (s->session && !nghttp2_session_want_read(s->session)));
}

/* -- end --------------------------------------------------------------------------------------- */

int wire_server_drain(struct wire_server *s)
{
    if (s->is_dead || s->is_closing || s->drains >= 2) {
        return 0;
    }
    uint8_t step = s->drains++;
    if (step == 0 || s->session || s->h1) {
        return err_trace(server_goaway(s, step));
    }
    /* It has said nothing yet: an HTTP/2 client learns that it may come back, any other that the
     * connection ends. */
    int r = wire_server_speak_h2(s);
    for (uint8_t i = 0; i < s->drains && r == 0; i++) {
        r = server_goaway(s, i);
    }
    return err_trace(r);
}

size_t wire_server_calls_count(const struct wire_server *s)
{
    return s->calls_count;
}

size_t wire_server_queued_bytes(const struct wire_server *s)
{
    return s->queued_bytes;
}
