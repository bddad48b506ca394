/* SPDX-License-Identifier: MIT */
/* What a server does with clients that break the rules: a typed refusal, a reset or a GOAWAY, and
 * never more work than the abuse itself.  Every request here is written byte by byte. */
#include "hostile.h"

#include <errno.h>

#include "base/limits.h"

static void test_hand_written_call(void)
{
    hostile_start();
    raw_request(&block, "POST", "application/grpc+proto");
    raw_header(&block, "authorization", "Bearer abc");
    raw_header(&block, "traceparent", "00-1-2-01");
    raw_header(&block, "grpc-timeout", "250m");
    raw_headers(&w, 1, &block, 0);
    raw_data(&w, 1, "\0\0\0\0\1x", 6, NGHTTP2_FLAG_END_STREAM);
    EQ(hostile_send(), 0);
    EQS(p.path, "/echo");
    EQS(p.authorization, "Bearer abc");
    EQS(p.traceparent, "00-1-2-01");
    EQ(p.timeout_us, 250000);
    EQS(got.headers, ":status: 200\ncontent-type: application/grpc\ngrpc-status: 0\n");
    EQ(got.data, 6);
    EQ(got.resets, 0);
    hostile_end();
}

static void test_not_grpc(void)
{
    static const struct {
        const char *method, *type, *status;
    } cases[] = {{"GET", "application/grpc", ":status: 405\n"},
                 {"PUT", "application/json", ":status: 405\n"},
                 {"POST", "application/grpc-web+json", ":status: 415\n"},
                 {"POST", "application/grpc+json", ":status: 415\n"},
                 {"POST", "text/plain", ":status: 415\n"},
                 {"POST", NULL, ":status: 415\n"}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        hostile_start();
        raw_request(&block, cases[i].method, cases[i].type);
        raw_headers(&w, 1, &block, 0);
        raw_data(&w, 1, "{}", 2, 0);
        EQ(hostile_send(), 0);
        OK(hostile_said(cases[i].status));
        OK(!hostile_said("grpc-status"));
        EQ(got.resets, 1);
        EQ(got.reset_code, NGHTTP2_NO_ERROR);
        EQ(p.opened, 0);
        hostile_still_serves(3);
        hostile_end();
    }
}

/* The body of a call that is refused, and what the refusal says. */
static void hostile_body(struct span body, uint8_t flags, enum wire_refusal why, const char *said)
{
    for (int better = 0; better < 2; better++) {
        hostile_start();
        p.refuses_better = better;
        raw_call(&w, 1);
        raw_data(&w, 1, body.ptr, body.len, flags);
        EQ(hostile_send(), 0);
        EQ(p.refused, 1);
        EQ(p.refusal, why);
        OK(hostile_said(better ? "grpc-status: 8\ngrpc-message: better\n"
                                 "grpc-status-details-bin: dHlwZWQ\n" : said));
        EQ(p.messages, 0);
        EQ(p.half_closed, 0);
        EQ(p.closed, 1);
        EQ(got.data, 0);
        EQ(got.resets, !(flags & NGHTTP2_FLAG_END_STREAM));
        EQ(got.reset_code, NGHTTP2_NO_ERROR);
        got.headers[0] = '\0';
        hostile_still_serves(3);
        hostile_end();
    }
}

static void test_refused_bodies(void)
{
    struct span too_large = {(const uint8_t *)"\0\0\1\0\1", 5}; /* 65,537 */
    hostile_body(too_large, 0, WIRE_REFUSAL_MESSAGE_TOO_LARGE, "grpc-status: 8\n");
    struct span huge = {(const uint8_t *)"\0\377\377\377\377x", 6};
    hostile_body(huge, NGHTTP2_FLAG_END_STREAM, WIRE_REFUSAL_MESSAGE_TOO_LARGE,
                 "grpc-status: 8\n");
    struct span compressed = {(const uint8_t *)"\1\0\0\0\1x", 6};
    hostile_body(compressed, NGHTTP2_FLAG_END_STREAM, WIRE_REFUSAL_COMPRESSED,
                 "grpc-accept-encoding: identity\ngrpc-status: 12\n");
    struct span half = {(const uint8_t *)"\0\0\0\0\5xyz", 8};
    hostile_body(half, NGHTTP2_FLAG_END_STREAM, WIRE_REFUSAL_TRUNCATED, "grpc-status: 3\n");
    struct span half_prefix = {(const uint8_t *)"\0\0\0", 3};
    hostile_body(half_prefix, NGHTTP2_FLAG_END_STREAM, WIRE_REFUSAL_TRUNCATED,
                 "grpc-status: 3\n");
}

