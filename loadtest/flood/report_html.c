/* SPDX-License-Identifier: MIT */
/* One page that stands alone: no script, no font, no picture from anywhere.  It opens with the
 * sentence that matters, in numbers; then drawings, the numbers behind them, method and machine.
 * Owns: nothing.  Fails never; the stream remembers its own errors. */
#include <string.h>

#include "base/check.h"
#include "ctl/talk.h"
#include "ctl/value.h"
#include "flood/html.h"
#include "flood/html_style.h"

/* -- the sentence ----------------------------------------------------------------------------- */

static void html_sentence_three(FILE *out, const struct report *const *runs)
{
    const struct share *s = &runs[CROWD_LIVE]->bots;
    fprintf(out,
            "First come, first served gave %llu of %u slots to the %llu identities of the bots. "
            "A live window gave them %llu, a draw %llu: their fair share is %.0f.",
            (unsigned long long)runs[CROWD_FCFS]->bots.slots, runs[CROWD_FCFS]->plan->slots_count,
            (unsigned long long)s->identities, (unsigned long long)s->slots,
            (unsigned long long)runs[CROWD_DRAW]->bots.slots, s->fair_mean);
}

/* What it is of, when it did not come to its end. */
static void html_sentence_part(FILE *out, const struct report *r)
{
    if (r->result.is_lost || r->result.is_stopped) {
        fprintf(out, "%s after %.1f s, before its end. ",
                r->result.is_lost ? "The target went away" : "The run was stopped", r->seconds);
    }
}

static void html_sentence_one(FILE *out, const struct report *r)
{
    const struct share *s = &r->bots;
    char people[32];
    html_sentence_part(out, r);
    if (r->fair.slots == 0) {
        fprintf(out, "Nobody of %s identities had booked one of the %u slots.",
                html_number(r->plan->scenario.identities_count, people), r->plan->slots_count);
        return;
    }
    if (s->identities == 0) {
        fprintf(out, "%s identities asked for %u slots: ",
                html_number(r->plan->scenario.identities_count, people), r->plan->slots_count);
        if (r->audit.is_done) {
            fprintf(out, "%llu were booked, and %llu of them have two holders.",
                    (unsigned long long)r->audit.taken,
                    (unsigned long long)r->audit.double_booked);
        } else {
            fputs("who has them was not audited.", out);
        }
        return;
    }
    fprintf(out,
            "The bots are %.1f %% of all identities and took %.1f %% of the slots: %llu of %u, "
            "%.2f times their share. In 95 of 100 fair draws they take %u to %u.",
            100 * s->identity_share, 100 * s->slot_share, (unsigned long long)s->slots,
            r->plan->slots_count, s->advantage, s->fair_low, s->fair_high);
}

/* -- parts of the page ------------------------------------------------------------------------ */

typedef void html_chart(FILE *out, const struct report *r);

/* The same drawing for each run, side by side where there is room. */
static void html_gallery(FILE *out, const struct report *const *runs, size_t count,
                         html_chart *chart)
{
    fputs("<div class=\"gallery\">\n", out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "<figure><figcaption>%s</figcaption>\n",
                plan_mode_words(plan_mode(runs[i]->plan)));
        chart(out, runs[i]);
        fputs("</figure>\n", out);
    }
    fputs("</div>\n", out);
}

static void html_legend(FILE *out, const struct report *const *runs, size_t count)
{
    fputs("<ul class=\"legend\">\n", out);
    for (int i = 0; i < CROWD_ACT_COUNT; i++) {
        uint64_t calls = 0;
        for (size_t k = 0; k < count; k++) {
            calls += runs[k]->result.latency[i].count;
        }
        if (calls) {
            fprintf(out, "<li><svg viewBox=\"0 0 28 8\" aria-hidden=\"true\"><path class=\"curve "
                    "c%d\" d=\"M0 4H28\"/></svg>%s</li>\n", i, crowd_act_name((enum crowd_act)i));
        }
    }
    fputs("</ul>\n", out);
}

static void html_party_row(FILE *out, const struct report *r, uint32_t i)
{
    const struct share *s = &r->shares[i];
    const struct hist *wait = &r->result.parties[i].wait;
    fputs("<tr><th scope=\"row\">", out);
    html_text(out, plan_who(r->plan, i)->name);
    fprintf(out,
            "</th><td>%llu</td><td>%.1f %%</td><td>%llu</td><td>%.1f %%</td><td>%.2f</td>"
            "<td>%u to %u</td><td>%.2f s</td><td>%.2f s</td></tr>\n",
            (unsigned long long)s->identities, 100 * s->identity_share,
            (unsigned long long)s->slots, 100 * s->slot_share, s->advantage, s->fair_low,
            s->fair_high, (double)hist_quantile(wait, 50000) / 1e6,
            (double)hist_quantile(wait, 95000) / 1e6);
}

