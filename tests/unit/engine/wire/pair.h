/* SPDX-License-Identifier: MIT */
/* A server and a client back to back in memory, with a scripted gateway behind the server.  The
 * path says what the gateway does; the events are counted, so that a test can ask afterwards. */
#ifndef FAIRSLOT_TESTS_WIRE_PAIR_H
#define FAIRSLOT_TESTS_WIRE_PAIR_H

#include "base/bytes.h"
#include "base/prng.h"
#include "tests/lib/tap.h"
#include "wire/client.h"
#include "wire/memory.h"
#include "wire/server.h"
#include "wire/wire.h"

#define PAIR_BYTES (256 * 1024)

struct pair {
    struct wire_server *server;
    struct wire_client *client;
    struct prng prng;        /* for cuts */
    size_t cut_max;          /* bytes a step carries at most; 0: as many as there are */
    bool is_client_deaf;     /* takes nothing from the server */
    /* server */
    int opened, messages, half_closed, closed, closed_finished, refused, drained;
    size_t message_bytes;
    enum wire_refusal refusal; /* the last */
    int64_t timeout_us;        /* of the last call opened */
    char path[64], authorization[16 * 1024 + 1], traceparent[64]; /* likewise */
    struct wire_call *call;    /* the last opened that is not closed */
    uint32_t stream_left;      /* messages that /stream still sends */
    int full;                  /* WIRE_E_FULL met */
    size_t queued_max;         /* most bytes seen waiting on a call */
    bool refuses_better;       /* call_refused finishes with details of its own */
    /* client */
    int answers, finished;
    size_t answer_bytes;
    uint32_t next;             /* message expected next of /stream */
    int disorder;              /* messages that were not it */
    int statuses[17];          /* finishes by status */
    char text[4096];           /* of the last finish */
    uint8_t details[8192];
    size_t details_len;
    int failure;               /* first < 0 of any step */
    int server_verdict, client_verdict; /* last of receive */
};

static const struct wire_limits pair_limits = {
    .streams_max = 100,
    .header_bytes = 16 * 1024,
    .message_bytes = 64 * 1024,
    .queued_bytes = 64 * 1024,
    .reset_burst = 100,
    .reset_rate = 10,
};

static inline void pair_copy(char *out, size_t cap, struct span from)
{
    size_t n = from.len < cap - 1 ? from.len : cap - 1;
    if (n) {
        memcpy(out, from.ptr, n);
    }
    out[n] = '\0';
}

static inline void pair_note(struct pair *p, int r)
{
    if (r < 0 && p->failure == 0) {
        p->failure = r;
    }
}

/* -- the gateway ------------------------------------------------------------------------------- */

static inline bool pair_path_is(const struct wire_call *call, const char *path)
{
    return span_equal(wire_call_path(call), span_of(path));
}

static inline void pair_stream(struct pair *p, struct wire_call *call)
{
    uint8_t message[100] = {0};
    while (p->stream_left > 0) {
        memcpy(message, &p->stream_left, sizeof(p->stream_left));
        int r = wire_call_send(call, (struct span){message, sizeof(message)});
        pair_note(p, r);
        size_t queued = wire_call_queued_bytes(call);
        p->queued_max = queued > p->queued_max ? queued : p->queued_max;
        if (r != 0) {
            p->full += r == WIRE_E_FULL;
            return;
        }
        p->stream_left--;
    }
    pair_note(p, wire_call_finish(call, 0, (struct span){0}, (struct span){0}));
}

static inline void pair_open(void *user, struct wire_call *call)
{
    struct pair *p = user;
    p->opened++;
    p->call = call;
    p->timeout_us = wire_call_timeout_us(call);
    pair_copy(p->path, sizeof(p->path), wire_call_path(call));
    pair_copy(p->authorization, sizeof(p->authorization), wire_call_authorization(call));
    pair_copy(p->traceparent, sizeof(p->traceparent), wire_call_traceparent(call));
    wire_call_set_user(call, p);
    if (pair_path_is(call, "/early")) {
        pair_note(p, wire_call_finish(call, 16, span_of("no"), (struct span){0}));
    }
}

static inline void pair_message(void *user, struct wire_call *call, struct span message)
{
    struct pair *p = user;
    OK(wire_call_user(call) == p);
    p->messages++;
    p->message_bytes += message.len;
    if (pair_path_is(call, "/echo") || pair_path_is(call, "/half")) {
        pair_note(p, wire_call_send(call, message));
    } else if (pair_path_is(call, "/stream")) {
        pair_stream(p, call);
    }
}

static inline void pair_half_closed(void *user, struct wire_call *call)
{
    static const uint8_t packed[] = {8, 5, 18, 0, 255, 1, 2};
    struct pair *p = user;
    p->half_closed++;
    struct span none = {0};
    if (pair_path_is(call, "/echo")) {
        pair_note(p, wire_call_finish(call, 0, none, none));
    } else if (pair_path_is(call, "/error") || pair_path_is(call, "/half")) {
        pair_note(p, wire_call_finish(call, 5, span_of(" 100% kein Platz f\xc3\xbcr\nSie "),
                                      (struct span){packed, sizeof(packed)}));
    }
}

