/* SPDX-License-Identifier: MIT */
/* Reads a tree of LMDB once, because LMDB 0.9 checks nothing itself.
 * A cursor that steps from leaf to leaf does not notice a spoiled key in a branch page, which sends
 * a search elsewhere; so the first and the last record of every leaf are sought from the root.
 * Records of one leaf lie on one page: the page under the value says when the next one begins.
 * Owns nothing.  Fails: a verdict; a page that is no page at all may end the process inside LMDB,
 * which serves nothing either. */
#include "store/walk.h"

#include <string.h>

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
