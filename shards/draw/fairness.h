/* SPDX-License-Identifier: MIT */
/* What a release's report counts, and what follows from the counts.  PURE, whole numbers alone:
 * shares and ratios are millionths.  docs/report.md says what each figure means and how it is
 * computed. */
#ifndef FAIRSLOT_DRAW_FAIRNESS_H
#define FAIRSLOT_DRAW_FAIRNESS_H

#include "base/types.h"

#define FAIRNESS_ONE        1000000u /* 1.0 */
#define FAIRNESS_CELL_MIN   5        /* counts below are shown as "< 5" */
#define FAIRNESS_HIDDEN     (-1)     /* what stands for such a count */
#define FAIRNESS_ALARM      1200000u /* lower end of the advantage above which it rings */
#define FAIRNESS_SUSPECT_US 250000   /* entered so soon after the opening: no person does */
#define FAIRNESS_MANY       4        /* requests from which an identity has asked often */
#define FAIRNESS_DECILES    10

enum fairness_group {
    FAIRNESS_ALL,
    FAIRNESS_LOW, /* by assurance: low or none */
    FAIRNESS_SUBSTANTIAL,
    FAIRNESS_HIGH,
    FAIRNESS_OFTEN,     /* by requests: FAIRNESS_MANY or more */
    FAIRNESS_SUSPECTED, /* by the rule that the report names */
    FAIRNESS_GROUPS
};

struct fairness_count {
    uint64_t identities;
    uint64_t requests; /* CreateTicket, as many as counted */
    uint64_t slots;    /* that they got */
    uint64_t winners;  /* identities that got any */
    uint64_t squares;  /* of each one's slots, added up */
};

/* The counts of a release.  Begin with zero, and with the bounds of the deciles. */
struct fairness {
    struct fairness_count groups[FAIRNESS_GROUPS];
    uint64_t bounds[FAIRNESS_DECILES - 1]; /* last arrival of each decile but the last one */
    uint64_t entered[FAIRNESS_DECILES];    /* of the entry window, by arrival */
    uint64_t wins[FAIRNESS_DECILES];
    uint64_t holds;
    uint64_t confirmed;
    uint64_t slots_confirmed;
};

/* One identity that stayed in until sealing. */
struct fairness_ticket {
    uint32_t assurance; /* 0 to 3 */
    uint32_t requests;
    uint32_t slots;     /* that it got; 0: none */
    bool is_confirmed;
    bool is_suspected;
    bool is_late;       /* of a later cohort: in no decile */
    uint64_t arrival;   /* grows with arrival */
};

void fairness_add(struct fairness *f, const struct fairness_ticket *t);
/* Bounds of the deciles out of a sample of arrivals, which it sorts. */
void fairness_bounds(uint64_t *sample, size_t count, uint64_t bounds[FAIRNESS_DECILES - 1]);

/* Share of the slots over share of the identities. */
struct fairness_ratio {
    bool is_known;   /* there are such identities, and slots were given */
    bool is_hidden;  /* a count is below FAIRNESS_CELL_MIN: value is 0, and low to high what it
                        may be */
    uint64_t value;
    uint64_t low;    /* 95 %: Wilson's interval of the share of slots, by the number of winners */
    uint64_t high;
    bool is_alarm;   /* the true lower end is above FAIRNESS_ALARM */
};
void fairness_advantage(const struct fairness_count *all, const struct fairness_count *group,
                        struct fairness_ratio *ret_ratio);
/* Jain's index over all identities' slots, 0 when there are none. */
uint64_t fairness_jain(const struct fairness_count *all);
/* As it may be shown. */
static inline int64_t fairness_cell(uint64_t count)
{
    return count < FAIRNESS_CELL_MIN ? FAIRNESS_HIDDEN : (int64_t)count;
}

#endif
