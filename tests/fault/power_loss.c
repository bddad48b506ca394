/* SPDX-License-Identifier: MIT */
/* What may a disk hold after a power loss, and does the store keep its promises on each of them?
 *
 *   power_loss JOURNAL DIR IMAGES [SEED]      DIR is made for the images; a tmpfs is fast
 *
 *   journal -> at every point: synced bytes + any part of what is not yet synced -> image
 *   image -> opened as store_open() does -> every acknowledged entry and vote is there, the state
 *            is exactly what the entries up to its applied index make, the rest can be replayed
 *
 * For: a missing or misplaced fsync, which no kill -9 can show.  One pass over the journal without
 * anything unsynced (a crash at each point, all that was promised and nothing more), one with all
 * (a killed process), one with every subset of few pending writes, then passes with random subsets,
 * torn at 512 bytes, until there were IMAGES different ones.
 * The state is judged by what opening itself recomputes from the records: their number and the sum
 * of their checksums.  Every 64th image is also opened by store_open(), read record by record,
 * replayed, and read again: it must come to the same; then it goes on, is left as by a kill, and
 * what it wrote meanwhile must be there, too.
 * Exit: 0 all images good, 1 a promise broken (the first ones are printed), 2 usage. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "disk.h"
#include "store/opening.h"
#include "workload.h"

#define ENTRIES_MAX  8192
#define SHOWN_MAX    5
#define WHOLE_EVERY  64 /* images that are looked at record by record */
#define SUBSET_MAX   5  /* pending writes whose subsets are all made */
#define PASSES_MAX   2000

/* What the entries up to one of them make. */
struct expected {
    uint16_t writer[WORKLOAD_KEYS]; /* entry that wrote the key; 0: no record */
    uint64_t count, digest, effects;
};

static struct expected expected[ENTRIES_MAX];
static uint8_t entry_bytes[ENTRIES_MAX][WORKLOAD_BYTES];
static size_t entry_lens[ENTRIES_MAX];
static uint64_t acked_entry; /* the latest that was promised */
static uint64_t acked_log;   /* up to where the log was promised: behind a received state it lags */
static uint64_t acked_vote;
static bool ready;
static uint64_t image_count, whole_count, broken_count, point_count;
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
        acked_entry = number > acked_entry ? number : acked_entry;
        acked_log = number;
    } else if (strcmp(what, "vote") == 0) {
        acked_vote = number;
    }
}

static void take_record(const struct journal_record *r, const uint8_t *bytes)
{
    if (!disk_take(r, bytes)) {
        fprintf(stderr, "power_loss: the driver made a call (%.*s) that this cannot see through\n",
                (int)r->len, r->len ? (const char *)bytes : "truncate");
        exit(1);
    }
    if (r->kind == JOURNAL_ACK) {
        take_ack(bytes, r->len);
    }
}

/* -- the promises ------------------------------------------------------------------------------ */

static struct span entry_of(uint64_t index)
{
    return (struct span){entry_bytes[index], entry_lens[index]};
}

static void expect_put(struct expected *e, uint64_t k, uint64_t index, uint64_t sums[])
{
    uint8_t key[24], stored[RECORD_SUM_SIZE + WORKLOAD_BYTES];
    struct span value = entry_of(index);
    workload_key(k, key);
    struct span key_span = workload_key(k, key);
    record_value_write(key_span, value, stored);
    e->count += e->writer[k] == 0;
    e->digest -= e->writer[k] ? sums[k] : 0;
    sums[k] = record_value_sum((struct span){stored, RECORD_SUM_SIZE + value.len});
    e->digest += sums[k];
    e->effects = record_effect(e->effects, key_span, value);
    e->writer[k] = (uint16_t)index;
}

static void expect_del(struct expected *e, uint64_t k, const uint64_t sums[])
{
    uint8_t key[24];
    e->effects = record_effect(e->effects, workload_key(k, key), (struct span){0});
    e->count -= e->writer[k] != 0;
    e->digest -= e->writer[k] ? sums[k] : 0;
    e->writer[k] = 0;
}

static void expect_prepare(void)
{
    static uint64_t sums[WORKLOAD_KEYS];
    for (uint64_t i = 1; i < ENTRIES_MAX; i++) {
        entry_lens[i] = workload_entry(i, WORKLOAD_TERM, entry_bytes[i]).len;
        expected[i] = expected[i - 1];
        expect_put(&expected[i], workload_put(i), i, sums);
        if (workload_del(i) != WORKLOAD_KEYS) {
            expect_del(&expected[i], workload_del(i), sums);
        }
    }
}

