/* SPDX-License-Identifier: MIT */
/* Does the tail of the log notice everything that is not as it was written?  A bit of what was
 * acknowledged, a write that the disk lost or put elsewhere, another file; and nothing else. */
#include "tail_model.h"

#define FLIPS   20000
#define BATCHES 10 /* one entry each */

/* Is it damage that this bit is the other way round? */
static int flipped(uint8_t *bytes, size_t bit, uint64_t txn)
{
    bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    save(bytes, bit / 8, 1);
    int r = verdict(txn);
    bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    save(bytes, bit / 8, 1);
    return r;
}

/* Is a file damage that has the old bytes there? */
static int lost(const struct model *m, size_t at, size_t len)
{
    save(before, at, len);
    int r = verdict(m->txn);
    save(after, at, len);
    return r;
}

/* Torn, and the half that is there is not what was written: no crash does that. */
static void test_a_torn_batch_with_a_broken_sector(void)
{
    struct model a = begin(16 << 10), b;
    batch(&a, 1);
    load(before, a.file);
    b = a;
    OK(add_len(&b, 4 * ROOM));
    commit(&b);
    load(after, b.file);
    end(&b);
    save_torn(&a, &b, 0x0b);
    EQ(verdict(a.txn), 0);
    for (size_t bit = 0; bit < SECTOR * 8; bit += 5) {
        EQ(flipped(image, (a.used + 3 * SECTOR) * 8 + bit, a.txn), TAIL_E_DAMAGED);
        EQ(flipped(image, a.used * 8 + bit, a.txn), TAIL_E_DAMAGED);
    }
    EQ(verdict(a.txn), 0);
}

/* -- damage ------------------------------------------------------------------------------------ */

/* Two batches of one sector, one of four. */
static void test_every_bit_of_a_small_tail(void)
{
    struct model m = begin(16 << 10);
    turn(&m);
    OK(add_len(&m, 100));
    commit(&m);
    OK(add_len(&m, 0));
    OK(add_len(&m, 300));
    commit(&m);
    OK(add_len(&m, 3 * ROOM + 50));
    commit(&m);
    load(after, m.file);
    end(&m);
    uint64_t flips = 0, missed = 0;
    for (size_t bit = 0; bit < m.used * 8; bit += THIN) {
        size_t sector = bit / 8 / SECTOR;
        bool is_payload = sector == 0 || sector == 8 || (sector >= 16 && sector < 20);
        int r = flipped(after, bit, m.txn);
        if (is_payload) {
            flips++;
            missed += r != TAIL_E_DAMAGED;
        } else {
            EQ(r, SPOILED); /* zeros to the end of a block: nothing is lost */
        }
    }
    printf("# %llu bits, %llu not found\n", (unsigned long long)flips, (unsigned long long)missed);
    OK(flips >= UINT64_C(6) * SECTOR * 8 / THIN);
    EQ(missed, 0);
    EQ(verdict(m.txn), 0); /* and each bit is back */
    open_again(&m);
    end(&m);
}

static void test_bits_of_a_bigger_tail(void)
{
    struct model m = begin(FILE_MAX);
    struct prng p;
    prng_init(&p, 3);
    OK(add_len(&m, 19000)); /* of another turn, below */
    OK(add_len(&m, 19000));
    commit(&m);
    turn(&m);
    while (m.used < FILE_MAX / 2) {
        OK(add_len(&m, 7 * ROOM + prng_below(&p, 400))); /* all eight sectors of a block */
        commit(&m);
    }
    load(after, m.file);
    end(&m);
    uint64_t missed = 0;
    for (int i = 0; i < FLIPS / THIN; i++) {
        missed += flipped(after, prng_below(&p, m.used * 8), m.txn) != TAIL_E_DAMAGED;
    }
    EQ(missed, 0);
    open_again(&m);
    end(&m);
}

