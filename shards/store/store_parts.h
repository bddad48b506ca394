/* SPDX-License-Identifier: MIT */
/* What the parts of the store share; nobody else includes this.
 *   store.c            opening, the log, the state, room
 *   store_install.c    which state it is, and another one in its place */
#ifndef FAIRSLOT_STORE_STORE_PARTS_H
#define FAIRSLOT_STORE_STORE_PARTS_H

#include "store/damage.h"
#include "store/flusher.h"
#include "store/opening.h"
#include "store/overlay.h"
#include "store/room.h"
#include "store/scrub.h"
#include "store/slip.h"
#include "store/snapshot_parts.h"
#include "store/view.h"

struct store {
    struct store_options options; /* defaults filled in; dir is this store's copy */
    struct opening opened;        /* lock, both environments, cluster id */
    struct flusher *flusher;
    struct overlay *live;
    struct overlay *frozen; /* with the flusher; NULL when there is none */
    struct overlay *spare;  /* empty, the next live one; NULL while one is frozen */
    struct view view;       /* over live, frozen and the snapshot */
    struct damage damage;   /* found in our files */
    struct snapshots *snapshots;
    struct scrub *scrub;    /* NULL: never */

    struct record_state_meta applied; /* what the effects so far amount to */
    struct record_state_meta frozen_meta; /* of the frozen overlay */
    uint64_t applied_durable;         /* index in the state environment's newest commit */
    uint64_t durable_term;            /* of that entry */
    int64_t waiting_since_us;         /* when the next flush was first wanted; 0: none is */
    int64_t snapshot_at_us;           /* when the snapshot was renewed */
    bool hurried;                     /* the flush under way runs late and was told so */
    bool failed;                      /* a flush failed: no other one is tried */
    uint64_t log_floor;               /* entries from here on stay for a peer, within bounds */
    uint64_t log_hold;                /* and from here on for one that will ask for them soon */
    int64_t late_at_us;               /* the flush under way should have ended by then */
    uint64_t wanted_durable;          /* somebody waits until the state has that index on disk */
    uint8_t members[SLIP_MAX];        /* its index in eight bytes, then the members */
    size_t members_len;               /* 0: there was no install */
    uint64_t flush_count;             /* adopted since open */
    struct flusher_result flush_last;

    struct room_figures figures; /* as last measured */
    int64_t measure_at_us;       /* when to measure again */
};

/* store_install.c: the scrubber, over what is open now.  0 or < 0. */
int store_scrub(struct store *s);
/* store_install.c: everything that follows from which state it is: the flusher, the view, what is
 * applied, who the members are.  0, STORE_E_DAMAGED (the members), < 0. */
int store_take_state(struct store *s);

#endif
