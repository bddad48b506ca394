/* SPDX-License-Identifier: MIT */
/* A whole release day in one thread: the crowd, the real fair queue and the real ledger under a
 * clock of our own.  Inside this room. */
#ifndef FAIRSLOT_SIMULATE_WORLD_H
#define FAIRSLOT_SIMULATE_WORLD_H

#include "base/arena.h"
#include "crowd/crowd.h"
#include "fair/fairq.h"
#include "fairness/fairness.h"
#include "ledger/ledger.h"
#include "simulate/simbook.h"

#define WORLD_OPEN_US  (INT64_C(1796115600) * SECOND_US) /* 2026-12-01T09:00Z */
#define WORLD_SLOTS_US (WORLD_OPEN_US + 90 * DAY_US)
#define WORLD_SLOT_US  (600 * SECOND_US)
#define WORLD_DESKS    40
#define WORLD_NOBODY   UINT32_MAX
#define WORLD_WAITING  64 /* calls of one identity in the queue */

/* What a client has to name when it confirms, drops or cancels. */
struct world_paper {
    uint64_t owner, number;
};

/* What a client had carried out last, to be sent again (only where somebody replays). */
struct world_tape {
    uint64_t request; /* its number; 0: nothing is recorded */
    uint32_t slot;
    uint8_t act;      /* enum crowd_act */
    uint8_t answer;   /* enum crowd_answer */
    struct world_paper paper;
};

/* A request on its way or in the queue. */
struct world_call {
    struct fairq_entry entry; /* first: the queue gives it back */
    struct crowd_event event;
    int64_t arrives_us;       /* at the gateway */
};

struct world {
    struct crowd_scenario scenario;
    uint64_t seed;
    struct crowd *crowd;
    struct fairq *queue;
    struct simbook book;
    struct ledger *ledger;
    struct arena arena, due_arena;
    struct world_paper *papers;  /* by client */
    struct world_tape *tapes;    /* by client; NULL: nobody replays */
    uint64_t replays_differ;     /* answered otherwise than the first time: never */
    uint32_t *slot_owners;       /* by slot: identity, or WORLD_NOBODY */
    struct world_call **transit; /* a heap by arrival */
    size_t transit_count, transit_size;
    int64_t now_us;              /* 0: the opening */
    int64_t round_us;            /* the next round of the shard is not before this */
    uint64_t log_index;
    uint64_t double_booked;      /* a slot confirmed for two: never */
    uint64_t oversold;           /* slots taken that nobody has, or had and not taken: never */
    uint64_t commands;           /* applied to the ledger */
    uint64_t queued_max;
    uint64_t expired;            /* offers that nobody confirmed in time */
    uint32_t soon_mark;          /* of crowd_soon() */
    bool has_opened;             /* first come: its slots stand */
};

/* -- world.c --------------------------------------------------------------------------------- */
/* 0 or < 0; world_fini() takes a half-built one. */
int world_init(struct world *w, const struct crowd_scenario *scenario, uint64_t seed);
void world_fini(struct world *w);
int world_run(struct world *w);
/* The ledger's verdict on `command`; lives until the next.  0 or < 0. */
int world_apply(struct world *w, const struct command *command, struct verdict *ret_verdict);
/* The shard's own commands that are due.  0 or < 0. */
int world_settle(struct world *w);
struct identity world_identity(const struct world *w, uint32_t number);
struct slot_key world_slot(uint32_t number, char slug[8]);

/* -- act.c: a request as a command, a verdict as what the client is told ----------------------- */
int act_carry_out(struct world *w, const struct crowd_event *e, struct crowd_say *ret_say);

/* -- foresee.c: what will be read soon -------------------------------------------------------- */
void foresee_calls(struct world *w, struct fairq_entry *const *calls, size_t count);
/* The clients who come next, when that are others than before. */
void foresee_soon(struct world *w);
/* Before a step of the release. */
void foresee_step(struct world *w);

#endif
