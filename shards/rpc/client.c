/* SPDX-License-Identifier: MIT */
/* The gateway's end: a line (one REQ socket, one dialer) and a few contexts, each with one batch
 * under way.
 * Owns: the current line and the older ones, an aio and a lock per context, the keeper thread.
 *
 *   idle --send--> sending --handed to the pipe--> receiving --answer--> idle
 *     \--no peer--> gone (a sleep of 0 ms, so that the callback comes from nng) --> idle
 *
 * happy path: send, its completion starts the receive, its completion is the caller's callback.
 * Ways to fail: the peer is lost while receiving: NNG_ECONNRESET at once, because the resend time
 * is infinite (its default of 60 s would silently book twice).  The peer is lost between our look
 * at the line and the send: the send would wait for the next connection, so it wakes every
 * SEND_POLL_MS and gives up when nobody is there.  What waits only for a busy pipe goes on waiting:
 * nothing was sent, so sending it again is no second sending; after SEND_POLLS_MAX the pipe is
 * dead.
 * When several aios expire at once nng 1.5.2 cancels what each does by then, not what had expired;
 * and whatever expires on an aio that has slept before ends with 0, as if done.  So what has a time
 * limit (sending) has an aio of its own, and what has none (receiving) shares with the sleep.
 * The line is lost for good (line.c), or its dial hangs: nng waits 10 s for a handshake, TCP up to
 * minutes for an answer that was swallowed.  The keeper sees that it is away for longer than any
 * redial takes, opens a new line, moves the idle contexts over and closes the old one; each time in
 * a row it waits twice as long, to AWAY_US_MOST.  The caller can have that at once, too.
 *
 * Invariants: one operation per context.  Its lock is held around every operation and every
 * abort, so an abort meets either the operation or the flag that stops the next one; nng completes
 * on threads of its own, never inside these calls.  A line is closed only when no context is on it,
 * so nobody is inside its contexts then (server.c says why that matters), and freed with that:
 * the current line is looked at under the client's lock.
 * Closing: wait a moment for the answers that are due (rpc.c says why), stop every aio (waits for
 * its callback, refuses the next operation), then the line, then free. */
#include <errno.h>
#include <nng/nng.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "rpc/line.h"

#define SEND_POLL_MS   100
#define SEND_POLLS_MAX 20             /* 2 s without a byte taken */
#define RETIRE_MS      50             /* a line that can be closed is closed by then */
#define DRAIN_MS_MAX   500            /* for answers under way when the client closes */
#define KEEPER_US      INT64_C(250000)
#define AWAY_US_MAX    INT64_C(1500000) /* redialling takes 500 ms at most when somebody is there */
#define AWAY_US_MOST   INT64_C(6000000) /* the same when nobody was there the last times either */

enum context_state { CONTEXT_IDLE, CONTEXT_SENDING, CONTEXT_RECEIVING, CONTEXT_GONE };

struct client_context {
    struct rpc_client *client;
    unsigned number;          /* as the caller knows it */
    nng_aio *sender;          /* owned; the one with a time limit */
    nng_aio *aio;             /* owned; receives, and sleeps */
    pthread_mutex_t lock;     /* what follows, and every operation on the aio */
    struct line *line;        /* where it is */
    enum context_state state;
    bool is_aborted;          /* the next operation must not start */
    unsigned add;             /* of the line, when its batch was handed to the pipe */
    unsigned polls;           /* sends that timed out */
};

struct rpc_client {
    char *url;
    rpc_client_done_cb *done_cb;
    void *user;
    struct line *lines;   /* newest first, the current one; changed by the keeper, under the lock */
    pthread_t keeper;
    pthread_mutex_t lock; /* the current line, is_ending, wants_line; inside a context's lock */
    pthread_cond_t wake;
    bool is_ending;
    bool wants_line;      /* rpc_client_renew() was called */
    bool has_keeper;
    unsigned count;
    struct client_context contexts[];
};

bool rpc_client_connected(struct rpc_client *c)
{
    pthread_mutex_lock(&c->lock);
    bool is_connected = line_is_connected(c->lines);
    pthread_mutex_unlock(&c->lock);
    return is_connected;
}

void rpc_client_renew(struct rpc_client *c)
{
    pthread_mutex_lock(&c->lock);
    line_lose(c->lines, atomic_load(&c->lines->adds));
    c->wants_line = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
}

