/* SPDX-License-Identifier: MIT */
/* The undo of a flush in slices: old bytes of each record that the slices so far have changed.
 *
 *   slice 1 .. n-1: records + their undo + head    slice n: records, undo removed, applied index
 *                                                  crash before: put back, replay the log
 *
 * For: one flush is many commits (stateenv.c says why), and still all or nothing.
 * Owns: the keys "undo" (the head) and "undo" + number (the pages) in the tree of the meta record.
 * A note: key length u8, stored length u16 (0xffff: nothing stood there), key, stored bytes.  Notes
 * are gathered in pages of half an LMDB page and appended, so they cost little beside the leaves.
 * Each key of a flush is noted once, so the order in which they are put back is no matter, and a
 * note may be put back twice: that is done in parts, and the head stays until the last of them.
 * Fails: < 0; damage is a verdict: sums and number of pages, and what they make again, are known.
 * Roads not taken: a journal of the new values (needs all of them on disk before the first slice,
 * and twice the bytes: most records of a peak are new, and of those only the key is kept). */
#include "store/undo.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"

#define HEAD_KEY   "undo"
#define KEY_LEN    4
#define PAGE_KEY   (KEY_LEN + 8)
#define HEAD_BYTES 32
#define NOTHING    0xffff

/* -- noting ------------------------------------------------------------------------------------ */

static struct span page_key(uint64_t number, uint8_t out[PAGE_KEY])
{
    struct scribe w = scribe_of(out, PAGE_KEY);
    scribe_bytes(&w, HEAD_KEY, KEY_LEN);
    scribe_u64(&w, number);
    return (struct span){out, PAGE_KEY};
}

/* The value behind its sum; the sum. */
static int put(MDB_txn *txn, MDB_dbi dbi, struct span key, struct span value, unsigned flags,
               uint64_t *ret_sum)
{
    MDB_val k = env_val(key), v = {.mv_size = RECORD_SUM_SIZE + value.len};
    int rc = mdb_put(txn, dbi, &k, &v, MDB_RESERVE | flags);
    if (rc != 0) {
        return err_origin(env_error(rc));
    }
    record_value_write(key, value, v.mv_data);
    *ret_sum = record_value_sum(env_span(v));
    return 0;
}

static int page_end(struct undo *u, MDB_txn *txn, MDB_dbi dbi)
{
    uint8_t key[PAGE_KEY];
    uint64_t sum;
    int r = put(txn, dbi, page_key(u->head.pages, key), (struct span){u->bytes, u->len},
                MDB_APPEND, &sum);
    if (r == 0) {
        u->head.pages++;
        u->head.digest += sum;
        u->len = 0;
    }
    return err_trace(r);
}

int undo_note(struct undo *u, MDB_txn *txn, MDB_dbi dbi, struct span key, struct span stored)
{
    CHECK(key.len <= BOOK_KEY_MAX);
    CHECK(stored.len <= RECORD_SUM_SIZE + BOOK_VALUE_MAX);
    struct scribe w = scribe_of(u->bytes + u->len, sizeof u->bytes - u->len);
    scribe_u8(&w, (uint8_t)key.len);
    scribe_u16(&w, stored.ptr ? (uint16_t)stored.len : NOTHING);
    scribe_bytes(&w, key.ptr, key.len);
    scribe_bytes(&w, stored.ptr, stored.ptr ? stored.len : 0);
    CHECK(!w.bad);
    u->len += scribe_len(&w);
    return u->len < UNDO_FULL ? 0 : err_trace(page_end(u, txn, dbi));
}

int undo_save(struct undo *u, MDB_txn *txn, MDB_dbi dbi)
{
    uint8_t bytes[HEAD_BYTES];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    uint64_t sum;
    int r = u->len > 0 ? page_end(u, txn, dbi) : 0;
    if (r < 0) {
        return err_trace(r);
    }
    scribe_u64(&w, u->head.pages);
    scribe_u64(&w, u->head.digest);
    scribe_u64(&w, u->head.count_before);
    scribe_u64(&w, u->head.digest_before);
    return err_trace(
        put(txn, dbi, span_of(HEAD_KEY), (struct span){bytes, sizeof bytes}, 0, &sum));
}

