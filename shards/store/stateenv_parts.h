/* SPDX-License-Identifier: MIT */
/* What stateenv.c and stateenv_write.c share. */
#ifndef FAIRSLOT_STORE_STATEENV_PARTS_H
#define FAIRSLOT_STORE_STATEENV_PARTS_H

#include "store/stateenv.h"
#include "store/undo.h"

#define STATEENV_META "meta" /* key of the meta record */

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

/* 0 or < 0. */
int stateenv_put_meta(MDB_txn *txn, MDB_dbi dbi, const struct record_state_meta *meta);

#endif
