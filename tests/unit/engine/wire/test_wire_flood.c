/* SPDX-License-Identifier: MIT */
/* Where does a server draw the line between a flood and much honest traffic?  Each kind of frame
 * that costs the sender nothing ends its connection soon after the burst; calls and their overhead
 * never do. */
#include "hostile.h"

#include "base/limits.h"

/* Writes `count` of something at a time, 500 times at most; returns how many until the end. */
static int hostile_flood(void (*one)(uint32_t), int count)
{
    hostile_start();
    raw_call(&w, 1);
    EQ(hostile_send(), 0);
    int sent = 0;
    for (uint32_t round = 0; round < 500; round++) {
        for (int i = 0; i < count; i++, sent++) {
            one((uint32_t)sent);
        }
        int r = hostile_send();
        if (r != 0 || wire_server_done(p.server)) {
            OK(r == WIRE_E_CLOSE || r == 0);
            OK(wire_server_done(p.server));
            EQ(wire_server_receive(p.server, w.bytes, 9), WIRE_E_CLOSE);
            return sent;
        }
    }
    return -1;
}

static void flood_priority(uint32_t n)
{
    raw_frame(&w, NGHTTP2_PRIORITY, 0, 1, (struct span){(const uint8_t *)"\0\0\0\3\20", 5});
}

static void flood_unknown(uint32_t n)
{
    raw_frame(&w, 0xbe, 0, 0, (struct span){0});
}

static void flood_window(uint32_t n)
{
    raw_frame(&w, NGHTTP2_WINDOW_UPDATE, 0, 0, (struct span){(const uint8_t *)"\0\0\0\1", 4});
}

static void flood_empty_data(uint32_t n)
{
    raw_data(&w, 1, NULL, 0, 0);
}

static void flood_ping(uint32_t n)
{
    raw_frame(&w, NGHTTP2_PING, 0, 0, (struct span){(const uint8_t *)"12345678", 8});
}

static void flood_settings(uint32_t n)
{
    raw_frame(&w, NGHTTP2_SETTINGS, 0, 0, (struct span){0});
}

/* One byte a frame on a stream that is gone: nghttp2 passes over it. */
static void flood_gone(uint32_t n)
{
    if (n == 0) {
        raw_frame(&w, NGHTTP2_RST_STREAM, 0, 1, (struct span){(const uint8_t *)"\0\0\0\10", 4});
    }
    raw_data(&w, 1, "x", 1, 0);
}

/* A message of 64 KiB, one byte a frame. */
static void flood_crumbs(uint32_t n)
{
    raw_data(&w, 1, n == 2 ? "\1" : "\0", 1, 0);
}

