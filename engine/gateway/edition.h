/* SPDX-License-Identifier: MIT */
/* One edition: what a pool looked like at one instant, and since which edition each slot does. Made
 * by the board's thread, then read by any thread and never changed; whoever holds one has counted
 * himself.  Slots stay the packed bytes that the shard made: nobody here knows what is in them but
 * their names. */
#ifndef FAIRSLOT_GATEWAY_EDITION_H
#define FAIRSLOT_GATEWAY_EDITION_H

#include <stdatomic.h>

#include "base/types.h"
#include "proto/reason.h"

#define EDITION_PART_SLOTS 500          /* of one message */
#define EDITION_PART_BYTES (48 * 1024)  /* the same */
#define EDITION_SLOT_MAX   1024         /* bytes of a packed slot */
#define EDITION_BUFFER     (EDITION_PART_BYTES + EDITION_SLOT_MAX + 64)

struct edition_slot {
    uint64_t since; /* the edition in which it came to look like this */
    size_t at;      /* of its message in `bytes` */
    uint32_t len;   /* of its message */
    uint32_t name_at, name_len; /* of its name in its message */
};

struct edition {
    atomic_uint holders;
    enum reason reason;   /* why there is none: then nothing else counts */
    uint64_t number;      /* grows by one with each of a pool */
    int64_t made_us;      /* monotonic */
    uint8_t as_of[24];    /* packed Timestamp of its first page */
    size_t as_of_len;
    struct edition_slot *slots; /* in time order */
    size_t count, capacity;
    uint32_t *fresh;      /* places of the slots that came to look so with this edition */
    size_t fresh_count;
    uint64_t newest;      /* youngest `since` of all */
    uint8_t *bytes;
    size_t bytes_len, bytes_capacity;
};

/* With one holder; NULL: out of memory. */
struct edition *edition_new(void);
void edition_hold(struct edition *e);
/* Takes NULL. */
void edition_drop(struct edition *e);

/* -- while it is made ------------------------------------------------------------------------- */

/* Adds a packed ListSlotsResponse; the next page's token borrows from it.  0; EDITION_E_LARGE over
 * WATCH_SLOTS_MAX slots; EDITION_E_DAMAGED; -ENOMEM. */
enum { EDITION_E_LARGE = 1, EDITION_E_DAMAGED = 2 };
int edition_page(struct edition *e, struct span message, struct span *ret_token);
/* It follows `before` (NULL: it is the first): what looks the same is as old as it was.  0 or
 * -ENOMEM. */
int edition_follow(struct edition *e, const struct edition *before);

/* -- read -------------------------------------------------------------------------------------- */

/* The next WatchSlotsResponse for who has seen edition `seen` (0: none), into EDITION_BUFFER bytes;
 * *at goes on from 0.  *ret_complete: it was the last part, and says so. */
struct span edition_part(const struct edition *e, uint64_t seen, size_t *at, uint8_t *buffer,
                         bool *ret_complete);
/* Has it anything for who has seen `seen`? */
bool edition_has(const struct edition *e, uint64_t seen);

#endif
