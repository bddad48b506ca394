/* SPDX-License-Identifier: MIT */
/* What the files of verifying a bundle share.  Not for others: draw/bundle.h. */
#ifndef FAIRSLOT_DRAW_BUNDLE_INSIDE_H
#define FAIRSLOT_DRAW_BUNDLE_INSIDE_H

#include "draw/bundle.h"
#include "draw/lines.h"
#include "draw/preferences.h"

#define BUNDLE_NUMBER_MAX  INT64_MAX
#define BUNDLE_TICKETS_MAX (UINT32_C(1) << 28)

/* A cohort's tickets that entered, ascending by id. */
struct bundle_cohort {
    uint32_t number;
    uint32_t count;
    uint32_t size;
    struct ticket_id *ids;
    const uint8_t **preferences; /* where each one's hex stands in its file; NULL: withheld */
    struct draw_place *places;   /* once ordered */
    struct draw_place *scratch;
};

struct bundle_run {
    const struct draw_bundle *b;
    struct draw_summary *sum;
    struct draw_finding *finding;
    struct draw_manifest manifest;
    struct draw_stock *stock;
    struct draw_tree tree;
    struct draw_hash claimed_root, claimed_seed;
    uint64_t claimed_count;
    unsigned long root_line; /* of parts */
    uint8_t operator_seed[32];
    struct span parts[DRAW_TRUSTEES_MAX]; /* bytes, in part_bytes */
    uint8_t part_bytes[DRAW_TRUSTEES_MAX][DRAW_PART_MAX];
    struct span keys[DRAW_TRUSTEES_MAX];
    uint8_t key_bytes[DRAW_TRUSTEES_MAX][DRAW_KEY_BYTES_MAX];
    unsigned long part_lines[DRAW_TRUSTEES_MAX];
    uint8_t beacon[DRAW_PART_MAX];
    size_t beacon_len;
    struct bundle_cohort cohort; /* the one being read or served */
    struct lines outcome;
    bool is_receipt_leaf; /* the bundle's leaf is the receipt's */
    bool has_later;   /* by preference: somebody who was not served yet has been met */
    bool has_waiting; /* by turn: somebody without a turn has been met */
};

/* Notes the finding; returns 1. */
int bundle_found(struct bundle_run *run, const char *file, unsigned long line, const char *what);

/* -- bundle.c -- */
/* One ticket's fields into the cohort and, of cohort 0, into the tree.  0, LINE_WRONG, < 0. */
enum { LINE_WRONG = 1 };
int bundle_ticket_read(struct bundle_run *run, struct lines *l);

/* -- bundle_outcome.c -- */
/* The cohort that was read, in its order, against the next lines of the outcome. */
int bundle_cohort_serve(struct bundle_run *run);
/* Later cohorts, one after the other. */
int bundle_late_serve(struct bundle_run *run);

/* -- bundle_sign.c -- */
/* The file signatures, and the receipt that came with the bundle. */
int bundle_signatures_check(struct bundle_run *run);
/* A ticket of cohort 0 or later with its leaf, as it is read: is it the receipt's? */
void bundle_receipt_meet(struct bundle_run *run, const struct draw_receipt *ticket);
int bundle_receipt_check(struct bundle_run *run);

#endif
