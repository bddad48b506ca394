/* SPDX-License-Identifier: MIT */
/* The shipped writer of a shard replica, without its thread. */
#ifndef FAIRSLOT_TESTS_SIM_CITY_WRITER_H
#define FAIRSLOT_TESTS_SIM_CITY_WRITER_H

#include "base/types.h"

struct house;
struct ledger;
struct rpc_batch;

#define HOUSE_BATCHES 16 /* at once */
#define HOUSE_WAITING 64 /* calls that wait for its round */

/* Opened from what the shells say; with the members 1 to `members_count` at first.  NULL: it could
 * not, house_text() has why. */
struct house *house_open(uint64_t id, size_t members_count);
/* Closed as at its end; batches that were not answered get an empty reply.  Takes NULL. */
void house_close(struct house *h);
void house_push(struct house *h, struct rpc_batch *batch);
/* writer_step(), writer_next_us(). */
int house_step(struct house *h);
int64_t house_next_us(struct house *h);
struct ledger *house_ledger(struct house *h);
/* Why it cannot go on. */
const char *house_text(const struct house *h);
/* "n3" for a node's door and address. */
const char *house_name(uint64_t id);

#endif
