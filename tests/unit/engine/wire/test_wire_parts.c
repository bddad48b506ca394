/* SPDX-License-Identifier: MIT */
/* The parts below a connection: header values, message framing, the queue of answers. */
#include "base/base64.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/prng.h"
#include "tests/lib/tap.h"
#include "wire/frame.h"
#include "wire/memory.h"
#include "wire/queue.h"
#include "wire/value.h"

static nghttp2_mem mem;

static int64_t timeout_of(const char *text)
{
    int64_t us = -7;
    return wire_value_timeout_parse(span_of(text), &us) ? us : -1;
}

static void test_timeout_parse(void)
{
    EQ(timeout_of("1H"), 3600000000);
    EQ(timeout_of("2M"), 120000000);
    EQ(timeout_of("3S"), 3000000);
    EQ(timeout_of("100m"), 100000);
    EQ(timeout_of("00000005u"), 5);
    EQ(timeout_of("1n"), 1);
    EQ(timeout_of("1001n"), 2);
    EQ(timeout_of("0m"), 0);
    EQ(timeout_of("99999999H"), INT64_C(359999996400000000));
    const char *bad[] = {"", "1", "m", "100", "1s", "-1S", "+1S", " 1S", "1 S", "1S ",
                         "123456789S", "1.5S", "SS", "1SS"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        EQ(timeout_of(bad[i]), -1);
    }
}

static void test_timeout_write(void)
{
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {{0, "0u"}, {1, "1u"}, {99999999, "99999999u"}, {100000000, "100000m"},
                 {INT64_C(99999999999), "99999999m"}, {INT64_C(100000000000), "100000S"},
                 {INT64_C(100000000000000), "1666666M"}, {INT64_MAX, "99999999H"}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char out[WIRE_TIMEOUT_MAX + 1] = {0};
        EQ(wire_value_timeout_write(cases[i].us, out), strlen(cases[i].text));
        EQS(out, cases[i].text);
    }
}

static void test_content_type(void)
{
    const char *good[] = {"application/grpc", "application/grpc+proto", "application/grpc;x=y",
                          "application/grpc+proto; charset=utf-8"};
    const char *bad[] = {"", "application/json", "application/grp", "application/grpc-web",
                         "application/grpc+json", "application/grpcx", "application/grpc+protox"};
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        OK(wire_value_is_grpc(span_of(good[i])));
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        OK(!wire_value_is_grpc(span_of(bad[i])));
    }
}

static void test_percent(void)
{
    char out[256] = {0};
    EQ(wire_value_percent_encode(span_of(" a%b\xc3\xbc c~\x7f\n "), (uint8_t *)out), 26);
    EQS(out, "%20a%25b%C3%BC c~%7F%0A%20");
    memset(out, 0, sizeof(out));
    wire_value_percent_decode(span_of("%20a%25b%C3%bc%zz%4%"), (uint8_t *)out);
    EQS(out, " a%b\xc3\xbc%zz%4%");
    struct prng prng;
    prng_init(&prng, 3);
    for (int round = 0; round < 2000; round++) {
        uint8_t bytes[60], encoded[180], decoded[180];
        size_t len = prng_below(&prng, sizeof(bytes));
        for (size_t i = 0; i < len; i++) {
            bytes[i] = (uint8_t)prng_next(&prng);
        }
        size_t n = wire_value_percent_encode((struct span){bytes, len}, encoded);
        OK(n <= wire_value_percent_max(len));
        n = wire_value_percent_decode((struct span){encoded, n}, decoded);
        OK(n == len && memcmp(bytes, decoded, len) == 0);
    }
}

static void test_cut(void)
{
    EQ(wire_value_cut(span_of("abc"), 3).len, 3);
    EQ(wire_value_cut(span_of("abcd"), 3).len, 3);
    EQ(wire_value_cut(span_of("ab\xc3\xbc"), 3).len, 2);
    EQ(wire_value_cut(span_of("\xf0\x9f\x98\x80"), 3).len, 0);
    EQ(wire_value_cut(span_of("\x80\x80\x80\x80"), 3).len, 0);
}

static void test_base64(void)
{
    /* RFC 4648, section 10, without padding. */
    const char *pairs[][2] = {{"", ""}, {"f", "Zg"}, {"fo", "Zm8"}, {"foo", "Zm9v"},
                              {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < ARRAY_COUNT(pairs); i++) {
        char out[16] = {0};
        EQ(base64_encode(span_of(pairs[i][0]), false, (uint8_t *)out), strlen(pairs[i][1]));
        EQS(out, pairs[i][1]);
        char back[16] = {0};
        size_t len = 99;
        OK(wire_value_base64_decode(span_of(out), (uint8_t *)back, &len));
        EQS(back, pairs[i][0]);
        EQ(len, strlen(pairs[i][0]));
    }
    uint8_t out[16];
    size_t len = 99;
    OK(wire_value_base64_decode(span_of("Zg=="), out, &len) && len == 1);
    OK(wire_value_base64_decode(span_of("Zm8="), out, &len) && len == 2);
    const char *bad[] = {"Z", "Zg=", "Z===", "Zm9vY", "Zm 9", "Zm-_", "====", "Zg==Zg=="};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        OK(!wire_value_base64_decode(span_of(bad[i]), out, &len));
    }
}

