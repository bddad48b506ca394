/* SPDX-License-Identifier: MIT */
/* What both ends of rpc share.  For this room only. */
#ifndef FAIRSLOT_RPC_INSIDE_H
#define FAIRSLOT_RPC_INSIDE_H

#include <nng/nng.h>

#include "rpc/rpc.h"

enum rpc_transport { RPC_TRANSPORT_NONE, RPC_TRANSPORT_INPROC, RPC_TRANSPORT_TCP };

/* RPC_TRANSPORT_NONE for what this house does not speak. */
enum rpc_transport rpc_transport_of(const char *url);
/* nng's error as RPC_E_ADDRESS where the URL is to blame, else as a fatal -errno. */
int rpc_error(int nng_error);
#define RPC_URL_MAX 320
/* Endpoints with the options that all of ours have; TLS once rpc_secure() was called.  As
 * rpc_error(). */
int rpc_dialer_make(nng_socket socket, const char *url, nng_dialer *ret_dialer);
int rpc_stream_dialer_make(const char *url, nng_stream_dialer **ret_dialer); /* tcp only */
void rpc_stream_dialer_free(nng_stream_dialer *dialer); /* NULL: nothing to do */
int rpc_listener_start(nng_socket socket, const char *url, int *ret_port);
/* Options that must stand before any endpoint or context is made. */
int rpc_socket_prepare(nng_socket socket);
/* A message with a copy of `bytes`; NULL out of memory. */
nng_msg *rpc_message(struct span bytes);
#define RPC_CLOSE_MS 2000 /* what closing at the end may take */

/* nng_close() with an end: returns after wait_ms at the latest, because nng 1.5.2 may hang in it
 * (see rpc.c).  No operation is under way.  `release(arg)`, when given, is called as soon as nng
 * has let go of the socket and so of what its notifications point to: by this call, later by a
 * thread of its own, or never. */
void rpc_socket_close(nng_socket socket, int wait_ms, void (*release)(void *arg), void *arg);
/* Frees what an aio still carries, if anything. */
void rpc_aio_drop(nng_aio *aio);

#endif
