/* SPDX-License-Identifier: MIT */
/* Configuration put together: defaults -> FILE -> FILE.d/ *.conf in name order -> --set -> flags.
 * Each later one wins; where each value is from is kept beside it.
 * Owns the struct and its arena.
 * Happy path: every file is read to its end, then what must fit together is looked at, then the
 * files that values name.
 * Fails with every mistake told by place; nothing is returned then, so a reload that fails changes
 * nothing.
 * Invariants: a value is never half of two sources; a secret is never in a message. */
#include "config/config.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/guess.h"
#include "config/inside.h"

_Static_assert(offsetof(struct config_inside, open) == 0, "callers have its first member");

#define CONFIG_PATH_MAX 4096

static struct config_inside *config_inside_of(const struct config *config)
{
    return (struct config_inside *)(void *)(uintptr_t)config;
}

/* "FILE:12", "--set", "--listen", "default". */
static void config_place_print(const struct config_place *place, char *out, size_t size)
{
    if (place->from == CONFIG_FROM_FILE && place->line) {
        snprintf(out, size, "%s:%u", place->where, place->line);
    } else {
        snprintf(out, size, "%s", place->from == CONFIG_FROM_DEFAULT ? "default" : place->where);
    }
}

void config_mistake(struct config_report *report, const struct config_place *place,
                    const char *format, ...)
{
    char line[CONFIG_PATH_MAX + CONFIG_WHY_MAX + 64];
    va_list args;
    report->count++;
    if (report->count > CONFIG_MISTAKES_MAX) {
        return;
    }
    config_place_print(place, line, CONFIG_PATH_MAX + 32);
    size_t n = strlen(line);
    n += (size_t)snprintf(line + n, sizeof(line) - n, ": ");
    va_start(args, format);
    vsnprintf(line + n, sizeof(line) - n, format, args);
    va_end(args);
    report->tell(report->user, line);
    if (report->count == CONFIG_MISTAKES_MAX) {
        report->tell(report->user, "so many mistakes: the rest is not told");
    }
}

const char *config_keep(struct config_inside *in, const char *text, size_t len)
{
    char *kept = arena_alloc(&in->arena, len + 1);
    if (kept) {
        memcpy(kept, text, len);
        kept[len] = '\0';
    }
    return kept;
}

void config_unknown_section(const char *name, const struct config_place *place,
                            struct config_report *report)
{
    struct guess g;
    guess_init(&g, name);
    for (size_t i = 0; i < CONFIG_GROUPS_COUNT; i++) {
        guess_offer(&g, config_groups[i].name);
    }
    config_mistake(report, place, "unknown section [%.60s]%s%s%s", name,
                   g.best ? ": did you mean [" : "", g.best ? g.best : "", g.best ? "]?" : "");
}

void config_unknown_key(const struct config_group *group, const char *name,
                        const struct config_place *place, struct config_report *report)
{
    struct guess g;
    guess_init(&g, name);
    for (size_t i = 0; i < CONFIG_KEYS_COUNT; i++) {
        if (strcmp(config_keys[i].section, group->name) == 0) {
            guess_offer(&g, config_keys[i].name);
        }
    }
    if (g.best) {
        config_mistake(report, place, "unknown key '%.60s' in [%s]: did you mean '%s'?", name,
                       group->name, g.best);
        return;
    }
    /* Right, but in the wrong section? */
    for (size_t i = 0; i < CONFIG_KEYS_COUNT; i++) {
        if (strcmp(config_keys[i].name, name) == 0) {
            config_mistake(report, place, "unknown key '%.60s' in [%s]: it belongs to [%s]", name,
                           group->name, config_keys[i].section);
            return;
        }
    }
    config_mistake(report, place, "unknown key '%.60s' in [%s]: fairslot config explain %s", name,
                   group->name, group->name);
}

/* The defaults of one section, or of one item of it. */
static void config_fill(struct config_inside *in, const struct config_group *group, size_t item)
{
    char why[CONFIG_WHY_MAX];
    for (size_t i = 0; i < CONFIG_KEYS_COUNT; i++) {
        const struct config_key *key = &config_keys[i];
        if (strcmp(key->section, group->name) == 0) {
            const struct config_input input = {key, item, key->fallback, NULL, {0}};
            CHECK(config_value_read(in, &input, why)); /* keys.h has a wrong default */
            in->places[i][item] = input.place;
        }
    }
}

