/* SPDX-License-Identifier: MIT */
/* A tail, what should be in it, and its file as it was at two moments. */
#ifndef FAIRSLOT_TESTS_STORE_TAIL_MODEL_H
#define FAIRSLOT_TESTS_STORE_TAIL_MODEL_H

#include <fcntl.h>

#include "place.h"
#include "store/tail.h"

#define SECTOR     512
#define ROOM       488 /* bytes of a sector that are payload */
#define BLOCK      4096
#define FILE_MAX   (256 << 10)
#define RECORD_MAX 20000
#define TURN_MAX   1024 /* records */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define THIN 8 /* one of so many */
#else
#define THIN 1
#endif

static const uint8_t cluster[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

/* A tail, and what should be in it.  Records are numbers: their bytes follow from that. */
struct model {
    struct tail *t;
    uint64_t txn;
    uint64_t first; /* record of the turn */
    uint64_t acked; /* the one behind the last that is durable */
    uint64_t next;  /* the one to add */
    size_t payload; /* bytes of the batch being made */
    size_t used;    /* bytes of the file that the turn's batches take */
    size_t file;    /* its length */
    size_t lens[TURN_MAX]; /* of the turn's records */
};

static const char *dir = place_dir; /* where the tail is */

static inline const char *tail_path(void)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/tail", dir);
    return path;
}

static inline size_t size_of(uint64_t n)
{
    static const size_t sizes[] = {0, 1, 483, 484, 485, 487, 488, 489, 972, 3900, 3901, 5000};
    uint64_t seed = n;
    uint64_t r = prng_splitmix(&seed);
    return r % 3 == 0 ? sizes[r / 3 % (sizeof sizes / sizeof *sizes)] : r / 3 % 120;
}

static inline size_t blocks(size_t payload)
{
    size_t sectors = (payload + ROOM - 1) / ROOM;
    return (sectors + 7) / 8 * BLOCK;
}

static inline bool fits(const struct model *m, size_t len)
{
    return m->used + blocks(m->payload + 4 + len) <= m->file;
}

/* A record of that length.  False: full, as it should be. */
static inline bool add_len(struct model *m, size_t len)
{
    uint8_t bytes[RECORD_MAX];
    struct span all = place_bytes(bytes, len, m->next), none = {0};
    size_t head = len * (m->next % 3) / 2;
    struct span a = {bytes, head}, b = {bytes + head, len - head};
    int r = tail_add(m->t, a.len ? a : none, b.len ? b : none);
    EQ(r, fits(m, all.len) ? 0 : TAIL_E_FULL);
    if (r != 0) {
        return false;
    }
    m->payload += 4 + len;
    m->lens[m->next++ - m->first] = len;
    return true;
}

static inline bool add(struct model *m)
{
    return add_len(m, size_of(m->next));
}

static inline void commit(struct model *m)
{
    EQ(tail_commit(m->t), 0);
    m->used += blocks(m->payload);
    m->payload = 0;
    m->acked = m->next;
    EQ(tail_used(m->t), m->used);
}

/* So many records, durable. */
static inline void batch(struct model *m, int count)
{
    while (count-- > 0) {
        OK(add(m));
    }
    commit(m);
}

/* The tree has everything that is acknowledged. */
static inline void turn(struct model *m)
{
    tail_restart(m->t, ++m->txn);
    m->first = m->next = m->acked;
    m->used = m->payload = 0;
    EQ(tail_used(m->t), 0);
}

static inline void check_found(struct model *m)
{
    uint8_t bytes[RECORD_MAX];
    struct span record;
    for (uint64_t n = m->first; n < m->acked; n++) {
        bool is_there = tail_next(m->t, &record);
        OK(is_there);
        OK(is_there && span_equal(record, place_bytes(bytes, m->lens[n - m->first], n)));
    }
    OK(!tail_next(m->t, &record));
    OK(!tail_next(m->t, &record));
}

/* Opens it as it is in the file now, as the log does. */
static inline void open_again(struct model *m)
{
    m->t = NULL;
    EQ(tail_open(dir, cluster, m->txn, &m->t), 0);
    if (!m->t) {
        exit(1);
    }
    OK(m->used == 0 || tail_was_used(m->t));
    OK(!tail_was_spoiled(m->t));
    EQ(tail_bytes(m->t), m->file);
    check_found(m);
    turn(m);
}

static inline void end(struct model *m)
{
    tail_close(m->t);
    m->t = NULL;
}

static inline struct model begin(size_t bytes)
{
    struct model m = {.txn = 7, .first = 1, .acked = 1, .next = 1, .file = bytes};
    unlink(tail_path());
    EQ(tail_make(dir, bytes), 0);
    open_again(&m);
    return m;
}

#define SPOILED 100 /* a verdict: opened, but tail_was_spoiled() */

/* What tail_open() says of the file. */
static inline int verdict(uint64_t txn)
{
    struct tail *t = NULL;
    int r = tail_open(dir, cluster, txn, &t);
    OK(r == 0 || r == TAIL_E_DAMAGED);
    OK((r == 0) == (t != NULL));
    r = t && tail_was_spoiled(t) ? SPOILED : r;
    tail_close(t);
    return r;
}

/* -- the file ---------------------------------------------------------------------------------- */

/* The file at two moments, and what is made of both. */
static uint8_t before[FILE_MAX], after[FILE_MAX], image[FILE_MAX];

static inline void load(uint8_t *bytes, size_t len)
{
    int fd = open(tail_path(), O_RDONLY);
    EQ(pread(fd, bytes, len, 0), len);
    close(fd);
}

static inline void save(const uint8_t *bytes, size_t at, size_t len)
{
    int fd = open(tail_path(), O_WRONLY);
    EQ(pwrite(fd, bytes + at, len, (off_t)at), len);
    close(fd);
}

static inline void cut(size_t len)
{
    EQ(truncate(tail_path(), (off_t)len), 0);
}

/* The file as before, but with these sectors of the batch that stands from `a` to `b` in it. */
static inline void save_torn(const struct model *a, const struct model *b, uint64_t subset)
{
    memcpy(image, before, a->file);
    for (size_t at = a->used; at < b->used; at += SECTOR, subset >>= 1) {
        if (subset & 1) {
            memcpy(image + at, after + at, SECTOR);
        }
    }
    save(image, 0, a->file);
}

/* All payload of a batch is in these sectors. */
static inline bool is_whole(size_t payload, uint64_t subset)
{
    uint64_t all = (UINT64_C(1) << (payload + ROOM - 1) / ROOM) - 1;
    return (subset & all) == all;
}

#endif
