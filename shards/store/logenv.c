/* SPDX-License-Identifier: MIT */
/* The log environment: one flush of the device a round.
 *
 *   one tree, 8-byte big-endian keys:   0: meta (term, vote, base)   1..: entries, no gap
 *   ahead of it the tail (tail.c): entries that are durable and in no commit of the tree yet
 *
 * Owns: the environment, its write transaction (open from the first change to the tree's next
 * commit, over many rounds), one reader (renewed for a run of reads, reset by the next change), the
 * tail.
 * Happy path: append goes to the right end of the tree with MDB_APPEND, straight into LMDB's page,
 * and to the tail's batch; commit writes that batch.  The tree is committed (fdatasync, then the
 * meta page) when the tail is full, when something changed that the tail cannot say (term, vote,
 * truncation, another state), and when a flush of the state has ended: so at rest all is in the
 * tree.  The meta record shares the tree, because a second tree would cost a page more per commit.
 * An installed snapshot empties it in the same commit that names the state it came with.
 * Trimming rides on the tree's commits, TRIM_STEP entries at a time and not before so many
 * have gathered, so that few commits pay for the far end of the tree; when appends are faster than
 * that, a slice is twice what the commit appended, so the log cannot outgrow its trimming.
 * Fails: < 0 and the process must end.  After a failed commit or fsync nothing is tried again: the
 * kernel may have dropped the dirty pages and would report success.
 * Invariants: keys are first..last without a gap (counted at open); first <= last + 1.
 * Roads not taken: MDB_INTEGERKEY (native byte order on disk). */
#include "store/logenv_parts.h"

#include "base/check.h"
#include "base/err.h"

#define TRIM_STEP     64   /* entries */
#define PENDING_PAGES 12   /* of an open write transaction, beside its entries: the paths down */
#define PENDING_FILL  2048 /* bytes of entries in a page at least: longer ones have their own */

/* -- what it knows ----------------------------------------------------------------------------- */

const struct record_log_meta *logenv_meta(const struct logenv *l)
{
    return &l->meta;
}

uint64_t logenv_first(const struct logenv *l)
{
    return l->first;
}

uint64_t logenv_last(const struct logenv *l)
{
    return l->last;
}

uint64_t logenv_durable(const struct logenv *l)
{
    return l->durable;
}

bool logenv_was_spoiled(const struct logenv *l)
{
    return l->was_tail_spoiled;
}

/* -- writing ----------------------------------------------------------------------------------- */

static void reader_reset(struct logenv *l)
{
    if (l->reading) {
        mdb_txn_reset(l->read); /* a snapshot kept over commits would pin every page they free */
        l->reading = false;
    }
}

int logenv_write_begin(struct logenv *l)
{
    reader_reset(l);
    if (l->write) {
        return 0;
    }
    int rc = mdb_txn_begin(l->env, NULL, 0, &l->write);
    if (rc != 0) {
        l->write = NULL;
        return err_origin(env_error(rc));
    }
    l->appended = 0;
    l->appended_bytes = 0;
    return 0;
}

int logenv_append(struct logenv *l, uint64_t term, struct span entry)
{
    int r = logenv_write_begin(l);
    if (r < 0) {
        return err_trace(r);
    }
    struct logenv_key k = logenv_key_of(l->last + 1);
    MDB_val key = logenv_key_val(&k);
    MDB_val value = {.mv_size = RECORD_LOG_HEAD + entry.len};
    int rc = mdb_put(l->write, l->dbi, &key, &value, MDB_APPEND | MDB_RESERVE);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    struct scribe w = scribe_of(value.mv_data, value.mv_size);
    scribe_u64(&w, term);
    scribe_u64(&w, record_entry_sum(l->last + 1, term, entry));
    struct span head = {w.start, scribe_len(&w)};
    scribe_bytes(&w, entry.ptr, entry.len);
    CHECK(!w.bad);
    if (!l->is_tree_due && tail_add(l->tail, head, entry) == TAIL_E_FULL) {
        l->is_tree_due = true;
    }
    l->last++;
    l->appended++;
    l->appended_bytes += value.mv_size;
    return 0;
}

static int delete_entry(struct logenv *l, uint64_t index)
{
    struct logenv_key k = logenv_key_of(index);
    MDB_val key = logenv_key_val(&k);
    int rc = mdb_del(l->write, l->dbi, &key, NULL);
    return rc ? err_origin(env_error(rc)) : 0;
}

int logenv_truncate(struct logenv *l, uint64_t index)
{
    CHECK(index >= l->first);
    CHECK(index > 0);
    if (index > l->last) {
        return 0;
    }
    int r = logenv_write_begin(l);
    l->is_tree_due = true;
    while (r == 0 && l->last >= index) {
        r = delete_entry(l, l->last);
        l->last -= r == 0;
    }
    if (r == 0 && l->last < l->first && l->last != l->meta.base) {
        l->meta.base_term = 0;
        l->meta.base = l->last; /* an empty tree no longer says where the log stands */
    }
    return err_trace(r);
}