/* A good message first: then the refusal comes in trailers. */
static void test_refused_after_an_answer(void)
{
    hostile_start();
    raw_call(&w, 1);
    raw_data(&w, 1, "\0\0\0\0\1x\0\0\0\0\5x", 12, NGHTTP2_FLAG_END_STREAM);
    EQ(hostile_send(), 0);
    EQ(p.messages, 1);
    EQ(p.refusal, WIRE_REFUSAL_TRUNCATED);
    EQ(got.data, 6);
    OK(hostile_said("grpc-status: 3\n"));
    hostile_end();
}

static void test_no_message(void)
{
    hostile_start();
    raw_request(&block, "POST", "application/grpc");
    raw_headers(&w, 1, &block, NGHTTP2_FLAG_END_STREAM);
    EQ(hostile_send(), 0);
    EQ(p.opened, 1);
    EQ(p.half_closed, 1);
    EQ(p.messages, 0);
    EQ(p.refused, 0);
    hostile_end();
}

/* One call whose block ends with a header of `n` bytes, and another after that. */
static void hostile_large(const char *name, size_t n, const char *after, size_t after_n)
{
    static char value[60 * 1024], last[16 * 1024];
    memset(value, 'v', n);
    value[n] = '\0';
    memset(last, 'v', after_n);
    last[after_n] = '\0';
    raw_request(&block, "POST", "application/grpc");
    raw_header(&block, name, value);
    raw_header(&block, after, last);
    for (size_t at = 0; at < block.len;) {
        size_t part = block.len - at < 16 * 1024 ? block.len - at : 16 * 1024;
        uint8_t type = at ? NGHTTP2_CONTINUATION : NGHTTP2_HEADERS;
        uint8_t flags = at + part == block.len ? NGHTTP2_FLAG_END_HEADERS : 0;
        raw_frame(&w, type, flags, 1, (struct span){block.bytes + at, part});
        at += part;
    }
}

static void test_headers_too_large(void)
{
    for (int better = 0; better < 2; better++) {
        hostile_start();
        p.refuses_better = better;
        hostile_large("x-note", 17 * 1024, "authorization", TOKEN_MAX);
        EQ(hostile_send(), 0);
        EQ(p.opened, 0);
        EQ(p.refusal, WIRE_REFUSAL_HEADERS_TOO_LARGE);
        OK(hostile_said("grpc-status: 8\n"));
        OK(!better || hostile_said("grpc-message: better\n"));
        hostile_still_serves(3);
        hostile_end();
    }
}

/* A token over TOKEN_MAX is status 16 whatever its length, and wherever it stands. */
static void test_token_too_large(void)
{
    for (int i = 0; i < 3; i++) {
        hostile_start();
        if (i == 0) {
            hostile_large("authorization", 55 * 1024, "x-note", 1);
        } else if (i == 1) {
            hostile_large("authorization", TOKEN_MAX + 1, "x-note", 8 * 1024);
        } else {
            hostile_large("x-note", 17 * 1024, "authorization", TOKEN_MAX + 1);
        }
        EQ(hostile_send(), 0);
        EQ(p.opened, 0);
        EQ(p.refused, 1);
        EQ(p.refusal, WIRE_REFUSAL_AUTHORIZATION_TOO_LARGE);
        OK(hostile_said("grpc-status: 16\n"));
        hostile_still_serves(3);
        hostile_end();
    }
}

