/* SPDX-License-Identifier: MIT */
/* The log environment: one small commit a round.
 *
 *   one tree, 8-byte big-endian keys:   0: meta (term, vote, base)   1..: entries, no gap
 *
 * Owns: the environment, its write transaction (open from the first change to the commit), one
 * reader (renewed for a run of reads, reset by the next change).
 * Happy path: append goes to the right end of the tree with MDB_APPEND, straight into LMDB's page;
 * commit is one fdatasync and one O_DSYNC meta write.  The meta record shares the tree, because a
 * second tree would cost a page more per commit.
 * An installed snapshot empties it in the same commit that names the state it came with.
 * Trimming rides on commits that happen anyway, TRIM_STEP entries at a time and not before so many
 * have gathered, so that few commits pay for the far end of the tree; when appends are faster than
 * that, a slice is twice what the commit appended, so the log cannot outgrow its trimming.
 * Fails: < 0 and the process must end.  After a failed commit or fsync nothing is tried again: the
 * kernel may have dropped the dirty pages and would report success.
 * Invariants: keys are first..last without a gap (counted at open); first <= last + 1.
 * Roads not taken: a file of segments (1.4 to 2.4 times faster alone, but needs a recovery of its
 * own; the seam stays here if it is ever wanted); MDB_INTEGERKEY (native byte order on disk). */
#include "store/logenv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "store/walk.h"

#define TRIM_STEP 64 /* entries */
#define KEY_SIZE  8

struct logenv {
    MDB_env *env;
    MDB_dbi dbi;            /* the unnamed tree */
    MDB_txn *write;         /* NULL between commits */
    MDB_txn *read;          /* reset when `reading` is false */
    bool reading;           /* `read` holds a snapshot */
    struct record_log_meta meta;
    uint64_t first;         /* of the entries, in the open write transaction's view */
    uint64_t last;          /* first - 1 when empty */
    uint64_t durable;       /* last as of the newest commit */
    uint64_t appended;      /* entries in the open write transaction */
};

struct key {
    uint8_t bytes[KEY_SIZE];
};

static struct key key_of(uint64_t index)
{
    struct key k;
    struct writer w = writer_of(k.bytes, KEY_SIZE);
    writer_u64(&w, index);
    return k;
}

static uint64_t key_index(MDB_val v)
{
    struct reader r = reader_of(v.mv_data, v.mv_size);
    return reader_u64(&r);
}

static MDB_val key_val(struct key *k)
{
    return (MDB_val){.mv_size = KEY_SIZE, .mv_data = k->bytes};
}

/* -- making and opening ------------------------------------------------------------------------ */

static int put_meta(MDB_txn *txn, MDB_dbi dbi, const struct record_log_meta *meta)
{
    uint8_t bytes[RECORD_LOG_META_SIZE];
    record_log_meta_write(meta, bytes);
    struct key k = key_of(0);
    MDB_val key = key_val(&k);
    MDB_val value = {.mv_size = sizeof bytes, .mv_data = bytes};
    int rc = mdb_put(txn, dbi, &key, &value, 0);
    return rc ? err_origin(env_error(rc)) : 0;
}

static int fill_new(MDB_txn *txn, const void *arg)
{
    MDB_dbi dbi;
    int rc = mdb_dbi_open(txn, NULL, 0, &dbi);
    return rc ? err_origin(env_error(rc)) : err_trace(put_meta(txn, dbi, arg));
}

int logenv_make(const char *path, size_t map_bytes, const uint8_t cluster_id[16])
{
    struct record_log_meta meta = {0};
    memcpy(meta.cluster_id, cluster_id, sizeof meta.cluster_id);
    return err_trace(env_make(path, map_bytes, &meta, fill_new));
}

static int read_meta(struct logenv *l, uint32_t *ret_format)
{
    struct key k = key_of(0);
    MDB_val key = key_val(&k), value;
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
    l->last = key_index(key);
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
        l->first = key_index(key);
    }
    l->durable = l->last;
    return stat.ms_entries - 1 == l->last + 1 - l->first ? 0 : LOGENV_E_DAMAGED;
}

