/* SPDX-License-Identifier: MIT */
/* nng, both ends: batches of bytes between gateway and shard; node and node is peers.h.  Knows no
 * message formats: proto/codec.h does.  URLs: inproc://NAME or tcp://HOST:PORT.
 *
 * Callbacks come on nng's own threads: they must queue and wake, never block, never call back into
 * this file except where said.  Every socket and dialer is made once and closed at the end. */
#ifndef FAIRSLOT_RPC_RPC_H
#define FAIRSLOT_RPC_RPC_H

#include "base/types.h"

/* -- TLS inside the house ---------------------------------------------------------------------- */

struct rpc_secure_files {
    const char *authority;   /* PEM: whose certificates are believed */
    const char *certificate; /* PEM: our own, with its chain */
    const char *key;         /* PEM: its private key */
    const char *name;        /* a DNS name that every certificate of the house has */
};

enum { RPC_E_CERTIFICATE = 4 };
/* From now on every tcp:// end of this process speaks TLS, with a certificate on both sides.  Once,
 * before the first end is opened.  0, RPC_E_CERTIFICATE with `ret_text` (256 bytes), or < 0. */
int rpc_secure(const struct rpc_secure_files *files, char *ret_text);

/* -- the shard's end: one REP socket with many contexts --------------------------------------- */

struct rpc_server;
struct rpc_batch; /* one message that came; owned by rpc until rpc_batch_reply() */

typedef void rpc_server_batch_cb(void *user, struct rpc_batch *batch);

/* Returns 0, RPC_E_ADDRESS (bad URL or in use), or < 0. */
enum { RPC_E_ADDRESS = 1, RPC_E_BUSY = 2, RPC_E_GONE = 3 };
int rpc_server_open(const char *url, unsigned contexts, rpc_server_batch_cb *batch_cb, void *user,
                    struct rpc_server **ret_server);
/* The port a tcp:// URL with port 0 got; 0 for inproc. */
int rpc_server_port(const struct rpc_server *s);
/* Ends all contexts; no callback runs after it returns.  Batches still out may be replied to: that
 * is dropped.  Takes NULL. */
void rpc_server_close(struct rpc_server *s);

struct span rpc_batch_bytes(const struct rpc_batch *batch);
/* Any thread, exactly once a batch, also from inside the callback.  Copies.  The batch is gone
 * afterwards and its context receives the next one. */
void rpc_batch_reply(struct rpc_batch *batch, struct span bytes);

/* -- the gateway's end: one REQ socket, one dialer, K contexts --------------------------------- */

struct rpc_client;

/* `context` is idle again.  bytes are valid during the callback only. status: 0, or RPC_E_GONE when
 * the peer was lost or closed: whether the batch had an effect is unknown, retry by request id. */
typedef void rpc_client_done_cb(void *user, unsigned context, int status, struct span bytes);

/* Dials in the background for ever (10 ms to 500 ms apart): a peer that is not there yet is no
 * error.  NNG_OPT_REQ_RESENDTIME is infinite: nng never sends twice. */
int rpc_client_open(const char *url, unsigned contexts, rpc_client_done_cb *done_cb, void *user,
                    struct rpc_client **ret_client);
/* Sends on an idle context; copies.  The callback follows exactly once (never before this
 * returns on the same thread).  When no peer is connected it comes at once with RPC_E_GONE. */
int rpc_client_send(struct rpc_client *c, unsigned context, struct span bytes);
/* Gives up waiting on a busy context: the callback comes with RPC_E_GONE. */
void rpc_client_abort(struct rpc_client *c, unsigned context);
bool rpc_client_connected(struct rpc_client *c);
/* The peer is silent: it counts as not connected from now on, and is dialled anew at once.  Busy
 * contexts are given up. */
void rpc_client_renew(struct rpc_client *c);
/* No callback runs after it returns.  Takes NULL. */
void rpc_client_close(struct rpc_client *c);

#endif
