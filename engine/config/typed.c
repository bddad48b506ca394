/* SPDX-License-Identifier: MIT */
/* Values by their type: read, range-checked, printed as they would be written.
 *   text -> the type's reader -> range or words -> field
 * Owns nothing: texts go into the configuration's arena.
 * Fails with a sentence that says what would be right ("a time needs its unit: write 10s").
 * Invariants: a field changes only when all of its text was right; what is printed reads back as
 * the same value; a secret's text never stands in a sentence. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "config/inside.h"

/* A unit of DURATION or SIZE. */
struct typed_unit {
    const char *name;
    int64_t worth;
};

/* The largest first: values are printed in the first one that divides them. */
static const struct typed_unit typed_durations[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};
static const struct typed_unit typed_sizes[] = {
    {"TiB", INT64_C(1) << 40}, {"GiB", INT64_C(1) << 30}, {"MiB", INT64_C(1) << 20},
    {"KiB", INT64_C(1) << 10}, {"B", 1}, {NULL, 0}};

static const struct typed_unit *typed_units(const struct config_key *key)
{
    return key->type == CONFIG_DURATION ? typed_durations
           : key->type == CONFIG_SIZE   ? typed_sizes
                                        : NULL;
}

/* Digits alone, as many as fit into `ret`; returns what stands behind them, NULL: no number. */
static const char *typed_digits(const char *text, int64_t *ret)
{
    int64_t n = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *at - '0', &n)) {
            return NULL;
        }
    }
    *ret = n;
    return at == text ? NULL : at;
}

/* `n` in the largest unit that divides it; units NULL: as it is. */
static int typed_number(int64_t n, const struct typed_unit *units, char *out, size_t size)
{
    while (units && units[1].name && (n == 0 || n % units->worth != 0)) {
        units++;
    }
    return snprintf(out, size, "%" PRId64 "%s", units ? n / units->worth : n,
                    units ? units->name : "");
}

static bool typed_has_word(const char *words, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = words; len > 0 && (at = strstr(at, word)); at++) {
        if ((at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0')) {
            return true;
        }
    }
    return false;
}

void config_value_rule(const struct config_key *key, char *out, size_t size)
{
    static const char *const names[] = {
        [CONFIG_TEXT] = "text", [CONFIG_WORD] = "one of ", [CONFIG_FILE] = "path of a file",
        [CONFIG_SECRET] = "path of a file with a secret", [CONFIG_FOLDER] = "path of a folder",
        [CONFIG_ADDRESS] = "IP:PORT, [IPv6]:PORT or localhost:PORT",
        [CONFIG_URL] = "URL, as https://host/path", [CONFIG_COUNT] = "whole number",
        [CONFIG_DURATION] = "time (ms, s, m, h, d)",
        [CONFIG_SIZE] = "size (B, KiB, MiB, GiB, TiB)", [CONFIG_BOOL] = "yes or no",
        [CONFIG_LIST] = "list, by commas"};
    char low[32], high[32];
    size_t n = (size_t)snprintf(out, size, "%s", names[key->type]);
    if (key->words) {
        snprintf(out + n, size - n, "%s%s", key->type == CONFIG_LIST ? " of " : "", key->words);
        return;
    }
    bool numeric = key->type == CONFIG_COUNT || typed_units(key);
    if (!numeric && key->type != CONFIG_TEXT && key->type != CONFIG_LIST) {
        return;
    }
    typed_number(key->min, typed_units(key), low, sizeof(low));
    typed_number(key->max, typed_units(key), high, sizeof(high));
    const char *things = key->type == CONFIG_TEXT ? " bytes"
                         : key->type == CONFIG_LIST ? " words" : "";
    if (key->max == INT64_MAX) {
        snprintf(out + n, size - n, "%s%s%s", key->min ? ", at least " : "", key->min ? low : "",
                 key->min ? things : "");
    } else if (!numeric && key->min == 0) {
        snprintf(out + n, size - n, ", at most %s%s", high, things);
    } else {
        snprintf(out + n, size - n, ", %s to %s%s", low, high, things);
    }
}

/* False, with the rule as the reason. */
static bool typed_against(const struct config_key *key, const char *text, char *why)
{
    char rule[160];
    config_value_rule(key, rule, sizeof(rule));
    if (key->type == CONFIG_SECRET) {
        snprintf(why, CONFIG_WHY_MAX, "write: %s", rule);
    } else {
        snprintf(why, CONFIG_WHY_MAX, "'%.100s' is not right; write: %s", text, rule);
    }
    return false;
}

