/* SPDX-License-Identifier: MIT */
/* What several processes counted, as one.
 * Owns: nothing.
 * Fails never. */
#include <string.h>

#include "flood/plan.h"

void result_init(struct result *r)
{
    memset(r, 0, sizeof *r);
    for (int i = 0; i < PLAN_PARTIES_MAX; i++) {
        hist_init(&r->parties[i].wait);
    }
    for (int i = 0; i < CROWD_ACT_COUNT; i++) {
        hist_init(&r->latency[i]);
    }
    hist_init(&r->lag);
}

static void result_merge_party(struct party_result *to, const struct party_result *from)
{
    to->arrived += from->arrived;
    to->entered += from->entered;
    to->decided += from->decided;
    to->holds += from->holds;
    to->won += from->won;
    to->wasted += from->wasted;
    to->passed += from->passed;
    to->too_late += from->too_late;
    to->replayed += from->replayed;
    to->sent += from->sent;
    to->answered += from->answered;
    to->refused += from->refused;
    to->timed_out += from->timed_out;
    to->cancelled += from->cancelled;
    to->unreachable += from->unreachable;
    hist_merge(&to->wait, &from->wait);
}

void result_merge(struct result *to, const struct result *from)
{
    for (int i = 0; i < PLAN_PARTIES_MAX; i++) {
        result_merge_party(&to->parties[i], &from->parties[i]);
    }
    hist_merge(&to->lag, &from->lag);
    for (int i = 0; i < CROWD_ACT_COUNT; i++) {
        hist_merge(&to->latency[i], &from->latency[i]);
    }
    for (int i = 0; i < PLAN_BUCKETS; i++) {
        struct plan_bucket *t = &to->timeline[i];
        const struct plan_bucket *f = &from->timeline[i];
        t->sent += f->sent;
        t->answered += f->answered;
        t->refused += f->refused;
        for (int k = 0; k < PLAN_PARTIES_MAX; k++) {
            t->won[k] += f->won[k];
        }
    }
    for (int i = 0; i < 17; i++) {
        to->statuses[i] += from->statuses[i];
    }
    to->crowd_bytes += from->crowd_bytes;
    to->late += from->late;
    to->garbled += from->garbled;
    to->garbage += from->garbage;
    to->replays_differ += from->replays_differ;
    to->cpu_us += from->cpu_us;
    to->wall_us = from->wall_us > to->wall_us ? from->wall_us : to->wall_us;
    to->last_us = from->last_us > to->last_us ? from->last_us : to->last_us;
    to->is_lost |= from->is_lost;
    to->is_stopped |= from->is_stopped;
    to->failure = to->failure ? to->failure : from->failure;
}