/* An 8 KiB token and more is the gateway's to refuse: it arrives whole. */
static void test_large_token_arrives(void)
{
    static char value[12 * 1024];
    memset(value, 'v', sizeof(value) - 1);
    hostile_start();
    raw_request(&block, "POST", "application/grpc");
    raw_header(&block, "authorization", value);
    raw_headers(&w, 1, &block, 0);
    EQ(hostile_send(), 0);
    EQ(p.opened, 1);
    EQS(p.authorization, value);
    hostile_end();
}

static void test_invalid_headers(void)
{
    hostile_start();
    raw_request(&block, "POST", "application/grpc");
    raw_header(&block, "grpc-timeout", "soon");
    raw_headers(&w, 1, &block, 0);
    EQ(hostile_send(), 0);
    EQ(p.opened, 0);
    EQ(p.refused, 1);
    EQ(p.refusal, WIRE_REFUSAL_HEADERS_INVALID);
    OK(hostile_said("grpc-status: 3\n"));
    hostile_still_serves(3);
    hostile_end();
}

/* Whom a clock must watch: no greeting yet, or half a header block. */
static void test_what_is_owed(void)
{
    hostile_start();
    size_t hello = w.len;
    OK(wire_server_owed(p.server));
    OK(!wire_server_greeted(p.server));
    w.len = hello - 1;
    EQ(hostile_send(), 0);
    OK(wire_server_owed(p.server)); /* a preface alone is no greeting */
    hostile_end();
    hostile_start();
    EQ(hostile_send(), 0);
    OK(!wire_server_owed(p.server));
    OK(wire_server_greeted(p.server));
    raw_request(&block, "POST", "application/grpc");
    raw_frame(&w, NGHTTP2_HEADERS, 0, 1, (struct span){block.bytes, 20});
    EQ(hostile_send(), 0);
    OK(wire_server_owed(p.server));
    raw_frame(&w, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1,
              (struct span){block.bytes + 20, block.len - 20});
    EQ(hostile_send(), 0);
    OK(!wire_server_owed(p.server));
    EQ(p.opened, 1);
    hostile_end();
}

/* Also when both are the same, and when something else is wrong besides. */
static void test_two_authorizations(void)
{
    hostile_start();
    raw_request(&block, "POST", "application/grpc");
    raw_header(&block, "authorization", "Bearer a");
    raw_header(&block, "authorization", "Bearer b");
    raw_headers(&w, 1, &block, 0);
    raw_request(&block, "POST", "application/grpc");
    raw_header(&block, "authorization", "");
    raw_header(&block, "authorization", "");
    raw_header(&block, "grpc-timeout", "soon");
    raw_headers(&w, 3, &block, 0);
    EQ(hostile_send(), 0);
    EQ(p.opened, 0);
    EQ(p.refused, 2);
    EQ(p.refusal, WIRE_REFUSAL_AUTHORIZATION_TWICE);
    OK(hostile_said("grpc-status: 16\n"));
    OK(!hostile_said("grpc-status: 3\n"));
    hostile_still_serves(5);
    hostile_end();
}

/* Blanks around a value are no part of it (RFC 9110 5.5); real clients send "Bearer " for an empty
 * token, and it must be told from a broken connection. */
static void test_blanks_around_values(void)
{
    static const char *const sent[] = {"Bearer ", " Bearer abc", "Bearer abc \t", "\tBearer  abc ",
                                       "  ", ""};
    static const char *const heard[] = {"Bearer", "Bearer abc", "Bearer abc", "Bearer  abc", "",
                                        ""};
    for (size_t i = 0; i < sizeof(sent) / sizeof(*sent); i++) {
        hostile_start();
        raw_request(&block, "POST", " application/grpc ");
        raw_header(&block, "authorization", sent[i]);
        raw_header(&block, "grpc-timeout", " 5S ");
        raw_header(&block, "traceparent", " 00-ab ");
        raw_header(&block, "x-note", "hi ");
        raw_headers(&w, 1, &block, 0);
        EQ(hostile_send(), 0);
        EQ(got.resets, 0);
        EQ(p.opened, 1);
        EQS(p.authorization, heard[i]);
        EQS(p.traceparent, "00-ab");
        EQ(p.timeout_us, 5000000);
        hostile_end();
    }
    hostile_start(); /* what is no text at all stays malformed */
    raw_request(&block, "POST", "application/grpc");
    raw_header(&block, "authorization", "Bearer \r\nabc");
    raw_headers(&w, 1, &block, 0);
    EQ(hostile_send(), 0);
    EQ(p.opened, 0);
    EQ(got.resets, 1);
    hostile_end();
}

