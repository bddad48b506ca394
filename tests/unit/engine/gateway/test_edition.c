/* SPDX-License-Identifier: MIT */
/* Editions: what is told to whom.  A pool of a few thousand slots changes at random; readers who
 * keep up, who are slow, and who come late all come to know the same pool, by parts of a bounded
 * size. */
#include "base/limits.h"
#include "base/prng.h"
#include "base/types.h"
#include "gateway/edition.h"
#include "gateway/pb.h"
#include "tests/lib/tap.h"

#define SLOTS   3000
#define READERS 40

static uint8_t state[SLOTS]; /* of each slot now; 0: gone */
static uint8_t buffer[EDITION_BUFFER];

/* Slot{name, state}, as the shard would pack it. */
static size_t slot_bytes(int i, uint8_t *out)
{
    char name[32];
    struct scribe w = scribe_of(out, 64);
    snprintf(name, sizeof name, "pools/p/slots/s%06d-a", i);
    pb_put_bytes(&w, 1, span_of(name));
    pb_put_uint(&w, 2, state[i]);
    return scribe_len(&w);
}

/* A whole list, in pages of 1,000. */
static struct edition *edition_now(const struct edition *before)
{
    static uint8_t page[128 * 1024];
    struct edition *e = edition_new();
    struct span token;
    for (int first = 0; first < SLOTS; first += 1000) {
        struct scribe w = scribe_of(page, sizeof page);
        for (int i = first; i < first + 1000 && i < SLOTS; i++) {
            uint8_t slot[64];
            if (state[i]) {
                pb_put_bytes(&w, 1, (struct span){slot, slot_bytes(i, slot)});
            }
        }
        pb_put_bytes(&w, 2, span_of("next"));
        pb_put_bytes(&w, 3, span_of("\x08\x01"));
        EQ(edition_page(e, (struct span){page, scribe_len(&w)}, &token), 0);
        OK(span_equal(token, span_of("next")));
    }
    EQ(edition_follow(e, before), 0);
    return e;
}

/* What one reader knows. */
struct reader_of_slots {
    bool keeps_up;
    uint64_t seen;
    uint8_t state[SLOTS];
    size_t told; /* slots */
};

static void hear(struct reader_of_slots *who, struct span slot)
{
    struct reader r = reader_of(slot.ptr, slot.len);
    struct pb_field f;
    int i = -1;
    while (pb_next(&r, &f)) {
        if (f.number == 1) {
            i = atoi((const char *)f.bytes.ptr + sizeof "pools/p/slots/s" - 1);
        } else if (f.number == 2 && i >= 0) {
            /* Nothing is told twice to who keeps up; for the others it may have come back. */
            OK(!who->keeps_up || who->state[i] != f.value);
            who->state[i] = (uint8_t)f.value;
            who->told++;
        }
    }
}

/* Reads an edition to its end; how many parts. */
static size_t read_edition(struct reader_of_slots *who, const struct edition *e)
{
    size_t at = 0, parts = 0;
    bool is_complete = false;
    while (!is_complete && parts < 100) {
        struct span part = edition_part(e, who->seen, &at, buffer, &is_complete);
        struct reader r = reader_of(part.ptr, part.len);
        struct pb_field f;
        size_t slots = 0;
        bool says_complete = false, has_time = false;
        while (pb_next(&r, &f)) {
            if (f.number == 1) {
                hear(who, f.bytes);
                slots++;
            }
            has_time = has_time || f.number == 2;
            says_complete = says_complete || (f.number == 3 && f.value == 1);
        }
        OK(!r.bad && has_time && slots <= EDITION_PART_SLOTS);
        EQ(says_complete, is_complete);
        parts++;
    }
    who->seen = e->number;
    return parts;
}

static bool knows(const struct reader_of_slots *who)
{
    for (int i = 0; i < SLOTS; i++) {
        if (state[i] && who->state[i] != state[i]) {
            return false;
        }
    }
    return true;
}

