/* SPDX-License-Identifier: MIT */
/* The fairness block of a simulated day, as text and as JSON (docs/scenarios.md has the shape).
 * Nothing here computes: outcome.c did.  Numbers print the same everywhere: no locale is set.
 * Owns: nothing.  Fails: never; whoever owns `out` looks at its errors. */
#include <inttypes.h>

#include "simulate/outcome.h"

/* -- text -------------------------------------------------------------------------------------- */

static void print_group(FILE *out, const char *name, const struct fairness_group *g)
{
    fprintf(out, "  %-18s %10" PRIu64 " %8.2f %% %9" PRIu64 " %8.2f %%  %6.3f [%.3f, %.3f]", name,
            g->identities, 100 * g->identity_share, g->slots, 100 * g->slot_share, g->advantage,
            g->advantage_low, g->advantage_high);
    fprintf(out, "  %" PRIu64 " to %" PRIu64 "\n", g->fair_low, g->fair_high);
}

static void print_parts(FILE *out, const char *what, const struct fairness_part *parts, int count)
{
    fprintf(out, "  %s:", what);
    for (int i = 0; i < count; i++) {
        fprintf(out, " %.2f", parts[i].identities ? 100.0 * (double)parts[i].slots /
                                                    (double)parts[i].identities : 0);
    }
    fputs(" %\n", out);
}

void outcome_text(FILE *out, const struct outcome_day *o)
{
    const struct fairness *f = &o->fairness;
    const struct crowd_scenario *s = &o->scenario;
    fprintf(out, "%s, %s, seed %" PRIu64 ": the attackers' %" PRIu64 " identities got %" PRIu64
            " of %" PRIu64 " slots; a fair draw gives them %" PRIu64 " to %" PRIu64
            " (advantage %.3f)\n", s->name, scenario_mode_name(s->mode), o->seed,
            f->attack.identities, f->attack.slots, f->slots, f->attack.fair_low,
            f->attack.fair_high, f->attack.advantage);
    fputs("  population         identities    share      slots    share  advantage, 95 %"
          "       fair draw\n", out);
    for (uint32_t k = 0; k < s->populations_count; k++) {
        print_group(out, s->populations[k].name, &f->groups[k]);
    }
    fprintf(out, "  closed form %.4f, possible %.3f; Jain %.4f, Gini %.4f\n", o->closed_form,
            o->possible_advantage, f->jain, f->gini);
    fprintf(out, "  arrival: chi-square %.2f (5 %% of fair draws are beyond %.2f), Spearman "
            "%+.4f\n", f->deciles_chi2, FAIRNESS_CHI2_5, f->arrival_spearman);
    print_parts(out, "chance by tenth of arrival", f->deciles, FAIRNESS_DECILES);
    print_parts(out, "chance by fifth of round-trip time, nearest first", f->fifths,
                FAIRNESS_FIFTHS);
    for (uint32_t k = 0; k < s->populations_count; k++) {
        fprintf(out, "  wait of %-14s p50 %.1f s, p95 %.1f s, p99 %.1f s\n",
                s->populations[k].name, outcome_seconds(&o->waits[k], 50000),
                outcome_seconds(&o->waits[k], 95000), outcome_seconds(&o->waits[k], 99000));
    }
    fprintf(out, "  holds %" PRIu64 ", wasted %" PRIu64 ", offers expired %" PRIu64 "\n",
            o->sum.holds, o->sum.wasted, o->expired);
    fprintf(out, "  requests %" PRIu64 " = answered %" PRIu64 " + refused %" PRIu64
            " + timed out %" PRIu64 " + cancelled %" PRIu64 "\n", o->sum.sent, o->sum.answered,
            o->sum.refused, o->sum.timed_out, o->sum.cancelled);
    fprintf(out, "  turns let pass %" PRIu64 ", confirmed too late %" PRIu64 ", sent again %" PRIu64
            " and answered otherwise %" PRIu64 "\n", o->sum.passed, o->sum.too_late,
            o->sum.replayed, o->replays_differ);
    fprintf(out, "  audit: %" PRIu64 " slots taken, oversold %" PRIu64 ", double booked %" PRIu64
            "\n", o->taken, o->oversold, o->double_booked);
}

/* -- JSON -------------------------------------------------------------------------------------- */

static void json_group(FILE *out, const struct fairness_group *g)
{
    fprintf(out, "\"identities\": %" PRIu64 ", \"slots\": %" PRIu64 ", \"identity_share\": %.6f, "
            "\"slot_share\": %.6f, \"advantage\": %.6f, \"advantage_95\": [%.6f, %.6f], "
            "\"fair_mean\": %.3f, \"fair_range\": [%" PRIu64 ", %" PRIu64 "]",
            g->identities, g->slots, g->identity_share, g->slot_share, g->advantage,
            g->advantage_low, g->advantage_high, g->fair_mean, g->fair_low, g->fair_high);
}

static void json_requests(FILE *out, const struct crowd_tally *t)
{
    fprintf(out, "\"requests\": {\"sent\": %" PRIu64 ", \"answered\": %" PRIu64 ", \"refused\": %"
            PRIu64 ", \"timed_out\": %" PRIu64 ", \"cancelled\": %" PRIu64 ", \"unaccounted\": %"
            PRIi64 "}", t->sent, t->answered, t->refused, t->timed_out, t->cancelled,
            (int64_t)(t->sent - t->answered - t->refused - t->timed_out - t->cancelled));
}

