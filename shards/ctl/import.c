/* SPDX-License-Identifier: MIT */
/* A CSV file of slots.
 *   header -> where each column stands
 *   record -> fields -> local time -> UTC -> slot         any mistake: an error with its line
 *   all    -> by desk -> a slot that begins before the desk's last one has ended is an error, too
 *          -> by pool and start
 * Owns the slots; their texts are borrowed from the file's bytes.
 * Every line is checked before the caller sends the first one, so a bad file changes nothing.
 * Local times are never guessed: a time that does not exist, or comes twice, is an error unless its
 * offset stands beside it.
 * Not taken: reading in a stream: checking the whole file first needs it whole anyway, and a month
 * of a big city is 3 MB. */
#include "ctl/import.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/err.h"
#include "base/limits.h"
#include "ctl/csv.h"
#include "base/guess.h"
#include "ctl/value.h"
#include "ctl/zone.h"
#include "proto/codec.h"

#define IMPORT_DESK_BYTES_MAX   64
#define IMPORT_DURATION_MIN_MAX (24 * 60)

enum import_column {
    IMPORT_POOL, IMPORT_DATE, IMPORT_START, IMPORT_DURATION, IMPORT_DESK, IMPORT_ZONE,
    IMPORT_COLUMNS
};

static const char *const import_names[IMPORT_COLUMNS] = {
    "pool", "date", "start", "duration_minutes", "desk", "time_zone"};

/* What one pass over a file knows. */
struct import_pass {
    struct import *import;      /* where results go */
    const char *pool;           /* --pool, or NULL */
    int column[IMPORT_COLUMNS]; /* field index; -1: the file has no such column */
    size_t columns_count;       /* fields of the header */
    const char *cell[IMPORT_COLUMNS]; /* of the running record, terminated; "" when absent */
    unsigned line;              /* of the running record */
};

__attribute__((format(printf, 3, 4)))
static bool import_wrong(struct import *i, unsigned line, const char *format, ...)
{
    if (i->errors_count < IMPORT_ERRORS_SHOWN) {
        struct import_error *e = &i->errors[i->errors_count];
        va_list args;
        e->line = line;
        va_start(args, format);
        vsnprintf(e->text, sizeof(e->text), format, args);
        va_end(args);
    }
    i->errors_count++;
    return false;
}

static bool import_header_cell(struct import_pass *p, size_t index, struct span field)
{
    char name[32];
    struct guess g;
    while (field.len > 0 && isspace(field.ptr[field.len - 1])) {
        field.len--;
    }
    while (field.len > 0 && isspace(field.ptr[0])) {
        field.ptr++;
        field.len--;
    }
    snprintf(name, sizeof(name), "%.*s", (int)(field.len < 31 ? field.len : 31), field.ptr);
    guess_init(&g, name);
    for (int c = 0; c < IMPORT_COLUMNS; c++) {
        guess_offer(&g, import_names[c]);
        if (strcasecmp(name, import_names[c]) != 0) {
            continue;
        }
        if (p->column[c] >= 0) {
            return import_wrong(p->import, p->line, "the column '%s' stands there twice", name);
        }
        p->column[c] = (int)index;
        return true;
    }
    if (g.best) {
        return import_wrong(p->import, p->line, "unknown column '%s': did you mean '%s'?", name,
                            g.best);
    }
    return import_wrong(p->import, p->line, "unknown column '%s' (pool,date,start,"
                        "duration_minutes,desk,time_zone are known)", name);
}

static bool import_header(struct import_pass *p, const struct csv_record *record)
{
    bool good = true;
    p->line = record->line;
    p->columns_count = record->count;
    for (int c = 0; c < IMPORT_COLUMNS; c++) {
        p->column[c] = -1;
    }
    for (size_t f = 0; f < record->count; f++) {
        good = import_header_cell(p, f, record->fields[f]) && good;
    }
    for (int c = 0; good && c < IMPORT_COLUMNS; c++) {
        bool optional = c == IMPORT_ZONE || (c == IMPORT_POOL && p->pool);
        if (p->column[c] < 0 && !optional) {
            good = import_wrong(p->import, p->line, "the column '%s' is missing%s", import_names[c],
                                c == IMPORT_POOL ? " (or say --pool ID)" : "");
        }
    }
    return good;
}

