/* SPDX-License-Identifier: MIT */
/* What the files of verifying a bundle share.  Not for others: draw/bundle.h. */
#ifndef FAIRSLOT_DRAW_BUNDLE_INSIDE_H
#define FAIRSLOT_DRAW_BUNDLE_INSIDE_H

#include "draw/bundle.h"
#include "draw/lines.h"
#include "draw/preferences.h"

#define BUNDLE_NUMBER_MAX  INT64_MAX
#define BUNDLE_TICKETS_MAX (UINT32_C(1) << 28)

/* Where a cohort begins in the order. */
struct bundle_start {
    uint32_t number;
    uint32_t from;
};

/* Tickets that entered: the cohort 0 ascending by id, behind it the later ones as they are served.
 */
struct bundle_cohort {
    uint32_t number; /* of the one that is being read */
    struct bundle_start *starts; /* of cohorts with tickets, and the first */
    uint32_t starts_count, starts_size;
    uint32_t count;
    uint32_t size;
    struct ticket_id *ids;
    const uint8_t **preferences; /* where each one's hex stands in its file; NULL: withheld */
    struct draw_place *places;   /* all of them, in the order of serving, once ordered */
    struct draw_place *scratch;
};

enum { PLACE_UNSEEN, PLACE_STANDBY, PLACE_WON, PLACE_LEFT };

/* The two walks over the order, with a journal (bundle_returns.c). */
struct bundle_walks {
    uint8_t *states;  /* of each place */
    uint32_t first;   /* places that the first pass has looked at */
    uint32_t pass;    /* that the pass over standby has */
    bool is_passing;  /* one is under way */
    bool has_passed;  /* there was one */
    bool has_back;    /* a slot came back since the last one began */
    bool is_over;     /* nobody is looked at any more */
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
    struct lines returns;
    struct bundle_walks walks;
    struct draw_mac seed; /* once it is known */
    unsigned long seed_line; /* of parts */
    uint32_t start;       /* of the cohort whose outcome is read */
    bool is_receipt_leaf; /* the bundle's leaf is the receipt's */
    bool has_waiting; /* by turn: somebody without a turn has been met */
};

/* Notes the finding; returns 1. */
int bundle_found(struct bundle_run *run, const char *file, unsigned long line, const char *what);

/* -- bundle.c -- */
/* One ticket's fields into the cohort and, of cohort 0, into the tree.  0, LINE_WRONG, < 0. */
enum { LINE_WRONG = 1 };
int bundle_ticket_read(struct bundle_run *run, struct lines *l);

/* -- bundle_outcome.c -- */
/* Later cohorts behind the first, and the order of them all. */
int bundle_late_read(struct bundle_run *run);
int bundle_order(struct bundle_run *run);
/* Everybody in the order against the outcome, without a journal. */
int bundle_outcome_serve(struct bundle_run *run);
/* The outcome's next line, which is that of this place. */
int bundle_outcome_next(struct bundle_run *run, uint32_t at);
/* The wishes of preferences that were read before. */
void bundle_wishes(const struct bundle_run *run, const uint8_t *preferences,
                   struct draw_preferences *p, struct draw_wish wishes[DRAW_WISHES_MAX]);
/* `WISH SLOTS`, the rest of the line: what a ticket with these preferences gets now?  Withheld ones
 * (NULL): slots that nobody else has. */
bool bundle_gain(struct bundle_run *run, struct lines *l, const uint8_t *preferences);

/* -- bundle_returns.c -- */
/* Its first line: is there a journal? */
int bundle_returns_begin(struct bundle_run *run);
int bundle_returns_serve(struct bundle_run *run);

/* -- bundle_sign.c -- */
/* The file signatures, and the receipt that came with the bundle. */
int bundle_signatures_check(struct bundle_run *run);
/* A ticket of cohort 0 or later with its leaf, as it is read: is it the receipt's? */
void bundle_receipt_meet(struct bundle_run *run, const struct draw_receipt *ticket);
int bundle_receipt_check(struct bundle_run *run);

#endif
