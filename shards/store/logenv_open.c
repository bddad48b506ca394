/* SPDX-License-Identifier: MIT */
/* Making and opening a log: the tree first, then what stands in the tail behind it.
 *
 *   tree: meta, entries first..n, each by its sum   tail: n+1..last, acknowledged and in no commit
 *   -> those go into the tree, one commit, and the tail begins anew
 *
 * Fails: verdicts (another format, damage) with nothing changed, or < 0.
 * A log of format 2 has no tail; it gets one.  One of format 3 does not say whose disk it is on.
 * One commit makes them the newest; a program of their time must not open them from then on.
 * Before any commit the sums of a clean stop go: a start that ends behind it, refused or killed,
 * would leave a file that the next one takes for damaged. */
#include "store/logenv_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "store/sums.h"
#include "store/walk.h"

int logenv_put_meta(MDB_txn *txn, MDB_dbi dbi, const struct record_log_meta *meta)
{
    uint8_t bytes[RECORD_LOG_META_SIZE];
    record_log_meta_write(meta, bytes);
    struct logenv_key k = logenv_key_of(0);
    MDB_val key = logenv_key_val(&k);
    MDB_val value = {.mv_size = sizeof bytes, .mv_data = bytes};
    int rc = mdb_put(txn, dbi, &key, &value, 0);
    return rc ? err_origin(env_error(rc)) : 0;
}

int logenv_fill(MDB_txn *txn, const struct record_log_meta *meta, size_t tail_bytes,
                MDB_dbi *ret_dbi)
{
    const char *path;
    int rc = mdb_env_get_path(mdb_txn_env(txn), &path);
    if (rc == 0) {
        rc = mdb_dbi_open(txn, NULL, 0, ret_dbi);
    }
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    int r = tail_make(path, tail_bytes);
    return r ? err_trace(r) : err_trace(logenv_put_meta(txn, *ret_dbi, meta));
}

struct fresh {
    struct record_log_meta meta;
    size_t tail_bytes;
};

static int fill_new(MDB_txn *txn, const void *arg)
{
    const struct fresh *f = arg;
    MDB_dbi dbi;
    return err_trace(logenv_fill(txn, &f->meta, f->tail_bytes, &dbi));
}

int logenv_make(const struct logenv_place *place, const uint8_t cluster_id[16], uint64_t disk)
{
    struct fresh f = {.meta.disk = disk, .tail_bytes = place->tail_bytes};
    memcpy(f.meta.cluster_id, cluster_id, sizeof f.meta.cluster_id);
    return err_trace(env_make(place->path, place->map_bytes, &f, fill_new));
}

static int read_meta(struct logenv *l, uint32_t *ret_format)
{
    struct logenv_key k = logenv_key_of(0);
    MDB_val key = logenv_key_val(&k), value;
    int rc = mdb_get(l->read, l->dbi, &key, &value);
    if (rc != 0) {
        return env_verdict(rc, LOGENV_E_DAMAGED);
    }
    switch (record_log_meta_read(env_span(value), &l->meta, ret_format)) {
    case 0:
        return 0;
    case RECORD_E_FORMAT:
        return LOGENV_E_FORMAT;
    default:
        return LOGENV_E_DAMAGED;
    }
}

/* First and last entry; as many records as indexes between them, and the meta record. */
static int read_ends(struct logenv *l, MDB_cursor *cursor)
{
    MDB_val key, value;
    MDB_stat stat;
    int rc = mdb_stat(l->read, l->dbi, &stat);
    if (rc == 0) {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    }
    if (rc != 0) {
        return env_verdict(rc, LOGENV_E_DAMAGED);
    }
    l->last = logenv_key_index(key);
    if (l->last == 0) {
        l->last = l->meta.base;
        l->first = l->meta.base + 1;
    } else {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
        if (rc == 0) {
            rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        }
        if (rc != 0) {
            return env_verdict(rc, LOGENV_E_DAMAGED);
        }
        l->first = logenv_key_index(key);
    }
    l->durable = l->last;
    return stat.ms_entries - 1 == l->last + 1 - l->first ? 0 : LOGENV_E_DAMAGED;
}