static void test_everybody_comes_to_know(void)
{
    static struct reader_of_slots readers[READERS];
    struct edition *e = NULL;
    struct prng p;
    prng_init(&p, 11);
    memset(state, 1, sizeof state);
    readers[0].keeps_up = true;
    for (int round = 0; round < 200; round++) {
        uint64_t changes = prng_below(&p, 3) ? prng_below(&p, 40) : 0;
        for (; changes > 0; changes--) {
            uint64_t i = (uint64_t)round + prng_below(&p, SLOTS - (uint64_t)round);
            state[i] = (uint8_t)(1 + prng_below(&p, 5));
        }
        state[round] = 0; /* it has started */
        struct edition *next = edition_now(e);
        edition_drop(e);
        e = next;
        for (int i = 0; i < READERS; i++) {
            if (i == 0 || prng_below(&p, (uint64_t)i + 1) == 0) {
                bool is_new = edition_has(e, readers[i].seen);
                size_t told = readers[i].told;
                read_edition(&readers[i], e);
                EQ(readers[i].told > told, is_new);
                OK(knows(&readers[i]));
            }
        }
    }
    printf("# %zu slots told to who keeps up, %zu to the slowest\n", readers[0].told,
           readers[READERS - 1].told);
    edition_drop(e);
}

static void test_parts_are_bounded(void)
{
    static struct reader_of_slots newcomer;
    memset(&newcomer, 0, sizeof newcomer);
    memset(state, 2, sizeof state);
    struct edition *e = edition_now(NULL);
    EQ(read_edition(&newcomer, e), SLOTS / EDITION_PART_SLOTS);
    EQ(newcomer.told, SLOTS);
    EQ(read_edition(&newcomer, e), 1); /* nothing new: the time alone */
    edition_drop(e);
}

static void test_no_slot_at_all(void)
{
    static struct reader_of_slots newcomer;
    memset(&newcomer, 0, sizeof newcomer);
    memset(state, 0, sizeof state);
    struct edition *e = edition_now(NULL);
    OK(edition_has(e, 0)); /* that there is nothing is worth saying, once */
    EQ(read_edition(&newcomer, e), 1);
    OK(!edition_has(e, e->number));
    edition_drop(e);
}

static void test_bad_pages(void)
{
    static uint8_t big[2 * EDITION_SLOT_MAX];
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {{"\x0a", 1}, {"\x0a\x05", 2}, {"\x0a\x02\x0a\x09", 4}, {"\x0a\x00", 2}, {"\x07", 1}};
    struct span token;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct edition *e = edition_new();
        EQ(edition_page(e, (struct span){(const uint8_t *)bad[i].bytes, bad[i].len}, &token),
           EDITION_E_DAMAGED);
        edition_drop(e);
    }
    struct edition *e = edition_new();
    struct scribe w = scribe_of(big, sizeof big);
    pb_put_head(&w, 1, EDITION_SLOT_MAX + 1); /* a slot with a name of that many bytes */
    pb_put_head(&w, 1, EDITION_SLOT_MAX - 2);
    EQ(edition_page(e, (struct span){big, (size_t)(w.at - big) + EDITION_SLOT_MAX - 2}, &token),
       EDITION_E_DAMAGED);
    uint8_t slot[64], page[80];
    memset(state, 1, sizeof state);
    w = scribe_of(page, sizeof page);
    pb_put_bytes(&w, 1, (struct span){slot, slot_bytes(1, slot)});
    struct span one = {page, scribe_len(&w)};
    for (int i = 0; i < WATCH_SLOTS_MAX; i++) {
        EQ(edition_page(e, one, &token), 0);
    }
    EQ(edition_page(e, one, &token), EDITION_E_LARGE);
    edition_drop(e);
    edition_drop(NULL);
}

int main(void)
{
    TAP_RUN(test_everybody_comes_to_know);
    TAP_RUN(test_parts_are_bounded);
    TAP_RUN(test_no_slot_at_all);
    TAP_RUN(test_bad_pages);
    return tap_done();
}
