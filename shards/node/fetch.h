/* SPDX-License-Identifier: MIT */
/* States between replicas: one that is too far behind fetches another one's.  Writer thread only.
 * Works on messages: peering.c carries them. */
#ifndef FAIRSLOT_NODE_FETCH_H
#define FAIRSLOT_NODE_FETCH_H

#include "node/replica.h"
#include "store/snapshot.h"
#include "store/store.h"

struct fetch;

#define FETCH_BODY_MAX (SNAPSHOT_CHUNK_MAX + 64)

/* Kinds of message, after Raft's and peering's own. */
enum fetch_kind {
    FETCH_WANT = 16,  /* index u64: a state at this index or later */
    FETCH_ABOUT = 17, /* what there is: struct snapshot_about */
    FETCH_READ = 18,  /* id u64, offset u64 */
    FETCH_CHUNK = 19, /* id u64, offset u64, bytes */
    FETCH_GONE = 20,  /* id u64: unknown, ask anew */
};

struct fetch_options {
    struct store *store;     /* borrowed, as the replica */
    struct replica *replica;
    /* Sends; copies. */
    void (*send)(void *user, uint64_t to, uint8_t kind, struct span body);
    void *user;
};

int fetch_new(const struct fetch_options *options, struct fetch **ret_fetch);
/* Takes NULL. */
void fetch_free(struct fetch *f);
static inline bool fetch_has_kind(uint8_t kind)
{
    return kind >= FETCH_WANT && kind <= FETCH_GONE;
}
/* 0, FETCH_E_MESSAGE, or < 0. */
enum { FETCH_E_MESSAGE = 1, FETCH_E_READY = 2 };
int fetch_hear(struct fetch *f, uint64_t from, uint8_t kind, struct span body, int64_t now_us);
/* Once a pass.  0; FETCH_E_READY: the state is here and checked, the caller installs it
 * (fetch_install()); or < 0. */
int fetch_turn(struct fetch *f, const struct replica_member *members, size_t count, int64_t now_us);
/* The checked state takes the place of ours, in store and replica; whoever read the book must be
 * made anew before and after.  0 or < 0. */
int fetch_install(struct fetch *f);

#endif
