/* SPDX-License-Identifier: MIT */
/* Goal: what is written is read back; bytes sort as numbers; running off an end turns bad. */
#include "base/bytes.h"

#include "tests/lib/tap.h"

static void test_round_trip(void)
{
    uint8_t buf[64];
    struct scribe w = scribe_of(buf, sizeof buf);
    scribe_u8(&w, 1);
    scribe_u16(&w, 0xabcd);
    scribe_u32(&w, 0xdeadbeef);
    scribe_u64(&w, UINT64_MAX - 1);
    scribe_span16(&w, span_of("desk"));
    OK(!w.bad);
    struct reader r = reader_of(buf, scribe_len(&w));
    EQ(reader_u8(&r), 1);
    EQ(reader_u16(&r), 0xabcd);
    EQ(reader_u32(&r), 0xdeadbeef);
    OK(reader_u64(&r) == UINT64_MAX - 1);
    OK(span_equal(reader_span16(&r), span_of("desk")));
    OK(!r.bad);
    EQ(reader_left(&r), 0);
}

static void test_off_the_end(void)
{
    uint8_t buf[3];
    struct scribe w = scribe_of(buf, sizeof buf);
    scribe_u32(&w, 1);
    OK(w.bad);
    scribe_u8(&w, 1);
    OK(w.bad);
    EQ(scribe_len(&w), 0);
    struct reader r = reader_of(buf, 3);
    EQ(reader_u64(&r), 0);
    OK(r.bad);
    EQ(reader_u8(&r), 0);
    uint8_t prefix[] = {0, 200, 1, 2};
    r = reader_of(prefix, sizeof prefix);
    EQ(reader_span16(&r).len, 0);
    OK(r.bad);
}

static void test_bytes_sort_as_numbers(void)
{
    uint8_t a[8], b[8];
    struct scribe wa = scribe_of(a, 8), wb = scribe_of(b, 8);
    scribe_u64(&wa, 255);
    scribe_u64(&wb, 256);
    OK(memcmp(a, b, 8) < 0);
}

/* Every width, against the plainest way to say it, and nothing beside it touched. */
static void test_every_width(void)
{
    const uint64_t value = UINT64_C(0xf1e2d3c4b5a69788);
    for (size_t n = 1; n <= 8; n++) {
        uint8_t buf[10];
        memset(buf, 0x55, sizeof buf);
        struct scribe w = scribe_of(buf + 1, n);
        scribe_be(&w, value, n);
        OK(!w.bad && scribe_len(&w) == n && buf[0] == 0x55 && buf[n + 1] == 0x55);
        for (size_t i = 0; i < n; i++) {
            EQ(buf[1 + i], (uint8_t)(value >> 8 * (n - 1 - i)));
        }
        struct reader r = reader_of(buf + 1, n);
        OK(reader_be(&r, n) == (n < 8 ? value & ((UINT64_C(1) << 8 * n) - 1) : value));
        OK(!r.bad && reader_left(&r) == 0);
        r = reader_of(buf, n - 1);
        OK(reader_be(&r, n) == 0 && r.bad);
        w = scribe_of(buf, n - 1);
        scribe_be(&w, value, n);
        OK(w.bad && scribe_len(&w) == 0 && buf[0] == 0x55);
    }
}

int main(void)
{
    TAP_RUN(test_round_trip);
    TAP_RUN(test_off_the_end);
    TAP_RUN(test_bytes_sort_as_numbers);
    TAP_RUN(test_every_width);
    return tap_done();
}
