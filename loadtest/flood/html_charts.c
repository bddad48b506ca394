/* SPDX-License-Identifier: MIT */
/* The page's drawings as SVG: 360 units wide, so that their text is read at 390 px as at 1,280.
 * Colours are the page's CSS variables, so one drawing is right in light and dark.  Every drawing
 * has its numbers in its title or in a table beside it: nothing is told by colour alone.
 * Owns: nothing.  Fails never; an empty run draws empty axes. */
#include <math.h>

#include "base/check.h"
#include "flood/html.h"

#define CHART_W   360.0
#define CHART_L   44.0  /* left edge of the plot */
#define CHART_R   352.0 /* right edge */
#define CHART_T   12.0
#define CHART_B   150.0 /* of the plot */
#define CHART_H   182.0

static void chart_open(FILE *out, double height, const char *title)
{
    fprintf(out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", CHART_W, height);
    html_text(out, title);
    fputs("\"><title>", out);
    html_text(out, title);
    fputs("</title>\n", out);
}

static double chart_x(double part)
{
    return CHART_L + part * (CHART_R - CHART_L);
}

static double chart_y(double part)
{
    return CHART_B - part * (CHART_B - CHART_T);
}

static void chart_axes(FILE *out)
{
    fprintf(out, "<path class=\"axis\" d=\"M%.0f %.0fV%.0fH%.0f\"/>\n", CHART_L, CHART_T, CHART_B,
            CHART_R);
}

/* A round number at or above v, for the end of an axis. */
static double chart_top(double v)
{
    double step = pow(10, floor(log10(v > 1 ? v : 1)));
    static const double parts[] = {1, 2, 3, 4, 5, 6, 8, 10};
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        if (parts[i] * step >= v) {
            return parts[i] * step;
        }
    }
    return 10 * step;
}

static void chart_y_label(FILE *out, double part, double value)
{
    char text[32];
    fprintf(out, "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", CHART_L - 5,
            chart_y(part) + 4, html_number((uint64_t)(value + 0.5), text));
}

/* -- shares ----------------------------------------------------------------------------------- */

/* Everything is as long in each run, whatever its largest share: they stand side by side. */
static void shares_row(FILE *out, const struct report *r, uint32_t i, double y)
{
    const struct share *s = &r->shares[i];
    double unit = 200 /* for 100 % */, slots = (double)r->plan->slots_count;
    fprintf(out, "<text class=\"name\" x=\"0\" y=\"%.0f\">", y);
    html_text(out, plan_who(r->plan, i)->name);
    fprintf(out, "</text>\n<rect class=\"ids\" x=\"0\" y=\"%.0f\" width=\"%.1f\" height=\"8\"/>"
            "<text x=\"%.1f\" y=\"%.0f\">%.1f %% of identities</text>\n",
            y + 7, s->identity_share * unit, s->identity_share * unit + 6, y + 15,
            100 * s->identity_share);
    fprintf(out, "<rect class=\"%s\" x=\"0\" y=\"%.0f\" width=\"%.1f\" height=\"12\"/>"
            "<text x=\"%.1f\" y=\"%.0f\">%.1f %% of slots (%llu)</text>\n",
            plan_who(r->plan, i)->is_attack ? "bot" : "people", y + 18, s->slot_share * unit,
            (s->slot_share * unit > s->fair_high / slots * unit ? s->slot_share * unit
                                                                : s->fair_high / slots * unit) + 6,
            y + 28, 100 * s->slot_share, (unsigned long long)s->slots);
    fprintf(out, "<path class=\"range\" d=\"M%.1f %.0fv6m0 -3H%.1fm0 -3v6\"/>\n",
            s->fair_low / slots * unit, y + 32, s->fair_high / slots * unit);
}

void html_shares(FILE *out, const struct report *r)
{
    double y = 14;
    chart_open(out, plan_whos(r->plan) * 54.0 + 4,
               "Share of slots against share of identities, by population");
    for (uint32_t i = 0; i < plan_whos(r->plan) && r->plan->slots_count; i++, y += 54) {
        shares_row(out, r, i, y);
    }
    fputs("</svg>\n", out);
}

/* -- wins by arrival, and by round trip -------------------------------------------------------- */

#define CHART_BARS_MAX PLAN_DECILES