int config_item(struct config_inside *in, const struct config_group *group, const char *name,
                const struct config_place *place, struct config_report *report)
{
    char *items = (char *)&in->open + group->offset;
    size_t *count = &in->items_count[group - config_groups];
    for (size_t i = 0; i < *count; i++) {
        if (strcmp(*(const char **)(void *)(items + i * group->stride), name) == 0) {
            return (int)i;
        }
    }
    if (!config_item_valid(name)) {
        config_mistake(report, place, "'%.60s' is no name for [%s NAME]: write up to %d of a-z, "
                       "0-9 and -", name, group->name, CONFIG_ITEM_MAX - 1);
        return -1;
    }
    const char *kept = *count < group->items_max ? config_keep(in, name, strlen(name)) : NULL;
    if (!kept) {
        config_mistake(report, place, "more than %zu sections [%s NAME]", group->items_max,
                       group->name);
        return -1;
    }
    *(const char **)(void *)(items + *count * group->stride) = kept;
    config_fill(in, group, *count);
    in->item_places[group - config_groups][*count] = *place;
    *(size_t *)(void *)((char *)&in->open + group->count_offset) = *count + 1;
    return (int)(*count)++;
}

bool config_has_comment(const char *text)
{
    for (const char *at = text; (at = strpbrk(at, ";#")); at++) {
        if (at == text || strchr(" \t,", at[-1])) {
            return true;
        }
    }
    return false;
}

void config_put(struct config_inside *in, const struct config_input *input,
                struct config_report *report)
{
    char why[CONFIG_WHY_MAX];
    struct config_input given = *input;
    if (given.text[0] == '\0') {
        given.text = given.key->fallback;
    }
    in->places[input->key - config_keys][input->item] = input->place; /* wrong ones, too: a second
                                                                         one is a mistake */
    if (config_has_comment(given.text)) {
        config_mistake(report, &input->place, "%s.%s: a word may not begin with ; or #: that would "
                       "be a comment", input->key->section, input->key->name);
    } else if (!config_value_read(in, &given, why)) {
        config_mistake(report, &input->place, "%s.%s: %s", input->key->section, input->key->name,
                       why);
    }
}

/* "section.key" or "section.item.key" set by --set or by an option. */
static void config_named(struct config_inside *in, const char *name, const char *value,
                         const struct config_place *place, struct config_report *report)
{
    char parts[CONFIG_NAME_MAX];
    const char *section, *item_name, *key_name;
    int item = 0;
    if (!config_name_split(name, parts, &section, &item_name, &key_name)) {
        config_mistake(report, place, "'%.60s' is no key: write section.key=value", name);
        return;
    }
    const struct config_group *group = config_group_find(section);
    if (!group) {
        config_unknown_section(section, place, report);
        return;
    }
    if ((item_name != NULL) != (group->stride != 0)) {
        config_mistake(report, place, group->stride ? "'%.60s' needs a name: %s.NAME.key=value"
                                                    : "'%.60s' has a name too many: %s.key=value",
                       name, section);
        return;
    }
    const struct config_key *key = config_key_find(group, key_name);
    if (!key) {
        config_unknown_key(group, key_name, place, report);
        return;
    }
    if (item_name) {
        item = config_item(in, group, item_name, place, report);
    }
    if (item >= 0) {
        const struct config_input input = {key, (size_t)item, value, NULL, *place};
        config_put(in, &input, report);
    }
}

static void config_sets(struct config_inside *in, const struct config_source *source,
                        struct config_report *report)
{
    const struct config_place set = {CONFIG_FROM_SET, "--set", 0};
    for (size_t i = 0; i < source->sets_count; i++) {
        char name[CONFIG_NAME_MAX];
        const char *equals = strchr(source->sets[i], '=');
        size_t len = equals ? (size_t)(equals - source->sets[i]) : 0;
        if (len == 0 || len >= sizeof(name)) {
            config_mistake(report, &set, "'%.60s': write section.key=value", source->sets[i]);
            continue;
        }
        memcpy(name, source->sets[i], len);
        name[len] = '\0';
        config_named(in, name, equals + 1, &set, report);
    }
    for (size_t i = 0; i < source->flags_count; i++) {
        const struct config_flag *flag = &source->flags[i];
        const struct config_place place = {CONFIG_FROM_FLAG, flag->option, 0};
        if (flag->value) {
            config_named(in, flag->name, flag->value, &place, report);
        }
    }
}