/* A write that the disk said it had done, and had not: found by the batch behind it. */
static void test_lost_writes(void)
{
    for (int is_over_others = 0; is_over_others < 2; is_over_others++) {
        struct model m = begin(64 << 10);
        size_t starts[6], data[6];
        for (int i = 0; is_over_others && i < 3; i++) {
            OK(add_len(&m, 12000));
            commit(&m);
        }
        turn(&m);
        load(before, m.file);
        for (int i = 0; i < 6; i++) {
            starts[i] = m.used;
            OK(add_len(&m, 300 + 700 * (size_t)i));
            data[i] = (m.payload + ROOM - 1) / ROOM;
            commit(&m);
        }
        load(after, m.file);
        end(&m);
        for (int i = 0; i < 5; i++) {
            for (size_t n = 0; n < data[i]; n++) {
                EQ(lost(&m, starts[i] + n * SECTOR, SECTOR), TAIL_E_DAMAGED);
                EQ(lost(&m, starts[i] + n * SECTOR, (data[i] - n) * SECTOR), TAIL_E_DAMAGED);
            }
            EQ(lost(&m, starts[i], starts[i + 1] - starts[i]), TAIL_E_DAMAGED);
            EQ(lost(&m, 0, starts[i + 1]), TAIL_E_DAMAGED); /* and all before it */
            EQ(lost(&m, starts[i], starts[5] - starts[i]), TAIL_E_DAMAGED);
        }
        open_again(&m);
        end(&m);
    }
}

/* Blocks, or sectors of one batch, in each other's place. */
static void misplace(const struct model *m, size_t count, size_t len, size_t places)
{
    for (size_t from = 0; from < count; from++) {
        for (size_t to = 0; to < places; to++) {
            memcpy(image, after, m->file);
            memcpy(image + to * len, after + from * len, len);
            save(image, 0, m->file);
            EQ(verdict(m->txn), from == to ? 0 : TAIL_E_DAMAGED);
        }
    }
    save(after, 0, m->file);
}

static void test_misplaced_writes(void)
{
    struct model m = begin(16 << 10);
    for (int i = 0; i < 3; i++) {
        OK(add_len(&m, 50));
        commit(&m);
    }
    load(after, m.file);
    misplace(&m, 3, BLOCK, 4);
    turn(&m);
    OK(add_len(&m, 8 * ROOM - 4));
    commit(&m);
    load(after, m.file);
    misplace(&m, 8, SECTOR, 9);
    end(&m);
    open_again(&m);
    end(&m);
}

static void test_behind_the_end(void)
{
    struct model m = begin(32 << 10);
    OK(add_len(&m, 13000));
    commit(&m);
    turn(&m);
    OK(add_len(&m, 10));
    commit(&m);
    load(after, m.file);
    end(&m);
    for (size_t bit = m.used * 8; bit < m.file * 8; bit += 101 * THIN) {
        bool is_next = bit / 8 < m.used + SECTOR; /* here the next batch would begin */
        EQ(flipped(after, bit, m.txn), is_next ? TAIL_E_DAMAGED : SPOILED);
    }
    open_again(&m);
    end(&m);
}

/* The tree does not have the commit that the batch follows, nor what it took out of the tail. */
static void test_a_tree_that_lost_a_commit(void)
{
    struct model m = begin(16 << 10);
    OK(add_len(&m, 3000));
    commit(&m);
    turn(&m);
    EQ(verdict(m.txn), 0);
    EQ(verdict(m.txn - 1), 0);
    EQ(verdict(m.txn - 2), TAIL_E_DAMAGED);
    load(before, m.file);
    OK(add_len(&m, 10));
    commit(&m);
    load(after, m.file);
    end(&m);
    EQ(verdict(m.txn - 1), TAIL_E_DAMAGED);
    EQ(verdict(0), TAIL_E_DAMAGED);
    EQ(lost(&m, 0, SECTOR), 0);
    open_again(&m);
    end(&m);
}

static void test_another_clusters_tail(void)
{
    struct model m = begin(16 << 10);
    uint8_t other[16];
    struct tail *t = NULL;
    batch(&m, 2);
    end(&m);
    for (int bit = 0; bit < 128; bit++) {
        memcpy(other, cluster, 16);
        other[bit / 8] ^= (uint8_t)(1 << bit % 8);
        EQ(tail_open(dir, other, m.txn, &t), TAIL_E_DAMAGED);
        EQ(tail_open(dir, other, m.txn + 1, &t), TAIL_E_DAMAGED);
    }
    OK(t == NULL);
    open_again(&m);
    end(&m);
}

