/* SPDX-License-Identifier: MIT */
/* The live view on stderr: a line a population, redrawn four times a second on a terminal;
 * plain lines every two seconds elsewhere, with NO_COLOR, and where a line would wrap.
 * Owns: the lines it drew.  Reads shared counters that change meanwhile: a picture. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "flood/run.h"

#define LIVE_BAR      12
#define LIVE_COLUMNS  80 /* of a terminal, for lines that are drawn over */
#define LIVE_PLAIN_US 2000000

void live_init(struct live *l, FILE *out)
{
    const char *plain = getenv("NO_COLOR"), *term = getenv("TERM");
    *l = (struct live){.out = out, .last_us = INT64_MIN / 2};
    struct winsize size = {0}; /* 0 columns: it does not say */
    l->is_terminal = isatty(fileno(out)) && !(plain && *plain) &&
                     !(term && strcmp(term, "dumb") == 0) &&
                     !(ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 &&
                       size.ws_col < LIVE_COLUMNS);
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

/* Where the day is: before its opening, or how long after. */
static const char *live_moment(int64_t now_us, char out[32])
{
    snprintf(out, 32, now_us < 0 ? "opens in %.1f s" : "%.1f s",
             (double)(now_us < 0 ? -now_us : now_us) / 1e6);
    return out;
}

/* Requests a second over the last whole step of the timeline. */
static double live_rate(const struct plan *p, const struct result *all, int64_t now_us)
{
    uint32_t b = plan_bucket_of(p, now_us);
    return b == 0 ? 0 : (double)all->timeline[b - 1].sent * 1e6 / (double)plan_bucket_us(p);
}

static double live_left(const struct plan *p, int64_t now_us)
{
    int64_t served = p->window_us + (int64_t)p->scenario.grace_us + 1000000;
    int64_t until = p->is_full                     ? p->end_us
                    : plan_mode(p) == CROWD_FCFS ? p->window_us + 1000000
                                                 : served;
    return now_us < until ? (double)(until - now_us) / 1e6 : 0;
}

static void live_terminal(struct live *l, const struct plan *p, const struct result *all,
                          int64_t now_us)
{
    if (l->lines) {
        fprintf(l->out, "\033[%dA", l->lines);
    }
    for (uint32_t i = 0; i < plan_whos(p); i++) {
        const struct party_result *r = &all->parties[i];
        char bar[LIVE_BAR * 3 + 1];
        live_bar(bar, r->decided, plan_who(p, i)->identities);
        double share = p->slots_count ? 100.0 * (double)r->won / (double)p->slots_count : 0;
        fprintf(l->out, "\033[K  %-14.14s %s %7llu of %-7llu decided %6llu slots %5.1f %%\n",
                plan_who(p, i)->name, bar, (unsigned long long)r->decided,
                (unsigned long long)plan_who(p, i)->identities,
                (unsigned long long)r->won, share);
    }
    char moment[32];
    fprintf(l->out, "\033[K  %8s   %8.0f requests/s   late %llu   about %.0f s to go\n",
            live_moment(now_us, moment), live_rate(p, all, now_us), (unsigned long long)all->late,
            live_left(p, now_us));
    l->lines = (int)plan_whos(p) + 1;
}

void live_show(struct live *l, const struct plan *p, const struct result *all, int64_t now_us,
               bool is_done)
{
    if (l->is_terminal) {
        live_terminal(l, p, all, now_us);
    } else if (is_done || now_us - l->last_us >= LIVE_PLAIN_US) {
        l->last_us = now_us;
        char moment[32];
        fprintf(l->out, "%s: %s, %.0f requests/s, about %.0f s to go;",
                scenario_mode_name(plan_mode(p)), live_moment(now_us, moment),
                live_rate(p, all, now_us), live_left(p, now_us));
        for (uint32_t i = 0; i < plan_whos(p); i++) {
            fprintf(l->out, " %s: %llu of %llu decided, %llu slots%s", plan_who(p, i)->name,
                    (unsigned long long)all->parties[i].decided,
                    (unsigned long long)plan_who(p, i)->identities,
                    (unsigned long long)all->parties[i].won,
                    i + 1 < plan_whos(p) ? ";" : "\n");
        }
    }
    fflush(l->out);
}
