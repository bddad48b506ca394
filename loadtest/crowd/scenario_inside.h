/* SPDX-License-Identifier: MIT */
/* The keys of scenario files, as a table: shared by the reader and the defaults. */
#ifndef FAIRSLOT_CROWD_SCENARIO_INSIDE_H
#define FAIRSLOT_CROWD_SCENARIO_INSIDE_H

#include <stdarg.h>

#include "base/guess.h"
#include "crowd/crowd.h"

#define SCENARIO_LINE_MAX 400 /* bytes */

enum scenario_type {
    SCENARIO_COUNT,   /* whole number */
    SCENARIO_TIME,    /* microseconds */
    SCENARIO_MILLI,   /* thousandths */
    SCENARIO_PERCENT, /* thousandths, written as percent */
    SCENARIO_RATE,    /* thousandths */
    SCENARIO_YESNO, SCENARIO_MODE, SCENARIO_ASSURANCE, SCENARIO_KIND,
};

struct scenario_key {
    const char *name;
    size_t offset;    /* in struct crowd_scenario or struct crowd_population */
    enum scenario_type type;
    uint64_t min, max;
    const char *range; /* in words */
};

/* `place`: its row, below 64. */
const struct scenario_key *scenario_key_find(bool of_population, const char *name,
                                             size_t *ret_place);
void scenario_key_offer(bool of_population, struct guess *guess);
/* The i-th word of a type that takes words; NULL: no more. */
const char *scenario_word_at(enum scenario_type type, uint64_t i);
/* CROWD_KIND_COUNT: not known yet. */
void scenario_defaults(struct crowd_population *p, enum crowd_kind kind);
void scenario_fallback(struct crowd_scenario *s);

#endif
