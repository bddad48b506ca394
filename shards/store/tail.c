/* SPDX-License-Identifier: MIT */
/* Batches written ahead of the log's tree, one flush of the device each.
 *
 *   file:    block 4,096 | block | ...     a batch begins with a block and has its blocks alone
 *   sector:  sum u64 | txn u64 | batch u32 | bytes of the batch u32 | 488 bytes of it
 *   batch:   records in a row, each length u32 | bytes          all integers big-endian
 *
 * For: a commit of LMDB is two flushes, one behind the other, and half of what a request waits for.
 * Owns: `dir`/tail, its descriptor, the batch being made, what was read at opening.
 * A turn is all batches behind one commit of the tree, whose number (txn) is in every sector: that
 * commit ends the turn by itself, and nothing is written or truncated for it.  Within a turn no
 * block is written twice, so a torn write can only hit what was never acknowledged.
 * Torn or damaged: a sector is written whole or not at all (512 bytes, as for LMDB's meta page), so
 * a torn batch has sectors that are older than their turn, each whole by its sum.  A sector without
 * a right sum is damage, wherever an acknowledged batch may have been; and so is a batch that is
 * torn or missing while a later one of its turn is there.
 * O_DIRECT, so that the write does not queue behind the flusher's pages in the kernel's writeback
 * throttle; file systems without it get the same promise by O_DSYNC alone.  Zeros are written all
 * over the file when it is made, so that no write changes where it lies.
 * Fails: verdicts at opening; < 0 is the disk, and the process must end: what a failed write has
 * left is not known, and the next one must not follow it.
 * Roads not taken: segments instead of the tree (how far entries are kept is then a matter of
 * whole files, and finding one is an index of ours); io_uring (one write a round, nothing to
 * queue). */
#include "store/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "store/folder.h"
#include "store/sum.h"

#define BLOCK       TAIL_BYTES_MIN
#define SECTOR      512
#define HEAD        24
#define PAYLOAD     (SECTOR - HEAD)
#define SUM_SIZE    8
#define RECORD_HEAD 4

struct tail {
    int fd;
    size_t bytes;      /* of the file */
    uint64_t seed;     /* of the sums: the cluster, and the length of the file */
    uint64_t txn;      /* of the turn */
    uint32_t batch;    /* number of the batch being made */
    size_t at;         /* where it begins in the file */
    size_t made;       /* bytes of it */
    bool is_full;
    bool is_used;      /* at opening: anything of the turn was there */
    bool is_spoiled;   /* at opening: a sector where nothing was is broken */
    uint8_t *sectors;  /* of it, as they will be written: `bytes` of room, aligned to BLOCK */
    uint8_t *found;    /* all records read at opening */
    size_t found_len;
    struct reader next;
};

static size_t sectors_of(size_t payload)
{
    return (payload + PAYLOAD - 1) / PAYLOAD;
}

static size_t blocks_of(size_t sectors)
{
    return (sectors * SECTOR + BLOCK - 1) / BLOCK * BLOCK;
}

static uint64_t sum_of(const struct tail *t, const uint8_t *sector, size_t offset)
{
    return sum_bytes((struct span){sector + SUM_SIZE, SECTOR - SUM_SIZE},
                     t->seed + offset / SECTOR);
}

/* -- making ------------------------------------------------------------------------------------ */

int tail_make(const char *dir, size_t bytes)
{
    CHECK(bytes >= BLOCK);
    CHECK(bytes % BLOCK == 0);
    uint8_t *zeros = calloc(1, bytes);
    int r = zeros ? folder_write(dir, "tail", zeros, bytes) : err_origin(-ENOMEM);
    free(zeros);
    return err_trace(r);
}

/* -- reading ----------------------------------------------------------------------------------- */

enum sector_kind { SECTOR_OLD, SECTOR_TURN, SECTOR_BROKEN };

struct sector {
    enum sector_kind kind;
    uint32_t batch;
    uint32_t payload; /* bytes of the whole batch */
    bool is_later;    /* of a turn whose commit the tree does not have */
};

static bool is_blank(const uint8_t *sector)
{
    return sector[0] == 0 && memcmp(sector, sector + 1, SECTOR - 1) == 0;
}

static struct sector look(const struct tail *t, const uint8_t *file, size_t offset)
{
    struct reader r = reader_of(file + offset, HEAD);
    uint64_t sum = reader_u64(&r), txn = reader_u64(&r);
    struct sector s = {.batch = reader_u32(&r), .payload = reader_u32(&r)};
    if (is_blank(file + offset)) {
        s.kind = SECTOR_OLD;
    } else if (sum != sum_of(t, file + offset, offset)) {
        s.kind = SECTOR_BROKEN;
    } else {
        s.kind = txn == t->txn ? SECTOR_TURN : SECTOR_OLD;
        s.is_later = txn > t->txn;
    }
    return s;
}

