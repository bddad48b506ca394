/* SPDX-License-Identifier: MIT */
/* Is a flipped bit ever handed out as data?  LMDB itself would: it has no sums.
 * Below an open store: flips of values, sums and log entries; each must be found by the read, or be
 * in a stale copy; the scrubber finds those that nobody reads.
 * In closed files: any bit keeps the store from opening, the sums' own too.
 * After a kill there are no sums: any flip is found while opening, or hits nothing that is used;
 * LMDB may run into a spoiled page and end the process, which serves nothing either. */
#include <fcntl.h>
#include <sys/wait.h>

#include "place.h"

#define RECORDS 300
#define LEN     80
#define FLIPS   400
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define CLOSED_FLIPS 1000
#else
#define CLOSED_FLIPS 20000
#endif
#ifdef __SANITIZE_THREAD__ /* waits for a second at the end of each process */
#define KILLED_FLIPS 30
#else
#define KILLED_FLIPS (FLIPS * 2)
#endif

static struct span key_of(uint8_t out[24], uint64_t n)
{
    struct scribe w = scribe_of(out, 24);
    scribe_u64(&w, 1);
    scribe_u64(&w, n);
    scribe_u8(&w, 1);
    return (struct span){out, 17};
}

/* Bytes that stand nowhere else in the file. */
static struct span value_of(uint8_t out[LEN], uint64_t n)
{
    return place_bytes(out, LEN, n);
}

static uint8_t *read_file(const char *name, size_t *ret_len)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", place_dir, name);
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
    snprintf(path, sizeof path, "%s/%s", place_dir, name);
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
    struct store *s = place_open(&o);
    uint8_t *bytes = read_file(name, &len);
    int found = 0, wrong = 0;
    prng_init(&p, 77);
    for (int i = 0; i < FLIPS; i++) {
        uint64_t n = first + prng_below(&p, RECORDS + 1 - first);
        size_t at = find(bytes, len, n);
        OK(at > 16);
        at = at - 8 + prng_below(&p, LEN + 8);
        write_byte(name, at, bytes[at] ^ (uint8_t)(1 << prng_below(&p, 8)));
        int r = look(s, n);
        found += r == 1;
        wrong += r < 0;
        write_byte(name, at, bytes[at]);
    }
    printf("# %s: %d flips, %d found\n", name, FLIPS, found);
    EQ(wrong, 0);
    OK(found > FLIPS / 2); /* the flips do hit what is read */
    store_close(s);
    free(bytes);
}

static void test_flips_in_state_values(void)
{
    struct store_options o = place_options();
    make(&o);
    flip("state/data.mdb", look_state, 1);
}

static void test_flips_in_log_entries(void)
{
    struct store_options o = place_options();
    struct store *s = place_open(&o);
    uint64_t first = store_log_first(s);
    store_close(s);
    flip("log/data.mdb", look_log, first);
}

/* A record that LMDB hands out under another key: the sum is seeded by the key. */
static void test_flips_in_keys(void)
{
    struct store_options o = place_options();
    uint8_t key[24];
    size_t len;
    struct store *s = place_open(&o);
    uint8_t *bytes = read_file("state/data.mdb", &len);
    size_t at = find(bytes, len, 100) - 8 - 17;
    OK(memcmp(bytes + at, key_of(key, 100).ptr, 17) == 0);
    write_byte("state/data.mdb", at + 16, 2);
    const struct book *b = store_book(s);
    struct span next_key, value;
    OK(b->next(b->self, key_of(key, 100), false, &next_key, &value) < 0);
    write_byte("state/data.mdb", at + 16, 1);
    store_close(s);
    free(bytes);
}

/* -- closed files ------------------------------------------------------------------------------ */

static bool opens(const struct store_options *o)
{
    struct store *s;
    int r = store_open(o, &s, place_text);
    OK(r == 0 || r == STORE_E_DAMAGED || r == STORE_E_FORMAT);
    bool told = r != 0 || store_log_repaired(s);
    if (r == 0) {
        store_close(s);
    }
    return !told;
}

