/* SPDX-License-Identifier: MIT */
/* A plan from a scenario, names, and where the timeline puts a moment.
 * Owns: nothing.
 * Fails never. */
#include "flood/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define PLAN_LATE_US   20000

const char *plan_mode_words(enum crowd_mode mode)
{
    static const char *const words[] = {"first come, first served", "live window", "draw"};
    CHECK(mode < CROWD_MODES);
    return words[mode];
}

void plan_init(struct plan *p, const struct crowd_scenario *scenario, uint64_t seed)
{
    *p = (struct plan){.scenario = *scenario, .seed = seed, .processes = 1,
                       .late_us = PLAN_LATE_US};
    p->accept_us = scenario->accept_us;
    for (uint32_t i = 0; i < scenario->populations_count; i++) {
        const struct crowd_population *who = &scenario->populations[i];
        p->is_full |= who->abandon_permille || who->drop_permille || who->cancel_permille ||
                      who->absent_permille || who->replay_permille;
    }
    p->window_us = scenario_window_us(scenario);
    p->end_us = p->window_us + (int64_t)scenario->grace_us + (int64_t)scenario->run_us;
}

/* Clients of one identity stand in a chain; it is as long as the identity has devices that won. */
void plan_mark_echoes(const struct plan *p)
{
    uint32_t count = p->scenario.clients_count;
    uint32_t *last = calloc((size_t)p->scenario.identities_count + 1, sizeof *last);
    uint32_t *before = calloc((size_t)count + 1, sizeof *before);
    CHECK(last != NULL && before != NULL);
    for (uint32_t i = 0; i < count; i++) {
        struct client *who = &p->clients[i];
        who->is_echo = false;
        if (who->state != CROWD_WON) {
            continue;
        }
        for (uint32_t at = last[who->identity]; at && !who->is_echo; at = before[at - 1]) {
            who->is_echo = strcmp(p->clients[at - 1].paper, who->paper) == 0;
        }
        before[i] = last[who->identity];
        last[who->identity] = i + 1;
    }
    free(last);
    free(before);
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
