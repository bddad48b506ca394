/* SPDX-License-Identifier: MIT */
/* fairslot flood compare A B: two --json files side by side.
 *   files -> jansson -> the numbers that both have, and what changed
 * Owns: both documents.  Fails with 2 for a file that is no report. */
#include <jansson.h>
#include <string.h>

#include "base/check.h"
#include "ctl/options.h"
#include "ctl/render.h"
#include "ctl/talk.h"
#include "flood/flood.h"

static json_t *compare_load(const char *path)
{
    json_error_t error;
    json_t *doc = json_load_file(path, 0, &error);
    if (doc == NULL) {
        talk_error("%s:%d: %s", path, error.line, error.text);
    } else if (!json_is_array(json_object_get(doc, "populations"))) {
        talk_error("%s is no report of `fairslot flood --json`", path);
        json_decref(doc);
        doc = NULL;
    }
    return doc;
}

static void compare_line(const char *name, const json_t *a, const json_t *b, const char *unit)
{
    if (!json_is_number(a) || !json_is_number(b)) {
        return;
    }
    double x = json_number_value(a), y = json_number_value(b);
    printf("  %-40s %14.6g %14.6g %s", name, x, y, unit);
    if (x > 0 && x < y) {
        printf("   +%.1f %%", 100 * (y - x) / x);
    } else if (x > y) {
        printf("   -%.1f %%", 100 * (x - y) / x);
    }
    putchar('\n');
}

static json_t *compare_population(json_t *doc, const char *name)
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

static void compare_populations(json_t *a, json_t *b)
{
    static const struct {
        const char *object, *key, *unit;
    } keys[] = {{NULL, "slots", ""},
                {NULL, "advantage", "x"},
                {"wait", "p50_ms", "ms"},
                {"wait", "p95_ms", "ms"}};
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(a, "populations"), i, p) {
        const char *name = json_string_value(json_object_get(p, "name"));
        json_t *q = name ? compare_population(b, name) : NULL;
        for (size_t k = 0; q && k < ARRAY_COUNT(keys); k++) {
            char label[96];
            const json_t *from = keys[k].object ? json_object_get(p, keys[k].object) : p;
            const json_t *to = keys[k].object ? json_object_get(q, keys[k].object) : q;
            snprintf(label, sizeof label, "%s: %s%s%s", name,
                     keys[k].object ? keys[k].object : "", keys[k].object ? " " : "",
                     keys[k].key);
            compare_line(label, json_object_get(from, keys[k].key),
                         json_object_get(to, keys[k].key), keys[k].unit);
        }
    }
}

static void compare_latency(json_t *a, json_t *b)
{
    static const char *const points[] = {"p50_ms", "p99_ms", "max_ms"};
    const char *name;
    json_t *h;
    json_object_foreach(json_object_get(a, "latency"), name, h) {
        json_t *other = json_object_get(json_object_get(b, "latency"), name);
        for (size_t k = 0; k < ARRAY_COUNT(points); k++) {
            char label[96];
            snprintf(label, sizeof label, "%s: %s", name, points[k]);
            compare_line(label, json_object_get(h, points[k]), json_object_get(other, points[k]),
                         "ms");
        }
    }
}

static void compare_print(json_t *a, json_t *b, const struct options_words *words)
{
    static const char *const keys[] = {"bot_slots", "bot_advantage", "slots", "identities",
                                       "arrival_chi2", "seconds"};
    static const char *const heads[] = {"scenario", "mode", "seed", "machine", "commit"};
    printf("  %-40s %14s %14s\n", "", render_last(words->at[0]), render_last(words->at[1]));
    for (size_t i = 0; i < ARRAY_COUNT(heads); i++) {
        json_t *x = json_object_get(a, heads[i]), *y = json_object_get(b, heads[i]);
        if (!json_equal(x, y)) {
            printf("  different %s\n", heads[i]);
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        compare_line(keys[i], json_object_get(a, keys[i]), json_object_get(b, keys[i]), "");
    }
    compare_line("sent", json_object_get(json_object_get(a, "requests"), "sent"),
                 json_object_get(json_object_get(b, "requests"), "sent"), "");
    compare_populations(a, b);
    compare_latency(a, b);
}

int flood_compare(const struct verb *verb, int argc, char **argv)
{
    const struct options_spec specs[] = {{NULL}};
    const struct options_rule rule = {specs, 2, 2, "FILE"};
    struct options_words words;
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r) {
        return options_exit(r);
    }
    json_t *a = compare_load(words.at[0]);
    json_t *b = a ? compare_load(words.at[1]) : NULL;
    if (b) {
        compare_print(a, b, &words);
        r = render_flush();
    } else {
        r = VERB_USAGE;
    }
    json_decref(a);
    json_decref(b);
    return r;
}
