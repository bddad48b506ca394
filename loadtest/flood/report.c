/* SPDX-License-Identifier: MIT */
/* What a run means.  A fair draw is drawing without replacement: of N identities that came, B of
 * them ours, S slots: hypergeometric, whose 2.5 and 97.5 % points are printed beside what was.
 * Owns: nothing.  Fails never; a run without slots or clients has zero shares. */
#include "flood/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/check.h"
#include "flood/commit.h"

static double report_choose(double n, double k)
{
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1);
}

/* The 95 % range of how many of `drawn` fall on `mine` of `all`. */
static void report_range(struct share *s, double all, double drawn)
{
    double mine = (double)s->identities, sum = 0;
    double low = mine + drawn > all ? mine + drawn - all : 0;
    double high = mine < drawn ? mine : drawn;
    s->fair_low = s->fair_high = (uint32_t)low;
    bool has_low = false;
    for (double k = low; k <= high; k++) {
        sum += exp(report_choose(mine, k) + report_choose(all - mine, drawn - k) -
                   report_choose(all, drawn));
        if (!has_low && sum >= 0.025) {
            s->fair_low = (uint32_t)k;
            has_low = true;
        }
        s->fair_high = (uint32_t)k;
        if (sum >= 0.975) {
            break;
        }
    }
}

static void report_share(struct share *s, uint64_t all, uint64_t slots)
{
    uint64_t drawn = slots < all ? slots : all;
    s->identity_share = all ? (double)s->identities / (double)all : 0;
    s->slot_share = slots ? (double)s->slots / (double)slots : 0;
    s->advantage = s->identity_share > 0 ? s->slot_share / s->identity_share : 0;
    s->fair_mean = (double)drawn * s->identity_share;
    if (all > 0) {
        report_range(s, (double)all, (double)drawn);
    }
}

static int report_by_first(const void *a, const void *b)
{
    const struct client *x = *(const struct client *const *)a;
    const struct client *y = *(const struct client *const *)b;
    return x->first_us != y->first_us ? (x->first_us < y->first_us ? -1 : 1)
                                      : (x < y ? -1 : x > y);
}

/* Everybody in the order of coming, in ten parts. */
static void report_deciles(struct report *r)
{
    const struct plan *p = r->plan;
    const struct client **order = malloc(((size_t)p->scenario.clients_count + 1) * sizeof *order);
    uint64_t won = 0;
    CHECK(order != NULL);
    for (uint32_t i = 0; i < p->scenario.clients_count; i++) {
        order[i] = &p->clients[i];
    }
    qsort(order, p->scenario.clients_count, sizeof *order, report_by_first);
    for (uint32_t i = 0; i < p->scenario.clients_count; i++) {
        struct decile *d = &r->deciles[(uint64_t)i * PLAN_DECILES / p->scenario.clients_count];
        d->clients++;
        d->won += order[i]->state == CROWD_WON;
        won += order[i]->state == CROWD_WON;
    }
    r->deciles_chi2 = 0;
    for (int i = 0; i < PLAN_DECILES && won > 0; i++) {
        double expected = (double)won * r->deciles[i].clients / p->scenario.clients_count;
        double off = r->deciles[i].won - expected;
        r->deciles_chi2 += expected > 0 ? off * off / expected : 0;
    }
    free(order);
}

static void report_requests(struct report *r)
{
    uint64_t ended;
    for (uint32_t i = 0; i < plan_whos(r->plan); i++) {
        const struct party_result *p = &r->result.parties[i];
        r->sent += p->sent;
        r->answered += p->answered;
        r->refused += p->refused;
        r->timed_out += p->timed_out;
        r->cancelled += p->cancelled;
    }
    ended = r->answered + r->refused + r->timed_out + r->cancelled;
    r->unaccounted = r->sent > ended ? r->sent - ended : ended - r->sent;
    r->late_share = r->sent ? (double)r->result.late / (double)r->sent : 0;
    r->seconds = (double)r->result.last_us / 1e6;
    r->generator_cores = r->result.wall_us > 0
                             ? (double)r->result.cpu_us / (double)r->result.wall_us : 0;
}

void report_fill(struct report *r)
{
    const struct plan *p = r->plan;
    uint64_t all = 0;
    for (uint32_t i = 0; i < plan_whos(p); i++) {
        struct share *s = &r->shares[i];
        const struct crowd_population *who = plan_who(p, i);
        *s = (struct share){.slots = r->result.parties[i].won};
        s->identities = who->victims < 0 ? who->identities : 0; /* stolen ones are their owners' */
        all += s->identities;
        r->bots.identities += who->is_attack ? s->identities : 0;
        r->bots.slots += who->is_attack ? s->slots : 0;
    }
    for (uint32_t i = 0; i < plan_whos(p); i++) {
        report_share(&r->shares[i], all, p->slots_count);
    }
    report_share(&r->bots, all, p->slots_count);
    report_requests(r);
    report_deciles(r);
}

bool report_is_honest(const struct report *r)
{
    return r->late_share <= REPORT_LATE_SHARE;
}

const char *report_commit(void)
{
    return FLOOD_COMMIT;
}

const char *report_machine(void)
{
    static char text[256];
    struct utsname u;
    char line[256], model[96] = "unknown processor";
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon) {
            snprintf(model, sizeof model, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
            break;
        }
    }
    if (f) {
        fclose(f);
    }
    uname(&u);
    snprintf(text, sizeof text, "%s, %ld cores, %s %.40s", model, sysconf(_SC_NPROCESSORS_ONLN),
             u.sysname, u.release);
    return text;
}