static void test_any_bit_of_a_closed_file(void)
{
    static const char *const names[] = {"state/data.mdb", "log/data.mdb", "state/sums", "log/sums"};
    struct store_options o = place_options();
    const char *wanted = getenv("FAIRSLOT_FLIPS");
    uint64_t flips = wanted ? strtoull(wanted, NULL, 10) : CLOSED_FLIPS;
    uint8_t *bytes[4];
    size_t len[4];
    struct prng p;
    uint64_t missed = 0;
    OK(opens(&o));
    for (int i = 0; i < 4; i++) {
        bytes[i] = read_file(names[i], &len[i]);
    }
    prng_init(&p, 4711);
    for (uint64_t i = 0; i < flips; i++) {
        size_t file = prng_below(&p, 4), at = prng_below(&p, len[file]);
        write_byte(names[file], at, bytes[file][at] ^ (uint8_t)(1 << prng_below(&p, 8)));
        missed += opens(&o);
        write_byte(names[file], at, bytes[file][at]);
    }
    printf("# %llu flips, %llu not found\n", (unsigned long long)flips, (unsigned long long)missed);
    EQ(missed, 0);
    OK(opens(&o)); /* and each bit is back */
    for (int i = 0; i < 4; i++) {
        free(bytes[i]);
    }
}

/* -- after a kill ------------------------------------------------------------------------------ */

enum { KILLED_FOUND = 10, KILLED_HARMLESS, KILLED_WRONG, KILLED_DIED };