int logenv_set_vote(struct logenv *l, uint64_t term, uint64_t vote)
{
    int r = logenv_write_begin(l);
    if (r < 0) {
        return err_trace(r);
    }
    l->is_tree_due = true;
    l->meta.term = term;
    l->meta.vote = vote;
    return err_trace(logenv_put_meta(l->write, l->dbi, &l->meta));
}

static int trim(struct logenv *l, uint64_t keep)
{
    keep = keep < l->last ? keep : l->last; /* never the last one: it says where the log stands */
    if (keep < l->first + TRIM_STEP) {
        return 0;
    }
    uint64_t slice = l->appended * 2 > TRIM_STEP ? l->appended * 2 : TRIM_STEP;
    uint64_t end = keep - l->first > slice ? l->first + slice : keep;
    while (l->first < end) {
        int r = delete_entry(l, l->first);
        if (r < 0) {
            return err_trace(r);
        }
        l->first++;
    }
    return 0;
}

int logenv_commit_tree(struct logenv *l)
{
    size_t txn = mdb_txn_id(l->write);
    int r = logenv_put_meta(l->write, l->dbi, &l->meta);
    if (r < 0) {
        return err_trace(r);
    }
    int rc = mdb_txn_commit(l->write);
    l->write = NULL;
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    tail_restart(l->tail, txn);
    l->is_tree_due = false;
    l->durable = l->last;
    return 0;
}

int logenv_commit(struct logenv *l, uint64_t keep)
{
    if (!l->write) {
        return 0;
    }
    if (!l->is_tree_due) {
        int r = tail_commit(l->tail);
        l->durable = r ? l->durable : l->last;
        return err_trace(r);
    }
    int r = trim(l, keep);
    return r ? err_trace(r) : err_trace(logenv_commit_tree(l));
}

int logenv_settle(struct logenv *l, uint64_t keep)
{
    bool is_pending = l->is_tree_due || l->durable != l->last;
    if (!l->write) {
        return 0;
    }
    l->is_tree_due = true;
    return is_pending ? 0 : err_trace(logenv_commit(l, keep));
}

int logenv_install(struct logenv *l, uint64_t base, uint64_t base_term, uint64_t number)
{
    int r = logenv_write_begin(l);
    if (r < 0) {
        return err_trace(r);
    }
    int rc = mdb_drop(l->write, l->dbi, 0);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    l->meta.base = base;
    l->meta.base_term = base_term;
    l->meta.state_number = number;
    l->first = base + 1;
    l->last = base;
    return err_trace(logenv_commit_tree(l));
}

int logenv_name_state(struct logenv *l, uint64_t number)
{
    int r = logenv_write_begin(l);
    if (r < 0) {
        return err_trace(r);
    }
    l->meta.state_number = number;
    return err_trace(logenv_commit_tree(l));
}

int logenv_claim(struct logenv *l, uint64_t disk)
{
    CHECK(l->meta.disk == 0);
    int r = logenv_write_begin(l);
    if (r < 0) {
        return err_trace(r);
    }
    l->meta.disk = disk;
    return err_trace(logenv_commit_tree(l));
}

/* -- reading ----------------------------------------------------------------------------------- */

static int reader_renew(struct logenv *l)
{
    if (l->reading) {
        return 0;
    }
    int rc = mdb_txn_renew(l->read);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    l->reading = true;
    return 0;
}

int logenv_read(struct logenv *l, uint64_t index, uint64_t *ret_term, struct span *ret_entry)
{
    if (index == 0 || index < l->first || index > l->last) {
        return LOGENV_E_MISSING;
    }
    int r = l->write ? 0 : reader_renew(l);
    if (r < 0) {
        return err_trace(r);
    }
    struct logenv_key k = logenv_key_of(index);
    MDB_val key = logenv_key_val(&k), value;
    int rc = mdb_get(l->write ? l->write : l->read, l->dbi, &key, &value);
    if (rc != 0) {
        return env_verdict(rc, LOGENV_E_DAMAGED); /* also when not found: open has counted them */
    }
    struct reader reader = reader_of(value.mv_data, value.mv_size);
    uint64_t term = reader_u64(&reader);
    uint64_t sum = reader_u64(&reader);
    struct span entry = {reader.at, reader_left(&reader)};
    if (reader.bad || sum != record_entry_sum(index, term, entry)) {
        return LOGENV_E_DAMAGED;
    }
    *ret_term = term;
    *ret_entry = entry;
    return 0;
}

int logenv_usage(struct logenv *l, struct env_usage *ret_usage)
{
    bool borrowed = l->reading; /* somebody may hold a span into that snapshot: it stays */
    int r = reader_renew(l);
    if (r < 0) {
        return err_trace(r);
    }
    r = env_usage(l->read, ret_usage);
    if (r == 0 && l->write) {
        ret_usage->used_pages += PENDING_PAGES + l->appended_bytes / PENDING_FILL;
    }
    if (!borrowed) {
        reader_reset(l);
    }
    return err_trace(r);
}