/* A bar each, from 0 to `top`, and a dashed line where all would be alike. */
struct chart_bars {
    const char *title, *note;
    int count;
    double values[CHART_BARS_MAX], alike, top;
    char labels[CHART_BARS_MAX][24];
};

static void chart_bars(FILE *out, const struct chart_bars *b)
{
    for (int i = 0; i < b->count; i++) {
        double x = chart_x((i + 0.12) / b->count), y = chart_y(b->values[i] / b->top);
        fprintf(out,
                "<rect class=\"people\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>"
                "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%s</text>\n",
                x, y, (CHART_R - CHART_L) / b->count * 0.76, CHART_B - y,
                chart_x((i + 0.5) / b->count), CHART_B + 14, b->labels[i]);
    }
    fprintf(out, "<path class=\"fair\" d=\"M%.0f %.1fH%.0f\"/>\n", CHART_L,
            chart_y(b->alike / b->top), CHART_R);
    fprintf(out, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"end\">%s</text></svg>\n", CHART_R,
            CHART_B + 28, b->note);
}

void html_deciles(FILE *out, const struct report *r)
{
    struct chart_bars b = {.title = "Wins by tenth of the crowd, in the order of coming",
                           .note = "first tenth to come: 1; dashed: everybody alike",
                           .count = PLAN_DECILES, .top = 1};
    for (int i = 0; i < PLAN_DECILES; i++) {
        b.values[i] = r->deciles[i].won;
        b.alike += b.values[i] / PLAN_DECILES;
        b.top = fmax(b.top, b.values[i]);
        snprintf(b.labels[i], sizeof b.labels[i], "%d", i + 1);
    }
    b.top = chart_top(b.top);
    chart_open(out, CHART_H, b.title);
    chart_axes(out);
    chart_y_label(out, 0, 0);
    chart_y_label(out, 1, b.top);
    chart_bars(out, &b);
}

/* A round share at or above v: 1, 2, 5, 10 ... % */
static double chart_top_share(double v)
{
    static const double tops[] = {0.01, 0.02, 0.05, 0.1, 0.2, 0.5};
    for (size_t i = 0; i < ARRAY_COUNT(tops); i++) {
        if (v <= tops[i]) {
            return tops[i];
        }
    }
    return 1;
}

void html_rtt(FILE *out, const struct report *r)
{
    const struct fairness *f = &r->fair;
    struct chart_bars b = {.title = "Chance to win by round trip, a fifth of the identities each",
                           .note = "median round trip, nearest first; dashed: everybody alike",
                           .count = FAIRNESS_FIFTHS};
    uint64_t slots = 0, identities = 0;
    for (int i = 0; i < FAIRNESS_FIFTHS; i++) {
        const struct fairness_part *part = &f->fifths[i];
        b.values[i] = part->identities ? (double)part->slots / (double)part->identities : 0;
        b.top = fmax(b.top, b.values[i]);
        slots += part->slots;
        identities += part->identities;
        snprintf(b.labels[i], sizeof b.labels[i], "%.3g ms", (double)f->fifths_rtt_us[i] / 1e3);
    }
    b.alike = identities ? (double)slots / (double)identities : 0;
    b.top = chart_top_share(b.top);
    chart_open(out, CHART_H, b.title);
    chart_axes(out);
    for (int i = 0; i <= 1; i++) {
        fprintf(out, "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%.0f %%</text>\n",
                CHART_L - 5, chart_y(i) + 4, 100 * b.top * i);
    }
    chart_bars(out, &b);
}

/* -- latency ---------------------------------------------------------------------------------- */

#define LATENCY_NINES 4.0 /* the axis ends at 99.99 % */

static double latency_part(double ms, double low, double high)
{
    double part = log(fmax(ms, low) / low) / log(high / low);
    return part < 0 ? 0 : part > 1 ? 1 : part;
}

static void latency_curve(FILE *out, const struct hist *h, int number, double low, double high)
{
    fprintf(out, "<path class=\"curve c%d\" d=\"", number);
    for (int i = 0; i <= 80; i++) {
        double nines = LATENCY_NINES * i / 80, q = 1 - pow(10, -nines);
        double ms = (double)hist_quantile(h, (uint32_t)(q * 100000 + 0.5)) / 1e3;
        fprintf(out, "%c%.1f %.1f", i ? 'L' : 'M', chart_x(nines / LATENCY_NINES),
                chart_y(latency_part(ms, low, high)));
    }
    fputs("\"/>\n", out);
}

