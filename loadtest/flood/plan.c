/* SPDX-License-Identifier: MIT */
/* Names of modes and calls, and where the timeline puts a moment.
 * Owns: nothing.
 * Fails never. */
#include "flood/plan.h"

#include "base/check.h"

const char *plan_mode_name(enum plan_mode mode)
{
    static const char *const names[] = {"fcfs", "live", "draw"};
    CHECK(mode < PLAN_MODES);
    return names[mode];
}

const char *plan_mode_words(enum plan_mode mode)
{
    static const char *const words[] = {"first come, first served", "live window", "draw"};
    CHECK(mode < PLAN_MODES);
    return words[mode];
}

const char *plan_call_name(enum plan_call call)
{
    static const char *const names[] = {
#define PLAN_CALL_NAME(name, label) label,
        PLAN_CALLS(PLAN_CALL_NAME)
#undef PLAN_CALL_NAME
    };
    CHECK(call < PLAN_CALL_COUNT);
    return names[call];
}

/* The timeline begins a second before the opening. */
#define PLAN_BEFORE_US 1000000

int64_t plan_bucket_us(const struct plan *p)
{
    return (p->end_us + 2 * PLAN_BEFORE_US) / PLAN_BUCKETS + 1;
}

uint32_t plan_bucket_of(const struct plan *p, int64_t at_us)
{
    int64_t bucket = (at_us + PLAN_BEFORE_US) / plan_bucket_us(p);
    bucket = bucket < 0 ? 0 : bucket;
    return bucket < PLAN_BUCKETS ? (uint32_t)bucket : PLAN_BUCKETS - 1;
}