/* Names the unit that was probably meant. */
static bool typed_unit_wrong(const struct config_key *key, int64_t n, const char *unit, char *why)
{
    bool is_size = key->type == CONFIG_SIZE;
    const char *meant = is_size ? "KiB" : "s";
    if (is_size && unit[0] && strchr("kKmMgGtT", unit[0])) {
        meant = strchr("kK", unit[0])   ? "KiB"
                : strchr("mM", unit[0]) ? "MiB"
                : strchr("gG", unit[0]) ? "GiB" : "TiB";
    } else if (!is_size && unit[0]) {
        meant = strncmp(unit, "ms", 2) == 0 || strncmp(unit, "mi", 2) == 0
                    ? (unit[1] == 's' ? "ms" : "m")
                : unit[0] == 'm' ? "m" : unit[0] == 'h' ? "h" : unit[0] == 'd' ? "d" : "s";
    }
    if (unit[0]) {
        snprintf(why, CONFIG_WHY_MAX, "'%.40s' is no unit of a %s: did you mean %" PRId64 "%s?",
                 unit, is_size ? "size" : "time", n, meant);
    } else {
        snprintf(why, CONFIG_WHY_MAX, "a %s needs its unit, as %" PRId64 "%s",
                 is_size ? "size" : "time", n, meant);
    }
    return false;
}

static bool typed_read_number(const struct config_key *key, const char *text, int64_t *ret,
                              char *why)
{
    const struct typed_unit *units = typed_units(key);
    int64_t n;
    const char *unit = typed_digits(text, &n);
    if (!unit) {
        return typed_against(key, text, why);
    }
    if (units && !(n == 0 && *unit == '\0')) {
        while (units->name && strcmp(units->name, unit) != 0) {
            units++;
        }
        if (!units->name) {
            return typed_unit_wrong(key, n, unit, why);
        }
        if (__builtin_mul_overflow(n, units->worth, &n)) {
            return typed_against(key, text, why);
        }
    } else if (*unit) {
        return typed_against(key, text, why);
    }
    if (n < key->min || n > key->max) {
        return typed_against(key, text, why);
    }
    *ret = n;
    return true;
}

static bool typed_read_bool(const struct config_key *key, const char *text, bool *ret, char *why)
{
    if (typed_has_word("yes true on 1", text)) {
        *ret = true;
    } else if (typed_has_word("no false off 0", text)) {
        *ret = false;
    } else {
        return typed_against(key, text, why);
    }
    return true;
}

/* The next word of a list at *at; its length, 0: there is no more. */
static size_t typed_next(const char **at)
{
    *at += strspn(*at, ", \t");
    size_t len = strcspn(*at, ",");
    while (len > 0 && strchr(" \t", (*at)[len - 1])) {
        len--;
    }
    return len;
}

static bool typed_read_list(struct config_inside *in, const struct config_key *key,
                            const char *text, struct config_list *ret, char *why)
{
    const char *at[CONFIG_LIST_MAX];
    size_t count = 0, len;
    for (const char *next = text; (len = typed_next(&next)) > 0; next += len) {
        if (count == CONFIG_LIST_MAX || (int64_t)count == key->max) {
            return typed_against(key, "so many words", why);
        }
        at[count] = config_keep(in, next, len);
        if (!at[count]) {
            snprintf(why, CONFIG_WHY_MAX, "out of memory");
            return false;
        }
        if (key->words && !typed_has_word(key->words, at[count])) {
            return typed_against(key, at[count], why);
        }
        count++;
    }
    if ((int64_t)count < key->min) {
        return typed_against(key, "so few words", why);
    }
    const char **kept = arena_alloc(&in->arena, count * sizeof(*kept));
    if (!kept) {
        snprintf(why, CONFIG_WHY_MAX, "out of memory");
        return false;
    }
    memcpy(kept, at, count * sizeof(*kept));
    *ret = (struct config_list){kept, count};
    return true;
}

static bool typed_address(const char *text)
{
    char host[64];
    unsigned char unused[sizeof(struct in6_addr)];
    int64_t port;
    const char *colon = strrchr(text, ':');
    bool bracketed = text[0] == '[' && colon && colon > text + 1 && colon[-1] == ']';
    const char *from = bracketed ? text + 1 : text;
    size_t len = colon ? (size_t)(colon - from) - (bracketed ? 1 : 0) : 0;
    if (!colon || len == 0 || len >= sizeof(host)) {
        return false;
    }
    const char *end = typed_digits(colon + 1, &port);
    memcpy(host, from, len);
    host[len] = '\0';
    bool is_host = bracketed ? inet_pton(AF_INET6, host, unused) == 1
                             : strcmp(host, "localhost") == 0 ||
                                   inet_pton(AF_INET, host, unused) == 1;
    return end && *end == '\0' && port <= 65535 && is_host;
}