void html_latency(FILE *out, const struct report *r)
{
    static const char *const marks[] = {"0", "90", "99", "99.9", "99.99 %"};
    double low = 0.1, high = 1;
    for (int i = 0; i < CROWD_ACT_COUNT; i++) {
        high = fmax(high, (double)r->result.latency[i].max_us / 1e3);
    }
    high = pow(10, ceil(log10(high)));
    chart_open(out, CHART_H, "Latency by percentile for each RPC, from the scheduled time, in ms");
    chart_axes(out);
    for (double ms = low; ms <= high * 1.01; ms *= 10) {
        double y = chart_y(latency_part(ms, low, high));
        fprintf(out, "<path class=\"grid\" d=\"M%.0f %.1fH%.0f\"/><text x=\"%.0f\" y=\"%.1f\" "
                "text-anchor=\"end\">%g</text>\n", CHART_L, y, CHART_R, CHART_L - 5, y + 4, ms);
    }
    for (int i = 0; i < 5; i++) {
        fprintf(out, "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"%s\">%s</text>\n",
                chart_x(i / 4.0), CHART_B + 14, i == 0 ? "start" : i == 4 ? "end" : "middle",
                marks[i]);
    }
    for (int i = 0; i < CROWD_ACT_COUNT; i++) {
        if (r->result.latency[i].count) {
            latency_curve(out, &r->result.latency[i], i, low, high);
        }
    }
    fprintf(out, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"end\">percentile; milliseconds, "
            "logarithmic</text></svg>\n", CHART_R, CHART_B + 28);
}

/* -- timeline --------------------------------------------------------------------------------- */

static void timeline_wins(FILE *out, const struct report *r, uint32_t last, bool bots)
{
    double sum = 0;
    fprintf(out, "<path class=\"curve %s\" d=\"", bots ? "wbot" : "wpeople");
    for (uint32_t i = 0; i <= last; i++) {
        for (uint32_t k = 0; k < plan_whos(r->plan); k++) {
            sum += plan_who(r->plan, k)->is_attack == bots ? r->result.timeline[i].won[k] : 0;
        }
        fprintf(out, "%c%.1f %.1f", i ? 'L' : 'M', chart_x((i + 1.0) / (last + 1.0)),
                chart_y(sum / (r->plan->slots_count ? r->plan->slots_count : 1)));
    }
    fputs("\"/>\n", out);
}

void html_timeline(FILE *out, const struct report *r)
{
    uint32_t last = plan_bucket_of(r->plan, r->result.last_us);
    double step_s = (double)plan_bucket_us(r->plan) / 1e6, most = 1;
    double span_s = (last + 1) * step_s;
    for (uint32_t i = 0; i <= last; i++) {
        most = fmax(most, r->result.timeline[i].sent / step_s);
    }
    most = chart_top(most);
    chart_open(out, CHART_H, "Requests a second, and the part of the slots that is booked");
    double open = chart_x(1 / span_s);
    double close = chart_x(fmin(1, (1 + (double)r->plan->window_us / 1e6) / span_s));
    fprintf(out, "<rect class=\"window\" x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"%.0f\"/>\n",
            open, CHART_T, close - open, CHART_B - CHART_T);
    fprintf(out, "<path class=\"rate\" d=\"M%.0f %.0f", CHART_L, CHART_B);
    for (uint32_t i = 0; i <= last; i++) {
        double y = chart_y(r->result.timeline[i].sent / step_s / most);
        fprintf(out, "L%.1f %.1fL%.1f %.1f", chart_x(i / (last + 1.0)), y,
                chart_x((i + 1.0) / (last + 1.0)), y);
    }
    fprintf(out, "L%.0f %.0fZ\"/>\n", CHART_R, CHART_B);
    timeline_wins(out, r, last, false);
    timeline_wins(out, r, last, true);
    chart_axes(out);
    chart_y_label(out, 0, 0);
    chart_y_label(out, 1, most);
    fprintf(out, "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">opens</text>"
            "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"end\">%.0f s</text>"
            "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"end\">area: requests a second; lines: slots "
            "booked</text></svg>\n", open, CHART_B + 14, CHART_R, CHART_B + 14, span_s - 1, CHART_R,
            CHART_B + 28);
}
