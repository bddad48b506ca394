/* SPDX-License-Identifier: MIT */
/* The inside of a server connection: what server.c (session), intake.c (requests coming in) and
 * call.c (answers going out) share.  Nobody outside this room includes it but its tests. */
#ifndef FAIRSLOT_WIRE_SERVER_H
#define FAIRSLOT_WIRE_SERVER_H

#include <nghttp2/nghttp2.h>

#include "base/list.h"
#include "wire/frame.h"
#include "wire/memory.h"
#include "wire/meter.h"
#include "wire/queue.h"
#include "wire/wire.h"

struct wire_call {
    struct list link;              /* on server->calls or server->spare */
    struct wire_server *server;    /* the connection it came on */
    void *user;                    /* the caller's, see wire_call_set_user() */
    nghttp2_rcbuf *path;           /* header values as nghttp2 decoded them: counted, not copied */
    nghttp2_rcbuf *authorization;  /* NULL: not sent */
    nghttp2_rcbuf *traceparent;    /* NULL: not sent */
    int64_t timeout_us;            /* grpc-timeout; -1: none */
    int32_t stream_id;             /* HTTP/2's */
    uint32_t header_bytes;         /* of its header list so far, each + 32 */
    struct wire_frame incoming;    /* the request message in pieces */
    uint8_t *trailer;              /* text, then details, as they will leave; NULL: neither */
    uint32_t trailer_text_len;     /* of it */
    uint32_t trailer_details_len;  /* of it */
    uint8_t status;                /* gRPC's, once is_finished */
    bool is_post : 1;              /* :method */
    bool is_grpc : 1;              /* content-type */
    bool is_header_over : 1;       /* header list over the limit: no more of it is looked at */
    bool is_header_invalid : 1;    /* grpc-timeout */
    bool is_twice_authorized : 1;  /* two authorization headers */
    bool is_token_over : 1;        /* the list is over, and authorization alone over TOKEN_MAX */
    bool is_open : 1;              /* call_open was called: call_closed must be */
    bool is_refused : 1;           /* by this room: nothing more of the request is handed on */
    bool is_half_closed : 1;       /* END_STREAM has come */
    bool is_finished : 1;          /* wire_call_finish() was called */
    bool is_answering : 1;         /* response HEADERS are submitted */
    bool is_waiting : 1;           /* nghttp2 waits for nghttp2_session_resume_data() */
    bool is_full : 1;              /* got WIRE_E_FULL: owes a call_drained */
    bool is_gone : 1;              /* trailers left */
    bool wants_identity : 1;       /* answer with grpc-accept-encoding */
    struct wire_queue outgoing;    /* answers that nghttp2 has not pulled; last: 256 bytes */
};

struct wire_server {
    nghttp2_session *session;          /* owned */
    const struct wire_server_ops *ops; /* borrowed */
    void *user;                        /* for ops */
    struct wire_limits limits;         /* of this connection */
    nghttp2_mem mem;                   /* where everything is allocated: memory's book */
    struct wire_memory memory;
    struct list calls;                 /* live; owned */
    struct list spare;                 /* ended, for reuse; owned */
    struct wire_call *opening;         /* whose header block is coming in; NULL: none */
    const uint8_t *pending;            /* of a frame that did not fit; nghttp2's until mem_send */
    size_t pending_len;                /* of it */
    size_t queued_bytes;               /* in all calls' outgoing */
    size_t assembly_bytes;             /* in all calls' incoming */
    uint32_t calls_count;              /* open: call_open called, call_closed not */
    uint32_t spare_count;              /* on spare */
    struct wire_meter meter;           /* what the peer's frames may still cost */
    int32_t resets_left;               /* budget, see WIRE_RESETS_BURST */
    uint64_t time_ms;                  /* until when time has paid; 0: it never was told */
    enum wire_end end;                 /* why it is ended */
    int failure;                       /* < 0: out of memory, the connection is lost */
    uint8_t drains;                    /* GOAWAYs submitted by wire_server_drain() */
    bool is_closing : 1;               /* GOAWAY with an error: send it, then close */
    bool is_dead : 1;                  /* nothing is sent any more */
    bool is_full : 1;                  /* a call found WIRE_QUEUED_BYTES_MAX reached */
    bool is_greeted : 1;               /* the peer's SETTINGS came */
    bool is_inside : 1;                /* a receive or send is on the stack */
};

/* As wire_server_new(), on another allocator (for tests). */
int wire_server_new_on(const struct wire_server_ops *ops, void *user,
                       const struct wire_limits *limits, nghttp2_mem *mem,
                       struct wire_server **ret_server);

/* Lost for good: remembers the first failure.  Returns what an nghttp2 callback has to. */
int wire_server_fail(struct wire_server *s, int failure);
/* Too much of something: GOAWAY ENHANCE_YOUR_CALM, once. */
void wire_server_calm(struct wire_server *s, enum wire_end why);
/* Remembers the first reason. */
void wire_server_ends(struct wire_server *s, enum wire_end why);

/* -- intake.c: requests ------------------------------------------------------------------------ */

/* Sets the callbacks by which requests come in. */
void wire_intake_callbacks(nghttp2_session_callbacks *callbacks);

/* -- call.c: answers --------------------------------------------------------------------------- */

/* From the spares or the heap; NULL: out of memory. */
struct wire_call *wire_call_new(struct wire_server *s, int32_t stream_id);
/* call_closed if it was open; then it is spare or freed. */
void wire_call_end(struct wire_call *call);
/* Frees all spares but `keep`. */
void wire_call_trim(struct wire_server *s, uint32_t keep);
/* Asks ops->call_refused, else finishes plainly. */
int wire_call_refuse(struct wire_call *call, enum wire_refusal why);
/* An answer of HTTP, not of gRPC: 405 or 415, without a body. */
int wire_call_answer_http(struct wire_call *call, const char *http_status);

#endif
