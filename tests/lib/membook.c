/* SPDX-License-Identifier: MIT */
/* Two levels: an array of blocks, each a sorted array of records.  A full block splits in two.
 * Lookup is two binary searches; an insertion moves a block's pointers, and now and then the
 * array's.  Simple enough to be trusted, fast enough for a million records. */
#include "tests/lib/membook.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_MAX 128

struct membook_record {
    size_t key_len;
    size_t value_len;
    uint8_t bytes[]; /* key, value */
};

struct membook_block {
    size_t count;
    struct membook_record *records[BLOCK_MAX];
};

struct membook_copy {
    struct membook_copy *next;
    size_t len;
    uint8_t bytes[];
};

static void *membook_need(void *p)
{
    if (p == NULL) {
        abort();
    }
    return p;
}

static uint64_t membook_word(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return __builtin_bswap64(word);
}

/* Most keys begin with a routing key of two words. */
static int membook_compare(const struct membook_record *r, struct span key)
{
    size_t n = r->key_len < key.len ? r->key_len : key.len, same = 0;
    for (; same < 16 && same + 8 <= n; same += 8) {
        uint64_t own = membook_word(r->bytes + same), other = membook_word(key.ptr + same);
        if (own != other) {
            return own < other ? -1 : 1;
        }
    }
    int order = memcmp(r->bytes + same, key.ptr + same, n - same);
    return order ? order : (r->key_len > key.len) - (r->key_len < key.len);
}

