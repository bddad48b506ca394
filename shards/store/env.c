/* SPDX-License-Identifier: MIT */
/* What the log environment and the state environment have in common.
 *
 * Durability is LMDB's default: a commit writes data pages, fdatasync, then one meta page through
 * an O_DSYNC descriptor.  NOSYNC, NOMETASYNC and WRITEMAP lose or corrupt data on power loss, so no
 * flag of that kind may ever be named here.  MDB_NOTLS: a reader's slot belongs to its transaction
 * and not to the thread.
 * First creation: the two meta pages of a new environment are not synced before its first commit,
 * so a power loss there leaves a file that LMDB refuses.  Therefore env_make() builds beside and
 * renames: a directory without ".new" is always complete.
 * Opening syncs: a process killed inside its last commit may leave a meta page that is seen here
 * and not on disk yet; what is read as applied decides what is trimmed from the log.
 * Fails: < 0 only.  Damage has its own number, so that store.c can name it.
 * Roads not taken: growing the map at run time (needs a moment without transactions); one
 * environment for log and state (every round would rewrite all touched leaves, synced twice). */
#include "store/env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "store/folder.h"

#define NAMED_DBS_MAX 4
#define READERS_MAX   16 /* the writer, a copy, an operator's mdb_stat */

#define ENV_E_NONE     2 /* no file; inside this file only */
#define SCRUB_TRIES    20
#define SCRUB_PAUSE_US 5000

/* Meta pages of LMDB's data version 1 (mdb.c: MDB_page, MDB_meta), on a 64-bit machine. */
#define META_MAGIC         0xBEEFC0DE
#define META_VERSION       1
#define META_AT_MAGIC      16
#define META_AT_VERSION    20
#define META_AT_PAGE_BYTES 40 /* md_pad of the free list's tree */
#define META_AT_LAST       136 /* number of the last page that was given out */
#define META_AT_TXN        144
#define META_BYTES         152

int env_error(int rc)
{
    switch (rc) {
    case 0:
        return 0;
    case MDB_MAP_FULL:
        return -ENOSPC;
    case MDB_PAGE_NOTFOUND:
    case MDB_CORRUPTED:
    case MDB_PANIC:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_NOTFOUND: /* callers that expect it never come here with it */
        return -EBADMSG;
    default:
        return rc > 0 ? -rc : -EIO;
    }
}

int env_verdict(int rc, int damaged)
{
    int r = env_error(rc);
    return r == -EBADMSG ? damaged : r ? err_origin(r) : 0;
}

/* Of one meta page: what decides which of the two is the newer one, and how big a page is. */
struct meta_page {
    uint64_t number;
    uint32_t magic;
    uint32_t version;
    uint32_t page_bytes;
    uint64_t last;
    uint64_t txn;
};

static int read_at(int fd, uint64_t offset, void *to, size_t len)
{
    ssize_t n = pread(fd, to, len, (off_t)offset);
    return n < 0 ? err_origin(-errno) : (size_t)n == len ? 0 : ENV_E_DAMAGED;
}

static int meta_read(int fd, uint64_t offset, struct meta_page *ret_meta)
{
    uint8_t head[META_BYTES];
    int r = read_at(fd, offset, head, sizeof head);
    if (r) {
        return err_trace(r);
    }
    memcpy(&ret_meta->number, head, sizeof ret_meta->number);
    memcpy(&ret_meta->magic, head + META_AT_MAGIC, sizeof ret_meta->magic);
    memcpy(&ret_meta->version, head + META_AT_VERSION, sizeof ret_meta->version);
    memcpy(&ret_meta->page_bytes, head + META_AT_PAGE_BYTES, sizeof ret_meta->page_bytes);
    memcpy(&ret_meta->last, head + META_AT_LAST, sizeof ret_meta->last);
    memcpy(&ret_meta->txn, head + META_AT_TXN, sizeof ret_meta->txn);
    return 0;
}

