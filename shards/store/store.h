/* SPDX-License-Identifier: MIT */
/* Both LMDB environments of one shard replica, and what lies between them.
 *
 *   log env    (writer thread)   one small commit a round: entries, term, vote.  fsync'ed.
 *   overlay    (writer thread)   effects of applied entries, ordered, in memory
 *   frozen     (read by both)    an older overlay on its way to disk, immutable
 *   state env  (flusher thread)  the frozen overlay in key order, one commit with its applied index
 *
 * A read goes overlay -> frozen -> snapshot of the state env.  After any crash both environments
 * open consistent and the log is replayed from store_applied_durable() + 1.
 * Default LMDB durability only (no NOSYNC, NOMETASYNC, WRITEMAP); MDB_NOTLS for readers.
 * Unless a comment says otherwise every call is the writer thread's, after store_open() on it.
 * EIO or a failed fsync is < 0 and the caller must end the process: it is never retried. */
#ifndef FAIRSLOT_STORE_STORE_H
#define FAIRSLOT_STORE_STORE_H

#include "base/types.h"
#include "ledger/book.h"

struct store;

struct store_options {
    const char *dir;          /* holds log/ and state/; made when missing */
    uint8_t cluster_id[16];   /* all zero: take what the directory says, make one when it is new */
    size_t log_map_bytes;     /* 0: 4 GiB */
    size_t state_map_bytes;   /* 0: 64 GiB (sparse) */
    size_t overlay_max_bytes; /* 0: 256 MiB; over it store_overlay_full() */
    int64_t flush_interval_us; /* 0: 1 s: the longer, the fewer pages are written twice */
    uint64_t disk_reserve_bytes; /* 0: 256 MiB; free space below which only the reserve is left */
    /* Called on the flusher thread when a flush is durable, so that the writer wakes and calls
     * store_turn().  May be NULL. */
    void (*flushed)(void *user);
    void *user;
};

enum {
    STORE_E_FORMAT = 1,  /* written by another data format version */
    STORE_E_CLUSTER = 2, /* belongs to another cluster */
    STORE_E_DAMAGED = 3, /* a checksum or the structure is wrong */
    STORE_E_LOCKED = 4,  /* another process has the directory open */
    STORE_E_MISSING = 5, /* log compacted beyond that index, or no such entry */
};

/* Opens or makes both environments and starts the flusher thread.  What they show then is durable,
 * also after a kill in the middle of a commit.
 * 0, a verdict above (then `ret_text`, 200 bytes, names directory, found and wanted), or < 0. */
int store_open(const struct store_options *options, struct store **ret_store, char *ret_text);
/* Flushes what is applied, stops the flusher, closes.  Takes NULL. */
void store_close(struct store *s);
/* Lets go of everything as a kill would: nothing is flushed.  Takes NULL. */
void store_abandon(struct store *s);

/* -- the log ----------------------------------------------------------------------------------- */

/* First and last index in the log; first > last when empty. */
uint64_t store_log_first(const struct store *s);
uint64_t store_log_last(const struct store *s);
/* Appends at store_log_last() + 1; nothing is durable before store_log_commit(). Copies. */
int store_log_append(struct store *s, uint64_t term, struct span entry);
/* Drops index and everything behind it (a Raft follower's conflict). */
int store_log_truncate(struct store *s, uint64_t index);
/* Term and vote, durable with the next commit. */
int store_log_set_vote(struct store *s, uint64_t term, uint64_t vote);
void store_log_vote(const struct store *s, uint64_t *ret_term, uint64_t *ret_vote);
/* One LMDB commit = fsync.  Also trims entries that a durable state commit has made superfluous.
 * Nothing to commit: returns 0 at once. */
int store_log_commit(struct store *s);
/* Entry at index, borrowed until the next log call.  0, STORE_E_MISSING, STORE_E_DAMAGED, < 0. */
int store_log_read(struct store *s, uint64_t index, uint64_t *ret_term, struct span *ret_entry);

/* -- the state --------------------------------------------------------------------------------- */

/* The ledger's view. Valid until store_close(). */
const struct book *store_book(struct store *s);
/* What the effects put through the book so far amount to. */
void store_applied(struct store *s, uint64_t index, uint64_t term, int64_t log_time_us);
uint64_t store_applied_index(const struct store *s);
int64_t store_applied_time_us(const struct store *s);
/* A number over every effect up to the applied index, the same on every replica. */
uint64_t store_applied_effects(const struct store *s);
/* Index up to which the state env is durable. */
uint64_t store_applied_durable(const struct store *s);
/* The term of that entry. */
uint64_t store_applied_durable_term(const struct store *s);
/* At the start of each round and when flushed() was called: adopts a finished flush (new snapshot,
 * frozen overlay dropped) and hands the overlay to the flusher when it is due. 0 or < 0 (the
 * flusher failed: end the process). */
int store_turn(struct store *s);
/* Hands the overlay over now and waits until it is durable (clean stop, tests). */
int store_flush(struct store *s);
/* The overlay is full: stop intake until a flush has finished. */
bool store_overlay_full(const struct store *s);
/* Microseconds until store_turn() wants to be called; INT64_MAX: nothing to flush. */
int64_t store_turn_in_us(const struct store *s);

enum store_room {
    STORE_ROOM_OK,
    STORE_ROOM_RESERVE, /* only confirm, drop and cancel */
    STORE_ROOM_NONE,    /* nothing that writes */
};
/* Headroom on both maps and on the disk.  Cheap: measured at most every 100 ms. */
enum store_room store_room(struct store *s);

struct store_stats {
    uint64_t log_bytes, log_map_bytes, state_bytes, state_map_bytes, disk_free_bytes;
    uint64_t overlay_bytes, flush_count, flush_us_last, flush_records_last;
};
void store_stats(struct store *s, struct store_stats *ret_stats);

/* The cluster id the directory belongs to. */
void store_cluster_id(const struct store *s, uint8_t ret_id[16]);

#endif
