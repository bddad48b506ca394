/* SPDX-License-Identifier: MIT */
/* The inside of a client connection: what client.c (session) and request.c (one call) share.
 * Nobody outside this room includes it but its tests. */
#ifndef FAIRSLOT_WIRE_CLIENT_H
#define FAIRSLOT_WIRE_CLIENT_H

#include <nghttp2/nghttp2.h>

#include "base/list.h"
#include "wire/frame.h"
#include "wire/memory.h"
#include "wire/queue.h"
#include "wire/wire.h"

#define WIRE_STATUS_NONE (-1) /* no grpc-status has come */

struct wire_request {
    struct list link;            /* on client->requests or client->spare */
    struct wire_client *client;  /* the connection it goes out on */
    void *user;                  /* the caller's */
    int32_t stream_id;           /* HTTP/2's */
    int16_t http_status;         /* of the response; 0: none yet */
    int8_t status;               /* grpc-status, or WIRE_STATUS_NONE */
    bool is_grpc : 1;            /* content-type of the response */
    bool is_cancelled : 1;       /* by the caller: ends with status 1 */
    bool is_over : 1;            /* by us: `status` and `text` stand, nothing more is heard */
    struct wire_frame incoming;  /* the answer in pieces */
    uint8_t *text;               /* grpc-message, decoded; NULL: none */
    size_t text_len;             /* of it */
    uint8_t *details;            /* google.rpc.Status, decoded; NULL: none */
    size_t details_len;          /* of it */
    struct wire_queue outgoing;  /* the request message; last: 256 bytes */
};

struct wire_client {
    nghttp2_session *session;          /* owned */
    const struct wire_client_ops *ops; /* borrowed */
    void *user;                        /* for ops */
    nghttp2_mem mem;                   /* where everything of ours is allocated */
    struct wire_memory memory;         /* ... and of nghttp2's */
    struct list requests;              /* live; owned */
    struct list spare;                 /* ended, for reuse; owned */
    const uint8_t *pending;            /* of a frame that did not fit; nghttp2's until mem_send */
    size_t pending_len;                /* of it */
    uint32_t requests_count;           /* on requests */
    uint32_t spare_count;              /* on spare */
    int failure;                       /* < 0: out of memory, the connection is lost */
    bool is_ending : 1;                /* GOAWAY came or no stream id is left: no new calls */
    bool is_dead : 1;                  /* nothing is sent any more */
    bool is_inside : 1;                /* a receive or send is on the stack */
};

/* As wire_client_new(), on another allocator (for tests). */
int wire_client_new_on(const struct wire_client_ops *ops, void *user, nghttp2_mem *mem,
                       struct wire_client **ret_client);
/* Lost for good: remembers the first failure.  Returns what an nghttp2 callback has to. */
int wire_client_fail(struct wire_client *c, int failure);

/* -- request.c: one call ----------------------------------------------------------------------- */

/* Sets the callbacks by which responses come in. */
void wire_request_callbacks(nghttp2_session_callbacks *callbacks);
/* From the spares or the heap; NULL: out of memory. */
struct wire_request *wire_request_new(struct wire_client *c, void *user);
/* Hands it to nghttp2: 0, WIRE_E_CLOSE (no stream id left), or < 0. */
int wire_request_submit(struct wire_request *request, const char *path, struct span authorization,
                        int64_t timeout_us);
/* Spare or freed, without on_finish. */
void wire_request_drop(struct wire_request *request);
/* on_finish, then wire_request_drop().  error_code: HTTP/2's, of the stream. */
void wire_request_end(struct wire_request *request, uint32_t error_code);
/* Frees all spares but `keep`. */
void wire_request_trim(struct wire_client *c, uint32_t keep);

#endif
