/* SPDX-License-Identifier: MIT */
/* Goal: what is exported is HdrHistogram's compressed V2 encoding, read here by its own words,
 * and has every count; too little room is refused.  tests/e2e/js reads the same with its own
 * library. */
#include "base/bytes.h"
#include "base/hist.h"
#include "base/prng.h"
#include "tests/lib/tap.h"

static struct hist h;
static uint8_t out[HIST_EXPORT_MAX];
static uint8_t inner[HIST_EXPORT_MAX];

static uint32_t big(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The stored blocks behind the zlib header, one behind the other; their bytes, 0: malformed. */
static size_t unpack(size_t len)
{
    size_t at = 10, n = 0;
    bool is_last = false;
    uint32_t a = 1, b = 0;
    if (len < 16 || big(out) != 0x1c849314 || big(out + 4) != len - 8 || out[8] != 0x78 ||
        (out[8] * 256 + out[9]) % 31 != 0) {
        return 0;
    }
    while (!is_last) {
        size_t part = out[at + 1] + 256u * out[at + 2];
        if (out[at] > 1 || (part ^ (out[at + 3] + 256u * out[at + 4])) != 0xffff) {
            return 0;
        }
        is_last = out[at] == 1;
        memcpy(inner + n, out + at + 5, part);
        n += part;
        at += 5 + part;
    }
    for (size_t i = 0; i < n; i++) {
        a = (a + inner[i]) % 65521;
        b = (b + a) % 65521;
    }
    return at + 4 == len && big(out + at) == (b << 16 | a) ? n : 0;
}

static int64_t number(const uint8_t **at)
{
    uint64_t v = 0;
    for (int i = 0; i < 9; i++) {
        uint8_t byte = *(*at)++;
        v |= (uint64_t)(i < 8 ? byte & 0x7f : byte) << (7 * i);
        if (i < 8 && byte < 0x80) {
            break;
        }
    }
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* Are the counts those of the histogram, bucket by bucket? */
static void same_counts(size_t n)
{
    const uint8_t *at = inner + 40, *end = inner + n;
    unsigned bucket = 0;
    OK(n > 0);
    EQ(big(inner), 0x1c849313);
    EQ(big(inner + 4), n - 40);
    EQ(big(inner + 12), 3);
    while (at < end && bucket <= HIST_BUCKETS) {
        int64_t v = number(&at);
        if (v < 0) {
            for (int64_t i = 0; i < -v && bucket < HIST_BUCKETS; i++) {
                EQ(h.buckets[bucket++], 0);
            }
        } else {
            OK(bucket < HIST_BUCKETS && h.buckets[bucket] == (uint64_t)v);
            bucket++;
        }
    }
    for (; bucket < HIST_BUCKETS; bucket++) {
        EQ(h.buckets[bucket], 0);
    }
}

static void test_every_count_comes_over(void)
{
    struct prng p;
    prng_init(&p, 11);
    for (int round = 0; round < 20; round++) {
        hist_init(&h);
        for (int i = 0; i < 3000 * round; i++) {
            hist_record(&h, prng_below(&p, UINT64_C(1) << (1 + prng_below(&p, 34))));
        }
        same_counts(unpack(hist_export(&h, out, sizeof out)));
    }
}

static void test_large_counts_and_all_buckets(void)
{
    hist_init(&h);
    for (unsigned i = 0; i < HIST_BUCKETS; i++) { /* more than one stored block */
        h.buckets[i] = i % 3 ? (UINT64_C(1) << (i % 62)) + i : 0;
    }
    h.max_us = UINT64_C(1) << 40;
    size_t n = unpack(hist_export(&h, out, sizeof out));
    OK(n > 65535);
    same_counts(n);
}

static void test_no_room(void)
{
    hist_init(&h);
    EQ(hist_export(&h, out, sizeof out - 1), 0);
    EQ(hist_export(&h, out, 0), 0);
    OK(hist_export(&h, out, sizeof out) > 0);
}

int main(void)
{
    TAP_RUN(test_every_count_comes_over);
    TAP_RUN(test_large_counts_and_all_buckets);
    TAP_RUN(test_no_room);
    return tap_done();
}