/* Of the batch that begins at `at`; the bytes of a whole one go behind what was found. */
enum batch_verdict { BATCH_WHOLE, BATCH_NONE, BATCH_DAMAGED };

static enum batch_verdict read_batch(struct tail *t, const uint8_t *file)
{
    struct sector first = look(t, file, t->at);
    if (first.kind != SECTOR_TURN) {
        return first.kind == SECTOR_OLD ? BATCH_NONE : BATCH_DAMAGED;
    }
    size_t count = sectors_of(first.payload);
    if (first.batch != t->batch || count == 0 || count > (t->bytes - t->at) / SECTOR) {
        return BATCH_DAMAGED;
    }
    enum batch_verdict verdict = BATCH_WHOLE;
    size_t left = first.payload;
    for (size_t i = 0; i < count; i++) {
        struct sector s = look(t, file, t->at + i * SECTOR);
        size_t n = left < PAYLOAD ? left : PAYLOAD;
        if (s.kind == SECTOR_BROKEN || (s.kind == SECTOR_TURN && (s.batch != first.batch ||
                                                                  s.payload != first.payload))) {
            return BATCH_DAMAGED;
        }
        verdict = s.kind == SECTOR_OLD ? BATCH_NONE : verdict;
        memcpy(t->found + t->found_len + (first.payload - left),
               file + t->at + i * SECTOR + HEAD, n);
        left -= n;
    }
    if (verdict == BATCH_WHOLE) {
        t->found_len += first.payload;
        t->at += blocks_of(count);
        t->batch++;
    }
    return verdict;
}

/* Behind the last whole batch there may be pieces of the next one, and nothing of a later one.  A
 * turn begins when its commit of the tree is durable: where one is later than the tree, the tree
 * has lost a commit, and with it all entries of the turn before. */
static bool is_end(struct tail *t, const uint8_t *file)
{
    bool is_end = true;
    for (size_t at = 0; at < t->bytes; at += SECTOR) { /* also the zeros behind whole batches */
        struct sector s = look(t, file, at);
        t->is_used = t->is_used || s.kind == SECTOR_TURN;
        t->is_spoiled = t->is_spoiled || s.kind == SECTOR_BROKEN;
        is_end = is_end && (at < t->at || s.kind != SECTOR_TURN || s.batch == t->batch);
        is_end = is_end && !s.is_later;
    }
    return is_end;
}

static bool records_whole(const struct tail *t)
{
    struct reader r = reader_of(t->found, t->found_len);
    const uint8_t *record;
    while (reader_left(&r) && !r.bad) {
        (void)reader_take(&r, reader_u32(&r), &record);
    }
    return !r.bad;
}

static int judge(struct tail *t, const uint8_t *file)
{
    enum batch_verdict verdict = BATCH_WHOLE;
    while (verdict == BATCH_WHOLE && t->at < t->bytes) {
        verdict = read_batch(t, file);
    }
    bool ends = is_end(t, file);
    return verdict != BATCH_DAMAGED && ends && records_whole(t) ? 0 : TAIL_E_DAMAGED;
}

static int read_all(int fd, uint8_t *to, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = pread(fd, to + at, len - at, (off_t)at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? err_origin(-errno) : TAIL_E_DAMAGED;
        }
        at += (size_t)n;
    }
    return 0;
}

/* Through the page cache, for once: what the batches are written by comes later. */
static int read_file(struct tail *t, const char *path, const uint8_t cluster_id[16])
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? TAIL_E_DAMAGED : err_origin(-errno);
    }
    int r = fstat(fd, &st) < 0 ? err_origin(-errno) : 0;
    if (r == 0 && (st.st_size < BLOCK || st.st_size % BLOCK != 0 || st.st_size > INT32_MAX)) {
        r = TAIL_E_DAMAGED;
    }
    if (r == 0) {
        t->bytes = (size_t)st.st_size;
        t->seed = XXH3_64bits_withSeed(cluster_id, 16, t->bytes); /* else a file may lose its end */
        t->sectors = aligned_alloc(BLOCK, t->bytes);
        t->found = malloc(t->bytes);
        r = t->sectors && t->found ? 0 : err_origin(-ENOMEM);
    }
    r = r ? r : read_all(fd, t->sectors, t->bytes);
    close(fd);
    return r ? err_trace(r) : judge(t, t->sectors);
}

