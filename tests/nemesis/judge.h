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

/* What is wrong, and against which law; in the order in which judge.c looks. */
#define JUDGE_RULES(R) \
    R(OTHER_BODY, ONCE, "its request id was sent with another body") \
    R(OTHER_ANSWER, ONCE, "another answer to a request that was answered") \
    R(OTHER_REASON, ONCE, "refused for another reason than before") \
    R(DONE_AND_REFUSED, ONCE, "both done and refused") \
    R(NO_PLACE, LOST, "acknowledged at a place that the log does not have") \
    R(OTHER_STATE, LOST, "acknowledged, and its answer shows another state") \
    R(ONE_MORE, ENTITLEMENT, "one more than this person may have") \
    R(TOO_EARLY, TIME, "answered before something up to there was asked") \
    R(HAD_ENDED, ENDED, "it had ended") \
    R(WRONG_STATE, HOLDERS, "the slot was not in a state that allows it") \
    R(OTHERS_SLOT, HOLDERS, "the slot was another's") \
    R(VERSION_TWICE, HOLDERS, "this version was made by another request, too") \
    R(CHANGE_BEFORE, LOST, "a change before it that nobody asked for") \
    R(LOG_BACK, TIME, "its version is later, its place in the log earlier") \
    R(OLDER, LOST, "acknowledged, and the slot is older in the end") \
    R(UNASKED_STATE, LOST, "the slot ended in a state that nobody asked for") \
    R(NOT_ON_LIST, LOST, "its holder does not find it in the end") \
    R(OTHERS_IN_END, HOLDERS, "in the end it is another's, or of another slot") \
    R(LIVES, ENDED, "it was ended and lives in the end") \
    R(OTHER_ON_LIST, LOST, "its holder finds it in another state") \
    R(UNTOLD, LOST, "it is there, and nobody was told so") \
    R(STALE_READ, STALE, "older than what was answered before it was asked") \
    R(EARLY_READ, STALE, "it shows what nobody had asked for yet") \
    R(NOT_FOUND, STALE, "its holder was told that there is no such thing") \
    R(DENIED, ENDED, "refused as ended or unknown, and nobody had ended it") \
    R(TAKEN_BY_NOBODY, STALE, "refused as taken, and nobody had asked for it") \
    R(READ_BACK, STALE, "older than what was read before it was asked")

enum judge_rule {
#define JUDGE_RULE(name, law, words) RULE_##name,
    JUDGE_RULES(JUDGE_RULE)
#undef JUDGE_RULE
    JUDGE_RULE_COUNT,
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
    bool is_lame; /* one rule is left out: to see that something needs it */
    enum judge_rule lame;
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
/* judge_rules.c */
const char *judge_rule_name(enum judge_rule rule);
enum judge_law judge_rule_law(enum judge_rule rule);
/* "I2 lost" ... */
const char *judge_law_name(enum judge_law law);

#endif