static int config_is_drop_in(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len > 5 && entry->d_name[0] != '.' && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

static int config_by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* bytes: the same order under every locale */
}

/* FILE.d/ *.conf; a folder that is not there has none. */
static int config_drop_ins(struct config_inside *in, const char *file,
                           struct config_report *report)
{
    char folder[CONFIG_PATH_MAX], path[CONFIG_PATH_MAX + 300];
    struct dirent **names;
    int r = 0;
    if ((size_t)snprintf(folder, sizeof(folder), "%s.d", file) >= sizeof(folder)) {
        return 0;
    }
    int count = scandir(folder, &names, config_is_drop_in, config_by_name);
    const char *kept = config_keep(in, folder, strlen(folder));
    struct config_place place = {CONFIG_FROM_FILE, kept ? kept : "?", 0};
    if (count < 0 && errno != ENOENT) {
        config_mistake(report, &place, "cannot be read: %s", strerror(errno));
    }
    if (count > CONFIG_DROP_INS_MAX) {
        config_mistake(report, &place, "has more than %d files", CONFIG_DROP_INS_MAX);
    }
    for (int i = 0; i < count; i++) {
        if (r == 0 && i < CONFIG_DROP_INS_MAX) {
            snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
            r = config_read_file(in, path, report);
        }
        free(names[i]);
    }
    if (count >= 0) {
        free(names);
    }
    return err_trace(r);
}

/* What an item must have. */
static void config_needs(struct config_inside *in, struct config_report *report)
{
    for (size_t i = 0; i < CONFIG_KEYS_COUNT; i++) {
        const struct config_key *key = &config_keys[i];
        const struct config_group *group = config_group_find(key->section);
        size_t g = (size_t)(group - config_groups);
        for (size_t item = 0; group->stride && item < in->items_count[g]; item++) {
            if (key->type <= CONFIG_URL && key->type != CONFIG_WORD && key->min > 0 &&
                **(const char **)config_field(in, key, item) == '\0') {
                config_mistake(report, &in->item_places[g][item], "[%s %s] needs %s = ...",
                               key->section, *(const char **)(void *)((char *)&in->open +
                               group->offset + item * group->stride), key->name);
            }
        }
    }
}

/* Why this file cannot be read; NULL: it can. */
static const char *config_file_wrong(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        return errno == ENOENT ? "no such file" : strerror(errno);
    }
    if (S_ISDIR(st.st_mode)) {
        return "is a folder, not a file";
    }
    return access(path, R_OK) < 0 ? strerror(errno) : NULL;
}

/* Files that values name.  What flags name is looked at by who reads it. */
static void config_files(struct config_inside *in, const struct config_source *source,
                         struct config_report *report)
{
    for (size_t i = 0; i < CONFIG_KEYS_COUNT; i++) {
        const struct config_key *key = &config_keys[i];
        const struct config_group *group = config_group_find(key->section);
        size_t items = group->stride ? in->items_count[group - config_groups] : 1;
        if ((key->type != CONFIG_FILE && key->type != CONFIG_SECRET) ||
            !(group->who & source->who)) {
            continue;
        }
        for (size_t item = 0; item < items; item++) {
            const char *path = *(const char **)config_field(in, key, item);
            const struct config_place *place = &in->places[i][item];
            const char *wrong = *path && place->from != CONFIG_FROM_FLAG ? config_file_wrong(path)
                                                                         : NULL;
            if (wrong && key->type == CONFIG_SECRET) {
                config_mistake(report, place, "%s.%s: %s; write the path of a file, never the "
                               "secret itself", key->section, key->name, wrong);
            } else if (wrong) {
                config_mistake(report, place, "%s.%s: %.200s: %s", key->section, key->name, path,
                               wrong);
            }
        }
    }
}

