/* SPDX-License-Identifier: MIT */
/* A scenario file: bytes -> struct crowd_scenario, or mistakes with their lines.
 *   [scenario]            slots, window, ...
 *   [population NAME]     kind first, then what differs from the kind's defaults
 * Owns: nothing.  Fails: every mistake is told as FILE:LINE with the nearest known word, up to
 * CROWD_MISTAKES_MAX; then nothing is returned.
 * Why no libinih: it belongs to the configuration, which opens files; this room opens none, and a
 * line here is one of four things.  Comments: # or ; at the beginning of a line or after a blank.
 * Invariants: a kind's defaults come before a file's values (kind must be the first key); a number
 * out of its range never reaches the struct. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "crowd/scenario_inside.h"

struct scenario_reader {
    const char *file;
    struct crowd_report *report;
    uint32_t line;
    struct crowd_scenario *s;
    struct crowd_population *population; /* of the heading; NULL: [scenario], or an unknown one */
    bool has_heading, is_unknown;        /* heading: there was one; nobody knows it */
    uint32_t heading_line;
    uint64_t seen[2];                    /* keys of this heading, by their place in the table */
    char victims[CROWD_POPULATIONS_MAX][CROWD_NAME_MAX];
    uint32_t lines[CROWD_POPULATIONS_MAX]; /* of their headings */
    uint32_t victims_lines[CROWD_POPULATIONS_MAX];
};

__attribute__((format(printf, 2, 3)))
static void scenario_wrong(struct scenario_reader *r, const char *format, ...)
{
    char line[400];
    int n = snprintf(line, sizeof line, "%.120s:%u: ", r->file, r->line);
    va_list args;
    va_start(args, format);
    vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    va_end(args);
    if (r->report->count++ < CROWD_MISTAKES_MAX) {
        r->report->tell(r->report->user, line);
    }
}

/* -- values ---------------------------------------------------------------------------------- */

static const struct scenario_unit {
    const char *word;
    uint64_t us;
} scenario_units[] = {{"us", 1},        {"ms", 1000},       {"s", 1000000},
                      {"min", 60000000}, {"h", 3600000000}, {"d", 86400000000}};

/* Digits with an optional fraction, times `scale`; *ret_rest is what stands behind.
 * false: no number, or too large. */
static bool scenario_number(const char *text, uint64_t scale, uint64_t *ret_value,
                            const char **ret_rest)
{
    uint64_t whole = 0, part = 0, unit = scale;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        whole = whole * 10 + (uint64_t)(*at - '0');
        if (whole > 100000000000000) {
            return false;
        }
    }
    if (at == text) {
        return false;
    }
    if (*at == '.') {
        for (at++; *at >= '0' && *at <= '9'; at++) {
            unit /= 10;
            part += unit * (uint64_t)(*at - '0');
        }
    }
    *ret_rest = at + strspn(at, " ");
    return !__builtin_mul_overflow(whole, scale, ret_value) &&
           !__builtin_add_overflow(*ret_value, part, ret_value);
}

static bool scenario_duration(struct scenario_reader *r, const char *name, const char *text,
                              uint64_t *ret_us)
{
    const char *rest;
    uint64_t ignored;
    if (!scenario_number(text, 1, &ignored, &rest)) {
        scenario_wrong(r, "%s takes a time as '10 s', not '%.40s'%s", name, text,
                       *text == '-' ? ": it cannot be negative" : "");
        return false;
    }
    for (size_t i = 0; i < ARRAY_COUNT(scenario_units); i++) {
        if (strcmp(rest, scenario_units[i].word) == 0) {
            return scenario_number(text, scenario_units[i].us, ret_us, &rest);
        }
    }
    if (*rest == '\0' && ignored == 0) {
        *ret_us = 0;
        return true;
    }
    scenario_wrong(r, "%s needs a unit: us, ms, s, min, h or d, as '10 s', not '%.40s'", name,
                   text);
    return false;
}