static bool entry_whole(uint64_t index, struct span value)
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
    uint64_t index = key.len == KEY_SIZE ? key_index(env_val(key)) : 0;
    if (index == 0) {
        return key.len == KEY_SIZE ? 0 : WALK_E_DAMAGED; /* the meta record has a sum of its own */
    }
    bool good = index == *next && entry_whole(index, value);
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

static int open_log(const char *path, size_t map_bytes, bool is_damaged, struct logenv **ret_log,
                    uint32_t *ret_format)
{
    struct logenv *l = calloc(1, sizeof *l);
    if (!l) {
        return err_origin(-ENOMEM);
    }
    int r = env_open(path, map_bytes, &l->env);
    if (r == ENV_E_DAMAGED) {
        r = LOGENV_E_DAMAGED;
    }
    if (r == 0) {
        r = read_all(l, is_damaged, ret_format);
    }
    if (r != 0) {
        logenv_close(l);
        return err_trace(r);
    }
    *ret_log = l;
    return 0;
}

int logenv_open(const char *path, size_t map_bytes, struct logenv **ret_log,
                uint32_t *ret_format)
{
    return err_trace(open_log(path, map_bytes, false, ret_log, ret_format));
}

int logenv_open_damaged(const char *path, size_t map_bytes, struct logenv **ret_log,
                        uint32_t *ret_format)
{
    return err_trace(open_log(path, map_bytes, true, ret_log, ret_format));
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
    free(l);
}

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

/* -- writing ----------------------------------------------------------------------------------- */

static void reader_reset(struct logenv *l)
{
    if (l->reading) {
        mdb_txn_reset(l->read); /* a snapshot kept over commits would pin every page they free */
        l->reading = false;
    }
}

static int write_begin(struct logenv *l)
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
    return 0;
}

int logenv_append(struct logenv *l, uint64_t term, struct span entry)
{
    int r = write_begin(l);
    if (r < 0) {
        return err_trace(r);
    }
    struct key k = key_of(l->last + 1);
    MDB_val key = key_val(&k);
    MDB_val value = {.mv_size = RECORD_LOG_HEAD + entry.len};
    int rc = mdb_put(l->write, l->dbi, &key, &value, MDB_APPEND | MDB_RESERVE);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    struct writer w = writer_of(value.mv_data, value.mv_size);
    writer_u64(&w, term);
    writer_u64(&w, record_entry_sum(l->last + 1, term, entry));
    writer_bytes(&w, entry.ptr, entry.len);
    CHECK(!w.bad);
    l->last++;
    l->appended++;
    return 0;
}

static int delete_entry(struct logenv *l, uint64_t index)
{
    struct key k = key_of(index);
    MDB_val key = key_val(&k);
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
    int r = write_begin(l);
    while (r == 0 && l->last >= index) {
        r = delete_entry(l, l->last);
        l->last -= r == 0;
    }
    if (r == 0 && l->last < l->first && l->last != l->meta.base) {
        l->meta.base_term = 0;
        l->meta.base = l->last; /* an empty tree no longer says where the log stands */
        r = put_meta(l->write, l->dbi, &l->meta);
    }
    return err_trace(r);
}

