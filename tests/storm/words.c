/* SPDX-License-Identifier: MIT */
/* Conversations for the storm.  Owns nothing.
 *
 *   preface SETTINGS | HEADERS (literals) | DATA (prefix, message) | ... then damage
 *
 * Each thing is first written as a client would, so that it gets as deep as it can, and then a few
 * of its bytes are changed, removed or repeated; a few are left right, as attacks are among calls.
 * Fails never: what does not fit is left out. */
#include "tests/storm/words.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static const char *const words_paths[] = {
    "/fairslot.v1.CatalogService/ListPools",        "/fairslot.v1.CatalogService/ListSlots",
    "/fairslot.v1.CatalogService/WatchSlots",       "/fairslot.v1.ReservationService/CreateHold",
    "/fairslot.v1.ReservationService/ConfirmHold",  "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/nobody.v1.Nothing/Here",
};

static const char *const words_types[] = {
    "application/grpc", "application/grpc-web", "application/grpc-web-text", "application/proto",
    "application/json", "application/connect+json", "application/connect+proto", "text/html",
};

static uint64_t words_draw(struct words *w, uint64_t n)
{
    return prng_below(w->prng, n);
}

static void words_put(struct words *w, const void *bytes, size_t n)
{
    if (n > 0 && w->len + n <= WORDS_MAX) {
        memcpy(w->bytes + w->len, bytes, n);
        w->len += n;
    }
}

static void words_text(struct words *w, const char *text)
{
    words_put(w, text, strlen(text));
}

/* Bytes from `from` on: some changed, a run removed, a run repeated, the end cut off. */
static void words_damage(struct words *w, size_t from, unsigned most)
{
    for (uint64_t n = words_draw(w, most + 1); n > 0 && w->len > from + 1; n--) {
        size_t at = from + words_draw(w, w->len - from);
        size_t run = 1 + words_draw(w, 20);
        run = run < w->len - at ? run : w->len - at;
        switch (words_draw(w, 8)) {
        case 0:
            memmove(w->bytes + at, w->bytes + at + run, w->len - at - run);
            w->len -= run;
            break;
        case 1:
            if (w->len + run <= WORDS_MAX) {
                memmove(w->bytes + at + run, w->bytes + at, w->len - at);
                w->len += run;
            }
            break;
        case 2:
            w->len = at + 1;
            break;
        default:
            w->bytes[at] = (uint8_t)prng_next(w->prng);
        }
    }
}

/* -- HTTP/2 ------------------------------------------------------------------------------------ */

/* A frame's head, its length still to come; returns where it begins. */
static size_t words_frame(struct words *w, uint8_t type, uint8_t flags, uint32_t stream)
{
    uint8_t head[9] = {0, 0, 0, type, flags, (uint8_t)(stream >> 24), (uint8_t)(stream >> 16),
                       (uint8_t)(stream >> 8), (uint8_t)stream};
    size_t at = w->len;
    words_put(w, head, sizeof head);
    return at;
}

static void words_frame_end(struct words *w, size_t at)
{
    if (w->len >= at + 9) {
        size_t len = w->len - at - 9;
        w->bytes[at] = (uint8_t)(len >> 16);
        w->bytes[at + 1] = (uint8_t)(len >> 8);
        w->bytes[at + 2] = (uint8_t)len;
    }
}

static void words_string(struct words *w, const char *text)
{
    size_t n = strlen(text);
    uint8_t head[4];
    size_t used = 0;
    if (n < 127) {
        head[used++] = (uint8_t)n;
    } else {
        head[used++] = 127;
        for (n -= 127; n >= 128; n >>= 7) {
            head[used++] = (uint8_t)(n | 128);
        }
        head[used++] = (uint8_t)n;
    }
    words_put(w, head, used);
    words_text(w, text);
}

static void words_header(struct words *w, const char *name, const char *value)
{
    words_put(w, "\0", 1);
    words_string(w, name);
    words_string(w, value);
}

/* The bearer token, damaged `most` times at most. */
static void words_token(struct words *w, char *out, size_t size, unsigned most)
{
    snprintf(out, size, "Bearer %s", w->token);
    size_t len = strlen(out);
    for (uint64_t n = words_draw(w, most + 1); n > 0 && len > 9; n--) {
        size_t at = 7 + words_draw(w, len - 8);
        if (words_draw(w, 4)) {
            static const char letters[] = "ABCxyz019-_.={}";
            out[at] = letters[words_draw(w, sizeof letters - 1)];
        } else {
            out[at] = '\0';
            len = at;
        }
    }
}

static void words_call(struct words *w, uint32_t stream, unsigned token_damage)
{
    char token[4096];
    words_token(w, token, sizeof token, token_damage);
    size_t at = words_frame(w, 1, 4, stream);
    words_header(w, ":method", words_draw(w, 16) ? "POST" : "GET");
    words_header(w, ":scheme", "http");
    words_header(w, ":path", words_paths[words_draw(w, ARRAY_COUNT(words_paths))]);
    words_header(w, ":authority", "storm");
    words_header(w, "content-type",
                 words_types[words_draw(w, 2) ? 0 : words_draw(w, ARRAY_COUNT(words_types))]);
    words_header(w, "te", "trailers");
    words_header(w, "authorization", token);
    if (words_draw(w, 4) == 0) {
        words_header(w, "grpc-timeout", words_draw(w, 2) ? "50m" : "99999999x");
    }
    words_frame_end(w, at);
}

/* A message that is right, as ListSlots or CreateHold would take it, with its prefix. */
static void words_message(struct words *w, unsigned damage)
{
    static const char body[] = "\x0a\x0bpools/storm\x12\x22pools/storm/slots/s20261201t0900-c3\x2a"
                               "\x24" "0190b5c2-7d3e-7a10-8b2f-6d1d6f0a9a01";
    uint8_t prefix[5] = {0, 0, 0, 0, sizeof body - 1};
    size_t from = w->len;
    words_put(w, prefix, sizeof prefix);
    words_put(w, body, sizeof body - 1);
    words_damage(w, from, damage);
}

