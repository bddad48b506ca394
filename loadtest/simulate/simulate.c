/* SPDX-License-Identifier: MIT */
/* fairslot flood simulate: reads a scenario, runs it in virtual time, prints the fairness block.
 *   options -> file -> scenario_read() -> world_run() for each seed -> outcome -> text or JSON
 * With --seeds N it runs N seeds one after the other and prints what they have in common.
 * Owns: the file's bytes, one world at a time.
 * Fails: 2 for a wrong option, scenario or threshold, 1 when the run failed or the audit found
 * something, 99 for a missed threshold. */
#include "simulate/simulate.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/guess.h"
#include "simulate/outcome.h"

#define SIMULATE_EXIT_MISSED 99 /* a threshold, as of `fairslot flood` */

struct simulate_options {
    const char *scenario, *mode, *scale;
    const char *seed, *seeds;
    const char *json;  /* file; "-": stdout; NULL: text instead */
    uint64_t first_seed, seeds_count;
    const char *given[THRESHOLDS_MAX];
    struct threshold thresholds[THRESHOLDS_MAX];
    size_t thresholds_count;
};

/* What comes behind an option. */
enum simulate_takes { SIMULATE_VALUE, SIMULATE_FILE, SIMULATE_MANY };

static const struct simulate_option {
    const char *name;
    enum simulate_takes takes;
    size_t offset; /* of a text in struct simulate_options */
} simulate_table[] = {
    {"--scenario", SIMULATE_VALUE, offsetof(struct simulate_options, scenario)},
    {"--mode", SIMULATE_VALUE, offsetof(struct simulate_options, mode)},
    {"--scale", SIMULATE_VALUE, offsetof(struct simulate_options, scale)},
    {"--seed", SIMULATE_VALUE, offsetof(struct simulate_options, seed)},
    {"--seeds", SIMULATE_VALUE, offsetof(struct simulate_options, seeds)},
    {"--json", SIMULATE_FILE, offsetof(struct simulate_options, json)},
    {"--threshold", SIMULATE_MANY, 0},
};

/* Always false. */
__attribute__((format(printf, 1, 2)))
static bool simulate_wrong(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("error: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\nnext: fairslot flood simulate --help\n", stderr);
    va_end(args);
    return false;
}

static void simulate_tell(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "%s\n", line);
}

/* A whole number from `least` on; `fallback` when it is not given. */
static bool simulate_number(const char *name, const char *text, uint64_t least, uint64_t most,
                            uint64_t *ret_value)
{
    char *end;
    if (text == NULL) {
        return true;
    }
    errno = 0;
    unsigned long long v = strtoull(text, &end, 0);
    if (*text < '0' || *text > '9' || *end || errno || v < least || v > most) {
        return simulate_wrong("%s takes a whole number from %llu to %llu, not '%s'", name,
                              (unsigned long long)least, (unsigned long long)most, text);
    }
    *ret_value = v;
    return true;
}

/* The option of the table; NULL: told. */
static const struct simulate_option *simulate_find(const char *word)
{
    struct guess guess;
    guess_init(&guess, word);
    for (size_t k = 0; k < ARRAY_COUNT(simulate_table); k++) {
        if (strcmp(word, simulate_table[k].name) == 0) {
            return &simulate_table[k];
        }
        guess_offer(&guess, simulate_table[k].name);
    }
    if (word[0] != '-') {
        simulate_wrong("it takes no word '%s': a scenario is --scenario FILE", word);
    } else {
        simulate_wrong("unknown option %s%s%s%s", word, guess.best ? "; did you mean " : "",
                       guess.best ? guess.best : "", guess.best ? "?" : "");
    }
    return NULL;
}

