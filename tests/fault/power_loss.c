/* SPDX-License-Identifier: MIT */
/* What may a disk hold after a power loss, and does the store keep its promises on each of them?
 *
 *   power_loss JOURNAL DIR IMAGES [SEED]      DIR is made for the images; a tmpfs is fast
 *
 *   journal -> at every point: synced bytes + any part of the writes not yet synced -> image
 *   image -> store_open() -> every acknowledged entry and vote is there, the state is exactly what
 *            the entries up to its applied index make, the rest can be replayed
 *
 * For: a missing or misplaced fsync, which no kill -9 can show.  One pass over the journal without
 * any unsynced write, one with all, then passes with random subsets, torn at 512 bytes, until there
 * were IMAGES of them.
 * Exit: 0 all images good, 1 a promise broken (the first ones are printed), 2 usage. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "journal.h"
#include "workload.h"

#define SECTOR      512
#define FILE_MAX    (8 << 20)
#define PENDING_MAX 4096
#define ENTRIES_MAX 8192
#define SHOWN_MAX   5

struct pending {
    uint64_t offset;
    uint64_t len;
    const uint8_t *bytes; /* in the journal */
};

struct file {
    uint8_t synced[FILE_MAX]; /* what is on disk for sure */
    uint64_t synced_len;
    uint8_t image[FILE_MAX];
    uint64_t image_len;
    struct pending pending[PENDING_MAX]; /* written, not yet synced, oldest first */
    unsigned pending_count;
    int fd; /* of the image's data.mdb */
};

/* How an image treats a pending write. */
enum mode { MODE_NONE, MODE_ALL, MODE_ANY };

static struct file files[JOURNAL_FILES];
static uint16_t expected[ENTRIES_MAX][WORKLOAD_KEYS]; /* entry that wrote the key; 0: no record */
static uint64_t acked_entry, acked_vote;
static bool ready;
static uint64_t image_count, broken_count;
static char image_dir[4000];

/* -- the journal ------------------------------------------------------------------------------- */

static uint8_t *load(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "rb");
    CHECK(f);
    fseek(f, 0, SEEK_END);
    *ret_len = (size_t)ftell(f);
    rewind(f);
    uint8_t *bytes = malloc(*ret_len + 1);
    CHECK(bytes);
    CHECK(fread(bytes, 1, *ret_len, f) == *ret_len);
    fclose(f);
    return bytes;
}

static void paste(uint8_t *to, uint64_t *len, uint64_t offset, const uint8_t *bytes, uint64_t n)
{
    CHECK(offset + n <= FILE_MAX);
    if (offset > *len) {
        memset(to + *len, 0, offset - *len);
    }
    memcpy(to + offset, bytes, n);
    *len = offset + n > *len ? offset + n : *len;
}

static void settle(struct file *f, unsigned i)
{
    struct pending *p = &f->pending[i];
    paste(f->synced, &f->synced_len, p->offset, p->bytes, p->len);
}

static void file_sync(struct file *f)
{
    for (unsigned i = 0; i < f->pending_count; i++) {
        settle(f, i);
    }
    f->pending_count = 0;
}

/* A write through O_DSYNC: the newest pending one at that place.  Older ones may not overlap it. */
static void file_sync_write(struct file *f, uint64_t offset)
{
    CHECK(f->pending_count > 0);
    unsigned last = f->pending_count - 1;
    CHECK(f->pending[last].offset == offset);
    for (unsigned i = 0; i < last; i++) {
        const struct pending *a = &f->pending[i], *b = &f->pending[last];
        CHECK(a->offset + a->len <= b->offset || b->offset + b->len <= a->offset);
    }
    settle(f, last);
    f->pending_count--;
}

static void take_ack(const uint8_t *bytes, uint64_t len)
{
    char line[64] = {0}, what[32];
    unsigned long long number;
    CHECK(len < sizeof line);
    memcpy(line, bytes, len);
    CHECK(sscanf(line, "%31s %llu", what, &number) == 2);
    ready = true;
    if (strcmp(what, "entry") == 0) {
        CHECK(number < ENTRIES_MAX);
        acked_entry = number;
    } else if (strcmp(what, "vote") == 0) {
        acked_vote = number;
    }
}

