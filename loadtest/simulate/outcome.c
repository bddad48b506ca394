/* SPDX-License-Identifier: MIT */
/* The audit of a simulated day, its shares, and what mathematics says they should be.
 * Owns: nothing that outlives outcome_fill().  Fails: < 0 when memory or the book end.
 * Audit: every slot's state in the ledger against the holders that answers named.
 * Closed form: who is in before the seal has the same chance, so the attackers' advantage is their
 * part of those in time over their part of all; F is the log-normal's distribution. */
#include "simulate/outcome.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"

/* The part of a population that comes before `us`. */
static double outcome_in_time(const struct crowd_scenario *s, const struct crowd_population *p,
                              double us)
{
    bool is_program = p->kind >= CROWD_BOTS;
    double spread = (double)(p->spread_us                               ? p->spread_us
                             : s->mode == CROWD_DRAW && !is_program ? s->draw_window_us
                                                                    : 0);
    if (spread > 0) {
        return us < spread ? us / spread : 1;
    }
    if (p->sigma_milli == 0 || p->reaction_us == 0) {
        return (double)p->reaction_us <= us;
    }
    double z = log(us / (double)p->reaction_us) / ((double)p->sigma_milli / 1000);
    return 0.5 * erfc(-z / sqrt(2));
}

static void outcome_expect(struct outcome_day *o)
{
    const struct crowd_scenario *s = &o->scenario;
    double seal_us = (double)scenario_window_us(s) + (double)s->grace_us;
    double in_time = 0, attack_in_time = 0, attack = 0;
    for (uint32_t i = 0; i < s->populations_count; i++) {
        const struct crowd_population *p = &s->populations[i];
        bool may_enter = p->assurance >= s->assurance;
        double n = p->victims >= 0 ? 0 : (double)p->identities;
        double come = may_enter ? n * outcome_in_time(s, p, seal_us) : 0;
        in_time += come;
        attack_in_time += p->is_attack ? come : 0;
        attack += p->is_attack ? n : 0;
    }
    double all = (double)s->identities_count, slots = (double)s->slots;
    o->closed_form = attack > 0 && in_time > 0 ? attack_in_time / in_time / (attack / all) : 0;
    o->possible_advantage =
        attack > 0 ? (attack < slots ? attack : slots) / slots / (attack / all) : 0;
}

/* -- audit ------------------------------------------------------------------------------------- */

static int outcome_audit(struct outcome_day *o, struct world *w)
{
    struct command c = {.kind = COMMAND_LIST_SLOTS, .pool = span_of("city"),
                        .roles = ROLE_OPERATOR, .to_us = INT64_MAX, .page_size = PAGE_SIZE_MAX};
    uint8_t token[PAGE_TOKEN_MAX];
    uint64_t seen = 0;
    do {
        struct verdict v;
        int r = world_apply(w, &c, &v);
        if (r || v.reason != REASON_OK) {
            return r ? err_trace(r) : err_origin(-EPROTO);
        }
        for (size_t i = 0; i < v.slots_count; i++, seen++) {
            bool is_taken = v.slots[i].state == SLOT_TAKEN;
            o->taken += is_taken;
            /* The list goes by time, then desk: so do the numbers. */
            CHECK(seen < w->scenario.slots);
            o->oversold += is_taken != (w->slot_owners[seen] != WORLD_NOBODY);
        }
        if (v.next_page_token.len > 0) {
            memcpy(token, v.next_page_token.ptr, v.next_page_token.len);
        }
        c.page_token = (struct span){token, v.next_page_token.len};
    } while (c.page_token.len > 0);
    o->oversold += seen != w->scenario.slots;
    o->double_booked = w->double_booked;
    o->replays_differ = w->replays_differ;
    return 0;
}

/* -- who got what ------------------------------------------------------------------------------ */

