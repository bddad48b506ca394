/* SPDX-License-Identifier: MIT */
/* What people were told, and how things stood in the end: two files of fixed records, in the
 * machine's own byte order, written by people.c and read by judge.c on the same machine.
 * A history is one struct story_line for each call, in any order; a final state is one struct
 * story_head, then a struct story_slot for each slot, then a struct story_thing for each hold and
 * reservation that was found. */
#ifndef FAIRSLOT_NEMESIS_STORY_H
#define FAIRSLOT_NEMESIS_STORY_H

#include "base/types.h"

enum story_op {
    STORY_NONE,
    STORY_HOLD,
    STORY_CONFIRM,
    STORY_DROP,
    STORY_CANCEL,
    STORY_READ, /* of a hold or reservation that this person was told of */
};

enum story_outcome {
    STORY_UNKNOWN, /* no answer, or one that does not say what happened */
    STORY_OK,
    STORY_REFUSED, /* the shard decided so */
};

/* Why the shard refused; people_hear.c has the words. */
enum story_reason {
    STORY_NO_REASON,
    STORY_SLOT_TAKEN,
    STORY_IDENTITY_QUOTA,
    STORY_HOLD_EXPIRED,
    STORY_HOLD_ENDED,
    STORY_HOLD_UNKNOWN,
    STORY_RESERVATION_ENDED,
    STORY_RESERVATION_UNKNOWN,
    STORY_SLOT_PAST,
    STORY_REQUEST_ID_REUSED,
    STORY_ETAG_MISMATCH,
    STORY_POOL_UNKNOWN,
    STORY_SLOT_UNKNOWN,
    STORY_NOT_YOURS,
    STORY_REASON_COUNT,
};

/* As the API's Slot.State. */
enum story_state { STORY_FREE = 1, STORY_HELD, STORY_TAKEN, STORY_BLOCKED, STORY_RETURNED };

/* One call: 80 bytes. */
struct story_line {
    int64_t invoke_us, return_us; /* the clients' monotonic clock */
    uint64_t request[2];          /* request id; 0 of reads */
    uint64_t log_index;           /* of an answer */
    uint64_t thing;               /* hash of the hold's id, and of its reservation's; 0: unknown */
    uint64_t answer;              /* hash of the whole answer */
    uint32_t identity;            /* number of the person */
    uint32_t slot;                /* number of the slot that was meant */
    uint32_t version;             /* of the slot, as the answer says */
    uint16_t reason;              /* why not: enum story_reason */
    uint8_t op, outcome;          /* enum story_op, enum story_outcome */
    uint8_t state;                /* of the slot, as the answer says: enum story_state */
    uint8_t spare[7];
};

#define STORY_MAGIC UINT64_C(0x31594f5453534c46)

struct story_head {
    uint64_t magic;
    uint64_t slots_count, things_count;
    uint64_t log_end; /* index of the last committed entry, asked for when all was read */
    uint32_t max_live; /* of holds and reservations together, for each person */
    uint32_t first_version; /* of a slot that nobody touched */
};

struct story_slot {
    uint32_t slot, version;
    uint32_t state; /* enum story_state */
    uint32_t spare;
};

struct story_thing {
    uint64_t thing;
    uint32_t identity, slot;
    uint32_t state; /* enum story_state of its slot: held, taken or, when it has ended, returned */
    uint32_t spare;
};

#endif