static bool simulate_words(struct simulate_options *o, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const struct simulate_option *found = simulate_find(argv[i]);
        bool is_last = i + 1 == argc;
        if (found == NULL) {
            return false;
        }
        const char **to = (const char **)(void *)((char *)o + found->offset);
        if (found->takes == SIMULATE_FILE) {
            bool is_bare = is_last || (argv[i + 1][0] == '-' && argv[i + 1][1]);
            *to = is_bare ? "-" : argv[++i];
        } else if (is_last) {
            return simulate_wrong("%s needs a value", argv[i]);
        } else if (found->takes == SIMULATE_VALUE) {
            *to = argv[++i];
        } else if (o->thresholds_count == THRESHOLDS_MAX) {
            return simulate_wrong("--threshold stands here more than %d times", THRESHOLDS_MAX);
        } else {
            o->given[o->thresholds_count++] = argv[++i];
        }
    }
    return true;
}

static bool simulate_parse(struct simulate_options *o, int argc, char **argv)
{
    if (!simulate_words(o, argc, argv)) {
        return false;
    }
    if (o->scenario == NULL) {
        return simulate_wrong("--scenario FILE is missing, as "
                              "--scenario loadtest/scenarios/munich-release.ini");
    }
    if (!simulate_number("--seed", o->seed, 0, UINT64_MAX, &o->first_seed) ||
        !simulate_number("--seeds", o->seeds, 1, 1000000, &o->seeds_count)) {
        return false;
    }
    if (o->thresholds_count && o->seeds_count > 1) {
        return simulate_wrong("--threshold judges one day: leave --seeds away");
    }
    return true;
}

/* Thousandths of --scale; false: told. */
static bool simulate_scale(const char *text, uint64_t *ret_milli)
{
    char *end;
    double x = strtod(text, &end);
    if (*text < '0' || *text > '9' || *end || !(x >= 0.001 && x <= 1000)) {
        return simulate_wrong("--scale takes a number from 0.001 to 1000, not '%s'", text);
    }
    *ret_milli = (uint64_t)(x * 1000 + 0.5);
    return true;
}

