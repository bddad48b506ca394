/* SPDX-License-Identifier: MIT */
/* What the harness does as an operator: a pool, its slots, a release; and, afterwards, the audit
 * from the shard's own records.  Blocking; every failure was told on stderr. */
#ifndef FAIRSLOT_FLOOD_STAGE_H
#define FAIRSLOT_FLOOD_STAGE_H

#include "ctl/options.h"
#include "flood/plan.h"

struct stage;

/* What the shard says afterwards, against what the clients were told. */
struct audit {
    uint64_t slots, free, held, taken, other; /* of the pool, by state */
    uint64_t reservations;   /* that clients were told of */
    uint64_t double_booked;  /* slots that two of them have */
    uint64_t double_won;     /* identities with two of them */
    uint64_t lost;           /* told to a client, unknown to the shard or not confirmed there */
    uint64_t unheard;        /* slots taken at the shard that no client was told of */
    uint64_t oversold;       /* reservations over the number of slots */
    uint64_t tickets;        /* of the release, in every cohort */
    uint64_t extra_tickets;  /* of them, over the identities that were told of one */
    uint64_t double_confirmed; /* holds that were confirmed once more when asked again */
    uint64_t asked_again;    /* of those that were asked, refused because the hold has ended */
    uint64_t order_wrong;    /* 1: the release's bundle does not verify */
    uint64_t shards_asked;   /* over nng, past the gateway (probe.c) */
    uint64_t shard_slots, shard_taken; /* of the pool, there */
    uint64_t shard_differs;  /* slots that a shard and the gateway say different things of */
    bool is_done;            /* the shard could be asked */
};

/* As the operator of `call`.  0 or an exit code. */
int stage_open(const struct options_call *call, struct stage **ret_stage);
void stage_close(struct stage *s);
/* Makes pool, slots and release as the plan names them; waits until it is announced; fills
 * plan->slots, opens_wall_us and opens_mono_us.  lead_us: from now to the opening, at least. */
int stage_set(struct stage *s, struct plan *plan, int64_t lead_us);
void stage_free_slots(struct plan *plan);
/* Where it stands in plan->slots; UINT32_MAX: nowhere. */
uint32_t stage_slot_index(const struct plan *plan, const char *name);
/* Reads slots, reservations and the set of tickets back, confirms some holds again, and has
 * `fairslot release verify` recompute the order. */
int stage_audit(struct stage *s, const struct plan *plan, struct audit *ret_audit);

#endif
