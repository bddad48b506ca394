/* SPDX-License-Identifier: MIT */
/* Reading a log that may be damaged, record by record: for log_repair.c and the scrubber.
 *
 * Owns nothing; changes nothing of the log that it reads.
 * Fails: a record that is not there or not whole is a verdict. */
#include "store/logenv_parts.h"

#include "base/check.h"
#include "base/err.h"
#include "store/walk.h"

bool logenv_stored_whole(uint64_t index, struct span value)
{
    struct record_log_meta meta;
    uint32_t format;
    return index ? logenv_entry_whole(index, value)
                 : record_log_meta_read(value, &meta, &format) == 0;
}

int logenv_stored(struct logenv *l, uint64_t index, struct span *ret_value)
{
    struct logenv_key k = logenv_key_of(index);
    MDB_val key = logenv_key_val(&k), value;
    CHECK(l->reading);
    *ret_value = (struct span){0};
    if (index > l->in_tree) {
        *ret_value = index <= l->last ? l->found[index - l->in_tree - 1] : *ret_value;
        return ret_value->ptr ? 0 : LOGENV_E_DAMAGED;
    }
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

uint64_t logenv_in_tree(const struct logenv *l)
{
    return l->in_tree;
}

struct behind {
    struct logenv *from;
    struct record_log_meta meta;
    size_t tail_bytes;
};

static int fill_behind(MDB_txn *txn, const void *arg)
{
    const struct behind *b = arg;
    MDB_dbi dbi;
    int r = logenv_fill(txn, &b->meta, b->tail_bytes, &dbi);
    for (uint64_t index = b->meta.base + 1; r == 0 && index <= b->from->last; index++) {
        struct logenv_key k = logenv_key_of(index);
        struct span stored;
        r = err_fold(logenv_stored(b->from, index, &stored)); /* it was there a moment ago */
        MDB_val key = logenv_key_val(&k), value = env_val(stored);
        int rc = r ? 0 : mdb_put(txn, dbi, &key, &value, MDB_APPEND);
        r = rc ? err_origin(env_error(rc)) : r;
    }
    return err_trace(r);
}

int logenv_make_behind(const struct logenv_place *place, struct logenv *from, uint64_t base,
                       uint64_t base_term)
{
    struct behind b = {from, from->meta, place->tail_bytes};
    b.meta.base = base;
    b.meta.base_term = base_term;
    return err_trace(env_make(place->path, place->map_bytes, &b, fill_behind));
}

static int scrub_entry(void *arg, struct span key, struct span value)
{
    uint64_t index = key.len == LOGENV_KEY_SIZE ? logenv_key_index(env_val(key)) : 0;
    return key.len == LOGENV_KEY_SIZE && logenv_stored_whole(index, value) ? 0 : WALK_E_DAMAGED;
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
