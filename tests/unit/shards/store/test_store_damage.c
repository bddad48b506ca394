/* SPDX-License-Identifier: MIT */
/* Is a flipped bit in a closed file ever handed out as data?  LMDB itself would: it has no sums.
 * Flips hit values, their sums and log entries; each must be found, or be in a stale copy. */
#include <fcntl.h>

#include "place.h"

#define RECORDS 300
#define LEN     80
#define FLIPS   400

static struct span key_of(uint8_t out[24], uint64_t n)
{
    struct writer w = writer_of(out, 24);
    writer_u64(&w, 1);
    writer_u64(&w, n);
    writer_u8(&w, 1);
    return (struct span){out, 17};
}

/* Bytes that stand nowhere else in the file. */
static struct span value_of(uint8_t out[LEN], uint64_t n)
{
    struct prng p;
    prng_init(&p, n + 1);
    for (int i = 0; i < LEN; i++) {
        out[i] = (uint8_t)prng_next(&p);
    }
    return (struct span){out, LEN};
}

static uint8_t *read_file(const char *name, size_t *ret_len)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s/data.mdb", place_dir, name);
    FILE *f = fopen(path, "rb");
    fseek(f, 0, SEEK_END);
    *ret_len = (size_t)ftell(f);
    rewind(f);
    uint8_t *bytes = malloc(*ret_len);
    OK(fread(bytes, 1, *ret_len, f) == *ret_len);
    fclose(f);
    return bytes;
}

static void write_byte(const char *name, size_t at, uint8_t byte)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s/data.mdb", place_dir, name);
    int fd = open(path, O_WRONLY);
    EQ(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

/* Where value n stands, the last copy in the file; its sum is the 8 bytes before it. */
static size_t find(const uint8_t *bytes, size_t len, uint64_t n)
{
    uint8_t want[LEN];
    struct span v = value_of(want, n);
    const uint8_t *at = bytes, *found = NULL;
    while ((at = memmem(at, len - (size_t)(at - bytes), v.ptr, v.len))) {
        found = at++;
    }
    return found ? (size_t)(found - bytes) : 0;
}

static void make(const struct store_options *o)
{
    struct store *s = place_open(o);
    const struct book *b = store_book(s);
    uint8_t key[24], value[LEN];
    for (uint64_t n = 1; n <= RECORDS; n++) {
        EQ(b->put(b->self, key_of(key, n), value_of(value, n)), 0);
        place_entry(s, value_of(value, n));
    }
    store_close(s);
}

/* 1: the damage was found; 0: the value is right; -1: wrong data. */
static int look_state(struct store *s, uint64_t n)
{
    const struct book *b = store_book(s);
    uint8_t key[24], want[LEN];
    struct span value, next_key, next_value;
    int r = b->get(b->self, key_of(key, n), &value);
    int by_next = b->next(b->self, key_of(key, n), false, &next_key, &next_value);
    if (r < 0 && by_next < 0) {
        return 1;
    }
    bool right = r == 0 && by_next == 0 && span_equal(value, value_of(want, n)) &&
                 span_equal(next_value, value_of(want, n));
    return right ? 0 : -1;
}

static int look_log(struct store *s, uint64_t n)
{
    uint8_t want[LEN];
    struct span entry;
    uint64_t term;
    int r = store_log_read(s, n, &term, &entry);
    if (r == STORE_E_DAMAGED) {
        return 1;
    }
    return r == 0 && term == 1 && span_equal(entry, value_of(want, n)) ? 0 : -1;
}

static void flip(const char *name, int (*look)(struct store *s, uint64_t n), uint64_t first)
{
    struct store_options o = place_options();
    struct prng p;
    size_t len;
    uint8_t *bytes = read_file(name, &len);
    int found = 0, wrong = 0;
    prng_init(&p, 77);
    for (int i = 0; i < FLIPS; i++) {
        uint64_t n = first + prng_below(&p, RECORDS + 1 - first);
        size_t at = find(bytes, len, n);
        OK(at > 16);
        at = at - 8 + prng_below(&p, LEN + 8);
        write_byte(name, at, bytes[at] ^ (uint8_t)(1 << prng_below(&p, 8)));
        struct store *s = place_open(&o);
        int r = look(s, n);
        found += r == 1;
        wrong += r < 0;
        store_close(s);
        write_byte(name, at, bytes[at]);
    }
    printf("# %s: %d flips, %d found\n", name, FLIPS, found);
    EQ(wrong, 0);
    OK(found > FLIPS / 2); /* the flips do hit what is read */
    free(bytes);
}

static void test_flips_in_state_values(void)
{
    struct store_options o = place_options();
    make(&o);
    flip("state", look_state, 1);
}

static void test_flips_in_log_entries(void)
{
    struct store_options o = place_options();
    struct store *s = place_open(&o);
    uint64_t first = store_log_first(s);
    store_close(s);
    flip("log", look_log, first);
}

/* A record that LMDB hands out under another key: the sum is seeded by the key. */
static void test_flips_in_keys(void)
{
    struct store_options o = place_options();
    uint8_t key[24];
    size_t len;
    uint8_t *bytes = read_file("state", &len);
    size_t at = find(bytes, len, 100) - 8 - 17;
    OK(memcmp(bytes + at, key_of(key, 100).ptr, 17) == 0);
    write_byte("state", at + 16, 2);
    struct store *s = place_open(&o);
    const struct book *b = store_book(s);
    struct span next_key, value;
    OK(b->next(b->self, key_of(key, 100), false, &next_key, &value) < 0);
    store_close(s);
    write_byte("state", at + 16, 1);
    free(bytes);
}

int main(void)
{
    place_make();
    TAP_RUN(test_flips_in_state_values);
    TAP_RUN(test_flips_in_log_entries);
    TAP_RUN(test_flips_in_keys);
    place_remove();
    return tap_done();
}