static bool import_pool(struct import_pass *p, const char **ret_pool)
{
    const char *id = p->cell[IMPORT_POOL];
    if (p->pool && id[0] && strcmp(p->pool, id) != 0) {
        return import_wrong(p->import, p->line, "pool '%.40s' is not the --pool %.40s", id,
                            p->pool);
    }
    id = id[0] ? id : p->pool;
    if (!id) {
        return import_wrong(p->import, p->line, "the pool is empty");
    }
    size_t len = strlen(id);
    if (len > POOL_ID_MAX || strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != len) {
        return import_wrong(p->import, p->line,
                            "pool '%.40s': an id is up to %d of a-z, 0-9 and -", id, POOL_ID_MAX);
    }
    *ret_pool = id;
    return true;
}

static struct span import_span(const char *text)
{
    return (struct span){(const uint8_t *)text, strlen(text)};
}

/* A local time that comes twice: say which two offsets it may have. */
static bool import_ambiguous(struct import_pass *p, const struct zone_local *l)
{
    const char *zone = p->cell[IMPORT_ZONE];
    struct zone_local unused;
    long before = 0, after = 0;
    zone_from_utc(zone, zone_utc(l) - 86400, &unused, &before);
    zone_from_utc(zone, zone_utc(l) + 86400, &unused, &after);
    return import_wrong(
        p->import, p->line,
        "%.10s %02d:%02d comes twice in %.40s (clocks go back): write %02d:%02d%c%02ld:%02ld or "
        "%02d:%02d%c%02ld:%02ld", p->cell[IMPORT_DATE], l->hour, l->minute, zone, l->hour,
        l->minute, before < 0 ? '-' : '+', labs(before) / 3600, labs(before) / 60 % 60, l->hour,
        l->minute, after < 0 ? '-' : '+', labs(after) / 3600, labs(after) / 60 % 60);
}

/* An offset was written: the zone, if named, must really have it then. */
static bool import_with_offset(struct import_pass *p, const struct zone_local *l, long offset_s,
                               int64_t *ret_s)
{
    const char *zone = p->cell[IMPORT_ZONE];
    struct zone_local unused;
    long real_s = offset_s;
    int64_t s = zone_utc(l) - offset_s;
    if (zone[0] && zone_from_utc(zone, s, &unused, &real_s) != 0) {
        return import_wrong(p->import, p->line, "unknown time zone '%.40s'", zone);
    }
    if (real_s != offset_s) {
        return import_wrong(p->import, p->line, "%.40s is not at that offset from UTC on %.10s at "
                            "%.14s", zone, p->cell[IMPORT_DATE], p->cell[IMPORT_START]);
    }
    *ret_s = s;
    return true;
}

static bool import_start(struct import_pass *p, int64_t *ret_s)
{
    struct zone_local l = {0};
    bool has_offset;
    long offset_s = 0;
    const char *date = p->cell[IMPORT_DATE], *start = p->cell[IMPORT_START];
    const char *zone = p->cell[IMPORT_ZONE];
    if (!value_date(import_span(date), &l)) {
        return import_wrong(p->import, p->line, "date '%.20s' is none: write YYYY-MM-DD", date);
    }
    if (!value_clock(import_span(start), &l, &has_offset, &offset_s)) {
        return import_wrong(p->import, p->line, "start '%.20s' is no time of day: write HH:MM",
                            start);
    }
    if (has_offset) {
        return import_with_offset(p, &l, offset_s, ret_s);
    }
    if (!zone[0]) {
        return import_wrong(p->import, p->line, "no time_zone and no offset: write a zone such as "
                            "Europe/Berlin, or the start as %.8s+01:00", start);
    }
    switch (zone_to_utc(zone, &l, ret_s)) {
    case 0:
        return true;
    case ZONE_E_GAP:
        return import_wrong(p->import, p->line, "%.10s %.8s does not exist in %.40s (clocks go "
                            "forward over it)", date, start, zone);
    case ZONE_E_AMBIGUOUS:
        return import_ambiguous(p, &l);
    default:
        return import_wrong(p->import, p->line, "unknown time zone '%.40s': write an IANA name "
                            "such as Europe/Berlin", zone);
    }
}

