/* SPDX-License-Identifier: MIT */
/* What a data file looked like when it was closed, page by page.
 *
 *   magic u64 | format u32 | page bytes u32 | file bytes u64 | sum of each page u64 ... | sum u64
 *
 * For: LMDB has no checksums of its own.  The records have ours, but a spoiled page of the free
 * list or of the tree's upper part shows late; a file at rest can be judged whole.
 * Owns the file "sums" of an environment's directory.  All big-endian, XXH3-64; a page's sum is
 * seeded with its number.  Written beside and renamed, so there is all of it or none.
 * Fails: a verdict with the page, or < 0.
 * Roads not taken: sums kept up at each commit (two more syncs a round). */
#include "store/sums.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "store/folder.h"
#include "store/sum.h"

#define MAGIC      UINT64_C(0x667373756d730a01) /* "fssums", a newline */
#define FORMAT     1
#define PAGE_BYTES 4096
#define READ_BYTES (256 * PAGE_BYTES)
#define HEAD_SIZE  24
#define SUM_SIZE   8

struct sums {
    uint8_t *bytes; /* the whole file, as it is written */
    size_t len;
};

static int open_in(const char *dir, const char *name, int flags, int *ret_fd)
{
    char path[FOLDER_PATH_MAX];
    int r = folder_join(path, dir, name);
    if (r < 0) {
        return err_trace(r);
    }
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno == ENOENT ? -ENOENT : err_origin(-errno);
    }
    *ret_fd = fd;
    return 0;
}

static int read_full(int fd, uint8_t *to, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = read(fd, to + done, len - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return err_origin(n < 0 ? -errno : -EIO);
        }
        done += (size_t)n;
    }
    return 0;
}

static int write_full(int fd, const uint8_t *from, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = write(fd, from + done, len - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_origin(-errno);
        }
        done += (size_t)n;
    }
    return 0;
}

static size_t sums_size(uint64_t file_bytes)
{
    return HEAD_SIZE + (size_t)((file_bytes + PAGE_BYTES - 1) / PAGE_BYTES) * SUM_SIZE + SUM_SIZE;
}

static int sum_pages(int fd, uint64_t left, struct scribe *w)
{
    uint8_t *buffer = malloc(READ_BYTES);
    int r = buffer ? 0 : err_origin(-ENOMEM);
    for (uint64_t page = 0; r == 0 && left > 0;) {
        size_t len = left < READ_BYTES ? (size_t)left : READ_BYTES;
        r = read_full(fd, buffer, len);
        for (size_t at = 0; r == 0 && at < len; at += PAGE_BYTES) {
            size_t here = len - at < PAGE_BYTES ? len - at : PAGE_BYTES;
            scribe_u64(w, sum_bytes((struct span){buffer + at, here}, page++));
        }
        left -= len;
    }
    free(buffer);
    return err_trace(r);
}

/* Of the data file as it is now. */
static int sums_make(const char *dir, struct sums *ret_sums)
{
    int fd;
    struct stat st;
    int r = open_in(dir, "/data.mdb", O_RDONLY, &fd);
    if (r < 0) {
        return err_fold(r);
    }
    if (fstat(fd, &st) < 0) {
        r = err_origin(-errno);
        goto close_fd;
    }
    size_t len = sums_size((uint64_t)st.st_size);
    struct sums s = {.bytes = malloc(len), .len = len};
    if (!s.bytes) {
        r = err_origin(-ENOMEM);
        goto close_fd;
    }
    struct scribe w = scribe_of(s.bytes, len);
    scribe_u64(&w, MAGIC);
    scribe_u32(&w, FORMAT);
    scribe_u32(&w, PAGE_BYTES);
    scribe_u64(&w, (uint64_t)st.st_size);
    r = sum_pages(fd, (uint64_t)st.st_size, &w);
    if (r < 0) {
        free(s.bytes);
        goto close_fd;
    }
    scribe_u64(&w, XXH3_64bits(s.bytes, scribe_len(&w)));
    CHECK(!w.bad);
    CHECK(scribe_len(&w) == len);
    *ret_sums = s;
close_fd:
    close(fd);
    return err_trace(r);
}

