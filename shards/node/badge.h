/* SPDX-License-Identifier: MIT */
/* Who this data directory is, and which disks its peers were seen with.
 * A vote or an entry that a replica has promised is on its disk.  So an id belongs to a disk: a
 * replica that comes back under its id with another one (lost, blank, a second process) has
 * forgotten its promises, and is not heard until it was removed and added as somebody new. */
#ifndef FAIRSLOT_NODE_BADGE_H
#define FAIRSLOT_NODE_BADGE_H

#include "base/types.h"

#define BADGE_PEERS_MAX 64 /* ids ever seen; ids are never used again */

struct badge {
    uint64_t id;
    uint64_t disk;  /* random, made with the directory */
    uint8_t cluster_id[16]; /* zero: alone, the store has its own */
    bool joins;     /* no first member: what it is comes from a leader */
    bool is_alone;  /* one voter that nobody else may join by its address */
    size_t peers_count;
    struct badge_peer {
        uint64_t id, disk;
    } peers[BADGE_PEERS_MAX];
};

enum {
    BADGE_E_DAMAGED = 1,
    BADGE_E_OTHER = 2, /* the directory is another id's, or was made another way */
};

/* Reads `dir`/badge, or makes both: `wanted` has id, cluster_id, joins and is_alone; what is there
 * already has its own cluster_id and joins.  0, a verdict with
 * `ret_text` (256 bytes) saying what and what to do, or < 0. */
int badge_open(const char *dir, const struct badge *wanted, struct badge *ret_badge,
                  char *ret_text);

enum badge_view {
    BADGE_KNOWN,
    BADGE_NEW,   /* noted now, durably */
    BADGE_OTHER, /* this id was seen with another disk: do not hear it */
};
/* 0 or < 0.  Before any message of that peer is looked at. */
int badge_meet(struct badge *own, const char *dir, uint64_t id, uint64_t disk,
                  enum badge_view *ret_view);

#endif