int logenv_set_vote(struct logenv *l, uint64_t term, uint64_t vote)
{
    int r = write_begin(l);
    if (r < 0) {
        return err_trace(r);
    }
    l->meta.term = term;
    l->meta.vote = vote;
    return err_trace(put_meta(l->write, l->dbi, &l->meta));
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

static int commit(struct logenv *l)
{
    int rc = mdb_txn_commit(l->write);
    l->write = NULL;
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    l->durable = l->last;
    return 0;
}

int logenv_commit(struct logenv *l, uint64_t keep)
{
    if (!l->write) {
        return 0;
    }
    int r = trim(l, keep);
    return r ? err_trace(r) : err_trace(commit(l));
}

int logenv_install(struct logenv *l, uint64_t base, uint64_t base_term, uint64_t number)
{
    int r = write_begin(l);
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
    r = put_meta(l->write, l->dbi, &l->meta);
    return r ? err_trace(r) : err_trace(commit(l));
}

int logenv_name_state(struct logenv *l, uint64_t number)
{
    int r = write_begin(l);
    if (r < 0) {
        return err_trace(r);
    }
    l->meta.state_number = number;
    r = put_meta(l->write, l->dbi, &l->meta);
    return r ? err_trace(r) : err_trace(commit(l));
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
    struct key k = key_of(index);
    MDB_val key = key_val(&k), value;
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
    if (!borrowed) {
        reader_reset(l);
    }
    return err_trace(r);
}

/* -- of one that is damaged -------------------------------------------------------------------- */

bool logenv_stored_whole(uint64_t index, struct span value)
{
    struct record_log_meta meta;
    uint32_t format;
    return index ? entry_whole(index, value) : record_log_meta_read(value, &meta, &format) == 0;
}

int logenv_stored(struct logenv *l, uint64_t index, struct span *ret_value)
{
    struct key k = key_of(index);
    MDB_val key = key_val(&k), value;
    CHECK(l->reading);
    *ret_value = (struct span){0};
    int rc = mdb_get(l->read, l->dbi, &key, &value);
    if (rc != 0) {
        return env_verdict(rc, LOGENV_E_DAMAGED);
    }
    *ret_value = env_span(value);
    return 0;
}

uint64_t logenv_stored_term(struct span value)
{
    struct reader r = reader_of(value.ptr, value.len);
    return reader_u64(&r);
}

int logenv_free_pages(struct logenv *l, void *arg, int (*each)(void *arg, uint64_t page))
{
    CHECK(l->reading);
    int r = env_free_pages(l->read, arg, each);
    return r == ENV_E_DAMAGED ? LOGENV_E_DAMAGED : err_trace(r);
}

struct behind {
    struct logenv *from;
    struct record_log_meta meta;
};

static int fill_behind(MDB_txn *txn, const void *arg)
{
    const struct behind *b = arg;
    MDB_dbi dbi;
    int rc = mdb_dbi_open(txn, NULL, 0, &dbi);
    int r = rc ? err_origin(env_error(rc)) : put_meta(txn, dbi, &b->meta);
    for (uint64_t index = b->meta.base + 1; r == 0 && index <= b->from->last; index++) {
        struct key k = key_of(index);
        struct span stored;
        r = err_fold(logenv_stored(b->from, index, &stored)); /* it was there a moment ago */
        MDB_val key = key_val(&k), value = env_val(stored);
        rc = r ? 0 : mdb_put(txn, dbi, &key, &value, MDB_APPEND);
        r = rc ? err_origin(env_error(rc)) : r;
    }
    return err_trace(r);
}

int logenv_make_behind(const char *path, size_t map_bytes, struct logenv *from, uint64_t base,
                       uint64_t base_term)
{
    struct behind b = {from, from->meta};
    b.meta.base = base;
    b.meta.base_term = base_term;
    return err_trace(env_make(path, map_bytes, &b, fill_behind));
}

static int scrub_entry(void *arg, struct span key, struct span value)
{
    uint64_t index = key.len == KEY_SIZE ? key_index(env_val(key)) : 0;
    return key.len == KEY_SIZE && logenv_stored_whole(index, value) ? 0 : WALK_E_DAMAGED;
}

int logenv_scrub(struct logenv *l, struct walk_place *place)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(l->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    int r = place->key_len == 0 ? env_scrub(l->env, txn) : 0;
    r = r ? r : walk_part(txn, l->dbi, place, NULL, scrub_entry);
    mdb_txn_abort(txn);
    return r > 0 ? LOGENV_E_DAMAGED : err_trace(r);
}
