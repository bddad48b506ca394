/* SPDX-License-Identifier: MIT */
/* The state environment: an LMDB tree of the ledger's records, each behind its checksum, and a tree
 * with one meta record that says which log index all of them belong to.
 *
 *   writer thread    snapshot (one read transaction and its cursor), renewed, never written
 *   flusher thread   one write transaction a flush: begin, put in key order, commit
 *
 * Owns: the environment and the snapshot.  The meta record is written in the same transaction as
 * the records, so after any crash they agree and the log is replayed from the next index.
 * The meta record has a tree of its own, so that next() over the records never meets it.
 * Happy path of a flush: keys ascend, group by group, so LMDB's cursor finds most of them near the
 * page where it stands; values go straight into the page (MDB_RESERVE) with their sum.
 * Fails: < 0; a full map too, because room is checked before the log, so here it is a bug or a
 * foreign hand, and the process ends with the log intact.
 * Invariants: the snapshot is at most one flush behind, else it would pin freed pages.
 * Roads not taken: reading before writing to skip equal values (a get costs what a put costs). */
#include "store/stateenv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "store/walk.h"

#define META_KEY "meta"
/* Entries that are written out of order, neighbours not one after the other: a page that is filled
 * from left to right splits into a half full one and the next, so that all of them stay half empty;
 * in any other order they end up two thirds full. */
#define GROUP        128 /* a power of two */
#define GROUP_STRIDE 53  /* odd */

/* What the meta record says of all records. */
struct tally {
    uint64_t count;
    uint64_t digest;
};

struct stateenv {
    MDB_env *env;
    MDB_dbi records;               /* both handles are set at open and constant */
    MDB_dbi meta_dbi;
    MDB_txn *snapshot;             /* writer thread */
    MDB_cursor *cursor;            /* in the snapshot */
    uint64_t leaf_pages;           /* of the records in the snapshot */
    struct record_state_meta meta; /* as found at open */
    struct tally tally;            /* flusher thread: as of its newest commit */
};

/* -- making and opening ------------------------------------------------------------------------ */

static int put_meta(MDB_txn *txn, MDB_dbi dbi, const struct record_state_meta *meta)
{
    uint8_t bytes[RECORD_STATE_META_SIZE];
    record_state_meta_write(meta, bytes);
    MDB_val key = {.mv_size = strlen(META_KEY), .mv_data = META_KEY};
    MDB_val value = {.mv_size = sizeof bytes, .mv_data = bytes};
    int rc = mdb_put(txn, dbi, &key, &value, 0);
    return rc ? err_origin(env_error(rc)) : 0;
}

static int fill_new(MDB_txn *txn, const void *arg)
{
    MDB_dbi records, meta;
    int rc = mdb_dbi_open(txn, "records", MDB_CREATE, &records);
    if (rc == 0) {
        rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &meta);
    }
    return rc ? err_origin(env_error(rc)) : err_trace(put_meta(txn, meta, arg));
}

int stateenv_make(const char *path, size_t map_bytes, const uint8_t cluster_id[16])
{
    struct record_state_meta meta = {0};
    memcpy(meta.cluster_id, cluster_id, sizeof meta.cluster_id);
    return err_trace(env_make(path, map_bytes, &meta, fill_new));
}

static int read_meta(struct stateenv *s, MDB_txn *txn, uint32_t *ret_format)
{
    MDB_val key = {.mv_size = strlen(META_KEY), .mv_data = META_KEY}, value;
    int rc = mdb_get(txn, s->meta_dbi, &key, &value);
    if (rc != 0) {
        return env_verdict(rc, STATEENV_E_DAMAGED);
    }
    switch (record_state_meta_read(env_span(value), &s->meta, ret_format)) {
    case 0:
        return 0;
    case RECORD_E_FORMAT:
        return STATEENV_E_FORMAT;
    default:
        return STATEENV_E_DAMAGED;
    }
}

/* Handles live on only when the transaction that opened them commits. */
static int open_trees(struct stateenv *s, uint32_t *ret_format)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0) {
        return env_verdict(rc, STATEENV_E_DAMAGED);
    }
    rc = mdb_dbi_open(txn, "records", 0, &s->records);
    if (rc == 0) {
        rc = mdb_dbi_open(txn, "meta", 0, &s->meta_dbi);
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return env_verdict(rc, STATEENV_E_DAMAGED);
    }
    int r = read_meta(s, txn, ret_format);
    rc = mdb_txn_commit(txn);
    return rc ? env_verdict(rc, STATEENV_E_DAMAGED) : err_trace(r);
}

