/* SPDX-License-Identifier: MIT */
/* Cursors over bytes: fixed-width big-endian integers (so that bytes compare as numbers) and
 * length-prefixed strings.  A reader or scribe that runs off its end turns bad and stays bad:
 * check once at the end.  Pure; libc only.  Owned by one thread.  (A *writer* is a
 * shard's thread: docs/words.md.) */
#ifndef FAIRSLOT_BASE_BYTES_H
#define FAIRSLOT_BASE_BYTES_H

#include <endian.h>
#include <string.h>

#include "base/types.h"

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool bad; /* ran off the end, or the caller found nonsense */
};

struct scribe {
    uint8_t *start;
    uint8_t *at;
    uint8_t *end;
    bool bad; /* did not fit */
};

static inline struct reader reader_of(const void *ptr, size_t len)
{
    const uint8_t *p = ptr;
    return (struct reader){.at = p, .end = len ? p + len : p};
}

static inline struct scribe scribe_of(void *ptr, size_t len)
{
    uint8_t *p = ptr;
    return (struct scribe){.start = p, .at = p, .end = p + len};
}

static inline size_t reader_left(const struct reader *r)
{
    return r->bad ? 0 : (size_t)(r->end - r->at);
}

static inline size_t scribe_len(const struct scribe *w)
{
    return (size_t)(w->at - w->start);
}

static inline bool reader_take(struct reader *r, size_t n, const uint8_t **ret_ptr)
{
    if (r->bad || (size_t)(r->end - r->at) < n) {
        r->bad = true;
        return false;
    }
    *ret_ptr = r->at;
    r->at += n;
    return true;
}

/* The widths that keys and records are full of, in one step: compilers at -O2 leave the loop over
 * single bytes as it is, and what reads the bytes back at once then waits for each of them. */
static inline uint64_t bytes_load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return be64toh(v);
}

static inline uint32_t bytes_load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return be32toh(v);
}

static inline uint64_t reader_be(struct reader *r, size_t n)
{
    const uint8_t *p;
    if (!reader_take(r, n, &p)) {
        return 0;
    }
    if (n == 8) {
        return bytes_load64(p);
    }
    if (n == 4 || n == 5) {
        return n == 4 ? bytes_load32(p) : (uint64_t)p[0] << 32 | bytes_load32(p + 1);
    }
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

static inline uint8_t reader_u8(struct reader *r) { return (uint8_t)reader_be(r, 1); }
static inline uint16_t reader_u16(struct reader *r) { return (uint16_t)reader_be(r, 2); }
static inline uint32_t reader_u32(struct reader *r) { return (uint32_t)reader_be(r, 4); }
static inline uint64_t reader_u64(struct reader *r) { return reader_be(r, 8); }

/* Fills `out` with n bytes; zeroes it when the reader runs dry. */
static inline void reader_bytes(struct reader *r, void *out, size_t n)
{
    const uint8_t *p;
    if (reader_take(r, n, &p)) {
        memcpy(out, p, n);
    } else {
        memset(out, 0, n);
    }
}

/* LEB128: seven bits a byte, the lowest first.  Over 10 bytes, or over 64 bits, is bad. */
static inline uint64_t reader_varint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = reader_u8(r);
        r->bad |= shift == 63 && byte > 1;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return r->bad ? 0 : v;
        }
    }
    r->bad = true;
    return 0;
}

/* A span with a u16 length before it; borrowed from the reader's bytes. */
static inline struct span reader_span16(struct reader *r)
{
    size_t n = reader_u16(r);
    const uint8_t *p = r->at;
    if (!reader_take(r, n, &p)) {
        return (struct span){0};
    }
    return (struct span){p, n};
}

static inline uint8_t *scribe_take(struct scribe *w, size_t n)
{
    if (w->bad || (size_t)(w->end - w->at) < n) {
        w->bad = true;
        return NULL;
    }
    uint8_t *p = w->at;
    w->at += n;
    return p;
}

static inline void bytes_store64(uint8_t *p, uint64_t v)
{
    v = htobe64(v);
    memcpy(p, &v, sizeof v);
}

static inline void bytes_store32(uint8_t *p, uint32_t v)
{
    v = htobe32(v);
    memcpy(p, &v, sizeof v);
}

static inline void scribe_be(struct scribe *w, uint64_t v, size_t n)
{
    uint8_t *p = scribe_take(w, n);
    if (w->bad) {
        return;
    }
    if (n == 8) {
        bytes_store64(p, v);
        return;
    }
    if (n == 4 || n == 5) {
        p[0] = (uint8_t)(v >> 32); /* of four the next line overwrites it */
        bytes_store32(p + n - 4, (uint32_t)v);
        return;
    }
    for (size_t i = n; i-- > 0; v >>= 8) {
        p[i] = (uint8_t)v;
    }
}

static inline void scribe_u8(struct scribe *w, uint8_t v) { scribe_be(w, v, 1); }
static inline void scribe_u16(struct scribe *w, uint16_t v) { scribe_be(w, v, 2); }
static inline void scribe_u32(struct scribe *w, uint32_t v) { scribe_be(w, v, 4); }
static inline void scribe_u64(struct scribe *w, uint64_t v) { scribe_be(w, v, 8); }

static inline void scribe_varint(struct scribe *w, uint64_t v)
{
    while (v >= 0x80) {
        scribe_u8(w, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    scribe_u8(w, (uint8_t)v);
}

static inline void scribe_bytes(struct scribe *w, const void *ptr, size_t n)
{
    uint8_t *p = scribe_take(w, n);
    if (p && n) {
        memcpy(p, ptr, n);
    }
}

/* The span with a u16 length before it; turns bad over 65,535 bytes. */
static inline void scribe_span16(struct scribe *w, struct span s)
{
    if (s.len > UINT16_MAX) {
        w->bad = true;
        return;
    }
    scribe_u16(w, (uint16_t)s.len);
    scribe_bytes(w, s.ptr, s.len);
}

static inline struct span span_of(const char *text)
{
    return (struct span){(const uint8_t *)text, strlen(text)};
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

#endif
