/* SPDX-License-Identifier: MIT */
/* The state environment: an LMDB tree of the ledger's records, each behind its checksum, and a tree
 * with one meta record that says which log index all of them belong to.
 *
 *   writer thread    snapshot (one read transaction and its cursor), renewed, never written
 *   flusher thread   write transactions: stateenv_write.c
 *
 * Owns: the environment and the snapshot.  The meta record is written in the same transaction as
 * the last of the records, so after any crash they agree and the log is replayed from the next
 * index.
 * Between two slices of a flush the snapshot is a mixture, which nobody sees: the frozen overlay
 * has all that differs.  What a crash leaves of it is put back (undo.c), in parts: each leaves a
 * tally that agrees with the records, and the undo goes with the last.
 * The meta record has a tree of its own, so that next() over the records never meets it.
 * Fails: < 0; a full map too, because room is checked before the log, so here it is a bug or a
 * foreign hand, and the process ends with the log intact.
 * Invariants: the snapshot is at most one flush behind, else it would pin freed pages. */
#include "store/stateenv_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "store/walk.h"

#define UNDO_PAGES_MAX 512 /* put back in one transaction: 45 notes each at most, so that not nearly
                            * as many pages are touched as LMDB tracks */

/* -- making and opening ------------------------------------------------------------------------ */

int stateenv_put_meta(MDB_txn *txn, MDB_dbi dbi, const struct record_state_meta *meta)
{
    uint8_t bytes[RECORD_STATE_META_SIZE];
    record_state_meta_write(meta, bytes);
    MDB_val key = {.mv_size = strlen(STATEENV_META), .mv_data = STATEENV_META};
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
    return rc ? err_origin(env_error(rc)) : err_trace(stateenv_put_meta(txn, meta, arg));
}

int stateenv_make(const char *path, size_t map_bytes, const uint8_t cluster_id[16])
{
    struct record_state_meta meta = {0};
    memcpy(meta.cluster_id, cluster_id, sizeof meta.cluster_id);
    return err_trace(env_make(path, map_bytes, &meta, fill_new));
}

static int read_meta(struct stateenv *s, MDB_txn *txn, uint32_t *ret_format)
{
    MDB_val key = {.mv_size = strlen(STATEENV_META), .mv_data = STATEENV_META}, value;
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
        s->newest = s->meta;
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

/* What undo_each() calls. */
struct restore {
    MDB_txn *txn;
    MDB_dbi records;
    struct tally tally;
};

static int restore_one(void *arg, struct span key, struct span stored)
{
    struct restore *b = arg;
    MDB_val k = env_val(key), now, before = env_val(stored);
    int rc = mdb_get(b->txn, b->records, &k, &now);
    if (rc == 0) {
        b->tally.count--;
        b->tally.digest -= record_value_sum(env_span(now));
    }
    if (stored.ptr && (rc == 0 || rc == MDB_NOTFOUND)) {
        rc = mdb_put(b->txn, b->records, &k, &before, 0);
        b->tally.count++;
        b->tally.digest += record_value_sum(stored);
    } else if (rc == 0) {
        rc = mdb_del(b->txn, b->records, &k, NULL);
    }
    return rc == MDB_NOTFOUND ? 0 : env_verdict(rc, UNDO_E_DAMAGED);
}

/* The last part: what was put back must be what was there before. */
static int undo_end(struct stateenv *s, const struct restore *b)
{
    const struct undo_head *head = &s->undo.head;
    if (b->tally.count != head->count_before || b->tally.digest != head->digest_before) {
        return UNDO_E_DAMAGED;
    }
    return err_trace(undo_clear(&s->undo, b->txn, s->meta_dbi));
}

static int undo_write(struct stateenv *s, struct restore *b, struct undo_pages pages)
{
    bool is_last = pages.to == s->undo.head.pages;
    int r = undo_each(b->txn, s->meta_dbi, pages, b, restore_one);
    if (r == 0 && is_last) {
        r = undo_end(s, b);
    }
    struct record_state_meta meta = s->meta;
    meta.count = b->tally.count;
    meta.digest = b->tally.digest;
    return r ? err_trace(r) : err_trace(stateenv_put_meta(b->txn, s->meta_dbi, &meta));
}

/* One transaction.  The tally is of what it leaves, so that a crash behind it finds them agree. */
static int undo_part(struct stateenv *s, struct undo_pages pages)
{
    struct restore b = {.records = s->records, .tally = s->tally};
    int rc = mdb_txn_begin(s->env, NULL, 0, &b.txn);
    if (rc != 0) {
        return env_verdict(rc, UNDO_E_DAMAGED);
    }
    int r = undo_write(s, &b, pages);
    if (r) {
        mdb_txn_abort(b.txn);
        return err_trace(r);
    }
    rc = mdb_txn_commit(b.txn);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    s->tally = b.tally;
    s->meta.count = s->newest.count = b.tally.count;
    s->meta.digest = s->newest.digest = b.tally.digest;
    return err_trace(stateenv_renew(s));
}

int stateenv_undo(struct stateenv *s, uint64_t part_pages)
{
    uint64_t max = part_pages && part_pages < UNDO_PAGES_MAX ? part_pages : UNDO_PAGES_MAX;
    struct undo_pages pages = {0};
    int r = undo_find(s->snapshot, s->meta_dbi, &s->undo.head);
    if (r == UNDO_E_NONE) {
        s->is_whole = true;
        return 0;
    }
    uint64_t count = s->undo.head.pages;
    while (r == 0 && !s->is_whole) {
        pages.from = pages.to;
        pages.to += count - pages.to < max ? count - pages.to : max;
        r = undo_part(s, pages);
        s->is_whole = r == 0 && pages.to == count;
    }
    return r == UNDO_E_DAMAGED ? STATEENV_E_DAMAGED : err_trace(r);
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

static int scrub_record(void *arg, struct span key, struct span stored)
{
    struct span value;
    return record_value_read(key, stored, &value) ? WALK_E_DAMAGED : 0;
}

static int scrub_meta(struct stateenv *s, MDB_txn *txn)
{
    MDB_val key = {.mv_size = strlen(STATEENV_META), .mv_data = STATEENV_META}, value;
    struct record_state_meta meta;
    uint32_t format;
    int r = env_scrub(s->env, txn);
    int rc = r ? 0 : mdb_get(txn, s->meta_dbi, &key, &value);
    if (r || rc) {
        return r ? err_trace(r) : env_verdict(rc, WALK_E_DAMAGED);
    }
    return record_state_meta_read(env_span(value), &meta, &format) ? WALK_E_DAMAGED : 0;
}

int stateenv_scrub(struct stateenv *s, struct walk_place *place)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    int r = place->key_len == 0 ? scrub_meta(s, txn) : 0;
    r = r ? r : walk_part(txn, s->records, place, NULL, scrub_record);
    mdb_txn_abort(txn);
    return r > 0 ? STATEENV_E_DAMAGED : err_trace(r);
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