static bool scenario_word(struct scenario_reader *r, const struct scenario_key *key,
                          const char *text, uint64_t *ret_value)
{
    struct guess guess;
    guess_init(&guess, text);
    for (uint64_t i = 0; scenario_word_at(key->type, i); i++) {
        const char *word = scenario_word_at(key->type, i);
        if (strcmp(word, text) == 0) {
            *ret_value = i + (key->type == SCENARIO_ASSURANCE);
            return true;
        }
        guess_offer(&guess, word);
    }
    char all[256] = "";
    size_t used = 0;
    for (uint64_t i = 0; scenario_word_at(key->type, i) && used < sizeof all - 40; i++) {
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "",
                                 scenario_word_at(key->type, i));
    }
    scenario_wrong(r, "there is no %s '%.40s'%s%s%s: it is one of %s", key->name, text,
                   guess.best ? "; did you mean '" : "", guess.best ? guess.best : "",
                   guess.best ? "'?" : "", all);
    return false;
}

static bool scenario_value(struct scenario_reader *r, const struct scenario_key *key,
                           const char *text, uint64_t *ret_value)
{
    const char *rest = "";
    switch (key->type) {
    case SCENARIO_TIME:
        if (!scenario_duration(r, key->name, text, ret_value)) {
            return false;
        }
        break;
    case SCENARIO_COUNT:
    case SCENARIO_MILLI:
    case SCENARIO_PERCENT:
    case SCENARIO_RATE:
        if (!scenario_number(text, key->type == SCENARIO_COUNT     ? 1
                                   : key->type == SCENARIO_PERCENT ? 10
                                                                   : 1000, ret_value, &rest) ||
            strcmp(rest, key->type == SCENARIO_PERCENT ? "%" : "") != 0) {
            scenario_wrong(r, "%s takes %s, not '%.40s'%s", key->name,
                           key->type == SCENARIO_COUNT     ? "a whole number"
                           : key->type == SCENARIO_PERCENT ? "a share as '10 %'"
                                                           : "a number", text,
                           *text == '-' ? ": it cannot be negative" : "");
            return false;
        }
        break;
    default:
        return scenario_word(r, key, text, ret_value);
    }
    if (*ret_value < key->min || *ret_value > key->max) {
        scenario_wrong(r, "%s is %s: it must be %s", key->name, text, key->range);
        return false;
    }
    return true;
}

/* -- lines ----------------------------------------------------------------------------------- */

static void scenario_section_unknown(struct scenario_reader *r, const char *name)
{
    char word[32];
    struct guess guess;
    snprintf(word, sizeof word, "%.*s", (int)strcspn(name, " "), name);
    guess_init(&guess, word);
    guess_offer(&guess, "scenario");
    guess_offer(&guess, "population");
    scenario_wrong(r, "there is no section [%.40s]%s%s%s: it is [scenario] or [population NAME]",
                   name, guess.best ? "; did you mean '" : "", guess.best ? guess.best : "",
                   guess.best ? "'?" : "");
}

static void scenario_heading(struct scenario_reader *r, char *name)
{
    struct crowd_scenario *s = r->s;
    r->population = NULL;
    r->has_heading = true;
    r->is_unknown = false;
    r->heading_line = r->line;
    r->seen[0] = r->seen[1] = 0;
    if (strcmp(name, "scenario") == 0) {
        return;
    }
    r->is_unknown = true;
    if (strncmp(name, "population", 10) != 0 || (name[10] != ' ' && name[10] != '\0')) {
        scenario_section_unknown(r, name);
        return;
    }
    name += 10 + strspn(name + 10, " ");
    if (*name == '\0' || strlen(name) >= CROWD_NAME_MAX ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(name)) {
        scenario_wrong(r, "[population NAME] needs a name of 1 to %d of a-z, 0-9 and -",
                       CROWD_NAME_MAX - 1);
        return;
    }
    for (uint32_t i = 0; i < s->populations_count; i++) {
        if (strcmp(s->populations[i].name, name) == 0) {
            scenario_wrong(r, "[population %s] stands here a second time: first in line %u", name,
                           r->lines[i]);
            return;
        }
    }
    if (s->populations_count == CROWD_POPULATIONS_MAX) {
        scenario_wrong(r, "more than %d populations", CROWD_POPULATIONS_MAX);
        return;
    }
    r->is_unknown = false;
    r->lines[s->populations_count] = r->line;
    r->population = &s->populations[s->populations_count++];
    scenario_defaults(r->population, CROWD_KIND_COUNT);
    memcpy(r->population->name, name, strlen(name) + 1);
}

