/* SPDX-License-Identifier: MIT */
/* Inside a crew: what crew.c (time and sockets), crew_ask.c (requests) and crew_react.c (what a
 * client does next) share. */
#ifndef FAIRSLOT_FLOOD_CREW_INSIDE_H
#define FAIRSLOT_FLOOD_CREW_INSIDE_H

#include "base/list.h"
#include "base/prng.h"
#include "flood/crew.h"
#include "flood/loop.h"

#define CREW_PACKED_MAX 1024 /* bytes of a request */

/* Something that a client will do. */
struct event {
    int64_t due_us;
    uint32_t client;
    uint8_t call;  /* enum plan_call */
    bool is_tick;  /* by the clock: the next one follows whatever comes of it */
};

/* A request under way. */
struct shot {
    struct list link;             /* on crew->shots, by time, or free */
    struct wire_request *request; /* NULL once it is over */
    int64_t due_us;               /* latency counts from here */
    int64_t sent_us;
    uint32_t client;
    uint32_t slot;                /* of a hold: the one that was wanted */
    uint8_t call;
    bool is_answered;             /* its message was read */
    bool is_overdue;              /* cancelled by us: it took too long */
};

struct crew {
    const struct plan *plan;
    struct result *result;
    const volatile sig_atomic_t *stop;
    uint32_t number;
    struct loop loop;
    struct prng prng;
    struct event *heap;      /* by due_us; owned */
    size_t heap_count, heap_size;
    struct event *parked;    /* their connections are full; owned */
    size_t parked_count, parked_size;
    struct list shots;       /* in the order of sending; owned */
    struct list spare;       /* owned */
    size_t shots_count;
    uint64_t open_count;     /* clients of ours that may still do something */
    uint32_t party_conn[PLAN_PARTIES_MAX]; /* first connection of each party */
    uint32_t party_conns[PLAN_PARTIES_MAX];
    uint8_t *taken;          /* slots that bots know to be gone; owned */
    uint32_t taken_count;
    int64_t now_us;          /* of this step */
    int64_t dead_since_us;   /* no connection stands since then; INT64_MIN: one does */
};

/* crew.c */
void crew_push(struct crew *c, const struct event *e);
/* crew_ask.c: the request packed; its path. */
const char *crew_pack(struct crew *c, const struct event *e, uint8_t *out, size_t *ret_len);
/* crew_react.c */
void crew_arrivals(struct crew *c);
/* A tick of the clock came for this client: should it ask, and what?  False: no more ticks. */
bool crew_tick(struct crew *c, struct event *e);
/* The answer's message (OK), or how it was refused; is_lost: nobody heard it. */
void crew_answer(struct crew *c, struct shot *s, struct span message);
void crew_refusal(struct crew *c, struct shot *s, int status, struct span details);
bool crew_mine(const struct crew *c, uint32_t client);

#endif