static int note_leaf_pages(struct stateenv *s)
{
    MDB_stat stat;
    int rc = mdb_stat(s->snapshot, s->records, &stat);
    if (rc != 0) {
        return env_verdict(rc, STATEENV_E_DAMAGED);
    }
    s->leaf_pages = stat.ms_leaf_pages + stat.ms_overflow_pages;
    return 0;
}

static int open_snapshot(struct stateenv *s)
{
    int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->snapshot);
    if (rc == 0) {
        rc = mdb_cursor_open(s->snapshot, s->records, &s->cursor);
    }
    return rc ? env_verdict(rc, STATEENV_E_DAMAGED) : err_trace(note_leaf_pages(s));
}

int stateenv_open(const char *path, size_t map_bytes, struct stateenv **ret_state,
                  uint32_t *ret_format)
{
    struct stateenv *s = calloc(1, sizeof *s);
    if (!s) {
        return err_origin(-ENOMEM);
    }
    int r = env_open(path, map_bytes, &s->env);
    if (r == ENV_E_DAMAGED) {
        r = STATEENV_E_DAMAGED;
    }
    if (r == 0) {
        r = open_trees(s, ret_format);
        s->tally = (struct tally){.count = s->meta.count, .digest = s->meta.digest};
    }
    if (r == 0) {
        r = open_snapshot(s);
    }
    if (r != 0) {
        stateenv_close(s);
        return err_trace(r);
    }
    *ret_state = s;
    return 0;
}

static int tally_in(void *arg, struct span key, struct span stored)
{
    struct tally *t = arg;
    struct span value;
    if (record_value_read(key, stored, &value) != 0) {
        return WALK_E_DAMAGED;
    }
    t->count++;
    t->digest += record_value_sum(stored);
    return 0;
}

int stateenv_verify(struct stateenv *s)
{
    struct tally found = {0};
    int r = walk_tree(s->snapshot, s->records, &found, tally_in);
    if (r == WALK_E_DAMAGED) {
        return STATEENV_E_DAMAGED;
    }
    if (r == 0 && (found.count != s->meta.count || found.digest != s->meta.digest)) {
        return STATEENV_E_DAMAGED;
    }
    return err_fold(r);
}

void stateenv_close(struct stateenv *s)
{
    if (!s) {
        return;
    }
    if (s->cursor) {
        mdb_cursor_close(s->cursor);
    }
    if (s->snapshot) {
        mdb_txn_abort(s->snapshot);
    }
    if (s->env) {
        mdb_env_close(s->env);
    }
    free(s);
}

/* -- writer thread: the snapshot --------------------------------------------------------------- */

const struct record_state_meta *stateenv_meta(const struct stateenv *s)
{
    return &s->meta;
}

int stateenv_renew(struct stateenv *s)
{
    mdb_txn_reset(s->snapshot);
    int rc = mdb_txn_renew(s->snapshot);
    if (rc == 0) {
        rc = mdb_cursor_renew(s->snapshot, s->cursor);
    }
    return rc ? err_fold(env_verdict(rc, STATEENV_E_DAMAGED)) : err_trace(note_leaf_pages(s));
}

int stateenv_get(struct stateenv *s, struct span key, struct span *ret_value)
{
    MDB_val k = env_val(key), stored;
    int rc = mdb_get(s->snapshot, s->records, &k, &stored);
    if (rc == MDB_NOTFOUND) {
        return STATEENV_E_NONE;
    }
    if (rc != 0) {
        return env_verdict(rc, STATEENV_E_DAMAGED);
    }
    return record_value_read(key, env_span(stored), ret_value) ? STATEENV_E_DAMAGED : 0;
}

static int cursor_get(struct stateenv *s, MDB_val *k, MDB_cursor_op op, struct span *ret_stored)
{
    MDB_val stored;
    int rc = mdb_cursor_get(s->cursor, k, &stored, op);
    if (rc == MDB_NOTFOUND) {
        return STATEENV_E_NONE;
    }
    if (rc != 0) {
        return env_verdict(rc, STATEENV_E_DAMAGED);
    }
    *ret_stored = env_span(stored);
    return 0;
}

int stateenv_seek(struct stateenv *s, struct span from, bool exclusive, struct span *ret_key,
                  struct span *ret_stored)
{
    MDB_val k = env_val(from);
    /* LMDB takes no empty key; nothing comes before an empty one. */
    int r = cursor_get(s, &k, from.len ? MDB_SET_RANGE : MDB_FIRST, ret_stored);
    if (r == 0 && exclusive && span_equal(env_span(k), from)) {
        r = cursor_get(s, &k, MDB_NEXT, ret_stored);
    }
    if (r == 0) {
        *ret_key = env_span(k);
    }
    return err_trace(r);
}

