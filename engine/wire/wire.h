/* SPDX-License-Identifier: MIT */
/* Bytes <-> calls without sockets: gRPC, gRPC-Web and Connect over HTTP/2 and HTTP/1.1 for the
 * server, gRPC over HTTP/2 for the client.  nghttp2 and llhttp are named only in this room.
 * One connection is one object, used by one thread; bytes go in by *_receive(), come out by
 * *_send(); callbacks run inside *_receive() and *_send() and may call everything here except
 * *_free() of their own connection.  Never re-enter *_receive() or *_send(). */
#ifndef FAIRSLOT_WIRE_WIRE_H
#define FAIRSLOT_WIRE_WIRE_H

#include <sys/types.h>

#include "base/memcap.h"
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
    uint32_t ping_ms;         /* a peer that pings more often is sent away; 0: it may */
    struct memcap *memory;    /* what all connections may hold together; borrowed; NULL: no end */
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
    X(PINGS, "pings")             /* more often than wire_limits.ping_ms */                \
    X(HOG, "hog")                 /* wire_server_expel() */                              \
    X(MEMORY, "memory")           /* none left for it */                                  \
    X(REST, "rest")               /* HTTP/1.1: went on with a body that was refused */

enum wire_end {
#define WIRE_END_ENUM(name, label) WIRE_END_##name,
    WIRE_ENDS(WIRE_END_ENUM)
#undef WIRE_END_ENUM
    WIRE_END_COUNT
};

/* Static text. */
const char *wire_end_label(enum wire_end end);

/* How a call speaks. */
enum wire_protocol {
    WIRE_GRPC,           /* application/grpc: HTTP/2 alone has the trailers it needs */
    WIRE_GRPC_WEB,       /* application/grpc-web */
    WIRE_GRPC_WEB_TEXT,  /* application/grpc-web-text: the same in base64 */
    WIRE_CONNECT,        /* application/proto, application/json, and GET: one message, bare */
    WIRE_CONNECT_STREAM, /* application/connect+proto, application/connect+json: enveloped */
};

/* What its messages are, both ways. */
enum wire_encoding { WIRE_PROTO, WIRE_JSON };

/* Why this room refuses a call by itself:
 * X(NAME, gRPC status, HTTP status where that is not Connect's own (else 0), text when nobody says
 * it better). */
#define WIRE_REFUSALS(X)                                                                        \
    X(MESSAGE_TOO_LARGE, 8, 413, "the message is larger than allowed")                          \
    X(HEADERS_TOO_LARGE, 8, 431, "the headers are larger than allowed")                         \
    X(ASSEMBLY_FULL, 8, 0, "too many half-sent messages on this connection")                    \
    X(HEADERS_INVALID, 3, 0, "the call's time limit cannot be read")                            \
    X(TRUNCATED, 3, 0, "the request ends inside a message")                                     \
    X(BASE64, 3, 0, "the body is not base64")                                                   \
    X(COMPRESSED, 12, 0, "compressed messages are not supported: send identity")                \
    X(AUTHORIZATION_TWICE, 16, 0, "the authorization header stands twice")                      \
    X(AUTHORIZATION_TOO_LARGE, 16, 0, "the authorization header is larger than allowed")        \
    X(HTTP_INVALID, 3, 400, "this is not a well-formed HTTP request")                           \
    X(HTTP_VERSION, 3, 505, "speak HTTP/1.1 or HTTP/2")                                         \
    X(HTTP_GRPC, 12, 505, "gRPC needs HTTP/2: use gRPC-Web or Connect over HTTP/1.1")           \
    X(LINE_TOO_LONG, 8, 414, "the request line is longer than allowed")                         \
    X(LENGTH_MISSING, 3, 411, "a POST needs content-length or chunked transfer-encoding")       \
    X(EXPECTATION, 3, 417, "of expectations only 100-continue is met")                          \
    X(PIPE_FULL, 8, 429, "too much is pipelined on this connection: read the answers first")    \
    X(METHOD, 12, 405, "call methods by POST")                                                  \
    X(METHOD_GET, 12, 405, "GET is for methods without side effects: use POST")                 \
    X(PATH, 12, 404,                                                                            \
      "nothing is here: POST to /fairslot.v1.CatalogService/ListPools, for example; "           \
      "/grpc.reflection.v1.ServerReflection lists every method")                                \
    X(CONTENT_TYPE, 12, 415,                                                                    \
      "content-type must be application/json or application/proto (Connect), "                  \
      "application/connect+json or +proto (Connect streams), application/grpc (HTTP/2), "       \
      "application/grpc-web or application/grpc-web-text, each as fits the method")             \
    X(ORIGIN, 7, 403, "its operator has to list the origin")               \
    X(CONNECT_VERSION, 3, 400, "connect-protocol-version must be 1")                            \
    X(QUERY, 3, 400, "GET needs ?encoding=json&message=... (or encoding=proto&base64=1)")