/* A rate of requests a second of the whole population: kept until its identities are known. */
static void scenario_put(struct scenario_reader *r, const struct scenario_key *key, uint64_t value)
{
    char *base = r->population ? (char *)r->population : (char *)r->s;
    switch (key->type) {
    case SCENARIO_KIND:
        scenario_defaults(r->population, (enum crowd_kind)value);
        break;
    case SCENARIO_MODE:
        r->s->mode = (enum crowd_mode)value;
        break;
    case SCENARIO_ASSURANCE:
        *(enum crowd_assurance *)(void *)(base + key->offset) = (enum crowd_assurance)value;
        break;
    case SCENARIO_YESNO:
        *(bool *)(base + key->offset) = value == 1;
        break;
    default:
        *(uint64_t *)(void *)(base + key->offset) = value;
        break;
    }
}

static bool scenario_may_stand(struct scenario_reader *r, const struct scenario_key *key,
                               size_t place)
{
    if (r->seen[r->population != NULL] >> place & 1) {
        scenario_wrong(r, "%s stands here a second time", key->name);
        return false;
    }
    if (key->type == SCENARIO_KIND && r->seen[1] != 0) {
        scenario_wrong(r, "kind is the first key of a population: it sets the others");
        return false;
    }
    if (r->population && key->type != SCENARIO_KIND &&
        r->population->kind == CROWD_KIND_COUNT) {
        if (r->seen[1] == 0) {
            scenario_wrong(r, "kind is missing: it is the first key of a population, as "
                           "'kind = people'");
        }
        scenario_defaults(r->population, CROWD_PEOPLE); /* what else is wrong is told as well */
    }
    return true;
}

static void scenario_pair(struct scenario_reader *r, const char *name, const char *text)
{
    uint64_t value = 0;
    size_t place = 0;
    if (!r->has_heading) {
        scenario_wrong(r, "'%.40s' stands above the first [section]", name);
        return;
    }
    if (r->is_unknown) {
        return; /* told already */
    }
    if (r->population && strcmp(name, "victims") == 0) {
        uint32_t i = r->s->populations_count - 1;
        snprintf(r->victims[i], CROWD_NAME_MAX, "%s", text);
        r->victims_lines[i] = r->line;
        return;
    }
    const struct scenario_key *key = scenario_key_find(r->population != NULL, name, &place);
    if (key == NULL) {
        struct guess guess;
        guess_init(&guess, name);
        scenario_key_offer(r->population != NULL, &guess);
        scenario_wrong(r, "[%s] has no key '%.40s'%s%s%s", r->population ? "population" :
                       "scenario", name, guess.best ? ": did you mean '" : "; see "
                       "docs/scenarios.md", guess.best ? guess.best : "", guess.best ? "'?" : "");
        return;
    }
    if (scenario_may_stand(r, key, place) && scenario_value(r, key, text, &value)) {
        scenario_put(r, key, value);
    } else if (key->type == SCENARIO_KIND && r->population->kind == CROWD_KIND_COUNT) {
        scenario_defaults(r->population, CROWD_PEOPLE);
    }
    r->seen[r->population != NULL] |= UINT64_C(1) << place;
}

/* One line, without its end; changed in place. */
static void scenario_line(struct scenario_reader *r, char *line)
{
    for (char *c = line; *c; c++) {
        if ((*c == '#' || *c == ';') && (c == line || c[-1] == ' ' || c[-1] == '\t')) {
            *c = '\0';
            break;
        }
        if ((uint8_t)*c < 0x20 && *c != '\t') {
            scenario_wrong(r, "a control character (0x%02x) in the line", (uint8_t)*c);
            return;
        }
    }
    line += strspn(line, " \t");
    size_t len = strlen(line);
    while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t')) {
        line[--len] = '\0';
    }
    char *equals = strchr(line, '=');
    if (len == 0) {
        return;
    }
    if (line[0] == '[' && line[len - 1] == ']') {
        line[len - 1] = '\0';
        scenario_heading(r, line + 1);
    } else if (line[0] != '[' && equals && equals > line) {
        char *end = equals;
        while (end > line && (end[-1] == ' ' || end[-1] == '\t')) {
            end--;
        }
        *end = '\0';
        equals += 1 + strspn(equals + 1, " \t");
        scenario_pair(r, line, equals);
    } else {
        scenario_wrong(r, "neither [section] nor key = value");
    }
}

