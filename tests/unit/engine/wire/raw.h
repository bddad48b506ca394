/* SPDX-License-Identifier: MIT */
/* HTTP/2 frames by hand, as somebody hostile would write them: no library checks them first.
 * Headers are literals without Huffman or index, so every byte is what it says. */
#ifndef FAIRSLOT_TESTS_WIRE_RAW_H
#define FAIRSLOT_TESTS_WIRE_RAW_H

#include "pair.h"

struct raw {
    uint8_t bytes[1024 * 1024];
    size_t len;
};

static inline void raw_bytes(struct raw *w, const void *bytes, size_t n)
{
    if (w->len + n > sizeof(w->bytes)) {
        abort();
    }
    if (n) {
        memcpy(w->bytes + w->len, bytes, n);
    }
    w->len += n;
}

static inline void raw_frame(struct raw *w, uint8_t type, uint8_t flags, uint32_t stream,
                             struct span payload)
{
    uint8_t head[9] = {(uint8_t)(payload.len >> 16), (uint8_t)(payload.len >> 8),
                       (uint8_t)payload.len, type, flags, (uint8_t)(stream >> 24),
                       (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    raw_bytes(w, head, sizeof(head));
    raw_bytes(w, payload.ptr, payload.len);
}

static inline void raw_hello(struct raw *w)
{
    w->len = 0;
    raw_bytes(w, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    raw_frame(w, NGHTTP2_SETTINGS, 0, 0, (struct span){0});
}

/* A header block under way. */
struct raw_block {
    uint8_t bytes[64 * 1024];
    size_t len;
};

static inline void raw_string(struct raw_block *b, const char *text)
{
    size_t n = strlen(text);
    if (n < 127) {
        b->bytes[b->len++] = (uint8_t)n;
    } else {
        size_t rest = n - 127;
        b->bytes[b->len++] = 127;
        for (; rest >= 128; rest >>= 7) {
            b->bytes[b->len++] = (uint8_t)(rest | 128);
        }
        b->bytes[b->len++] = (uint8_t)rest;
    }
    memcpy(b->bytes + b->len, text, n);
    b->len += n;
}

static inline void raw_header(struct raw_block *b, const char *name, const char *value)
{
    b->bytes[b->len++] = 0;
    raw_string(b, name);
    raw_string(b, value);
}

static inline void raw_request(struct raw_block *b, const char *method, const char *type)
{
    b->len = 0;
    raw_header(b, ":method", method);
    raw_header(b, ":scheme", "http");
    raw_header(b, ":path", "/echo");
    raw_header(b, ":authority", "localhost");
    if (type) {
        raw_header(b, "content-type", type);
    }
    raw_header(b, "te", "trailers");
}

/* HEADERS of the block; END_STREAM in `flags` where wanted. */
static inline void raw_headers(struct raw *w, uint32_t stream, const struct raw_block *b,
                               uint8_t flags)
{
    raw_frame(w, NGHTTP2_HEADERS, (uint8_t)(NGHTTP2_FLAG_END_HEADERS | flags), stream,
              (struct span){b->bytes, b->len});
}

/* The usual request's HEADERS. */
static inline void raw_call(struct raw *w, uint32_t stream)
{
    static struct raw_block b;
    raw_request(&b, "POST", "application/grpc");
    raw_headers(w, stream, &b, 0);
}

static inline void raw_data(struct raw *w, uint32_t stream, const void *bytes, size_t n,
                            uint8_t flags)
{
    raw_frame(w, NGHTTP2_DATA, flags, stream, (struct span){bytes, n});
}

/* -- what came back ---------------------------------------------------------------------------- */

struct raw_answer {
    char headers[8192];  /* "name: value\n" of every block, in order */
    int resets;          /* RST_STREAM frames */
    uint32_t reset_code; /* of the last */
    int goaways;         /* GOAWAY frames */
    uint32_t goaway_code; /* of the last */
    size_t window;       /* WINDOW_UPDATE increments of the connection */
    size_t data;         /* bytes of DATA */
    uint8_t body[8192];  /* the first of them */
    int acks;            /* PING acks */
};

static inline uint32_t raw_be(const uint8_t *p, size_t n)
{
    uint32_t v = 0;
    while (n-- > 0) {
        v = v << 8 | *p++;
    }
    return v;
}

static inline void raw_inflate(nghttp2_hd_inflater *inflater, const uint8_t *at, size_t n,
                               struct raw_answer *a)
{
    size_t len = strlen(a->headers);
    for (;;) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t r = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, at, n, 1);
        if (r < 0) {
            OK(!"header block decodes");
            return;
        }
        at += r;
        n -= (size_t)r;
        if (flags & NGHTTP2_HD_INFLATE_EMIT && len < sizeof(a->headers)) {
            len += (size_t)snprintf(a->headers + len, sizeof(a->headers) - len, "%.*s: %.*s\n",
                                    (int)nv.namelen, nv.name, (int)nv.valuelen, nv.value);
        }
        if (flags & NGHTTP2_HD_INFLATE_FINAL) {
            nghttp2_hd_inflate_end_headers(inflater);
            return;
        }
    }
}

/* Reads a server's bytes frame by frame; `inflater` lives as long as the connection. */
static inline void raw_read(nghttp2_hd_inflater *inflater, const uint8_t *at, size_t n,
                            struct raw_answer *a)
{
    while (n >= 9) {
        size_t len = raw_be(at, 3);
        uint8_t type = at[3];
        uint32_t stream = raw_be(at + 5, 4);
        const uint8_t *payload = at + 9;
        OK(n >= 9 + len);
        if (type == NGHTTP2_HEADERS) {
            raw_inflate(inflater, payload, len, a);
        } else if (type == NGHTTP2_RST_STREAM) {
            a->resets++;
            a->reset_code = raw_be(payload, 4);
        } else if (type == NGHTTP2_GOAWAY) {
            a->goaways++;
            a->goaway_code = raw_be(payload + 4, 4);
        } else if (type == NGHTTP2_WINDOW_UPDATE && stream == 0) {
            a->window += raw_be(payload, 4);
        } else if (type == NGHTTP2_DATA) {
            if (a->data + len <= sizeof(a->body)) {
                memcpy(a->body + a->data, payload, len);
            }
            a->data += len;
        } else if (type == NGHTTP2_PING) {
            a->acks++;
        }
        at += 9 + len;
        n -= 9 + len;
    }
}

#endif
