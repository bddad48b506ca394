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

/* A header value as it came: nghttp2's counted buffer, or borrowed from an HTTP/1.1 head. */
struct wire_value {
    struct span bytes;    /* blanks cut off; ptr NULL: not sent */
    nghttp2_rcbuf *held;  /* owns the bytes; NULL: they are the head's */
};

enum wire_method {
    WIRE_METHOD_OTHER, WIRE_METHOD_POST, WIRE_METHOD_GET, WIRE_METHOD_HEAD, WIRE_METHOD_OPTIONS,
};

struct wire_h1;

struct wire_call {
    struct list link;              /* on server->calls or server->spare */
    struct wire_server *server;    /* the connection it came on */
    void *user;                    /* the caller's, see wire_call_set_user() */
    struct wire_value path;        /* of :path or the request line */
    struct wire_value authorization;
    struct wire_value traceparent;
    struct wire_value origin;      /* whose page calls */
    struct wire_value none_match;  /* if-none-match: what its caller has already */
    struct span query;             /* of path, after '?' */
    int64_t timeout_us;            /* grpc-timeout or connect-timeout-ms; -1: none */
    int32_t stream_id;             /* HTTP/2's */
    uint32_t header_bytes;         /* of its header list so far, each + 32 */
    struct wire_frame incoming;    /* the request message in pieces */
    uint8_t *trailer;              /* text, then details, as they will leave; NULL: neither */
    uint32_t trailer_text_len;     /* of it */
    uint32_t trailer_details_len;  /* of it */
    uint16_t http_status;          /* of the answer; 0: as the protocol has it */
    uint8_t status;                /* gRPC's, once is_finished */
    uint8_t method;                /* enum wire_method */
    uint8_t protocol;              /* enum wire_protocol */
    uint8_t encoding;              /* enum wire_encoding */
    uint8_t facts;                 /* WIRE_PATH_* */
    uint8_t origin_verdict;        /* enum wire_origin */
    uint8_t refusal;               /* enum wire_refusal, once is_refused */
    uint8_t text_have;             /* letters of base64 in text_rest */
    uint8_t etag[18];              /* of an answer that may be kept; 0: none */
    uint8_t text_rest[4];          /* gRPC-Web text: letters of a group that is not whole */
    bool is_typed : 1;             /* content-type is one of ours */
    bool is_form : 1;              /* ... or a form's, which `curl -d '{}'` says by itself */
    bool is_encoded : 1;           /* content-encoding is not identity */
    bool is_connect_encoded : 1;   /* connect-content-encoding is not identity */
    bool is_version_wrong : 1;     /* connect-protocol-version is not 1 */
    bool is_preflight : 1;         /* access-control-request-method */
    bool is_bare : 1;              /* the answer's status stands in its head: no body */
    bool is_header_over : 1;       /* header list over the limit: no more of it is looked at */
    bool is_header_invalid : 1;    /* the timeout */
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
    nghttp2_session *session;          /* owned; NULL: HTTP/2 is not spoken, or not yet */
    struct wire_h1 *h1;                /* owned; NULL: HTTP/1.1 is not spoken, or not yet */
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
    uint64_t now_ms;                   /* what wire_server_time() said last */
    uint64_t pinged_ms;                /* when the peer's last ping came */
    uint64_t time_ms;                  /* until when time has paid; 0: it never was told */
    enum wire_end end;                 /* why it is ended */
    int failure;                       /* < 0: out of memory, the connection is lost */
    uint8_t magic_have;                /* bytes of HTTP/2's preface that came while neither is */
    uint8_t ping_strikes;              /* pings that came too early, since we sent something */
    uint8_t drains;                    /* GOAWAYs submitted by wire_server_drain() */
    bool is_closing : 1;               /* GOAWAY with an error: send it, then close */
    bool is_dead : 1;                  /* nothing is sent any more */
    bool is_full : 1;                  /* a call found WIRE_QUEUED_BYTES_MAX reached */
    bool is_greeted : 1;               /* the peer's SETTINGS came */
    bool is_ping_free : 1;             /* we sent headers or data since the last ping */
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

/* The peer pings: too often? */
void wire_server_pinged(struct wire_server *s);

/* -- intake.c: requests over HTTP/2 ------------------------------------------------------------ */

/* Sets the callbacks by which requests come in. */
void wire_intake_callbacks(nghttp2_session_callbacks *callbacks);

/* -- face.c: what a request wants, whatever carried it ----------------------------------------- */

/* A header; the name in lower case.  `held`: the value's owner, or NULL. */
void wire_face_header(struct wire_call *call, struct span name, struct span value,
                      nghttp2_rcbuf *held);
/* The headers are complete: opens the call, or refuses it. */
int wire_face_open(struct wire_call *call);

/* -- body.c: messages -------------------------------------------------------------------------- */

/* Whether the gateway still wants to hear of the request. */
static inline bool wire_body_is_heard(const struct wire_call *call)
{
    return call->is_open && !call->is_finished && !call->is_refused;
}
/* Bytes of the request's body; ignored once nobody hears. */
int wire_body_bytes(struct wire_call *call, struct span input);
/* The request has ended. */
int wire_body_end(struct wire_call *call);

/* -- reply.c: answers in each protocol --------------------------------------------------------- */

/* A header of an answer; name and value are borrowed. */
struct wire_field {
    const char *name;
    struct span value;
    bool is_kept; /* static, or the call's: nghttp2 need not copy it */
};

#define WIRE_FIELDS_MAX 16

/* The head of an answer. */
struct wire_head {
    uint16_t status;
    size_t count;
    struct wire_field fields[WIRE_FIELDS_MAX];
};

/* Bytes that a message takes in the queue. */
size_t wire_reply_size(const struct wire_call *call, size_t message_len);
/* Queues it in the protocol's frame.  0 or -ENOMEM. */
int wire_reply_push(struct wire_call *call, struct span message);
/* Queues how the call ended, of every protocol but gRPC.  `trailer` holds text and details as
 * gRPC-Web says them.  0 or -ENOMEM. */
int wire_reply_end(struct wire_call *call, struct span text, struct span details,
                   const uint8_t *trailer);
/* The head of every protocol but gRPC.  Borrows from the call. */
void wire_reply_head(const struct wire_call *call, struct wire_head *ret_head);

/* -- call.c: calls and their answers ----------------------------------------------------------- */

/* From the spares or the heap; NULL: out of memory. */
struct wire_call *wire_call_new(struct wire_server *s, int32_t stream_id);
/* call_closed if it was open; then it is spare or freed. */
void wire_call_end(struct wire_call *call);
/* Frees all spares but `keep`. */
void wire_call_trim(struct wire_server *s, uint32_t keep);
/* Asks ops->call_refused, else finishes plainly. */
int wire_call_refuse(struct wire_call *call, enum wire_refusal why);
/* n bytes left its queue: counts, and tells whoever waits for room. */
void wire_call_pulled(struct wire_call *call, size_t n);
/* Text and details as they will leave, into call->trailer.  0 or -ENOMEM. */
int wire_call_keep_trailer(struct wire_call *call, const uint8_t *trailer);

/* -- server.c ---------------------------------------------------------------------------------- */

/* Begins to speak HTTP/2, or HTTP/1.1 (h1.c).  0 or -ENOMEM. */
int wire_server_speak_h2(struct wire_server *s);

#endif