static void html_party_table(FILE *out, const struct report *r)
{
    fprintf(out, "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Numbers of the "
            "populations, %s\"><table><caption>%s</caption><thead><tr>"
            "<th scope=\"col\">population</th><th scope=\"col\">identities</th>"
            "<th scope=\"col\">of all</th><th scope=\"col\">slots</th><th scope=\"col\">of all</th>"
            "<th scope=\"col\">advantage</th><th scope=\"col\">fair, 95 %%</th>"
            "<th scope=\"col\">decided, median</th><th scope=\"col\">decided, p95</th></tr></thead>"
            "<tbody>\n", plan_mode_words(plan_mode(r->plan)), plan_mode_words(plan_mode(r->plan)));
    for (uint32_t i = 0; i < plan_whos(r->plan); i++) {
        html_party_row(out, r, i);
    }
    fputs("</tbody></table></div>\n", out);
}

static void html_requests(FILE *out, const struct report *const *runs, size_t count)
{
    fputs("<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Requests and audit\">"
          "<table><caption>every request, and what the shard itself has</caption><thead><tr>"
          "<th scope=\"col\">run</th><th scope=\"col\">sent</th><th scope=\"col\">answered</th>"
          "<th scope=\"col\">refused</th><th scope=\"col\">timed out</th>"
          "<th scope=\"col\">cancelled</th><th scope=\"col\">unaccounted</th>"
          "<th scope=\"col\">sent late</th><th scope=\"col\">slots taken</th>"
          "<th scope=\"col\">two holders</th><th scope=\"col\">lost</th></tr></thead><tbody>\n",
          out);
    for (size_t i = 0; i < count; i++) {
        const struct report *r = runs[i];
        char n[4][32];
        fprintf(out,
                "<tr><th scope=\"row\">%s</th><td>%s</td><td>%s</td><td>%s</td><td>%llu</td>"
                "<td>%llu</td><td>%llu</td><td>%.2f %%</td><td>%s</td><td>%llu</td><td>%llu</td>"
                "</tr>\n",
                plan_mode_words(plan_mode(r->plan)), html_number(r->sent, n[0]),
                html_number(r->answered, n[1]), html_number(r->refused, n[2]),
                (unsigned long long)r->timed_out, (unsigned long long)r->cancelled,
                (unsigned long long)r->unaccounted, 100 * r->late_share,
                html_number(r->audit.taken, n[3]), (unsigned long long)r->audit.double_booked,
                (unsigned long long)r->audit.lost);
    }
    fputs("</tbody></table></div>\n", out);
}

static void html_fairness(FILE *out, const struct report *const *runs, size_t count)
{
    fputs("<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Fairness\">"
          "<table><caption>how even it was</caption><thead><tr><th scope=\"col\">run</th>"
          "<th scope=\"col\">bots' advantage</th><th scope=\"col\">bootstrap, 95 %</th>"
          "<th scope=\"col\">Jain</th><th scope=\"col\">Gini</th>"
          "<th scope=\"col\">chi-square of tenths</th><th scope=\"col\">arrival and win</th>"
          "<th scope=\"col\">round trip and win</th><th scope=\"col\">holds wasted</th></tr>"
          "</thead><tbody>\n", out);
    for (size_t i = 0; i < count; i++) {
        const struct report *r = runs[i];
        fprintf(out,
                "<tr><th scope=\"row\">%s</th><td>%.2f</td><td>%.2f to %.2f</td><td>%.3f</td>"
                "<td>%.3f</td><td>%.1f</td><td>%.3f</td><td>%.3f</td><td>%llu of %llu</td></tr>\n",
                plan_mode_words(plan_mode(r->plan)), r->bots.advantage, r->bots.advantage_low,
                r->bots.advantage_high, r->fair.jain, r->fair.gini, r->deciles_chi2,
                r->fair.arrival_spearman, r->fair.rtt_spearman, (unsigned long long)r->wasted,
                (unsigned long long)r->holds);
    }
    fputs("</tbody></table></div>\n<p>Jain 1 and Gini 0: the identities of all populations had the "
          "same chance. Chi-square: over 16.9 in 5 of 100 fair draws. Arrival, or round trip, "
          "and win: Spearman's rank correlation; 0: none, below 0: first, or nearest, won.</p>\n",
          out);
}

