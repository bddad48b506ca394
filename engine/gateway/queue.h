/* SPDX-License-Identifier: MIT */
/* The fair queue as the gateway uses it: which class a method belongs to, and what a refusal means.
 * The first loop's thread: one queue for all loops. */
#ifndef FAIRSLOT_GATEWAY_QUEUE_H
#define FAIRSLOT_GATEWAY_QUEUE_H

#include "fair/fairq.h"
#include "proto/words.h"

struct call;
struct errand;
struct front;

/* 0 or < 0. */
int queue_init(struct front *front);
void queue_fini(struct front *front);
/* -> ERRAND_QUEUED, or refused (QUEUE_FULL, RATE_LIMITED).  The hop looks at it when the loop
 * settles. */
void queue_push(struct front *front, struct errand *e);
/* Who is next, off the queue, still in ERRAND_QUEUED; NULL: nobody. */
struct errand *queue_pull(struct front *front);
/* Off the queue, wherever it waits; not queued: nothing happens. */
void queue_remove(struct front *front, struct errand *e);
size_t queue_waiting(const struct front *front);
size_t queue_waiting_identities(const struct front *front);

/* Whose turn a call takes: its identity's; of weak identities, their address group's part of it;
 * of callers without a token, the one place that all of them share. */
struct fairq_place queue_place(const struct call *call);
/* Pure.  What keeps a slot from being lost goes first, browsing last. */
enum fairq_class queue_class(enum command_kind kind);

#endif