int undo_clear(struct undo *u, MDB_txn *txn, MDB_dbi dbi)
{
    uint8_t bytes[PAGE_KEY];
    MDB_val key = env_val(span_of(HEAD_KEY));
    int rc = mdb_del(txn, dbi, &key, NULL);
    for (uint64_t i = 0; rc == 0 && i < u->head.pages; i++) {
        key = env_val(page_key(i, bytes));
        rc = mdb_del(txn, dbi, &key, NULL);
    }
    u->head = (struct undo_head){0};
    u->len = 0;
    return rc ? err_origin(env_error(rc)) : 0;
}

/* -- reading ----------------------------------------------------------------------------------- */

/* 0, UNDO_E_NONE, UNDO_E_DAMAGED, < 0. */
static int get(MDB_txn *txn, MDB_dbi dbi, struct span key, struct span *ret_value,
               uint64_t *ret_sum)
{
    MDB_val k = env_val(key), v;
    int rc = mdb_get(txn, dbi, &k, &v);
    if (rc == MDB_NOTFOUND) {
        return UNDO_E_NONE;
    }
    if (rc != 0) {
        return env_verdict(rc, UNDO_E_DAMAGED);
    }
    *ret_sum = record_value_sum(env_span(v));
    return record_value_read(key, env_span(v), ret_value) ? UNDO_E_DAMAGED : 0;
}

static int page_get(MDB_txn *txn, MDB_dbi dbi, uint64_t number, struct span *ret_page,
                    uint64_t *ret_sum)
{
    uint8_t key[PAGE_KEY];
    int r = get(txn, dbi, page_key(number, key), ret_page, ret_sum);
    return r == UNDO_E_NONE ? UNDO_E_DAMAGED : err_trace(r);
}

/* Are they the pages that the head means?  Asked before the first is put back. */
static int pages_check(MDB_txn *txn, MDB_dbi dbi, const struct undo_head *head)
{
    uint64_t digest = 0, sum;
    struct span page;
    int r = 0;
    for (uint64_t i = 0; r == 0 && i < head->pages; i++) {
        r = page_get(txn, dbi, i, &page, &sum);
        digest += r == 0 ? sum : 0;
    }
    return r ? err_trace(r) : digest == head->digest ? 0 : UNDO_E_DAMAGED;
}

int undo_find(MDB_txn *txn, MDB_dbi dbi, struct undo_head *ret_head)
{
    struct span value;
    uint64_t sum;
    int r = get(txn, dbi, span_of(HEAD_KEY), &value, &sum);
    if (r) {
        return err_trace(r);
    }
    struct reader at = reader_of(value.ptr, value.len);
    struct undo_head head = {.pages = reader_u64(&at)};
    head.digest = reader_u64(&at);
    head.count_before = reader_u64(&at);
    head.digest_before = reader_u64(&at);
    if (at.bad || reader_left(&at) > 0) {
        return UNDO_E_DAMAGED;
    }
    *ret_head = head;
    return err_trace(pages_check(txn, dbi, &head));
}

static int page_each(struct span page, void *arg,
                     int (*each)(void *arg, struct span key, struct span stored))
{
    struct reader at = reader_of(page.ptr, page.len);
    int r = 0;
    while (r == 0 && reader_left(&at) > 0) {
        struct span key = {.len = reader_u8(&at)}, stored = {.len = reader_u16(&at)};
        bool is_there = stored.len != NOTHING;
        reader_take(&at, key.len, &key.ptr);
        if (is_there) {
            reader_take(&at, stored.len, &stored.ptr);
        }
        if (at.bad || key.len == 0) {
            return UNDO_E_DAMAGED;
        }
        r = each(arg, key, is_there ? stored : (struct span){0});
    }
    return err_trace(r);
}

int undo_each(MDB_txn *txn, MDB_dbi dbi, struct undo_pages pages, void *arg,
              int (*each)(void *arg, struct span key, struct span stored))
{
    int r = 0;
    for (uint64_t i = pages.from; r == 0 && i < pages.to; i++) {
        struct span page;
        uint64_t sum;
        r = page_get(txn, dbi, i, &page, &sum);
        r = r ? r : page_each(page, arg, each);
    }
    return err_trace(r);
}