/* Both; 0, ENV_E_NONE, ENV_E_DAMAGED: the file ends before, < 0. */
static int metas_read(const char *path, struct meta_page metas[2])
{
    char file[FOLDER_PATH_MAX];
    int r = folder_join(file, path, "/data.mdb");
    if (r < 0) {
        return err_trace(r);
    }
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? ENV_E_NONE : err_origin(-errno);
    }
    r = meta_read(fd, 0, &metas[0]);
    if (r == 0) {
        r = meta_read(fd, (uint64_t)sysconf(_SC_PAGESIZE), &metas[1]);
    }
    close(fd);
    return err_trace(r);
}

int env_other_lmdb(const char *path, uint32_t *ret_version)
{
    struct meta_page metas[2] = {{0}};
    int r = metas_read(path, metas);
    *ret_version = 0;
    if (r) {
        return r > 0 ? 0 : err_trace(r);
    }
    bool is_lmdb = metas[0].magic == META_MAGIC && metas[1].magic == META_MAGIC;
    if (is_lmdb && metas[0].version == metas[1].version) { /* damage is on one of them */
        *ret_version = metas[0].version == META_VERSION ? 0 : metas[0].version;
    }
    return 0;
}

/* A spoiled transaction number would quietly open the commit before the last one.  Commit n goes to
 * page n % 2, so the two numbers are neighbours, each on its page; a power loss leaves the old
 * page or the new one, for the part that matters fits a sector. */
static int check_metas(const char *path, struct meta_page metas[2])
{
    int r = metas_read(path, metas);
    if (r == ENV_E_NONE) {
        return 0; /* a new one */
    }
    for (uint64_t i = 0; r == 0 && i < 2; i++) {
        bool fits = metas[i].number == i && metas[i].magic == META_MAGIC &&
                    metas[i].version == META_VERSION && metas[i].txn % 2 == i &&
                    metas[i].page_bytes == (uint64_t)sysconf(_SC_PAGESIZE);
        r = fits ? 0 : ENV_E_DAMAGED;
    }
    bool neighbours = r == 0 && (metas[0].txn + 1 == metas[1].txn ||
                                 metas[1].txn + 1 == metas[0].txn);
    return r ? err_trace(r) : neighbours ? 0 : ENV_E_DAMAGED;
}

static int open_any(const char *path, size_t map_bytes, MDB_env **ret_env)
{
    MDB_env *env = NULL;
    int dead = 0;
    int rc = mdb_env_create(&env);
    if (rc == 0) {
        rc = mdb_env_set_mapsize(env, map_bytes);
    }
    if (rc == 0) {
        rc = mdb_env_set_maxdbs(env, NAMED_DBS_MAX);
    }
    if (rc == 0) {
        rc = mdb_env_set_maxreaders(env, READERS_MAX);
    }
    if (rc == 0) {
        rc = mdb_env_open(env, path, MDB_NOTLS, 0600);
    }
    if (rc == 0) {
        rc = mdb_reader_check(env, &dead); /* a killed reader would pin pages for ever */
    }
    if (rc == 0) {
        rc = mdb_env_sync(env, 1);
    }
    if (rc != 0) {
        mdb_env_close(env);
        return env_verdict(rc, ENV_E_DAMAGED);
    }
    *ret_env = env;
    return 0;
}

/* A file that was cut short has no pages where the trees point, and to look there through the map
 * ends the process (SIGBUS) without a word.  With zeros in their place LMDB and the records' sums
 * find the damage as any other.  Not damage by itself: pages that a transaction took at the end and
 * gave back at once are counted and never written. */