/* In a child: LMDB may end it. */
static int look_all(const struct store_options *o, uint64_t log_first)
{
    struct store *s;
    pid_t pid = fork();
    if (pid == 0) {
        int verdict = KILLED_HARMLESS;
        if (store_open(o, &s, place_text) != 0) {
            _exit(KILLED_FOUND);
        }
        for (uint64_t n = 1; n <= RECORDS; n++) {
            bool bad = look_state(s, n) != 0 || (n >= log_first && look_log(s, n) != 0);
            verdict = bad ? KILLED_WRONG : verdict;
        }
        _exit(verdict);
    }
    int status;
    EQ(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : KILLED_DIED;
}

static void test_any_bit_after_a_kill(void)
{
    static const char *const names[] = {"state/data.mdb", "log/data.mdb"};
    struct store_options o = place_options();
    int found = 0, wrong = 0;
    struct prng p;
    struct store *s = place_open(&o);
    uint64_t log_first = store_log_first(s);
    store_close(s);
    for (int i = 0; i < 2; i++) {
        char path[400];
        snprintf(path, sizeof path, "%s/%s/sums", place_dir, i ? "log" : "state");
        EQ(unlink(path), 0);
    }
    prng_init(&p, 99);
    for (int i = 0; i < KILLED_FLIPS; i++) {
        size_t len, at;
        const char *name = names[prng_below(&p, 2)];
        uint8_t *bytes = read_file(name, &len);
        at = prng_below(&p, len);
        write_byte(name, at, bytes[at] ^ (uint8_t)(1 << prng_below(&p, 8)));
        int r = look_all(&o, log_first);
        if (r == KILLED_WRONG) {
            printf("# served: %s, byte %zu of page %zu\n", name, at % 4096, at / 4096);
        }
        found += r == KILLED_FOUND || r == KILLED_DIED;
        wrong += r == KILLED_WRONG;
        write_byte(name, at, bytes[at]);
        free(bytes);
    }
    printf("# %d flips, %d found, the others hit nothing in use\n", KILLED_FLIPS, found);
    EQ(wrong, 0);
    OK(found > KILLED_FLIPS / 20);
}

/* By a copy that ended early, or a file system that lost a file's end: found as damage, page by
 * page, and never an end without a word (a map has no pages behind a file's end). */
static void test_a_file_that_was_cut_short(void)
{
    static const char *const names[] = {"state/data.mdb", "log/data.mdb"};
    struct store_options o = place_options();
    struct store *s = place_open(&o);
    uint64_t log_first = store_log_first(s);
    store_close(s);
    for (int i = 0; i < 2; i++) {
        char path[400];
        size_t len;
        int found = 0, tried = 0;
        snprintf(path, sizeof path, "%s/%s", place_dir, names[i]);
        uint8_t *bytes = read_file(names[i], &len);
        for (size_t cut = 3 * 4096; cut < len; cut += 4096) {
            EQ(truncate(path, (off_t)(len - cut < 2 * 4096 ? 2 * 4096 : len - cut)), 0);
            int r = look_all(&o, log_first);
            OK(r != KILLED_WRONG);
            OK(r != KILLED_DIED);
            found += r == KILLED_FOUND;
            tried++;
            FILE *f = fopen(path, "r+b");
            OK(fwrite(bytes, 1, len, f) == len);
            fclose(f);
            EQ(truncate(path, (off_t)len), 0);
        }
        printf("# %s: %d of %d cuts found\n", names[i], found, tried);
        OK(found > tried / 2);
        free(bytes);
    }
}

/* -- the scrubber ------------------------------------------------------------------------------ */

static _Atomic int told_count;

static void told(void *user)
{
    told_count++;
}

/* The text of what the scrubber finds; NULL: nothing in `ms`. */
static const char *wait_damage(struct store *s, int ms)
{
    const char *text = NULL;
    for (int i = 0; i < ms / 10 && !(text = store_damaged(s)); i++) {
        usleep(10000);
    }
    return text;
}

static struct store_options scrub_options(void)
{
    struct store_options o = place_options();
    o.scrub_interval_us = 1000;
    o.damaged = told;
    return o;
}

/* Of every copy of value n in the file: the record, and those that are on free pages. */
static void flip_all(const char *name, const uint8_t *bytes, size_t len, uint64_t n, uint8_t mask)
{
    uint8_t want[LEN];
    struct span v = value_of(want, n);
    const uint8_t *at = bytes;
    while ((at = memmem(at, len - (size_t)(at - bytes), v.ptr, v.len))) {
        write_byte(name, (size_t)(at - bytes) + 5, at[5] ^ mask);
        at++;
    }
}

/* Below an open store, on a record that nobody asks for: found, told once, with the next step. */
static void scrub_flip(const char *name, uint64_t n)
{
    struct store_options o = scrub_options();
    size_t len;
    struct store *s = place_open(&o);
    OK(wait_damage(s, 200) == NULL);
    uint8_t *bytes = read_file(name, &len);
    told_count = 0;
    flip_all(name, bytes, len, n, 64);
    const char *text = wait_damage(s, 20000);
    OK(text && strstr(text, "not as it was written") && strstr(text, "restore a backup"));
    printf("# %s\n", text ? text : "nothing was found");
    for (int i = 0; i < 1000 && told_count == 0; i++) {
        usleep(10000);
    }
    EQ(told_count, 1);
    flip_all(name, bytes, len, n, 0);
    store_abandon(s);
    free(bytes);
}

static void test_the_scrubber_finds_a_flip(void)
{
    struct store_options o = place_options();
    struct store *s = place_open(&o);
    uint64_t last = store_log_last(s);
    store_close(s);
    scrub_flip("state/data.mdb", 150);
    scrub_flip("log/data.mdb", last);
}

/* Metas, too: of both the newer one is believed. */
static void test_the_scrubber_finds_a_wrong_meta(void)
{
    struct store_options o = scrub_options();
    size_t len;
    struct store *s = place_open(&o);
    uint8_t *bytes = read_file("state/data.mdb", &len);
    write_byte("state/data.mdb", 144 + 3, bytes[144 + 3] ^ 1); /* its transaction */
    OK(wait_damage(s, 20000) != NULL);
    write_byte("state/data.mdb", 144 + 3, bytes[144 + 3]);
    store_abandon(s);
    free(bytes);
}

/* While all is written, flushed and trimmed it finds nothing. */
static void test_the_scrubber_is_not_wrong(void)
{
    struct store_options o = scrub_options();
    o.flush_interval_us = 1000;
    o.scrub_interval_us = 1;
    struct store *s = place_open(&o);
    const struct book *b = store_book(s);
    uint8_t key[24], value[LEN];
    for (uint64_t i = 0; i < 600; i++) {
        uint64_t n = 1 + i * 7 % RECORDS;
        EQ(b->put(b->self, key_of(key, n), value_of(value, n)), 0);
        if (i % 5 == 0) {
            EQ(b->del(b->self, key_of(key, 1 + i % RECORDS)), 0);
        }
        place_entry(s, value_of(value, n));
        EQ(store_turn(s), 0);
    }
    OK(store_damaged(s) == NULL);
    store_close(s);
}

int main(void)
{
    place_make();
    TAP_RUN(test_flips_in_state_values);
    TAP_RUN(test_flips_in_log_entries);
    TAP_RUN(test_flips_in_keys);
    TAP_RUN(test_the_scrubber_finds_a_flip);
    TAP_RUN(test_the_scrubber_finds_a_wrong_meta);
    TAP_RUN(test_any_bit_of_a_closed_file);
    TAP_RUN(test_any_bit_after_a_kill);
    TAP_RUN(test_a_file_that_was_cut_short);
    TAP_RUN(test_the_scrubber_is_not_wrong);
    place_remove();
    return tap_done();
}
