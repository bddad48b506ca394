/* SPDX-License-Identifier: MIT */
/* What the records were before a flush that is not whole yet: to open what a crash left of it.
 * In the tree of the meta record, behind it.  Within the write transaction of the flusher thread;
 * at opening the writer's. */
#ifndef FAIRSLOT_STORE_UNDO_H
#define FAIRSLOT_STORE_UNDO_H

#include "ledger/book.h"
#include "store/env.h"
#include "store/record.h"

#define UNDO_FULL 1850 /* bytes of a page: two of them fill one of LMDB's */
#define UNDO_ROOM (UNDO_FULL + 3 + BOOK_KEY_MAX + RECORD_SUM_SIZE + BOOK_VALUE_MAX)

/* How many pages are kept, and of which tree they make the old one again. */
struct undo_head {
    uint64_t pages;        /* of the undo */
    uint64_t digest;       /* sum of their checksums, modulo 2^64 */
    uint64_t count_before; /* of the records, before the flush */
    uint64_t digest_before;
};

/* Some of them. */
struct undo_pages {
    uint64_t from, to; /* the first one, the one behind the last */
};

/* All zero: nothing is noted. */
struct undo {
    struct undo_head head;
    size_t len;               /* of the page that is being filled */
    uint8_t bytes[UNDO_ROOM]; /* that page */
};

enum {
    UNDO_E_NONE = 1,    /* the last flush was whole */
    UNDO_E_DAMAGED = 2,
};

/* Notes what stands at `key` before it changes: its stored bytes, sum first; ptr NULL: nothing.
 * 0 or < 0. */
int undo_note(struct undo *u, MDB_txn *txn, MDB_dbi dbi, struct span key, struct span stored);
/* Writes what is noted and the head: with the commit of this transaction it can be undone. */
int undo_save(struct undo *u, MDB_txn *txn, MDB_dbi dbi);
/* Removes all of it, for the flush is whole with this transaction.  0 or < 0. */
int undo_clear(struct undo *u, MDB_txn *txn, MDB_dbi dbi);

/* 0 and the head, UNDO_E_NONE, UNDO_E_DAMAGED, < 0.  Any transaction.  All pages were read. */
int undo_find(MDB_txn *txn, MDB_dbi dbi, struct undo_head *ret_head);
/* Calls `each` for every note of the pages given, in no promised order, as it was given to
 * undo_note(); what it returns other than 0 ends it.
 * 0, UNDO_E_DAMAGED (then nothing of this may be committed), < 0. */
int undo_each(MDB_txn *txn, MDB_dbi dbi, struct undo_pages pages, void *arg,
              int (*each)(void *arg, struct span key, struct span stored));

#endif
