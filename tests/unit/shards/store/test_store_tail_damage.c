/* SPDX-License-Identifier: MIT */
/* Does the tail of the log notice everything that is not as it was written?  A bit of what was
 * acknowledged, a write that the disk lost or put elsewhere, another file; and nothing else. */
#include "tail_model.h"

#define FLIPS 20000

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

/* Batches in each other's place. */
static void test_misplaced_writes(void)
{
    struct model m = begin(16 << 10);
    for (int i = 0; i < 3; i++) {
        OK(add_len(&m, 50));
        commit(&m);
    }
    load(after, m.file);
    end(&m);
    for (size_t from = 0; from < 3; from++) {
        for (size_t to = 0; to < 4; to++) {
            memcpy(image, after, m.file);
            memcpy(image + to * BLOCK, after + from * BLOCK, BLOCK);
            save(image, 0, m.file);
            EQ(verdict(m.txn), from == to ? 0 : TAIL_E_DAMAGED);
        }
    }
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

int main(void)
{
    place_make();
    TAP_RUN(test_a_torn_batch_with_a_broken_sector);
    TAP_RUN(test_every_bit_of_a_small_tail);
    TAP_RUN(test_bits_of_a_bigger_tail);
    TAP_RUN(test_lost_writes);
    TAP_RUN(test_misplaced_writes);
    TAP_RUN(test_behind_the_end);
    TAP_RUN(test_another_clusters_tail);
    TAP_RUN(test_files_that_are_none);
    place_remove();
    return tap_done();
}
