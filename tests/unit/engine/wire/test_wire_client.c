/* SPDX-License-Identifier: MIT */
/* What a client makes of servers that are not ours: proxies that speak HTTP, resets, answers
 * without a status, garbage.  Every answer here is written byte by byte. */
#include "raw.h"

#include "base/check.h"
#include "base/limits.h"

static struct pair p;
static struct raw w;
static struct raw_block block;

static void client_start(int calls)
{
    static uint8_t buf[64 * 1024];
    struct wire_request *request;
    p = (struct pair){0};
    EQ(wire_client_new(&pair_client_ops, &p, &p.client), 0);
    for (int i = 0; i < calls; i++) {
        EQ(wire_client_call(p.client, "/echo", (struct span){0}, -1, span_of("x"), &p, &request),
           0);
    }
    OK(wire_client_send(p.client, buf, sizeof(buf)) > 0);
    w.len = 0;
    raw_frame(&w, NGHTTP2_SETTINGS, 0, 0, (struct span){0});
}

static int client_receive(void)
{
    int r = wire_client_receive(p.client, w.bytes, w.len);
    static uint8_t buf[64 * 1024];
    OK(wire_client_send(p.client, buf, sizeof(buf)) >= 0);
    w.len = 0;
    return r;
}

static void client_head(const char *status, const char *type)
{
    block.len = 0;
    raw_header(&block, ":status", status);
    if (type) {
        raw_header(&block, "content-type", type);
    }
}

static void test_http_statuses(void)
{
    static const struct {
        const char *http;
        int status;
    } cases[] = {{"400", 13}, {"401", 16}, {"403", 7}, {"404", 12}, {"429", 14}, {"502", 14},
                 {"503", 14}, {"504", 14}, {"500", 2}, {"302", 2}, {"200", 2}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        client_start(1);
        client_head(cases[i].http, "text/html");
        raw_headers(&w, 1, &block, 0);
        raw_data(&w, 1, "<html>", 6, NGHTTP2_FLAG_END_STREAM);
        EQ(client_receive(), 0);
        EQ(p.finished, 1);
        EQ(p.statuses[cases[i].status], 1);
        EQ(p.answers, 0);
        EQS(p.text, "the answer is HTTP's, not gRPC's");
        wire_client_free(p.client);
    }
}

static void test_resets(void)
{
    static const struct {
        uint32_t code;
        int status;
    } cases[] = {{NGHTTP2_NO_ERROR, 13}, {NGHTTP2_PROTOCOL_ERROR, 13},
                 {NGHTTP2_INTERNAL_ERROR, 13}, {NGHTTP2_REFUSED_STREAM, 14}, {NGHTTP2_CANCEL, 1},
                 {NGHTTP2_ENHANCE_YOUR_CALM, 8}, {NGHTTP2_INADEQUATE_SECURITY, 7}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        client_start(1);
        uint8_t code[4] = {0, 0, 0, (uint8_t)cases[i].code};
        raw_frame(&w, NGHTTP2_RST_STREAM, 0, 1, (struct span){code, 4});
        EQ(client_receive(), 0);
        EQ(p.statuses[cases[i].status], 1);
        EQ(p.finished, 1);
        wire_client_free(p.client);
    }
}

static void test_trailers_only(void)
{
    client_start(1);
    client_head("200", "application/grpc");
    raw_header(&block, "grpc-status", "9");
    raw_header(&block, "grpc-message", "%E2%82%AC%zz");
    raw_header(&block, "grpc-status-details-bin", "Zm9vYg==");
    raw_headers(&w, 1, &block, NGHTTP2_FLAG_END_STREAM);
    EQ(client_receive(), 0);
    EQ(p.statuses[9], 1);
    EQS(p.text, "\xe2\x82\xac%zz");
    EQ(p.details_len, 4);
    OK(memcmp(p.details, "foob", 4) == 0);
    wire_client_free(p.client);
}

/* Each of these has a status all the same, and none harms the next call. */
static void test_odd_answers(void)
{
    client_start(4);
    client_head("200", "application/grpc");
    raw_headers(&w, 1, &block, NGHTTP2_FLAG_END_STREAM); /* no grpc-status: 2 */
    raw_header(&block, "grpc-status", "99999999999");    /* unknown: 2 */
    raw_header(&block, "grpc-status-details-bin", "!!");
    raw_headers(&w, 3, &block, NGHTTP2_FLAG_END_STREAM);
    client_head("200", "application/grpc");
    raw_headers(&w, 5, &block, 0);
    raw_data(&w, 5, "\1\0\0\0\1x", 6, 0); /* compressed: 13 */
    raw_headers(&w, 7, &block, 0);
    raw_data(&w, 7, "\0\0\10\0\1", 5, 0); /* 512 KiB + 1: 8 */
    EQ(client_receive(), 0);
    EQ(p.statuses[2], 2);
    EQ(p.statuses[13], 1);
    EQ(p.statuses[8], 1);
    EQ(p.answers, 0);
    wire_client_free(p.client);
    EQ(p.finished, 4);
}

static void test_goaway(void)
{
    struct wire_request *request;
    client_start(2);
    raw_frame(&w, NGHTTP2_GOAWAY, 0, 0, (struct span){(const uint8_t *)"\0\0\0\1\0\0\0\0", 8});
    EQ(client_receive(), 0);
    EQ(p.statuses[14], 1); /* the second call was not processed */
    EQ(wire_client_room(p.client), 0);
    EQ(wire_client_call(p.client, "/echo", (struct span){0}, -1, span_of("x"), &p, &request),
       WIRE_E_CLOSE);
    OK(!wire_client_done(p.client));
    client_head("200", "application/grpc");
    raw_header(&block, "grpc-status", "0");
    raw_headers(&w, 1, &block, NGHTTP2_FLAG_END_STREAM);
    EQ(client_receive(), 0);
    EQ(p.statuses[0], 1);
    OK(wire_client_done(p.client));
    wire_client_free(p.client);
}

static void test_stream_limit(void)
{
    struct wire_request *request;
    client_start(1);
    EQ(wire_client_room(p.client), 99);
    w.len = 0;
    raw_frame(&w, NGHTTP2_SETTINGS, 0, 0, (struct span){(const uint8_t *)"\0\3\0\0\0\2", 6});
    EQ(client_receive(), 0);
    EQ(wire_client_room(p.client), 1);
    EQ(wire_client_call(p.client, "/a", (struct span){0}, -1, span_of("x"), &p, &request), 0);
    EQ(wire_client_call(p.client, "/b", (struct span){0}, -1, span_of("x"), &p, &request),
       WIRE_E_FULL);
    wire_client_free(p.client);
    EQ(p.statuses[14], 2);
}

static void test_garbage(void)
{
    client_start(3);
    w.len = 0;
    raw_bytes(&w, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", 47);
    OK(client_receive() >= 0);
    OK(wire_client_done(p.client));
    wire_client_free(p.client);
    EQ(p.finished, 3);
    EQ(p.statuses[14], 3);
}

int main(void)
{
    TAP_RUN(test_http_statuses);
    TAP_RUN(test_resets);
    TAP_RUN(test_trailers_only);
    TAP_RUN(test_odd_answers);
    TAP_RUN(test_goaway);
    TAP_RUN(test_stream_limit);
    TAP_RUN(test_garbage);
    return tap_done();
}
