/* SPDX-License-Identifier: MIT */
/* fairslot flood simulate: reads a scenario, runs it in virtual time, prints the fairness block.
 *   options -> file -> scenario_read() -> world_run() for each seed -> outcome -> text or JSON
 * With --seeds N it runs N seeds one after the other and prints what they have in common.
 * Owns: the file's bytes, one world at a time.
 * Fails: 2 for a wrong option or scenario, 1 when the run failed or the audit found something. */
#include "simulate/simulate.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/guess.h"
#include "simulate/outcome.h"

struct simulate_options {
    const char *scenario, *mode, *scale;
    const char *seed, *seeds;
    bool is_json;
    uint64_t first_seed, seeds_count;
};

static const struct simulate_option {
    const char *name;
    size_t offset; /* of a text in struct simulate_options; of --json SIZE_MAX */
} simulate_table[] = {
    {"--scenario", offsetof(struct simulate_options, scenario)},
    {"--mode", offsetof(struct simulate_options, mode)},
    {"--scale", offsetof(struct simulate_options, scale)},
    {"--seed", offsetof(struct simulate_options, seed)},
    {"--seeds", offsetof(struct simulate_options, seeds)},
    {"--json", SIZE_MAX},
};

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
        fprintf(stderr, "simulate: %s takes a whole number from %llu to %llu, not '%s'\n", name,
                (unsigned long long)least, (unsigned long long)most, text);
        return false;
    }
    *ret_value = v;
    return true;
}

static bool simulate_parse(struct simulate_options *o, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const struct simulate_option *found = NULL;
        struct guess guess;
        guess_init(&guess, argv[i]);
        for (size_t k = 0; k < ARRAY_COUNT(simulate_table); k++) {
            found = strcmp(argv[i], simulate_table[k].name) == 0 ? &simulate_table[k] : found;
            guess_offer(&guess, simulate_table[k].name);
        }
        if (found == NULL) {
            fprintf(stderr, "simulate: unknown option %s%s%s%s\n", argv[i],
                    guess.best ? "; did you mean " : " (see --help)", guess.best ? guess.best : "",
                    guess.best ? "?" : "");
            return false;
        }
        if (found->offset == SIZE_MAX) {
            o->is_json = true;
        } else if (i + 1 == argc) {
            fprintf(stderr, "simulate: %s needs a value (see --help)\n", argv[i]);
            return false;
        } else {
            *(const char **)(void *)((char *)o + found->offset) = argv[++i];
        }
    }
    if (o->scenario == NULL) {
        fputs("simulate: --scenario FILE is missing, as "
              "--scenario loadtest/scenarios/munich-release.ini\n", stderr);
        return false;
    }
    return simulate_number("--seed", o->seed, 0, UINT64_MAX, &o->first_seed) &&
           simulate_number("--seeds", o->seeds, 1, 1000000, &o->seeds_count);
}

/* Thousandths of --scale; false: told. */
static bool simulate_scale(const char *text, uint64_t *ret_milli)
{
    char *end;
    double x = strtod(text, &end);
    if (*text < '0' || *text > '9' || *end || !(x >= 0.001 && x <= 1000)) {
        fprintf(stderr, "simulate: --scale takes a number from 0.001 to 1000, not '%s'\n", text);
        return false;
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
        fprintf(stderr, "%s: cannot be read: %s\n", path, strerror(errno));
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
        fprintf(stderr, "simulate: --mode is fcfs, live or draw, not '%s'\n", o->mode);
        return false;
    }
    if (o->scale && !simulate_scale(o->scale, &milli)) {
        return false;
    }
    if (milli != 1000) {
        scenario_scale(s, milli);
    }
    if (!scenario_count(s) || s->slots > CROWD_SLOTS_MAX) {
        fprintf(stderr, "simulate: --scale %s makes more than %d clients or %d slots\n", o->scale,
                CROWD_IDENTITIES_MAX, CROWD_SLOTS_MAX);
        return false;
    }
    return true;
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

static void simulate_print_sum(const struct simulate_sum *s, const struct simulate_options *o)
{
    double n = (double)s->runs, mean = s->sum / n;
    double variance = s->squares / n - mean * mean;
    double error = variance > 0 ? sqrt(variance / n) : 0;
    double off = error > 0 ? (mean - s->closed_form) / error : 0;
    printf(o->is_json
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
        fprintf(stderr, "simulate: seed %llu: %s\n", (unsigned long long)seed, strerror(-r));
        return VERB_FAILED;
    }
    if (o->oversold || o->double_booked || o->unaccounted) {
        fprintf(stderr, "simulate: seed %llu: the audit found %llu slots oversold, %llu double "
                "booked, %llu requests unaccounted for\n", (unsigned long long)seed,
                (unsigned long long)o->oversold, (unsigned long long)o->double_booked,
                (unsigned long long)o->unaccounted);
        return VERB_FAILED;
    }
    return VERB_OK;
}

static int simulate_run(const struct verb *verb, int argc, char **argv)
{
    static struct outcome_day outcome;
    struct simulate_options o = {.first_seed = 1, .seeds_count = 1};
    struct crowd_scenario s;
    struct simulate_sum sum = {0};
    (void)verb;
    if (!simulate_parse(&o, argc, argv) || !simulate_scenario(&o, &s)) {
        return VERB_USAGE;
    }
    for (uint64_t i = 0; i < o.seeds_count; i++) {
        int r = simulate_one(&s, o.first_seed + i, &outcome);
        if (r) {
            return r;
        }
        simulate_add(&sum, &outcome);
    }
    if (o.seeds_count > 1) {
        simulate_print_sum(&sum, &o);
    } else if (o.is_json) {
        outcome_json(stdout, &outcome);
    } else {
        outcome_text(stdout, &outcome);
    }
    return VERB_OK;
}

const struct verb simulate_verbs[] = {
    {"flood", "simulate", "a release day with its whole crowd in virtual time, without sockets",
     "usage: fairslot flood simulate --scenario FILE [--mode fcfs|live|draw] [--seed 1]\n"
     "    [--seeds 1] [--scale 1] [--json]\n"
     "Runs the real fair queue, ledger and release code against the scenario's crowd and prints\n"
     "who got the slots.  The same scenario and seed print the same bytes.\n"
     "  --scenario FILE  INI, docs/scenarios.md has every key\n"
     "  --mode M         another way to give the slots out than the scenario's\n"
     "  --seed N         another crowd and another draw (1)\n"
     "  --seeds N        N seeds from --seed on, one line about all of them (1)\n"
     "  --scale X        X times as many clients, slots and capacity, 0.001 to 1000 (1)\n"
     "exit: 0; 1 the run failed or the audit found something; 2 a wrong option or scenario\n"
     "example:\n"
     "  fairslot flood simulate --scenario loadtest/scenarios/munich-release.ini --mode fcfs\n",
     simulate_run},
    {NULL, NULL, NULL, NULL, NULL},
};
