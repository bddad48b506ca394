/* SPDX-License-Identifier: MIT */
/* Verifying a bundle, the last part: who got what, line by line.
 *   by preference: serial dictatorship over the stock, made again here
 *   by turn:       everybody with a turn comes before everybody without, across all cohorts
 * Owns the places of the cohort that is served.  Fails by finding; < 0 when memory ends. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "draw/bundle_inside.h"

/* -- outcome ----------------------------------------------------------------------------------- */

/* By preference: is the line what serial dictatorship gives this ticket now? */
static bool bundle_serve(struct bundle_run *run, struct lines *l, const uint8_t *preferences)
{
    struct draw_preferences p;
    struct draw_wish wishes[DRAW_WISHES_MAX];
    uint8_t bytes[DRAW_PREFERENCES_MAX];
    size_t n = 0, wish = 0;
    struct span text = {preferences, 0};
    while (preferences[text.len] != ' ') {
        text.len++;
    }
    if (!lines_hex_of(text, bytes, sizeof bytes, &n) ||
        !draw_preferences_read((struct span){bytes, n}, &p)) {
        return false; /* was read before: never */
    }
    draw_preferences_wishes(&p, run->stock, wishes);
    uint32_t slot = draw_stock_serve(run->stock, wishes, p.count, p.slot_count, &wish);
    if (slot == DRAW_NONE) {
        bool lost = span_equal(l->line, span_of("lost - -"));
        l->line.len = 0;
        return lost;
    }
    run->sum->winners++;
    if (!span_equal(lines_field(l), span_of("won")) ||
        lines_number(l, DRAW_WISHES_MAX) != wish + 1) {
        return false;
    }
    struct span list = lines_field(l);
    for (uint32_t i = 0; i < p.slot_count && !l->bad; i++) {
        const uint8_t *comma = list.len ? memchr(list.ptr, ',', list.len) : NULL;
        size_t len = comma ? (size_t)(comma - list.ptr) : list.len;
        uint64_t number = lines_number_of((struct span){list.ptr, len}, UINT32_MAX, &l->bad);
        l->bad = l->bad || number != slot;
        list.ptr += comma ? len + 1 : len;
        list.len -= comma ? len + 1 : len;
        slot = draw_stock_next(run->stock, slot);
    }
    return lines_is_over(l) && list.len == 0;
}

/* Without preferences: a winner's slots must be there and nobody else's. */
static bool bundle_serve_withheld(struct bundle_run *run, struct lines *l)
{
    if (span_equal(l->line, span_of("lost - -"))) {
        l->line.len = 0;
        return true;
    }
    if (!span_equal(lines_field(l), span_of("won")) || lines_number(l, DRAW_WISHES_MAX) == 0) {
        return false;
    }
    struct span list = lines_field(l);
    run->sum->winners++;
    while (!l->bad) {
        const uint8_t *comma = memchr(list.ptr, ',', list.len);
        size_t len = comma ? (size_t)(comma - list.ptr) : list.len;
        uint64_t slot = lines_number_of((struct span){list.ptr, len}, UINT32_MAX, &l->bad);
        l->bad = l->bad || slot >= run->sum->slots ||
                 !draw_stock_is_free(run->stock, (uint32_t)slot);
        if (l->bad) {
            break;
        }
        draw_stock_take(run->stock, (uint32_t)slot);
        if (comma == NULL) {
            break;
        }
        list.ptr += len + 1;
        list.len -= len + 1;
    }
    return lines_is_over(l);
}

static bool bundle_turn(struct bundle_run *run, struct lines *l)
{
    bool turn = span_equal(l->line, span_of("turn - -"));
    bool waiting = span_equal(l->line, span_of("waiting - -"));
    bool left = span_equal(l->line, span_of("left - -"));
    l->line.len = 0;
    bool ok = turn ? !run->has_waiting : waiting || left;
    run->has_waiting = run->has_waiting || waiting;
    run->sum->winners += turn;
    return ok;
}