bool logenv_entry_whole(uint64_t index, struct span value)
{
    struct reader r = reader_of(value.ptr, value.len);
    uint64_t term = reader_u64(&r);
    uint64_t sum = reader_u64(&r);
    struct span entry = {r.at, reader_left(&r)};
    return !r.bad && sum == record_entry_sum(index, term, entry);
}

/* Entries have no gap, so each index is one more than the one before it. */
static int verify_entry(void *arg, struct span key, struct span value)
{
    uint64_t *next = arg;
    uint64_t index = key.len == LOGENV_KEY_SIZE ? logenv_key_index(env_val(key)) : 0;
    if (index == 0) {
        /* The meta record has a sum of its own. */
        return key.len == LOGENV_KEY_SIZE ? 0 : WALK_E_DAMAGED;
    }
    bool good = index == *next && logenv_entry_whole(index, value);
    *next += 1;
    return good ? 0 : WALK_E_DAMAGED;
}

/* All that is kept, not only what will be replayed: followers and a restore read the rest. */
static int verify(struct logenv *l)
{
    uint64_t next = l->first;
    int r = walk_tree(l->read, l->dbi, &next, verify_entry);
    if (r == WALK_E_DAMAGED || (r == 0 && next != l->last + 1)) {
        return LOGENV_E_DAMAGED;
    }
    return err_trace(r);
}

static int read_all(struct logenv *l, bool is_damaged, uint32_t *ret_format)
{
    MDB_cursor *cursor;
    int rc = mdb_txn_begin(l->env, NULL, MDB_RDONLY, &l->read);
    if (rc == 0) {
        rc = mdb_dbi_open(l->read, NULL, 0, &l->dbi);
    }
    if (rc == 0) {
        rc = mdb_cursor_open(l->read, l->dbi, &cursor);
    }
    if (rc != 0) {
        return env_verdict(rc, LOGENV_E_DAMAGED);
    }
    int r = read_meta(l, ret_format);
    if (r == 0) {
        r = read_ends(l, cursor);
    }
    if (r == 0 && !is_damaged) {
        r = verify(l);
    }
    mdb_cursor_close(cursor);
    l->reading = is_damaged; /* all that is read of it is one and the same */
    if (!is_damaged) {
        mdb_txn_reset(l->read);
    }
    return err_trace(r);
}

/* -- the tail at opening ----------------------------------------------------------------------- */

static int open_tail(struct logenv *l, const char *path)
{
    MDB_envinfo info;
    int rc = mdb_env_info(l->env, &info);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    int r = tail_open(path, l->meta.cluster_id, info.me_last_txnid, &l->tail);
    return r == TAIL_E_DAMAGED ? LOGENV_E_DAMAGED : err_trace(r);
}

static int put_found(struct logenv *l, struct span record)
{
    uint64_t index = l->last + 1;
    if (!logenv_entry_whole(index, record)) {
        return LOGENV_E_DAMAGED;
    }
    int r = logenv_write_begin(l);
    if (r < 0) {
        return err_trace(r);
    }
    struct logenv_key k = logenv_key_of(index);
    MDB_val key = logenv_key_val(&k), value = env_val(record);
    int rc = mdb_put(l->write, l->dbi, &key, &value, MDB_APPEND);
    l->last = index;
    return rc ? err_origin(env_error(rc)) : 0;
}

/* What was acknowledged and is in the tail alone goes into the tree.  A turn in which anything was
 * written is over in any case: pieces of a torn batch may not come to stand behind a new one. */
