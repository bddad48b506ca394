/* SPDX-License-Identifier: MIT */
/* fairslot flood compare A B: two --json files side by side, of sockets or of virtual time.
 *   files -> jansson -> rows of the numbers that both have -> table or JSON
 * Owns: both documents, the rows.  Fails with 2 for a file that is no report. */
#include <jansson.h>
#include <string.h>

#include "base/check.h"
#include "ctl/options.h"
#include "ctl/render.h"
#include "ctl/talk.h"
#include "flood/flood.h"

/* Numbers by their path in a report: "requests/sent". */
struct compare_key {
    const char *path, *unit;
};

static const struct compare_key compare_run[] = {
    {"bot_slots", ""}, {"bot_advantage", "x"}, {"slots", ""}, {"identities", ""},
    {"seconds", "s"}, {"requests/sent", ""}, {"requests/answered", ""},
    {"requests/refused", ""}, {"requests/timed_out", ""}, {"arrival_chi2", ""},
    {"fairness/arrival_chi2", ""}, {"audit/double_booked", ""}, {"audit/lost", ""},
};
static const struct compare_key compare_population[] = {
    {"slots", ""}, {"advantage", "x"}, {"wait/p50_ms", "ms"}, {"wait/p95_ms", "ms"},
    {"wait/p99_ms", "ms"}, {"wait/p50_s", "s"}, {"wait/p95_s", "s"}, {"wait/p99_s", "s"},
};
static const struct compare_key compare_latency[] = {
    {"p50_ms", "ms"}, {"p99_ms", "ms"}, {"max_ms", "ms"},
};

static json_t *compare_load(const char *path)
{
    json_error_t error;
    json_t *doc = json_load_file(path, 0, &error);
    if (doc == NULL && error.line < 0) {
        talk_error("%s", error.text); /* names the file */
    } else if (doc == NULL) {
        talk_error("%s:%d: %s", path, error.line, error.text);
    } else if (!json_is_array(json_object_get(doc, "populations"))) {
        talk_error("%s is no report of `fairslot flood --json` or `flood simulate --json`", path);
        json_decref(doc);
        doc = NULL;
    }
    if (doc == NULL) {
        talk_next("fairslot flood compare --help");
    }
    return doc;
}

static json_t *compare_at(json_t *from, const char *path)
{
    char first[32];
    const char *slash = strchr(path, '/');
    if (slash == NULL) {
        return json_object_get(from, path);
    }
    snprintf(first, sizeof first, "%.*s", (int)(slash - path), path);
    return json_object_get(json_object_get(from, first), slash + 1);
}

/* A row for each number that both have; `of` names whose they are. */
static void compare_rows(json_t *rows, const char *of, json_t *const pair[2],
                         const struct compare_key *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char name[128];
        json_t *a = compare_at(pair[0], keys[i].path), *b = compare_at(pair[1], keys[i].path);
        if (!json_is_number(a) || !json_is_number(b)) {
            continue;
        }
        double x = json_number_value(a), y = json_number_value(b);
        snprintf(name, sizeof name, "%s%s%s", of, *of ? ": " : "", keys[i].path);
        for (char *at = name; *at; at++) {
            *at = *at == '/' ? ' ' : *at;
        }
        json_t *row = json_pack("{s:s, s:O, s:O, s:s}", "name", name, "a", a, "b", b, "unit",
                                keys[i].unit);
        CHECK(row != NULL);
        if (x > 0) {
            json_object_set_new(row, "changePercent", json_real(100 * (y - x) / x));
        }
        json_array_append_new(rows, row);
    }
}

static json_t *compare_named(json_t *doc, const char *name)
{
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(doc, "populations"), i, p) {
        const char *other = json_string_value(json_object_get(p, "name"));
        if (other && strcmp(other, name) == 0) {
            return p;
        }
    }
    return NULL;
}

static json_t *compare_all(json_t *a, json_t *b)
{
    json_t *rows = json_array(), *p, *h;
    size_t i;
    const char *act;
    compare_rows(rows, "", (json_t *[]){a, b}, compare_run, ARRAY_COUNT(compare_run));
    json_array_foreach(json_object_get(a, "populations"), i, p) {
        const char *name = json_string_value(json_object_get(p, "name"));
        if (name) {
            compare_rows(rows, name, (json_t *[]){p, compare_named(b, name)}, compare_population,
                         ARRAY_COUNT(compare_population));
        }
    }
    json_object_foreach(json_object_get(a, "latency"), act, h) {
        json_t *other = json_object_get(json_object_get(b, "latency"), act);
        compare_rows(rows, act, (json_t *[]){h, other}, compare_latency,
                     ARRAY_COUNT(compare_latency));
    }
    return rows;
}

/* What makes two runs hard to compare. */
static json_t *compare_differ(json_t *a, json_t *b)
{
    static const char *const heads[] = {"scenario", "mode", "seed", "machine", "commit"};
    json_t *differ = json_array();
    for (size_t i = 0; i < ARRAY_COUNT(heads); i++) {
        json_t *x = json_object_get(a, heads[i]), *y = json_object_get(b, heads[i]);
        if (x != y && !json_equal(x, y)) { /* neither has it: alike */
            json_array_append_new(differ, json_string(heads[i]));
        }
    }
    return differ;
}

static int compare_table(json_t *rows, json_t *differ, const struct options_words *words)
{
    size_t i;
    json_t *row;
    printf("  %-40s %14s %14s\n", "", render_last(words->at[0]), render_last(words->at[1]));
    json_array_foreach(differ, i, row) {
        printf("  different %s\n", json_string_value(row));
    }
    json_array_foreach(rows, i, row) {
        const char *unit = json_string_value(json_object_get(row, "unit"));
        json_t *change = json_object_get(row, "changePercent");
        double percent = json_number_value(change);
        printf("  %-40s %14.6g %14.6g", json_string_value(json_object_get(row, "name")),
               json_number_value(json_object_get(row, "a")),
               json_number_value(json_object_get(row, "b")));
        printf("%s%s", *unit ? " " : "", unit);
        if (change && percent != 0) {
            printf("   %+.1f %%", percent);
        }
        putchar('\n');
    }
    json_decref(rows);
    json_decref(differ);
    return render_flush();
}

int flood_compare(const struct verb *verb, int argc, char **argv)
{
    const char *output = "table";
    const struct options_spec specs[] = {{"output", 'o', &output, NULL}, {NULL}};
    const struct options_rule rule = {specs, 2, 2, "FILE"};
    struct options_words words;
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r) {
        return options_exit(r);
    }
    if (strcmp(output, "table") != 0 && strcmp(output, "json") != 0) {
        return options_wrong(verb, "output", output, "table or json");
    }
    json_t *a = compare_load(words.at[0]);
    json_t *b = a ? compare_load(words.at[1]) : NULL;
    r = VERB_USAGE;
    if (b) {
        json_t *rows = compare_all(a, b), *differ = compare_differ(a, b);
        r = strcmp(output, "table") == 0
                ? compare_table(rows, differ, &words)
                : render_print_json(json_pack("{s:s, s:s, s:o, s:o}", "a", words.at[0], "b",
                                              words.at[1], "different", differ, "numbers", rows));
    }
    json_decref(a);
    json_decref(b);
    return r;
}
