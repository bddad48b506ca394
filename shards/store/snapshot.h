/* SPDX-License-Identifier: MIT */
/* Copies of the state for other replicas, and the way of one into a store.
 *
 *   here:   snapshot_want() -> copy made in one go on a thread of its own -> snapshot_read() chunks
 *   there:  snapshot_receive() -> snapshot_chunk() in order -> snapshot_check() -> store_install()
 *
 * A copy is a compact state environment, one file.  It is what the newest durable state commit was
 * when it was made; later flushes do not change it.  The bytes travel in chunks of any size at any
 * rate; after a break, or a restart of the one who receives, snapshot_receive() says from where.
 * Threads: snapshot_read() any thread; all else the writer's.  Nothing here blocks on a big file:
 * what takes long returns SNAPSHOT_E_WAIT, and store_options.flushed() wakes the writer when the
 * call is worth repeating.
 * Nothing of a copy is durable and copies are removed when a store opens: after a restart of the
 * one who sends its ids are unknown, and the other side asks snapshot_want() anew. */
#ifndef FAIRSLOT_STORE_SNAPSHOT_H
#define FAIRSLOT_STORE_SNAPSHOT_H

#include "base/types.h"

struct snapshots; /* of one store: store_snapshots() */

#define SNAPSHOT_COPIES_MAX  2
#define SNAPSHOT_CHUNK_MAX   (1024 * 1024) /* bytes of one snapshot_read() or snapshot_chunk() */
#define SNAPSHOT_DIGEST_SIZE 16

/* All that the other side must know before the first byte.  Numbers, so that they can travel. */
struct snapshot_about {
    uint64_t id;                          /* of the copy: random, never 0 */
    uint64_t size;                        /* bytes */
    uint8_t digest[SNAPSHOT_DIGEST_SIZE]; /* of all bytes: XXH3-128, big-endian */
    uint8_t cluster_id[16];
    uint32_t format;                      /* of the data: RECORD_FORMAT of the sender */
    uint64_t index;                       /* every effect up to here is in it, and none later */
    uint64_t term;                        /* of that entry */
    int64_t time_us;                      /* log time of that entry */
    uint64_t effects;                     /* the state hash: store_applied_effects() at index */
};

/* Its bytes, on the way to who wants it and beside what has come of it.  Unpack: false where they
 * are none. */
#define SNAPSHOT_ABOUT_SIZE (8 + 8 + SNAPSHOT_DIGEST_SIZE + 16 + 4 + 8 * 4)
void snapshot_about_pack(const struct snapshot_about *about, uint8_t out[SNAPSHOT_ABOUT_SIZE]);
bool snapshot_about_unpack(struct span bytes, struct snapshot_about *ret_about);

enum {
    SNAPSHOT_E_WAIT = 1,    /* under way: call again when woken */
    SNAPSHOT_E_ROOM = 2,    /* the disk has no room for it beyond its reserve */
    SNAPSHOT_E_BEHIND = 3,  /* our own durable state has not got that far: call again later */
    SNAPSHOT_E_BUSY = 4,    /* SNAPSHOT_COPIES_MAX copies are being read: call again later */
    SNAPSHOT_E_UNKNOWN = 5, /* no such copy, or no longer; nothing is being received */
    SNAPSHOT_E_CLUSTER = 6, /* of another cluster */
    SNAPSHOT_E_FORMAT = 7,  /* of another data format */
    SNAPSHOT_E_OFFSET = 8,  /* not where the file ends: snapshot_receive() says where that is */
    SNAPSHOT_E_DAMAGED = 9, /* digest or a record is wrong: thrown away, begin anew */
};

/* -- who has the state ------------------------------------------------------------------------- */

/* A copy at `index` or later: one that is there, else a new one is made.
 * 0, SNAPSHOT_E_WAIT, _ROOM, _BEHIND, _BUSY, _DAMAGED (our own state is: see store_damaged()),
 * or < 0. */
int snapshot_want(struct snapshots *n, uint64_t index, struct snapshot_about *ret_about);
/* Up to *len bytes from `offset`, fewer only at the end; 0 bytes at `size`; *len: how many.  Any
 * thread.  A copy that nobody has read for SNAPSHOT_IDLE_S goes.  0, SNAPSHOT_E_UNKNOWN, or < 0. */
#define SNAPSHOT_IDLE_S 60
int snapshot_read(struct snapshots *n, uint64_t id, uint64_t offset, uint8_t *to, size_t *len);
/* Nobody reads it any more.  Fine when it is unknown. */
void snapshot_release(struct snapshots *n, uint64_t id);

/* -- who wants it ------------------------------------------------------------------------------ */

/* Begins, or goes on with the same one (same id, size and digest; another one is thrown away).
 * *ret_offset: where the next chunk has to begin.  One at a time.
 * 0, SNAPSHOT_E_ROOM, _CLUSTER, _FORMAT, _WAIT (one is being checked), or < 0. */
int snapshot_receive(struct snapshots *n, const struct snapshot_about *about,
                     uint64_t *ret_offset);
/* Chunks come in order, without a gap.  0, SNAPSHOT_E_OFFSET, _UNKNOWN, _ROOM, or < 0. */
int snapshot_chunk(struct snapshots *n, uint64_t offset, struct span bytes);
/* After the last chunk, until it is not SNAPSHOT_E_WAIT: syncs the file, checks its digest, opens
 * it and reads every record.  0: store_install() may follow.  _WAIT, _OFFSET (not all there yet),
 * _UNKNOWN, _DAMAGED, or < 0. */
int snapshot_check(struct snapshots *n);
/* Throws away what was received.  Fine when nothing was. */
void snapshot_forget(struct snapshots *n);

#endif
