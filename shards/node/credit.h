/* SPDX-License-Identifier: MIT */
/* How many items each gateway may have under way at this shard: its backpressure.  Pure.
 * The whole follows the queueing delay: more, step by step, while batches wait under 8 ms for
 * their round; a quarter less each time they wait over 15 ms, down to CREDIT_FLOOR, or to one for
 * each who waits when it is the disk or the network that takes the time.  The parts follow the
 * identities that wait at each gateway, so that the choice of a gateway does not matter. */
#ifndef FAIRSLOT_NODE_CREDIT_H
#define FAIRSLOT_NODE_CREDIT_H

#include "base/types.h"

#define CREDIT_START        256
#define CREDIT_MIN          1   /* of one gateway */
#define CREDIT_FLOOR        16  /* of all together; see credit.c */
#define CREDIT_MAX          4096
#define CREDIT_STEP         32                    /* grows by */
#define CREDIT_STEP_US      INT64_C(10000)        /* between two changes, at least */
#define CREDIT_DELAY_GROW_US   INT64_C(8000)
#define CREDIT_DELAY_SHRINK_US INT64_C(15000) /* under twice the other: see credit.c */
#define CREDIT_RATE_US      INT64_C(100000)
#define CREDIT_PAUSE_US     500000 /* longest pause */
#define CREDIT_HEARD_US     (5 * SECOND_US)       /* a gateway silent for longer has no share */
#define CREDIT_GATEWAYS_MAX 64                    /* the one silent the longest makes room */

struct credit_gateway {
    uint64_t id;
    int64_t heard_us;  /* monotonic */
    uint32_t waiting;  /* identities in its fair queue, as it said */
};

struct credit_grant {
    uint32_t items;    /* under way at once */
    uint32_t pause_us; /* for each item, from its sending to the next; 0: none */
};

struct credit {
    uint32_t total;
    int64_t delay_us;   /* smoothed, from arrival to round */
    int64_t work_us;    /* smoothed, of a round: applying and answering */
    int64_t changed_us; /* when total changed last */
    uint64_t items;     /* since counted_us */
    int64_t counted_us;
    uint64_t rate;      /* items a second, over the last CREDIT_RATE_US */
    size_t gateways_count;
    struct credit_gateway gateways[CREDIT_GATEWAYS_MAX];
};

void credit_init(struct credit *c, int64_t now_us);
/* So long the round before applied and answered.  Never said: a long time. */
void credit_worked(struct credit *c, int64_t work_us);
/* A batch of so many items waited this long for its round. */
void credit_observe(struct credit *c, int64_t delay_us, size_t items, int64_t now_us);
/* Notes that the gateway was heard and returns its share now, at least one item.  A gateway with
 * few people beside one with many has only a part of one: it makes pauses. */
struct credit_grant credit_share(struct credit *c, uint64_t gateway, uint32_t waiting,
                                 int64_t now_us);

#endif
