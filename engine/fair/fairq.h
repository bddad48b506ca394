/* SPDX-License-Identifier: MIT */
/* Fair queue: who speaks next.  PURE: no clock, no I/O; allocation only in fairq_new().
 *
 * class ring -> identity ring -> FIFO of calls.  Deficit round robin (Shreedhar and Varghese 1995)
 * with unit cost, O(1); the map of identities is exact and keyed with a secret (SipHash-2-4), so
 * nobody can choose to collide; a new identity gets no priority.  A full per-identity queue refuses
 * its own newest, never another's.
 * Promise: over any window, two backlogged identities of one class differ by at most one call;
 * backlogged classes are served in the ratio of their weights. */
#ifndef FAIRSLOT_FAIR_FAIRQ_H
#define FAIRSLOT_FAIR_FAIRQ_H

#include "base/list.h"
#include "base/types.h"

enum fairq_class { FAIRQ_CONTROL, FAIRQ_RESERVE, FAIRQ_READ, FAIRQ_SEARCH, FAIRQ_CLASSES };

struct fairq;

/* Embedded in the caller's call object; the queue links it and never owns it. */
struct fairq_entry {
    struct list link;          /* in its identity's FIFO */
    struct fairq_flow *flow;   /* NULL: not queued */
    enum fairq_class class;
};

struct fairq_options {
    uint8_t secret[16];                /* SipHash key */
    uint32_t weights[FAIRQ_CLASSES];   /* all > 0; e.g. 8, 4, 2, 1 */
    uint32_t waiting_per_identity;     /* calls of one identity, all classes together */
    uint32_t identities_max;           /* identities with something waiting */
};

enum {
    FAIRQ_E_FULL_IDENTITY = 1, /* its own cap: come back later */
    FAIRQ_E_FULL = 2,          /* no room for one more waiting identity */
};

int fairq_new(const struct fairq_options *options, struct fairq **ret_queue);
void fairq_free(struct fairq *q);
/* Queues the entry behind its identity's others of the class.  0 or a verdict; never < 0. */
int fairq_push(struct fairq *q, const struct identity *identity, struct fairq_entry *entry);
/* Up to `max` entries in the order of the shares; each is off the queue when it comes out.
 * Returns the count in `out`. */
size_t fairq_pull(struct fairq *q, struct fairq_entry **out, size_t max);
/* Takes one off, wherever it waits (cancelled, or past its deadline: the caller's timer says).
 * O(1).  Not queued: nothing happens. */
void fairq_remove(struct fairq *q, struct fairq_entry *entry);
size_t fairq_waiting(const struct fairq *q);            /* calls */
size_t fairq_waiting_identities(const struct fairq *q); /* identities with at least one call */
/* Longest search of the map so far, in places looked at: a metric.  Grows past a few dozen only if
 * the secret is known to somebody. */
size_t fairq_probe_max(const struct fairq *q);

#endif
