/* SPDX-License-Identifier: MIT */
/* A histogram in HdrHistogram's compressed V2 encoding, which its tools in every language read.
 *   head: cookie, length | zlib stream of: head (cookie, length, offset, digits, range, ratio),
 *   counts as ZigZag LEB128, a run of empty buckets as its negative length
 * The bucket law is the same (hist.c), so counts go over one by one.  The zlib stream is made of
 * stored blocks: nothing is compressed, nothing is linked for it.
 * Owns: nothing.  Fails when the room is too small. */
#include <string.h>

#include "base/bytes.h"
#include "base/hist.h"

#define EXPORT_COOKIE_INNER 0x1c849313u
#define EXPORT_COOKIE_OUTER 0x1c849314u
#define EXPORT_DIGITS       3
#define EXPORT_HEAD         40    /* bytes before the counts */
#define EXPORT_BLOCK        65535 /* most that a stored block has */

static void export_leb128(struct scribe *w, int64_t value)
{
    uint64_t v = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    for (int i = 0; i < 8 && v >= 0x80; i++, v >>= 7) {
        scribe_u8(w, (uint8_t)(v | 0x80)); /* the ninth byte has all of its eight bits */
    }
    scribe_u8(w, (uint8_t)v);
}

static void export_counts(struct scribe *w, const struct hist *h)
{
    unsigned used = 0;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        used = h->buckets[i] ? i + 1 : used;
    }
    for (unsigned i = 0; i < used; i++) {
        int64_t empty = 0;
        for (; h->buckets[i] == 0; i++) {
            empty++;
        }
        if (empty) {
            export_leb128(w, -empty);
        }
        export_leb128(w, (int64_t)h->buckets[i]);
    }
}

/* Adler-32 (RFC 1950). */
static uint32_t export_sum(const uint8_t *p, size_t n)
{
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < n; i++) {
        a = (a + p[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

/* The inner bytes stand at `inner`, in the same room, far enough behind. */
static void export_zlib(struct scribe *w, const uint8_t *inner, size_t n)
{
    uint32_t sum = export_sum(inner, n);
    scribe_u16(w, 0x7801);
    for (size_t at = 0; at < n; at += EXPORT_BLOCK) {
        size_t part = n - at < EXPORT_BLOCK ? n - at : EXPORT_BLOCK;
        uint8_t *to;
        scribe_u8(w, at + part == n);
        scribe_u8(w, (uint8_t)part);
        scribe_u8(w, (uint8_t)(part >> 8));
        scribe_u8(w, (uint8_t)~part);
        scribe_u8(w, (uint8_t)(~part >> 8));
        to = scribe_take(w, part);
        if (to) {
            memmove(to, inner + at, part);
        }
    }
    scribe_u32(w, sum);
}

size_t hist_export(const struct hist *h, uint8_t *out, size_t cap)
{
    if (cap < HIST_EXPORT_MAX) {
        return 0;
    }
    uint8_t *inner = out + HIST_EXPORT_MAX / 2;
    struct scribe w = scribe_of(inner, HIST_EXPORT_MAX / 2);
    double ratio = 1;
    uint64_t bits, highest = UINT64_C(3600000000);
    memcpy(&bits, &ratio, sizeof bits);
    scribe_u32(&w, EXPORT_COOKIE_INNER);
    scribe_u32(&w, 0);
    scribe_u32(&w, 0); /* index offset */
    scribe_u32(&w, EXPORT_DIGITS);
    scribe_u64(&w, 1); /* lowest value told from 0 */
    while (highest < h->max_us && highest < (UINT64_C(1) << 52)) {
        highest <<= 1;
    }
    scribe_u64(&w, highest);
    scribe_u64(&w, bits);
    export_counts(&w, h);
    size_t n = scribe_len(&w);
    struct scribe length = scribe_of(inner + 4, 4);
    scribe_u32(&length, (uint32_t)(n - EXPORT_HEAD));
    struct scribe outer = scribe_of(out, HIST_EXPORT_MAX / 2);
    scribe_u32(&outer, EXPORT_COOKIE_OUTER);
    scribe_u32(&outer, 0);
    export_zlib(&outer, inner, n);
    struct scribe total = scribe_of(out + 4, 4);
    scribe_u32(&total, (uint32_t)(scribe_len(&outer) - 8));
    return w.bad || outer.bad ? 0 : scribe_len(&outer);
}
