/* SPDX-License-Identifier: MIT */
/* The audit's look past the gateway: the slots of the pool, asked of a shard over nng. */
#ifndef FAIRSLOT_FLOOD_PROBE_H
#define FAIRSLOT_FLOOD_PROBE_H

#include "flood/stage.h"

/* `states`: by plan->slots, what the gateway said (Slot.State).  Adds up in `audit`: shards_asked,
 * shard_slots, shard_taken, shard_differs.  A shard without the pool adds nothing.  0 or an exit
 * code, told. */
int probe_shards(const struct plan *plan, const uint8_t *states, struct audit *audit);

#endif