static bool import_desk(struct import_pass *p, const char **ret_desk)
{
    const char *desk = p->cell[IMPORT_DESK];
    size_t len = strlen(desk);
    if (len == 0 || len > IMPORT_DESK_BYTES_MAX) {
        return import_wrong(p->import, p->line, len ? "the desk's name is over %d bytes"
                                                    : "the desk is empty (up to %d bytes)",
                            IMPORT_DESK_BYTES_MAX);
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)desk[i] < 0x20 || desk[i] == 0x7f) {
            return import_wrong(p->import, p->line, "the desk's name has a control character");
        }
    }
    *ret_desk = desk;
    return true;
}

/* The slot of the running record; every field is looked at, so that all its errors are told. */
static bool import_slot(struct import_pass *p, struct import_slot *ret_slot)
{
    struct import_slot slot = {.line = p->line};
    long minutes = 0;
    bool good = import_pool(p, &slot.pool);
    good = import_start(p, &slot.start_s) && good;
    if (!value_count(p->cell[IMPORT_DURATION], 1, IMPORT_DURATION_MIN_MAX, &minutes)) {
        good = import_wrong(p->import, p->line, "duration_minutes '%.20s': a whole number from 1 "
                            "to %d", p->cell[IMPORT_DURATION], IMPORT_DURATION_MIN_MAX);
    }
    good = import_desk(p, &slot.desk) && good;
    slot.duration_s = minutes * 60;
    *ret_slot = slot;
    return good;
}

/* Terminates the fields in place: the byte behind each one was read already. */
static void import_cells(struct import_pass *p, const struct csv_record *record)
{
    for (int c = 0; c < IMPORT_COLUMNS; c++) {
        p->cell[c] = "";
        if (p->column[c] >= 0) {
            struct span field = record->fields[p->column[c]];
            ((uint8_t *)(uintptr_t)field.ptr)[field.len] = '\0';
            p->cell[c] = (const char *)field.ptr;
        }
    }
}

static int import_add(struct import *i, const struct import_slot *slot)
{
    if (i->count == i->size) {
        size_t size = i->size ? i->size * 2 : 1024;
        struct import_slot *larger = realloc(i->slots, size * sizeof(*larger));
        if (!larger) {
            return err_origin(-ENOMEM);
        }
        i->slots = larger;
        i->size = size;
    }
    i->slots[i->count++] = *slot;
    return 0;
}

static int import_record(struct import_pass *p, const struct csv_record *record)
{
    struct import_slot slot;
    p->line = record->line;
    if (record->count != p->columns_count) {
        import_wrong(p->import, p->line, "%zu field%s, the header has %zu", record->count,
                     record->count == 1 ? "" : "s", p->columns_count);
        return 0;
    }
    import_cells(p, record);
    return import_slot(p, &slot) ? err_trace(import_add(p->import, &slot)) : 0;
}

static int import_compare(const void *a, const void *b)
{
    const struct import_slot *x = a, *y = b;
    int order = strcmp(x->pool, y->pool);
    if (order == 0) {
        order = x->start_s < y->start_s ? -1 : x->start_s > y->start_s;
    }
    if (order == 0) {
        order = x->line < y->line ? -1 : x->line > y->line;
    }
    return order;
}

static int import_compare_errors(const void *a, const void *b)
{
    const struct import_error *x = a, *y = b;
    return x->line < y->line ? -1 : x->line > y->line;
}

