/* SPDX-License-Identifier: MIT */
/* A blocking gRPC client: one TCP connection, one call at a time (engine/wire does the bytes).
 * One thread.  Connects at the first call and again after a lost connection. */
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

/* target: HOST:PORT; token: bearer token or NULL.  Copies.  0 or < 0. */
int client_open(const char *target, const char *token, struct client **ret_client);
void client_close(struct client *c);

/* path: "/package.Service/Method".  Always 0 with an answer (an unreachable server is status 14, a
 * silent one 4), or < 0 when we are out of memory. */
int client_call(struct client *c, const char *path, struct span request, int64_t timeout_us,
                struct client_answer *ret_answer);

#endif
