/* SPDX-License-Identifier: MIT */
/* A report as JSON (docs/flood.md has the shape).
 * Owns: nothing.
 * Fails never; the stream remembers its own errors and the caller looks at the end. */
#include <math.h>

#include "base/check.h"
#include "ctl/value.h"
#include "flood/report.h"

void report_json_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (const char *at = text; *at; at++) {
        if (*at == '"' || *at == '\\') {
            fprintf(out, "\\%c", *at);
        } else if ((unsigned char)*at < 0x20) {
            fprintf(out, "\\u%04x", *at);
        } else {
            fputc(*at, out);
        }
    }
    fputc('"', out);
}

static void json_hist(FILE *out, const struct hist *h)
{
    static const struct {
        const char *name;
        uint32_t at;
    } points[] = {{"p50_ms", 50000}, {"p90_ms", 90000}, {"p95_ms", 95000},
                  {"p99_ms", 99000}, {"p999_ms", 99900}};
    fprintf(out, "{\"count\": %llu", (unsigned long long)h->count);
    for (size_t i = 0; i < ARRAY_COUNT(points); i++) {
        fprintf(out, ", \"%s\": %.3f", points[i].name,
                (double)hist_quantile(h, points[i].at) / 1e3);
    }
    fprintf(out, ", \"max_ms\": %.3f}", (double)h->max_us / 1e3);
}

static void json_share(FILE *out, const struct share *s)
{
    fprintf(out,
            "\"identities\": %llu, \"slots\": %llu, \"identity_share\": %.6f, "
            "\"slot_share\": %.6f, \"advantage\": %.4f, \"advantage_95\": [%.4f, %.4f], "
            "\"fair_mean\": %.2f, "
            "\"fair_range\": [%u, %u]",
            (unsigned long long)s->identities, (unsigned long long)s->slots, s->identity_share,
            s->slot_share, s->advantage, s->advantage_low, s->advantage_high, s->fair_mean,
            s->fair_low, s->fair_high);
}

static void json_party(FILE *out, const struct report *r, uint32_t i, const char *pad)
{
    const struct party_result *p = &r->result.parties[i];
    fprintf(out, "%s    {\"name\": ", pad);
    report_json_text(out, plan_who(r->plan, i)->name);
    fprintf(out, ", \"is_bot\": %s, ", plan_who(r->plan, i)->is_attack ? "true" : "false");
    json_share(out, &r->shares[i]);
    fprintf(out,
            ",\n%s     \"arrived\": %llu, \"entered\": %llu, \"decided\": %llu, \"holds\": %llu, "
            "\"requests\": {\"sent\": %llu, \"answered\": %llu, \"refused\": %llu, "
            "\"timed_out\": %llu, \"cancelled\": %llu, \"unreachable\": %llu, "
            "\"replayed\": %llu},\n%s     \"passed\": %llu, \"too_late\": %llu, \"wait\": ",
            pad, (unsigned long long)p->arrived, (unsigned long long)p->entered,
            (unsigned long long)p->decided, (unsigned long long)p->holds,
            (unsigned long long)p->sent, (unsigned long long)p->answered,
            (unsigned long long)p->refused, (unsigned long long)p->timed_out,
            (unsigned long long)p->cancelled, (unsigned long long)p->unreachable,
            (unsigned long long)p->replayed, pad, (unsigned long long)p->passed,
            (unsigned long long)p->too_late);
    json_hist(out, &p->wait);
    fputs(i + 1 < plan_whos(r->plan) ? "},\n" : "}\n", out);
}

static void json_timeline(FILE *out, const struct report *r, const char *pad)
{
    const struct plan *p = r->plan;
    fprintf(out, "%s  \"timeline\": {\"step_ms\": %.1f, \"begins_ms\": -1000, \"sent\": [", pad,
            (double)plan_bucket_us(p) / 1e3);
    uint32_t last = plan_bucket_of(p, r->result.last_us);
    for (uint32_t i = 0; i <= last; i++) {
        fprintf(out, "%s%u", i ? "," : "", r->result.timeline[i].sent);
    }
    fputs("], \"won\": [", out);
    for (uint32_t i = 0; i <= last; i++) {
        uint32_t won = 0;
        for (uint32_t k = 0; k < plan_whos(p); k++) {
            won += r->result.timeline[i].won[k];
        }
        fprintf(out, "%s%u", i ? "," : "", won);
    }
    fputs("]},\n", out);
}