static bool bundle_outcome_line(struct bundle_run *run, const struct draw_place *place)
{
    const struct bundle_cohort *c = &run->cohort;
    struct lines *l = &run->outcome;
    uint8_t rank_bytes[8];
    struct ticket_id id;
    uint32_t winners = run->sum->winners;
    uint64_t cohort = lines_number(l, UINT32_MAX);
    lines_hex(l, rank_bytes, sizeof rank_bytes);
    lines_hex(l, &id, sizeof id);
    struct reader r = reader_of(rank_bytes, sizeof rank_bytes);
    if (l->bad || cohort != c->number || reader_u64(&r) != place->rank ||
        memcmp(&id, &c->ids[place->index], sizeof id) != 0) {
        return false;
    }
    bool is_lost = span_equal(l->line, span_of("lost - -"));
    bool is_won = l->line.len > 5 && memcmp(l->line.ptr, "won ", 4) == 0;
    uint32_t wish = is_won ? (uint32_t)(l->line.ptr[4] - '0') : 0;
    if (c->number > 0 && span_equal(l->line, span_of("later - -"))) {
        return true; /* in its order; what was left for it depends on what came back */
    }
    bool ok = run->manifest.serving == DRAW_BY_TURN ? bundle_turn(run, l)
              : c->preferences[place->index]        ? bundle_serve(run, l,
                                                                   c->preferences[place->index])
                                                    : bundle_serve_withheld(run, l);
    if (run->b->receipt && memcmp(&id, &run->b->receipt->is.id, sizeof id) == 0) {
        run->sum->receipt_rank = place->rank;
        run->sum->is_receipt_lost = is_lost;
        run->sum->receipt_wish = wish;
    }
    if (run->sum->winners > winners && c->number == 0) {
        run->sum->cut_off = place->rank;
    }
    return ok && !l->bad;
}

static int bundle_places_grow(struct bundle_cohort *c)
{
    free(c->places);
    free(c->scratch);
    c->places = malloc((c->count + (size_t)1) * sizeof *c->places);
    c->scratch = malloc((c->count + (size_t)1) * sizeof *c->scratch);
    return c->places && c->scratch ? 0 : err_origin(-ENOMEM);
}

int bundle_cohort_serve(struct bundle_run *run)
{
    struct bundle_cohort *c = &run->cohort;
    int r = bundle_places_grow(c);
    if (r) {
        return err_trace(r);
    }
    draw_order(&run->sum->seed, c->ids, c->count, c->places, c->scratch);
    for (uint32_t i = 0; i < c->count; i++) {
        if (!lines_next(&run->outcome) || !bundle_outcome_line(run, &c->places[i])) {
            return bundle_found(run, "outcome", run->outcome.number,
                                "is not what the order and the wishes give");
        }
    }
    c->count = 0;
    return 0;
}

/* Does the ticket that was read last come after the one before it? */
static bool bundle_late_follows(const struct bundle_run *run, const struct draw_mac *seed)
{
    const struct ticket_id *id = &run->cohort.ids[run->cohort.count - 1];
    if (run->cohort.count == 1) {
        return true;
    }
    uint64_t rank = draw_rank(seed, id), before = draw_rank(seed, id - 1);
    return before != rank ? before < rank : memcmp(id - 1, id, sizeof *id) < 0;
}

int bundle_late_serve(struct bundle_run *run)
{
    struct lines l = lines_of(run->b->late);
    struct draw_mac seed;
    draw_mac_init(&seed, run->sum->seed.bytes);
    while (lines_next(&l)) {
        uint64_t number = lines_number(&l, UINT32_MAX);
        if (l.bad || number == 0 || number < run->cohort.number) {
            return bundle_found(run, "late", l.number, "is no ticket of a later cohort");
        }
        if (number > run->cohort.number) {
            int r = run->cohort.count ? bundle_cohort_serve(run) : 0;
            if (r) {
                return r;
            }
            run->cohort.number = (uint32_t)number;
        }
        uint32_t count = run->cohort.count;
        int r = bundle_ticket_read(run, &l);
        if (r == 0 && run->cohort.count > count && !bundle_late_follows(run, &seed)) {
            r = LINE_WRONG;
        }
        if (r) {
            return r < 0 ? err_trace(r)
                         : bundle_found(run, "late", l.number, "is no ticket in its order");
        }
        run->sum->late += run->cohort.count - count;
    }
    if (l.bad) {
        return bundle_found(run, "late", l.number, "the line has no end");
    }
    return run->cohort.count ? bundle_cohort_serve(run) : 0;
}

