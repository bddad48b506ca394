/* SPDX-License-Identifier: MIT */
/* Verifying a bundle, the last part: who got what, line by line.
 *   by preference: serial dictatorship over the stock, made again here; with a journal the first
 *                  pass is walked by bundle_returns.c
 *   by turn:       everybody with a turn comes before everybody without, across all cohorts
 * Owns nothing; the places are the run's.  Fails by finding; < 0 when memory ends. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "draw/bundle_inside.h"

/* -- outcome ----------------------------------------------------------------------------------- */

void bundle_wishes(const struct bundle_run *run, const uint8_t *preferences,
                   struct draw_preferences *p, struct draw_wish wishes[DRAW_WISHES_MAX])
{
    uint8_t bytes[DRAW_PREFERENCES_MAX];
    size_t n = 0;
    struct span text = {preferences, 0};
    while (preferences[text.len] != ' ') {
        text.len++;
    }
    CHECK(lines_hex_of(text, bytes, sizeof bytes, &n)); /* was read before */
    CHECK(draw_preferences_read((struct span){bytes, n}, p));
    draw_preferences_wishes(p, run->stock, wishes);
}

/* `WISH SLOTS` of the chain of `count` slots that begins with `slot`, met by that wish? */
static bool bundle_is_chain(struct bundle_run *run, struct lines *l, size_t wish, uint32_t slot,
                            uint32_t count)
{
    if (lines_number(l, DRAW_WISHES_MAX) != wish) {
        return false;
    }
    struct span list = lines_field(l);
    for (uint32_t i = 0; i < count && !l->bad; i++) {
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

/* By preference: is the line what serial dictatorship gives this ticket now? */
static bool bundle_serve(struct bundle_run *run, struct lines *l, const uint8_t *preferences)
{
    struct draw_preferences p;
    struct draw_wish wishes[DRAW_WISHES_MAX];
    size_t wish = 0;
    bundle_wishes(run, preferences, &p, wishes);
    uint32_t slot = draw_stock_serve(run->stock, wishes, p.count, p.slot_count, &wish);
    if (slot == DRAW_NONE) {
        bool lost = span_equal(l->line, span_of("lost - -"));
        l->line.len = 0;
        return lost;
    }
    run->sum->winners++;
    return span_equal(lines_field(l), span_of("won")) &&
           bundle_is_chain(run, l, wish + 1, slot, p.slot_count);
}

/* Without preferences: `WISH SLOTS` of slots that are there and nobody else's. */
static bool bundle_gain_withheld(struct bundle_run *run, struct lines *l)
{
    if (lines_number(l, DRAW_WISHES_MAX) == 0) {
        return false;
    }
    struct span list = lines_field(l);
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

bool bundle_gain(struct bundle_run *run, struct lines *l, const uint8_t *preferences)
{
    struct draw_preferences p;
    struct draw_wish wishes[DRAW_WISHES_MAX];
    size_t wish = 0;
    if (preferences == NULL) {
        return bundle_gain_withheld(run, l);
    }
    bundle_wishes(run, preferences, &p, wishes);
    uint32_t slot = draw_stock_serve(run->stock, wishes, p.count, p.slot_count, &wish);
    return slot != DRAW_NONE && bundle_is_chain(run, l, wish + 1, slot, p.slot_count);
}

static bool bundle_serve_withheld(struct bundle_run *run, struct lines *l)
{
    if (span_equal(l->line, span_of("lost - -"))) {
        l->line.len = 0;
        return true;
    }
    run->sum->winners++;
    return span_equal(lines_field(l), span_of("won")) && bundle_gain_withheld(run, l);
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

/* With a journal, of a place that gets nothing at all: is the line that? */
static bool bundle_is_passed(const struct bundle_run *run, uint32_t at, bool *ret_is)
{
    bool has_left = run->walks.states[at] == PLACE_LEFT;
    *ret_is = has_left || run->walks.is_over;
    return span_equal(run->outcome.line, span_of(has_left ? "left - -" : "later - -"));
}

/* What the place's ticket gets, as its line has it; *ret_has: it got a turn or slots. */
static bool bundle_result(struct bundle_run *run, uint32_t at)
{
    struct lines *l = &run->outcome;
    const uint8_t *preferences = run->cohort.preferences[run->cohort.places[at].index];
    uint32_t winners = run->sum->winners;
    if (run->sum->is_journaled) {
        bool is_passed, is_right = bundle_is_passed(run, at, &is_passed);
        if (is_passed) {
            return is_right;
        }
    } else if (run->cohort.starts[run->start].number > 0 &&
               span_equal(l->line, span_of("later - -"))) {
        return true; /* in its order; what was left for it depends on what came back */
    }
    bool ok = run->manifest.serving == DRAW_BY_TURN ? bundle_turn(run, l)
              : preferences                         ? bundle_serve(run, l, preferences)
                                                    : bundle_serve_withheld(run, l);
    bool has = run->sum->winners > winners;
    if (has && run->cohort.starts[run->start].number == 0) {
        run->sum->cut_off = run->cohort.places[at].rank;
    }
    if (run->sum->is_journaled) {
        run->walks.states[at] = has ? PLACE_WON : PLACE_STANDBY;
    }
    return ok && !l->bad;
}

static bool bundle_outcome_line(struct bundle_run *run, uint32_t at)
{
    const struct bundle_cohort *c = &run->cohort;
    const struct draw_place *place = &c->places[at];
    struct lines *l = &run->outcome;
    uint8_t rank_bytes[8];
    struct ticket_id id;
    while (run->start + 1 < c->starts_count && c->starts[run->start + 1].from <= at) {
        run->start++;
    }
    uint64_t cohort = lines_number(l, UINT32_MAX);
    lines_hex(l, rank_bytes, sizeof rank_bytes);
    lines_hex(l, &id, sizeof id);
    struct reader r = reader_of(rank_bytes, sizeof rank_bytes);
    if (l->bad || cohort != c->starts[run->start].number || reader_u64(&r) != place->rank ||
        memcmp(&id, &c->ids[place->index], sizeof id) != 0) {
        return false;
    }
    bool is_lost = span_equal(l->line, span_of("lost - -"));
    bool is_won = l->line.len > 5 && memcmp(l->line.ptr, "won ", 4) == 0;
    uint32_t wish = is_won ? (uint32_t)(l->line.ptr[4] - '0') : 0;
    if (run->b->receipt && memcmp(&id, &run->b->receipt->is.id, sizeof id) == 0) {
        run->sum->receipt_rank = place->rank;
        run->sum->is_receipt_lost = is_lost;
        run->sum->receipt_wish = wish;
    }
    return bundle_result(run, at);
}

int bundle_outcome_next(struct bundle_run *run, uint32_t at)
{
    return lines_next(&run->outcome) && bundle_outcome_line(run, at)
               ? 0
               : bundle_found(run, "outcome", run->outcome.number,
                              "is not what the order and the wishes give");
}

int bundle_outcome_serve(struct bundle_run *run)
{
    int r = 0;
    for (uint32_t at = 0; r == 0 && at < run->cohort.count; at++) {
        r = bundle_outcome_next(run, at);
    }
    return r;
}

/* -- the order --------------------------------------------------------------------------------- */

static int bundle_places_new(struct bundle_cohort *c, uint32_t first)
{
    c->places = malloc((c->count + (size_t)1) * sizeof *c->places);
    c->scratch = malloc((first + (size_t)1) * sizeof *c->scratch);
    return c->places && c->scratch ? 0 : err_origin(-ENOMEM);
}

int bundle_order(struct bundle_run *run)
{
    struct bundle_cohort *c = &run->cohort;
    uint32_t first = c->starts_count > 1 ? c->starts[1].from : c->count; /* of cohort 0 */
    int r = bundle_places_new(c, first);
    if (r) {
        return err_trace(r);
    }
    draw_order(&run->sum->seed, c->ids, first, c->places, c->scratch);
    for (uint32_t i = first; i < c->count; i++) { /* the file has them as they are served */
        c->places[i] = (struct draw_place){.rank = draw_rank(&run->seed, &c->ids[i]), .index = i};
    }
    return 0;
}

static int bundle_starts_grow(struct bundle_cohort *c)
{
    uint32_t size = c->starts_size ? 2 * c->starts_size : 16;
    struct bundle_start *grown = realloc(c->starts, size * sizeof *grown);
    if (grown == NULL) {
        return err_origin(-ENOMEM);
    }
    c->starts = grown;
    c->starts_size = size;
    return 0;
}

/* The cohort whose tickets come next. */
static int bundle_start(struct bundle_run *run, uint32_t number)
{
    struct bundle_cohort *c = &run->cohort;
    int r = c->starts_count == c->starts_size ? bundle_starts_grow(c) : 0;
    if (r) {
        return err_trace(r);
    }
    c->starts[c->starts_count++] = (struct bundle_start){number, number ? c->count : 0};
    c->number = number;
    return 0;
}

/* Does the ticket that was read last come after the one before it in its cohort? */
static bool bundle_late_follows(const struct bundle_run *run)
{
    const struct bundle_cohort *c = &run->cohort;
    const struct ticket_id *id = &c->ids[c->count - 1];
    if (c->count - 1 == c->starts[c->starts_count - 1].from) {
        return true;
    }
    uint64_t rank = draw_rank(&run->seed, id), before = draw_rank(&run->seed, id - 1);
    return before != rank ? before < rank : memcmp(id - 1, id, sizeof *id) < 0;
}

int bundle_late_read(struct bundle_run *run)
{
    struct lines l = lines_of(run->b->late);
    draw_mac_init(&run->seed, run->sum->seed.bytes);
    int r = bundle_start(run, 0);
    while (r == 0 && lines_next(&l)) {
        uint64_t number = lines_number(&l, UINT32_MAX);
        if (l.bad || number == 0 || number < run->cohort.number) {
            return bundle_found(run, "late", l.number, "is no ticket of a later cohort");
        }
        uint32_t count = run->cohort.count;
        r = number > run->cohort.number ? bundle_start(run, (uint32_t)number) : 0;
        r = r ? r : bundle_ticket_read(run, &l);
        if (r == 0 && run->cohort.count > count && !bundle_late_follows(run)) {
            r = LINE_WRONG;
        }
        if (r > 0) {
            return bundle_found(run, "late", l.number, "is no ticket in its order");
        }
        run->sum->late += run->cohort.count - count;
    }
    return r == 0 && l.bad ? bundle_found(run, "late", l.number, "the line has no end")
                           : err_trace(r);
}