/* The block in which the key is, or belongs; the place of the first record >= key in it. */
static size_t membook_find(const struct membook *m, struct span key, size_t *ret_at)
{
    size_t low = 0, high = m->blocks_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (membook_compare(m->blocks[middle]->records[0], key) <= 0) {
            low = middle;
        } else {
            high = middle;
        }
    }
    size_t block = low;
    low = 0;
    high = m->blocks_count ? m->blocks[block]->count : 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (membook_compare(m->blocks[block]->records[middle], key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_at = low;
    return block;
}

static struct membook_record *membook_exact(const struct membook *m, struct span key,
                                            size_t *ret_block, size_t *ret_at)
{
    *ret_block = membook_find(m, key, ret_at);
    if (m->blocks_count == 0 || *ret_at == m->blocks[*ret_block]->count) {
        return NULL;
    }
    struct membook_record *r = m->blocks[*ret_block]->records[*ret_at];
    return membook_compare(r, key) == 0 ? r : NULL;
}

static bool membook_fails(struct membook *m)
{
    return m->fail_in > 0 && --m->fail_in == 0;
}

/* -- spans that die ---------------------------------------------------------------------------- */

static void membook_forget(struct membook *m)
{
    while (m->copies) {
        struct membook_copy *c = m->copies;
        m->copies = c->next;
        explicit_bzero(c->bytes, c->len); /* seen without a sanitizer too */
        free(c);
    }
}

static struct span membook_lend(struct membook *m, const uint8_t *ptr, size_t len)
{
    if (!m->is_strict) {
        return (struct span){ptr, len};
    }
    struct membook_copy *c = membook_need(malloc(sizeof *c + len));
    c->next = m->copies;
    c->len = len;
    m->copies = c;
    memcpy(c->bytes, ptr, len);
    return (struct span){c->bytes, len};
}

/* -- the book ---------------------------------------------------------------------------------- */

static int membook_get(void *self, struct span key, struct span *ret_value)
{
    struct membook *m = self;
    size_t block, at;
    m->gets++;
    if (membook_fails(m)) {
        return -EIO;
    }
    struct membook_record *r = membook_exact(m, key, &block, &at);
    if (r == NULL) {
        return 1;
    }
    *ret_value = membook_lend(m, r->bytes + r->key_len, r->value_len);
    return 0;
}

static struct membook_record *membook_record(struct span key, struct span value)
{
    struct membook_record *r = membook_need(malloc(sizeof *r + key.len + value.len));
    r->key_len = key.len;
    r->value_len = value.len;
    memcpy(r->bytes, key.ptr, key.len);
    memcpy(r->bytes + key.len, value.ptr, value.len);
    return r;
}

static void membook_add_block(struct membook *m, size_t at, struct membook_block *b)
{
    if (m->blocks_count == m->blocks_capacity) {
        m->blocks_capacity = m->blocks_capacity ? m->blocks_capacity * 2 : 64;
        m->blocks = membook_need(realloc(m->blocks, m->blocks_capacity * sizeof *m->blocks));
    }
    memmove(m->blocks + at + 1, m->blocks + at, (m->blocks_count - at) * sizeof *m->blocks);
    m->blocks[at] = b;
    m->blocks_count++;
}

static void membook_insert(struct membook *m, size_t block, size_t at, struct membook_record *r)
{
    if (m->blocks_count == 0) {
        membook_add_block(m, 0, membook_need(calloc(1, sizeof(struct membook_block))));
    }
    struct membook_block *b = m->blocks[block];
    if (b->count == BLOCK_MAX) {
        /* Records that arrive in order leave full blocks behind them. */
        size_t keep = at == BLOCK_MAX && block + 1 == m->blocks_count ? BLOCK_MAX : BLOCK_MAX / 2;
        struct membook_block *right = membook_need(calloc(1, sizeof *right));
        right->count = BLOCK_MAX - keep;
        memcpy(right->records, b->records + keep, right->count * sizeof(void *));
        b->count = keep;
        membook_add_block(m, block + 1, right);
        if (at >= keep) {
            b = right;
            at -= keep;
        }
    }
    memmove(b->records + at + 1, b->records + at, (b->count - at) * sizeof(void *));
    b->records[at] = r;
    b->count++;
    m->count++;
}

static int membook_put(void *self, struct span key, struct span value)
{
    struct membook *m = self;
    size_t block, at;
    m->puts++;
    if (membook_fails(m)) {
        return -EIO;
    }
    if (key.len == 0 || key.len > BOOK_KEY_MAX || value.len > BOOK_VALUE_MAX) {
        abort();
    }
    struct membook_record *made = membook_record(key, value); /* first: the spans may be ours */
    struct membook_record *old = membook_exact(m, key, &block, &at);
    m->bytes += key.len + value.len;
    if (old) {
        m->bytes -= old->key_len + old->value_len;
        m->blocks[block]->records[at] = made;
        free(old);
    } else {
        membook_insert(m, block, at, made);
    }
    membook_forget(m);
    return 0;
}

static int membook_del(void *self, struct span key)
{
    struct membook *m = self;
    size_t block, at;
    m->dels++;
    if (membook_fails(m)) {
        return -EIO;
    }
    struct membook_record *r = membook_exact(m, key, &block, &at);
    if (r) {
        struct membook_block *b = m->blocks[block];
        m->count--;
        m->bytes -= r->key_len + r->value_len;
        b->count--;
        memmove(b->records + at, b->records + at + 1, (b->count - at) * sizeof(void *));
        free(r);
        if (b->count == 0) {
            free(b);
            m->blocks_count--;
            memmove(m->blocks + block, m->blocks + block + 1,
                    (m->blocks_count - block) * sizeof *m->blocks);
        }
    }
    membook_forget(m);
    return 0;
}

static int membook_next(void *self, struct span from, bool exclusive, struct span *ret_key,
                        struct span *ret_value)
{
    struct membook *m = self;
    size_t at;
    m->nexts++;
    if (membook_fails(m)) {
        return -EIO;
    }
    if (m->blocks_count == 0) {
        return 1;
    }
    size_t block = membook_find(m, from, &at);
    if (exclusive && at < m->blocks[block]->count &&
        membook_compare(m->blocks[block]->records[at], from) == 0) {
        at++;
    }
    if (at == m->blocks[block]->count) {
        if (++block == m->blocks_count) {
            return 1;
        }
        at = 0;
    }
    const struct membook_record *r = m->blocks[block]->records[at];
    *ret_key = membook_lend(m, r->bytes, r->key_len);
    *ret_value = membook_lend(m, r->bytes + r->key_len, r->value_len);
    return 0;
}

/* -- life -------------------------------------------------------------------------------------- */

void membook_init(struct membook *m)
{
    memset(m, 0, sizeof *m);
    m->book = (struct book){m, membook_get, membook_put, membook_del, membook_next};
}

void membook_fini(struct membook *m)
{
    for (size_t i = 0; i < m->blocks_count; i++) {
        for (size_t j = 0; j < m->blocks[i]->count; j++) {
            free(m->blocks[i]->records[j]);
        }
        free(m->blocks[i]);
    }
    membook_forget(m);
    free(m->blocks);
    memset(m, 0, sizeof *m);
}

static uint64_t membook_mix(uint64_t h, const uint8_t *ptr, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        h = (h ^ ptr[i]) * UINT64_C(0x100000001b3);
    }
    return h;
}

uint64_t membook_hash(const struct membook *m)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < m->blocks_count; i++) {
        for (size_t j = 0; j < m->blocks[i]->count; j++) {
            const struct membook_record *r = m->blocks[i]->records[j];
            uint8_t lengths[4] = {(uint8_t)r->key_len, 0, (uint8_t)(r->value_len >> 8),
                                  (uint8_t)r->value_len};
            h = membook_mix(h, lengths, sizeof lengths);
            h = membook_mix(h, r->bytes, r->key_len + r->value_len);
        }
    }
    return h;
}

void membook_at(const struct membook *m, size_t i, struct span *ret_key, struct span *ret_value)
{
    for (size_t block = 0; block < m->blocks_count; block++) {
        const struct membook_block *b = m->blocks[block];
        if (i < b->count) {
            const struct membook_record *r = b->records[i];
            *ret_key = (struct span){r->bytes, r->key_len};
            *ret_value = (struct span){r->bytes + r->key_len, r->value_len};
            return;
        }
        i -= b->count;
    }
    abort();
}