static const char *check_entries(struct logenv *log, uint64_t applied)
{
    uint64_t term;
    struct span entry;
    uint8_t junk[WORKLOAD_BYTES];
    for (uint64_t i = logenv_first(log); i <= logenv_last(log); i++) {
        if (i >= ENTRIES_MAX || logenv_read(log, i, &term, &entry) != 0) {
            return "an entry cannot be read";
        }
        if (i <= acked_log && term != WORKLOAD_TERM) {
            return "a dropped entry stands where an acknowledged one was";
        }
        if (!span_equal(entry, term == WORKLOAD_TERM ? entry_of(i)
                                                     : workload_entry(i, term, junk))) {
            return "an entry has other bytes";
        }
    }
    return logenv_last(log) < acked_entry && applied < acked_entry
               ? "an acknowledged entry is lost" : NULL;
}

static const char *check_log(const struct opening *o)
{
    const struct record_log_meta *meta = logenv_meta(o->log);
    uint64_t applied = stateenv_meta(o->state)->applied_index;
    if (meta->term < acked_vote || (meta->term && meta->vote != 1 + meta->term % 3)) {
        return "an acknowledged vote is lost";
    }
    if (logenv_first(o->log) > applied + 1) {
        return "the log does not reach back to the state";
    }
    return check_entries(o->log, applied);
}

static const char *check_tally(const struct opening *o)
{
    const struct record_state_meta *meta = stateenv_meta(o->state);
    if (meta->applied_index >= ENTRIES_MAX) {
        return "the state is ahead of everything";
    }
    const struct expected *e = &expected[meta->applied_index];
    if (meta->count != e->count || meta->digest != e->digest) {
        return "the state has other records than its entries make";
    }
    return meta->effects == e->effects ? NULL : "the state has another hash than its entries make";
}

/* The opening of store_open(), without its thread and its overlays.  The log goes to `last` or
 * further. */
static const char *check_opening(const struct store_options *options, uint64_t last, char *text)
{
    struct opening o = {.lock_fd = -1};
    int r = opening_run(options, &o, text);
    const char *broken = r > 0 ? text : r < 0 ? strerror(-r) : check_log(&o);
    if (!broken) {
        broken = check_tally(&o);
    }
    if (!broken && logenv_last(o.log) < last) {
        broken = "an entry that was committed afterwards is lost";
    }
    opening_end(&o, NULL);
    return broken;
}

/* -- record by record -------------------------------------------------------------------------- */

