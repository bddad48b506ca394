/* SPDX-License-Identifier: MIT */
/* What the files logenv*.c share.  The writer thread's. */
#ifndef FAIRSLOT_STORE_LOGENV_PARTS_H
#define FAIRSLOT_STORE_LOGENV_PARTS_H

#include "base/bytes.h"
#include "store/logenv.h"
#include "store/tail.h"

#define LOGENV_KEY_SIZE 8

struct logenv {
    MDB_env *env;
    MDB_dbi dbi;            /* the unnamed tree */
    MDB_txn *write;         /* NULL: all that was appended is in the tree, and durable */
    MDB_txn *read;          /* reset when `reading` is false */
    bool reading;           /* `read` holds a snapshot */
    struct tail *tail;
    bool was_tail_spoiled;  /* at opening */
    bool is_tree_due;       /* the next commit is the tree's: the tail cannot say it, or is full */
    struct record_log_meta meta;
    uint64_t first;         /* of the entries, in the open write transaction's view */
    uint64_t last;          /* first - 1 when empty */
    uint64_t durable;       /* last as of the newest commit */
    uint64_t appended;      /* entries in the open write transaction */
    uint64_t appended_bytes;
    /* Of one that is damaged: the records of the tail, which are not put into the tree. */
    struct span *found;
    uint64_t in_tree;       /* the last index that is */
};

struct logenv_key {
    uint8_t bytes[LOGENV_KEY_SIZE];
};

static inline struct logenv_key logenv_key_of(uint64_t index)
{
    struct logenv_key k;
    struct scribe w = scribe_of(k.bytes, LOGENV_KEY_SIZE);
    scribe_u64(&w, index);
    return k;
}

static inline uint64_t logenv_key_index(MDB_val v)
{
    struct reader r = reader_of(v.mv_data, v.mv_size);
    return reader_u64(&r);
}

static inline MDB_val logenv_key_val(struct logenv_key *k)
{
    return (MDB_val){.mv_size = LOGENV_KEY_SIZE, .mv_data = k->bytes};
}

/* Is the stored value the entry `index`, by its sum? */
bool logenv_entry_whole(uint64_t index, struct span value);
/* Tree, meta record and tail of a new log.  0 or < 0. */
int logenv_fill(MDB_txn *txn, const struct record_log_meta *meta, size_t tail_bytes,
                MDB_dbi *ret_dbi);
int logenv_put_meta(MDB_txn *txn, MDB_dbi dbi, const struct record_log_meta *meta);
/* The open write transaction, with the meta record in it: each commit has a number of its own.  The
 * tail's turn is over.  0 or < 0. */
int logenv_commit_tree(struct logenv *l);

#endif