static void words_data(struct words *w, uint32_t stream, unsigned damage)
{
    size_t at = words_frame(w, 0, words_draw(w, 8) ? 1 : 0, stream);
    words_message(w, damage);
    words_frame_end(w, at);
}

static void words_hello(struct words *w)
{
    w->len = 0;
    words_text(w, PREFACE);
    words_frame_end(w, words_frame(w, 4, 0, 0));
}

static unsigned words_frames(struct words *w)
{
    unsigned count = 4 + (unsigned)words_draw(w, 60);
    words_hello(w);
    for (unsigned n = 0; n < count; n++) {
        size_t from = w->len;
        uint32_t stream = 2 * n + 1;
        switch (words_draw(w, 4)) {
        case 0:
            words_call(w, stream, 0);
            break;
        case 1:
            words_data(w, stream > 2 ? stream - 2 : stream, 0);
            break;
        default:
            from = words_frame(w, (uint8_t)words_draw(w, 12), (uint8_t)prng_next(w->prng),
                               (uint32_t)words_draw(w, 2 * n + 3));
            words_put(w, "\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1", words_draw(w, 17));
            words_frame_end(w, from);
        }
        /* Most frames stay what they are: one that ends the connection ends the conversation. */
        words_damage(w, from, words_draw(w, 12) ? 0 : 3);
    }
    return count;
}

static unsigned words_calls(struct words *w, unsigned token_damage, unsigned message_damage)
{
    unsigned count = 4 + (unsigned)words_draw(w, 40);
    words_hello(w);
    for (unsigned n = 0; n < count; n++) {
        words_call(w, 2 * n + 1, token_damage);
        words_data(w, 2 * n + 1, message_damage);
    }
    return count;
}

static unsigned words_headers(struct words *w)
{
    unsigned count = 2 + (unsigned)words_draw(w, 12);
    words_hello(w);
    for (unsigned n = 0; n < count; n++) {
        size_t at = words_frame(w, 1, 5, 2 * n + 1);
        for (uint64_t k = 1 + words_draw(w, 30); k > 0; k--) {
            static const char *const names[] = {":path", ":method", "te", "X-Upper", "cookie", "",
                                                "connection", "host", ":status", "authorization",
                                                "content-length", "grpc-timeout", "a b", "x\x01"};
            static const char *const values[] = {"", "POST", "CONNECT", "/../../etc/passwd",
                                                 "\x01", "http://a/b", "close", "-1", "x\ny",
                                                 "99999999S",
                                                 "/fairslot.v1.CatalogService/ListPools"};
            words_header(w, names[words_draw(w, ARRAY_COUNT(names))],
                         values[words_draw(w, ARRAY_COUNT(values))]);
        }
        words_frame_end(w, at);
        words_damage(w, at + 9, words_draw(w, 6) ? 0 : 2);
    }
    return count;
}

/* -- HTTP/1.1 and others ----------------------------------------------------------------------- */

static unsigned words_http1(struct words *w)
{
    unsigned count = 1 + (unsigned)words_draw(w, 6);
    w->len = 0;
    for (unsigned n = 0; n < count; n++) {
        char head[8192], token[4096];
        static const char *const bodies[] = {"{}", "{\"pageSize\":1}", "{\"parent\":7}", "[",
                                             "{\"parent\":\"pools/storm\"}", "\"\\ud800\"",
                                             "AAAAAAA="};
        const char *body = bodies[words_draw(w, ARRAY_COUNT(bodies))];
        words_token(w, token, sizeof token, words_draw(w, 3) ? 0 : 3);
        int len = snprintf(head, sizeof head,
                           "%s %s HTTP/1.1\r\nhost: storm\r\ncontent-type: %s\r\nauthorization: "
                           "%s\r\n%s%s: %zu\r\n\r\n%s",
                           words_draw(w, 8) ? "POST" : "GET",
                           words_paths[words_draw(w, ARRAY_COUNT(words_paths))],
                           words_types[words_draw(w, ARRAY_COUNT(words_types))], token,
                           words_draw(w, 10) ? "" : "transfer-encoding: chunked\r\n",
                           words_draw(w, 30) ? "content-length" : "content-lengthy", strlen(body),
                           body);
        CHECK(len > 0);
        size_t from = w->len;
        words_put(w, head, (size_t)len);
        words_damage(w, from, words_draw(w, 3) ? 1 : 4);
    }
    return count;
}

static unsigned words_garbage(struct words *w)
{
    static const char *const starts[] = {"\x16\x03\x01\x02", "SSH-2.0-x\r\n", "PRI * HTTP/2.0\r\n",
                                         "GET / HTTP/9.9\r\n\r\n", "", "POST"};
    w->len = 0;
    words_text(w, starts[words_draw(w, ARRAY_COUNT(starts))]);
    for (uint64_t n = words_draw(w, 300); n > 0; n--) {
        uint8_t byte = (uint8_t)prng_next(w->prng);
        words_put(w, &byte, 1);
    }
    return 1;
}

unsigned words_make(struct words *w, enum words_kind kind)
{
    switch (kind) {
    case WORDS_FRAMES:
        return words_frames(w);
    case WORDS_TOKENS:
        return words_calls(w, 3, 0);
    case WORDS_MESSAGES:
        return words_calls(w, 0, 4);
    case WORDS_HEADERS:
        return words_headers(w);
    case WORDS_HTTP1:
        return words_http1(w);
    default:
        return words_garbage(w);
    }
}
