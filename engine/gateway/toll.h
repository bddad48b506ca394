/* SPDX-License-Identifier: MIT */
/* What one neighbourhood of addresses may cost before anybody has said who he is.  PURE after
 * toll_new(): no clock, no I/O, and nothing is allocated for a caller.
 *
 * A group is an IPv4 /24 or an IPv6 /48: what one party gets without effort, and what a mobile
 * carrier puts thousands of people behind, so the budgets are generous and an identity's share of
 * the work is the fair queue's business, not theirs.  Two budgets a group: how fast connections may
 * begin (rate and burst), and how many may be open.
 * Count-min sketch (Cormode and Muthukrishnan 2005), 4 rows of TOLL_CELLS keyed by SipHash, so
 * that nobody can choose whom he collides with; the rate by the virtual scheduling of GCRA (ITU-T
 * I.371).  It never allows a group more than its budget; a group is refused for another's sake only
 * where all of its four cells are shared with groups that have spent theirs. */
#ifndef FAIRSLOT_GATEWAY_TOLL_H
#define FAIRSLOT_GATEWAY_TOLL_H

#include "base/types.h"

struct toll;

/* Family and prefix; 0: no group (nothing is counted, nothing refused). */
struct toll_group {
    uint64_t value;
};

struct toll_options {
    uint8_t secret[16];       /* SipHash key */
    uint32_t rate_per_s;      /* connections that may begin, per second; 0: any number */
    uint32_t burst;           /* ... at once, after a pause; at least 1 where there is a rate */
    uint32_t connections_max; /* open at once; 0: any number */
};

enum {
    TOLL_E_RATE = 1, /* too many began lately */
    TOLL_E_OPEN = 2, /* too many are open */
};

/* 0 or -ENOMEM. */
int toll_new(const struct toll_options *options, struct toll **ret_toll);
void toll_free(struct toll *b);
/* Other numbers from now on; what was counted stays. */
void toll_set(struct toll *b, const struct toll_options *options);

/* Of an address as it stands in sin_addr (4 bytes) or sin6_addr (16); an IPv4 address inside IPv6
 * is its IPv4 group. */
struct toll_group toll_group_of(const uint8_t *address, size_t len);

/* A connection wants in.  0: it is counted, until toll_leave(); else a verdict, and nothing was
 * counted: whoever is refused does not push his own time further away.  now_us: monotonic. */
int toll_enter(struct toll *b, struct toll_group group, uint64_t now_us);
void toll_leave(struct toll *b, struct toll_group group);

#endif
