/* SPDX-License-Identifier: MIT */
/* One side of a conversation over HTTP/1.1, as text: what a client says, what it is told.  Behind
 * the server stands pair.h's scripted gateway. */
#ifndef FAIRSLOT_TESTS_WIRE_TALK_H
#define FAIRSLOT_TESTS_WIRE_TALK_H

#include <stdarg.h>

#include "pair.h"

struct talk {
    struct pair p;
    size_t cut;             /* bytes of a piece; 0: all at once */
    size_t take;            /* bytes of a send; 0: many */
    char said[512 * 1024];  /* what the server said, terminated */
    size_t said_len;
    int verdict;            /* last of receive */
};

static inline unsigned talk_facts(void *user, struct span path)
{
    static const struct {
        const char *path;
        unsigned facts;
    } paths[] = {{"/echo", WIRE_PATH_KNOWN | WIRE_PATH_GET | WIRE_PATH_CACHE},
                 {"/error", WIRE_PATH_KNOWN}, {"/early", WIRE_PATH_KNOWN},
                 {"/half", WIRE_PATH_KNOWN | WIRE_PATH_STREAM}, {"/hang", WIRE_PATH_KNOWN},
                 {"/stream", WIRE_PATH_KNOWN | WIRE_PATH_STREAM},
                 {"/talk", WIRE_PATH_KNOWN | WIRE_PATH_STREAM}};
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        if (span_equal(path, span_of(paths[i].path))) {
            return paths[i].facts;
        }
    }
    return 0;
}

static inline enum wire_origin talk_origin(void *user, struct span origin)
{
    return span_equal(origin, span_of("https://good.example"))  ? WIRE_ORIGIN_YES
           : span_equal(origin, span_of("https://any.example")) ? WIRE_ORIGIN_ANY
                                                                : WIRE_ORIGIN_NO;
}

static const struct wire_server_ops talk_ops = {
    .call_open = pair_open,
    .call_message = pair_message,
    .call_half_closed = pair_half_closed,
    .call_closed = pair_closed,
    .call_refused = pair_refused,
    .call_drained = pair_drained,
    .path_facts = talk_facts,
    .origin = talk_origin,
};

static inline void talk_new(struct talk *t)
{
    size_t cut = t->cut, take = t->take;
    memset(t, 0, sizeof(*t));
    t->cut = cut;
    t->take = take;
    EQ(wire_server_new(&talk_ops, &t->p, &pair_limits, &t->p.server), 0);
}

static inline void talk_listen(struct talk *t)
{
    ssize_t n = 1;
    while (n > 0 && t->said_len < sizeof(t->said) - 1) {
        size_t room = sizeof(t->said) - 1 - t->said_len;
        n = wire_server_send(t->p.server, (uint8_t *)t->said + t->said_len,
                             t->take && t->take < room ? t->take : room);
        OK(n >= 0);
        t->said_len += n > 0 ? (size_t)n : 0;
    }
    t->said[t->said_len] = '\0';
}

/* Says bytes, and listens after each piece. */
static inline void talk_say_bytes(struct talk *t, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    while (n > 0) {
        size_t part = t->cut && t->cut < n ? t->cut : n;
        t->verdict = wire_server_receive(t->p.server, at, part);
        OK(t->verdict >= 0);
        talk_listen(t);
        at += part;
        n -= part;
    }
}

static inline void talk_say(struct talk *t, const char *text)
{
    talk_say_bytes(t, text, strlen(text));
}

/* A whole request with a body. */
static inline void talk_post(struct talk *t, const char *path, const char *headers,
                             struct span body)
{
    static char head[64 * 1024];
    snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %zu\r\n%s\r\n",
             path, body.len, headers);
    talk_say(t, head);
    talk_say_bytes(t, body.ptr, body.len);
}

static inline void talk_end(struct talk *t)
{
    wire_server_free(t->p.server);
    t->p.server = NULL;
    EQ(t->p.opened, t->p.closed);
    EQ(t->p.failure, 0);
}

static inline bool talk_heard(const struct talk *t, const char *text)
{
    return memmem(t->said, t->said_len, text, strlen(text)) != NULL;
}

/* How often a text stands in what was said. */
static inline int talk_count(const struct talk *t, const char *text)
{
    int count = 0;
    const char *at = t->said;
    size_t len = strlen(text);
    while ((at = memmem(at, t->said_len - (size_t)(at - t->said), text, len))) {
        count++;
        at += len;
    }
    return count;
}

/* Behind the first empty line. */
static inline const char *talk_body(const struct talk *t)
{
    const char *at = strstr(t->said, "\r\n\r\n");
    return at ? at + 4 : "";
}

#endif
