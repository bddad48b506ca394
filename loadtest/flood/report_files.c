/* SPDX-License-Identifier: MIT */
/* A report as text for a person, as CSV for a sheet, and as HdrHistogram's percentile tables.
 * Owns: nothing.
 * Fails never; the stream remembers its own errors. */
#include <math.h>

#include "base/check.h"
#include "ctl/talk.h"
#include "flood/report.h"

static void text_party(FILE *out, const struct report *r, uint32_t i)
{
    const struct share *s = &r->shares[i];
    const struct hist *wait = &r->result.parties[i].wait;
    fprintf(out, "  %-16.16s %9llu %6.1f %%  %8llu ", plan_who(r->plan, i)->name,
            (unsigned long long)s->identities, 100 * s->identity_share,
            (unsigned long long)s->slots);
    if (r->fair.slots) {
        fprintf(out, "%6.1f %%  %8.2fx   %6u to %-6u", 100 * s->slot_share, s->advantage,
                s->fair_low, s->fair_high);
    } else { /* shares of nothing */
        fprintf(out, "%8s  %9s   %16s", "-", "-", "-         ");
    }
    if (wait->count) {
        fprintf(out, " %9.2f s %9.2f s\n", (double)hist_quantile(wait, 50000) / 1e6,
                (double)hist_quantile(wait, 95000) / 1e6);
    } else {
        fprintf(out, " %11s %11s\n", "nobody yet", "-");
    }
}

/* How even it was: where somebody got something. */
static void text_fairness(FILE *out, const struct report *r)
{
    if (r->fair.slots == 0) {
        fputs("  fairness   nobody got a slot, so that there is nothing to compare\n", out);
        return;
    }
    fprintf(out, "  fairness   Jain %.3f, Gini %.3f; arrival and win: chi-square %.1f (over 16.9 "
            "in 5 %% of fair draws), Spearman %.3f\n", r->fair.jain, r->fair.gini, r->deciles_chi2,
            r->fair.arrival_spearman);
}

void report_text(FILE *out, const struct report *r)
{
    const struct audit *a = &r->audit;
    fprintf(out, "\n%s, %s, seed %llu: %.1f s, %llu requests, p99 of the generator's lag %.2f ms, "
            "%.2f cores\n\n", r->scenario, plan_mode_words(plan_mode(r->plan)),
            (unsigned long long)r->plan->seed, r->seconds, (unsigned long long)r->sent,
            (double)hist_quantile(&r->result.lag, 99000) / 1e3, r->generator_cores);
    fprintf(out, "  %-16s %9s %8s  %8s %8s  %9s   %-16s %11s %11s\n", "population", "identities",
            "of all", "slots", "of all", "advantage", "fair, 95 %", "decided p50", "p95");
    for (uint32_t i = 0; i < plan_whos(r->plan); i++) {
        text_party(out, r, i);
    }
    fprintf(out, "\n  requests   %llu sent = %llu answered + %llu refused + %llu timed out + %llu "
            "cancelled%s\n", (unsigned long long)r->sent, (unsigned long long)r->answered,
            (unsigned long long)r->refused, (unsigned long long)r->timed_out,
            (unsigned long long)r->cancelled, r->unaccounted ? "  (DOES NOT ADD UP)" : "");
    if (a->is_done) {
        fprintf(out, "  audit      %llu slots, %llu taken; %llu with two holders, %llu over the "
                "number, %llu lost, %llu unheard of\n", (unsigned long long)a->slots,
                (unsigned long long)a->taken, (unsigned long long)a->double_booked,
                (unsigned long long)a->oversold, (unsigned long long)a->lost,
                (unsigned long long)a->unheard);
    } else {
        fputs("  audit      could not be made: the shard did not answer\n", out);
    }
    text_fairness(out, r);
    fprintf(out, "  holds      %llu, of which %llu came to nothing\n", (unsigned long long)r->holds,
            (unsigned long long)r->wasted);
    if (r->bots.identities && r->fair.slots) {
        fprintf(out, "  bots       %llu of %u slots; in 95 of 100 fair draws %u to %u (%.1f on "
                "average)\n", (unsigned long long)r->bots.slots, r->plan->slots_count,
                r->bots.fair_low, r->bots.fair_high, r->bots.fair_mean);
    }
}

