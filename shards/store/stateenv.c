/* SPDX-License-Identifier: MIT */
/* The state environment: an LMDB tree of the ledger's records, each behind its checksum, and a tree
 * with one meta record that says which log index all of them belong to.
 *
 *   writer thread    snapshot (one read transaction and its cursor), renewed, never written
 *   flusher thread   one write transaction a flush: begin, put in key order, commit
 *
 * Owns: the environment and the snapshot.  The meta record is written in the same transaction as
 * the last of the records, so after any crash they agree and the log is replayed from the next
 * index.
 * A big flush is slices, one commit each.  LMDB writes a changed page to a new place, and the old
 * place can be had again by the next transaction but one; keys of people are random, so a flush
 * touches nearly every leaf.  In one transaction that made the file thrice as long as what was in
 * it; in 48 it is a tenth longer.  Between two slices the snapshot is a mixture, which nobody sees:
 * the frozen overlay has all that differs.  What a crash leaves of it is put back (undo.c).
 * The meta record has a tree of its own, so that next() over the records never meets it.
 * Happy path of a flush: keys ascend, group by group, so LMDB's cursor finds most of them near the
 * page where it stands; values go straight into the page (MDB_RESERVE) with their sum.  A put that
 * overwrites nothing also says what stood there, so most records cost one search.
 * Fails: < 0; a full map too, because room is checked before the log, so here it is a bug or a
 * foreign hand, and the process ends with the log intact.
 * Invariants: the snapshot is at most one flush behind, else it would pin freed pages.
 * Roads not taken: reading before writing to skip equal values (a get costs what a put costs). */
#include "store/stateenv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "store/room.h"
#include "store/undo.h"
#include "store/walk.h"

#define META_KEY "meta"
/* Entries that are written out of order, neighbours not one after the other: a page that is filled
 * from left to right splits into a half full one and the next, so that all of them stay half empty;
 * in any other order they end up two thirds full. */
#define GROUP        128 /* a power of two */
#define GROUP_STRIDE 53  /* odd */
#define SLICES_MAX   48  /* of a flush that touches every leaf; each costs two syncs */
#define SLICE_CALM   64  /* leaves of a slice at least, of a flush that has time */

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
    struct record_state_meta newest; /* flusher thread: of the newest whole flush */
    struct undo undo;              /* flusher thread: of the flush under way */
    bool is_whole;                 /* the newest commit ended a flush */
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

static int undo_all(struct stateenv *s, MDB_txn *txn, struct tally *ret_tally)
{
    struct undo_head *head = &s->undo.head;
    struct restore b = {.txn = txn, .records = s->records, .tally = s->tally};
    int r = undo_each(txn, s->meta_dbi, head, &b, restore_one);
    if (r == 0 && (b.tally.count != head->count_before || b.tally.digest != head->digest_before)) {
        r = UNDO_E_DAMAGED;
    }
    struct record_state_meta meta = s->meta;
    meta.count = b.tally.count;
    meta.digest = b.tally.digest;
    r = r ? r : undo_clear(&s->undo, txn, s->meta_dbi);
    *ret_tally = b.tally;
    return r ? err_trace(r) : err_trace(put_meta(txn, s->meta_dbi, &meta));
}

