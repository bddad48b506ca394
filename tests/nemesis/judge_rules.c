/* SPDX-License-Identifier: MIT */
/* The words of the checker: its laws, and its rules with the law that each stands for.
 * Owns: two tables, made of judge.h's list.  Cannot fail. */
#include "base/check.h"
#include "nemesis/judge.h"

static const struct {
    enum judge_law law;
    const char *words;
} judge_rules[JUDGE_RULE_COUNT] = {
#define JUDGE_RULE(name, which, text) [RULE_##name] = {JUDGE_##which, text},
    JUDGE_RULES(JUDGE_RULE)
#undef JUDGE_RULE
};

const char *judge_law_name(enum judge_law law)
{
    static const char *const names[] = {
        [JUDGE_HOLDERS] = "I1 two holders", [JUDGE_LOST] = "I2 lost",
        [JUDGE_TIME] = "I3 real time",      [JUDGE_ENTITLEMENT] = "I4 entitlement",
        [JUDGE_ENDED] = "I5 ended",         [JUDGE_ONCE] = "I6 once",
        [JUDGE_STALE] = "I9 stale read",
    };
    CHECK(law < JUDGE_LAW_COUNT);
    return names[law];
}

const char *judge_rule_name(enum judge_rule rule)
{
    CHECK(rule < JUDGE_RULE_COUNT);
    return judge_rules[rule].words;
}

enum judge_law judge_rule_law(enum judge_rule rule)
{
    CHECK(rule < JUDGE_RULE_COUNT);
    return judge_rules[rule].law;
}
