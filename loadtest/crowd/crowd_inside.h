/* SPDX-License-Identifier: MIT */
/* What crowd.c (the queue of events) and react.c (what a client does next) share. */
#ifndef FAIRSLOT_CROWD_INSIDE_H
#define FAIRSLOT_CROWD_INSIDE_H

#include "crowd/crowd.h"

#define CROWD_BUCKETS_MIN 1024    /* of time, from the first event to the end */
#define CROWD_OF_BUCKET   32      /* clients, at least half as many */
#define CROWD_NEVER_US INT64_MIN

struct crowd {
    struct crowd_scenario scenario;
    uint64_t seed;
    uint32_t part, parts;
    struct crowd_client *clients;  /* of this part; number n stands at n / parts */
    uint32_t clients_count;
    uint32_t open_count;
    uint32_t replays_count;        /* in the queue */
    struct crowd_event *events;    /* all that wait; free ones are linked */
    uint32_t events_used, events_capacity, events_free;
    uint32_t *heap;                /* numbers of those due soon: four children, earliest first */
    uint32_t heap_count;
    uint32_t *buckets;             /* later ones, linked; 0: none, else number + 1 */
    uint32_t buckets_count;
    uint32_t bucket;               /* whose events are in the heap, and all before it */
    int64_t start_us, bucket_us;
    bool is_gathered;              /* everybody's first event is there */
    struct crowd_tally tallies[CROWD_POPULATIONS_MAX];
    int64_t window_us, served_us, end_us, clock_end_us;
};

static inline struct crowd_client *crowd_at(struct crowd *c, uint32_t client)
{
    return &c->clients[client / c->parts];
}

static inline const struct crowd_population *crowd_population(const struct crowd *c,
                                                              const struct crowd_client *who)
{
    return &c->scenario.populations[who->population];
}

static inline bool crowd_is_open(const struct crowd_client *who)
{
    return who->state < CROWD_WON || who->state == CROWD_WAITS;
}

/* Programs make no pause and aim; everybody else reads and thinks. */
static inline bool crowd_is_program(const struct crowd_population *p)
{
    return p->kind >= CROWD_BOTS;
}

/* Into the queue, unless it would be due after the end. */
void crowd_push(struct crowd *c, const struct crowd_event *event);
/* The client comes: its first events. */
void crowd_arrive(struct crowd *c, uint32_t client);
/* An event is due: what is it by now?  false: nothing, its time has passed. */
bool crowd_due(struct crowd *c, struct crowd_event *event);

#endif