static void outcome_people(const struct world *w, struct fairness_person *people)
{
    const struct crowd_scenario *s = &w->scenario;
    for (uint32_t k = 0; k < s->populations_count; k++) {
        const struct crowd_population *p = &s->populations[k];
        uint32_t count = (uint32_t)(p->identities * p->devices);
        for (uint32_t i = 0; i < count && p->victims < 0; i++) {
            const struct crowd_client *who = crowd_client(w->crowd, p->first_client + i);
            uint32_t device = i % (uint32_t)p->devices;
            struct fairness_person *one =
                &people[p->first_identity + i / (uint32_t)p->devices];
            if (device == 0) {
                *one = (struct fairness_person){who->first_us, who->rtt_us, (uint8_t)k, 0};
            } else if (who->first_us < one->arrival_us) {
                one->arrival_us = who->first_us;
            }
        }
    }
    for (uint64_t i = 0; i < s->slots; i++) {
        if (w->slot_owners[i] != WORLD_NOBODY) {
            people[w->slot_owners[i]].slots++;
        }
    }
}

static int outcome_fairness(struct outcome_day *o, const struct world *w)
{
    uint32_t count = w->scenario.identities_count, mask = 0;
    struct fairness_person *people = calloc(count, sizeof *people);
    if (people == NULL) {
        return err_origin(-ENOMEM);
    }
    outcome_people(w, people);
    for (uint32_t k = 0; k < w->scenario.populations_count; k++) {
        mask |= (uint32_t)w->scenario.populations[k].is_attack << k;
    }
    struct fairness_crowd crowd = {people, count, w->scenario.populations_count, mask, w->seed};
    int r = fairness_fill(&crowd, &o->fairness);
    free(people);
    return err_trace(r);
}

static void outcome_waits(struct outcome_day *o, const struct world *w)
{
    for (uint32_t i = 0; i < CROWD_POPULATIONS_MAX; i++) {
        hist_init(&o->waits[i]);
    }
    for (uint32_t i = 0; i < w->scenario.clients_count; i++) {
        const struct crowd_client *who = crowd_client(w->crowd, i);
        int64_t wait = who->decided_us - who->first_us;
        if (who->decided_us != INT64_MIN) {
            hist_record(&o->waits[who->population], wait > 0 ? (uint64_t)wait / 1000 : 0);
        }
    }
}

double outcome_seconds(const struct hist *waits, uint32_t milli_percent)
{
    return (double)hist_quantile(waits, milli_percent) / 1e3;
}

int outcome_fill(struct outcome_day *o, struct world *w)
{
    memset(o, 0, sizeof *o);
    o->scenario = w->scenario;
    o->seed = w->seed;
    for (uint32_t k = 0; k < w->scenario.populations_count; k++) {
        const struct crowd_tally *t = crowd_tally(w->crowd, k);
        o->tallies[k] = *t;
        o->sum.sent += t->sent;
        o->sum.answered += t->answered;
        o->sum.refused += t->refused;
        o->sum.timed_out += t->timed_out;
        o->sum.cancelled += t->cancelled;
        o->sum.holds += t->holds;
        o->sum.wasted += t->wasted;
        o->sum.passed += t->passed;
        o->sum.too_late += t->too_late;
        o->sum.replayed += t->replayed;
    }
    o->unaccounted = o->sum.sent - o->sum.answered - o->sum.refused - o->sum.timed_out -
                     o->sum.cancelled;
    o->commands = w->commands;
    o->records = w->book.count;
    o->book_bytes = w->book.bytes;
    o->queued_max = w->queued_max;
    o->expired = w->expired;
    o->virtual_s = (double)w->now_us / 1e6;
    size_t clients = w->scenario.clients_count;
    o->bytes_per_client = ((double)crowd_bytes(w->crowd) +
                           (double)(clients * sizeof(struct world_paper))) / (double)clients;
    outcome_waits(o, w);
    outcome_expect(o);
    int r = outcome_audit(o, w);
    return r ? err_trace(r) : err_trace(outcome_fairness(o, w));
}
