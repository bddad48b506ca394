/* SPDX-License-Identifier: MIT */
/* fairslot flood: one scenario against one server.
 *   options -> scenario -> thresholds -> tokens -> pool, slots, release -> run -> audit -> reports
 * Owns: all of it while it runs.  Fails before anything is sent for whatever is wrong with the
 * words, the scenario or a threshold (2); later with what there is: a target that goes away (1) or
 * a missed threshold (99) still leaves its report. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/guess.h"
#include "ctl/channel.h"
#include "ctl/client.h"
#include "ctl/import.h"
#include "ctl/keyfile.h"
#include "ctl/options.h"
#include "ctl/render.h"
#include "ctl/talk.h"
#include "ctl/value.h"
#include "flood/flood.h"
#include "flood/mint.h"
#include "flood/output.h"
#include "flood/probe.h"
#include "flood/run.h"
#include "flood/stage.h"

#define FLOOD_LEAD_US   2000000 /* from the release's announcement to its opening, at least */
#define FLOOD_EXIT_MISSED 99
#define FLOOD_ACCEPT_US UINT64_C(10000000) /* hastened, on a busy machine */
#define FLOOD_TURN_US   UINT64_C(3000000)  /* ... of turns, which pass one after the other */
#define FLOOD_SLOTS_MAX ((size_t)64 << 20) /* bytes of a file of slots */

struct flood {
    const char *scenario_file, *issuer, *operator_token, *mode, *seed, *processes, *scale, *hasten;
    const char *late, *prepared, *slots_file;
    struct options_many audit_shards;
    const char *html, *json, *csv, *hgrm;
    struct options_many thresholds_given;
    bool own_target, is_full;
    struct options_call call;
    struct crowd_scenario scenario;
    char scale_words[96];
    struct threshold thresholds[THRESHOLDS_MAX];
    size_t thresholds_count;
    struct plan plan;
    struct report report;
    char token_path[KEYFILE_PATH_MAX];
    char *slots_bytes; /* of slots_file; owned */
    struct import slots;
};

/* -- words ------------------------------------------------------------------------------------ */

static void flood_mistake(void *user, const char *line)
{
    (void)user;
    talk_error("%s", line);
}

static int flood_scenario(struct flood *f)
{
    char *text;
    size_t len;
    struct crowd_report report = {.tell = flood_mistake};
    int r = keyfile_read(f->scenario_file, CROWD_TEXT_MAX, &text, &len);
    if (r) {
        talk_error("cannot read the scenario %s: %s", f->scenario_file,
                   r == KEYFILE_E_MISSING ? "there is no such file"
                   : r == KEYFILE_E_LARGE ? "it is over 256 KiB" : strerror(-r));
        talk_next("those that come along stand in loadtest/scenarios");
        return VERB_USAGE;
    }
    r = scenario_read((struct span){(const uint8_t *)text, len}, f->scenario_file, &report,
                      &f->scenario);
    free(text);
    return r ? VERB_USAGE : 0;
}

/* "0.2" in parts of `unit` of one; 0: none was given.  False: no such number. */
static bool flood_factor(const char *text, double unit, uint64_t *ret_parts)
{
    char *end;
    double v = text ? strtod(text, &end) : 0;
    if (text && (end == text || *end || !(v * unit >= 1) || v > 1000)) {
        return false;
    }
    *ret_parts = (uint64_t)(v * unit + 0.5);
    return true;
}

static int flood_factors(const struct verb *verb, struct flood *f)
{
    uint64_t scale, hasten;
    if (!flood_factor(f->scale, 1e3, &scale)) {
        return options_wrong(verb, "scale", f->scale, "0.001 to 1000");
    }
    if (!flood_factor(f->hasten, 1e6, &hasten)) {
        return options_wrong(verb, "hasten", f->hasten, "0.000001 to 1000");
    }
    if (scale) {
        scenario_scale(&f->scenario, scale);
    }
    if (hasten) {
        scenario_hasten(&f->scenario, hasten);
        snprintf(f->scale_words, sizeof f->scale_words,
                 "1 s here is %.3g s of a real release day", 1e6 / (double)hasten);
        f->scenario.accept_us = f->scenario.accept_us < SECOND_US ? SECOND_US
                                                                   : f->scenario.accept_us;
        f->scenario.cohort_us = f->scenario.cohort_us && f->scenario.cohort_us < SECOND_US
                                    ? SECOND_US : f->scenario.cohort_us;
    }
    if (!scenario_count(&f->scenario)) {
        return options_wrong(verb, "scale", f->scale ? f->scale : "", "20,000,000 identities at "
                             "most");
    }
    return 0;
}

