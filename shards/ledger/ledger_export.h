/* SPDX-License-Identifier: MIT */
/* What the files of exporting a bundle share.  Not for others: ledger/ledger_release.h. */
#ifndef FAIRSLOT_LEDGER_EXPORT_H
#define FAIRSLOT_LEDGER_EXPORT_H

#include <inttypes.h>

#include "ledger/ledger_release.h"

#define EXPORT_ROWS  256
#define EXPORT_BYTES ((size_t)48 * 1024)
#define EXPORT_LINE  1024 /* bytes of a line, at most */
#define EXPORT_LOOKS 2048
#define EXPORT_TEXT  160
#define EXPORT_ORDER 28 /* bytes of a place: cohort, rank, ticket id */

enum export_stage {
    EXPORT_MANIFEST,
    EXPORT_SLOTS,
    EXPORT_SIGNATURES,
    EXPORT_TICKETS,
    EXPORT_LATE,
    EXPORT_RETURNS,
    EXPORT_PARTS,
    EXPORT_OUTCOME,
    EXPORT_STAGES
};

/* The instant that the bundle is as of. */
struct export_cut {
    bool is_open;      /* the release had not been closed */
    uint64_t events;   /* of its journal */
    uint32_t cohort;   /* the last one whose window had ended */
    struct ledger_walks walks;
};

struct export {
    struct ledger_step *s;
    struct ledger_release release;
    struct scribe out;    /* of the piece */
    struct ledger_key at; /* what was walked last */
    uint64_t event;       /* of the journal: the next one */
    uint8_t stage;
    bool has_returns;     /* no journal, and slots came back while it was open */
    bool is_withheld;
    bool is_journaled;    /* by preference, with a journal */
    struct export_cut cut;
    size_t looks;
};

/* A place in the order of serving. */
struct export_place {
    uint8_t order[EXPORT_ORDER];
    uint64_t rank;
    bool is_waiting;  /* it left before it was looked at */
    uint64_t left;    /* the journal's count when it had left; 0: unknown, or it has not */
    struct ticket_row row;
};

/* -- ledger_export.c -- */
__attribute__((format(printf, 2, 3)))
void ledger_export_text(struct export *e, const char *format, ...);
void ledger_export_hex(struct export *e, const void *bytes, size_t n);
bool ledger_export_has_room(const struct export *e, size_t rows);
/* The release's next record with this tag, behind e->at, which moves to it. 0, LEDGER_NONE, < 0. */
int ledger_export_next(struct export *e, uint8_t tag, struct span *ret_suffix,
                       struct span *ret_value);

/* -- ledger_export_outcome.c: pieces; 0 when there is more, LEDGER_NONE at the end, < 0 -- */
/* The next in the order of serving, of a cohort that had ended. 0, LEDGER_NONE, < 0. */
int ledger_export_place(struct export *e, struct export_place *out);
int ledger_export_returns(struct export *e);
int ledger_export_outcome(struct export *e);

#endif