static int fill_up(const char *path, size_t map_bytes)
{
    char file[FOLDER_PATH_MAX];
    struct meta_page metas[2] = {{0}};
    struct stat st;
    int r = check_metas(path, metas);
    r = r ? r : folder_join(file, path, "/data.mdb");
    if (r || metas[0].page_bytes == 0) {
        return err_trace(r); /* damaged, or a new one */
    }
    uint64_t pages = (metas[0].last > metas[1].last ? metas[0].last : metas[1].last) + 1;
    if (pages == 0 || pages > SIZE_MAX / 2 / metas[0].page_bytes) {
        return ENV_E_DAMAGED;
    }
    off_t len = (off_t)(pages * metas[0].page_bytes);
    int fd = open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return err_origin(-errno);
    }
    r = fstat(fd, &st) ? err_origin(-errno) : 0;
    if (r == 0 && st.st_size < len) {
        r = (uint64_t)(len - st.st_size) > map_bytes ? ENV_E_DAMAGED
            : ftruncate(fd, len)                     ? err_origin(-errno) : 0;
    }
    close(fd);
    return r;
}

int env_open(const char *path, size_t map_bytes, MDB_env **ret_env)
{
    int r = fill_up(path, map_bytes);
    return r ? err_trace(r) : err_trace(open_any(path, map_bytes, ret_env));
}

static int make_contents(const char *path, size_t map_bytes, const void *arg,
                         int (*fill)(MDB_txn *txn, const void *arg))
{
    MDB_env *env;
    MDB_txn *txn;
    int r = err_fold(open_any(path, map_bytes, &env)); /* a new file cannot be damaged */
    if (r < 0) {
        return err_trace(r);
    }
    int rc = mdb_txn_begin(env, NULL, 0, &txn);
    if (rc != 0) {
        r = err_origin(env_error(rc));
        goto close_env;
    }
    r = fill(txn, arg);
    if (r < 0) {
        mdb_txn_abort(txn);
        goto close_env;
    }
    rc = mdb_txn_commit(txn);
    if (rc != 0) {
        r = err_origin(env_error(rc));
        goto close_env;
    }
    rc = mdb_env_sync(env, 1); /* both meta pages, also the one the first commit did not write */
    r = rc ? err_origin(env_error(rc)) : 0;
close_env:
    mdb_env_close(env);
    return err_trace(r);
}

int env_make(const char *path, size_t map_bytes, const void *arg,
             int (*fill)(MDB_txn *txn, const void *arg))
{
    char beside[FOLDER_PATH_MAX];
    int r = folder_join(beside, path, ".new");
    if (r < 0) {
        return err_trace(r);
    }
    r = folder_remove_env(beside);
    if (r < 0) {
        return err_trace(r);
    }
    if (mkdir(beside, 0700) < 0) {
        return err_origin(-errno);
    }
    r = make_contents(beside, map_bytes, arg, fill);
    if (r < 0) {
        return err_trace(r);
    }
    r = folder_sync(beside);
    if (r < 0) {
        return err_trace(r);
    }
    if (rename(beside, path) < 0) {
        return err_origin(-errno);
    }
    return err_trace(folder_sync_parent(path));
}

int env_copy(MDB_env *env, const char *path)
{
    char file[FOLDER_PATH_MAX];
    int r = folder_join(file, path, "/data.mdb");
    if (r < 0) {
        return err_trace(r);
    }
    if (mkdir(path, 0700) < 0) {
        return err_origin(-errno);
    }
    int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_origin(-errno);
    }
    int rc = mdb_env_copyfd2(env, fd, MDB_CP_COMPACT); /* a plain copy waits for the writer */
    close(fd);
    return rc ? err_origin(env_error(rc)) : 0;
}

/* Pages on the free list, and those of them that the newest transaction freed: a reader may still
 * look at these, so the next write transaction cannot have them yet. */