/* Who is hastened has an offer or a turn for so long at least. */
static void flood_patience(struct flood *f)
{
    uint64_t least = f->scenario.by_turn ? FLOOD_TURN_US : FLOOD_ACCEPT_US;
    if (f->hasten && f->plan.accept_us < least) {
        f->plan.accept_us = least;
    }
}

static int flood_numbers(const struct verb *verb, struct flood *f)
{
    long seed = 1, processes = 1, late_ms = 20;
    if (f->seed && !value_count(f->seed, 0, 1000000000000, &seed)) {
        return options_wrong(verb, "seed", f->seed, "a whole number");
    }
    if (f->processes && !value_count(f->processes, 1, 64, &processes)) {
        return options_wrong(verb, "processes", f->processes, "1 to 64");
    }
    if (f->late && !value_count(f->late, 1, 10000, &late_ms)) {
        return options_wrong(verb, "late", f->late, "1 to 10000 milliseconds");
    }
    if (f->mode && !scenario_mode_named(f->mode, &f->scenario.mode)) {
        return options_wrong(verb, "mode", f->mode, "fcfs, live or draw");
    }
    int r = flood_factors(verb, f);
    if (r == 0) {
        plan_init(&f->plan, &f->scenario, (uint64_t)seed);
        flood_patience(f);
        f->plan.processes = (uint32_t)processes;
        f->plan.late_us = late_ms * 1000;
        f->plan.target = f->call.target;
        f->plan.is_full |= f->is_full;
        f->plan.audit_shards = f->audit_shards.at;
        f->plan.audit_shards_count = (uint32_t)f->audit_shards.count;
        f->plan.slots_given = f->slots_file ? &f->slots : NULL;
    }
    return r;
}

static int flood_thresholds(struct flood *f)
{
    char why[THRESHOLD_WHY];
    int r = 0;
    if (f->thresholds_given.count > THRESHOLDS_MAX) {
        talk_error("--threshold was given %zu times: %d at most", f->thresholds_given.count,
                   THRESHOLDS_MAX);
        return VERB_USAGE;
    }
    for (size_t i = 0; i < f->thresholds_given.count; i++) {
        if (threshold_read(f->thresholds_given.at[i], report_metrics, &f->scenario,
                           &f->thresholds[i], why)) {
            talk_error("threshold %s", why);
            r = VERB_USAGE;
        }
        f->thresholds_count++;
    }
    return r;
}

/* What TLS needs, for operator and crowd alike. */
static int flood_keys(struct flood *f)
{
    const struct channel_files files = {f->call.ca, f->call.certificate, f->call.key};
    char text[CHANNEL_TEXT];
    int r = channel_keys_new(&files, &f->plan.keys, text);
    if (r) {
        talk_error("%s", r > 0 ? text : strerror(-r));
        return VERB_USAGE;
    }
    return 0;
}

/* Addresses of the crowd's own are this machine's; false: told. */
static bool flood_addresses(const struct flood *f, const char *host)
{
    bool is_near = strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0;
    for (uint32_t i = 0; i < f->scenario.populations_count && !is_near; i++) {
        const struct crowd_population *p = &f->scenario.populations[i];
        if (p->addresses) {
            talk_error("[population %s] comes from addresses of this machine's loopback, and %s "
                       "is not reached from there", p->name, f->call.target);
            talk_next("name it as 127.0.0.1:PORT, or say `addresses = 0` in the scenario");
            return false;
        }
    }
    return true;
}

/* A flood goes to this machine only, unless somebody says that the other one is theirs. */
static int flood_target(const struct verb *verb, struct flood *f)
{
    char host[VALUE_HOST_MAX + 1];
    int port;
    bool is_tls;
    if (!client_target(f->call.target, host, &port, &is_tls)) {
        return options_wrong(verb, "target", f->call.target,
                             "HOST:PORT, [::1]:PORT, or https://HOST:PORT");
    }
    if (!value_loopback(host) && !f->own_target) {
        talk_error("%s is not on this machine, and a flood is an attack on whoever did not ask "
                   "for it", f->call.target);
        talk_next("if it is yours and nobody else depends on it: --i-own-this-target");
        return VERB_USAGE;
    }
    if (!flood_addresses(f, host)) {
        return VERB_USAGE;
    }
    f->plan.ca = f->call.ca;
    f->plan.certificate = f->call.certificate;
    f->plan.key = f->call.key;
    return is_tls || f->call.ca ? flood_keys(f) : 0;
}

