/* SPDX-License-Identifier: MIT */
/* What both ends of rpc share: URLs, errors, the options of a socket, messages.
 * Owns nothing.  nng 1.5.2's numbers end here: the rest of the room knows 0, < 0 and verdicts.
 * A peer that goes away while nng writes to it must not end the process, so SIGPIPE is ignored
 * from the first socket on, unless the program has a handler of its own.
 *
 * Closing.  In nng 1.5.2 a TCP pipe that is closed between the header and the body of a message
 * that comes in starts the body's read on an aio that is stopped already: nobody completes it, and
 * the one thread that destroys pipes waits for it for ever (tcptran_pipe_recv_cb does not look at
 * `closed`).  So both ends are quiet first: the client has its answers, the server's pipes are
 * parked with one complete message each.  What still slips through must not hang the process that
 * is stopping: nng_close() runs on a thread of its own and is left alone after a while.
 * The same happens to a client whose peer is killed, when a send fails in just that moment (about
 * once in 500 kills under load): client.c takes a new line then. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "rpc/inside.h"

#define RPC_HEADER_BYTES 4 /* the request id that nng counts as part of the message */

enum rpc_transport rpc_transport_of(const char *url)
{
    CHECK(url != NULL);
    if (strncmp(url, "inproc://", 9) == 0 && url[9] != '\0') {
        return RPC_TRANSPORT_INPROC;
    }
    if (strncmp(url, "tcp://", 6) == 0 && url[6] != '\0') {
        return RPC_TRANSPORT_TCP;
    }
    return RPC_TRANSPORT_NONE;
}

int rpc_error(int nng_error)
{
    switch (nng_error) {
    case 0:
        return 0;
    case NNG_EADDRINUSE:
    case NNG_EADDRINVAL:
    case NNG_EINVAL:
    case NNG_ENOTSUP:
        return RPC_E_ADDRESS;
    case NNG_ENOMEM:
        return err_origin(-ENOMEM);
    case NNG_ENOFILES:
        return err_origin(-EMFILE);
    default:
        return err_origin(nng_error & NNG_ESYSERR ? -(nng_error & ~NNG_ESYSERR) : -EIO);
    }
}

static void rpc_ignore_sigpipe(void)
{
    struct sigaction old;
    if (sigaction(SIGPIPE, NULL, &old) == 0 && old.sa_handler == SIG_DFL) {
        struct sigaction ignore = {.sa_handler = SIG_IGN};
        sigaction(SIGPIPE, &ignore, NULL);
    }
}

int rpc_socket_prepare(nng_socket socket)
{
    rpc_ignore_sigpipe();
    /* A longer message closes its pipe; inproc does not look, so senders check as well. */
    return rpc_error(
        nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, BATCH_BYTES_MAX + RPC_HEADER_BYTES));
}

nng_msg *rpc_message(struct span bytes)
{
    CHECK(bytes.len <= BATCH_BYTES_MAX);
    nng_msg *message;
    if (nng_msg_alloc(&message, bytes.len) != 0) {
        return NULL;
    }
    if (bytes.len > 0) {
        memcpy(nng_msg_body(message), bytes.ptr, bytes.len);
    }
    return message;
}

void rpc_aio_drop(nng_aio *aio)
{
    nng_msg *message = nng_aio_get_msg(aio);
    if (message) {
        nng_aio_set_msg(aio, NULL);
        nng_msg_free(message);
    }
}

struct closing {
    nng_socket socket;
    void (*release)(void *arg);
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_done;      /* nng_close() has returned */
    bool is_abandoned; /* nobody waits: the thread frees this */
};

static void rpc_closing_free(struct closing *c)
{
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->wake);
    free(c);
}

static void *rpc_closing_run(void *arg)
{
    struct closing *c = arg;
    nng_close(c->socket);
    if (c->release) {
        c->release(c->arg);
    }
    pthread_mutex_lock(&c->lock);
    c->is_done = true;
    bool is_mine = c->is_abandoned;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    if (is_mine) {
        rpc_closing_free(c);
    }
    return NULL;
}

static bool rpc_closing_wait(struct closing *c, int wait_ms)
{
    int64_t until_us = clock_mono_us() + wait_ms * INT64_C(1000);
    struct timespec until = {until_us / SECOND_US, until_us % SECOND_US * 1000};
    int r = 0;
    pthread_mutex_lock(&c->lock);
    while (!c->is_done && r == 0) {
        r = pthread_cond_timedwait(&c->wake, &c->lock, &until);
    }
    bool is_done = c->is_done;
    c->is_abandoned = !is_done;
    pthread_mutex_unlock(&c->lock);
    return is_done;
}

void rpc_socket_close(nng_socket socket, int wait_ms, void (*release)(void *arg), void *arg)
{
    struct closing *c = calloc(1, sizeof *c);
    pthread_t thread;
    pthread_condattr_t attr;
    if (c == NULL) {
        return;
    }
    c->socket = socket;
    c->release = release;
    c->arg = arg;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&thread, NULL, rpc_closing_run, c) != 0) {
        rpc_closing_free(c);
        return;
    }
    if (rpc_closing_wait(c, wait_ms)) {
        pthread_join(thread, NULL);
        rpc_closing_free(c);
    } else {
        pthread_detach(thread);
    }
}
