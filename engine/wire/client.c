/* SPDX-License-Identifier: MIT */
/* A client connection: many calls over one HTTP/2 connection without TLS (prior knowledge).
 *
 *   wire_client_call -> request.c -> nghttp2 -> wire_client_send    -> bytes
 *   on_message, on_finish <- request.c <- nghttp2 <- wire_client_receive <- bytes
 *
 * Owns: the session, the requests on it, the rest of a frame that the last buffer had no room for.
 * Made for a load generator: requests are pooled, nghttp2 opens the windows by itself, and they are
 * wide, as every answer is handed on at once and nothing of it is kept.
 * Ends: after a GOAWAY no new call goes out (WIRE_E_CLOSE), live ones go on; is_dead = nothing
 * leaves any more.  wire_client_free() finishes what is live with status 14.
 * Not here: reconnecting and retrying, which need a clock and a socket; authorization is never put
 * into the HPACK table, because nghttp2 never does (it may hold a secret of low entropy). */
#include "wire/client.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/limits.h"

#define CLIENT_STREAM_WINDOW     (256 * 1024)
#define CLIENT_CONNECTION_WINDOW (4 * 1024 * 1024)

int wire_client_fail(struct wire_client *c, int failure)
{
    CHECK(failure < 0);
    if (c->failure == 0) {
        c->failure = failure;
    }
    c->is_dead = true;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* -- life -------------------------------------------------------------------------------------- */

static int client_session(struct wire_client *c)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks)) {
        return err_origin(-ENOMEM);
    }
    wire_request_callbacks(callbacks);
    int r = nghttp2_session_client_new3(&c->session, callbacks, c, NULL,
                                       &c->memory.booked);
    nghttp2_session_callbacks_del(callbacks);
    return r ? err_origin(-ENOMEM) : 0;
}

static int client_settings(struct wire_client *c)
{
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, CLIENT_STREAM_WINDOW},
    };
    int r = nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings,
                                    ARRAY_COUNT(settings));
    if (r == 0) {
        r = nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
                                                  CLIENT_CONNECTION_WINDOW);
    }
    return r ? err_origin(-ENOMEM) : 0;
}

int wire_client_new_on(const struct wire_client_ops *ops, void *user, nghttp2_mem *mem,
                       struct wire_client **ret_client)
{
    CHECK(ops->on_message);
    CHECK(ops->on_finish);
    struct wire_client *c = mem->calloc(1, sizeof(*c), mem->mem_user_data);
    if (!c) {
        return err_origin(-ENOMEM);
    }
    c->ops = ops;
    c->user = user;
    c->mem = *mem;
    wire_memory_init(&c->memory, mem, NULL);
    list_init(&c->requests);
    list_init(&c->spare);
    int r = client_session(c);
    if (r == 0) {
        r = client_settings(c);
    }
    if (r < 0) {
        c->failure = r;
        wire_client_free(c);
        return err_trace(r);
    }
    *ret_client = c;
    return 0;
}

int wire_client_new(const struct wire_client_ops *ops, void *user, struct wire_client **ret_client)
{
    nghttp2_mem mem = wire_memory_libc;
    return err_trace(wire_client_new_on(ops, user, &mem, ret_client));
}

void wire_client_free(struct wire_client *c)
{
    if (!c) {
        return;
    }
    CHECK(!c->is_inside);
    c->is_dead = true;
    c->is_ending = true;
    while (!list_empty(&c->requests)) {
        wire_request_end(CONTAINER_OF(c->requests.next, struct wire_request, link),
                         NGHTTP2_NO_ERROR);
    }
    wire_request_trim(c, 0);
    wire_memory_end(&c->memory, c->session, c->failure < 0);
    c->mem.free(c, c->mem.mem_user_data);
}

/* -- bytes ------------------------------------------------------------------------------------- */

static int client_verdict(struct wire_client *c, int r)
{
    c->is_dead = true;
    if (c->failure == 0 && r == NGHTTP2_ERR_NOMEM) {
        c->failure = err_origin(-ENOMEM);
    }
    return c->failure < 0 ? err_trace(c->failure) : WIRE_E_CLOSE;
}

int wire_client_receive(struct wire_client *c, const uint8_t *bytes, size_t n)
{
    CHECK(!c->is_inside);
    if (c->is_dead) {
        return client_verdict(c, 0);
    }
    c->is_inside = true;
    ssize_t r = nghttp2_session_mem_recv(c->session, bytes, n);
    c->is_inside = false;
    return r < 0 || c->is_dead ? client_verdict(c, (int)r) : 0;
}

ssize_t wire_client_send(struct wire_client *c, uint8_t *buf, size_t cap)
{
    CHECK(!c->is_inside);
    size_t len = 0;
    c->is_inside = true;
    while (len < cap && !c->is_dead) {
        if (c->pending_len == 0) {
            ssize_t r = nghttp2_session_want_write(c->session)
                            ? nghttp2_session_mem_send(c->session, &c->pending)
                            : 0;
            if (r < 0) {
                client_verdict(c, (int)r);
            }
            if (r <= 0) {
                break;
            }
            c->pending_len = (size_t)r;
        }
        size_t n = c->pending_len < cap - len ? c->pending_len : cap - len;
        memcpy(buf + len, c->pending, n);
        c->pending += n;
        c->pending_len -= n;
        len += n;
    }
    c->is_inside = false;
    return c->failure < 0 ? err_trace(c->failure) : (ssize_t)len;
}

bool wire_client_wants_send(const struct wire_client *c)
{
    return !c->is_dead && (c->pending_len > 0 || nghttp2_session_want_write(c->session));
}

bool wire_client_done(const struct wire_client *c)
{
    return c->is_dead || (!wire_client_wants_send(c) && !nghttp2_session_want_read(c->session));
}

/* -- calls ------------------------------------------------------------------------------------- */

size_t wire_client_room(const struct wire_client *c)
{
    uint32_t max = nghttp2_session_get_remote_settings(c->session,
                                                       NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    return c->is_dead || c->is_ending || c->requests_count >= max ? 0 : max - c->requests_count;
}

int wire_client_call(struct wire_client *c, const char *path, struct span authorization,
                     int64_t timeout_us, struct span message, void *user,
                     struct wire_request **ret_request)
{
    if (c->failure < 0) {
        return err_trace(c->failure);
    }
    if (c->is_dead || c->is_ending) {
        return WIRE_E_CLOSE;
    }
    if (wire_client_room(c) == 0) {
        return WIRE_E_FULL;
    }
    struct wire_request *request = wire_request_new(c, user);
    if (!request) {
        return err_origin(-ENOMEM);
    }
    int r = wire_queue_push(&request->outgoing, 0, message, &c->mem);
    if (r == 0) {
        r = wire_request_submit(request, path, authorization, timeout_us);
    }
    if (r != 0) {
        c->is_ending |= r == WIRE_E_CLOSE;
        wire_request_drop(request);
        return r < 0 ? err_trace(r) : r;
    }
    *ret_request = request;
    return 0;
}