/* A row by its desk, to find what one desk would do at one time. */
struct import_desk {
    const struct import_slot *slot;
    char slug[SLOT_DESK_MAX + 1]; /* desks count as the same when their slugs are: so do slot ids */
};

static int import_compare_desks(const void *a, const void *b)
{
    const struct import_desk *x = a, *y = b;
    int order = strcmp(x->slot->pool, y->slot->pool);
    order = order ? order : strcmp(x->slug, y->slug);
    return order ? order : import_compare(x->slot, y->slot);
}

/* Tells of every row that begins before an earlier one of its desk has ended. */
static void import_overlaps_of(struct import *i, const struct import_desk *desks)
{
    const struct import_desk *last = &desks[0]; /* of this desk, the one that ends last */
    for (size_t n = 1; n < i->count; n++) {
        const struct import_slot *slot = desks[n].slot, *other = last->slot;
        bool same = strcmp(slot->pool, other->pool) == 0 && strcmp(desks[n].slug, last->slug) == 0;
        if (same && slot->start_s == other->start_s) {
            import_wrong(i, slot->line, "the same desk at the same time as line %u ('%.40s')",
                         other->line, other->desk);
        } else if (same && slot->start_s < other->start_s + other->duration_s) {
            import_wrong(i, slot->line, "begins before line %u has ended at the same desk "
                         "('%.40s')", other->line, other->desk);
        }
        if (!same || slot->start_s + slot->duration_s > other->start_s + other->duration_s) {
            last = &desks[n];
        }
    }
}

static int import_overlaps(struct import *i)
{
    if (i->count == 0) {
        return 0;
    }
    struct import_desk *desks = calloc(i->count, sizeof(*desks));
    if (!desks) {
        return err_origin(-ENOMEM);
    }
    for (size_t n = 0; n < i->count; n++) {
        desks[n].slot = &i->slots[n];
        size_t len = codec_desk_slug(import_span(i->slots[n].desk), desks[n].slug);
        desks[n].slug[len] = '\0';
    }
    qsort(desks, i->count, sizeof(*desks), import_compare_desks);
    import_overlaps_of(i, desks);
    free(desks);
    return 0;
}

size_t import_pool_end(const struct import *i, size_t begin)
{
    size_t end = begin;
    while (end < i->count && strcmp(i->slots[end].pool, i->slots[begin].pool) == 0) {
        end++;
    }
    return end;
}

int import_read(struct import *i, uint8_t *bytes, size_t len, const char *pool)
{
    CHECK(bytes);
    struct csv csv;
    struct csv_record record;
    struct import_pass p = {.import = i, .pool = pool};
    *i = (struct import){0};
    csv_init(&csv, bytes, len);
    int r = csv_next(&csv, &record);
    if (r == CSV_E_END) {
        import_wrong(i, 1, "the file is empty");
        return 0;
    }
    if (r != 0) {
        import_wrong(i, record.line, "%s", csv_text(r));
        return 0;
    }
    if (!import_header(&p, &record)) {
        return 0;
    }
    while ((r = csv_next(&csv, &record)) != CSV_E_END) {
        if (r != 0) {
            import_wrong(i, record.line, "%s", csv_text(r));
            continue;
        }
        r = import_record(&p, &record);
        if (r < 0) {
            return err_trace(r);
        }
    }
    if (i->count > 0) {
        qsort(i->slots, i->count, sizeof(*i->slots), import_compare);
    }
    r = import_overlaps(i);
    if (r < 0) {
        return err_trace(r);
    }
    if (i->count == 0 && i->errors_count == 0) {
        import_wrong(i, 1, "there is no slot behind the header");
    }
    size_t kept = i->errors_count < IMPORT_ERRORS_SHOWN ? i->errors_count : IMPORT_ERRORS_SHOWN;
    qsort(i->errors, kept, sizeof(*i->errors), import_compare_errors);
    return 0;
}

void import_fini(struct import *i)
{
    free(i->slots);
    *i = (struct import){0};
}