static int free_pages(MDB_txn *txn, uint64_t *ret_pages, uint64_t *ret_late)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    uint64_t pages = 0, late = 0;
    int rc = mdb_cursor_open(txn, 0, &cursor);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        size_t freed_by, count;
        if (key.mv_size != sizeof freed_by || value.mv_size < sizeof count) {
            rc = MDB_CORRUPTED;
            break;
        }
        memcpy(&freed_by, key.mv_data, sizeof freed_by);
        memcpy(&count, value.mv_data, sizeof count);
        pages += count;
        late += freed_by >= mdb_txn_id(txn) ? count : 0;
    }
    mdb_cursor_close(cursor);
    if (rc != MDB_NOTFOUND) {
        return err_origin(env_error(rc));
    }
    *ret_pages = pages;
    *ret_late = late;
    return 0;
}

/* A list of free pages is its length and then page numbers that fall, all of them in the file. */
static bool free_list_whole(const uint8_t *bytes, size_t len, uint64_t pages)
{
    size_t count, page, before = pages;
    memcpy(&count, bytes, sizeof count);
    if (count > len / sizeof count - 1) {
        return false;
    }
    for (size_t i = 1; i <= count; i++) {
        memcpy(&page, bytes + i * sizeof page, sizeof page);
        if (page >= before || page < 2) {
            return false;
        }
        before = page;
    }
    return true;
}

/* Of one list that is whole. */
static int each_of_list(const uint8_t *bytes, void *arg, int (*each)(void *arg, uint64_t page))
{
    size_t count, page;
    int r = 0;
    memcpy(&count, bytes, sizeof count);
    for (size_t i = 1; r == 0 && i <= count; i++) {
        memcpy(&page, bytes + i * sizeof page, sizeof page);
        r = each(arg, page);
    }
    return r;
}

int env_free_pages(MDB_txn *txn, void *arg, int (*each)(void *arg, uint64_t page))
{
    MDB_envinfo info;
    MDB_cursor *cursor;
    MDB_val key, value;
    int r = 0, rc = mdb_env_info(mdb_txn_env(txn), &info);
    if (rc == 0) {
        rc = mdb_cursor_open(txn, 0, &cursor);
    }
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    while (r == 0 && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        bool is_whole = key.mv_size == sizeof(size_t) && value.mv_size >= sizeof(size_t) &&
                        free_list_whole(value.mv_data, value.mv_size, info.me_mapsize / 4096);
        r = !is_whole ? ENV_E_DAMAGED : each ? each_of_list(value.mv_data, arg, each) : 0;
    }
    mdb_cursor_close(cursor);
    return r ? r : rc == MDB_NOTFOUND ? 0 : env_verdict(rc, ENV_E_DAMAGED);
}

int env_scrub(MDB_env *env, MDB_txn *txn)
{
    const char *path;
    int r = ENV_E_DAMAGED;
    if (mdb_env_get_path(env, &path) != 0) {
        return err_origin(-EINVAL);
    }
    /* A commit may write one of them just now: only what stays wrong is. */
    for (int i = 0; i < SCRUB_TRIES && r == ENV_E_DAMAGED; i++) {
        usleep(i ? SCRUB_PAUSE_US : 0);
        struct meta_page metas[2];
        r = check_metas(path, metas);
    }
    return r ? err_trace(r) : err_trace(env_free_pages(txn, NULL, NULL));
}

int env_usage(MDB_txn *txn, struct env_usage *ret_usage)
{
    MDB_envinfo info;
    MDB_stat stat;
    uint64_t pages = 0, late = 0;
    MDB_env *env = mdb_txn_env(txn);
    int r = free_pages(txn, &pages, &late);
    if (r < 0) {
        return err_trace(r);
    }
    int rc = mdb_env_info(env, &info);
    if (rc == 0) {
        rc = mdb_env_stat(env, &stat);
    }
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    uint64_t reached = info.me_last_pgno + 1;
    *ret_usage = (struct env_usage){
        .page_bytes = stat.ms_psize,
        .map_pages = info.me_mapsize / stat.ms_psize,
        .used_pages = pages < reached ? reached - pages : 0,
        .late_pages = late,
    };
    return 0;
}