static void json_audit(FILE *out, const struct report *r, const char *pad)
{
    const struct audit *a = &r->audit;
    fprintf(out,
            "%s  \"audit\": {\"done\": %s, \"slots\": %llu, \"free\": %llu, \"held\": %llu, "
            "\"taken\": %llu, \"other\": %llu, \"reservations\": %llu, \"oversold\": %llu, "
            "\"double_booked\": %llu, \"double_won\": %llu, \"lost\": %llu, \"unheard\": %llu, "
            "\"tickets\": %llu, \"extra_tickets\": %llu, \"double_confirmed\": %llu, "
            "\"asked_again\": %llu, \"order_wrong\": %llu, \"shards_asked\": %llu, "
            "\"shard_slots\": %llu, \"shard_taken\": %llu, \"shard_differs\": %llu},\n",
            pad, a->is_done ? "true" : "false", (unsigned long long)a->slots,
            (unsigned long long)a->free, (unsigned long long)a->held, (unsigned long long)a->taken,
            (unsigned long long)a->other, (unsigned long long)a->reservations,
            (unsigned long long)a->oversold, (unsigned long long)a->double_booked,
            (unsigned long long)a->double_won, (unsigned long long)a->lost,
            (unsigned long long)a->unheard, (unsigned long long)a->tickets,
            (unsigned long long)a->extra_tickets, (unsigned long long)a->double_confirmed,
            (unsigned long long)a->asked_again, (unsigned long long)a->order_wrong,
            (unsigned long long)a->shards_asked,
            (unsigned long long)a->shard_slots, (unsigned long long)a->shard_taken,
            (unsigned long long)a->shard_differs);
}

static void json_head(FILE *out, const struct report *r, const char *pad)
{
    char when[VALUE_TIME_MAX];
    value_rfc3339(r->started_wall_us / SECOND_US, 0, when);
    fprintf(out, "%s  \"scenario\": ", pad);
    report_json_text(out, r->scenario);
    fprintf(out, ", \"mode\": \"%s\", \"seed\": %llu, \"started\": \"%s\",\n%s  \"machine\": ",
            scenario_mode_name(plan_mode(r->plan)), (unsigned long long)r->plan->seed, when, pad);
    report_json_text(out, report_machine());
    fprintf(out, ", \"commit\": \"%s\", \"target\": ", report_commit());
    report_json_text(out, r->plan->target);
    fprintf(out,
            ",\n%s  \"scale\": \"%s\", \"seconds\": %.2f, \"window_s\": %.3f, \"grace_s\": %.3f, "
            "\"slots\": %u, \"identities\": %u, \"processes\": %u,\n",
            pad, r->scale, r->seconds, (double)r->plan->window_us / 1e6,
            (double)r->plan->scenario.grace_us / 1e6, r->plan->slots_count,
            r->plan->scenario.identities_count,
            r->plan->processes);
}

/* What a virtual client takes: in the crowd, and in the memory that the processes share. */
static double json_bytes_per_client(const struct report *r)
{
    const struct crowd_scenario *s = &r->plan->scenario;
    double fixed = (double)s->clients_count * sizeof(struct client) + (double)s->identities_count;
    return s->clients_count ? ((double)r->result.crowd_bytes + fixed) / (double)s->clients_count
                            : 0;
}

