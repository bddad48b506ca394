/* SPDX-License-Identifier: MIT */
/* Does HTTP/1.1 carry calls, in order, whole, and nothing that two readers could part in two ways?
 * Every conversation is held in one piece, byte by byte, and with a tiny buffer on the way out. */
#include "talk.h"

#include "base/limits.h"

#define JSON "content-type: application/json\r\n"
#define ECHO_JSON "POST /echo HTTP/1.1\r\nHost: x\r\n" JSON

static struct talk t;

/* In every way that bytes may be cut. */
#define EACH_CUT(test)                                                  \
    do {                                                                \
        static const size_t cuts[][2] = {{0, 0}, {1, 0}, {7, 5}, {0, 1}}; \
        for (size_t cut = 0; cut < ARRAY_COUNT(cuts); cut++) {          \
            t.cut = cuts[cut][0];                                       \
            t.take = cuts[cut][1];                                      \
            talk_new(&t);                                               \
            test();                                                     \
            talk_end(&t);                                               \
        }                                                               \
    } while (0)

static void unary(void)
{
    talk_say(&t, ECHO_JSON "Traceparent: 00-1-2-01\r\nAuthorization:  Bearer a \r\n"
                           "Connect-Timeout-Ms: 250\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
    EQS(t.said, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncache-control: no-store\r\n"
                "vary: Origin\r\ncontent-length: 7\r\n\r\n{\"a\":1}");
    EQS(t.p.path, "/echo");
    EQS(t.p.authorization, "Bearer a");
    EQS(t.p.traceparent, "00-1-2-01");
    EQ(t.p.timeout_us, 250000);
    EQ(t.p.closed_finished, 1);
    OK(wire_server_greeted(t.p.server));
    OK(!wire_server_owed(t.p.server));
    OK(!wire_server_done(t.p.server));
    OK(!wire_server_wants_send(t.p.server));
    talk_say(&t, ECHO_JSON "Content-Length: 1\r\n\r\n1"); /* and again on the same connection */
    EQ(talk_count(&t, "HTTP/1.1 200 OK"), 2);
}

static void test_unary(void)
{
    EACH_CUT(unary);
}

static void chunked(void)
{
    talk_say(&t, ECHO_JSON "Transfer-Encoding: chunked\r\n\r\n"
                           "3\r\n{\"a\r\n4;x=y\r\n\":1}\r\n0\r\nTrailer: z\r\n\r\n");
    EQS(talk_body(&t), "{\"a\":1}");
    talk_say(&t, ECHO_JSON "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n");
    EQ(talk_count(&t, "HTTP/1.1 200 OK"), 2);
    OK(talk_heard(&t, "content-length: 0\r\n\r\n"));
}

static void test_chunked(void)
{
    EACH_CUT(chunked);
}

static void pipelined(void)
{
    talk_say(&t, ECHO_JSON "Content-Length: 1\r\n\r\n1" ECHO_JSON "Content-Length: 2\r\n\r\n22"
                 "GET /echo?encoding=json&message=333 HTTP/1.1\r\nHost: x\r\n\r\n"
                 ECHO_JSON "Content-Length: 4\r\nConnection: close\r\n\r\n4444"
                 ECHO_JSON "Content-Length: 5\r\n\r\n55555");
    const char *one = strstr(t.said, "\r\n\r\n1HTTP"), *two = strstr(t.said, "\r\n\r\n22HTTP");
    const char *three = strstr(t.said, "\r\n\r\n333HTTP"), *four = strstr(t.said, "\r\n\r\n4444");
    OK(one && one < two && two < three && three < four);
    EQ(talk_count(&t, "HTTP/1.1 200"), 4); /* what follows connection: close is not read */
    OK(talk_heard(&t, "connection: close\r\n"));
    OK(wire_server_done(t.p.server));
}

static void test_pipelined(void)
{
    EACH_CUT(pipelined);
}

/* An answer that takes its time holds those behind it, in order; too much behind it is refused. */
static void test_pipe_full(void)
{
    t.cut = t.take = 0;
    talk_new(&t);
    talk_say(&t, "POST /hang HTTP/1.1\r\nHost: x\r\n" JSON "Content-Length: 2\r\n\r\n{}");
    int piped = 0;
    for (size_t bytes = 0; bytes < 2 * WIRE_H1_PIPE_MAX; piped++) {
        talk_say(&t, ECHO_JSON "Content-Length: 2\r\n\r\n{}");
        bytes += strlen(ECHO_JSON) + 25;
    }
    EQ(t.said_len, 0);
    EQ(t.verdict, 0);
    EQ(wire_call_send(t.p.call, span_of("first")), 0);
    EQ(wire_call_finish(t.p.call, 0, (struct span){0}, (struct span){0}), 0);
    OK(wire_server_wants_send(t.p.server));
    while (!wire_server_done(t.p.server) && t.said_len < sizeof(t.said) - 1) {
        size_t before = t.said_len;
        talk_listen(&t);
        if (t.said_len == before) {
            break;
        }
    }
    OK(strncmp(talk_body(&t), "firstHTTP", 9) == 0);
    int answered = talk_count(&t, "HTTP/1.1 200");
    OK(answered > 10 && answered < piped);
    EQ(talk_count(&t, "HTTP/1.1 429"), 1);
    OK(wire_server_done(t.p.server));
    talk_end(&t);
}

static void test_continue(void)
{
    t.cut = t.take = 0;
    talk_new(&t);
    talk_say(&t, ECHO_JSON "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    EQS(t.said, "HTTP/1.1 100 Continue\r\n\r\n");
    talk_say(&t, "{}");
    OK(talk_heard(&t, "100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
    talk_end(&t);
    talk_new(&t); /* no body comes for a refusal: the connection ends, nobody waits */
    talk_say(&t, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
                 "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    OK(strncmp(t.said, "HTTP/1.1 415 ", 13) == 0);
    EQ(t.verdict, WIRE_E_CLOSE);
    OK(wire_server_done(t.p.server));
    talk_end(&t);
}

static void stream(void)
{
    t.p.stream_left = 3000;
    talk_post(&t, "/stream", "content-type: application/connect+proto\r\n",
              (struct span){(const uint8_t *)"\0\0\0\0\1x", 6});
    OK(talk_heard(&t, "transfer-encoding: chunked\r\n"));
    EQ(t.p.stream_left, 0);
    OK(t.p.full > 0);
    OK(t.p.queued_max <= pair_limits.queued_bytes);
    OK(t.said_len > 3000 * 105);
    OK(memcmp(t.said + t.said_len - 9, "{}\r\n0\r\n\r\n", 9) == 0);
    OK(!wire_server_done(t.p.server));
}

static void test_stream(void)
{
    EACH_CUT(stream);
}

static void test_http_1_0(void)
{
    t.cut = t.take = 0;
    talk_new(&t);
    talk_say(&t, "POST /echo HTTP/1.0\r\n" JSON "Connection: keep-alive\r\n"
                 "Content-Length: 2\r\n\r\n{}");
    OK(talk_heard(&t, "connection: keep-alive\r\n"));
    talk_say(&t, "POST /echo HTTP/1.0\r\n" JSON "Content-Length: 2\r\n\r\n{}");
    OK(talk_heard(&t, "connection: close\r\n"));
    OK(wire_server_done(t.p.server));
    talk_end(&t);
    talk_new(&t); /* a stream has no chunks: its end is the connection's */
    t.p.stream_left = 3000;
    talk_say(&t, "POST /stream HTTP/1.0\r\nContent-Type: application/connect+proto\r\n"
                 "Connection: keep-alive\r\nContent-Length: 5\r\n\r\n");
    talk_say_bytes(&t, "\0\0\0\0\0", 5);
    OK(!talk_heard(&t, "chunked"));
    OK(!talk_heard(&t, "content-length"));
    OK(wire_server_done(t.p.server));
    talk_end(&t);
}

/* Each ends the connection with one typed answer, and opens no call that was not whole before. */
static const struct {
    const char *bytes, *status;
} refused[] = {
    /* what two readers could part in two ways */
    {ECHO_JSON "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n", "400"},
    {ECHO_JSON "Content-Length: 2\r\nContent-Length: 3\r\n\r\n", "400"},
    {ECHO_JSON "Content-Length: 2\r\nContent-Length: 2\r\n\r\n", "400"},
    {ECHO_JSON "Content-Length: 2, 2\r\n\r\n", "400"},
    {ECHO_JSON "Content-Length: +2\r\n\r\n", "400"},
    {ECHO_JSON "Content-Length: -2\r\n\r\n", "400"},
    {ECHO_JSON "Content-Length: 0x2\r\n\r\n", "400"},
    {ECHO_JSON "Content-Length: 2 2\r\n\r\n", "400"},
    {ECHO_JSON "Content-Length:\r\n\r\n", "400"},
    {ECHO_JSON "Content-Length: 99999999999999999999\r\n\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding: gzip, chunked\r\n\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding: chunked, identity\r\n\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding: identity\r\n\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding: xchunked\r\n\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding:\r\n chunked\r\n\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding : chunked\r\n\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding: \x0b" "chunked\r\n\r\n", "400"},
    {"POST /echo HTTP/1.0\r\nHost: x\r\n" JSON "Transfer-Encoding: chunked\r\n\r\n", "400"},
    {ECHO_JSON "X: a\r\n folded\r\nContent-Length: 0\r\n\r\n", "400"},
    {ECHO_JSON "X: a\nContent-Length: 0\r\n\r\n", "400"},
    {ECHO_JSON "X: a\rContent-Length: 0\r\n\r\n", "400"},
    {ECHO_JSON "X: a\r\nContent-Length: 0\r\n\n", "400"},
    {ECHO_JSON "X y: a\r\nContent-Length: 0\r\n\r\n", "400"},
    {ECHO_JSON ": a\r\nContent-Length: 0\r\n\r\n", "400"},
    {ECHO_JSON "nothing\r\nContent-Length: 0\r\n\r\n", "400"},
    {"\r\n\r\n", "400"},
    {" POST /echo HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
    {"POST /echo HTTP/1.1\nHost: x\n\n", "400"},
    {"POST  /echo  HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
    {"POST /e\tcho HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
    {"POST /echo HTTP/1.1\r\n" JSON "Content-Length: 2\r\n\r\n{}", "400"},
    {"POST /echo HTTP/1.1\r\nHost: x\r\nHost: x\r\n" JSON "Content-Length: 2\r\n\r\n{}", "400"},
    {"GET /echo?encoding=json&message=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n", "400"},
    /* bodies that are none */
    {ECHO_JSON "Transfer-Encoding: chunked\r\n\r\nx\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding: chunked\r\n\r\n-1\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding: chunked\r\n\r\n2\r\nab\n0\r\n\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding: chunked\r\n\r\n 2\r\nab\r\n0\r\n\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding: chunked\r\n\r\n2 \r\nab\r\n0\r\n\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding: chunked\r\n\r\n2;x\ny\r\nab\r\n0\r\n\r\n", "400"},
    {ECHO_JSON "Transfer-Encoding: chunked\r\n\r\n0\r\nx: a\ny: b\r\n\r\n", "400"},
    /* what is not spoken here */
    {"GET /\r\n\r\n", "400"},
    {"FETCH /echo HTTP/1.1\r\nHost: x\r\n\r\n", "405"},
    {"POST /echo HTTP/2.0\r\nHost: x\r\n\r\n", "505"},
    {"POST /echo HTTP/1.2\r\nHost: x\r\n\r\n", "505"},
    {"POST /echo HTTP/3\r\nHost: x\r\n\r\n", "505"},
    {ECHO_JSON "\r\n", "411"},
    {ECHO_JSON "Content-Length: 2\r\nExpect: miracles\r\n\r\n", "417"},
};

static void test_refused(void)
{
    for (size_t i = 0; i < 2 * ARRAY_COUNT(refused); i++) {
        char status[16];
        const char *bytes = refused[i / 2].bytes;
        t.cut = i % 2;
        t.take = 0;
        talk_new(&t);
        talk_say(&t, bytes);
        snprintf(status, sizeof(status), "HTTP/1.1 %s ", refused[i / 2].status);
        bool is_right = strncmp(t.said, status, 13) == 0 &&
                        talk_count(&t, "\r\nconnection: close\r\n") == 1 &&
                        talk_heard(&t, "\r\ncontent-type: application/json\r\n") &&
                        talk_heard(&t, "{\"code\":\"") && wire_server_done(t.p.server);
        if (!is_right) {
            printf("# %s -> %.40s\n", bytes, t.said);
        }
        OK(is_right);
        talk_say(&t, ECHO_JSON "Content-Length: 2\r\n\r\n{}"); /* smuggled behind it */
        EQ(talk_count(&t, "\r\ncontent-type: "), 1);
        talk_end(&t);
    }
}

/* A byte 0 anywhere in the head. */
static void test_nul(void)
{
    static const char bytes[] = ECHO_JSON "X: a\0b\r\nContent-Length: 0\r\n\r\n";
    t.cut = t.take = 0;
    talk_new(&t);
    talk_say_bytes(&t, bytes, sizeof(bytes) - 1);
    OK(strncmp(t.said, "HTTP/1.1 400 ", 13) == 0);
    talk_end(&t);
}

/* The limits of a head: line, bytes, lines.  The last that fits does. */
static void test_head_limits(void)
{
    static char head[64 * 1024], pad[40 * 1024];
    memset(pad, 'y', sizeof(pad) - 1);
    static const struct {
        int query, header;
        const char *status;
    } cases[] = {{16200, 1, "200"}, {16384, 1, "414"}, {1, 15000, "200"}, {1, 17000, "431"}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char status[16];
        talk_new(&t);
        snprintf(head, sizeof(head), "POST /echo?%.*s HTTP/1.1\r\nHost: x\r\n" JSON
                 "X: %.*s\r\nContent-Length: 0\r\n\r\n", cases[i].query, pad, cases[i].header, pad);
        talk_say(&t, head);
        snprintf(status, sizeof(status), "HTTP/1.1 %s ", cases[i].status);
        OK(strncmp(t.said, status, 13) == 0);
        talk_end(&t);
    }
    for (int lines = 90; lines <= 110; lines += 20) {
        talk_new(&t);
        size_t len = (size_t)snprintf(head, sizeof(head), "%s", ECHO_JSON "Content-Length: 0\r\n");
        for (int i = 0; i < lines; i++) {
            len += (size_t)snprintf(head + len, sizeof(head) - len, "X-%d: y\r\n", i);
        }
        snprintf(head + len, sizeof(head) - len, "\r\n");
        talk_say(&t, head);
        OK(strncmp(t.said, lines < 100 ? "HTTP/1.1 200 " : "HTTP/1.1 431 ", 13) == 0);
        talk_end(&t);
    }
}

/* A body over the limit is refused before it is read; what is short enough is passed over and the
 * connection lives on. */
static void test_body_limits(void)
{
    static char body[256 * 1024];
    memset(body, '1', sizeof(body));
    t.cut = t.take = 0;
    talk_new(&t);
    talk_say(&t, ECHO_JSON "Content-Length: 100000\r\n\r\n");
    OK(strncmp(t.said, "HTTP/1.1 413 ", 13) == 0);
    OK(talk_heard(&t, "\"resource_exhausted\""));
    OK(!wire_server_done(t.p.server));
    OK(wire_server_owed(t.p.server)); /* whoever does not send the rest is given up in time */
    talk_say_bytes(&t, body, 100000);
    OK(!wire_server_owed(t.p.server));
    talk_say(&t, ECHO_JSON "Content-Length: 2\r\n\r\n{}");
    EQ(talk_count(&t, "HTTP/1.1 200 "), 1);
    talk_end(&t);

    talk_new(&t);
    talk_say(&t, ECHO_JSON "Content-Length: 100000000\r\n\r\n");
    OK(strncmp(t.said, "HTTP/1.1 413 ", 13) == 0);
    EQ(t.verdict, WIRE_E_CLOSE);
    talk_end(&t);

    talk_new(&t); /* chunks say it late */
    talk_say(&t, ECHO_JSON "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 2; i++) {
        talk_say(&t, "8000\r\n");
        talk_say_bytes(&t, body, 0x8000);
        talk_say(&t, "\r\n");
    }
    EQ(t.said_len, 0);
    talk_say(&t, "1\r\n1\r\n");
    OK(strncmp(t.said, "HTTP/1.1 413 ", 13) == 0);
    for (int i = 0; i < 20 && t.verdict == 0; i++) { /* and who goes on for ever is cut */
        talk_say(&t, "20000\r\n");
        talk_say_bytes(&t, body, 0x20000);
        talk_say(&t, "\r\n");
    }
    EQ(t.verdict, WIRE_E_CLOSE);
    OK(wire_server_done(t.p.server));
    talk_end(&t);
}

/* Chunks of one byte with long extensions, and trailers without an end, cost their sender. */
static void test_chunk_floods(void)
{
    static const char *const floods[] = {"1;eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee\r\n1\r\n",
                                         "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"};
    for (size_t i = 0; i < ARRAY_COUNT(floods); i++) {
        t.cut = t.take = 0;
        talk_new(&t);
        talk_say(&t, ECHO_JSON "Transfer-Encoding: chunked\r\n\r\n");
        talk_say(&t, i == 1 ? "0\r\n" : "");
        int said = 0;
        for (; said < 200000 && t.verdict == 0; said++) {
            talk_say(&t, floods[i]);
        }
        OK(said < 70000);
        EQ(t.verdict, WIRE_E_CLOSE);
        talk_end(&t);
    }
}

/* An answer that comes before its body: the rest is passed over, the next request is served. */
static void early(void)
{
    talk_say(&t, "POST /early HTTP/1.1\r\nHost: x\r\n" JSON "Content-Length: 10\r\n\r\n{\"a");
    OK(strncmp(t.said, "HTTP/1.1 401 ", 13) == 0);
    EQ(t.p.closed_finished, 1);
    OK(wire_server_owed(t.p.server));
    talk_say(&t, "\":1234}" ECHO_JSON "Content-Length: 2\r\n\r\n{}");
    EQ(talk_count(&t, "HTTP/1.1 200 "), 1);
    OK(!wire_server_owed(t.p.server));
}

static void test_early(void)
{
    EACH_CUT(early);
}

/* One request has one answer, whatever its body turns out to be. */
static void early_and_broken(void)
{
    talk_say(&t, "POST /early HTTP/1.1\r\nHost: x\r\n" JSON
                 "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\nbroken\r\n" ECHO_JSON "\r\n");
    EQ(talk_count(&t, "HTTP/1.1 401 "), 1);
    EQ(talk_count(&t, "\r\ncontent-type: "), 1);
    EQ(t.p.opened, 1);
    EQ(t.verdict, WIRE_E_CLOSE);
    OK(wire_server_done(t.p.server));
}

static void test_early_and_broken(void)
{
    EACH_CUT(early_and_broken);
}

static void test_owed(void)
{
    t.cut = t.take = 0;
    talk_new(&t);
    OK(wire_server_owed(t.p.server));
    OK(!wire_server_greeted(t.p.server));
    talk_say(&t, "POST /echo HTT");
    OK(wire_server_owed(t.p.server));
    talk_say(&t, "P/1.1\r\nHost: x\r\n" JSON "Content-Length: 2\r\n\r\n");
    OK(wire_server_greeted(t.p.server));
    OK(!wire_server_owed(t.p.server)); /* its body is the call's business: it has a deadline */
    talk_say(&t, "{}");
    OK(!wire_server_owed(t.p.server));
    talk_say(&t, "G");
    OK(wire_server_owed(t.p.server));
    talk_end(&t);
}

static void test_drain(void)
{
    t.cut = t.take = 0;
    talk_new(&t); /* one that waits for its answer: it gets it, and then the end */
    talk_say(&t, "POST /hang HTTP/1.1\r\nHost: x\r\n" JSON "Content-Length: 2\r\n\r\n{}");
    EQ(wire_server_drain(t.p.server), 0);
    EQ(wire_server_drain(t.p.server), 0);
    OK(!wire_server_done(t.p.server));
    EQ(wire_call_finish(t.p.call, 14, span_of("stopping"), (struct span){0}), 0);
    talk_listen(&t);
    OK(talk_heard(&t, "HTTP/1.1 503 "));
    OK(talk_heard(&t, "connection: close\r\n"));
    OK(wire_server_done(t.p.server));
    talk_end(&t);
    talk_new(&t); /* an idle one: at the notice it may still ask, at the end it goes */
    talk_say(&t, ECHO_JSON "Content-Length: 2\r\n\r\n{}");
    EQ(wire_server_drain(t.p.server), 0);
    OK(!wire_server_done(t.p.server));
    EQ(wire_server_drain(t.p.server), 0);
    OK(wire_server_done(t.p.server));
    talk_end(&t);
}

/* The client goes while its call waits. */
static void test_left(void)
{
    t.cut = t.take = 0;
    talk_new(&t);
    talk_say(&t, "POST /hang HTTP/1.1\r\nHost: x\r\n" JSON "Content-Length: 2\r\n\r\n{}");
    EQ(t.p.opened, 1);
    talk_end(&t);
    EQ(t.p.closed_finished, 0);
}

/* curl --http2 offers an upgrade with each first request; it gets its answer in what it spoke. */
static void test_upgrade_is_declined(void)
{
    t.cut = t.take = 0;
    talk_new(&t);
    talk_say(&t, "GET /echo?encoding=json&message=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, "
                 "HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n");
    OK(strncmp(t.said, "HTTP/1.1 200 ", 13) == 0);
    talk_say(&t, "GET http://x/echo?encoding=json&message=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    EQ(talk_count(&t, "HTTP/1.1 200 "), 2);
    talk_end(&t);
}

int main(void)
{
    TAP_RUN(test_unary);
    TAP_RUN(test_chunked);
    TAP_RUN(test_pipelined);
    TAP_RUN(test_pipe_full);
    TAP_RUN(test_continue);
    TAP_RUN(test_stream);
    TAP_RUN(test_http_1_0);
    TAP_RUN(test_refused);
    TAP_RUN(test_nul);
    TAP_RUN(test_head_limits);
    TAP_RUN(test_body_limits);
    TAP_RUN(test_chunk_floods);
    TAP_RUN(test_early);
    TAP_RUN(test_early_and_broken);
    TAP_RUN(test_owed);
    TAP_RUN(test_drain);
    TAP_RUN(test_left);
    TAP_RUN(test_upgrade_is_declined);
    return tap_done();
}