/* --slots FILE: as many as it has, in place of the scenario's. */
static int flood_slots(struct flood *f)
{
    size_t len;
    int r = f->slots_file ? keyfile_read(f->slots_file, FLOOD_SLOTS_MAX, &f->slots_bytes, &len) : 1;
    if (f->slots_file == NULL) {
        return 0;
    }
    if (r) {
        talk_error("cannot read the slots in %s: %s", f->slots_file,
                   r == KEYFILE_E_MISSING ? "there is no such file"
                   : r == KEYFILE_E_LARGE ? "it is over 64 MiB" : strerror(-r));
        return VERB_USAGE;
    }
    r = import_read(&f->slots, (uint8_t *)f->slots_bytes, len, "flood");
    for (size_t i = 0; r == 0 && i < f->slots.errors_count && i < IMPORT_ERRORS_SHOWN; i++) {
        talk_error("%s:%u: %s", f->slots_file, f->slots.errors[i].line, f->slots.errors[i].text);
    }
    if (r < 0 || f->slots.errors_count || f->slots.count == 0 ||
        f->slots.count > CROWD_SLOTS_MAX) {
        talk_error("%s has %zu slots that can be used, and %zu errors", f->slots_file,
                   f->slots.count, f->slots.errors_count);
        talk_next("columns: date, start, duration_minutes, desk, time_zone; where there is a "
                  "column pool, it says flood");
        return VERB_USAGE;
    }
    f->scenario.slots = f->slots.count;
    return 0;
}

/* `flood simulat`: a word in the place of an option is one of its other verbs, misspelt. */
static int flood_word(const char *word)
{
    static const char *const verbs[] = {"simulate", "compare", "histogram"};
    struct guess guess;
    guess_init(&guess, word);
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        guess_offer(&guess, verbs[i]);
    }
    talk_error("there is no `fairslot flood %.40s`", word);
    if (guess.best) {
        talk_next("did you mean `fairslot flood %s`?", guess.best);
    } else {
        talk_next("fairslot flood --help");
    }
    return VERB_USAGE;
}

static int flood_parse(const struct verb *verb, struct flood *f, int argc, char **argv)
{
    char *args[OPTIONS_WORDS_MAX];
    if (argc > 0 && argv[0][0] != '-') {
        return flood_word(argv[0]);
    }
    options_call_init(&f->call);
    const struct options_spec specs[] = {
        {"scenario", 0, &f->scenario_file, NULL}, OPTIONS_SERVER(&f->call),
        {"issuer", 0, &f->issuer, NULL}, {"prepared", 0, &f->prepared, NULL},
        {"slots", 0, &f->slots_file, NULL}, {"audit-shard", 0, NULL, NULL, &f->audit_shards},
        {"mode", 0, &f->mode, NULL}, {"seed", 0, &f->seed, NULL},
        {"processes", 0, &f->processes, NULL}, {"scale", 0, &f->scale, NULL},
        {"hasten", 0, &f->hasten, NULL}, {"late", 0, &f->late, NULL},
        {"html", 0, &f->html, NULL}, {"json", 0, &f->json, NULL}, {"csv", 0, &f->csv, NULL},
        {"hgrm", 0, &f->hgrm, NULL}, {"threshold", 0, NULL, NULL, &f->thresholds_given},
        {"i-own-this-target", 0, NULL, &f->own_target}, {"full", 0, NULL, &f->is_full}, {NULL}};
    const struct options_rule rule = {specs, 0, 0, ""};
    struct options_words words;
    int count = output_words(argc, argv, args, ARRAY_COUNT(args));
    int r = options_parse(verb, &rule, count, args, &words);
    if (r) {
        return options_exit(r);
    }
    if (f->scenario_file == NULL) {
        return options_wrong(verb, "scenario", "FILE", "is needed");
    }
    r = flood_scenario(f);
    r = r ? r : flood_slots(f);
    r = r ? r : flood_numbers(verb, f);
    r = r ? r : flood_thresholds(f);
    r = r ? r : options_call_check(verb, &f->call);
    r = r ? r : flood_target(verb, f);
    if (r == 0 && f->issuer == NULL) {
        return options_wrong(verb, "issuer", "DIR", "is needed: the data directory of "
                             "`fairslot serve --dev`, whose issuer signs the crowd's tokens");
    }
    const char *const files[] = {f->html, f->json, f->csv, f->hgrm};
    for (size_t i = 0; i < ARRAY_COUNT(files) && r == 0; i++) {
        r = output_check(files[i]);
    }
    return r;
}

/* -- the run ---------------------------------------------------------------------------------- */