static void json_generator(FILE *out, const struct report *r, const char *pad)
{
    fprintf(out,
            "%s  \"requests\": {\"sent\": %llu, \"answered\": %llu, \"refused\": %llu, "
            "\"timed_out\": %llu, \"cancelled\": %llu, \"unaccounted\": %llu, \"garbled\": %llu, "
            "\"garbage_connections\": %llu, \"replays_differ\": %llu},\n"
            "%s  \"generator\": {\"late\": %llu, \"late_share\": %.6f, \"late_after_ms\": %.1f, "
            "\"cores\": %.3f, \"bytes_per_client\": %.1f, \"lost_target\": %s, "
            "\"stopped\": %s, \"lag\": ",
            pad, (unsigned long long)r->sent, (unsigned long long)r->answered,
            (unsigned long long)r->refused, (unsigned long long)r->timed_out,
            (unsigned long long)r->cancelled, (unsigned long long)r->unaccounted,
            (unsigned long long)r->result.garbled,
            (unsigned long long)r->result.garbage,
            (unsigned long long)r->result.replays_differ, pad, (unsigned long long)r->result.late,
            r->late_share, (double)r->plan->late_us / 1e3, r->generator_cores,
            json_bytes_per_client(r), r->result.is_lost ? "true" : "false",
            r->result.is_stopped ? "true" : "false");
    json_hist(out, &r->result.lag);
    fputs("},\n", out);
}

/* Behind the deciles: win probability against round-trip time. */
static void json_rtt(FILE *out, const struct report *r, const char *pad)
{
    fprintf(out, "],\n%s  \"rtt_spearman\": %.6f, \"rtt_fifths\": [", pad, r->fair.rtt_spearman);
    for (int i = 0; i < FAIRNESS_FIFTHS; i++) {
        const struct fairness_part *part = &r->fair.fifths[i];
        fprintf(out, "%s{\"rtt_ms\": %.3f, \"identities\": %llu, \"slots\": %llu, "
                "\"win_share\": %.6f}", i ? ", " : "", (double)r->fair.fifths_rtt_us[i] / 1e3,
                (unsigned long long)part->identities, (unsigned long long)part->slots,
                part->identities ? (double)part->slots / (double)part->identities : 0);
    }
    fputs("],\n", out);
}

void report_json(FILE *out, const struct report *r, int indent)
{
    char pad[16];
    snprintf(pad, sizeof pad, "%*s", indent, "");
    fprintf(out, "{\n");
    json_head(out, r, pad);
    fprintf(out,
            "%s  \"bot_slots\": %llu, \"bot_advantage\": %.4f, \"bot_identities\": %llu, "
            "\"fair_mean\": %.2f, \"fair_range\": [%u, %u],\n",
            pad, (unsigned long long)r->bots.slots, r->bots.advantage,
            (unsigned long long)r->bots.identities, r->bots.fair_mean, r->bots.fair_low,
            r->bots.fair_high);
    json_generator(out, r, pad);
    json_audit(out, r, pad);
    fprintf(out, "%s  \"populations\": [\n", pad);
    for (uint32_t i = 0; i < plan_whos(r->plan); i++) {
        json_party(out, r, i, pad);
    }
    fprintf(out, "%s  ],\n%s  \"arrival_deciles\": [", pad, pad);
    for (int i = 0; i < PLAN_DECILES; i++) {
        fprintf(out, "%s{\"clients\": %u, \"won\": %u}", i ? ", " : "", r->deciles[i].clients,
                r->deciles[i].won);
    }
    json_rtt(out, r, pad);
    fprintf(out, "%s  \"arrival_chi2\": %.3f, \"arrival_spearman\": %.4f, \"jain\": %.4f, "
            "\"gini\": %.4f,\n%s  \"holds\": %llu, \"wasted_holds\": %llu,\n"
            "%s  \"latency\": {", pad, r->deciles_chi2, r->fair.arrival_spearman, r->fair.jain,
            r->fair.gini, pad, (unsigned long long)r->holds, (unsigned long long)r->wasted, pad);
    bool is_first = true;
    for (int i = 0; i < CROWD_ACT_COUNT; i++) {
        if (r->result.latency[i].count) {
            fprintf(out, "%s\"%s\": ", is_first ? "" : ", ", crowd_act_name((enum crowd_act)i));
            json_hist(out, &r->result.latency[i]);
            is_first = false;
        }
    }
    fputs("},\n", out);
    json_timeline(out, r, pad);
    fprintf(out, "%s  \"format\": 1\n%s}", pad, pad);
}