static int open_direct(struct tail *t, const char *path)
{
    int flags = O_WRONLY | O_DSYNC | O_CLOEXEC;
    t->fd = open(path, flags | O_DIRECT);
    if (t->fd < 0 && errno == EINVAL) {
        t->fd = open(path, flags);
    }
    return t->fd < 0 ? err_origin(-errno) : 0;
}

int tail_open(const char *dir, const uint8_t cluster_id[16], uint64_t txn, struct tail **ret_tail)
{
    char path[FOLDER_PATH_MAX];
    struct tail *t = calloc(1, sizeof *t);
    if (!t) {
        return err_origin(-ENOMEM);
    }
    t->fd = -1;
    t->txn = txn;
    t->batch = 1;
    int r = folder_join(path, dir, "/tail");
    r = r ? r : read_file(t, path, cluster_id);
    r = r ? r : open_direct(t, path);
    if (r) {
        tail_close(t);
        return err_trace(r);
    }
    t->next = reader_of(t->found, t->found_len);
    *ret_tail = t;
    return 0;
}

void tail_close(struct tail *t)
{
    if (!t) {
        return;
    }
    if (t->fd >= 0) {
        close(t->fd);
    }
    free(t->sectors);
    free(t->found);
    free(t);
}

bool tail_was_used(const struct tail *t)
{
    return t->is_used;
}

bool tail_was_spoiled(const struct tail *t)
{
    return t->is_spoiled;
}

size_t tail_bytes(const struct tail *t)
{
    return t->bytes;
}

bool tail_next(struct tail *t, struct span *ret_record)
{
    if (reader_left(&t->next) == 0) {
        return false;
    }
    size_t len = reader_u32(&t->next);
    CHECK(reader_take(&t->next, len, &ret_record->ptr)); /* looked at when it was opened */
    ret_record->len = len;
    return true;
}

/* -- writing ----------------------------------------------------------------------------------- */

void tail_restart(struct tail *t, uint64_t txn)
{
    free(t->found);
    t->found = NULL;
    t->found_len = 0;
    t->next = reader_of(NULL, 0);
    t->txn = txn;
    t->batch = 1;
    t->at = 0;
    t->made = 0;
    t->is_full = false;
}

static void put(struct tail *t, const uint8_t *bytes, size_t len)
{
    while (len) {
        size_t in = t->made % PAYLOAD, n = PAYLOAD - in < len ? PAYLOAD - in : len;
        memcpy(t->sectors + t->made / PAYLOAD * SECTOR + HEAD + in, bytes, n);
        t->made += n;
        bytes += n;
        len -= n;
    }
}

int tail_add(struct tail *t, struct span head, struct span body)
{
    uint8_t len_bytes[RECORD_HEAD];
    size_t len = head.len + body.len, room = (t->bytes - t->at) / SECTOR * PAYLOAD;
    struct scribe w = scribe_of(len_bytes, sizeof len_bytes);
    CHECK(!t->found); /* what was found there is not in the tree yet */
    if (t->is_full || room < t->made + RECORD_HEAD || len > room - t->made - RECORD_HEAD) {
        t->is_full = true;
        return TAIL_E_FULL;
    }
    scribe_u32(&w, (uint32_t)len);
    put(t, len_bytes, sizeof len_bytes);
    put(t, head.ptr, head.len);
    put(t, body.ptr, body.len);
    return 0;
}

static int write_all(int fd, const uint8_t *bytes, size_t len, size_t offset)
{
    while (len) {
        ssize_t n = pwrite(fd, bytes, len, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return err_origin(n < 0 ? -errno : -EIO);
        }
        bytes += n;
        offset += (size_t)n;
        len -= (size_t)n;
    }
    return 0;
}

int tail_commit(struct tail *t)
{
    CHECK(!t->is_full);
    if (t->made == 0) {
        return 0;
    }
    size_t count = sectors_of(t->made), len = blocks_of(count);
    size_t last = (count - 1) * SECTOR + HEAD + (t->made - (count - 1) * PAYLOAD);
    memset(t->sectors + last, 0, len - last);
    for (size_t i = 0; i < count; i++) {
        uint8_t *sector = t->sectors + i * SECTOR;
        struct scribe w = scribe_of(sector + SUM_SIZE, HEAD - SUM_SIZE);
        scribe_u64(&w, t->txn);
        scribe_u32(&w, t->batch);
        scribe_u32(&w, (uint32_t)t->made);
        w = scribe_of(sector, SUM_SIZE);
        scribe_u64(&w, sum_of(t, sector, t->at + i * SECTOR));
    }
    int r = write_all(t->fd, t->sectors, len, t->at);
    if (r < 0) {
        return err_trace(r);
    }
    t->at += len;
    t->batch++;
    t->made = 0;
    return 0;
}

size_t tail_used(const struct tail *t)
{
    return t->at;
}