static bool typed_url(const char *text)
{
    size_t scheme = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+");
    return scheme > 0 && strncmp(text + scheme, "://", 3) == 0 && text[scheme + 3] &&
           !strpbrk(text, " \t");
}

/* A path from where it was written; NULL: `why` is set. */
static const char *typed_path(struct config_inside *in, const struct config_input *input,
                              char *why)
{
    const char *text = input->text, *folder = input->folder;
    if (strncmp(text, "%d/", 3) == 0) {
        folder = getenv("CREDENTIALS_DIRECTORY");
        text += 3;
        if (!folder || !*folder) {
            snprintf(why, CONFIG_WHY_MAX, "%%d is $CREDENTIALS_DIRECTORY, which is not set: the "
                     "service needs LoadCredential=");
            return NULL;
        }
    }
    size_t folder_len = folder && text[0] && text[0] != '/' ? strlen(folder) + 1 : 0;
    size_t len = strlen(text);
    char *path = arena_alloc(&in->arena, folder_len + len + 1);
    if (!path) {
        snprintf(why, CONFIG_WHY_MAX, "out of memory");
        return NULL;
    }
    if (folder_len) {
        memcpy(path, folder, folder_len - 1);
        path[folder_len - 1] = '/';
    }
    memcpy(path + folder_len, text, len + 1);
    return path;
}

static bool typed_read_text(struct config_inside *in, const struct config_input *input,
                            const char **ret, char *why)
{
    const struct config_key *key = input->key;
    const char *text = input->text;
    bool is_path = key->type == CONFIG_FILE || key->type == CONFIG_SECRET ||
                   key->type == CONFIG_FOLDER;
    int64_t len = (int64_t)strlen(text);
    bool wrong = len > 0 && (len < key->min || len > key->max ||
                             (key->type == CONFIG_WORD && !typed_has_word(key->words, text)) ||
                             (key->type == CONFIG_ADDRESS && !typed_address(text)) ||
                             (key->type == CONFIG_URL && !typed_url(text)));
    if (wrong) {
        return typed_against(key, text, why);
    }
    const char *kept = is_path ? typed_path(in, input, why)
                               : config_keep(in, text, (size_t)len);
    if (!kept && !is_path) {
        snprintf(why, CONFIG_WHY_MAX, "out of memory");
    }
    if (kept) {
        *ret = kept;
    }
    return kept != NULL;
}

bool config_value_read(struct config_inside *in, const struct config_input *input, char *why)
{
    void *field = config_field(in, input->key, input->item);
    switch (input->key->type) {
    case CONFIG_COUNT:
    case CONFIG_DURATION:
    case CONFIG_SIZE:
        return typed_read_number(input->key, input->text, field, why);
    case CONFIG_BOOL:
        return typed_read_bool(input->key, input->text, field, why);
    case CONFIG_LIST:
        return typed_read_list(in, input->key, input->text, field, why);
    default:
        return typed_read_text(in, input, field, why);
    }
}

void *config_field(struct config_inside *in, const struct config_key *key, size_t item)
{
    const struct config_group *group = config_group_find(key->section);
    CHECK(group);
    CHECK(item < group->items_max);
    return (char *)&in->open + group->offset + item * group->stride + key->offset;
}

void config_value_print(const struct config_key *key, const void *field, FILE *out)
{
    char number[40];
    switch (key->type) {
    case CONFIG_COUNT:
    case CONFIG_DURATION:
    case CONFIG_SIZE:
        typed_number(*(const int64_t *)field, typed_units(key), number, sizeof(number));
        fputs(number, out);
        break;
    case CONFIG_BOOL:
        fputs(*(const bool *)field ? "yes" : "no", out);
        break;
    case CONFIG_LIST: {
        const struct config_list *list = field;
        for (size_t i = 0; i < list->count; i++) {
            /* Many go on in indented lines: a line has an end, and people read it. */
            fprintf(out, "%s%s", i == 0 ? "" : list->count > 3 ? ",\n    " : ", ", list->at[i]);
        }
        break;
    }
    default:
        fputs(*(const char *const *)field, out);
    }
}

bool config_value_same(const struct config_key *key, const void *a, const void *b)
{
    switch (key->type) {
    case CONFIG_COUNT:
    case CONFIG_DURATION:
    case CONFIG_SIZE:
        return *(const int64_t *)a == *(const int64_t *)b;
    case CONFIG_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case CONFIG_LIST: {
        const struct config_list *left = a, *right = b;
        bool same = left->count == right->count;
        for (size_t i = 0; same && i < left->count; i++) {
            same = strcmp(left->at[i], right->at[i]) == 0;
        }
        return same;
    }
    default:
        return strcmp(*(const char *const *)a, *(const char *const *)b) == 0;
    }
}
