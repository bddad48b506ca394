/* SPDX-License-Identifier: MIT */
/* Goal: what is written is read back; bytes sort as numbers; running off an end turns bad. */
#include "base/bytes.h"

#include "tests/lib/tap.h"

static void test_round_trip(void)
{
    uint8_t buf[64];
    struct writer w = writer_of(buf, sizeof buf);
    writer_u8(&w, 1);
    writer_u16(&w, 0xabcd);
    writer_u32(&w, 0xdeadbeef);
    writer_u64(&w, UINT64_MAX - 1);
    writer_span16(&w, span_of("desk"));
    OK(!w.bad);
    struct reader r = reader_of(buf, writer_len(&w));
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
    struct writer w = writer_of(buf, sizeof buf);
    writer_u32(&w, 1);
    OK(w.bad);
    writer_u8(&w, 1);
    OK(w.bad);
    EQ(writer_len(&w), 0);
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
    struct writer wa = writer_of(a, 8), wb = writer_of(b, 8);
    writer_u64(&wa, 255);
    writer_u64(&wb, 256);
    OK(memcmp(a, b, 8) < 0);
}

int main(void)
{
    TAP_RUN(test_round_trip);
    TAP_RUN(test_off_the_end);
    TAP_RUN(test_bytes_sort_as_numbers);
    return tap_done();
}
