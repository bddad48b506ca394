/* SPDX-License-Identifier: MIT */
/* Bytes <-> calls: gRPC over HTTP/2, both sides, without sockets.  nghttp2 is named only in this
 * room.  One connection is one object, used by one thread; bytes go in by *_receive(), come out by
 * *_send(); callbacks run inside *_receive() and *_send() and may call everything here except
 * *_free() of their own connection.  Never re-enter *_receive() or *_send(). */
#ifndef FAIRSLOT_WIRE_WIRE_H
#define FAIRSLOT_WIRE_WIRE_H

#include <sys/types.h>

#include "base/budget.h"
#include "base/types.h"

/* -- server ------------------------------------------------------------------------------------ */

struct wire_server; /* one connection */
struct wire_call;   /* one RPC on it; valid from call_open until call_closed returns */

struct wire_limits {
    uint32_t streams_max;     /* concurrent calls of a connection */
    uint32_t header_bytes;    /* of one call's header list, each + 32; more is status 8, or 16 when
                               * the token is over TOKEN_MAX.  nghttp2 decodes values up to 64 KiB:
                               * a longer one ends the connection (COMPRESSION_ERROR) */
    uint32_t message_bytes;   /* of one request message; more is status 8 */
    uint32_t queued_bytes;    /* answers waiting on one call; see wire_call_send() */
    uint32_t reset_burst, reset_rate; /* streams reset by the peer: burst, per second */
    struct budget *memory;    /* what all connections may hold together; borrowed; NULL: no end */
};

/* Why a connection is ended by this room: X(NAME, label of its limit). */
#define WIRE_ENDS(X)                                                                     \
    X(NONE, "none")               /* it is not, or the peer left */                      \
    X(GARBAGE, "garbage")         /* not HTTP/2 */                                       \
    X(PROTOCOL, "protocol")       /* HTTP/2 that breaks its rules */                     \
    X(FRAMES, "frames")           /* more frames than its work pays for */               \
    X(RESETS, "resets")           /* made us reset streams */                            \
    X(CANCELS, "cancels")         /* opened calls and reset them, again and again */     \
    X(ACKS, "acks")               /* wanted acks and did not read them */                \
    X(CONTINUATIONS, "continuations") /* a header block in too many frames */            \
    X(HOG, "hog")                 /* wire_server_expel() */                              \
    X(MEMORY, "memory")           /* none left for it */

enum wire_end {
#define WIRE_END_ENUM(name, label) WIRE_END_##name,
    WIRE_ENDS(WIRE_END_ENUM)
#undef WIRE_END_ENUM
    WIRE_END_COUNT
};

/* Static text. */
const char *wire_end_label(enum wire_end end);

/* Why this room refuses a call by itself: X(NAME, gRPC status, text when nobody says it better). */
#define WIRE_REFUSALS(X)                                                                \
    X(MESSAGE_TOO_LARGE, 8, "the message is larger than allowed")                       \
    X(HEADERS_TOO_LARGE, 8, "the headers are larger than allowed")                      \
    X(ASSEMBLY_FULL, 8, "too many half-sent messages on this connection")               \
    X(HEADERS_INVALID, 3, "grpc-timeout cannot be read")                                \
    X(TRUNCATED, 3, "the request ends inside a message")                                \
    X(COMPRESSED, 12, "compressed messages are not supported")                          \
    X(AUTHORIZATION_TWICE, 16, "the authorization header stands twice")                 \
    X(AUTHORIZATION_TOO_LARGE, 16, "the authorization header is larger than allowed")

enum wire_refusal {
#define WIRE_REFUSAL_ENUM(name, status, text) WIRE_REFUSAL_##name,
    WIRE_REFUSALS(WIRE_REFUSAL_ENUM)
#undef WIRE_REFUSAL_ENUM
};

struct wire_server_ops {
    /* Headers are complete.  The call may be finished at once (refusals). */
    void (*call_open)(void *user, struct wire_call *call);
    /* One whole request message; valid during the callback only. */
    void (*call_message)(void *user, struct wire_call *call, struct span message);
    /* The client sends no more messages. */
    void (*call_half_closed)(void *user, struct wire_call *call);
    /* Exactly once for each call_open, last: answered and gone, reset by the client, or the
     * connection ended.  finished: the trailers of wire_call_finish() left this object before
     * (they are in the buffer of the wire_server_send() that is running, or next in line). */
    void (*call_closed)(void *user, struct wire_call *call, bool finished);
    /* NULL, or: this room refuses the call.  The callback may say it better, with
     * wire_call_finish() and details; else the call is finished with the table's status and text.
     * Neither call_message nor call_half_closed follows.  HEADERS_* and AUTHORIZATION_* come
     * instead of call_open: then this is the call's only callback and wire_call_user() is NULL. */
    void (*call_refused)(void *user, struct wire_call *call, enum wire_refusal why);
    /* NULL, or: at most half of queued_bytes still waits on a call that got WIRE_E_FULL. */
    void (*call_drained)(void *user, struct wire_call *call);
};

enum {
    WIRE_E_CLOSE = 1, /* send what wire_server_send() still has, then close the socket */
    WIRE_E_FULL = 2,  /* no room: wait for call_drained, or finish */
};

/* `ops` and `user` are borrowed for the connection's life. */
int wire_server_new(const struct wire_server_ops *ops, void *user, const struct wire_limits *limits,
                    struct wire_server **ret_server);