enum wire_refusal {
#define WIRE_REFUSAL_ENUM(name, status, http, text) WIRE_REFUSAL_##name,
    WIRE_REFUSALS(WIRE_REFUSAL_ENUM)
#undef WIRE_REFUSAL_ENUM
};

/* What is known of a path: flags of path_facts(). */
enum {
    WIRE_PATH_KNOWN = 1,  /* there is such a method */
    WIRE_PATH_GET = 2,    /* it has no side effects: Connect may GET it */
    WIRE_PATH_STREAM = 4, /* messages are many on one side at least: Connect must envelop them */
    WIRE_PATH_CACHE = 8,  /* its answer to GET is the same for everybody for a second */
    WIRE_PATH_KEEP = 16,  /* ... and hardly ever changes: it has an ETag, and caches may keep it */
    WIRE_PATH_OWN = 32,   /* ... but for who has a token: that one's own cache alone may keep it */
};

/* May pages of an origin call here? */
enum wire_origin {
    WIRE_ORIGIN_NO,
    WIRE_ORIGIN_YES, /* it is on the list: named in the answer */
    WIRE_ORIGIN_ANY, /* everybody may: "*" */
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
     * Neither call_message nor call_half_closed follows.  What is wrong with headers comes instead
     * of call_open: then this is the call's only callback and wire_call_user() is NULL. */
    void (*call_refused)(void *user, struct wire_call *call, enum wire_refusal why);
    /* NULL (every path is a method called by POST), or WIRE_PATH_* of a path; 0: unknown. */
    unsigned (*path_facts)(void *user, struct span path);
    /* NULL (no), or: may pages of this origin call? */
    enum wire_origin (*origin)(void *user, struct span origin);
    /* NULL, or: an error's details, which say its code and text too, as Connect's JSON; borrowed
     * until the next call of anything.  False: this room writes it, without the details' meaning */
    bool (*error_json)(void *user, struct span details, struct span *ret_json);
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
/* HTTP/1.1, and its request is whole: a client that sends no more may still read the answer (RFC
 * 9112 9.6).  Not when a stream has begun, nor over HTTP/2: there, who closes his side has left. */
bool wire_server_may_half_close(const struct wire_server *s);
/* Nothing more will be read or written: close the socket. */
bool wire_server_done(const struct wire_server *s);
/* GOAWAY, live calls go on.  First call: notice (max stream id), calls that the client had sent
 * before it saw the notice still open; second, about a round trip later: final with the last
 * processed stream, no call opens after it; wire_server_done() is true when the last is gone. */
int wire_server_drain(struct wire_server *s);
/* Asks for a sign of life; whatever comes is one.  0; WIRE_E_CLOSE: there is no such question on
 * this connection (not HTTP/2, or not yet); or < 0. */
int wire_server_ping(struct wire_server *s);
/* Every call that is open; each may be finished. */
void wire_server_each(struct wire_server *s, void (*each)(void *user, struct wire_call *call),
                      void *user);
/* Calls opened and not closed. */
size_t wire_server_calls_count(const struct wire_server *s);
/* Answers waiting on all its calls; never over WIRE_QUEUED_BYTES_MAX plus one message. */
size_t wire_server_queued_bytes(const struct wire_server *s);

/* Static text of WIRE_REFUSALS. */
const char *wire_refusal_text(enum wire_refusal why);

enum wire_protocol wire_call_protocol(const struct wire_call *call);
enum wire_encoding wire_call_encoding(const struct wire_call *call);
/* All borrowed until call_closed returns; blanks around a value are cut off. */
struct span wire_call_path(const struct wire_call *call);          /* "/pkg.Service/Method" */
struct span wire_call_authorization(const struct wire_call *call); /* header value or empty */
struct span wire_call_traceparent(const struct wire_call *call);   /* header value or empty */
int64_t wire_call_timeout_us(const struct wire_call *call);        /* the caller's; -1: none */
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
/* Resets the call (ENHANCE_YOUR_CALM; over HTTP/1.1 its connection): its client does not take what
 * it asked for.  call_closed follows from wire_server_send(), or with the connection's end. */
void wire_call_cut(struct wire_call *call);
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