static void test_frame_floods(void)
{
    void (*const floods[])(uint32_t) = {flood_priority, flood_unknown, flood_window,
                                        flood_empty_data, flood_ping, flood_settings,
                                        flood_gone, flood_crumbs};
    for (size_t i = 0; i < ARRAY_COUNT(floods); i++) {
        int sent = hostile_flood(floods[i], 100);
        OK(sent > WIRE_FRAMES_BURST - 200 && sent <= WIRE_FRAMES_BURST + 200);
        EQ(got.goaways, 1);
        EQ(got.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
        EQ(wire_server_end(p.server), WIRE_END_FRAMES);
        EQ(p.opened, 1);
        hostile_end();
    }
    /* More acks owed than anyone honest is owed: closed at once. */
    int sent = hostile_flood(flood_ping, 2000);
    EQ(sent, 2000);
    EQ(wire_server_end(p.server), WIRE_END_ACKS);
    hostile_end();
}

static void flood_reset(uint32_t n)
{
    raw_call(&w, 2 * n + 3);
    raw_frame(&w, NGHTTP2_RST_STREAM, 0, 2 * n + 3, (struct span){(const uint8_t *)"\0\0\0\10", 4});
}

static void test_rapid_reset(void)
{
    int sent = hostile_flood(flood_reset, 10);
    OK(sent > 0 && sent < 300);
    OK(p.opened < 300);
    EQ(got.goaways, 1);
    EQ(wire_server_end(p.server), WIRE_END_CANCELS);
    hostile_end();
}

/* The peer makes us reset ("MadeYouReset"): its window overflows. */
static void flood_provoked(uint32_t n)
{
    raw_call(&w, 2 * n + 3);
    for (int i = 0; i < 2; i++) {
        raw_frame(&w, NGHTTP2_WINDOW_UPDATE, 0, 2 * n + 3,
                  (struct span){(const uint8_t *)"\177\377\377\377", 4});
    }
}

static void test_provoked_resets(void)
{
    int sent = hostile_flood(flood_provoked, 10);
    OK(sent >= WIRE_RESETS_BURST && sent <= WIRE_RESETS_BURST + 20);
    EQ(got.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    EQ(wire_server_end(p.server), WIRE_END_RESETS);
    hostile_end();
}

/* A header block in a thousand empty pieces. */
static void test_continuations(void)
{
    hostile_start();
    raw_frame(&w, NGHTTP2_HEADERS, 0, 1, (struct span){0});
    for (int i = 0; i < 20; i++) {
        raw_frame(&w, NGHTTP2_CONTINUATION, 0, 1, (struct span){0});
    }
    EQ(hostile_send(), WIRE_E_CLOSE);
    EQ(wire_server_end(p.server), WIRE_END_CONTINUATIONS);
    EQ(p.opened, 0);
    hostile_end();
}

static void flood_headers(uint32_t n)
{
    static char value[15 * 1024];
    memset(value, 'v', sizeof(value) - 1);
    raw_request(&block, "POST", "application/grpc");
    raw_header(&block, "x", value);
    size_t first = block.len;
    raw_header(&block, "y", value);
    raw_frame(&w, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 2 * n + 3,
              (struct span){block.bytes, first});
    raw_frame(&w, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 2 * n + 3,
              (struct span){block.bytes + first, block.len - first});
}

static void test_header_flood(void)
{
    int sent = hostile_flood(flood_headers, 5);
    OK(sent > 60 && sent < 100);
    EQ(p.opened, 1);
    hostile_end();
}

/* The answer is taken byte by byte, each with a WINDOW_UPDATE: what leaves pays for none of it. */
static void test_dribble(void)
{
    static uint8_t message[48 * 1024];
    memcpy(message, "\0\0\0\xbf\xfb", 5);
    hostile_start();
    raw_frame(&w, NGHTTP2_SETTINGS, 0, 0, (struct span){(const uint8_t *)"\0\4\0\0\0\0", 6});
    raw_call(&w, 1);
    for (size_t at = 0; at < sizeof(message); at += 16 * 1024) {
        raw_data(&w, 1, message + at, 16 * 1024,
                 at + 16 * 1024 == sizeof(message) ? NGHTTP2_FLAG_END_STREAM : 0);
    }
    EQ(hostile_send(), 0);
    EQ(got.data, 0);
    int r = 0;
    for (uint32_t n = 0; n < sizeof(message) && r == 0; n++) {
        raw_frame(&w, NGHTTP2_WINDOW_UPDATE, 0, 1, (struct span){(const uint8_t *)"\0\0\0\1", 4});
        r = hostile_send();
    }
    EQ(r, WIRE_E_CLOSE);
    OK(got.data > WIRE_FRAMES_BURST - 200 && got.data < WIRE_FRAMES_BURST + 200);
    EQ(wire_server_end(p.server), WIRE_END_FRAMES);
    hostile_end();
}

/* Time pays for a ping now and then, for days; not for a flood. */
static void test_time_pays(void)
{
    hostile_start();
    EQ(hostile_send(), 0);
    for (uint32_t n = 0; n < 4 * WIRE_FRAMES_BURST; n++) {
        wire_server_time(p.server, 1000 + n * 1000ull / WIRE_FRAMES_PER_S);
        flood_ping(n);
        if (hostile_send() != 0) {
            OK(!"closed on a client that only keeps alive");
            break;
        }
    }
    EQ(got.acks, 4 * WIRE_FRAMES_BURST);
    wire_server_time(p.server, 7); /* a clock that went back pays nothing */
    OK(p.server->meter.left <= WIRE_FRAMES_BURST);
    wire_server_time(p.server, UINT64_MAX);
    EQ(p.server->meter.left, WIRE_FRAMES_BURST);
    EQ(p.server->resets_left, WIRE_RESETS_BURST);
    hostile_end();
}

static int pings_until_calm(uint64_t every_ms, uint32_t most)
{
    hostile_start();
    p.server->limits.ping_ms = 10000;
    EQ(hostile_send(), 0);
    uint32_t n = 0;
    while (n < most && got.goaways == 0) {
        wire_server_time(p.server, 100000 + n * every_ms);
        flood_ping(n++);
        hostile_send();
    }
    return (int)n;
}

/* Once in ten seconds is allowed, two that came too early are forgiven. */
static void test_pings_too_often(void)
{
    EQ(pings_until_calm(10000, 500), 500);
    EQ(got.goaways, 0);
    hostile_end();
    EQ(pings_until_calm(9999, 500), 4);
    EQ(got.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    EQ(wire_server_end(p.server), WIRE_END_PINGS);
    OK(wire_server_done(p.server));
    hostile_end();
}

/* Clients measure their window with one behind each answer. */
static void test_pings_behind_data(void)
{
    hostile_start();
    p.server->limits.ping_ms = 10000;
    for (uint32_t n = 0; n < 200; n++) {
        wire_server_time(p.server, 100000 + n);
        raw_call(&w, 2 * n + 1);
        raw_data(&w, 2 * n + 1, "\0\0\0\0\1x", 6, 0);
        raw_data(&w, 2 * n + 1, NULL, 0, NGHTTP2_FLAG_END_STREAM);
        got.headers[0] = '\0';
        EQ(hostile_send(), 0);
        flood_ping(n);
        EQ(hostile_send(), 0);
    }
    EQ(got.goaways, 0);
    EQ(got.acks, 200);
    hostile_end();
}

/* A question of ours; whatever comes is an answer. */
static void test_server_pings(void)
{
    hostile_start();
    EQ(wire_server_ping(p.server), WIRE_E_CLOSE); /* it has not greeted yet */
    EQ(hostile_send(), 0);
    EQ(wire_server_ping(p.server), 0);
    OK(wire_server_wants_send(p.server));
    EQ(hostile_send(), 0);
    hostile_still_serves(1);
    hostile_end();
}

/* More streams than allowed before our SETTINGS came: refused one by one, which is no offence. */
static void test_too_many_streams(void)
{
    hostile_start();
    raw_request(&block, "POST", "application/grpc");
    for (uint32_t i = 0; i < 1000; i++) {
        raw_headers(&w, 2 * i + 1, &block, 0);
    }
    EQ(hostile_send(), 0);
    EQ(p.opened, 100);
    EQ(got.resets, 900);
    EQ(got.reset_code, NGHTTP2_REFUSED_STREAM);
    OK(!wire_server_done(p.server));
    hostile_end();
}

/* An honest client's overhead never adds up: calls and answers earn more than it spends. */
static void test_honest_overhead(void)
{
    hostile_start();
    EQ(hostile_send(), 0);
    for (uint32_t n = 0; n < 20000; n++) {
        raw_call(&w, 2 * n + 1);
        raw_data(&w, 2 * n + 1, "\0\0\0\0\1x", 6, 0);
        raw_data(&w, 2 * n + 1, NULL, 0, NGHTTP2_FLAG_END_STREAM);
        raw_frame(&w, NGHTTP2_WINDOW_UPDATE, 0, 0, (struct span){(const uint8_t *)"\0\0\0\6", 4});
        flood_ping(n);
        flood_priority(n);
        got.headers[0] = '\0';
        if (hostile_send() != 0) {
            OK(!"closed on an honest client");
            break;
        }
    }
    EQ(p.closed_finished, 20000);
    EQ(got.acks, 20000);
    hostile_end();
}

/* Nor do many small messages on one stream, each answered. */
static void test_honest_stream(void)
{
    hostile_start();
    raw_call(&w, 1);
    for (uint32_t n = 0; n < 30000; n++) {
        raw_data(&w, 1, "\0\0\0\0\1x", 6, 0);
        if (n % 1000 == 999) {
            raw_frame(&w, NGHTTP2_WINDOW_UPDATE, 0, 0,
                      (struct span){(const uint8_t *)"\0\0\27\160", 4});
            raw_frame(&w, NGHTTP2_WINDOW_UPDATE, 0, 1,
                      (struct span){(const uint8_t *)"\0\0\27\160", 4});
            EQ(hostile_send(), 0);
        }
    }
    EQ(p.messages, 30000);
    EQ(got.data, 180000);
    hostile_end();
}

int main(void)
{
    TAP_RUN(test_frame_floods);
    TAP_RUN(test_rapid_reset);
    TAP_RUN(test_provoked_resets);
    TAP_RUN(test_continuations);
    TAP_RUN(test_header_flood);
    TAP_RUN(test_dribble);
    TAP_RUN(test_time_pays);
    TAP_RUN(test_pings_too_often);
    TAP_RUN(test_pings_behind_data);
    TAP_RUN(test_server_pings);
    TAP_RUN(test_too_many_streams);
    TAP_RUN(test_honest_overhead);
    TAP_RUN(test_honest_stream);
    return tap_done();
}