static void scenario_lines(struct scenario_reader *r, struct span text)
{
    char line[SCENARIO_LINE_MAX + 1];
    const uint8_t *at = text.ptr, *end = text.ptr + text.len;
    while (at < end && r->report->count < CROWD_MISTAKES_MAX) {
        const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop ? stop : end) - at);
        const uint8_t *next = stop ? stop + 1 : end;
        len -= len > 0 && at[len - 1] == '\r' ? 1 : 0;
        r->line++;
        if (len > SCENARIO_LINE_MAX || memchr(at, '\0', len)) {
            scenario_wrong(r, len > SCENARIO_LINE_MAX ? "the line is too long" :
                           "a NUL byte in the line");
        } else {
            memcpy(line, at, len);
            line[len] = '\0';
            scenario_line(r, line);
        }
        at = next;
    }
}

/* -- the whole ------------------------------------------------------------------------------- */

static void scenario_victims(struct scenario_reader *r, uint32_t i)
{
    struct crowd_population *p = &r->s->populations[i];
    struct guess guess;
    p->victims = -1;
    r->line = r->lines[i];
    if (r->victims[i][0] == '\0') {
        if (p->kind == CROWD_THIEVES) {
            scenario_wrong(r, "[population %s] needs victims = NAME of the population whose "
                           "tokens it stole", p->name);
        }
        return;
    }
    r->line = r->victims_lines[i];
    guess_init(&guess, r->victims[i]);
    for (uint32_t k = 0; k < r->s->populations_count; k++) {
        if (strcmp(r->s->populations[k].name, r->victims[i]) == 0 && k < i) {
            p->victims = (int32_t)k;
        }
        guess_offer(&guess, r->s->populations[k].name);
    }
    if (p->victims < 0) {
        scenario_wrong(r, "victims = %s: no population above has that name%s%s%s", r->victims[i],
                       guess.best ? "; did you mean '" : "", guess.best ? guess.best : "",
                       guess.best ? "'?" : "");
    } else if (r->s->populations[p->victims].victims >= 0 ||
               p->identities > r->s->populations[p->victims].identities) {
        scenario_wrong(r, "[population %s] has more stolen tokens than its victims have",
                       p->name);
    }
}

int scenario_read(struct span text, const char *file, struct crowd_report *report,
                  struct crowd_scenario *ret_scenario)
{
    struct crowd_scenario s;
    struct scenario_reader r = {.file = file, .report = report, .s = &s, .line = 1};
    scenario_fallback(&s);
    if (text.len > CROWD_TEXT_MAX) {
        scenario_wrong(&r, "more than %d bytes", CROWD_TEXT_MAX);
        return CROWD_E_WRONG;
    }
    r.line = 0;
    scenario_lines(&r, text);
    if (report->count == 0) {
        for (uint32_t i = 0; i < s.populations_count; i++) {
            if (s.populations[i].kind == CROWD_KIND_COUNT) {
                r.line = r.lines[i];
                scenario_wrong(&r, "[population %s] has no kind, as 'kind = people'",
                               s.populations[i].name);
            }
            scenario_victims(&r, i);
        }
        if (s.populations_count == 0) {
            r.line = r.line ? r.line : 1;
            scenario_wrong(&r, "no [population NAME]: nobody would come");
        } else if (!scenario_count(&s)) {
            scenario_wrong(&r, "more than %d clients together", CROWD_IDENTITIES_MAX);
        }
    }
    if (report->count) {
        return CROWD_E_WRONG;
    }
    const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
    if (s.name[0] == '\0') {
        size_t len = strcspn(base, ".");
        len = len < CROWD_NAME_MAX ? len : CROWD_NAME_MAX - 1;
        memcpy(s.name, base, len);
        s.name[len] = '\0';
    }
    *ret_scenario = s;
    return 0;
}
