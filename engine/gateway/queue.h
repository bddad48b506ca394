/* SPDX-License-Identifier: MIT */
/* The fair queue as the gateway uses it: which class a method belongs to, and what a refusal means.
 * Loop thread. */
#ifndef FAIRSLOT_GATEWAY_QUEUE_H
#define FAIRSLOT_GATEWAY_QUEUE_H

#include "fair/fairq.h"
#include "proto/words.h"

struct call;
struct gateway;

/* 0 or < 0. */
int queue_init(struct gateway *g);
void queue_fini(struct gateway *g);
/* CALL_OPEN -> CALL_QUEUED, or refused (QUEUE_FULL, RATE_LIMITED).  The hop looks at it when the
 * loop settles. */
void queue_push(struct gateway *g, struct call *call);
/* Who is next, off the queue, still in CALL_QUEUED; NULL: nobody. */
struct call *queue_pull(struct gateway *g);
/* Off the queue, wherever it waits; not queued: nothing happens.  call_move() alone calls it. */
void queue_remove(struct gateway *g, struct call *call);
size_t queue_waiting(const struct gateway *g);
size_t queue_waiting_identities(const struct gateway *g);

/* Pure.  What keeps a slot from being lost goes first, browsing last. */
enum fairq_class queue_class(enum command_kind kind);

#endif