/* call_closed(false) for every live call, then frees.  Takes NULL. */
void wire_server_free(struct wire_server *s);
/* Feeds bytes.  0, WIRE_E_CLOSE (protocol error, flood, not HTTP/2), or < 0 (out of memory).
 * A protocol error that HTTP/2 answers with GOAWAY may return 0: once wire_server_send() has handed
 * that out, wire_server_done() is true and this returns WIRE_E_CLOSE. */
int wire_server_receive(struct wire_server *s, const uint8_t *bytes, size_t n);
/* Takes up to `cap` bytes to send; 0: nothing now.  < 0: out of memory. */
ssize_t wire_server_send(struct wire_server *s, uint8_t *buf, size_t cap);
bool wire_server_wants_send(const struct wire_server *s);
/* Says what time it is: milliseconds of any clock that does not go back.  What frames and resets
 * may cost grows a little with it.  Before wire_server_receive(); seconds late does no harm. */
void wire_server_time(struct wire_server *s, uint64_t now_ms);
/* Ends the connection with GOAWAY ENHANCE_YOUR_CALM: it holds more than its part. */
void wire_server_expel(struct wire_server *s);
enum wire_end wire_server_end(const struct wire_server *s);
/* Bytes that it holds, its answers and half-sent messages included. */
size_t wire_server_memory(const struct wire_server *s);
/* Its preface and SETTINGS have come. */
bool wire_server_greeted(const struct wire_server *s);
/* It owes the rest of its greeting or of a header block: nothing that a clock of calls would see,
 * so the caller's clock must. */
bool wire_server_owed(const struct wire_server *s);
/* Nothing more will be read or written: close the socket. */
bool wire_server_done(const struct wire_server *s);
/* GOAWAY, live calls go on.  First call: notice (max stream id), calls that the client had sent
 * before it saw the notice still open; second, about a round trip later: final with the last
 * processed stream, no call opens after it; wire_server_done() is true when the last is gone. */
int wire_server_drain(struct wire_server *s);
/* Calls opened and not closed. */
size_t wire_server_calls_count(const struct wire_server *s);
/* Answers waiting on all its calls; never over WIRE_QUEUED_BYTES_MAX plus one message. */
size_t wire_server_queued_bytes(const struct wire_server *s);

/* All borrowed until call_closed returns; blanks around a value are cut off. */
struct span wire_call_path(const struct wire_call *call);          /* "/pkg.Service/Method" */
struct span wire_call_authorization(const struct wire_call *call); /* header value or empty */
struct span wire_call_traceparent(const struct wire_call *call);   /* header value or empty */
int64_t wire_call_timeout_us(const struct wire_call *call);        /* grpc-timeout; -1: none */
void wire_call_set_user(struct wire_call *call, void *user);
void *wire_call_user(const struct wire_call *call);
/* Queues one response message; copies.  0, WIRE_E_FULL, < 0.
 * Full: it does not fit into queued_bytes with what waits already (a message alone is always
 * taken), or the connection's calls together hold WIRE_QUEUED_BYTES_MAX. */
int wire_call_send(struct wire_call *call, struct span message);
/* Ends the call with trailers (trailers-only when nothing was sent), after what is queued.  `text`
 * is percent-encoded here and cut at WIRE_TEXT_MAX; details: packed google.rpc.Status or empty,
 * left out over WIRE_DETAILS_MAX.  Copies.  Later sends and finishes on the call are ignored.
 * Finishing a call whose client still sends resets that half politely (NO_ERROR). */
int wire_call_finish(struct wire_call *call, int grpc_status, struct span text,
                     struct span details);
size_t wire_call_queued_bytes(const struct wire_call *call);

/* -- client ------------------------------------------------------------------------------------ */

struct wire_client;
struct wire_request; /* one RPC; valid until on_finish returns */

struct wire_client_ops {
    void (*on_message)(void *user, struct wire_request *request, struct span message);
    /* Exactly once, last.  grpc_status 0-16; 14 when the connection ended or was refused.
     * details: packed google.rpc.Status, or empty. */
    void (*on_finish)(void *user, struct wire_request *request, int grpc_status, struct span text,
                      struct span details);
};

/* Prior-knowledge HTTP/2 without TLS.  `ops` and `user` are borrowed for the client's life. */
int wire_client_new(const struct wire_client_ops *ops, void *user, struct wire_client **ret_client);
/* on_finish(14) for every live request, then frees.  Takes NULL. */
void wire_client_free(struct wire_client *c);
/* As the server's. */
int wire_client_receive(struct wire_client *c, const uint8_t *bytes, size_t n);
ssize_t wire_client_send(struct wire_client *c, uint8_t *buf, size_t cap);
bool wire_client_wants_send(const struct wire_client *c);
/* Nothing more will be read or written: close the socket. */
bool wire_client_done(const struct wire_client *c);
/* How many more calls the peer's MAX_CONCURRENT_STREAMS allows now (100 until it has said).  0 when
 * the connection ends. */
size_t wire_client_room(const struct wire_client *c);
/* Opens a unary or server-streaming call.  path: terminated; authorization: "Bearer ..." or empty;
 * timeout_us: sent as grpc-timeout, -1: none.  Copies.  0, WIRE_E_FULL (no stream free now),
 * WIRE_E_CLOSE (connection ends), < 0. */
int wire_client_call(struct wire_client *c, const char *path, struct span authorization,
                     int64_t timeout_us, struct span message, void *user,
                     struct wire_request **ret_request);
void *wire_request_user(const struct wire_request *request);
/* RST_STREAM CANCEL; on_finish follows with status 1, in wire_client_send() or _receive(). */
void wire_request_cancel(struct wire_request *request);

#endif
