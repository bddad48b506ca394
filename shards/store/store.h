/* SPDX-License-Identifier: MIT */
/* Both LMDB environments of one shard replica, and what lies between them.
 *
 *   log env    (writer thread)   one durable write a round: entries, term, vote
 *   overlay    (writer thread)   effects of applied entries, ordered, in memory
 *   frozen     (read by both)    an older overlay on its way to disk, immutable
 *   state env  (flusher thread)  the frozen overlay in key order, in slices, the last one's commit
 *                                with its applied index
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
struct snapshots; /* store/snapshot.h */

struct store_options {
    const char *dir;          /* holds log/ and state/; made when missing */
    uint8_t cluster_id[16];   /* all zero: take what the directory says, make one when it is new */
    size_t log_map_bytes;     /* 0: 4 GiB */
    size_t log_tail_bytes;    /* 0: 4 MiB; of a log that is made, in blocks of 4 KiB */
    size_t state_map_bytes;   /* 0: 64 GiB (sparse) */
    size_t overlay_max_bytes; /* 0: 512 MiB; over it store_overlay_full() */
    size_t warm_bytes;        /* of both overlays, touched at opening and kept; 0: none */
    int64_t flush_interval_us; /* 0: 1 s; a big flush may wait fifteen */
    uint64_t slice_pages;      /* 0: 256; pages that one commit of a flush may touch at least */
    uint64_t disk_reserve_bytes; /* 0: 256 MiB; free space below which only the reserve is left */
    uint64_t log_keep_entries; /* 0: 200,000; for a peer that lags: store_log_floor() */
    uint64_t log_keep_bytes;   /* 0: 256 MiB, in whole pages of the log environment */
    bool repairs; /* there are peers: a damaged state may be theirs again, see store_repair(), and
                   * who lags behind a log made anew fetches a state from one of them */
    bool was_used; /* a log has been here: none is made where it is missing */
    uint64_t disk; /* this directory's number: another one's log is refused; 0: not looked at */
    int64_t scrub_interval_us; /* 0: 24 h; < 0: never.  From one whole reading to the next */
    uint64_t scrub_bytes_per_s; /* 0: 32 MiB */
    /* Called on another thread when a flush or a slice of it is durable, or a snapshot call is
     * worth repeating, so that the writer wakes and calls store_turn().  May be NULL. */
    void (*flushed)(void *user);
    /* Called once, on another thread, when the files are found damaged; store_damaged() has the
     * text from then on.  With peers the node may lose its state and receive theirs
     * (store_lose_state()); without any it must stop.  May be NULL. */
    void (*damaged)(void *user);
    void *user;
};

enum {
    STORE_E_FORMAT = 1,  /* written by another data format version */
    STORE_E_CLUSTER = 2, /* belongs to another cluster, or to another disk of ours */
    STORE_E_DAMAGED = 3, /* a checksum or the structure is wrong */
    STORE_E_LOCKED = 4,  /* another process has the directory open */
    STORE_E_MISSING = 5, /* log compacted beyond that index, or no such entry */
};

/* Opens or makes both environments and starts the flusher thread.  What they show then is durable,
 * also after a kill in the middle of a commit.
 * 0, a verdict above (then `ret_text`, 200 bytes, names directory, found and wanted), or < 0.
 * With 0 and store_wants_state() or store_log_repaired() the text says what was damaged. */
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
/* One flush of the device, now and then an LMDB commit instead, which trims entries that a durable
 * state commit has made superfluous.
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
/* At the start of each round and when flushed() was called: adopts a finished flush (new snapshot,
 * frozen overlay dropped), renews the snapshot behind a slice, and hands the overlay to the flusher
 * when it is due. 0 or < 0 (the flusher failed: end the process). */
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
    uint64_t flush_records_left; /* of the flush under way, in no slice yet */
    bool is_flush_hurried;       /* the flush under way does not stand back any more */
};
void store_stats(struct store *s, struct store_stats *ret_stats);

