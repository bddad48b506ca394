/* SPDX-License-Identifier: MIT */
/* Fair queue: who speaks next.  PURE: no clock, no I/O; allocation only in fairq_new().
 *
 * class ring -> tenant ring -> ring of identities and groups -> FIFO of calls.  Deficit round robin
 * (Shreedhar and Varghese 1995) with unit cost, O(1); the map of identities is exact and keyed with
 * a secret (SipHash-2-4), so nobody can choose to collide; a new identity gets no priority.  A full
 * per-identity queue refuses its own newest, never another's.
 * A group stands where one identity would: its members share one identity's part, each 1/members of
 * it (CAKE's rule for hosts).  It is meant for identities that cost nothing to have.
 * Promise: over any window, two backlogged identities of one class and tenant, in no group, differ
 * by at most one call; so do two groups, and two members of one; backlogged classes, and tenants
 * within a class, are served in the ratio of their weights: no class and no tenant starves. */
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

/* Whose turn a call takes.  An identity that waits already stays where it is, whatever its later
 * calls say of tenant and group: it has one place. */
struct fairq_place {
    struct identity identity;
    struct identity group;  /* any 16 bytes; counts when is_grouped */
    bool is_grouped;
    uint16_t tenant;        /* number, below tenants_max */
    uint16_t tenant_weight; /* calls in a turn of the tenant; 0: 1 */
};

struct fairq_options {
    uint8_t secret[16];                /* SipHash key */
    uint32_t weights[FAIRQ_CLASSES];   /* all > 0; e.g. 8, 4, 2, 1 */
    uint32_t waiting_per_identity;     /* calls of one identity, all classes together */
    uint32_t identities_max;           /* identities with something waiting */
    uint32_t groups_max;               /* groups with something waiting; 0: identities_max */
    uint32_t tenants_max;              /* numbers of tenants are below it; 0: 1 */
};

enum {
    FAIRQ_E_FULL_IDENTITY = 1, /* its own cap: come back later */
    FAIRQ_E_FULL = 2,          /* no room for one more waiting identity, or group */
};

int fairq_new(const struct fairq_options *options, struct fairq **ret_queue);
void fairq_free(struct fairq *q);
/* Queues the entry behind its identity's others of the class.  0 or a verdict; never < 0. */
int fairq_push(struct fairq *q, const struct fairq_place *place, struct fairq_entry *entry);
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
