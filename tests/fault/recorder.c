/* SPDX-License-Identifier: MIT */
/* Recorder (LD_PRELOAD): every write and sync of a store's two data files, with its bytes.
 *
 *   driver -> LMDB -> write, pwrite, writev, pwritev, fsync, fdatasync, ftruncate -> here -> libc
 *                                                                                |
 *                                                                             journal
 *
 * For: power_loss.c, which makes from the journal what a disk may hold after a power loss.  kill -9
 * cannot show a missing fsync, because the page cache survives it.
 * Owns: the journal (FAULT_JOURNAL, appended to); a table from descriptor to file.  Files are known
 * by their names below FAULT_DIR; "acks" is not a data file, its writes are the driver's promises.
 * The order errs to the hard side: a write stands before its call (it may reach the disk any time
 * after), a sync behind it (it counts only once it was reported).
 * A writable map would write past this; LMDB then truncates its file to the map's size, which the
 * checker refuses.
 * Fails: the process ends; a journal with holes would pass what is broken.
 * Roads not taken: FUSE (root, and slow), a block layer (dm-flakey is not everywhere). */
#undef _FILE_OFFSET_BITS /* both names of a call are wanted, not one for the other */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "journal.h"

#define FDS_MAX  1024
#define FILE_ACK JOURNAL_FILES

struct watched {
    int file;    /* enum journal_file or FILE_ACK, plus 1; 0: not watched */
    int is_sync; /* opened with O_DSYNC or O_SYNC */
};

static struct watched watched[FDS_MAX];
/* Also held over a write's own call, so that the process cannot end between note and write. */
static pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static int journal_fd = -1;

static void *real(const char *name)
{
    void *f = dlsym(RTLD_NEXT, name);
    if (!f) {
        abort();
    }
    return f;
}