static int config_read_all(struct config_inside *in, const struct config_source *source,
                           struct config_report *report)
{
    int r = 0;
    for (size_t i = 0; i < CONFIG_GROUPS_COUNT; i++) {
        if (!config_groups[i].stride) {
            config_fill(in, &config_groups[i], 0);
        }
    }
    if (source->file) {
        r = config_read_file(in, source->file, report);
        r = r == 0 ? config_drop_ins(in, source->file, report) : r;
    }
    if (r == 0) {
        config_sets(in, source, report);
        config_needs(in, report);
        config_files(in, source, report);
    }
    return err_trace(r);
}

int config_load(const struct config_source *source, struct config_report *report,
                struct config **ret_config)
{
    struct config_inside *in = calloc(1, sizeof(*in));
    if (!in) {
        return err_origin(-ENOMEM);
    }
    arena_init(&in->arena, CONFIG_ARENA_MAX);
    report->count = 0;
    int r = config_read_all(in, source, report);
    if (r < 0 || report->count > 0) {
        config_free(&in->open);
        return r < 0 ? err_trace(r) : CONFIG_E_WRONG;
    }
    *ret_config = &in->open;
    return 0;
}

void config_free(struct config *config)
{
    if (config) {
        struct config_inside *in = config_inside_of(config);
        arena_fini(&in->arena);
        free(in);
    }
}

/* Where the value of a name is from; NULL: there is no such thing. */
static const struct config_place *config_place_of(const struct config *config, const char *name)
{
    char parts[CONFIG_NAME_MAX];
    const char *section, *item, *key_name;
    struct config_inside *in = config_inside_of(config);
    if (!config_name_split(name, parts, &section, &item, &key_name)) {
        return NULL;
    }
    const struct config_group *group = config_group_find(section);
    const struct config_key *key = group ? config_key_find(group, key_name) : NULL;
    if (!key || (item != NULL) != (group->stride != 0)) {
        return NULL;
    }
    for (size_t i = 0; item && i < in->items_count[group - config_groups]; i++) {
        if (strcmp(*(const char **)(void *)((char *)&in->open + group->offset + i * group->stride),
                   item) == 0) {
            return &in->places[key - config_keys][i];
        }
    }
    return item ? NULL : &in->places[key - config_keys][0];
}

const char *config_origin(const struct config *config, const char *name, char *out, size_t size)
{
    const struct config_place *place = config_place_of(config, name);
    if (place) {
        config_place_print(place, out, size);
    } else {
        snprintf(out, size, "nowhere");
    }
    return out;
}

static const char *config_item_name(struct config_inside *in, const struct config_group *group,
                                    size_t item)
{
    return *(const char **)(void *)((char *)&in->open + group->offset + item * group->stride);
}

/* Sections that may stand several times: the same names in the same order, else all is new. */
static bool config_same_items(struct config_inside *a, struct config_inside *b,
                              const struct config_group *group)
{
    size_t g = (size_t)(group - config_groups);
    bool same = a->items_count[g] == b->items_count[g];
    for (size_t i = 0; same && i < a->items_count[g]; i++) {
        same = strcmp(config_item_name(a, group, i), config_item_name(b, group, i)) == 0;
    }
    return same;
}

void config_compare(const struct config *from, const struct config *to,
                    void (*changed)(void *user, const char *name, bool reloads), void *user)
{
    struct config_inside *a = config_inside_of(from), *b = config_inside_of(to);
    for (size_t i = 0; i < CONFIG_KEYS_COUNT; i++) {
        char name[CONFIG_NAME_MAX];
        const struct config_key *key = &config_keys[i];
        const struct config_group *group = config_group_find(key->section);
        size_t items = group->stride ? a->items_count[group - config_groups] : 1;
        bool same = !group->stride || config_same_items(a, b, group);
        for (size_t item = 0; same && item < items; item++) {
            same = config_value_same(key, config_field(a, key, item), config_field(b, key, item));
        }
        if (!same) {
            snprintf(name, sizeof(name), "%s.%s", key->section, key->name);
            changed(user, name, key->reloads);
        }
    }
}
