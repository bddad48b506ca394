/* SPDX-License-Identifier: MIT */
/* Recomputing a whole release from its published bundle.  PURE: the files come as bytes.
 * docs/draw.md, "Bundle", says what stands in them; tests/draw/verify.py does the same on its own.
 */
#ifndef FAIRSLOT_DRAW_BUNDLE_H
#define FAIRSLOT_DRAW_BUNDLE_H

#include "draw/manifest.h"

/* The files by their names; borrowed. */
struct draw_bundle {
    struct span manifest;
    struct span slots;
    struct span parts;
    struct span tickets;
    struct span late;
    struct span outcome;
};

/* The first thing that does not hold. */
struct draw_finding {
    const char *file;   /* static */
    unsigned long line; /* from 1; 0: the file as a whole */
    const char *what;   /* static */
};

struct draw_summary {
    struct draw_hash manifest_hash;
    struct draw_hash root;
    struct draw_hash seed;
    uint32_t slots;
    uint32_t tickets;   /* leaves under the root */
    uint32_t withdrawn; /* of them */
    uint32_t late;      /* tickets of later cohorts */
    uint32_t winners;   /* or turns given */
    uint64_t cut_off;   /* last rank of cohort 0 that was served; 0: none */
    uint32_t trustees;
    uint32_t parts_missing; /* of the trustees */
    bool has_beacon;
    bool beacon_is_missing; /* the manifest names one, and it did not come in time */
    bool rests_on_operator; /* neither a trustee's part nor a beacon: its word alone */
    bool is_withheld;       /* preferences are not published: the order was checked, not who got
                               which slot */
};

/* 0: everything holds; 1: *ret_finding says what does not; < 0: out of memory.
 * 11 million tickets take about 10 s and 1 GB beside the files. */
int draw_bundle_verify(const struct draw_bundle *b, struct draw_summary *ret_summary,
                       struct draw_finding *ret_finding);

#endif
