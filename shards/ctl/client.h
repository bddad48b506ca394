/* SPDX-License-Identifier: MIT */
/* A blocking gRPC client: one connection (TCP, or TLS over it), one call at a time (engine/wire
 * does the bytes).  One thread.  Connects at the first call and again after a lost connection. */
#ifndef FAIRSLOT_CTL_CLIENT_H
#define FAIRSLOT_CTL_CLIENT_H

#include "base/types.h"

#define CLIENT_STATUS_UNAVAILABLE 14
#define CLIENT_STATUS_DEADLINE    4

struct client;

/* How a call ended; owned by the client until its next call or client_close(). */
struct client_answer {
    int status;          /* gRPC, 0 to 16 */
    struct span message; /* the answer when status is 0 */
    struct span text;    /* of the server, or ours when it could not be reached */
    struct span details; /* packed google.rpc.Status, or empty */
    bool sent;           /* the request may have reached the server */
};

/* Copied by client_open(). */
struct client_options {
    const char *target;      /* as client_target() */
    const char *token;       /* bearer token; NULL: none */
    const char *ca;          /* PEM: whom to trust; NULL: whom the system trusts */
    const char *certificate; /* PEM: who we are, with its key; NULL: both */
    const char *key;
};

enum { CLIENT_E_FILES = 1 };

/* HOST:PORT, or http://HOST[:PORT], or https://HOST[:PORT] (TLS); false: none of them.  `ret_host`
 * has VALUE_HOST_MAX + 1 bytes. */
bool client_target(const char *target, char *ret_host, int *ret_port, bool *ret_is_tls);
/* With https:// or a file, calls go over TLS.  0; CLIENT_E_FILES with `ret_text` (256 bytes): a
 * file is no good; or < 0. */
int client_open(const struct client_options *options, struct client **ret_client, char *ret_text);
void client_close(struct client *c);

/* Each message of the calls that follow goes to `hear` as it comes (a server's stream has many),
 * and not into the answer; when it returns false the call ends there, with status 0. */
typedef bool client_hear(void *user, struct span message);
void client_listen(struct client *c, client_hear *hear, void *user);

/* path: "/package.Service/Method".  Always 0 with an answer (an unreachable server is status 14, a
 * silent one 4), or < 0 when we are out of memory. */
int client_call(struct client *c, const char *path, struct span request, int64_t timeout_us,
                struct client_answer *ret_answer);

#endif
