/* SPDX-License-Identifier: MIT */
/* A flush: the frozen overlay into the state environment.
 *
 *   slice 1 .. n-1: records, what stood there (undo.c)    slice n: records, meta record, no undo
 *
 * For: the flusher thread; one write transaction a slice, in key order.
 * Owns nothing but the transaction.
 * A big flush is slices, one commit each.  LMDB writes a changed page to a new place, and the old
 * place can be had again by the next transaction but one; keys of people are random, so a flush
 * touches nearly every leaf.  In one transaction that made the file thrice as long as what was in
 * it; in 48 it is a tenth longer.
 * Happy path: keys ascend, group by group, so LMDB's cursor finds most of them near the page where
 * it stands; values go straight into the page (MDB_RESERVE) with their sum.  A put that overwrites
 * nothing also says what stood there, so most records cost one search.
 * Fails: < 0; a full map too, because room is checked before the log, so here it is a bug or a
 * foreign hand, and the process ends with the log intact.
 * Roads not taken: reading before writing to skip equal values (a get costs what a put costs). */
#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "store/room.h"
#include "store/stateenv_parts.h"

/* Entries that are written out of order, neighbours not one after the other: a page that is filled
 * from left to right splits into a half full one and the next, so that all of them stay half empty;
 * in any other order they end up two thirds full. */
#define GROUP        128 /* a power of two */
#define GROUP_STRIDE 53  /* odd */
#define SLICES_MAX   48  /* of a flush that touches every leaf; each costs two syncs */
#define SLICE_CALM   64  /* leaves of a slice at least, of a flush that has time */
/* Were each on a page of its own, and split it: of the 131,071 dirty pages that LMDB tracks in one
 * transaction. */
#define SLICE_RECORDS_MAX 40000

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

static uint64_t slice_records(uint64_t wanted)
{
    return wanted < SLICE_RECORDS_MAX ? wanted : SLICE_RECORDS_MAX;
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
    f->slice = slice_records(f->left / (touched / calm + 1) + 1);
    f->slice_late = slice_records(f->left / (touched / late + 1) + 1);
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
    return r ? err_trace(r) : err_trace(stateenv_put_meta(txn, s->meta_dbi, ret_meta));
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