/* The records are what the entries up to `index` make, no more, no less. */
static const char *check_state(struct store *s, uint64_t index)
{
    const struct book *b = store_book(s);
    uint8_t key[24];
    struct span value, next_key, from = {0};
    uint64_t here = 0, walked = 0;
    for (uint64_t k = 0; k < WORKLOAD_KEYS; k++) {
        uint16_t writer = expected[index].writer[k];
        int r = b->get(b->self, workload_key(k, key), &value);
        if (r != (writer == 0)) {
            return "a record is missing, surplus or damaged";
        }
        if (writer && !span_equal(value, entry_of(writer))) {
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
    for (uint64_t i = store_applied_index(s) + 1; i <= acked_log; i++) {
        if (store_log_read(s, i, &term, &entry) != 0) {
            return "an entry to replay is missing";
        }
        workload_apply(s, i, term, entry);
    }
    return store_applied_index(s) < ENTRIES_MAX ? check_state(s, store_applied_index(s)) : NULL;
}

/* What a node does next: more rounds.  Returns the last entry. */
static uint64_t go_on(struct store *s)
{
    uint8_t bytes[WORKLOAD_BYTES];
    for (uint64_t count = 1; count <= 4; count++) {
        for (uint64_t i = 0; i < count * count * count; i++) {
            uint64_t next = store_log_last(s) + 1;
            struct span entry = workload_entry(next, WORKLOAD_TERM, bytes);
            CHECK(store_log_append(s, WORKLOAD_TERM, entry) == 0);
        }
        CHECK(store_log_commit(s) == 0);
    }
    return store_log_last(s);
}

static const char *check_whole(const struct store_options *options, char *text)
{
    struct store *s = NULL;
    int r = store_open(options, &s, text);
    if (r != 0) {
        return r > 0 ? text : strerror(-r);
    }
    const char *broken = check_state(s, store_applied_index(s));
    if (!broken) {
        broken = check_replay(s);
    }
    uint64_t last = broken ? 0 : go_on(s);
    store_abandon(s);
    return broken ? broken : check_opening(options, last, text);
}

/* LMDB reads from a map: what is not in the file ends the process.  A store that does so on an
 * image serves nothing from it, and does not come back either. */
static void died(int signal)
{
    static const char text[] = "# opening an image ended the process inside LMDB\n";
    (void)!write(1, text, sizeof text - 1);
    _exit(signal ? 1 : 0);
}

static void one_image(uint64_t point, enum disk_mode mode, uint64_t subset, struct prng *random)
{
    char text[200] = "";
    struct store_options o = workload_options(image_dir);
    o.flush_interval_us = HOUR_US;
    uint64_t promises = acked_entry << 32 ^ acked_vote;
    if (!disk_image(image_dir, mode, subset, promises, random)) {
        return;
    }
    const char *broken = check_opening(&o, 0, text);
    image_count++;
    if (!broken && image_count % WHOLE_EVERY == 0) {
        whole_count++;
        broken = check_whole(&o, text);
    }
    if (broken && ++broken_count <= SHOWN_MAX) {
        printf("# image %llu, journal record %llu, mode %d, acked %llu: %s\n",
               (unsigned long long)image_count, (unsigned long long)point, mode,
               (unsigned long long)acked_entry, broken);
    }
}

/* -- passes ------------------------------------------------------------------------------------ */

/* Does the record make another image of this mode than the one before it? */
static bool worth(uint64_t kind, enum disk_mode mode)
{
    switch (mode) {
    case DISK_NONE:
        return kind != JOURNAL_WRITE;
    case DISK_ALL:
        return kind != JOURNAL_SYNC && kind != JOURNAL_SYNC_WRITE && kind != JOURNAL_SYNC_DIR;
    case DISK_SUBSET:
        return disk_pending_count() > 0 && disk_pending_count() <= SUBSET_MAX;
    default:
        return disk_pending_count() > 0;
    }
}

static void pass(const uint8_t *journal, size_t len, enum disk_mode mode, struct prng *random,
                 uint64_t images_max)
{
    uint64_t at_point = 0;
    disk_reset();
    acked_entry = acked_log = acked_vote = 0;
    ready = false;
    for (size_t at = 0; at < len && image_count < images_max; at_point++) {
        struct journal_record r;
        CHECK(len - at >= sizeof r);
        memcpy(&r, journal + at, sizeof r);
        at += sizeof r;
        take_record(&r, journal + at);
        at += r.len;
        point_count = at_point + 1 > point_count ? at_point + 1 : point_count;
        if (!ready || !worth(r.kind, mode)) {
            continue;
        }
        uint64_t subsets = mode == DISK_SUBSET ? UINT64_C(1) << disk_pending_count() : 1;
        for (uint64_t subset = 0; subset < subsets; subset++) {
            one_image(at_point, mode, subset, random);
        }
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
    mallopt(M_MMAP_THRESHOLD, 128 << 10); /* fixed: LMDB's big tables are not cleared by hand */
    uint64_t wanted = strtoull(argv[3], NULL, 10);
    uint64_t seed = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
    uint8_t *journal = load(argv[1], &len);
    snprintf(image_dir, sizeof image_dir, "%s", argv[2]);
    CHECK(mkdir(image_dir, 0700) == 0 || errno == EEXIST);
    signal(SIGBUS, died);
    signal(SIGSEGV, died);
    signal(SIGABRT, died);
    expect_prepare();
    prng_init(&random, seed);
    int64_t start = clock_mono_us();
    pass(journal, len, DISK_NONE, &random, wanted);
    pass(journal, len, DISK_ALL, &random, wanted);
    pass(journal, len, DISK_SUBSET, &random, wanted);
    for (int i = 0; i < PASSES_MAX && image_count < wanted && image_count > 0; i++) {
        pass(journal, len, DISK_ANY, &random, wanted);
    }
    printf("# %llu images, %llu broken, %llu read whole, %llu points, %.0f images/s, %.1f MB of "
           "journal, seed %llu\n",
           (unsigned long long)image_count, (unsigned long long)broken_count,
           (unsigned long long)whole_count, (unsigned long long)point_count,
           (double)image_count * 1e6 / (double)(clock_mono_us() - start), (double)len / 1e6,
           (unsigned long long)seed);
    free(journal);
    return broken_count || image_count < wanted ? 1 : 0;
}