#define REAL(type, name, ...)                  \
    static type (*real_##name)(__VA_ARGS__);   \
    if (!real_##name) {                        \
        real_##name = real(#name);             \
    }

static void write_all(const void *bytes, size_t len)
{
    REAL(ssize_t, write, int, const void *, size_t)
    while (len) {
        ssize_t n = real_write(journal_fd, bytes, len);
        if (n <= 0) {
            abort();
        }
        bytes = (const char *)bytes + n;
        len -= (size_t)n;
    }
}

static void note(enum journal_kind kind, int file, uint64_t offset, const struct iovec *iov,
                 int count)
{
    struct journal_record r = {.kind = kind, .file = (uint32_t)file, .offset = offset};
    for (int i = 0; i < count; i++) {
        r.len += iov[i].iov_len;
    }
    pthread_mutex_lock(&mutex);
    if (journal_fd < 0) {
        REAL(int, open, const char *, int, ...)
        journal_fd = real_open(getenv("FAULT_JOURNAL"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    }
    write_all(&r, sizeof r);
    for (int i = 0; i < count; i++) {
        write_all(iov[i].iov_base, iov[i].iov_len);
    }
    pthread_mutex_unlock(&mutex);
}

static const struct watched *watch_of(int fd)
{
    return fd >= 0 && fd < FDS_MAX && watched[fd].file ? &watched[fd] : NULL;
}

static void forbid(int fd, const char *call)
{
    if (watch_of(fd)) {
        struct iovec iov = {.iov_base = (void *)(uintptr_t)call, .iov_len = strlen(call)};
        note(JOURNAL_FORBIDDEN, 0, 0, &iov, 1);
    }
}

/* "DIR/log/data.mdb", while it is made also "DIR/log.new/data.mdb". */
static int file_of(const char *path)
{
    static const struct {
        const char *name;
        int file;
    } names[] = {
        {"/log/data.mdb", JOURNAL_LOG},         {"/log.new/data.mdb", JOURNAL_LOG},
        {"/state/data.mdb", JOURNAL_STATE},     {"/state.new/data.mdb", JOURNAL_STATE},
        {"/acks", FILE_ACK},
    };
    const char *dir = getenv("FAULT_DIR");
    if (!dir || !getenv("FAULT_JOURNAL") || strncmp(path, dir, strlen(dir)) != 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(path + strlen(dir), names[i].name) == 0) {
            return names[i].file;
        }
    }
    return -1;
}

static int opened(int fd, const char *path, int flags)
{
    if (fd >= 0 && fd < FDS_MAX) {
        watched[fd].file = file_of(path) + 1;
        watched[fd].is_sync = (flags & (O_DSYNC | O_SYNC)) != 0;
    }
    return fd;
}

int open(const char *path, int flags, ...)
{
    REAL(int, open, const char *, int, ...)
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return opened(real_open(path, flags, mode), path, flags);
}

int open64(const char *path, int flags, ...)
{
    REAL(int, open64, const char *, int, ...)
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return opened(real_open64(path, flags, mode), path, flags);
}

int close(int fd)
{
    REAL(int, close, int)
    if (watch_of(fd)) {
        watched[fd].file = 0;
    }
    return real_close(fd);
}

/* Notes a write, makes the call, notes that it is on disk if the descriptor says so. */
#define WATCHED_WRITE(fd, offset, iov, count, call)                                   \
    const struct watched *w = watch_of(fd);                                           \
    if (!w) {                                                                         \
        return call;                                                                  \
    }                                                                                 \
    int file = w->file - 1, is_sync = w->is_sync;                                     \
    uint64_t at = (uint64_t)(offset);                                                 \
    pthread_mutex_lock(&mutex);                                                       \
    note(file == FILE_ACK ? JOURNAL_ACK : JOURNAL_WRITE, file, at, iov, count);       \
    ssize_t n = call;                                                                 \
    pthread_mutex_unlock(&mutex);                                                     \
    if (n >= 0 && is_sync) {                                                          \
        note(JOURNAL_SYNC_WRITE, file, at, NULL, 0);                                  \
    }                                                                                 \
    return n;

ssize_t write(int fd, const void *bytes, size_t len)
{
    REAL(ssize_t, write, int, const void *, size_t)
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    WATCHED_WRITE(fd, lseek(fd, 0, SEEK_CUR), &iov, 1, real_write(fd, bytes, len))
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    REAL(ssize_t, writev, int, const struct iovec *, int)
    WATCHED_WRITE(fd, lseek(fd, 0, SEEK_CUR), iov, count, real_writev(fd, iov, count))
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t)
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    WATCHED_WRITE(fd, offset, &iov, 1, real_pwrite(fd, bytes, len, offset))
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset)
{
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t)
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    WATCHED_WRITE(fd, offset, &iov, 1, real_pwrite64(fd, bytes, len, offset))
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t)
    WATCHED_WRITE(fd, offset, iov, count, real_pwritev(fd, iov, count, offset))
}

static int synced(int fd, int r)
{
    const struct watched *w = watch_of(fd);
    if (w && r == 0) {
        note(JOURNAL_SYNC, w->file - 1, 0, NULL, 0);
    }
    return r;
}

int fsync(int fd)
{
    REAL(int, fsync, int)
    return synced(fd, real_fsync(fd));
}

int fdatasync(int fd)
{
    REAL(int, fdatasync, int)
    return synced(fd, real_fdatasync(fd));
}

int ftruncate(int fd, off_t len)
{
    REAL(int, ftruncate, int, off_t)
    if (watch_of(fd)) {
        note(JOURNAL_TRUNCATE, watched[fd].file - 1, (uint64_t)len, NULL, 0);
    }
    return real_ftruncate(fd, len);
}

int dup(int fd)
{
    REAL(int, dup, int)
    forbid(fd, "dup");
    return real_dup(fd);
}

void _exit(int status)
{
    static void (*real__exit)(int) __attribute__((noreturn));
    *(void **)&real__exit = real("_exit");
    pthread_mutex_lock(&mutex); /* for ever: no write is half way between here and the kernel */
    real__exit(status);
}
