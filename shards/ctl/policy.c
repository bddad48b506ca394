/* SPDX-License-Identifier: MIT */
/* Options -> a pool's fields.  Values are read here (times, numbers, words); whether they are in
 * a pool's bounds the server says, for it is the one that knows.
 * Owns nothing: texts are argv's, durations the policy's own.  Fails by telling which option. */
#include "ctl/policy.h"

#include <string.h>

#include "base/check.h"
#include "ctl/value.h"

static void policy_said(struct policy *p, const char *path)
{
    CHECK(p->paths_count < POLICY_PATHS_MAX);
    p->paths[p->paths_count++] = (char *)path;
}

static void policy_text(struct policy *p, const char *typed, const char *path, char **out)
{
    if (typed) {
        *out = (char *)typed;
        policy_said(p, path);
    }
}

/* "none" leaves the field unset, which is what it says. */
static bool policy_span(struct policy *p, const char *typed, const char *path, size_t place,
                        Google__Protobuf__Duration **out)
{
    if (typed == NULL) {
        return true;
    }
    policy_said(p, path);
    google__protobuf__duration__init(&p->spans[place]);
    if (strcmp(typed, "none") == 0) {
        return true;
    }
    *out = &p->spans[place];
    return value_duration(typed, &p->spans[place].seconds);
}

static bool policy_number(struct policy *p, const char *typed, const char *path, long least,
                          int32_t *out)
{
    long value;
    if (typed == NULL) {
        return true;
    }
    policy_said(p, path);
    if (!value_count(typed, least, 100, &value)) {
        return false;
    }
    *out = value == 0 ? -1 : (int32_t)value;
    return true;
}

static int policy_words(const struct verb *verb, struct policy *p, Fairslot__V1__Pool *pool)
{
    static const char *const assurances[] = {"none", "low", "substantial", "high"};
    if (p->min_assurance) {
        int a = 0;
        while (a < 4 && strcmp(p->min_assurance, assurances[a]) != 0) {
            a++;
        }
        if (a == 4) {
            return options_wrong(verb, "min-assurance", p->min_assurance,
                                 "none, low, substantial or high");
        }
        pool->min_assurance = (Fairslot__V1__Assurance)a;
        policy_said(p, "min_assurance");
    }
    if (p->scarce) {
        pool->scarce = strcmp(p->scarce, "yes") == 0;
        if (!pool->scarce && strcmp(p->scarce, "no") != 0) {
            return options_wrong(verb, "scarce", p->scarce, "yes or no");
        }
        policy_said(p, "scarce");
    }
    return VERB_OK;
}

/* What happens to slots that come back, and to a release's key. */
static int policy_ends(const struct verb *verb, struct policy *p, Fairslot__V1__Pool *pool)
{
    static const char *const ways[] = {"next", "named", "coin"};
    static const char span[] = "a time such as 90s, 10m, 1h or 2d, or none for the default";
    if (!policy_span(p, p->appeal, "appeal_period", 3, &pool->appeal_period)) {
        return options_wrong(verb, "appeal-period", p->appeal, span);
    }
    if (!policy_span(p, p->return_wait, "return_wait", 4, &pool->return_wait)) {
        return options_wrong(verb, "return-wait", p->return_wait, span);
    }
    policy_text(p, p->return_release, "return_release", &pool->return_release);
    if (p->return_policy) {
        int way = 0;
        while (way < 3 && strcmp(p->return_policy, ways[way]) != 0) {
            way++;
        }
        if (way == 3) {
            return options_wrong(verb, "return", p->return_policy, "next, named or coin");
        }
        pool->return_policy = (Fairslot__V1__Pool__ReturnPolicy)(way + 1);
        policy_said(p, "return_policy");
    }
    return VERB_OK;
}

static int policy_limits(const struct verb *verb, struct policy *p, Fairslot__V1__Pool *pool)
{
    static const char span[] = "a time such as 90s, 10m, 1h or 2d, or none";
    if (!policy_number(p, p->max_slots, "max_slots_per_hold", 1, &pool->max_slots_per_hold)) {
        return options_wrong(verb, "max-slots", p->max_slots, "a whole number from 1 to 8");
    }
    if (!policy_number(p, p->max_changes, "max_changes", 0, &pool->max_changes)) {
        return options_wrong(verb, "max-changes", p->max_changes, "a whole number, 0 to 100");
    }
    if (!policy_span(p, p->cool_down, "cancel_cool_down", 0, &pool->cancel_cool_down)) {
        return options_wrong(verb, "cool-down", p->cool_down, span);
    }
    if (!policy_span(p, p->reconfirm_open, "reconfirm_open", 1, &pool->reconfirm_open)) {
        return options_wrong(verb, "reconfirm-open", p->reconfirm_open, span);
    }
    if (!policy_span(p, p->reconfirm_by, "reconfirm_by", 2, &pool->reconfirm_by)) {
        return options_wrong(verb, "reconfirm-by", p->reconfirm_by, span);
    }
    return policy_ends(verb, p, pool);
}

int policy_fill(const struct verb *verb, struct policy *p, Fairslot__V1__Pool *pool)
{
    policy_text(p, p->display_name, "display_name", &pool->display_name);
    policy_text(p, p->office, "office", &pool->office);
    policy_text(p, p->service, "service", &pool->service);
    policy_text(p, p->time_zone, "time_zone", &pool->time_zone);
    if (p->hold_ttl) {
        google__protobuf__duration__init(&p->ttl);
        pool->hold_ttl = &p->ttl;
        policy_said(p, "hold_ttl");
        if (!value_duration(p->hold_ttl, &p->ttl.seconds)) {
            return options_wrong(verb, "hold-ttl", p->hold_ttl, "a time such as 90s, 10m or 1h");
        }
    }
    if (!policy_number(p, p->max_live, "max_live_per_identity", 1,
                       &pool->max_live_per_identity)) {
        return options_wrong(verb, "max-live", p->max_live, "a whole number from 1 to 16");
    }
    int r = policy_words(verb, p, pool);
    return r == VERB_OK ? policy_limits(verb, p, pool) : r;
}
