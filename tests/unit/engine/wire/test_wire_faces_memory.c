/* SPDX-License-Identifier: MIT */
/* Every allocation of a conversation through each face fails once: no crash, no leak, every call
 * closed once.  Also what an idle HTTP/1.1 connection holds. */
#include "purse.h"
#include "raw.h"
#include "talk.h"

static struct talk t;

#define JSON "Content-Type: application/json\r\n"

/* Unary, chunked, GET, streams that fill up, gRPC-Web and its text, refusals, a pipe, a drain. */
static const char *const said[] = {
    "POST /echo HTTP/1.1\r\nHost: x\r\n" JSON "Content-Length: 300\r\n\r\n",
    "%300",
    "POST /echo HTTP/1.1\r\nHost: x\r\n" JSON "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "3\r\nyou\r\n0\r\n\r\n",
    "GET /echo?encoding=json&message=1&base64=0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /error HTTP/1.1\r\nHost: x\r\n" JSON "Content-Length: 0\r\n\r\n",
    "POST /stream HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+json\r\n"
    "Content-Length: 7\r\n\r\n",
    "@\2{}",
    "POST /half HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+proto\r\n"
    "Content-Length: 7\r\n\r\n",
    "@\2{}",
    "POST /half HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc-web\r\n"
    "Content-Length: 7\r\n\r\n",
    "@\2{}",
    "POST /error HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc-web-text\r\n"
    "Content-Length: 12\r\n\r\nAAAAAAJoaQ==",
    "POST /half HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc-web-text\r\n"
    "Content-Length: 12\r\n\r\nAAAAAAJoaQ==",
    "OPTIONS /echo HTTP/1.1\r\nHost: x\r\nOrigin: https://good.example\r\n\r\n"
    "POST /echo HTTP/1.1\r\nHost: x\r\n" JSON "Content-Length: 1\r\n\r\n1"
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /hang HTTP/1.1\r\nHost: x\r\n" JSON "Content-Length: 2\r\n\r\n{}"
    "POST /echo HTTP/1.1\r\nHost: x\r\n" JSON "Content-Length: 2\r\n\r\n{}",
    "POST /echo HTTP/1.1\r\nHost: x\r\n" JSON "Content-Length: 2\r\n\r\n{}",
};

static int memory_say(const void *bytes, size_t n)
{
    static uint8_t buf[16 * 1024];
    int r = wire_server_receive(t.p.server, bytes, n);
    ssize_t sent = 1;
    while (r == 0 && sent > 0) {
        sent = wire_server_send(t.p.server, buf, sizeof(buf));
        r = sent < 0 ? (int)sent : 0;
    }
    pair_note(&t.p, r);
    return r;
}

static int memory_line(const char *line)
{
    static uint8_t bytes[1024];
    size_t n = strlen(line);
    memcpy(bytes, line, n);
    if (line[0] == '%') { /* a body of that length */
        n = strtoul(line + 1, NULL, 10);
        memset(bytes, 'x', n);
    } else if (line[0] == '@') { /* a message with its prefix */
        memcpy(bytes, "\0\0\0\0\2{}", n = 7);
    }
    return memory_say(bytes, n);
}

static void memory_round(struct purse *purse)
{
    nghttp2_mem mem = purse_mem(purse);
    memset(&t, 0, sizeof(t));
    t.p.stream_left = 3000;
    int r = wire_server_new_on(&talk_ops, &t.p, &pair_limits, &mem, &t.p.server);
    pair_note(&t.p, r);
    for (size_t i = 0; i < ARRAY_COUNT(said) && r == 0; i++) {
        r = memory_line(said[i]);
    }
    if (r == 0 && t.p.call) {
        pair_note(&t.p, wire_call_finish(t.p.call, 5, span_of("text"), span_of("details")));
        memory_say("", 0);
        pair_note(&t.p, wire_server_drain(t.p.server));
        pair_note(&t.p, wire_server_drain(t.p.server));
    }
    if (t.p.server) {
        wire_server_free(t.p.server);
    }
    EQ(t.p.opened, t.p.closed);
    EQ(purse->live, 0);
}

static void memory_fail_each(bool fails_on)
{
    struct purse purse = {0};
    memory_round(&purse);
    EQ(t.p.failure, 0);
    EQ(t.p.opened, 13);
    uint64_t count = purse.count;
    OK(count > 50);
    int unnoticed = 0;
    for (uint64_t n = 1; n <= count; n++) {
        purse = (struct purse){.fail_at = n, .fails_on = fails_on};
        memory_round(&purse);
        unnoticed += t.p.failure == 0;
        if (tap_broken) {
            printf("# allocation %d of %d\n", (int)n, (int)count);
            return;
        }
    }
    EQ(unnoticed, 0);
}

static void test_fails_once(void)
{
    memory_fail_each(false);
}

static void test_fails_on(void)
{
    memory_fail_each(true);
}

/* Each message of a stream over HTTP/2, and Connect's head there. */
static void test_h2_fails(void)
{
    static struct raw w;
    static struct raw_block block;
    uint64_t count = 1, noticed = 0;
    for (uint64_t n = 0; n <= count; n++) {
        struct purse purse = {.fail_at = n};
        nghttp2_mem mem = purse_mem(&purse);
        memset(&t, 0, sizeof(t));
        t.p.stream_left = 30;
        int r = wire_server_new_on(&talk_ops, &t.p, &pair_limits, &mem, &t.p.server);
        raw_hello(&w);
        static const char *const types[] = {"application/json", "application/connect+json",
                                            "application/grpc-web", "application/grpc-web-text"};
        for (uint32_t i = 0; i < ARRAY_COUNT(types); i++) {
            raw_request(&block, "POST", types[i]);
            raw_headers(&w, 2 * i + 1, &block, 0);
            raw_data(&w, 2 * i + 1, i == 3 ? "AAAAAAJoaQ==" : "\0\0\0\0\2hi", i == 3 ? 12 : 7,
                     NGHTTP2_FLAG_END_STREAM);
        }
        r = r == 0 ? memory_say(w.bytes, w.len) : r;
        noticed += r < 0 || t.p.failure < 0; /* nghttp2 does without some of its own */
        wire_server_free(t.p.server);
        EQ(t.p.opened, t.p.closed);
        EQ(purse.live, 0);
        count = n == 0 ? purse.count : count;
    }
    OK(count > 20);
    OK(noticed >= count - 10);
}

static void test_idle_bytes(void)
{
    struct purse purse = {0};
    nghttp2_mem mem = purse_mem(&purse);
    memset(&t, 0, sizeof(t));
    EQ(wire_server_new_on(&talk_ops, &t.p, &pair_limits, &mem, &t.p.server), 0);
    size_t silent = purse.bytes;
    for (int i = 0; i < 100; i++) {
        EQ(memory_line(said[0]), 0);
        EQ(memory_line(said[1]), 0);
    }
    EQ(t.p.closed_finished, 100);
    printf("# silent: %zu bytes, idle over HTTP/1.1: %zu\n", silent, purse.bytes);
    OK(silent < 1024);
    OK(purse.bytes < 2048);
    wire_server_free(t.p.server);
    EQ(purse.live, 0);
}

int main(void)
{
    TAP_RUN(test_fails_once);
    TAP_RUN(test_fails_on);
    TAP_RUN(test_h2_fails);
    TAP_RUN(test_idle_bytes);
    return tap_done();
}
