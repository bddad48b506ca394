/* SPDX-License-Identifier: MIT */
/* fairslot demo: the same release three times against the same crowd, on a server of its own.
 *   server -> tokens -> first come | live window | draw -> table, JSON, page -> all gone again
 * A real window of 60 s with people who need some seconds to react is squeezed: window and reaction
 * times shrink by the same factor, which is printed; shares do not change by that.
 * Owns: the house and what it measures in.  Fails with what failed, after cleaning up. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "ctl/options.h"
#include "ctl/talk.h"
#include "ctl/value.h"
#include "flood/flood.h"
#include "flood/house.h"
#include "flood/mint.h"
#include "flood/output.h"
#include "flood/report.h"
#include "flood/run.h"
#include "flood/stage.h"

#define DEMO_WINDOW_S 60.0 /* of the scenario below: what is squeezed */
#define DEMO_LATE_US  250000
#define DEMO_LEAD_US  1500000

/* A release day as it is; numbers in %ld: slots, people, a tenth of them, the firm. */
static const char demo_scenario[] =
    "[scenario]\nslots = %ld\nwindow = 60 s\ndraw_window = 60 s\ngrace = 5 s\n"
    "wishes = 1\n"
    "[population people]\nkind = people\nidentities = %ld\nconnections = 64\n"
    "reaction = 6 s\nthink = 2 s\ntries = 8\nreload = 0 %%\n"
    "[population refreshing]\nkind = refreshers\nidentities = %ld\nconnections = 16\n"
    "reaction = 6 s\nthink = 2 s\ntries = 8\ninterval = 1 s\nreload = 0 %%\n"
    "[population firm]\nkind = firm\nidentities = %ld\nconnections = 8\n"
    "interval = 200 ms\nearly = 5 s\n";

struct demo {
    long people, firm, slots, seconds, seed;
    const char *html;
    struct output json;
    char scale[96];
    struct plan plan;                 /* common to the three */
    struct plan plans[CROWD_MODES];
    struct report *reports[CROWD_MODES];
    struct house house;
};

static volatile sig_atomic_t demo_stopped;

static void demo_stop(int number)
{
    (void)number;
    demo_stopped = 1;
}

static void demo_mistake(void *user, const char *line)
{
    (void)user;
    talk_error("%s", line);
}

/* Everything that does not depend on the mode. */
static void demo_crowd(struct demo *d)
{
    char text[1024];
    struct crowd_scenario s;
    struct crowd_report report = {.tell = demo_mistake};
    double window_s = (double)d->seconds * 0.6;
    long refreshing = d->people / 10;
    int n = snprintf(text, sizeof text, demo_scenario, d->slots, d->people - refreshing,
                     refreshing, d->firm);
    int r = scenario_read((struct span){(const uint8_t *)text, (size_t)n}, "demo", &report, &s);
    CHECK(r == 0);
    snprintf(s.name, sizeof s.name, "demo");
    snprintf(d->scale, sizeof d->scale, "1 s here is %.1f s of a real release day",
             DEMO_WINDOW_S / window_s);
    scenario_hasten(&s, (uint64_t)(window_s * 1000000 / DEMO_WINDOW_S));
    s.cohort_us = SECOND_US; /* the engine cuts no finer */
    s.accept_us = 8 * SECOND_US; /* people look within a quarter of it */
    s.grace_us = s.grace_us < 500000 ? 500000 : s.grace_us;
    s.run_us = (uint64_t)d->seconds * 200000 + 10 * SECOND_US; /* at most: all know before */
    plan_init(&d->plan, &s, (uint64_t)d->seed);
    d->plan.late_us = DEMO_LATE_US;
}

static void demo_mode(struct demo *d, enum crowd_mode mode)
{
    struct plan *p = &d->plans[mode];
    struct plan was = d->plan;
    was.scenario.mode = mode;
    plan_init(p, &was.scenario, was.seed);
    p->late_us = was.late_us;
    p->accept_us = 600 * SECOND_US;
    p->target = was.target;
    p->tokens = was.tokens;
    p->token_at = was.token_at;
    CHECK(run_clients(p));
    const char *name = scenario_mode_name(mode);
    snprintf(p->pool, sizeof p->pool, "pools/demo-%s", name);
    snprintf(p->release, sizeof p->release, "pools/demo-%s/releases/day", name);
}