int sums_write(const char *dir)
{
    struct sums s;
    char beside[FOLDER_PATH_MAX], path[FOLDER_PATH_MAX];
    int fd;
    int r = sums_make(dir, &s);
    if (r < 0) {
        return err_trace(r);
    }
    r = folder_join(beside, dir, "/sums.new");
    r = r ? r : folder_join(path, dir, "/sums");
    r = r ? r : err_fold(open_in(dir, "/sums.new", O_WRONLY | O_CREAT | O_TRUNC, &fd));
    if (r == 0) {
        r = write_full(fd, s.bytes, s.len);
        if (r == 0 && fsync(fd) < 0) {
            r = err_origin(-errno);
        }
        close(fd);
    }
    free(s.bytes);
    if (r == 0 && rename(beside, path) < 0) {
        r = err_origin(-errno);
    }
    return r ? err_trace(r) : err_trace(folder_sync(dir));
}

/* 0, SUMS_E_DAMAGED (not whole, not of this length), -ENOENT, < 0. */
static int sums_read(const char *dir, size_t len, uint8_t **ret_bytes)
{
    int fd;
    struct stat st;
    int r = open_in(dir, "/sums", O_RDONLY, &fd);
    if (r < 0) {
        return r;
    }
    if (fstat(fd, &st) < 0) {
        r = err_origin(-errno);
    } else if ((size_t)st.st_size != len) {
        r = SUMS_E_DAMAGED;
    }
    uint8_t *bytes = r == 0 ? malloc(len) : NULL;
    if (r == 0) {
        r = bytes ? read_full(fd, bytes, len) : err_origin(-ENOMEM);
    }
    close(fd);
    if (r) {
        free(bytes);
        return r;
    }
    *ret_bytes = bytes;
    return 0;
}

/* Marks every page that changed, if there are marks; *ret_page is the first one.  The sums' own
 * damage leaves it UINT64_MAX. */
static int compare(const struct sums *now, const uint8_t *then, uint8_t *marks, uint64_t *ret_page)
{
    size_t end = now->len - SUM_SIZE;
    struct reader r = reader_of(then + end, SUM_SIZE);
    *ret_page = UINT64_MAX;
    if (memcmp(then, now->bytes, HEAD_SIZE) != 0 || reader_u64(&r) != XXH3_64bits(then, end)) {
        return SUMS_E_DAMAGED;
    }
    for (size_t at = HEAD_SIZE; at < end; at += SUM_SIZE) {
        if (memcmp(then + at, now->bytes + at, SUM_SIZE) != 0) {
            uint64_t page = (at - HEAD_SIZE) / SUM_SIZE;
            *ret_page = *ret_page == UINT64_MAX ? page : *ret_page;
            if (marks == NULL) {
                break;
            }
            marks[page] |= SUMS_MARK;
        }
    }
    return *ret_page == UINT64_MAX ? 0 : SUMS_E_DAMAGED;
}

static int check(const char *dir, uint8_t *marks, size_t count, uint64_t *ret_page)
{
    struct sums now;
    uint8_t *then = NULL;
    char path[FOLDER_PATH_MAX];
    *ret_page = UINT64_MAX;
    int r = folder_join(path, dir, "/sums");
    if (r < 0 || !folder_exists(path)) {
        return err_trace(r);
    }
    r = folder_join(path, dir, "/data.mdb");
    if (r < 0 || !folder_exists(path)) {
        return r ? err_trace(r) : SUMS_E_DAMAGED;
    }
    r = sums_make(dir, &now);
    if (r < 0) {
        return err_trace(r);
    }
    r = sums_read(dir, now.len, &then);
    if (r == 0 && marks && now.len != sums_size((uint64_t)count * PAGE_BYTES)) {
        r = SUMS_E_DAMAGED; /* it was another length a moment ago */
    }
    if (r == 0) {
        r = compare(&now, then, marks, ret_page);
    }
    free(now.bytes);
    free(then);
    return err_trace(r);
}

int sums_check(const char *dir, uint64_t *ret_page)
{
    return err_trace(check(dir, NULL, 0, ret_page));
}

int sums_changed(const char *dir, uint8_t *marks, size_t count)
{
    uint64_t page;
    int r = check(dir, marks, count, &page);
    return r == SUMS_E_DAMAGED && page != UINT64_MAX ? 0 : err_trace(r);
}

int sums_forget(const char *dir)
{
    char path[FOLDER_PATH_MAX];
    int r = folder_join(path, dir, "/sums");
    if (r < 0) {
        return err_trace(r);
    }
    if (unlink(path) < 0) {
        return errno == ENOENT ? 0 : err_origin(-errno);
    }
    return err_trace(folder_sync(dir));
}
