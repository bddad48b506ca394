/* SPDX-License-Identifier: MIT */
/* A REQ socket, its dialer, and what is known about its connection.
 * Owns the socket.  REQ spreads requests over all its pipes, so there is one dialer.
 * happy path: the dialer connects, `adds` and `pipes` count up; the peer goes, `pipes` counts down
 * and the dialer tries again, 10 to 500 ms apart.
 * Ways to fail: the peer is killed while messages come and go.  Then nng 1.5.2 may wait for ever in
 * the thread that removes pipes (rpc.c says why): no more notifications, no more dialling.  Who had
 * a request under way is told in any case (NNG_ECONNRESET), and says so here by line_lose(). */
#include "rpc/line.h"

#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"

#define RECONNECT_MS_MIN 10
#define RECONNECT_MS_MAX 500

static void line_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct line *l = arg;
    (void)pipe;
    if (event == NNG_PIPE_EV_ADD_PRE) {
        atomic_fetch_add(&l->adds, 1);
        atomic_fetch_add(&l->pipes, 1);
    } else {
        atomic_fetch_sub(&l->pipes, 1);
    }
}

bool line_is_connected(const struct line *l)
{
    return atomic_load(&l->pipes) > 0 && atomic_load(&l->adds) > atomic_load(&l->lost);
}

void line_lose(struct line *l, unsigned add)
{
    unsigned lost = atomic_load(&l->lost);
    while (add > lost && !atomic_compare_exchange_weak(&l->lost, &lost, add)) {
    }
}

static int line_dial(struct line *l, const char *url)
{
    nng_dialer dialer;
    int r = rpc_socket_prepare(l->socket);
    r = r ? r : rpc_error(nng_pipe_notify(l->socket, NNG_PIPE_EV_ADD_PRE, line_pipe, l));
    r = r ? r : rpc_error(nng_pipe_notify(l->socket, NNG_PIPE_EV_REM_POST, line_pipe, l));
    r = r ? r : rpc_dialer_make(l->socket, url, &dialer);
    r = r ? r : rpc_error(nng_dialer_set_ms(dialer, NNG_OPT_RECONNMINT, RECONNECT_MS_MIN));
    r = r ? r : rpc_error(nng_dialer_set_ms(dialer, NNG_OPT_RECONNMAXT, RECONNECT_MS_MAX));
    r = r ? r : rpc_error(nng_dialer_start(dialer, NNG_FLAG_NONBLOCK));
    return err_trace(r);
}

static int line_contexts(struct line *l, unsigned contexts)
{
    /* Contexts copy the resend time from the socket when they are opened. */
    int r = rpc_error(nng_socket_set_ms(l->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE));
    while (r == 0 && l->count < contexts) {
        r = rpc_error(nng_ctx_open(&l->contexts[l->count], l->socket));
        l->count += r == 0;
    }
    return err_fold(r);
}

int line_open(const char *url, unsigned contexts, struct line **ret_line)
{
    CHECK(contexts > 0);
    struct line *l = calloc(1, sizeof *l + contexts * sizeof l->contexts[0]);
    if (l == NULL) {
        return err_origin(-ENOMEM);
    }
    int r = rpc_error(nng_req0_open(&l->socket));
    if (r) {
        free(l);
        return err_fold(r);
    }
    r = line_contexts(l, contexts);
    r = r ? r : line_dial(l, url);
    if (r) {
        line_close(l, RPC_CLOSE_MS);
        return err_trace(r);
    }
    *ret_line = l;
    return 0;
}

void line_close(struct line *l, int wait_ms)
{
    rpc_socket_close(l->socket, wait_ms, free, l); /* until then nng counts pipes in it */
}
