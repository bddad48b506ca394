/* SPDX-License-Identifier: MIT */
/* What one neighbourhood of addresses may cost before anybody has said who he is.  PURE after
 * budget_new(): no clock, no I/O, and nothing is allocated for a caller.
 *
 * A group is an IPv4 /24 or an IPv6 /48: what one party gets without effort, and what a mobile
 * carrier puts thousands of people behind, so the budgets are generous and an identity's share of
 * the work is the fair queue's business, not theirs.  Two budgets a group: how fast connections may
 * begin (rate and burst), and how many may be open.
 * Count-min sketch (Cormode and Muthukrishnan 2005), 4 rows of BUDGET_CELLS keyed by SipHash, so
 * that nobody can choose whom he collides with; the rate by the virtual scheduling of GCRA (ITU-T
 * I.371).  It never allows a group more than its budget; a group is refused for another's sake only
 * where all of its four cells are shared with groups that have spent theirs. */
#ifndef FAIRSLOT_GATEWAY_BUDGET_H
#define FAIRSLOT_GATEWAY_BUDGET_H

#include "base/types.h"

struct budget;

/* Family and prefix; 0: no group (nothing is counted, nothing refused). */
struct budget_group {
    uint64_t value;
};

struct budget_options {
    uint8_t secret[16];       /* SipHash key */
    uint32_t rate_per_s;      /* connections that may begin, per second; 0: any number */
    uint32_t burst;           /* ... at once, after a pause; at least 1 where there is a rate */
    uint32_t connections_max; /* open at once; 0: any number */
};

enum {
    BUDGET_E_RATE = 1, /* too many began lately */
    BUDGET_E_OPEN = 2, /* too many are open */
};

/* 0 or -ENOMEM. */
int budget_new(const struct budget_options *options, struct budget **ret_budget);
void budget_free(struct budget *b);
/* Other numbers from now on; what was counted stays. */
void budget_set(struct budget *b, const struct budget_options *options);

/* Of an address as it stands in sin_addr (4 bytes) or sin6_addr (16); an IPv4 address inside IPv6
 * is its IPv4 group. */
struct budget_group budget_group_of(const uint8_t *address, size_t len);

/* A connection wants in.  0: it is counted, until budget_leave(); else a verdict, and nothing was
 * counted: whoever is refused does not push his own time further away.  now_us: monotonic. */
int budget_enter(struct budget *b, struct budget_group group, uint64_t now_us);
void budget_leave(struct budget *b, struct budget_group group);

#endif