static void take_record(const struct journal_record *r, const uint8_t *bytes)
{
    struct file *f = r->file < JOURNAL_FILES ? &files[r->file] : NULL;
    switch (r->kind) {
    case JOURNAL_WRITE:
        CHECK(f->pending_count < PENDING_MAX);
        f->pending[f->pending_count++] =
            (struct pending){.offset = r->offset, .len = r->len, .bytes = bytes};
        break;
    case JOURNAL_SYNC:
        file_sync(f);
        break;
    case JOURNAL_SYNC_WRITE:
        file_sync_write(f, r->offset);
        break;
    case JOURNAL_ACK:
        take_ack(bytes, r->len);
        break;
    default:
        fprintf(stderr, "power_loss: the driver made a call (%.*s) that this cannot see through\n",
                (int)r->len, r->len ? (const char *)bytes : "truncate");
        exit(1);
    }
}

/* -- an image ---------------------------------------------------------------------------------- */

/* Any set of sectors of one write, often a prefix or nothing, as disks do it. */
static void paste_torn(struct file *f, const struct pending *p, struct prng *random)
{
    uint64_t how = prng_below(random, 4);
    uint64_t sectors = (p->len + SECTOR - 1) / SECTOR;
    uint64_t prefix = prng_below(random, sectors + 1);
    for (uint64_t i = 0; i < sectors; i++) {
        bool here = how == 0 ? true : how == 1 ? false : how == 2 ? i < prefix
                                                                : prng_below(random, 2);
        uint64_t n = p->len - i * SECTOR < SECTOR ? p->len - i * SECTOR : SECTOR;
        if (here) {
            paste(f->image, &f->image_len, p->offset + i * SECTOR, p->bytes + i * SECTOR, n);
        }
    }
}

static void build(struct file *f, enum mode mode, struct prng *random)
{
    memcpy(f->image, f->synced, f->synced_len);
    f->image_len = f->synced_len;
    for (unsigned i = 0; i < f->pending_count && mode != MODE_NONE; i++) {
        const struct pending *p = &f->pending[i];
        if (mode == MODE_ALL) {
            paste(f->image, &f->image_len, p->offset, p->bytes, p->len);
        } else {
            paste_torn(f, p, random);
        }
    }
    CHECK(ftruncate(f->fd, (off_t)f->image_len) == 0);
    CHECK(pwrite(f->fd, f->image, f->image_len, 0) == (ssize_t)f->image_len);
}

/* -- the promises ------------------------------------------------------------------------------ */

static void expect_prepare(void)
{
    for (uint64_t i = 1; i < ENTRIES_MAX; i++) {
        memcpy(expected[i], expected[i - 1], sizeof expected[i]);
        expected[i][workload_put(i)] = (uint16_t)i;
        if (workload_del(i) != WORKLOAD_KEYS) {
            expected[i][workload_del(i)] = 0;
        }
    }
}

static const char *check_log(struct store *s)
{
    uint8_t want[WORKLOAD_BYTES];
    struct span entry;
    uint64_t term, vote, applied = store_applied_index(s), first = store_log_first(s);
    if (store_log_last(s) < acked_entry) {
        return "an acknowledged entry is lost";
    }
    store_log_vote(s, &term, &vote);
    if (term < acked_vote || (term && vote != 1 + term % 3)) {
        return "an acknowledged vote is lost";
    }
    if (first > applied + 1) {
        return "the log does not reach back to the state";
    }
    for (uint64_t i = first; i <= store_log_last(s); i++) {
        if (store_log_read(s, i, &term, &entry) != 0) {
            return "an entry cannot be read";
        }
        if (i <= acked_entry && term != WORKLOAD_TERM) {
            return "a dropped entry stands where an acknowledged one was";
        }
        if (!span_equal(entry, workload_entry(i, term, want))) {
            return "an entry has other bytes";
        }
    }
    return NULL;
}

/* The records are what the entries up to `index` make, no more, no less. */
static const char *check_state(struct store *s, uint64_t index)
{
    const struct book *b = store_book(s);
    uint8_t key[24], want[WORKLOAD_BYTES];
    struct span value, next_key, from = {0};
    uint64_t here = 0, walked = 0;
    for (uint64_t k = 0; k < WORKLOAD_KEYS; k++) {
        uint16_t writer = expected[index][k];
        int r = b->get(b->self, workload_key(k, key), &value);
        if (r != (writer == 0)) {
            return "a record is missing, surplus or damaged";
        }
        if (writer && !span_equal(value, workload_entry(writer, WORKLOAD_TERM, want))) {
            return "a record has other bytes";
        }
        here += writer != 0;
    }
    while (b->next(b->self, from, walked > 0, &next_key, &value) == 0) {
        from = next_key;
        walked++;
    }
    return walked == here ? NULL : "the walk has other records";
}

