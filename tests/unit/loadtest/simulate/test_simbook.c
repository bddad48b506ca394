/* SPDX-License-Identifier: MIT */
/* Goal: the book of the simulator and the book that tests trust say the same, whatever is done. */
#include "simulate/simbook.h"

#include "base/prng.h"
#include "tests/lib/membook.h"
#include "tests/lib/tap.h"

static struct span key_of(struct prng *p, uint8_t bytes[64])
{
    uint64_t space = prng_below(p, 3) << 56, position = prng_below(p, 400) << 40;
    size_t len = 17 + prng_below(p, 3);
    memset(bytes, 0, 64);
    memcpy(bytes, &space, 8);
    memcpy(bytes + 8, &position, 8);
    bytes[16] = (uint8_t)prng_below(p, 4);
    bytes[17] = (uint8_t)prng_below(p, 4);
    return (struct span){bytes, len};
}

static bool same(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static void walk(struct simbook *s, struct membook *m)
{
    struct span a = {(const uint8_t *)"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16}, b = a, va, vb;
    size_t n = 0;
    for (;;) {
        int ra = s->book.next(s, a, n > 0, &a, &va), rb = m->book.next(m, b, n > 0, &b, &vb);
        EQ(ra, rb);
        if (ra || rb) {
            break;
        }
        OK(same(a, b) && same(va, vb));
        n++;
    }
    EQ(n, s->count);
    EQ(n, m->count);
}

static void test_twins(void)
{
    struct simbook s;
    struct membook m;
    struct prng p;
    uint8_t bytes[64], value[300];
    prng_init(&p, 8);
    EQ(simbook_init(&s), 0);
    membook_init(&m);
    for (int i = 0; i < 200000; i++) {
        struct span key = key_of(&p, bytes), a = {0}, b = {0}, ka, kb;
        struct span v = {value, prng_below(&p, sizeof value)};
        memset(value, i, sizeof value);
        bool is_after = prng_below(&p, 2);
        switch (prng_below(&p, 5)) {
        case 0:
        case 1:
            EQ(s.book.put(&s, key, v), m.book.put(&m, key, v));
            break;
        case 2:
            EQ(s.book.del(&s, key), m.book.del(&m, key));
            break;
        case 3:
            EQ(s.book.get(&s, key, &a), m.book.get(&m, key, &b));
            OK(same(a, b));
            break;
        default:
            if (s.book.next(&s, key, is_after, &ka, &a) == 0) {
                EQ(m.book.next(&m, key, is_after, &kb, &b), 0);
                OK(same(ka, kb) && same(a, b));
            }
        }
        if (i % 20000 == 0) {
            walk(&s, &m);
        }
    }
    walk(&s, &m);
    EQ(s.bytes, m.bytes);
    simbook_fini(&s);
    membook_fini(&m);
}

/* In order, as a release writes its ranks: full leaves, and all of it there. */
static void test_in_order(void)
{
    struct simbook s;
    EQ(simbook_init(&s), 0);
    for (uint32_t i = 0; i < 300000; i++) {
        uint8_t key[17] = {0}, v = (uint8_t)i;
        uint32_t big = __builtin_bswap32(i);
        memcpy(key + 12, &big, 4);
        EQ(s.book.put(&s, (struct span){key, 17}, (struct span){&v, 1}), 0);
    }
    EQ(s.count, 300000);
    simbook_fini(&s);
}

int main(void)
{
    TAP_RUN(test_twins);
    TAP_RUN(test_in_order);
    return tap_done();
}
