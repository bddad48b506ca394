/* SPDX-License-Identifier: MIT */
/* The shard's end: one REP socket, one listener, many contexts.
 * Owns: the socket, a context with one aio per batch in the house, the message of each batch that
 * is out.  Does not own: what the caller makes of a batch.
 *
 *   receiving --message--> out --rpc_batch_reply()--> sending --sent--> receiving
 *
 * happy path: one aio walks this ring for ever.  The next receive starts only when the send has
 * completed: nng before 1.6 can crash when a receive and a send of one context meet (nng #1702).
 * Busy contexts are the back pressure: nobody receiving means that nng stops reading the pipe.
 *
 * Ways to fail: a peer that is gone swallows its answer, nng says so to nobody, which is right:
 * its gateway has seen the connection go.  Out of memory for an answer: the context receives the
 * next batch, and the peer's own deadline answers for the lost one.
 *
 * Closing (in this order, each step has its bug): `closing` under the lock, so that no reply is
 * inside nng any more (a context that is released by a send while the socket closes is destroyed
 * after the socket: use after free, nni_ctx_rele); then every aio is stopped, which waits for its
 * callback and refuses the next operation; then a moment in which pipes with traffic park (rpc.c
 * says why); then the socket; then the aios are freed.  The server itself stays until the last
 * batch that is out was replied to.
 *
 * Roads not taken: raw REP (drops when a queue is full), RECVFD polling (wrong with contexts). */
#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/err.h"
#include "base/limits.h"
#include "rpc/inside.h"

#define PARK_MS 20 /* for what is on its way in when the server closes */

enum batch_state { BATCH_RECEIVING, BATCH_OUT, BATCH_SENDING, BATCH_ENDED };

struct rpc_batch {
    struct rpc_server *server;
    nng_ctx context;
    nng_aio *aio;           /* owned until the server closes */
    nng_msg *message;       /* owned while out */
    enum batch_state state; /* whoever holds the aio or the batch: never two at once */
};

struct rpc_server {
    nng_socket socket;
    rpc_server_batch_cb *batch_cb;
    void *user;
    int port;
    pthread_mutex_t lock; /* replies against closing */
    bool is_closing;      /* under the lock */
    atomic_uint refs;     /* 1 for the owner, 1 for each batch that is out */
    unsigned count;
    struct rpc_batch batches[];
};

static void rpc_server_unref(struct rpc_server *s)
{
    if (atomic_fetch_sub(&s->refs, 1) == 1) {
        pthread_mutex_destroy(&s->lock);
        free(s);
    }
}

static void rpc_server_receive(struct rpc_batch *b)
{
    b->state = BATCH_RECEIVING;
    nng_ctx_recv(b->context, b->aio); /* nothing happens on an aio that is stopped */
}

static void rpc_server_received(struct rpc_batch *b)
{
    struct rpc_server *s = b->server;
    if (nng_aio_result(b->aio) != 0) {
        b->state = BATCH_ENDED; /* only closing ends a receive */
        return;
    }
    b->message = nng_aio_get_msg(b->aio);
    nng_aio_set_msg(b->aio, NULL);
    b->state = BATCH_OUT;
    atomic_fetch_add(&s->refs, 1);
    s->batch_cb(s->user, b); /* may have been replied to on return: touch nothing */
}

static void rpc_server_aio(void *arg)
{
    struct rpc_batch *b = arg;
    if (b->state == BATCH_RECEIVING) {
        rpc_server_received(b);
        return;
    }
    CHECK(b->state == BATCH_SENDING);
    rpc_aio_drop(b->aio); /* still there when it could not be sent */
    rpc_server_receive(b);
}

static int rpc_server_listen(struct rpc_server *s, const char *url)
{
    int r = rpc_socket_prepare(s->socket);
    return r ? err_trace(r) : err_trace(rpc_listener_start(s->socket, url, &s->port));
}

static int rpc_server_contexts(struct rpc_server *s, unsigned contexts)
{
    while (s->count < contexts) {
        struct rpc_batch *b = &s->batches[s->count];
        b->server = s;
        b->state = BATCH_ENDED;
        int r = rpc_error(nng_aio_alloc(&b->aio, rpc_server_aio, b));
        if (r) {
            return err_fold(r);
        }
        s->count++;
        nng_aio_set_timeout(b->aio, NNG_DURATION_INFINITE);
        r = rpc_error(nng_ctx_open(&b->context, s->socket));
        if (r) {
            return err_fold(r);
        }
    }
    return 0;
}

int rpc_server_open(const char *url, unsigned contexts, rpc_server_batch_cb *batch_cb, void *user,
                    struct rpc_server **ret_server)
{
    CHECK(contexts > 0);
    CHECK(batch_cb != NULL);
    if (rpc_transport_of(url) == RPC_TRANSPORT_NONE) {
        return RPC_E_ADDRESS;
    }
    struct rpc_server *s = calloc(1, sizeof *s + contexts * sizeof s->batches[0]);
    if (s == NULL) {
        return err_origin(-ENOMEM);
    }
    s->batch_cb = batch_cb;
    s->user = user;
    atomic_init(&s->refs, 1);
    pthread_mutex_init(&s->lock, NULL);
    int r = rpc_error(nng_rep0_open(&s->socket));
    if (r) {
        rpc_server_unref(s);
        return err_fold(r);
    }
    r = rpc_server_contexts(s, contexts);
    r = r ? r : rpc_server_listen(s, url);
    if (r) {
        rpc_server_close(s);
        return err_trace(r);
    }
    for (unsigned i = 0; i < s->count; i++) {
        rpc_server_receive(&s->batches[i]);
    }
    *ret_server = s;
    return 0;
}

int rpc_server_port(const struct rpc_server *s)
{
    return s->port;
}

void rpc_server_close(struct rpc_server *s)
{
    if (s == NULL) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    CHECK(!s->is_closing);
    s->is_closing = true;
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->count; i++) {
        nng_aio_stop(s->batches[i].aio);
    }
    struct timespec park = {0, PARK_MS * 1000000L};
    nanosleep(&park, NULL);
    rpc_socket_close(s->socket, RPC_CLOSE_MS, NULL, NULL);
    for (unsigned i = 0; i < s->count; i++) {
        rpc_aio_drop(s->batches[i].aio);
        nng_aio_free(s->batches[i].aio);
    }
    rpc_server_unref(s);
}

struct span rpc_batch_bytes(const struct rpc_batch *batch)
{
    CHECK(batch->state == BATCH_OUT);
    return (struct span){nng_msg_body(batch->message), nng_msg_len(batch->message)};
}

void rpc_batch_reply(struct rpc_batch *batch, struct span bytes)
{
    struct rpc_server *s = batch->server;
    CHECK(batch->state == BATCH_OUT);
    nng_msg_free(batch->message);
    batch->message = NULL;
    nng_msg *reply = rpc_message(bytes);
    pthread_mutex_lock(&s->lock);
    if (s->is_closing) {
        nng_msg_free(reply);
    } else if (reply == NULL) {
        rpc_server_receive(batch);
    } else {
        batch->state = BATCH_SENDING;
        nng_aio_set_msg(batch->aio, reply);
        nng_ctx_send(batch->context, batch->aio); /* completes on a thread of nng's, never here */
    }
    pthread_mutex_unlock(&s->lock);
    rpc_server_unref(s);
}