static int flood_prepare(struct flood *f, struct stage **ret_stage)
{
    struct plan *p = &f->plan;
    uint64_t tag = (uint64_t)clock_wall_us() / 1000;
    snprintf(p->pool, sizeof p->pool, "pools/flood-%llu-%d", (unsigned long long)tag,
             (int)getpid()); /* two may begin at one instant */
    snprintf(p->release, sizeof p->release, "%s/releases/day", p->pool);
    if (!run_clients(p)) {
        talk_error("no memory for %u clients", p->scenario.clients_count);
        return VERB_FAILED;
    }
    if (f->prepared == NULL) {
        fprintf(stderr, "minting %u tokens\n", p->scenario.identities_count);
    }
    int r = f->prepared ? mint_prepared(f->issuer, f->prepared, p) : mint_tokens(f->issuer, p);
    if (r == 0 && f->call.token_file == NULL) {
        snprintf(f->token_path, sizeof f->token_path, "%s/operator.token", f->issuer);
        f->call.token_file = f->token_path;
    }
    r = r ? r : stage_open(&f->call, ret_stage);
    struct audit nothing = {0}; /* of a pool that is not there yet: can they be asked at all? */
    r = r ? r : probe_shards(p, NULL, &nothing);
    f->report.started_wall_us = clock_wall_us();
    int64_t lead_us = FLOOD_LEAD_US;
    for (uint32_t i = 0; i < p->scenario.populations_count; i++) {
        int64_t early_us = (int64_t)p->scenario.populations[i].early_us + SECOND_US;
        lead_us = early_us > lead_us ? early_us : lead_us;
    }
    return r ? r : stage_set(*ret_stage, p, lead_us);
}

static int flood_write(struct flood *f)
{
    struct report *const runs[] = {&f->report};
    const char *const kinds[] = {"page", "json", "csv", "hgrm"};
    const char *const paths[] = {f->html, f->json, f->csv, f->hgrm};
    int r = 0;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        if (paths[i]) {
            int e = output_write(paths[i], kinds[i], runs, 1);
            r = r ? r : e;
        }
    }
    return r;
}

/* What was measured, and what it means for the exit code; ran: how the run ended. */
static int flood_tell(struct flood *f, int ran)
{
    FILE *words = (f->json && strcmp(f->json, "-") == 0) || (f->csv && strcmp(f->csv, "-") == 0) ||
                  (f->hgrm && strcmp(f->hgrm, "-") == 0) ? stderr : stdout;
    const struct report *r = &f->report;
    if (!report_is_honest(r)) {
        talk_error("%.1f %% of the requests were sent over %lld ms late: the generator was too "
                   "slow, and nothing that it measured is reported", 100 * r->late_share,
                   (long long)f->plan.late_us / 1000);
        talk_next("spread it with --processes, give it a machine of its own, or --scale it down");
        return VERB_FAILED;
    }
    report_text(words, r);
    if (f->thresholds_count) {
        fputc('\n', words);
    }
    size_t missed = threshold_print(words, f->thresholds, f->thresholds_count, report_metric,
                                    r);
    int e = flood_write(f);
    if (r->result.garbled + r->result.garbage > 0) {
        talk_error("%llu answers could not be read, and %llu connections began with bytes that "
                   "are not HTTP/2: is %s a fairslot gateway?",
                   (unsigned long long)r->result.garbled, (unsigned long long)r->result.garbage,
                   f->plan.target);
        e = VERB_FAILED;
    }
    if (ran) {
        return ran;
    }
    if (r->result.is_stopped) {
        talk_say("stopped: the report is of what was until then");
        return 130;
    }
    return e ? e : missed ? FLOOD_EXIT_MISSED : render_flush();
}

/* Did anybody come?  Whichever population comes first. */
static bool flood_has_begun(const struct result *result)
{
    uint64_t arrived = 0;
    for (int i = 0; i < PLAN_PARTIES_MAX; i++) {
        arrived += result->parties[i].arrived;
    }
    return arrived > 0;
}

int flood_flood(const struct verb *verb, int argc, char **argv)
{
    static struct flood f;
    struct stage *stage = NULL;
    int r = flood_parse(verb, &f, argc, argv);
    if (r) {
        return r;
    }
    f.report.plan = &f.plan;
    f.report.scenario = f.scenario.name[0] ? f.scenario.name : f.scenario_file;
    f.report.scale = f.scale_words;
    r = flood_prepare(&f, &stage);
    if (r == 0) {
        r = run_flood(&f.plan, &f.report.result);
        if (!f.report.result.is_lost) {
            int audited = stage_audit(stage, &f.plan, &f.report.audit);
            r = r ? r : audited;
        }
        if (flood_has_begun(&f.report.result)) {
            report_fill(&f.report);
            r = r && f.report.sent == 0 ? r : flood_tell(&f, r); /* nothing: why, was told */
        }
    }
    stage_close(stage);
    stage_free_slots(&f.plan);
    mint_free(&f.plan);
    run_clients_free(&f.plan);
    channel_keys_free(f.plan.keys);
    import_fini(&f.slots);
    free(f.slots_bytes);
    return r;
}