void report_csv(FILE *out, const struct report *r)
{
    fputs("mode,population,is_bot,identities,slots,identity_share,slot_share,advantage,fair_low,"
          "fair_high,sent,answered,refused,timed_out,cancelled,wait_p50_ms,wait_p95_ms,"
          "wait_p99_ms\n", out);
    for (uint32_t i = 0; i < plan_whos(r->plan); i++) {
        const struct share *s = &r->shares[i];
        const struct party_result *p = &r->result.parties[i];
        fprintf(out, "%s,%s,%d,%llu,%llu,%.6f,%.6f,%.4f,%u,%u,%llu,%llu,%llu,%llu,%llu,%.3f,%.3f,"
                "%.3f\n", scenario_mode_name(plan_mode(r->plan)), plan_who(r->plan, i)->name,
                plan_who(r->plan, i)->is_attack, (unsigned long long)s->identities,
                (unsigned long long)s->slots, s->identity_share, s->slot_share, s->advantage,
                s->fair_low, s->fair_high, (unsigned long long)p->sent,
                (unsigned long long)p->answered, (unsigned long long)p->refused,
                (unsigned long long)p->timed_out, (unsigned long long)p->cancelled,
                (double)hist_quantile(&p->wait, 50000) / 1e3,
                (double)hist_quantile(&p->wait, 95000) / 1e3,
                (double)hist_quantile(&p->wait, 99000) / 1e3);
    }
}

/* Off the mean, as root mean square. */
static double hgrm_deviation(const struct hist *h, double mean)
{
    double squares = 0;
    for (uint64_t rank = 1, upto; rank <= h->count; rank = upto + 1) {
        double off = (double)hist_at(h, rank, &upto) - mean;
        squares += off * off * (double)(upto - rank + 1);
    }
    return sqrt(squares / (double)h->count);
}

/* Percentiles ever nearer to 100: half of what is left, in five steps each, until there is none
 * left.  Header, columns and feet are those of HdrHistogram's outputPercentileDistribution(). */
static void hgrm_table(FILE *out, const char *name, const struct hist *h)
{
    double mean = (double)h->sum_us / (double)h->count;
    uint64_t upto = 0;
    fprintf(out, "# %s\n       Value     Percentile TotalCount 1/(1-Percentile)\n\n", name);
    for (int i = 0; i < 200 && upto < h->count; i++) {
        double half = floor(i / 5.0), left = pow(0.5, half) * (1 - (i - 5 * half) / 10);
        uint64_t rank = h->count - (uint64_t)(left * (double)h->count);
        uint64_t value = hist_at(h, rank ? rank : 1, &upto);
        fprintf(out, "%12.3f %2.12f %10llu %14.2f\n", (double)value / 1e3, 1 - left,
                (unsigned long long)upto, 1 / left);
    }
    fprintf(out, "%12.3f %2.12f %10llu\n", (double)h->max_us / 1e3, 1.0,
            (unsigned long long)h->count);
    fprintf(out, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", mean / 1e3,
            hgrm_deviation(h, mean) / 1e3);
    fprintf(out, "#[Max     = %12.3f, Total count    = %12llu]\n", (double)h->max_us / 1e3,
            (unsigned long long)h->count);
    fprintf(out, "#[Buckets = %12d, SubBuckets     = %12d]\n\n", HIST_LEVELS, HIST_SUB);
}

void report_hgrm(FILE *out, const struct report *r)
{
    for (int i = 0; i < CROWD_ACT_COUNT; i++) {
        if (r->result.latency[i].count) {
            hgrm_table(out, crowd_act_name((enum crowd_act)i), &r->result.latency[i]);
        }
    }
    for (uint32_t i = 0; i < plan_whos(r->plan); i++) {
        char name[CROWD_NAME_MAX + 32];
        snprintf(name, sizeof name, "time to decision: %s", plan_who(r->plan, i)->name);
        if (r->result.parties[i].wait.count) {
            hgrm_table(out, name, &r->result.parties[i].wait);
        }
    }
}