static nng_ctx rpc_client_context(const struct client_context *x)
{
    return x->line->contexts[x->number];
}

/* The one that works. */
static nng_aio *rpc_client_at_work(const struct client_context *x)
{
    return x->state == CONTEXT_SENDING ? x->sender : x->aio;
}

static bool rpc_client_may_wait(struct client_context *x)
{
    if (++x->polls >= SEND_POLLS_MAX) {
        line_lose(x->line, atomic_load(&x->line->adds));
    }
    return line_is_connected(x->line);
}

/* Goes on with what completed.  False: another operation is under way.  True: the callback is due,
 * with *ret_message owned by the caller, NULL for a peer that is gone. */
static bool rpc_client_step(struct client_context *x, nng_msg **ret_message)
{
    int result = nng_aio_result(rpc_client_at_work(x));
    if (x->state == CONTEXT_SENDING && !x->is_aborted) {
        if (result == 0) {
            x->state = CONTEXT_RECEIVING;
            x->add = atomic_load(&x->line->adds);
            nng_ctx_recv(rpc_client_context(x), x->aio);
            return false;
        }
        if (result == NNG_ETIMEDOUT && rpc_client_may_wait(x)) {
            nng_ctx_send(rpc_client_context(x), x->sender); /* the message came back with it */
            return false;
        }
    }
    if (x->state == CONTEXT_RECEIVING && result == NNG_ECONNRESET) {
        line_lose(x->line, x->add);
    }
    if (x->state == CONTEXT_RECEIVING && result == 0) {
        *ret_message = nng_aio_get_msg(x->aio);
        nng_aio_set_msg(x->aio, NULL);
    }
    rpc_aio_drop(x->sender);
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

/* -- the keeper -------------------------------------------------------------------------------- */

/* What the keeper knows of the current line. */
struct patience {
    int64_t away_since_us; /* 0: it was connected at the last look */
    int64_t away_us;       /* so long it may be away */
};

/* True when no context is on another line than the current one. */
static bool rpc_client_move(struct rpc_client *c)
{
    struct line *line = c->lines;
    bool all = true;
    for (unsigned i = 0; i < c->count; i++) {
        struct client_context *x = &c->contexts[i];
        pthread_mutex_lock(&x->lock);
        if (x->line != line && x->state == CONTEXT_IDLE) {
            x->line = line;
        } else if (x->line != line) {
            x->is_aborted = true; /* gone, whatever it waits for; moved next time */
            nng_aio_abort(rpc_client_at_work(x), NNG_ECANCELED);
            all = false;
        }
        pthread_mutex_unlock(&x->lock);
    }
    return all;
}

static void rpc_client_replace(struct rpc_client *c)
{
    struct line *line;
    if (line_open(c->url, c->count, &line) == 0) {
        pthread_mutex_lock(&c->lock);
        line->next = c->lines;
        c->lines = line;
        pthread_mutex_unlock(&c->lock);
    } /* else out of memory or descriptors: tried again */
}

/* One look: replaces a line that is lost for good, sends older ones to their end. */
static void rpc_client_look(struct rpc_client *c, struct patience *patience, bool wants_line)
{
    int64_t now_us = clock_mono_us();
    if (line_is_connected(c->lines)) {
        *patience = (struct patience){.away_us = AWAY_US_MAX};
    } else if (patience->away_since_us == 0) {
        patience->away_since_us = now_us;
    }
    int64_t away_us = patience->away_since_us ? now_us - patience->away_since_us : 0;
    if (wants_line || away_us >= patience->away_us) {
        rpc_client_replace(c);
        patience->away_since_us = now_us;
        if (!wants_line) {
            patience->away_us = 2 * patience->away_us < AWAY_US_MOST ? 2 * patience->away_us
                                                                     : AWAY_US_MOST;
        }
    }
    struct line *old;
    while ((old = c->lines->next) && rpc_client_move(c)) {
        c->lines->next = old->next; /* nobody but the keeper looks at those */
        line_close(old, RETIRE_MS);
    }
}

static void *rpc_client_keep(void *arg)
{
    struct rpc_client *c = arg;
    struct patience patience = {.away_us = AWAY_US_MAX};
    pthread_mutex_lock(&c->lock);
    while (!c->is_ending) {
        int64_t until_us = clock_mono_us() + KEEPER_US;
        struct timespec until = {until_us / SECOND_US, until_us % SECOND_US * 1000};
        int r = c->wants_line ? ETIMEDOUT
                              : pthread_cond_timedwait(&c->wake, &c->lock, &until);
        if (!c->is_ending && (r == ETIMEDOUT || c->wants_line)) {
            bool wants_line = c->wants_line;
            c->wants_line = false;
            pthread_mutex_unlock(&c->lock);
            rpc_client_look(c, &patience, wants_line);
            pthread_mutex_lock(&c->lock);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static void rpc_client_unkeep(struct rpc_client *c)
{
    pthread_mutex_lock(&c->lock);
    c->is_ending = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    if (c->has_keeper) {
        pthread_join(c->keeper, NULL);
    }
}

/* -- opening ----------------------------------------------------------------------------------- */

static int rpc_client_contexts(struct rpc_client *c, unsigned contexts)
{
    while (c->count < contexts) {
        struct client_context *x = &c->contexts[c->count];
        x->client = c;
        x->number = c->count;
        x->line = c->lines;
        int r = rpc_error(nng_aio_alloc(&x->aio, rpc_client_aio, x));
        if (r) {
            return err_fold(r);
        }
        r = rpc_error(nng_aio_alloc(&x->sender, rpc_client_aio, x));
        if (r) {
            nng_aio_free(x->aio);
            return err_fold(r);
        }
        nng_aio_set_timeout(x->sender, SEND_POLL_MS);
        nng_aio_set_timeout(x->aio, NNG_DURATION_INFINITE);
        pthread_mutex_init(&x->lock, NULL);
        c->count++;
    }
    return 0;
}

static int rpc_client_start(struct rpc_client *c, unsigned contexts)
{
    int r = c->url ? line_open(c->url, contexts, &c->lines) : err_origin(-ENOMEM);
    if (r) {
        return err_trace(r);
    }
    r = rpc_client_contexts(c, contexts);
    if (r == 0) {
        r = -pthread_create(&c->keeper, NULL, rpc_client_keep, c);
        c->has_keeper = r == 0;
    }
    return err_trace(r);
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
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&c->lock, NULL);
    c->url = strdup(url);
    c->done_cb = done_cb;
    c->user = user;
    int r = rpc_client_start(c, contexts);
    if (r) {
        rpc_client_close(c);
        return err_trace(r);
    }
    *ret_client = c;
    return 0;
}

/* An idle context goes to the current line without the keeper, who comes by later: else what is
 * sent as soon as the new line is connected would be gone with the old one.  Its lock is held. */
static void rpc_client_follow(struct client_context *x)
{
    pthread_mutex_lock(&x->client->lock);
    x->line = x->client->lines;
    pthread_mutex_unlock(&x->client->lock);
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
    x->polls = 0;
    rpc_client_follow(x);
    if (line_is_connected(x->line)) {
        x->state = CONTEXT_SENDING;
        nng_aio_set_msg(x->sender, message);
        nng_ctx_send(rpc_client_context(x), x->sender);
    } else {
        nng_msg_free(message);
        x->state = CONTEXT_GONE;
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
        nng_aio_abort(rpc_client_at_work(x), NNG_ECANCELED);
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
    rpc_client_unkeep(c);
    if (c->lines) {
        rpc_client_drain(c);
    }
    for (unsigned i = 0; i < c->count; i++) {
        nng_aio_stop(c->contexts[i].sender); /* first: it starts the other one */
        nng_aio_stop(c->contexts[i].aio);
    }
    for (unsigned i = 0; i < c->count; i++) {
        /* Stopped between two operations: nng refused the second one without a callback. */
        if (c->contexts[i].state != CONTEXT_IDLE) {
            rpc_client_done(&c->contexts[i], NULL);
        }
    }
    while (c->lines) {
        struct line *line = c->lines;
        c->lines = line->next;
        line_close(line, RPC_CLOSE_MS);
    }
    for (unsigned i = 0; i < c->count; i++) {
        rpc_aio_drop(c->contexts[i].sender);
        rpc_aio_drop(c->contexts[i].aio);
        nng_aio_free(c->contexts[i].sender);
        nng_aio_free(c->contexts[i].aio);
        pthread_mutex_destroy(&c->contexts[i].lock);
    }
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->wake);
    free(c->url);
    free(c);
}
