/* SPDX-License-Identifier: MIT */
/* What a run means: identities out of clients, their fairness (loadtest/fairness), every request.
 * Owns: nothing.
 * Fails never; a run without slots or clients has zero shares. */
#include "flood/report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/check.h"
#include "flood/commit.h"

static void report_share(struct share *s, const struct fairness_group *g)
{
    *s = (struct share){.identities = g->identities, .slots = g->slots,
                        .identity_share = g->identity_share, .slot_share = g->slot_share,
                        .advantage = g->advantage, .advantage_low = g->advantage_low,
                        .advantage_high = g->advantage_high, .fair_mean = g->fair_mean,
                        .fair_low = (uint32_t)g->fair_low, .fair_high = (uint32_t)g->fair_high};
}

/* One row an identity: when the first of its devices came, and what it has in the end.  Stolen
 * tokens count for their owners. */
static struct fairness_person *report_people(const struct plan *p)
{
    struct fairness_person *people = calloc((size_t)p->scenario.identities_count + 1,
                                            sizeof *people);
    CHECK(people != NULL);
    for (uint32_t i = 0; i < p->scenario.identities_count; i++) {
        people[i].arrival_us = INT64_MAX;
    }
    for (uint32_t i = 0; i < p->scenario.clients_count; i++) {
        const struct client *who = &p->clients[i];
        struct fairness_person *person = &people[who->identity];
        bool is_thief = plan_who(p, who->population)->victims >= 0;
        person->arrival_us = who->first_us < person->arrival_us ? who->first_us
                                                                : person->arrival_us;
        person->group = is_thief ? person->group : who->population;
        person->rtt_us = is_thief ? person->rtt_us : who->rtt_us;
        person->slots = (uint8_t)(person->slots + plan_has_won(who));
    }
    return people;
}

static void report_fairness(struct report *r)
{
    const struct plan *p = r->plan;
    struct fairness_crowd crowd = {.people = report_people(p), .groups_count = plan_whos(p),
                                   .count = p->scenario.identities_count, .seed = p->seed};
    for (uint32_t i = 0; i < plan_whos(p); i++) {
        crowd.attack_mask |= plan_who(p, i)->is_attack ? 1u << i : 0;
    }
    CHECK(fairness_fill(&crowd, &r->fair) == 0);
    for (uint32_t i = 0; i < plan_whos(p); i++) {
        report_share(&r->shares[i], &r->fair.groups[i]);
        r->wasted += r->result.parties[i].wasted;
        r->holds += r->result.parties[i].holds;
    }
    report_share(&r->bots, &r->fair.attack);
    for (int i = 0; i < PLAN_DECILES; i++) {
        r->deciles[i] = (struct decile){(uint32_t)r->fair.deciles[i].identities,
                                        (uint32_t)r->fair.deciles[i].slots};
    }
    r->deciles_chi2 = r->fair.deciles_chi2;
    free(crowd.people);
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
    report_fairness(r);
    report_requests(r);
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