int stateenv_step(struct stateenv *s, struct span *ret_key, struct span *ret_stored)
{
    MDB_val k;
    int r = cursor_get(s, &k, MDB_NEXT, ret_stored);
    if (r == 0) {
        *ret_key = env_span(k);
    }
    return err_trace(r);
}

int stateenv_usage(struct stateenv *s, struct env_usage *ret_usage)
{
    return err_trace(env_usage(s->snapshot, ret_usage));
}

uint64_t stateenv_leaf_pages(const struct stateenv *s)
{
    return s->leaf_pages;
}

/* -- copies ------------------------------------------------------------------------------------ */

int stateenv_copy(struct stateenv *s, const char *path)
{
    return err_trace(env_copy(s->env, path));
}

int stateenv_copy_bytes(struct stateenv *s, uint64_t *ret_bytes)
{
    struct env_usage usage;
    MDB_txn *txn;
    int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    int r = env_usage(txn, &usage);
    mdb_txn_abort(txn);
    if (r == 0) {
        *ret_bytes = usage.used_pages * usage.page_bytes;
    }
    return err_trace(r);
}

/* -- flusher thread ---------------------------------------------------------------------------- */

/* The record that stood there leaves the tally.  0, MDB_NOTFOUND (none stood there). */
static int tally_out(MDB_cursor *cursor, MDB_val *key, struct tally *t)
{
    MDB_val value;
    int rc = mdb_cursor_get(cursor, key, &value, MDB_SET);
    if (rc == 0) {
        t->count--;
        t->digest -= record_value_sum(env_span(value));
    }
    return rc;
}

static int write_entry(MDB_cursor *cursor, const struct overlay_entry *e, struct tally *t)
{
    MDB_val key = env_val(overlay_key(e)), value = {0};
    int rc = tally_out(cursor, &key, t);
    if (e->tombstone) {
        rc = rc == 0 ? mdb_cursor_del(cursor, 0) : rc;
        rc = rc == MDB_NOTFOUND ? 0 : rc; /* made and removed between two flushes */
    } else if (rc == 0 || rc == MDB_NOTFOUND) {
        value.mv_size = RECORD_SUM_SIZE + e->value_len;
        rc = mdb_cursor_put(cursor, &key, &value, MDB_RESERVE);
        if (rc == 0) {
            record_value_write(overlay_key(e), overlay_value(e), value.mv_data);
            t->count++;
            t->digest += record_value_sum(env_span(value));
        }
    }
    return rc ? err_origin(env_error(rc)) : 0;
}

/* The next entries, at most GROUP of them; their number. */
static size_t group_take(struct overlay_cursor *at, const struct overlay_entry *group[GROUP])
{
    size_t count = 0;
    const struct overlay_entry *e;
    while (count < GROUP && (e = overlay_at(at)) != NULL) {
        group[count++] = e;
        overlay_step(at);
    }
    return count;
}

static int write_records(struct stateenv *s, MDB_txn *txn, const struct overlay *overlay,
                         struct tally *t)
{
    const struct overlay_entry *group[GROUP];
    MDB_cursor *cursor;
    size_t count;
    int r = 0;
    int rc = mdb_cursor_open(txn, s->records, &cursor);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    struct overlay_cursor at = overlay_seek(overlay, span_of(""), false);
    while (r == 0 && (count = group_take(&at, group)) > 0) {
        for (size_t i = 0; r == 0 && i < GROUP; i++) {
            size_t place = i * GROUP_STRIDE % GROUP;
            r = place < count ? write_entry(cursor, group[place], t) : 0;
        }
    }
    mdb_cursor_close(cursor);
    return err_trace(r);
}

int stateenv_write(struct stateenv *s, const struct overlay *overlay,
                   const struct record_state_meta *meta)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(s->env, NULL, 0, &txn);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    struct tally tally = s->tally;
    struct record_state_meta whole = *meta;
    int r = write_records(s, txn, overlay, &tally);
    if (r == 0) {
        whole.count = tally.count;
        whole.digest = tally.digest;
        r = put_meta(txn, s->meta_dbi, &whole);
    }
    if (r < 0) {
        mdb_txn_abort(txn);
        return err_trace(r);
    }
    rc = mdb_txn_commit(txn);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    s->tally = tally;
    return 0;
}
