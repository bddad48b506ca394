/* SPDX-License-Identifier: MIT */
/* What both LMDB environments share: opening, first creation, error numbers, pages in use.
 * Any one thread at a time. */
#ifndef FAIRSLOT_STORE_ENV_H
#define FAIRSLOT_STORE_ENV_H

#include <lmdb.h>

#include "base/types.h"

/* An LMDB code as -errno: full map -ENOSPC, damage -EBADMSG, else its errno or -EIO. */
int env_error(int rc);
/* The same, but `damaged` (> 0) for a code that says the file is broken or no environment. */
int env_verdict(int rc, int damaged);

/* 0, ENV_E_DAMAGED, < 0.  Clears stale readers; what it shows is durable. */
enum { ENV_E_DAMAGED = 1 };
int env_open(const char *path, size_t map_bytes, MDB_env **ret_env);
/* Another LMDB wrote it: *ret_version is its data format, on both meta pages; 0: this one's, none,
 * or what only env_open() can judge.  0 or < 0. */
int env_other_lmdb(const char *path, uint32_t *ret_version);

/* Makes the directory `path` with an environment in it whose first transaction `fill` wrote, all
 * or nothing: built as `path`.new, synced, renamed, parent synced.  A torn leftover of an earlier
 * try is removed first.  0 or < 0. */
int env_make(const char *path, size_t map_bytes, const void *arg,
             int (*fill)(MDB_txn *txn, const void *arg));

/* A compact copy of the newest commit as `path`/data.mdb, in one go: the directory is made, nothing
 * is synced.  Never on the thread of a writer.  0 or < 0. */
int env_copy(MDB_env *env, const char *path);

/* Any thread: both meta pages and the list of free pages, as they are in the file now.
 * 0, ENV_E_DAMAGED, < 0. */
int env_scrub(MDB_env *env, MDB_txn *txn);

/* Calls `each` for every page on the list of free pages, as `txn` sees it.
 * 0, ENV_E_DAMAGED (the list is no list), < 0, or what `each` returned but 0. */
int env_free_pages(MDB_txn *txn, void *arg, int (*each)(void *arg, uint64_t page));

struct env_usage {
    uint64_t page_bytes;
    uint64_t map_pages;  /* all that the map has */
    uint64_t used_pages; /* in use */
    uint64_t late_pages; /* freed by the newest transaction: of use to the next but one */
};
/* Walks the list of free pages in the read transaction `txn`.  0 or < 0. */
int env_usage(MDB_txn *txn, struct env_usage *ret_usage);

static inline MDB_val env_val(struct span s)
{
    return (MDB_val){.mv_size = s.len, .mv_data = (void *)(uintptr_t)s.ptr};
}

static inline struct span env_span(MDB_val v)
{
    return (struct span){v.mv_data, v.mv_size};
}

#endif