static void html_method(FILE *out, const struct report *r)
{
    char when[VALUE_TIME_MAX];
    value_rfc3339(r->started_wall_us / SECOND_US, 0, when);
    fprintf(out, "<dl><dt>Scenario</dt><dd>");
    html_text(out, r->scenario);
    fprintf(out, ", seed %llu; window %.1f s, grace %.1f s</dd>\n",
            (unsigned long long)r->plan->seed, (double)r->plan->window_us / 1e6,
            (double)r->plan->scenario.grace_us / 1e6);
    if (*r->scale) {
        fprintf(out, "<dt>Scale</dt><dd>%s: window and reaction times alike</dd>\n", r->scale);
    }
    fprintf(out, "<dt>Target</dt><dd>");
    html_text(out, r->plan->target);
    fprintf(out, ", gRPC over HTTP/2, every identity with a signed token of its own</dd>\n"
            "<dt>Generator</dt><dd>%u process%s, %.2f cores; p99 of its own lag %.2f ms; requests "
            "over %.0f ms late: %.3f %% (over 1 %% nothing is reported)</dd>\n",
            r->plan->processes, r->plan->processes == 1 ? "" : "es", r->generator_cores,
            (double)hist_quantile(&r->result.lag, 99000) / 1e3, (double)r->plan->late_us / 1e3,
            100 * r->late_share);
    fprintf(out, "<dt>Machine</dt><dd>");
    html_text(out, report_machine());
    fprintf(out, "</dd>\n<dt>Code</dt><dd>commit %s, %s</dd></dl>\n", report_commit(), when);
}

static void html_populations(FILE *out, const struct report *r)
{
    fputs("<ul>\n", out);
    for (uint32_t i = 0; i < plan_whos(r->plan); i++) {
        const struct crowd_population *p = plan_who(r->plan, i);
        fputs("<li><strong>", out);
        html_text(out, p->name);
        fprintf(out, "</strong>, %s: %llu identities", scenario_kind_name(p->kind),
                (unsigned long long)p->identities);
        if (p->devices > 1) {
            fprintf(out, " with %llu devices each", (unsigned long long)p->devices);
        }
        fprintf(out, " on %llu connections; reaction log-normal, median %.3g s",
                (unsigned long long)(p->connections ? p->connections
                                                    : p->identities * p->devices),
                (double)p->reaction_us / 1e6);
        if (p->interval_us) {
            fprintf(out, "; asks every %.3g s", (double)p->interval_us / 1e6);
        }
        if (p->early_us) {
            fprintf(out, ", from %.3g s before the opening on", (double)p->early_us / 1e6);
        }
        fputs("</li>\n", out);
    }
    fputs("</ul>\n", out);
}

static void html_figures(FILE *out, const struct report *const *runs, size_t count)
{
    fputs("<section><h2>Slots against identities</h2>\n<p>The thin bar is a population's share of "
          "the identities that came, the thick one its share of the slots. The bracket below is "
          "where 95 of 100 fair draws end.</p>\n", out);
    html_gallery(out, runs, count, html_shares);
    fputs("</section>\n<section><h2>Does it pay to be first?</h2>\n<p>The crowd in ten parts, in "
          "the order in which they came, and how many of each won.</p>\n", out);
    html_gallery(out, runs, count, html_deciles);
    fputs("</section>\n<section><h2>Does it pay to be near?</h2>\n<p>The identities in five parts, "
          "those with the shortest round trip first, and the chance of each to win.</p>\n", out);
    html_gallery(out, runs, count, html_rtt);
    fputs("</section>\n<section><h2>When it happened</h2>\n<p>Shaded: the entry window. The area "
          "is requests a second; the solid line the slots that people have booked, the dashed line "
          "those of the bots.</p>\n", out);
    html_gallery(out, runs, count, html_timeline);
    fputs("</section>\n<section><h2>How long answers took</h2>\n<p>Counted from the moment a "
          "request was due, not from when it was sent.</p>\n", out);
    html_gallery(out, runs, count, html_latency);
    html_legend(out, runs, count);
    fputs("</section>\n", out);
}

void report_html(FILE *out, const struct report *const *runs, size_t count)
{
    CHECK(count == 1 || count == CROWD_MODES);
    fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n<title>fairslot: ", out);
    html_text(out, runs[0]->scenario);
    fputs("</title>\n<style>\n" HTML_STYLE "</style>\n</head>\n<body>\n<main>\n<header>"
          "<p class=\"kicker\">fairslot, a release day measured</p>\n<h1>", out);
    if (count == 1) {
        html_sentence_one(out, runs[0]);
    } else {
        html_sentence_three(out, runs);
    }
    fputs("</h1></header>\n", out);
    html_figures(out, runs, count);
    fputs("<section><h2>The numbers</h2>\n", out);
    for (size_t i = 0; i < count; i++) {
        html_party_table(out, runs[i]);
    }
    html_fairness(out, runs, count);
    html_requests(out, runs, count);
    fputs("</section>\n<section><h2>Method</h2>\n<p>Open loop: arrivals come at their scheduled "
          "time whatever happened before. Every request ends in exactly one column. A slot counts "
          "as won when its reservation was confirmed; afterwards every slot and every reservation "
          "is read back from the shard.</p>\n", out);
    html_populations(out, runs[0]);
    html_method(out, runs[0]);
    fputs("</section>\n</main>\n</body>\n</html>\n", out);
}
