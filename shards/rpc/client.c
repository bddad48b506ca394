/* SPDX-License-Identifier: MIT */
/* The gateway's end: one REQ socket with exactly one dialer (REQ spreads requests over all its
 * pipes), and a few contexts, each with one batch under way.
 * Owns: the socket, a context, an aio and a lock per batch.
 *
 *   idle --send--> sending --handed to the pipe--> receiving --answer--> idle
 *     \--no peer--> gone (a sleep of 0 ms, so that the callback comes from nng) --> idle
 *
 * happy path: send, its completion starts the receive, its completion is the caller's callback.
 * Ways to fail: the peer is lost while receiving: NNG_ECONNRESET at once, because the resend time
 * is infinite (its default of 60 s would silently book twice).  The peer is lost between our look
 * at `connected` and the send: the send would wait for the next connection, so it wakes every
 * SEND_POLL_MS and gives up when nobody is there.  What waits only for a busy pipe goes on waiting:
 * nothing was sent, so sending it again is no second sending.
 *
 * Invariants: one operation per aio.  The context's lock is held around every operation and every
 * abort, so an abort meets either the operation or the flag that stops the next one; nng completes
 * on threads of its own, never inside these calls.  The pipe's notifications only count.
 * Closing: wait a moment for the answers that are due (rpc.c says why), stop every aio (waits for its
 * callback, refuses the next operation), then the socket, then free: server.c has the reasons. */
#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "rpc/inside.h"

#define SEND_POLL_MS     100
#define DRAIN_MS_MAX     500 /* for answers under way when the client closes */
#define RECONNECT_MS_MIN 10
#define RECONNECT_MS_MAX 500

enum context_state { CONTEXT_IDLE, CONTEXT_SENDING, CONTEXT_RECEIVING, CONTEXT_GONE };

struct client_context {
    struct rpc_client *client;
    unsigned number;          /* as the caller knows it */
    nng_ctx context;
    nng_aio *aio;             /* owned */
    pthread_mutex_t lock;     /* state, is_aborted, and every operation on the aio */
    enum context_state state;
    bool is_aborted;          /* the next operation must not start */
};

struct rpc_client {
    nng_socket socket;
    rpc_client_done_cb *done_cb;
    void *user;
    atomic_int pipes; /* before-add minus after-remove: these two always come in pairs */
    unsigned count;
    struct client_context contexts[];
};

static void rpc_client_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct rpc_client *c = arg;
    (void)pipe;
    atomic_fetch_add(&c->pipes, event == NNG_PIPE_EV_ADD_PRE ? 1 : -1);
}

bool rpc_client_connected(const struct rpc_client *c)
{
    return atomic_load(&c->pipes) > 0;
}

/* Goes on with what completed.  0: another operation is under way; else the callback is due, with
 * *ret_message owned by the caller, NULL for a peer that is gone. */
static bool rpc_client_step(struct client_context *x, nng_msg **ret_message)
{
    int result = nng_aio_result(x->aio);
    if (x->state == CONTEXT_SENDING && !x->is_aborted) {
        if (result == 0) {
            x->state = CONTEXT_RECEIVING;
            nng_aio_set_timeout(x->aio, NNG_DURATION_INFINITE);
            nng_ctx_recv(x->context, x->aio);
            return false;
        }
        if (result == NNG_ETIMEDOUT && rpc_client_connected(x->client)) {
            nng_ctx_send(x->context, x->aio); /* the message came back with the aio */
            return false;
        }
    }
    if (x->state == CONTEXT_RECEIVING && result == 0) {
        *ret_message = nng_aio_get_msg(x->aio);
        nng_aio_set_msg(x->aio, NULL);
    }
    rpc_aio_drop(x->aio);
    x->state = CONTEXT_IDLE;
    return true;
}

static void rpc_client_done(struct client_context *x, nng_msg *message)
{
    struct rpc_client *c = x->client;
    struct span bytes = {0};
    if (message) {
        bytes = (struct span){nng_msg_body(message), nng_msg_len(message)};
    }
    c->done_cb(c->user, x->number, message ? 0 : RPC_E_GONE, bytes);
    nng_msg_free(message);
}

static void rpc_client_aio(void *arg)
{
    struct client_context *x = arg;
    nng_msg *message = NULL;
    pthread_mutex_lock(&x->lock);
    bool is_done = rpc_client_step(x, &message);
    pthread_mutex_unlock(&x->lock);
    if (is_done) {
        rpc_client_done(x, message); /* unlocked: the caller may send on it from another thread */
    }
}

static int rpc_client_dial(struct rpc_client *c, const char *url)
{
    nng_dialer dialer;
    int r = rpc_socket_prepare(c->socket);
    r = r ? r : rpc_error(nng_pipe_notify(c->socket, NNG_PIPE_EV_ADD_PRE, rpc_client_pipe, c));
    r = r ? r : rpc_error(nng_pipe_notify(c->socket, NNG_PIPE_EV_REM_POST, rpc_client_pipe, c));
    r = r ? r : rpc_error(nng_dialer_create(&dialer, c->socket, url));
    if (r) {
        return err_trace(r);
    }
    if (rpc_transport_of(url) == RPC_TRANSPORT_TCP) {
        r = rpc_error(nng_dialer_set_bool(dialer, NNG_OPT_TCP_NODELAY, true));
        r = r ? r : rpc_error(nng_dialer_set_bool(dialer, NNG_OPT_TCP_KEEPALIVE, true));
    }
    r = r ? r : rpc_error(nng_dialer_set_ms(dialer, NNG_OPT_RECONNMINT, RECONNECT_MS_MIN));
    r = r ? r : rpc_error(nng_dialer_set_ms(dialer, NNG_OPT_RECONNMAXT, RECONNECT_MS_MAX));
    r = r ? r : rpc_error(nng_dialer_start(dialer, NNG_FLAG_NONBLOCK));
    return err_trace(r);
}