static int take_tail(struct logenv *l, const char *path)
{
    struct span record;
    int r = open_tail(l, path);
    if (r == 0 && tail_was_used(l->tail)) {
        r = sums_forget(path);
    }
    while (r == 0 && tail_next(l->tail, &record)) {
        r = put_found(l, record);
    }
    if (r == 0 && tail_was_used(l->tail)) {
        r = logenv_write_begin(l);
        r = r ? r : logenv_commit_tree(l);
    }
    return err_trace(r);
}

/* A sector that nothing was in is not as it was written.  It says that the disk is not to be
 * trusted, and it would be taken for damage of a batch that came to end before it. */
static int renew_tail(struct logenv *l, const char *path)
{
    size_t bytes = tail_bytes(l->tail);
    l->was_tail_spoiled = true;
    tail_close(l->tail);
    l->tail = NULL;
    int r = tail_make(path, bytes);
    return r ? err_trace(r) : err_trace(open_tail(l, path));
}

static bool has_tail(const struct logenv *l)
{
    return l->meta.format >= RECORD_LOG_FORMAT_TAIL;
}

static int upgrade(struct logenv *l, const char *path)
{
    int r = sums_forget(path);
    r = r ? r : logenv_write_begin(l);
    return r ? err_trace(r) : err_trace(logenv_commit_tree(l));
}

static int join_tail(struct logenv *l, const char *path, size_t bytes)
{
    MDB_envinfo info;
    int r = has_tail(l) ? 0 : tail_make(path, bytes);
    r = r ? r : take_tail(l, path);
    if (r == 0 && l->meta.format < RECORD_LOG_FORMAT) {
        r = upgrade(l, path);
    }
    if (r == 0 && tail_was_spoiled(l->tail)) {
        r = renew_tail(l, path);
    }
    if (r) {
        return err_trace(r);
    }
    int rc = mdb_env_info(l->env, &info);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    tail_restart(l->tail, info.me_last_txnid);
    return 0;
}

/* Of a damaged log nothing is changed: the records stay where they are. */
static int find_tail(struct logenv *l, const char *path)
{
    struct span record;
    size_t count = 0;
    int r = has_tail(l) ? open_tail(l, path) : 0;
    l->in_tree = l->last;
    while (r == 0 && l->tail && tail_next(l->tail, &record)) {
        struct span *more = realloc(l->found, (count + 1) * sizeof *more);
        if (!more) {
            return err_origin(-ENOMEM);
        }
        l->found = more;
        l->found[count++] = record;
        l->last++;
    }
    return err_trace(r);
}

static int open_log(const struct logenv_place *place, bool is_damaged, struct logenv **ret_log,
                    uint32_t *ret_format)
{
    struct logenv *l = calloc(1, sizeof *l);
    if (!l) {
        return err_origin(-ENOMEM);
    }
    int r = env_open(place->path, place->map_bytes, &l->env);
    if (r == ENV_E_DAMAGED) {
        r = LOGENV_E_DAMAGED;
    }
    if (r == 0) {
        r = read_all(l, is_damaged, ret_format);
    }
    if (r == 0) {
        r = is_damaged ? find_tail(l, place->path)
                       : join_tail(l, place->path, place->tail_bytes);
    }
    if (r != 0) {
        logenv_close(l);
        return err_trace(r);
    }
    *ret_log = l;
    return 0;
}

int logenv_open(const struct logenv_place *place, struct logenv **ret_log, uint32_t *ret_format)
{
    return err_trace(open_log(place, false, ret_log, ret_format));
}

int logenv_open_damaged(const struct logenv_place *place, struct logenv **ret_log,
                        uint32_t *ret_format)
{
    return err_trace(open_log(place, true, ret_log, ret_format));
}

void logenv_close(struct logenv *l)
{
    if (!l) {
        return;
    }
    if (l->write) {
        mdb_txn_abort(l->write);
    }
    if (l->read) {
        mdb_txn_abort(l->read);
    }
    if (l->env) {
        mdb_env_close(l->env);
    }
    tail_close(l->tail);
    free(l->found);
    free(l);
}