/* Malformed as HTTP: nghttp2 resets the stream, the connection lives. */
static void test_malformed_http(void)
{
    hostile_start();
    block.len = 0;
    raw_header(&block, ":method", "POST");
    raw_header(&block, ":scheme", "http");
    raw_headers(&w, 1, &block, 0); /* no :path */
    raw_request(&block, "POST", "application/grpc");
    raw_header(&block, "connection", "keep-alive");
    raw_headers(&w, 3, &block, 0);
    EQ(hostile_send(), 0);
    EQ(p.opened, 0);
    EQ(got.resets, 2);
    EQ(got.reset_code, NGHTTP2_PROTOCOL_ERROR);
    hostile_still_serves(5);
    hostile_end();
}

/* Neither HTTP/2 nor HTTP/1.1: one answer in the latter's words, then the end. */
static void test_garbage(void)
{
    static const struct {
        const char *bytes, *status;
    } cases[] = {{"\x16\x03\x01\x02\x01\x01", "HTTP/1.1 400 "},
                 {"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", "HTTP/1.1 505 "},
                 {"PRI * HTTP/2.0\r\n\r\nSN", "HTTP/1.1 505 "},
                 {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 400 "},
                 {"GET / HTTP/1.1\nHost: x\n\n", "HTTP/1.1 400 "}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        p = (struct pair){0};
        EQ(wire_server_new(&pair_server_ops, &p, &pair_limits, &p.server), 0);
        const uint8_t *bytes = (const uint8_t *)cases[i].bytes;
        int r = 0;
        for (size_t at = 0; r == 0 && at < strlen(cases[i].bytes); at++) {
            r = wire_server_receive(p.server, bytes + at, 1);
        }
        EQ(r, WIRE_E_CLOSE);
        char buf[1024];
        ssize_t n = wire_server_send(p.server, (uint8_t *)buf, sizeof(buf));
        OK(n > 13);
        OK(n > 13 && memcmp(buf, cases[i].status, 13) == 0);
        OK(n > 13 && memmem(buf, (size_t)n, "connection: close\r\n", 19));
        OK(wire_server_done(p.server));
        OK(!wire_server_wants_send(p.server));
        EQ(wire_server_receive(p.server, bytes, 1), WIRE_E_CLOSE);
        EQ(wire_server_drain(p.server), 0);
        wire_server_free(p.server);
    }
}

/* HTTP/2 errors: GOAWAY with the code, then done, and nothing more is read. */
static void test_protocol_errors(void)
{
    static const struct {
        uint8_t type, flags;
        uint32_t stream;
        size_t len;
        uint32_t code;
    } cases[] = {
        {NGHTTP2_DATA, 0, 0, 4, NGHTTP2_PROTOCOL_ERROR},        /* DATA on stream 0 */
        {NGHTTP2_DATA, 0, 7, 4, NGHTTP2_PROTOCOL_ERROR},        /* ... on an idle stream */
        {NGHTTP2_PING, 0, 0, 7, NGHTTP2_FRAME_SIZE_ERROR},
        {NGHTTP2_WINDOW_UPDATE, 0, 0, 4, NGHTTP2_PROTOCOL_ERROR}, /* increment 0 */
        {NGHTTP2_SETTINGS, 0, 0, 5, NGHTTP2_FRAME_SIZE_ERROR},
        {NGHTTP2_CONTINUATION, 0, 1, 4, NGHTTP2_PROTOCOL_ERROR},
        {NGHTTP2_PUSH_PROMISE, 4, 1, 8, NGHTTP2_PROTOCOL_ERROR},
        {NGHTTP2_HEADERS, 4, 2, 4, NGHTTP2_PROTOCOL_ERROR},     /* even stream */
        {NGHTTP2_HEADERS, 4, 1, 17000, NGHTTP2_FRAME_SIZE_ERROR}};
    static const uint8_t zeros[17000];
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        hostile_start();
        raw_call(&w, 5);
        raw_frame(&w, cases[i].type, cases[i].flags, cases[i].stream,
                  (struct span){zeros, cases[i].len});
        raw_call(&w, 9);
        OK(hostile_send() >= 0);
        EQ(got.goaways, 1);
        EQ(got.goaway_code, cases[i].code);
        OK(wire_server_done(p.server));
        EQ(p.opened, 1);
        raw_call(&w, 11);
        EQ(hostile_send(), WIRE_E_CLOSE);
        hostile_end();
    }
}