static const char *check_replay(struct store *s)
{
    struct span entry;
    uint64_t term;
    for (uint64_t i = store_applied_index(s) + 1; i <= acked_entry; i++) {
        if (store_log_read(s, i, &term, &entry) != 0) {
            return "an entry to replay is missing";
        }
        workload_apply(s, i, term, entry);
    }
    return store_applied_index(s) < ENTRIES_MAX ? check_state(s, store_applied_index(s)) : NULL;
}

static const char *check(struct store *s)
{
    uint64_t applied = store_applied_index(s);
    if (applied > store_log_last(s) || applied >= ENTRIES_MAX) {
        return "the state is ahead of the log";
    }
    const char *broken = check_log(s);
    if (!broken) {
        broken = check_state(s, applied);
    }
    return broken ? broken : check_replay(s);
}

static void one_image(uint64_t point, enum mode mode, struct prng *random)
{
    char text[200] = "";
    struct store *s = NULL;
    struct store_options o = workload_options(image_dir);
    o.flush_interval_us = HOUR_US;
    for (int i = 0; i < JOURNAL_FILES; i++) {
        build(&files[i], mode, random);
    }
    int r = store_open(&o, &s, text);
    const char *broken = r > 0 ? text : r < 0 ? strerror(-r) : check(s);
    image_count++;
    if (broken && ++broken_count <= SHOWN_MAX) {
        printf("# image %llu, journal record %llu, mode %d, acked %llu: %s\n",
               (unsigned long long)image_count, (unsigned long long)point, mode,
               (unsigned long long)acked_entry, broken);
    }
    if (r == 0) {
        store_abandon(s);
    }
}

/* -- passes ------------------------------------------------------------------------------------ */

/* Does the record make another image of this mode than the one before it? */
static bool worth(uint32_t kind, enum mode mode)
{
    switch (mode) {
    case MODE_NONE:
        return kind != JOURNAL_WRITE;
    case MODE_ALL:
        return kind == JOURNAL_WRITE || kind == JOURNAL_ACK;
    default:
        return files[JOURNAL_LOG].pending_count || files[JOURNAL_STATE].pending_count;
    }
}

static void pass(const uint8_t *journal, size_t len, enum mode mode, struct prng *random,
                 uint64_t images_max)
{
    uint64_t point = 0;
    for (int i = 0; i < JOURNAL_FILES; i++) {
        files[i].synced_len = 0;
        files[i].pending_count = 0;
    }
    acked_entry = acked_vote = 0;
    ready = false;
    for (size_t at = 0; at < len && image_count < images_max; point++) {
        struct journal_record r;
        CHECK(len - at >= sizeof r);
        memcpy(&r, journal + at, sizeof r);
        at += sizeof r;
        take_record(&r, journal + at);
        at += r.len;
        if (ready && worth(r.kind, mode)) {
            one_image(point, mode, random);
        }
    }
}

static void open_images(const char *dir)
{
    static const char *const names[JOURNAL_FILES] = {"log", "state"};
    char path[4096];
    snprintf(image_dir, sizeof image_dir, "%s", dir);
    CHECK(mkdir(dir, 0700) == 0 || errno == EEXIST);
    for (int i = 0; i < JOURNAL_FILES; i++) {
        snprintf(path, sizeof path, "%s/%s", image_dir, names[i]);
        CHECK(mkdir(path, 0700) == 0 || errno == EEXIST);
        snprintf(path, sizeof path, "%s/%s/data.mdb", image_dir, names[i]);
        files[i].fd = open(path, O_RDWR | O_CREAT, 0600);
        CHECK(files[i].fd >= 0);
    }
}

int main(int argc, char **argv)
{
    size_t len;
    struct prng random;
    if (argc < 4) {
        fprintf(stderr, "usage: power_loss JOURNAL DIR IMAGES [SEED]\n");
        return 2;
    }
    uint64_t wanted = strtoull(argv[3], NULL, 10);
    uint64_t seed = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
    uint8_t *journal = load(argv[1], &len);
    open_images(argv[2]);
    expect_prepare();
    prng_init(&random, seed);
    int64_t start = clock_mono_us();
    pass(journal, len, MODE_NONE, &random, wanted);
    pass(journal, len, MODE_ALL, &random, wanted);
    while (image_count < wanted && image_count > 0) {
        pass(journal, len, MODE_ANY, &random, wanted);
    }
    printf("# %llu images, %llu broken, %.0f images/s, %.1f MB of journal, seed %llu\n",
           (unsigned long long)image_count, (unsigned long long)broken_count,
           (double)image_count * 1e6 / (double)(clock_mono_us() - start), (double)len / 1e6,
           (unsigned long long)seed);
    free(journal);
    return broken_count || image_count < wanted ? 1 : 0;
}