static void json_population(FILE *out, const struct outcome_day *o, uint32_t k)
{
    const struct crowd_population *p = &o->scenario.populations[k];
    const struct crowd_tally *t = &o->tallies[k];
    const struct hist *h = &o->waits[k];
    fprintf(out, "    {\"name\": \"%s\", \"kind\": \"%s\", \"is_attack\": %s, ", p->name,
            scenario_kind_name(p->kind), p->is_attack ? "true" : "false");
    json_group(out, &o->fairness.groups[k]);
    fprintf(out, ",\n     \"arrived\": %" PRIu64 ", \"entered\": %" PRIu64 ", \"decided\": %" PRIu64
            ", \"holds\": %" PRIu64 ", \"won\": %" PRIu64 ", \"wasted\": %" PRIu64 ", ", t->arrived,
            t->entered, t->decided, t->holds, t->won, t->wasted);
    fprintf(out, "\"passed\": %" PRIu64 ", \"too_late\": %" PRIu64 ", \"replayed\": %" PRIu64
            ", ", t->passed, t->too_late, t->replayed);
    fprintf(out, "\"wait\": {\"p50_s\": %.3f, \"p95_s\": %.3f, \"p99_s\": %.3f, \"max_s\": %.3f}, ",
            outcome_seconds(h, 50000), outcome_seconds(h, 95000), outcome_seconds(h, 99000),
            outcome_seconds(h, 100000));
    json_requests(out, t);
    fputs("}", out);
}

static void json_parts(FILE *out, const char *name, const struct fairness_part *parts, int count)
{
    fprintf(out, "    \"%s\": [", name);
    for (int i = 0; i < count; i++) {
        fprintf(out, "%s{\"identities\": %" PRIu64 ", \"slots\": %" PRIu64 "}", i ? ", " : "",
                parts[i].identities, parts[i].slots);
    }
    fputs("],\n", out);
}

static void json_fairness(FILE *out, const struct outcome_day *o)
{
    const struct fairness *f = &o->fairness;
    fprintf(out, "  \"fairness\": {\n    \"jain\": %.6f, \"gini\": %.6f,\n", f->jain, f->gini);
    fprintf(out, "    \"arrival_chi2\": %.4f, \"arrival_chi2_critical\": %.3f, "
            "\"arrival_spearman\": %.6f, \"rtt_spearman\": %.6f,\n", f->deciles_chi2,
            FAIRNESS_CHI2_5, f->arrival_spearman, f->rtt_spearman);
    json_parts(out, "arrival_deciles", f->deciles, FAIRNESS_DECILES);
    json_parts(out, "rtt_fifths", f->fifths, FAIRNESS_FIFTHS);
    fputs("    \"rtt_fifths_ms\": [", out);
    for (int i = 0; i < FAIRNESS_FIFTHS; i++) {
        fprintf(out, "%s%.3f", i ? ", " : "", (double)f->fifths_rtt_us[i] / 1000);
    }
    fprintf(out, "],\n    \"hold_waste\": %.6f\n  },\n",
            o->sum.holds ? (double)o->sum.wasted / (double)o->sum.holds : 0);
}

void outcome_json(FILE *out, const struct outcome_day *o)
{
    const struct crowd_scenario *s = &o->scenario;
    const struct fairness_group *a = &o->fairness.attack;
    fprintf(out, "{\n  \"scenario\": \"%s\", \"mode\": \"%s\", \"seed\": %" PRIu64 ", \"slots\": %"
            PRIu64 ", \"identities\": %u, \"clients\": %u,\n", s->name,
            scenario_mode_name(s->mode), o->seed, s->slots, s->identities_count,
            s->clients_count);
    fprintf(out, "  \"bot_slots\": %" PRIu64 ", \"bot_identities\": %" PRIu64
            ", \"bot_advantage\": %.6f, \"bot_advantage_95\": [%.6f, %.6f], \"fair_mean\": %.3f, "
            "\"fair_range\": [%" PRIu64 ", %" PRIu64 "],\n", a->slots, a->identities, a->advantage,
            a->advantage_low, a->advantage_high, a->fair_mean, a->fair_low, a->fair_high);
    fprintf(out, "  \"closed_form\": %.6f, \"possible_advantage\": %.6f,\n", o->closed_form,
            o->possible_advantage);
    json_fairness(out, o);
    fputs("  \"populations\": [\n", out);
    for (uint32_t k = 0; k < s->populations_count; k++) {
        json_population(out, o, k);
        fputs(k + 1 < s->populations_count ? ",\n" : "\n", out);
    }
    fputs("  ],\n  ", out);
    json_requests(out, &o->sum);
    fprintf(out, ",\n  \"audit\": {\"taken\": %" PRIu64 ", \"oversold\": %" PRIu64
            ", \"double_booked\": %" PRIu64 ", \"offers_expired\": %" PRIu64
            ", \"replays_differ\": %" PRIu64 "},\n",
            o->taken, o->oversold, o->double_booked, o->expired, o->replays_differ);
    fprintf(out, "  \"cost\": {\"commands\": %" PRIu64 ", \"records\": %" PRIu64
            ", \"book_bytes\": %" PRIu64, o->commands, o->records, o->book_bytes);
    fprintf(out, ", \"queued_max\": %" PRIu64 ", \"bytes_per_client\": %.1f"
            ", \"virtual_s\": %.3f}\n}\n", o->queued_max, o->bytes_per_client, o->virtual_s);
}