/* -- memory and windows ------------------------------------------------------------------------ */

/* Many calls, each with all but the last byte of a message: refused when they hold too much. */
static void test_assembly_cap(void)
{
    static uint8_t message[16 * 1024];
    hostile_start();
    EQ(hostile_send(), 0);
    size_t held_max = 0;
    memcpy(message, "\0\0\1\0\0", 5);
    for (uint32_t n = 0; n < 90; n++) {
        raw_call(&w, 2 * n + 1);
        raw_data(&w, 2 * n + 1, message, sizeof(message), 0);
        for (int i = 0; i < 3; i++) {
            raw_data(&w, 2 * n + 1, message + 5, sizeof(message) - 5, 0);
        }
        EQ(hostile_send(), 0);
        held_max = p.server->assembly_bytes > held_max ? p.server->assembly_bytes : held_max;
    }
    OK(p.refused > 20);
    EQ(p.refusal, WIRE_REFUSAL_ASSEMBLY_FULL);
    OK(hostile_said("grpc-status: 8\n"));
    OK(held_max <= WIRE_ASSEMBLY_MAX + 64 * 1024);
    hostile_end();
}

/* Many connections under one cap: its end is the end of a connection, never of the process, and
 * what they held comes back to the byte. */
static void test_memory_cap(void)
{
    static uint8_t message[16 * 1024];
    struct memcap cap = {.max = 1024 * 1024};
    struct wire_limits limits = pair_limits;
    limits.memory = &cap;
    struct wire_server *servers[64] = {0};
    int lost = 0, refused = 0;
    memcpy(message, "\0\0\1\0\0", 5);
    p = (struct pair){0};
    for (size_t i = 0; i < ARRAY_COUNT(servers); i++) {
        if (wire_server_new(&pair_server_ops, &p, &limits, &servers[i]) < 0) {
            refused++;
            continue;
        }
        size_t before = wire_server_memory(servers[i]);
        raw_hello(&w);
        raw_call(&w, 1);
        raw_data(&w, 1, message, sizeof(message), 0);
        raw_data(&w, 1, message + 5, 10000, 0);
        int r = wire_server_receive(servers[i], w.bytes, w.len);
        OK(r == 0 || r == -ENOMEM);
        lost += r < 0;
        OK(r < 0 || wire_server_memory(servers[i]) > before + 16 * 1024);
        EQ(wire_server_end(servers[i]), r < 0 ? WIRE_END_MEMORY : WIRE_END_NONE);
        OK(cap.used <= cap.max);
    }
    OK(lost + refused > 0 && lost + refused < 50);
    OK(cap.refused_count > 0);
    for (size_t i = 0; i < ARRAY_COUNT(servers); i++) {
        wire_server_free(servers[i]);
    }
    EQ(cap.used, 0);
    EQ(p.opened, p.closed);
    w.len = 0;
}