static void test_base64_round(void)
{
    struct prng prng;
    prng_init(&prng, 4);
    for (size_t len = 0; len < 300; len++) {
        uint8_t bytes[300], encoded[404], decoded[303];
        for (size_t i = 0; i < len; i++) {
            bytes[i] = (uint8_t)prng_next(&prng);
        }
        size_t n = base64_encode((struct span){bytes, len}, false, encoded);
        OK(n <= base64_len(len, true));
        size_t back = 0;
        OK(wire_value_base64_decode((struct span){encoded, n}, decoded, &back));
        OK(back == len && memcmp(bytes, decoded, len) == 0);
    }
}

/* Three messages, cut into pieces of every size. */
static void test_frame_cuts(void)
{
    uint8_t bytes[3000];
    size_t lens[] = {0, 700, 1};
    size_t total = 0;
    for (size_t i = 0; i < 3; i++) {
        wire_frame_prefix(0, lens[i], bytes + total);
        memset(bytes + total + WIRE_PREFIX, (int)i, lens[i]);
        total += WIRE_PREFIX + lens[i];
    }
    for (size_t piece = 1; piece <= total; piece++) {
        struct wire_frame f = {0};
        size_t got = 0;
        for (size_t at = 0; at < total; at += piece) {
            struct span message, input = {bytes + at, total - at < piece ? total - at : piece};
            int r;
            while ((r = wire_frame_push(&f, &input, 700, &mem, &message)) == WIRE_FRAME_MESSAGE) {
                OK(got < 3 && message.len == lens[got]);
                OK(message.len == 0 || message.ptr[message.len - 1] == got);
                got++;
            }
            EQ(r, 0);
        }
        EQ(got, 3);
        OK(!wire_frame_inside(&f));
        wire_frame_rest(&f, &mem);
        OK(f.bytes == NULL);
    }
}

static void test_frame_refusals(void)
{
    struct wire_frame f = {0};
    struct span message, input = {(const uint8_t *)"\1\0\0\0\0", 5};
    EQ(wire_frame_push(&f, &input, 700, &mem, &message), WIRE_FRAME_COMPRESSED);
    f = (struct wire_frame){0};
    input = (struct span){(const uint8_t *)"\0\0\0\2\275", 5}; /* 701 */
    EQ(wire_frame_push(&f, &input, 700, &mem, &message), WIRE_FRAME_TOO_LARGE);
    f = (struct wire_frame){0};
    input = (struct span){(const uint8_t *)"\0\377\377\377\377", 5};
    EQ(wire_frame_push(&f, &input, 700, &mem, &message), WIRE_FRAME_TOO_LARGE);
    /* A promise costs nothing before bytes come. */
    f = (struct wire_frame){0};
    input = (struct span){(const uint8_t *)"\0\0\1\0\0x", 6}; /* 65,536 */
    EQ(wire_frame_push(&f, &input, 65536, &mem, &message), 0);
    OK(wire_frame_inside(&f));
    OK(f.bytes_cap <= 256);
    wire_frame_fini(&f, &mem);
}

/* Never more memory than what waits asks for, none when nothing does. */
static void test_queue(void)
{
    static struct wire_queue q;
    struct prng prng;
    prng_init(&prng, 5);
    size_t waiting = 0;
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[400] = {0};
        if (prng_below(&prng, 2) && waiting < 5000) {
            size_t len = prng_below(&prng, sizeof(bytes));
            EQ(wire_queue_push(&q, 0, (struct span){bytes, len}, &mem), 0);
            waiting += WIRE_PREFIX + len;
        } else {
            size_t n = wire_queue_pull(&q, bytes, prng_below(&prng, sizeof(bytes)), &mem);
            OK(n <= waiting);
            waiting -= n;
        }
        EQ(wire_queue_len(&q), waiting);
        OK(waiting > 0 || q.heap == NULL);
        OK(q.cap <= 16384);
    }
    wire_queue_fini(&q, &mem);
}

/* What goes in comes out, in order, whether it slid, grew or stayed inline. */
static void test_queue_order(void)
{
    static struct wire_queue q;
    uint8_t out[64];
    uint32_t pushed = 0, pulled = 0;
    while (pulled < 5000) {
        for (uint32_t i = 0; i <= pushed % 7; i++, pushed++) {
            EQ(wire_queue_push(&q, 0, (struct span){(uint8_t *)&pushed, 4}, &mem), 0);
        }
        for (uint32_t i = 0; i < 4 && pulled < pushed; i++, pulled++) {
            uint32_t number;
            EQ(wire_queue_pull(&q, out, WIRE_PREFIX + 4, &mem), WIRE_PREFIX + 4);
            memcpy(&number, out + WIRE_PREFIX, 4);
            OK(number == pulled && out[4] == 4);
        }
    }
    wire_queue_fini(&q, &mem);
}

int main(void)
{
    mem = wire_memory_libc;
    TAP_RUN(test_timeout_parse);
    TAP_RUN(test_timeout_write);
    TAP_RUN(test_content_type);
    TAP_RUN(test_percent);
    TAP_RUN(test_cut);
    TAP_RUN(test_base64);
    TAP_RUN(test_base64_round);
    TAP_RUN(test_frame_cuts);
    TAP_RUN(test_frame_refusals);
    TAP_RUN(test_queue);
    TAP_RUN(test_queue_order);
    return tap_done();
}