/* The file's bytes, to be freed; NULL: told. */
static char *simulate_slurp(const char *path, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *bytes = malloc(CROWD_TEXT_MAX + 1);
    size_t len = 0;
    ssize_t n = fd < 0 || bytes == NULL ? -1 : 1;
    while (n > 0 && len <= CROWD_TEXT_MAX) {
        n = read(fd, bytes + len, CROWD_TEXT_MAX + 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    if (n < 0) {
        simulate_wrong("%s: cannot be read: %s", path, strerror(errno));
        free(bytes);
        bytes = NULL;
    }
    if (fd >= 0) {
        close(fd);
    }
    *ret_len = len;
    return bytes;
}

static bool simulate_scenario(const struct simulate_options *o, struct crowd_scenario *s)
{
    struct crowd_report report = {simulate_tell, NULL, 0};
    uint64_t milli = 1000;
    size_t len;
    char *bytes = simulate_slurp(o->scenario, &len);
    if (bytes == NULL) {
        return false;
    }
    int r = scenario_read((struct span){(const uint8_t *)bytes, len}, o->scenario, &report, s);
    free(bytes);
    if (r) {
        return false;
    }
    if (o->mode && !scenario_mode_named(o->mode, &s->mode)) {
        return simulate_wrong("--mode is fcfs, live or draw, not '%s'", o->mode);
    }
    if (o->scale && !simulate_scale(o->scale, &milli)) {
        return false;
    }
    if (milli != 1000) {
        scenario_scale(s, milli);
    }
    if (!scenario_count(s) || s->slots > CROWD_SLOTS_MAX) {
        return simulate_wrong("--scale %s makes more than %d clients or %d slots", o->scale,
                              CROWD_IDENTITIES_MAX, CROWD_SLOTS_MAX);
    }
    return true;
}

static bool simulate_thresholds(struct simulate_options *o, const struct crowd_scenario *s)
{
    char why[THRESHOLD_WHY];
    bool is_right = true;
    for (size_t i = 0; i < o->thresholds_count; i++) {
        if (threshold_read(o->given[i], outcome_metrics, s, &o->thresholds[i], why)) {
            is_right = simulate_wrong("threshold %s", why);
        }
    }
    return is_right;
}

/* -- many seeds ------------------------------------------------------------------------------ */

struct simulate_sum {
    uint64_t runs, in_range, beyond, bot_slots;
    double sum, squares, closed_form, possible;
};

static void simulate_add(struct simulate_sum *sum, const struct outcome_day *o)
{
    const struct fairness_group *a = &o->fairness.attack;
    sum->runs++;
    sum->in_range += a->slots >= a->fair_low && a->slots <= a->fair_high;
    sum->beyond += o->fairness.deciles_chi2 > FAIRNESS_CHI2_5;
    sum->bot_slots += a->slots;
    sum->sum += a->advantage;
    sum->squares += a->advantage * a->advantage;
    sum->closed_form = o->closed_form;
    sum->possible = o->possible_advantage;
}

static void simulate_print_sum(FILE *out, const struct simulate_sum *s,
                               const struct simulate_options *o)
{
    double n = (double)s->runs, mean = s->sum / n;
    double variance = s->squares / n - mean * mean;
    double error = variance > 0 ? sqrt(variance / n) : 0;
    double off = error > 0 ? (mean - s->closed_form) / error : 0;
    fprintf(out, o->json
               ? "{\"runs\": %llu, \"first_seed\": %llu, \"bot_slots\": %llu, "
                 "\"advantage_mean\": %.6f, \"standard_error\": %.6f, \"closed_form\": %.6f, "
                 "\"errors_off\": %.3f, \"possible_advantage\": %.6f, \"in_fair_range\": %llu, "
                 "\"chi2_beyond\": %llu}\n"
               : "%llu seeds from %llu: attackers won %llu slots in all, advantage %.4f +- %.4f "
                 "(closed form %.4f, %+.2f standard errors off; possible %.3f); in a fair draw's "
                 "95 %% range %llu times, chi-square beyond its 5 %% value %llu times\n",
           (unsigned long long)s->runs, (unsigned long long)o->first_seed,
           (unsigned long long)s->bot_slots, mean, error, s->closed_form, off, s->possible,
           (unsigned long long)s->in_range, (unsigned long long)s->beyond);
}

static int simulate_one(const struct crowd_scenario *s, uint64_t seed, struct outcome_day *o)
{
    struct world *w = calloc(1, sizeof *w);
    int r = w ? world_init(w, s, seed) : -ENOMEM;
    r = r ? r : world_run(w);
    r = r ? r : outcome_fill(o, w);
    if (w) {
        world_fini(w);
        free(w);
    }
    if (r) {
        fprintf(stderr, "error: seed %llu: %s\n", (unsigned long long)seed, strerror(-r));
        return VERB_FAILED;
    }
    if (o->oversold || o->double_booked || o->unaccounted || o->replays_differ) {
        fprintf(stderr, "error: seed %llu: the audit found %llu slots oversold, %llu double "
                "booked, %llu requests unaccounted for, %llu answered otherwise when sent again\n",
                (unsigned long long)seed, (unsigned long long)o->oversold,
                (unsigned long long)o->double_booked, (unsigned long long)o->unaccounted,
                (unsigned long long)o->replays_differ);
        return VERB_FAILED;
    }
    return VERB_OK;
}

/* Where the answer goes; NULL: told. */
static FILE *simulate_open(const struct simulate_options *o)
{
    bool is_file = o->json && strcmp(o->json, "-") != 0;
    FILE *out = is_file ? fopen(o->json, "w") : stdout;
    if (out == NULL) {
        fprintf(stderr, "error: cannot write %s: %s\nnext: name a file in a folder that exists and "
                "may be written\n", o->json, strerror(errno));
    }
    return out;
}

static int simulate_close(const struct simulate_options *o, FILE *out)
{
    bool is_bad = fflush(out) != 0 || ferror(out);
    is_bad |= out != stdout && fclose(out) != 0;
    if (is_bad) {
        fprintf(stderr, "error: cannot write %s: %s\n", o->json && out != stdout ? o->json
                : "to stdout", strerror(errno));
    }
    return is_bad ? VERB_FAILED : VERB_OK;
}

/* Of one day, or of all together; and what thresholds say. */
static int simulate_tell_all(FILE *out, const struct simulate_options *o,
                             const struct simulate_sum *sum, const struct outcome_day *outcome)
{
    if (o->seeds_count > 1) {
        simulate_print_sum(out, sum, o);
    } else if (o->json) {
        outcome_json(out, outcome);
    } else {
        outcome_text(out, outcome);
    }
    FILE *words = o->json && out == stdout ? stderr : stdout;
    size_t missed = threshold_print(words, o->thresholds, o->thresholds_count, outcome_metric,
                                    outcome);
    return missed ? SIMULATE_EXIT_MISSED : VERB_OK;
}

static int simulate_run(const struct verb *verb, int argc, char **argv)
{
    static struct outcome_day outcome;
    struct simulate_options o = {.first_seed = 1, .seeds_count = 1};
    struct crowd_scenario s;
    struct simulate_sum sum = {0};
    (void)verb;
    if (!simulate_parse(&o, argc, argv) || !simulate_scenario(&o, &s) ||
        !simulate_thresholds(&o, &s)) {
        return VERB_USAGE;
    }
    FILE *out = simulate_open(&o);
    int r = out ? VERB_OK : VERB_USAGE;
    for (uint64_t i = 0; i < o.seeds_count && r == VERB_OK; i++) {
        r = simulate_one(&s, o.first_seed + i, &outcome);
        if (r == VERB_OK) {
            simulate_add(&sum, &outcome);
        }
    }
    r = r ? r : simulate_tell_all(out, &o, &sum, &outcome);
    int closed = out ? simulate_close(&o, out) : VERB_OK;
    return closed ? closed : r;
}

const struct verb simulate_verbs[] = {
    {"flood", "simulate", "a release day with its whole crowd in virtual time, without sockets",
     "usage: fairslot flood simulate --scenario FILE [--mode fcfs|live|draw] [--seed 1]\n"
     "    [--seeds 1] [--scale 1] [--threshold T]... [--json [FILE]]\n"
     "Runs the real fair queue, ledger and release code against the scenario's crowd and prints\n"
     "who got the slots.  The same scenario and seed print the same bytes.\n"
     "  --scenario FILE  INI, docs/scenarios.md has every key\n"
     "  --mode M         another way to give the slots out than the scenario's\n"
     "  --seed N         another crowd and another draw (1)\n"
     "  --seeds N        N seeds from --seed on, one line about all of them (1)\n"
     "  --scale X        X times as many clients, slots and capacity, 0.001 to 1000 (1)\n"
     "  --threshold T    'bot_advantage<1.05', 'wait_p95{population=people}<90s'; as many as you\n"
     "                   like; a missed one: exit code 99\n"
     "  --json [FILE]    every number, to a file or to stdout\n"
     "metrics: slots, advantage, slot_share, bot_slots, bot_advantage, bot_slot_share, wait_p50,\n"
     "  wait_p95, wait_p99, wait_max, sent, answered, refused, timed_out, cancelled, unaccounted,\n"
     "  oversold, double_booked, arrival_chi2, arrival_spearman, rtt_spearman, jain, gini,\n"
     "  wasted_holds, taken_share, passed, too_late, replayed, replays_differ\n"
     "exit: 0; 1 the run failed or the audit found something; 2 a wrong option, scenario or\n"
     "  threshold; 99 a threshold was missed\n"
     "example:\n"
     "  fairslot flood simulate --scenario loadtest/scenarios/munich-release.ini --mode fcfs\n",
     simulate_run},
    {NULL, NULL, NULL, NULL, NULL},
};
