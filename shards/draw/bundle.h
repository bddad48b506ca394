/* SPDX-License-Identifier: MIT */
/* Recomputing a whole release from its published bundle.  PURE: the files come as bytes.
 * docs/draw.md, "Bundle", says what stands in them; tests/draw/verify.py does the same on its own.
 */
#ifndef FAIRSLOT_DRAW_BUNDLE_H
#define FAIRSLOT_DRAW_BUNDLE_H

#include "draw/manifest.h"
#include "draw/sign.h"

/* A receipt that somebody kept. */
struct draw_bundle_receipt {
    struct draw_receipt is;
    struct draw_signature signature;
};

/* The files by their names; borrowed. */
struct draw_bundle {
    struct span manifest;
    struct span slots;
    struct span parts;
    struct span tickets;
    struct span late;
    struct span outcome;
    struct span signatures;
    struct span returns;
    bool has_returns;                            /* that file is there; not in bundles of before */
    const struct draw_key *key;                  /* the operator's, from elsewhere; NULL: unknown */
    const struct draw_bundle_receipt *receipt;   /* NULL: none to look for */
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
    uint32_t winners;   /* of the first pass, or turns given */
    uint32_t returned;  /* slots that came back while it was open, by the journal */
    uint32_t standby;   /* tickets that got something of that, out of standby */
    uint64_t cut_off;   /* last rank of cohort 0 that was served; 0: none */
    uint32_t trustees;
    uint32_t parts_missing; /* of the trustees */
    bool has_beacon;
    bool beacon_is_missing; /* the manifest names one, and it did not come in time */
    bool rests_on_operator; /* neither a trustee's part nor a beacon: its word alone */
    bool is_withheld;       /* preferences are not published: the order was checked, not who got
                               which slot */
    bool is_journaled; /* returns were replayed: later cohorts and standby are exact */
    bool is_open;      /* the bundle is as of an instant before the release's end */
    struct draw_key key;        /* the operator's, as the bundle has it */
    uint64_t receipt_version;   /* of the receipt's ticket in the bundle; 0: not there */
    bool is_receipt_replaced;   /* by a later version */
    uint64_t receipt_rank;      /* 0: it left */
    uint32_t receipt_wish;      /* that it got; 0: none */
    bool is_receipt_lost;       /* by preference: nothing was left of its wishes */
};

/* 0: everything holds; 1: *ret_finding says what does not; < 0: out of memory.
 * 11 million tickets take about 10 s and 1 GB beside the files. */
int draw_bundle_verify(const struct draw_bundle *b, struct draw_summary *ret_summary,
                       struct draw_finding *ret_finding);

#endif
