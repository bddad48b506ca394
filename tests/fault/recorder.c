/* SPDX-License-Identifier: MIT */
/* Recorder (LD_PRELOAD): every write, sync and change of names below FAULT_DIR, with its bytes.
 *
 *   driver -> LMDB, store -> write, fsync, rename, unlink ... -> here -> libc
 *                                                                |
 *                                                             journal
 *
 * For: power_loss.c, which makes from the journal what a disk may hold after a power loss.  kill -9
 * cannot show a missing fsync, because the page cache survives it.
 * Owns: the journal (FAULT_JOURNAL, appended to); a table from descriptor to file.  "acks" is not a
 * data file, its writes are the driver's promises.  LMDB's lock files and the store's hold nothing.
 * The order errs to the hard side: a change stands before its call (it may reach the disk any time
 * after), a sync behind it (it counts only once it was reported).
 * FAULT_HIDE: syncs of files and directories whose path ends like this are left out: so a missing
 * fsync is planted.
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
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "journal.h"

#define FDS_MAX  1024
#define PATH_SHOWN 80

enum watch { WATCH_NONE, WATCH_FILE, WATCH_DIR, WATCH_ACK };

struct watched {
    enum watch what;
    uint64_t file;         /* inode */
    int is_sync;           /* opened with O_DSYNC or O_SYNC */
    int is_hidden;         /* its syncs are left out */
    char path[PATH_SHOWN]; /* below FAULT_DIR */
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

static void note(enum journal_kind kind, uint64_t file, uint64_t offset, const struct iovec *iov,
                 int count)
{
    struct journal_record r = {.kind = kind, .file = file, .offset = offset};
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
    return fd >= 0 && fd < FDS_MAX && watched[fd].what ? &watched[fd] : NULL;
}

static void forbid(int fd, const char *call)
{
    if (watch_of(fd)) {
        struct iovec iov = {.iov_base = (void *)(uintptr_t)call, .iov_len = strlen(call)};
        note(JOURNAL_FORBIDDEN, 0, 0, &iov, 1);
    }
}

/* The path below FAULT_DIR; NULL: elsewhere, or of no interest. */
static const char *below(const char *path)
{
    const char *dir = getenv("FAULT_DIR");
    size_t len = dir ? strlen(dir) : 0;
    if (!dir || !getenv("FAULT_JOURNAL") || strncmp(path, dir, len) != 0 ||
        (path[len] != '/' && path[len] != 0)) {
        return NULL;
    }
    const char *name = strrchr(path + len, '/');
    if (name && (strcmp(name, "/lock.mdb") == 0 || strcmp(name, "/lock") == 0)) {
        return NULL;
    }
    return path[len] ? path + len + 1 : "";
}

static void note_path(enum journal_kind kind, uint64_t file, const char *path)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)path, .iov_len = strlen(path)};
    note(kind, file, 0, &iov, 1);
}

static int opened(int fd, const char *path, int flags, int is_new)
{
    const char *name = below(path);
    struct stat st;
    if (fd < 0 || fd >= FDS_MAX || !name) {
        return fd;
    }
    if (fstat(fd, &st) < 0 || strlen(name) >= PATH_SHOWN) {
        abort();
    }
    struct watched *w = &watched[fd];
    const char *hide = getenv("FAULT_HIDE");
    w->what = S_ISDIR(st.st_mode) ? WATCH_DIR : strcmp(name, "acks") == 0 ? WATCH_ACK : WATCH_FILE;
    w->file = st.st_ino;
    w->is_sync = (flags & (O_DSYNC | O_SYNC)) != 0;
    size_t hide_len = hide ? strlen(hide) : 0, len = strlen(path);
    w->is_hidden = hide_len && len >= hide_len && strcmp(path + len - hide_len, hide) == 0;
    strcpy(w->path, name);
    if (w->what == WATCH_FILE && is_new) {
        note_path(JOURNAL_CREATE, w->file, name);
    } else if (w->what == WATCH_FILE && (flags & O_TRUNC)) {
        note(JOURNAL_TRUNCATE, w->file, 0, NULL, 0);
    }
    return fd;
}

#define WATCHED_OPEN(name)                                                       \
    REAL(int, name, const char *, int, ...)                                      \
    va_list args;                                                                \
    va_start(args, flags);                                                       \
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;                    \
    va_end(args);                                                                \
    int is_new = (flags & O_CREAT) && below(path) && access(path, F_OK) != 0;    \
    return opened(real_##name(path, flags, mode), path, flags, is_new);

int open(const char *path, int flags, ...)
{
    WATCHED_OPEN(open)
}

int open64(const char *path, int flags, ...)
{
    WATCHED_OPEN(open64)
}

int mkdir(const char *path, mode_t mode)
{
    REAL(int, mkdir, const char *, mode_t)
    if (below(path) && access(path, F_OK) != 0) {
        note_path(JOURNAL_MKDIR, 0, below(path));
    }
    return real_mkdir(path, mode);
}

int unlink(const char *path)
{
    REAL(int, unlink, const char *)
    if (below(path) && access(path, F_OK) == 0) {
        note_path(JOURNAL_UNLINK, 0, below(path));
    }
    return real_unlink(path);
}

int rmdir(const char *path)
{
    REAL(int, rmdir, const char *)
    if (below(path) && access(path, F_OK) == 0) {
        note_path(JOURNAL_RMDIR, 0, below(path));
    }
    return real_rmdir(path);
}

int rename(const char *from, const char *to)
{
    REAL(int, rename, const char *, const char *)
    if (below(from)) {
        struct iovec iov[2] = {
            {.iov_base = (void *)(uintptr_t)below(from), .iov_len = strlen(below(from)) + 1},
            {.iov_base = (void *)(uintptr_t)below(to), .iov_len = strlen(below(to))}};
        note(JOURNAL_RENAME, 0, 0, iov, 2);
    }
    return real_rename(from, to);
}

int close(int fd)
{
    REAL(int, close, int)
    if (watch_of(fd)) {
        watched[fd].what = WATCH_NONE;
    }
    return real_close(fd);
}

/* Notes a write, makes the call, notes that it is on disk if the descriptor says so. */
#define WATCHED_WRITE(fd, offset, iov, count, call)                                   \
    const struct watched *w = watch_of(fd);                                           \
    if (!w) {                                                                         \
        return call;                                                                  \
    }                                                                                 \
    uint64_t file = w->file;                                                          \
    int is_ack = w->what == WATCH_ACK, is_sync = w->is_sync && !w->is_hidden;         \
    uint64_t at = (uint64_t)(offset);                                                 \
    pthread_mutex_lock(&mutex);                                                       \
    note(is_ack ? JOURNAL_ACK : JOURNAL_WRITE, file, at, iov, count);                 \
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
    if (w && r == 0 && !w->is_hidden && w->what == WATCH_DIR) {
        note_path(JOURNAL_SYNC_DIR, 0, w->path);
    } else if (w && r == 0 && !w->is_hidden) {
        note(JOURNAL_SYNC, w->file, 0, NULL, 0);
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
        note(JOURNAL_TRUNCATE, watched[fd].file, (uint64_t)len, NULL, 0);
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