int stateenv_undo(struct stateenv *s)
{
    struct tally tally;
    MDB_txn *txn;
    int r = undo_find(s->snapshot, s->meta_dbi, &s->undo.head);
    if (r) {
        s->is_whole = r == UNDO_E_NONE;
        return s->is_whole ? 0 : r == UNDO_E_DAMAGED ? STATEENV_E_DAMAGED : err_trace(r);
    }
    int rc = mdb_txn_begin(s->env, NULL, 0, &txn);
    if (rc != 0) {
        return env_verdict(rc, STATEENV_E_DAMAGED);
    }
    r = undo_all(s, txn, &tally);
    if (r) {
        mdb_txn_abort(txn);
        return r == UNDO_E_DAMAGED ? STATEENV_E_DAMAGED : err_trace(r);
    }
    rc = mdb_txn_commit(txn);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    s->tally = tally;
    s->meta.count = s->newest.count = tally.count;
    s->meta.digest = s->newest.digest = tally.digest;
    s->is_whole = true;
    return err_trace(stateenv_renew(s));
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
    MDB_val key = {.mv_size = strlen(META_KEY), .mv_data = META_KEY}, value;
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

/* -- flusher thread ---------------------------------------------------------------------------- */

/* A slice that is being written. */
struct slice {
    MDB_txn *txn;
    MDB_cursor *cursor; /* in the records */
    struct tally tally;
    bool is_noted;      /* what stood there is noted: it is not the last slice */
};

/* What stood there, `stored`, leaves the tally; not there: its pointer is NULL. */
static int take_out(struct stateenv *s, struct slice *slice, struct span key, struct span stored)
{
    if (stored.ptr) {
        slice->tally.count--;
        slice->tally.digest -= record_value_sum(stored);
    }
    return slice->is_noted ? err_trace(undo_note(&s->undo, slice->txn, s->meta_dbi, key, stored))
                           : 0;
}

static void put_in(struct slice *slice, const struct overlay_entry *e, MDB_val value)
{
    record_value_write(overlay_key(e), overlay_value(e), value.mv_data);
    slice->tally.count++;
    slice->tally.digest += record_value_sum(env_span(value));
}

/* One search a record, not one to look and one to write: a key that is not there has its room
 * already, one that is there leaves the cursor on it, where the second put finds it at once. */
static int write_entry(struct stateenv *s, struct slice *slice, const struct overlay_entry *e)
{
    MDB_val key = env_val(overlay_key(e));
    MDB_val room = {.mv_size = RECORD_SUM_SIZE + e->value_len}, stood = room;
    int rc = e->tombstone ? mdb_cursor_get(slice->cursor, &key, &stood, MDB_SET)
                          : mdb_cursor_put(slice->cursor, &key, &stood,
                                           MDB_RESERVE | MDB_NOOVERWRITE);
    bool is_there = rc == (e->tombstone ? 0 : MDB_KEYEXIST);
    if (!is_there && rc != (e->tombstone ? MDB_NOTFOUND : 0)) {
        return err_origin(env_error(rc));
    }
    if (!is_there && !e->tombstone) {
        put_in(slice, e, stood);
    }
    int r = take_out(s, slice, overlay_key(e), is_there ? env_span(stood) : (struct span){0});
    if (r || !is_there) {
        return err_trace(r);
    }
    rc = e->tombstone ? mdb_cursor_del(slice->cursor, 0)
                      : mdb_cursor_put(slice->cursor, &key, &room, MDB_RESERVE);
    if (rc == 0 && !e->tombstone) {
        put_in(slice, e, room);
    }
    return rc ? err_origin(env_error(rc)) : 0;
}

/* The next entries, at most GROUP of them; their number. */
static size_t group_take(struct overlay_cursor *at, uint64_t max,
                         const struct overlay_entry *group[GROUP])
{
    size_t count = 0;
    const struct overlay_entry *e;
    while (count < GROUP && count < max && (e = overlay_at(at)) != NULL) {
        __builtin_prefetch(e); /* a group is written soon, and none is near another */
        __builtin_prefetch((const uint8_t *)e + 64);
        group[count++] = e;
        overlay_step(at);
    }
    return count;
}

static int write_slice(struct stateenv *s, struct stateenv_flush *f, uint64_t max,
                       struct slice *slice)
{
    const struct overlay_entry *group[GROUP];
    size_t count;
    int r = 0;
    int rc = mdb_cursor_open(slice->txn, s->records, &slice->cursor);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    while (r == 0 && (count = group_take(&f->at, max, group)) > 0) {
        for (size_t i = 0; r == 0 && i < GROUP; i++) {
            size_t place = i * GROUP_STRIDE % GROUP;
            r = place < count ? write_entry(s, slice, group[place]) : 0;
        }
        max -= count;
        f->left -= count;
    }
    mdb_cursor_close(slice->cursor);
    return err_trace(r);
}

/* How many entries go into one transaction.  Of a big tree a 48th is tens of MiB, and what is
 * written at once a log commit waits behind: only a flush that is late takes so much.  One that has
 * time takes 64 leaves, about what the disk writes while a log commit is under way. */
static int plan(struct stateenv *s, MDB_txn *txn, struct stateenv_flush *f)
{
    MDB_stat stat;
    int rc = mdb_stat(txn, s->records, &stat);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    uint64_t leaves = stat.ms_leaf_pages + stat.ms_overflow_pages;
    uint64_t late = leaves / SLICES_MAX > f->slice_pages ? leaves / SLICES_MAX : f->slice_pages;
    uint64_t calm = f->slice_pages > SLICE_CALM ? f->slice_pages / 4 : f->slice_pages;
    uint64_t touched =
        room_flush_pages(overlay_places(f->overlay), overlay_bytes(f->overlay), leaves);
    f->slice = f->left / (touched / calm + 1) + 1;
    f->slice_late = f->left / (touched / late + 1) + 1;
    s->undo.head = (struct undo_head){.count_before = s->tally.count,
                                      .digest_before = s->tally.digest};
    return 0;
}

void stateenv_flush_init(struct stateenv_flush *f, const struct overlay *overlay,
                         const struct record_state_meta *meta, uint64_t slice_pages)
{
    CHECK(slice_pages > 0);
    *f = (struct stateenv_flush){.overlay = overlay,
                                 .meta = meta,
                                 .slice_pages = slice_pages,
                                 .at = overlay_seek(overlay, span_of(""), false),
                                 .left = overlay_count(overlay)};
}

/* All of the next transaction, and the meta record that it has. */
static int write_next(struct stateenv *s, MDB_txn *txn, struct stateenv_flush *f,
                      struct record_state_meta *ret_meta)
{
    struct slice slice = {.txn = txn, .tally = s->tally};
    bool is_first = f->slice == 0;
    int r = is_first ? plan(s, txn, f) : 0;
    uint64_t max = f->is_late ? f->slice_late : f->slice;
    slice.is_noted = f->left > max;
    r = r ? r : write_slice(s, f, slice.is_noted ? max : f->left, &slice);
    if (r == 0 && slice.is_noted) {
        r = undo_save(&s->undo, txn, s->meta_dbi);
    } else if (r == 0 && !is_first) {
        r = undo_clear(&s->undo, txn, s->meta_dbi);
    }
    *ret_meta = slice.is_noted ? s->newest : *f->meta;
    ret_meta->count = slice.tally.count;
    ret_meta->digest = slice.tally.digest;
    return r ? err_trace(r) : err_trace(put_meta(txn, s->meta_dbi, ret_meta));
}

int stateenv_write(struct stateenv *s, struct stateenv_flush *f)
{
    MDB_txn *txn;
    struct record_state_meta meta;
    CHECK(s->is_whole || f->slice > 0);
    int rc = mdb_txn_begin(s->env, NULL, 0, &txn);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    int r = write_next(s, txn, f, &meta);
    if (r < 0) {
        mdb_txn_abort(txn);
        return err_trace(r);
    }
    rc = mdb_txn_commit(txn);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    s->tally = (struct tally){.count = meta.count, .digest = meta.digest};
    s->newest = meta;
    s->is_whole = f->left == 0;
    return s->is_whole ? 0 : STATEENV_E_MORE;
}
