/* SPDX-License-Identifier: MIT */
/* One REQ socket with exactly one dialer, and its contexts.  A client has one line at a time, and
 * takes a new one when nng has lost the old one for good.  For this room only. */
#ifndef FAIRSLOT_RPC_LINE_H
#define FAIRSLOT_RPC_LINE_H

#include <stdatomic.h>

#include "rpc/inside.h"

struct line {
    struct line *next;      /* the one before, while a context may be on it */
    nng_socket socket;
    atomic_int pipes;       /* before-add minus after-remove: these two always come in pairs */
    atomic_uint adds;       /* connections so far */
    atomic_uint lost;       /* the newest connection that is known to be gone; <= adds */
    unsigned count;
    nng_ctx contexts[];
};

/* Opens and dials in the background for ever.  0, RPC_E_ADDRESS, or < 0. */
int line_open(const char *url, unsigned contexts, struct line **ret_line);
/* Closes and frees it.  No operation is under way on its contexts, none will be started.  See
 * rpc_socket_close(). */
void line_close(struct line *l, int wait_ms);

/* Any thread. */
bool line_is_connected(const struct line *l);
/* Somebody saw connection number `add` (of line->adds) go. */
void line_lose(struct line *l, unsigned add);

#endif