/* One release, from its pool to its audit. */
static int demo_release(struct demo *d, enum crowd_mode mode, struct stage *stage)
{
    struct plan *p = &d->plans[mode];
    struct report *report = calloc(1, sizeof *report);
    CHECK(report != NULL);
    d->reports[mode] = report;
    report->plan = p;
    report->scenario = "demo";
    report->scale = d->scale;
    report->started_wall_us = clock_wall_us();
    fprintf(stderr, "%d of %d: %s\n", (int)mode + 1, CROWD_MODES, plan_mode_words(mode));
    int r = stage_set(stage, p, DEMO_LEAD_US);
    r = r ? r : run_flood(p, &report->result);
    r = r ? r : stage_audit(stage, p, &report->audit);
    if (r == 0) {
        report_fill(report);
    }
    return r;
}

static int demo_three(struct demo *d)
{
    struct stage *stage = NULL;
    struct options_call call;
    options_call_init(&call);
    call.target = d->house.target;
    call.token_file = d->house.operator_token;
    int r = stage_open(&call, &stage);
    for (int mode = 0; mode < CROWD_MODES && r == 0; mode++) {
        demo_mode(d, (enum crowd_mode)mode);
        r = demo_release(d, (enum crowd_mode)mode, stage);
        if (r == 0 && (demo_stopped || d->reports[mode]->result.is_stopped)) {
            r = 128 + SIGINT;
        } else if (r == 0 && !report_is_honest(d->reports[mode])) {
            talk_error("%.1f %% of the requests were sent over %d ms late: the generator was too "
                       "slow for an honest result", 100 * d->reports[mode]->late_share,
                       DEMO_LATE_US / 1000);
            talk_next("run it on a machine that has nothing else to do, or with fewer --people");
            r = VERB_FAILED;
        }
    }
    stage_close(stage);
    return r;
}

/* -- what is printed -------------------------------------------------------------------------- */

/* The sentence that matters first, then a table; no line over 80 columns. */
static void demo_table(const struct demo *d, FILE *out)
{
    struct report *const *runs = d->reports;
    const struct share *fair = &runs[CROWD_LIVE]->bots;
    fprintf(out,
            "\nFirst come, first served gave %llu of %ld slots to the firm's %ld identities.\n"
            "A live window gave them %llu, a draw %llu; a fair draw gives them %u to %u.\n",
            (unsigned long long)runs[CROWD_FCFS]->bots.slots, d->slots, d->firm,
            (unsigned long long)fair->slots, (unsigned long long)runs[CROWD_DRAW]->bots.slots,
            fair->fair_low, fair->fair_high);
    fprintf(out, "\n%-34s%15s%15s%15s\n  %-32s", "", "first come", "live window", "draw",
            "slots taken by the firm");
    for (int i = 0; i < CROWD_MODES; i++) {
        fprintf(out, "%15llu", (unsigned long long)runs[i]->bots.slots);
    }
    fprintf(out, "\n  %-32s", "its advantage (fair: 1.00x)");
    for (int i = 0; i < CROWD_MODES; i++) {
        fprintf(out, "%14.2fx", runs[i]->bots.advantage);
    }
    fprintf(out, "\n  %-32s", "95 of 100 people know within");
    for (int i = 0; i < CROWD_MODES; i++) {
        const struct hist *wait = &runs[i]->result.parties[0].wait; /* people's */
        fprintf(out, "%13.1f s", (double)hist_quantile(wait, 95000) / 1e6);
    }
    fprintf(out, "\n  %-32s", "requests (all accounted for)");
    for (int i = 0; i < CROWD_MODES; i++) {
        fprintf(out, "%15llu", (unsigned long long)runs[i]->sent);
    }
    fprintf(out, "\n  %-32s", "slots with two holders");
    for (int i = 0; i < CROWD_MODES; i++) {
        fprintf(out, "%15llu", (unsigned long long)runs[i]->audit.double_booked);
    }
    fprintf(out, "\n\n  The firm's fair share is %.1f slots, in 95 of 100 fair draws %u to %u.\n"
            "  Times are this run's; who holds what was read back from the shard.\n",
            fair->fair_mean, fair->fair_low, fair->fair_high);
}

static int demo_json(const struct demo *d, FILE *out)
{
    fprintf(out, "{\n  \"demo\": 1,\n  \"scale\": ");
    report_json_text(out, d->scale);
    fprintf(out, ",\n  \"slots\": %ld,\n  \"people\": %ld,\n  \"firm_identities\": %ld,\n"
            "  \"modes\": {\n", d->slots, d->people, d->firm);
    for (int i = 0; i < CROWD_MODES; i++) {
        fprintf(out, "    \"%s\": ", scenario_mode_name((enum crowd_mode)i));
        report_json(out, d->reports[i], 4);
        fputs(i + 1 < CROWD_MODES ? ",\n" : "\n", out);
    }
    fputs("  }\n}\n", out);
    return 0;
}