/* The cluster id the directory belongs to. */
void store_cluster_id(const struct store *s, uint8_t ret_id[16]);

/* -- other replicas ---------------------------------------------------------------------------- */

/* Copies of the state, and receiving one: store/snapshot.h.  Valid until store_close(). */
struct snapshots *store_snapshots(struct store *s);

/* Where the log stands once a received state is installed: as Raft wants it. */
struct store_place {
    uint64_t base;          /* the empty log's last index; at most the state's own index */
    uint64_t base_term;     /* of that entry */
    uint64_t members_index; /* of the entry that made these the members */
    struct span members;    /* opaque; at most STORE_MEMBERS_MAX bytes */
};
#define STORE_MEMBERS_MAX 4096

/* The checked state (snapshot_check() was 0) takes the place of ours: one commit in the log
 * environment names it, sets base, term and members and empties the log; term and vote stay.  After
 * a crash at any point the one or the other is whole.  Everything applied and not flushed is
 * dropped, and so is what was read from the book: make the ledger anew.  The state may be ahead of
 * its log: what it has is committed, nothing at or below store_applied_index() is applied again.
 * 0, STORE_E_MISSING (nothing checked, or it is older than place.base), or < 0: end the process. */
int store_install(struct store *s, const struct store_place *place);
/* The members of the last install; false: there was none.  Borrowed until the next install. */
bool store_installed_members(const struct store *s, uint64_t *ret_index, struct span *ret_members);
/* For the replica: an index whose effects are durable in the state and whose entry is in the log or
 * right before it, and the term of that entry.  0, 0: none. */
void store_log_durable(const struct store *s, uint64_t *ret_index, uint64_t *ret_term);
/* Entries from `index` on stay for a peer that lags, as long as the log holds no more than
 * log_keep_entries and log_keep_bytes; beyond that the peer needs a snapshot.  Entries that are not
 * durable in the state stay in any case.  UINT64_MAX (at first): nobody lags.  Cheap: call it in
 * every round.  A follower does well to give committed minus some thousands, so that it can serve
 * those who lag when it comes to lead. */
void store_log_floor(struct store *s, uint64_t index);
/* Entries from `index` on stay for a peer that is there and will ask for them: beyond those bounds,
 * as long as the log fills no more than half of its map and store_room() is STORE_ROOM_OK.  Else
 * who fetches a state finds the entries behind it gone, and fetches one state after another.
 * UINT64_MAX (at first): nobody.  Cheap, as store_log_floor(). */
void store_log_hold(struct store *s, uint64_t index);

/* Somebody waits until the state that is durable has that index, where it is applied: a flush comes
 * at once and does not stand back. */
void store_want_durable(struct store *s, uint64_t index);

/* Our own state is damaged and an empty one stands in for it: nothing may be answered or applied
 * until another replica's is here, checked (fetched as for an install), and store_repair() was 0.
 * *ret_index: at this index or later. */
bool store_wants_state(const struct store *s, uint64_t *ret_index);
/* After store_damaged(): from now on store_wants_state().  Whoever reads the book must be made
 * anew.  Everything applied and not flushed is dropped; the log has it.  0; STORE_E_DAMAGED: the
 * log is damaged, too, or it is so already: the process must end; < 0. */
int store_lose_state(struct store *s);
/* As store_install(), but the log stays as it is: what this replica has promised is in it.
 * 0, STORE_E_MISSING (nothing checked, or too old), or < 0. */
int store_repair(struct store *s);

/* The log was found damaged at the start, where the durable state has all of it: it was made anew
 * without those entries, and what this replica has promised is in it.  The text of store_open()
 * says so.  Only with options.repairs.  Or its tail was damaged where nothing was in it. */
bool store_log_repaired(const struct store *s);

/* What a scrub, a read or a copy found wrong in our own files, a text with the next step; NULL:
 * nothing.  Nothing may be served from then on.  store_options.damaged() was called before. */
const char *store_damaged(struct store *s);

#endif
