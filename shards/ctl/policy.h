/* SPDX-License-Identifier: MIT */
/* A pool's policy as options of `pool create` and `pool update`. */
#ifndef FAIRSLOT_CTL_POLICY_H
#define FAIRSLOT_CTL_POLICY_H

#include "ctl/options.h"
#include "fairslot/v1/resources.pb-c.h"

#define POLICY_PATHS_MAX 20

/* Texts: what was typed, NULL where nothing was. */
struct policy {
    const char *display_name, *office, *service, *time_zone, *min_assurance, *hold_ttl, *max_live;
    const char *scarce; /* yes or no */
    const char *max_slots, *max_changes, *cool_down, *reconfirm_open, *reconfirm_by;
    const char *appeal, *return_policy, *return_wait, *return_release;
    Google__Protobuf__Duration ttl, spans[5]; /* the message points here */
    char *paths[POLICY_PATHS_MAX];            /* names of the fields that were said */
    size_t paths_count;
};

#define POLICY_LIMITS(p)                                                            \
    {"max-slots", 0, &(p)->max_slots, NULL}, {"max-changes", 0, &(p)->max_changes, NULL}, \
    {"cool-down", 0, &(p)->cool_down, NULL},                                        \
    {"reconfirm-open", 0, &(p)->reconfirm_open, NULL},                              \
    {"appeal-period", 0, &(p)->appeal, NULL}, {"return", 0, &(p)->return_policy, NULL},    \
    {"return-wait", 0, &(p)->return_wait, NULL},                                    \
    {"return-release", 0, &(p)->return_release, NULL},                              \
    {                                                                               \
        "reconfirm-by", 0, &(p)->reconfirm_by, NULL                                 \
    }
#define POLICY_LIMITS_HELP                                                              \
    "  --max-slots N         neighbouring slots in one hold, 1 to 8 (8)\n"              \
    "  --max-changes N       times a reservation may be moved, 0 to 100 (2)\n"          \
    "  --cool-down TIME      no new hold for so long after giving one back (none)\n"    \
    "  --reconfirm-open TIME a reservation can be reconfirmed so long before it (always)\n" \
    "  --reconfirm-by TIME   one not reconfirmed so long before it goes back (none)\n"    \
    "  --appeal-period TIME  after a release has ended its key is burned (30d)\n"         \
    "  --return HOW          how slots given back return: next, named or coin (next)\n"    \
    "  --return-release R    the release that --return named waits for\n"                 \
    "  --return-wait TIME    mean time of the coin, whole minutes (6h)\n"

/* Every text that is there into the message, and its field's name into `paths`.  VERB_OK, or
 * VERB_USAGE (told). */
int policy_fill(const struct verb *verb, struct policy *p, Fairslot__V1__Pool *pool);

#endif
