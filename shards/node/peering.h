/* SPDX-License-Identifier: MIT */
/* A replica among its peers: Raft's messages, clocks, states compared, who is where.
 * Writer thread only.  A voter alone has none of this. */
#ifndef FAIRSLOT_NODE_PEERING_H
#define FAIRSLOT_NODE_PEERING_H

#include "node/badge.h"
#include "node/fetch.h"
#include "node/replica.h"
#include "rpc/peers.h"

struct peering;

#define PEERING_HASH_EVERY 1024 /* entries between two comparisons of the state */
#define PEERING_URL_MAX    128

struct peering_options {
    const char *dir;         /* of the shard: its badge stands there */
    const char *listen_url;  /* for peers */
    const char *address;     /* what they dial; NULL: listen_url */
    uint8_t cluster_id[16];
    const struct badge *own; /* copied */
    struct replica *replica; /* borrowed, as the next one */
    struct store *store;
    void (*arrived)(void *user); /* any thread: peering_hear() has something to do */
    void *user;
};

enum {
    PEERING_E_ADDRESS = 1, /* listen_url is none of ours, or in use */
    PEERING_E_DISK = 2,    /* the others know our id with another disk: this one must not go on */
    PEERING_E_STATE = 4,   /* another replica's state is here: peering_install() */
    PEERING_E_DIFFERS = 3, /* most replicas have another state than ours: this one must not go on */
};

/* What a replica says of itself, once a second. */
struct peering_status {
    uint64_t applied;       /* index */
    uint64_t durable;       /* of the state on its disk */
    int64_t log_time_us;
    uint32_t rules;         /* LEDGER_VERSION of its program */
    uint8_t room;           /* enum store_room */
    uint64_t disk_free_bytes;
    bool repairs;           /* its state is damaged, and it fetches another one's */
    uint64_t needs;         /* it fetches a state, or did: the entry that its log will begin behind;
                             * who sends what follows must know its term, too */
    uint64_t signs;         /* signer_mark() of its key; 0: not known */
    char door[PEERING_URL_MAX];    /* where gateways reach it */
    char program[PEERING_URL_MAX]; /* version of its program */
};

#define PEERING_STATUS_MAX (64 + 2 * PEERING_URL_MAX) /* its bytes */
size_t peering_status_pack(const struct peering_status *s, uint8_t out[PEERING_STATUS_MAX]);
/* False: no status. */
bool peering_status_unpack(struct span bytes, struct peering_status *ret_status);

/* What we know of a peer. */
struct peering_view {
    uint64_t id;
    bool is_connected;       /* our stream to it stands */
    int64_t heard_us;        /* monotonic; 0: never */
    int64_t ahead_us;        /* its wall clock before ours when last heard; way included */
    bool is_other_disk;      /* somebody came under its id with another disk, and is not heard */
    bool is_twice;           /* two processes speak as it, with one disk: a copy of its directory */
    bool differs;            /* its state differed from ours */
    bool has_same;           /* it was the same as ours, when they were compared last */
    struct peering_status status; /* zero: not said yet */
};

/* 0, a verdict with `ret_text` (256 bytes), or < 0. */
int peering_open(const struct peering_options *options, struct peering **ret_peering,
                 char *ret_text);
/* Takes NULL. */
void peering_close(struct peering *p);

/* Everything that has come, into the replica; and its tick.  0, PEERING_E_DISK, _DIFFERS, _STATE,
 * or < 0. */
int peering_hear(struct peering *p, int64_t now_us);
/* The state that was fetched takes the place of the store's: nobody may have read the old book, and
 * whoever reads the new one is made after it.  0 or < 0. */
int peering_install(struct peering *p);
/* After replica_round(): what it wants sent. */
void peering_speak(struct peering *p);
/* Our status, to everybody, once a second. */
bool peering_status_is_due(const struct peering *p, int64_t now_us);
void peering_say_status(struct peering *p, const struct peering_status *own, int64_t now_us);
/* Monotonic instant of the next tick. */
int64_t peering_next_us(const struct peering *p);

/* The latest instant that the clocks of a majority of voters have passed, as far as we heard from
 * them lately; our own clock alone where we did not. */
int64_t peering_wall_us(const struct peering *p, int64_t now_us, int64_t own_wall_us);
/* The state after that entry amounts to `effects`.  Call for each entry applied; compares every
 * PEERING_HASH_EVERY.  0 or PEERING_E_DIFFERS. */
int peering_applied(struct peering *p, uint64_t index, uint64_t effects);
/* Our stream to it stands, and it spoke a moment ago. */
/* Its process has ended, as far as can be seen from here: no connection to it stands, and it said
 * nothing for two heartbeats of the usual length. */
bool peering_is_gone(const struct peering *p, uint64_t id, int64_t now_us);
bool peering_reaches(const struct peering *p, uint64_t id);
/* Its enum store_room as it last said; STORE_ROOM_NONE: not said, or it has no state to lead
 * with. */
uint8_t peering_room(const struct peering *p, uint64_t id);
/* Some member has said that its program has a lower LEDGER_VERSION than ours. */
bool peering_has_older(const struct peering *p);
/* The lowest LEDGER_VERSION of all members' programs, ours among them; 0: somebody has not said. */
uint32_t peering_rules(const struct peering *p);
/* The first entry that must stay for members who fetch a state (peering_status.needs), of those
 * heard lately; UINT64_MAX: none does. */
uint64_t peering_needs(const struct peering *p, int64_t now_us);
/* Where gateways reach that replica; "": not known. */
const char *peering_door(const struct peering *p, uint64_t id);
/* The peers heard of, in the order of members; returns their number. */
size_t peering_views(struct peering *p, struct peering_view out[REPLICA_MEMBERS_MAX]);

#endif
