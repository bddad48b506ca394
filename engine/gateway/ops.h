/* SPDX-License-Identifier: MIT */
/* The operations listener: /metrics, /livez and /readyz on an address and a thread of its own, so
 * that a scrape never holds up a client and a busy gateway never makes a probe late.  No secrets
 * and no identities are to be had here; it has no TLS and wants an address of the operators'. */
#ifndef FAIRSLOT_GATEWAY_OPS_H
#define FAIRSLOT_GATEWAY_OPS_H

#include <stdatomic.h>

#include "base/types.h"

/* What /readyz says.  /livez says yes in all of them: a process that drains or waits for its shard
 * must not be restarted. */
enum ops_state {
    OPS_STARTING,   /* 503 */
    OPS_READY,      /* 200 */
    OPS_SHARD_AWAY, /* 503 */
    OPS_DRAINING,   /* 503 */
};

struct ops;

struct ops_options {
    const char *host;         /* numeric */
    int port;                 /* 0: any */
    const atomic_int *state;  /* enum ops_state; borrowed while it runs */
};

/* Listens, then answers on its own thread.  0; OPS_E_LISTEN with `ret_text` (256 bytes) set; or
 * < 0.  Signals that must not go to that thread are to be blocked before. */
enum { OPS_E_LISTEN = 1 };
int ops_start(const struct ops_options *options, struct ops **ret_ops, char *ret_text);
/* The port it got. */
int ops_port(const struct ops *ops);
/* Ends every connection and the thread.  Takes NULL. */
void ops_stop(struct ops *ops);

#endif