static int demo_tell(const struct demo *d)
{
    FILE *words = d->json.is_stdout ? stderr : stdout;
    int r = output_write(d->html, "page", d->reports, CROWD_MODES);
    demo_table(d, words);
    if (d->json.path && r == 0) {
        FILE *out = output_open(&d->json);
        r = out ? demo_json(d, out) : VERB_FAILED;
        r = out ? output_close(&d->json, out) : r;
    }
    fprintf(words,
            "\n  The page with the figures: %s\n  Next:\n"
            "    fairslot demo --seed 2             another crowd, another draw\n"
            "    fairslot serve --dev --data demo   a server that stays (fairslot --help: verbs)\n"
            "    fairslot flood --help              the same against it, with your own scenario\n",
            d->html);
    return r;
}

static int demo_parse(const struct verb *verb, struct demo *d, int argc, char **argv)
{
    const char *people = "2000", *firm = "400", *slots = "200", *seconds = "20", *seed = "1";
    const char *json = NULL;
    char *args[OPTIONS_WORDS_MAX];
    const struct options_spec specs[] = {
        {"people", 0, &people, NULL}, {"firm", 0, &firm, NULL}, {"slots", 0, &slots, NULL},
        {"seconds", 0, &seconds, NULL}, {"seed", 0, &seed, NULL}, {"html", 0, &d->html, NULL},
        {"json", 0, &json, NULL}, {NULL}};
    const struct options_rule rule = {specs, 0, 0, ""};
    struct options_words words;
    int count = output_words(argc, argv, args, ARRAY_COUNT(args));
    int r = options_parse(verb, &rule, count, args, &words);
    if (r) {
        return options_exit(r);
    }
    if (!value_count(people, 10, 1000000, &d->people)) {
        return options_wrong(verb, "people", people, "a whole number from 10 to 1000000");
    }
    if (!value_count(firm, 1, 100000, &d->firm)) {
        return options_wrong(verb, "firm", firm, "a whole number from 1 to 100000");
    }
    if (!value_count(slots, 1, 100000, &d->slots)) {
        return options_wrong(verb, "slots", slots, "a whole number from 1 to 100000");
    }
    if (!value_count(seconds, 3, 600, &d->seconds)) {
        return options_wrong(verb, "seconds", seconds, "a whole number from 3 to 600");
    }
    if (!value_count(seed, 0, 1000000000, &d->seed)) {
        return options_wrong(verb, "seed", seed, "a whole number from 0 to 1000000000");
    }
    output_init(&d->json, json);
    r = output_check(d->html);
    return r ? r : output_check(json);
}

static void demo_free(struct demo *d)
{
    mint_free(&d->plan);
    for (int i = 0; i < CROWD_MODES; i++) {
        stage_free_slots(&d->plans[i]);
        run_clients_free(&d->plans[i]);
        free(d->reports[i]);
    }
    house_close(&d->house);
}

int demo_run(const struct verb *verb, int argc, char **argv)
{
    static struct demo d;
    d.html = "fairslot-demo.html";
    int r = demo_parse(verb, &d, argc, argv);
    if (r) {
        return r;
    }
    sigaction(SIGINT, &(struct sigaction){.sa_handler = demo_stop}, NULL);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = demo_stop}, NULL);
    demo_crowd(&d);
    r = house_open(&d.house);
    if (r == 0) {
        d.plan.target = d.house.target;
        fprintf(stderr,
                "server ready in %.1f s at %s (loopback only, gone at the end)\n"
                "release: %ld slots; %ld people, a tenth of them refreshing;\n"
                "         one firm with %ld clients and fast bots\n"
                "scale:   %s,\n         window and reaction times alike\n",
                d.house.ready_s, d.house.target, d.slots, d.people, d.firm, d.scale);
        r = mint_tokens(d.house.data, &d.plan);
    }
    r = r ? r : demo_three(&d);
    r = r ? r : demo_tell(&d);
    if (demo_stopped || r == 128 + SIGINT) {
        talk_say("stopped; the server and its data are gone");
    }
    demo_free(&d);
    return demo_stopped ? 128 + SIGINT : r;
}
