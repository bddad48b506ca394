/* SPDX-License-Identifier: MIT */
/* Holds a history against a final state.  See judge.c. */
#ifndef FAIRSLOT_NEMESIS_JUDGE_H
#define FAIRSLOT_NEMESIS_JUDGE_H

#include "nemesis/story.h"

/* What may not happen; numbers of the reliability study. */
enum judge_law {
    JUDGE_HOLDERS,     /* I1 two holders of one slot, or two effects under one version */
    JUDGE_LOST,        /* I2 acknowledged and not there, or there and nobody asked for it */
    JUDGE_TIME,        /* I3 the log's order is against real time */
    JUDGE_ENTITLEMENT, /* I4 somebody has more than allowed */
    JUDGE_ENDED,       /* I5 it ended, and lives */
    JUDGE_ONCE,        /* I6 one request, two answers or two effects */
    JUDGE_STALE,       /* I9 a read older than what its asker could know, or from nowhere */
    JUDGE_LAW_COUNT,
};

#define JUDGE_GAPS     512
#define JUDGE_PULSE_US 500000
#define JUDGE_PULSES   8192 /* over an hour; what comes later is not in the pulse */
#define JUDGE_SAID     200

/* Owned by the caller: whole arrays, which judge_run() reads and does not keep. */
struct judge_case {
    const struct story_line *lines;
    size_t lines_count;
    const struct story_head *head;
    const struct story_slot *slots; /* head->slots_count */
    const struct story_thing *things; /* head->things_count */
};

/* A time in which nothing was acknowledged. */
struct judge_gap {
    int64_t from_us, to_us;
};

struct judge_verdict {
    uint64_t acknowledged; /* mutations, each counted once */
    uint64_t refused, unsettled, reads;
    uint64_t present;      /* acknowledged ones that the final state bears out */
    uint64_t lost_slots;   /* whose final state does not bear out what was acknowledged */
    uint64_t wrong[JUDGE_LAW_COUNT];
    uint64_t wrong_total;
    char said[JUDGE_LAW_COUNT][JUDGE_SAID]; /* the first violation of each, in words */
    struct judge_gap gaps[JUDGE_GAPS]; /* the longest first */
    int64_t pulse_us;                  /* when the first was acknowledged */
    size_t pulse_count;
    uint32_t pulse[JUDGE_PULSES]; /* acknowledged in each JUDGE_PULSE_US from then on */
};

/* Judges; tells the first violations on stdout when `is_telling`.  0, -ENOMEM, or -EINVAL for a
 * line about a slot that is not among head->slots_count. */
int judge_run(const struct judge_case *c, bool is_telling, struct judge_verdict *ret_verdict);
/* "I2 lost" ... */
const char *judge_law_name(enum judge_law law);

#endif
