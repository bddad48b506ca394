/* SPDX-License-Identifier: MIT */
/* The state of one replica in memory: the book, and how to undo what is not durable yet.
 * A flush forgets how to undo; a crash undoes.  `effects` is a number over every put and del ever:
 * equal at one index on all replicas, else they are not the same machine. */
#ifndef FAIRSLOT_TESTS_SIM_CITY_BOOK_H
#define FAIRSLOT_TESTS_SIM_CITY_BOOK_H

#include <xxhash.h>

#include "tests/lib/membook.h"
#include "tests/sim/world.h"

struct undo {
    uint32_t key_len, value_len; /* of the bytes; value_len UINT32_MAX: there was no record */
    size_t at;
};

struct city_book {
    struct membook m;
    struct book book;      /* what the ledger borrows */
    uint64_t effects;      /* over all puts and dels */
    uint64_t writes;       /* their number */
    uint64_t durable_effects;
    struct undo *undos;
    size_t undos_count, undos_cap;
    uint8_t *bytes;        /* of the undos */
    size_t len, cap;
};

static void book_note(struct city_book *b, struct span key)
{
    struct span old = {0};
    bool has = b->m.book.get(&b->m, key, &old) == 0;
    size_t need = key.len + old.len;
    if (b->undos_count == b->undos_cap) {
        b->undos_cap = b->undos_cap ? b->undos_cap * 2 : 256;
        b->undos = realloc(b->undos, b->undos_cap * sizeof *b->undos);
    }
    if (b->len + need > b->cap) {
        b->cap = (b->len + need) * 2;
        b->bytes = realloc(b->bytes, b->cap);
    }
    b->undos[b->undos_count++] =
        (struct undo){(uint32_t)key.len, has ? (uint32_t)old.len : UINT32_MAX, b->len};
    memcpy(b->bytes + b->len, key.ptr, key.len);
    if (has) {
        memcpy(b->bytes + b->len + key.len, old.ptr, old.len);
    }
    b->len += need;
}

static int book_get(void *self, struct span key, struct span *ret_value)
{
    struct city_book *b = self;
    return b->m.book.get(&b->m, key, ret_value);
}

static int book_next(void *self, struct span from, bool exclusive, struct span *ret_key,
                     struct span *ret_value)
{
    struct city_book *b = self;
    return b->m.book.next(&b->m, from, exclusive, ret_key, ret_value);
}

static int book_put(void *self, struct span key, struct span value)
{
    struct city_book *b = self;
    uint8_t copy[BOOK_VALUE_MAX]; /* a strict book may take back what the value borrows */
    memcpy(copy, value.ptr, value.len);
    book_note(b, key);
    b->writes++;
    b->effects = mix64(mix64(b->effects, XXH3_64bits(key.ptr, key.len)),
                       XXH3_64bits(copy, value.len));
    return b->m.book.put(&b->m, key, (struct span){copy, value.len});
}

static int book_del(void *self, struct span key)
{
    struct city_book *b = self;
    book_note(b, key);
    b->writes++;
    b->effects = mix64(mix64(b->effects, XXH3_64bits(key.ptr, key.len)), 1);
    return b->m.book.del(&b->m, key);
}

static void book_init(struct city_book *b, bool is_strict)
{
    memset(b, 0, sizeof *b);
    membook_init(&b->m);
    b->m.is_strict = is_strict;
    b->book = (struct book){b, book_get, book_put, book_del, book_next};
}

static void book_fini(struct city_book *b)
{
    membook_fini(&b->m);
    free(b->undos);
    free(b->bytes);
}

static void book_flushed(struct city_book *b)
{
    b->undos_count = b->len = 0;
    b->durable_effects = b->effects;
}

/* As it is on the disk. */
static void book_crash(struct city_book *b)
{
    while (b->undos_count > 0) {
        const struct undo *u = &b->undos[--b->undos_count];
        struct span key = {b->bytes + u->at, u->key_len};
        if (u->value_len == UINT32_MAX) {
            b->m.book.del(&b->m, key);
        } else {
            b->m.book.put(&b->m, key, (struct span){key.ptr + key.len, u->value_len});
        }
    }
    b->len = 0;
    b->effects = b->durable_effects;
}

static void book_copy(struct city_book *to, struct city_book *from)
{
    bool is_strict = to->m.is_strict;
    uint8_t key_bytes[BOOK_KEY_MAX + 1] = {0};
    struct span key = {key_bytes, 1}, next, value;
    membook_fini(&to->m);
    membook_init(&to->m);
    while (from->m.book.next(&from->m, key, true, &next, &value) == 0) {
        to->m.book.put(&to->m, next, value);
        memcpy(key_bytes, next.ptr, next.len);
        key = (struct span){key_bytes, next.len};
    }
    to->m.is_strict = is_strict;
    to->effects = from->effects;
    book_flushed(to);
}

#endif