/* Expelled: a good-bye that says why, and its call ends. */
static void test_expelled(void)
{
    hostile_start();
    raw_call(&w, 1);
    EQ(hostile_send(), 0);
    wire_server_expel(p.server);
    hostile_read();
    EQ(got.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    EQ(wire_server_end(p.server), WIRE_END_HOG);
    OK(wire_server_done(p.server));
    hostile_end();
}

/* All bytes of a body are given back to the peer's window, also those that nobody heard. */
static void test_window_comes_back(void)
{
    static uint8_t message[16 * 1024];
    hostile_start();
    memcpy(message, "\0\377\0\0\0", 5); /* refused at once */
    raw_call(&w, 1);
    for (int i = 0; i < 3; i++) {
        raw_data(&w, 1, message, sizeof(message), 0);
    }
    EQ(hostile_send(), 0);
    OK(got.window >= 2 * sizeof(message));
    hostile_end();
}

/* DATA beyond the window is the peer's error. */
static void test_window_overrun(void)
{
    static uint8_t message[16 * 1024];
    hostile_start();
    raw_call(&w, 1);
    memcpy(message, "\0\0\1\0\0", 5);
    for (int i = 0; i < 40; i++) {
        raw_data(&w, 2 * 0 + 1, message, sizeof(message), 0);
    }
    OK(hostile_send() >= 0);
    OK(got.goaways == 1 || got.resets == 1);
    hostile_end();
}

/* The connection is cut after every possible byte. */
static void test_cut_anywhere(void)
{
    hostile_start();
    raw_call(&w, 1);
    raw_data(&w, 1, "\0\0\0\0\3xyz", 8, NGHTTP2_FLAG_END_STREAM);
    size_t len = w.len;
    hostile_end();
    for (size_t cut = 0; cut <= len; cut++) {
        hostile_start();
        raw_call(&w, 1);
        raw_data(&w, 1, "\0\0\0\0\3xyz", 8, NGHTTP2_FLAG_END_STREAM);
        w.len = cut;
        EQ(hostile_send(), 0);
        EQ(p.closed_finished, cut == len);
        hostile_end();
    }
}

/* Random bytes inside frames that look right: no crash, calls balance, the verdict is a verdict. */
static void test_random_frames(void)
{
    struct prng prng;
    prng_init(&prng, 7);
    for (int round = 0; round < 3000; round++) {
        hostile_start();
        for (int i = 0; i < 20; i++) {
            uint8_t payload[40];
            uint32_t stream = (uint32_t)prng_below(&prng, 8);
            for (size_t j = 0; j < sizeof(payload); j++) {
                payload[j] = (uint8_t)(prng_below(&prng, 3) ? 0 : prng_next(&prng));
            }
            if (prng_below(&prng, 3) == 0) {
                raw_call(&w, stream);
            } else {
                raw_frame(&w, (uint8_t)prng_below(&prng, 11), (uint8_t)prng_next(&prng), stream,
                          (struct span){payload, prng_below(&prng, sizeof(payload))});
            }
        }
        static uint8_t buf[64 * 1024];
        int r = wire_server_receive(p.server, w.bytes, w.len);
        OK(r == 0 || r == WIRE_E_CLOSE);
        OK(wire_server_send(p.server, buf, sizeof(buf)) >= 0);
        hostile_end();
    }
}

int main(void)
{
    TAP_RUN(test_hand_written_call);
    TAP_RUN(test_not_grpc);
    TAP_RUN(test_refused_bodies);
    TAP_RUN(test_refused_after_an_answer);
    TAP_RUN(test_no_message);
    TAP_RUN(test_headers_too_large);
    TAP_RUN(test_token_too_large);
    TAP_RUN(test_large_token_arrives);
    TAP_RUN(test_invalid_headers);
    TAP_RUN(test_what_is_owed);
    TAP_RUN(test_two_authorizations);
    TAP_RUN(test_blanks_around_values);
    TAP_RUN(test_malformed_http);
    TAP_RUN(test_garbage);
    TAP_RUN(test_protocol_errors);
    TAP_RUN(test_assembly_cap);
    TAP_RUN(test_memory_cap);
    TAP_RUN(test_expelled);
    TAP_RUN(test_window_comes_back);
    TAP_RUN(test_window_overrun);
    TAP_RUN(test_cut_anywhere);
    TAP_RUN(test_random_frames);
    return tap_done();
}