static inline void pair_closed(void *user, struct wire_call *call, bool finished)
{
    struct pair *p = user;
    p->closed++;
    p->closed_finished += finished;
    p->call = p->call == call ? NULL : p->call;
    /* Too late for both; they must do no harm. */
    OK(wire_call_send(call, span_of("late")) == 0);
    OK(wire_call_finish(call, 0, span_of("late"), (struct span){0}) == 0);
}

static inline void pair_refused(void *user, struct wire_call *call, enum wire_refusal why)
{
    struct pair *p = user;
    p->refused++;
    p->refusal = why;
    if (p->refuses_better) {
        pair_note(p, wire_call_finish(call, 8, span_of("better"), span_of("typed")));
    }
}

static inline void pair_drained(void *user, struct wire_call *call)
{
    struct pair *p = user;
    p->drained++;
    if (pair_path_is(call, "/stream")) {
        pair_stream(p, call);
    }
}

/* -- the client's side ------------------------------------------------------------------------- */

static inline void pair_on_message(void *user, struct wire_request *request, struct span message)
{
    struct pair *p = user;
    p->answers++;
    p->answer_bytes += message.len;
    if (p->next) {
        uint32_t number = 0;
        memcpy(&number, message.ptr, sizeof(number));
        p->disorder += number != p->next--;
    }
}

static inline void pair_on_finish(void *user, struct wire_request *request, int status,
                                  struct span text, struct span details)
{
    struct pair *p = user;
    OK(wire_request_user(request) == p);
    p->finished++;
    p->statuses[status]++;
    pair_copy(p->text, sizeof(p->text), text);
    p->details_len = details.len < sizeof(p->details) ? details.len : sizeof(p->details);
    if (p->details_len) {
        memcpy(p->details, details.ptr, p->details_len);
    }
}

static const struct wire_server_ops pair_server_ops = {
    .call_open = pair_open,
    .call_message = pair_message,
    .call_half_closed = pair_half_closed,
    .call_closed = pair_closed,
    .call_refused = pair_refused,
    .call_drained = pair_drained,
};

static const struct wire_client_ops pair_client_ops = {
    .on_message = pair_on_message,
    .on_finish = pair_on_finish,
};

/* -- the wire between them --------------------------------------------------------------------- */

static inline void pair_new(struct pair *p)
{
    *p = (struct pair){0};
    prng_init(&p->prng, 1);
    EQ(wire_server_new(&pair_server_ops, p, &pair_limits, &p->server), 0);
    EQ(wire_client_new(&pair_client_ops, p, &p->client), 0);
}

static inline void pair_free(struct pair *p)
{
    wire_client_free(p->client);
    wire_server_free(p->server);
    EQ(p->opened, p->closed);
}

static inline size_t pair_cut(struct pair *p, size_t n)
{
    size_t max = p->cut_max && p->cut_max < n ? p->cut_max : n;
    return p->cut_max ? 1 + prng_below(&p->prng, max) : max;
}

/* One direction once; returns the bytes moved. */
static inline size_t pair_to_server(struct pair *p)
{
    static uint8_t buf[PAIR_BYTES];
    ssize_t n = wire_client_send(p->client, buf, pair_cut(p, sizeof(buf)));
    pair_note(p, (int)n);
    for (size_t at = 0; n > 0 && at < (size_t)n;) {
        size_t part = pair_cut(p, (size_t)n - at);
        p->server_verdict = wire_server_receive(p->server, buf + at, part);
        pair_note(p, p->server_verdict);
        at += part;
    }
    return n > 0 ? (size_t)n : 0;
}

static inline size_t pair_to_client(struct pair *p)
{
    static uint8_t buf[PAIR_BYTES];
    if (p->is_client_deaf) {
        return 0;
    }
    ssize_t n = wire_server_send(p->server, buf, pair_cut(p, sizeof(buf)));
    pair_note(p, (int)n);
    for (size_t at = 0; n > 0 && at < (size_t)n;) {
        size_t part = pair_cut(p, (size_t)n - at);
        p->client_verdict = wire_client_receive(p->client, buf + at, part);
        pair_note(p, p->client_verdict);
        at += part;
    }
    return n > 0 ? (size_t)n : 0;
}

/* Until nothing moves. */
static inline void pair_run(struct pair *p)
{
    while (pair_to_server(p) + pair_to_client(p) > 0) {
    }
}

static inline int pair_call(struct pair *p, const char *path, struct span message,
                            struct wire_request **ret_request)
{
    struct wire_request *request;
    int r = wire_client_call(p->client, path, (struct span){0}, -1, message, p,
                             ret_request ? ret_request : &request);
    pair_note(p, r);
    return r;
}

#endif