static void test_files_that_are_none(void)
{
    struct model m = begin(16 << 10);
    struct tail *t = NULL;
    for (int i = 0; i < 4; i++) {
        OK(add_len(&m, 10));
        commit(&m);
    }
    load(after, m.file);
    end(&m);
    for (size_t len = m.file; len-- > 0;) {
        if (len % 97 == 0 || len % SECTOR == 0) {
            cut(len);
            EQ(verdict(m.txn), TAIL_E_DAMAGED);
        }
    }
    cut(m.file);
    EQ(verdict(m.txn + 1), 0); /* all zeros */
    save(after, 0, m.file);
    cut(m.file + 1);
    EQ(verdict(m.txn), TAIL_E_DAMAGED);
    cut(m.file + BLOCK);
    EQ(verdict(m.txn), TAIL_E_DAMAGED);
    cut(m.file);
    EQ(verdict(m.txn), 0);
    EQ(unlink(tail_path()), 0);
    EQ(verdict(m.txn), TAIL_E_DAMAGED);
    dir = "/nowhere/at/all";
    OK(tail_make(dir, BLOCK) < 0);
    OK(tail_open(dir, cluster, 1, &t) != 0);
    dir = place_dir;
}

/* -- below a store ----------------------------------------------------------------------------- */

static struct span entry_of(uint8_t out[100], uint64_t n)
{
    return place_bytes(out, 50 + n, n);
}

/* All that was committed is there. */
static void check_entries(struct store *s)
{
    uint8_t want[100];
    struct span entry;
    uint64_t term;
    EQ(store_log_last(s), BATCHES);
    for (uint64_t n = 1; n <= BATCHES; n++) {
        EQ(store_log_read(s, n, &term, &entry), 0);
        EQ(term, 3);
        OK(span_equal(entry, entry_of(want, n)));
    }
}

/* A bit of log/tail after a kill: the store does not open; or nothing was there, and it says so. */
static void spoil(const struct store_options *o, size_t bit)
{
    struct store *s = NULL;
    size_t sector = bit / 8 / SECTOR;
    bool is_ours = sector % 8 == 0 && sector / 8 <= BATCHES; /* and where the next one begins */
    place_shell("rm -rf store && cp -r kept store");
    int fd = open(place_path("store/log/tail"), O_RDWR);
    uint8_t byte;
    EQ(pread(fd, &byte, 1, (off_t)(bit / 8)), 1);
    byte ^= (uint8_t)(1 << bit % 8);
    EQ(pwrite(fd, &byte, 1, (off_t)(bit / 8)), 1);
    close(fd);
    int r = store_open(o, &s, place_text);
    EQ(r, is_ours ? STORE_E_DAMAGED : 0);
    if (r != 0) {
        OK(strstr(place_text, "log/ is damaged") != NULL);
        return;
    }
    OK(store_log_repaired(s));
    OK(strstr(place_text, "log/tail") != NULL);
    check_entries(s);
    store_abandon(s);
    s = place_open(o);
    OK(!store_log_repaired(s));
    check_entries(s);
    store_abandon(s);
}

static void test_bits_below_a_store(void)
{
    char path[300];
    uint8_t bytes[100];
    struct store_options o = place_options();
    struct prng p;
    snprintf(path, sizeof path, "%s/store", place_dir);
    o.dir = path;
    struct store *s = place_open(&o);
    for (uint64_t n = 1; n <= BATCHES; n++) {
        EQ(store_log_append(s, 3, entry_of(bytes, n)), 0);
        EQ(store_log_commit(s), 0);
    }
    store_abandon(s);
    place_shell("mv store kept && cp -r kept store");
    s = place_open(&o);
    OK(!store_log_repaired(s));
    check_entries(s);
    store_abandon(s);
    prng_init(&p, 8);
    for (int i = 0; i < 400 / THIN; i++) {
        size_t block = prng_below(&p, i % 2 ? BATCHES + 1 : o.log_tail_bytes / BLOCK);
        spoil(&o, block * BLOCK * 8 + prng_below(&p, (i % 2 ? SECTOR : BLOCK) * 8));
    }
}

int main(void)
{
    place_make();
    TAP_RUN(test_a_torn_batch_with_a_broken_sector);
    TAP_RUN(test_every_bit_of_a_small_tail);
    TAP_RUN(test_bits_of_a_bigger_tail);
    TAP_RUN(test_lost_writes);
    TAP_RUN(test_misplaced_writes);
    TAP_RUN(test_behind_the_end);
    TAP_RUN(test_a_tree_that_lost_a_commit);
    TAP_RUN(test_another_clusters_tail);
    TAP_RUN(test_files_that_are_none);
    TAP_RUN(test_bits_below_a_store);
    place_remove();
    return tap_done();
}
