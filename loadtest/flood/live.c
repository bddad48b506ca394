/* SPDX-License-Identifier: MIT */
/* The live view on stderr: a line a population, redrawn four times a second on a terminal;
 * plain lines every two seconds elsewhere, and with NO_COLOR.
 * Owns: the lines it drew.  Reads shared counters that change meanwhile: a picture. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flood/run.h"

#define LIVE_BAR      20
#define LIVE_PLAIN_US 2000000

void live_init(struct live *l, FILE *out)
{
    const char *plain = getenv("NO_COLOR"), *term = getenv("TERM");
    *l = (struct live){.out = out, .last_us = INT64_MIN / 2};
    l->is_terminal = isatty(fileno(out)) && !(plain && *plain) &&
                     !(term && strcmp(term, "dumb") == 0);
}

static void live_bar(char *out, uint64_t done, uint64_t of)
{
    unsigned full = of ? (unsigned)(done * LIVE_BAR / of) : 0;
    full = full > LIVE_BAR ? LIVE_BAR : full;
    *out = 0;
    for (unsigned i = 0; i < LIVE_BAR; i++) {
        strcat(out, i < full ? "\u2588" : "\u2591");
    }
}

/* Requests a second over the last whole step of the timeline. */
static double live_rate(const struct plan *p, const struct result *all, int64_t now_us)
{
    uint32_t b = plan_bucket_of(p, now_us);
    return b == 0 ? 0 : (double)all->timeline[b - 1].sent * 1e6 / (double)plan_bucket_us(p);
}

static double live_left(const struct plan *p, int64_t now_us)
{
    int64_t until = p->mode == PLAN_FCFS ? p->end_us : p->window_us + p->grace_us + 1000000;
    return now_us < until ? (double)(until - now_us) / 1e6 : 0;
}

static void live_terminal(struct live *l, const struct plan *p, const struct result *all,
                          int64_t now_us)
{
    if (l->lines) {
        fprintf(l->out, "\033[%dA", l->lines);
    }
    for (uint32_t i = 0; i < p->parties_count; i++) {
        const struct party_result *r = &all->parties[i];
        char bar[LIVE_BAR * 3 + 1];
        live_bar(bar, r->decided, p->parties[i].count);
        double share = p->slots_count ? 100.0 * (double)r->won / (double)p->slots_count : 0;
        fprintf(l->out, "\033[K  %-14.14s %s %7llu of %-7u decided %6llu slots %5.1f %%\n",
                p->parties[i].name, bar, (unsigned long long)r->decided, p->parties[i].count,
                (unsigned long long)r->won, share);
    }
    fprintf(l->out, "\033[K  %6.1f s   %8.0f requests/s   late %llu   about %.0f s to go\n",
            (double)now_us / 1e6, live_rate(p, all, now_us), (unsigned long long)all->late,
            live_left(p, now_us));
    l->lines = (int)p->parties_count + 1;
}

void live_show(struct live *l, const struct plan *p, const struct result *all, int64_t now_us,
               bool is_done)
{
    if (l->is_terminal) {
        live_terminal(l, p, all, now_us);
    } else if (is_done || now_us - l->last_us >= LIVE_PLAIN_US) {
        l->last_us = now_us;
        fprintf(l->out, "%s: %.1f s, %.0f requests/s, about %.0f s to go;", plan_mode_name(p->mode),
                (double)now_us / 1e6, live_rate(p, all, now_us), live_left(p, now_us));
        for (uint32_t i = 0; i < p->parties_count; i++) {
            fprintf(l->out, " %s: %llu of %u decided, %llu slots%s", p->parties[i].name,
                    (unsigned long long)all->parties[i].decided, p->parties[i].count,
                    (unsigned long long)all->parties[i].won,
                    i + 1 < p->parties_count ? ";" : "\n");
        }
    }
    fflush(l->out);
}