static int rpc_client_contexts(struct rpc_client *c, unsigned contexts)
{
    /* Contexts copy the resend time from the socket when they are opened. */
    int r = rpc_error(nng_socket_set_ms(c->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE));
    while (r == 0 && c->count < contexts) {
        struct client_context *x = &c->contexts[c->count];
        x->client = c;
        x->number = c->count;
        r = rpc_error(nng_aio_alloc(&x->aio, rpc_client_aio, x));
        if (r == 0) {
            pthread_mutex_init(&x->lock, NULL);
            c->count++;
            r = rpc_error(nng_ctx_open(&x->context, c->socket));
        }
    }
    return err_fold(r);
}

int rpc_client_open(const char *url, unsigned contexts, rpc_client_done_cb *done_cb, void *user,
                    struct rpc_client **ret_client)
{
    CHECK(contexts > 0);
    CHECK(done_cb != NULL);
    if (rpc_transport_of(url) == RPC_TRANSPORT_NONE) {
        return RPC_E_ADDRESS;
    }
    struct rpc_client *c = calloc(1, sizeof *c + contexts * sizeof c->contexts[0]);
    if (c == NULL) {
        return err_origin(-ENOMEM);
    }
    c->done_cb = done_cb;
    c->user = user;
    atomic_init(&c->pipes, 0);
    int r = rpc_error(nng_req0_open(&c->socket));
    if (r) {
        free(c);
        return err_fold(r);
    }
    r = rpc_client_contexts(c, contexts);
    r = r ? r : rpc_client_dial(c, url);
    if (r) {
        rpc_client_close(c);
        return err_trace(r);
    }
    *ret_client = c;
    return 0;
}

int rpc_client_send(struct rpc_client *c, unsigned context, struct span bytes)
{
    CHECK(context < c->count);
    struct client_context *x = &c->contexts[context];
    nng_msg *message = rpc_message(bytes);
    if (message == NULL) {
        return err_origin(-ENOMEM);
    }
    pthread_mutex_lock(&x->lock);
    if (x->state != CONTEXT_IDLE) {
        pthread_mutex_unlock(&x->lock);
        nng_msg_free(message);
        return RPC_E_BUSY;
    }
    x->is_aborted = false;
    if (rpc_client_connected(c)) {
        x->state = CONTEXT_SENDING;
        nng_aio_set_msg(x->aio, message);
        nng_aio_set_timeout(x->aio, SEND_POLL_MS);
        nng_ctx_send(x->context, x->aio);
    } else {
        nng_msg_free(message);
        x->state = CONTEXT_GONE;
        nng_aio_set_timeout(x->aio, NNG_DURATION_INFINITE);
        nng_sleep_aio(0, x->aio);
    }
    pthread_mutex_unlock(&x->lock);
    return 0;
}

void rpc_client_abort(struct rpc_client *c, unsigned context)
{
    CHECK(context < c->count);
    struct client_context *x = &c->contexts[context];
    pthread_mutex_lock(&x->lock);
    if (x->state != CONTEXT_IDLE) {
        x->is_aborted = true;
        nng_aio_abort(x->aio, NNG_ECANCELED);
    }
    pthread_mutex_unlock(&x->lock);
}

static bool rpc_client_busy(struct rpc_client *c)
{
    bool is_busy = false;
    for (unsigned i = 0; i < c->count; i++) {
        pthread_mutex_lock(&c->contexts[i].lock);
        is_busy = is_busy || c->contexts[i].state != CONTEXT_IDLE;
        pthread_mutex_unlock(&c->contexts[i].lock);
    }
    return is_busy;
}

static void rpc_client_drain(struct rpc_client *c)
{
    int64_t until_us = clock_mono_us() + DRAIN_MS_MAX * INT64_C(1000);
    struct timespec pause = {0, 1000000};
    while (rpc_client_busy(c) && rpc_client_connected(c) && clock_mono_us() < until_us) {
        nanosleep(&pause, NULL);
    }
}

void rpc_client_close(struct rpc_client *c)
{
    if (c == NULL) {
        return;
    }
    rpc_client_drain(c);
    for (unsigned i = 0; i < c->count; i++) {
        nng_aio_stop(c->contexts[i].aio);
    }
    for (unsigned i = 0; i < c->count; i++) {
        /* Stopped between two operations: nng refused the second one without a callback. */
        if (c->contexts[i].state != CONTEXT_IDLE) {
            rpc_client_done(&c->contexts[i], NULL);
        }
    }
    bool is_closed = rpc_socket_close(c->socket);
    for (unsigned i = 0; i < c->count; i++) {
        rpc_aio_drop(c->contexts[i].aio);
        nng_aio_free(c->contexts[i].aio);
        pthread_mutex_destroy(&c->contexts[i].lock);
    }
    if (is_closed) {
        free(c); /* else nng may still count pipes in it */
    }
}
