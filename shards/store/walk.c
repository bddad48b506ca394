/* SPDX-License-Identifier: MIT */
/* Reads a tree of LMDB once, because LMDB 0.9 checks nothing itself.
 * A cursor that steps from leaf to leaf does not notice a spoiled key in a branch page, which sends
 * a search elsewhere; so the first and the last record of every leaf are sought from the root.
 * Records of one leaf lie on one page: the page under the value says when the next one begins.
 * Owns nothing.  Fails: a verdict; a page that is no page at all may end the process inside LMDB,
 * which serves nothing either. */
#include "store/walk.h"

#include <string.h>

#include "base/bytes.h"
#include "base/err.h"

#define WALK_PAGE 4096 /* smaller than a page is fine: more searches */

struct walk {
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val key, value; /* the record before */
    bool has_before;
};

static uintptr_t page_of(const void *p)
{
    return (uintptr_t)p / WALK_PAGE;
}

static int key_order(MDB_val a, MDB_val b)
{
    size_t len = a.mv_size < b.mv_size ? a.mv_size : b.mv_size;
    int difference = memcmp(a.mv_data, b.mv_data, len);
    return difference ? difference : (a.mv_size > b.mv_size) - (a.mv_size < b.mv_size);
}

static int search(const struct walk *w, MDB_val key, MDB_val value)
{
    MDB_val found;
    int rc = mdb_get(w->txn, w->dbi, &key, &found);
    if (rc != 0) {
        return env_verdict(rc, WALK_E_DAMAGED);
    }
    return found.mv_data == value.mv_data && found.mv_size == value.mv_size ? 0 : WALK_E_DAMAGED;
}

static int step(struct walk *w, MDB_val key, MDB_val value)
{
    bool new_page = !w->has_before || page_of(w->key.mv_data) != page_of(key.mv_data);
    int r = 0;
    if (w->has_before && key_order(w->key, key) >= 0) {
        return WALK_E_DAMAGED;
    }
    if (new_page && w->has_before) {
        r = search(w, w->key, w->value);
    }
    if (new_page && r == 0) {
        r = search(w, key, value);
    }
    w->key = key;
    w->value = value;
    w->has_before = true;
    return r;
}

int walk_tree(MDB_txn *txn, MDB_dbi dbi, void *arg,
              int (*each)(void *arg, struct span key, struct span value))
{
    struct walk w = {.txn = txn, .dbi = dbi};
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, dbi, &cursor);
    if (rc != 0) {
        return env_verdict(rc, WALK_E_DAMAGED);
    }
    int r = 0;
    while (r == 0 && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        r = step(&w, key, value);
        r = r ? r : each(arg, env_span(key), env_span(value));
    }
    mdb_cursor_close(cursor);
    if (r == 0 && rc != MDB_NOTFOUND) {
        return env_verdict(rc, WALK_E_DAMAGED);
    }
    return r == 0 && w.has_before ? search(&w, w.key, w.value) : r;
}

/* The first record behind the place. */
static int part_first(MDB_cursor *cursor, const struct walk_place *place, MDB_val *key,
                      MDB_val *value)
{
    if (place->key_len == 0) {
        return mdb_cursor_get(cursor, key, value, MDB_FIRST);
    }
    struct span from = {place->key, place->key_len};
    *key = env_val(from);
    int rc = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
    return rc == 0 && span_equal(env_span(*key), from)
               ? mdb_cursor_get(cursor, key, value, MDB_NEXT) : rc;
}

int walk_part(MDB_txn *txn, MDB_dbi dbi, struct walk_place *place, void *arg,
              int (*each)(void *arg, struct span key, struct span value))
{
    struct walk w = {.txn = txn, .dbi = dbi};
    MDB_cursor *cursor;
    MDB_val key, value;
    int r = 0;
    int rc = mdb_cursor_open(txn, dbi, &cursor);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    rc = part_first(cursor, place, &key, &value);
    for (size_t i = 0; rc == 0 && r == 0 && i < place->records_max; i++) {
        r = step(&w, key, value);
        r = r ? r : each(arg, env_span(key), env_span(value));
        place->bytes += key.mv_size + value.mv_size;
        rc = i + 1 < place->records_max ? mdb_cursor_get(cursor, &key, &value, MDB_NEXT) : 0;
    }
    mdb_cursor_close(cursor);
    place->is_end = rc == MDB_NOTFOUND;
    if (w.has_before && w.key.mv_size <= WALK_KEY_MAX) {
        place->key_len = w.key.mv_size;
        memcpy(place->key, w.key.mv_data, place->key_len);
    }
    if (r == 0 && rc != 0 && rc != MDB_NOTFOUND) {
        return env_verdict(rc, WALK_E_DAMAGED);
    }
    return r == 0 && w.has_before ? search(&w, w.key, w.value) : r;
}
