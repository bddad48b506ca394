/* SPDX-License-Identifier: MIT */
/* Verifying a bundle with a journal: the file returns, event by event (docs/draw.md, "Returns").
 *
 *   first pass    |=======>                  each step: the outcome's next line
 *   standby pass  |===>                      each gain: the journal's own line `won`
 *   events say how far both were, and what changed then: a slot came back, somebody left
 *
 * Nothing is believed but the order of the events: who gets what is made again here, so a gain
 * that is left out, moved or made up shows at its line, and the first pass at the outcome's.
 * Owns the state of each place while it runs.  Fails by finding; < 0 when memory ends.
 * Road not taken: publishing the time of each event, which says when somebody cancelled. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "draw/bundle_inside.h"

static int returns_wrong(struct bundle_run *run, const char *what)
{
    return bundle_found(run, "returns", run->returns.number, what);
}

/* -- places ------------------------------------------------------------------------------------ */

/* `COHORT/TICKET_ID` -> its number in the order; false: there is no such place. */
static bool returns_find(const struct bundle_run *run, struct span field, uint32_t *ret_at)
{
    const struct bundle_cohort *c = &run->cohort;
    const uint8_t *slash = field.len ? memchr(field.ptr, '/', field.len) : NULL;
    struct ticket_id id;
    bool bad = slash == NULL;
    size_t n = bad ? 0 : (size_t)(slash - field.ptr), len = 0;
    uint64_t number = bad ? 0 : lines_number_of((struct span){field.ptr, n}, UINT32_MAX, &bad);
    if (bad || !lines_hex_of((struct span){slash + 1, field.len - n - 1}, id.bytes, 16, &len) ||
        len != 16) {
        return false;
    }
    uint32_t start = 0;
    while (start < c->starts_count && c->starts[start].number != number) {
        start++;
    }
    if (start == c->starts_count) {
        return false;
    }
    uint32_t low = c->starts[start].from;
    uint32_t high = start + 1 < c->starts_count ? c->starts[start + 1].from : c->count;
    uint64_t rank = draw_rank(&run->seed, &id);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct draw_place *p = &c->places[middle];
        int order = memcmp(&c->ids[p->index], &id, sizeof id);
        if (p->rank == rank && order == 0) {
            *ret_at = middle;
            return true;
        }
        bool is_before = p->rank != rank ? p->rank < rank : order < 0;
        low = is_before ? middle + 1 : low;
        high = is_before ? high : middle;
    }
    return false;
}

/* A walk's place as how many it has looked at; `-`: there is none, and 0. */
static bool returns_walk(struct bundle_run *run, uint32_t *ret_count, bool *ret_has_none)
{
    struct span field = lines_field(&run->returns);
    uint32_t at = 0;
    *ret_has_none = span_equal(field, span_of("-"));
    if (run->returns.bad || (!*ret_has_none && !returns_find(run, field, &at))) {
        return false;
    }
    *ret_count = *ret_has_none ? 0 : at + 1;
    return true;
}

/* -- the walks --------------------------------------------------------------------------------- */

/* Up to `to` places; nobody among them may get anything.  False: somebody does. */
static bool returns_pass(struct bundle_run *run, uint32_t to)
{
    struct bundle_walks *w = &run->walks;
    for (; w->pass < to; w->pass++) {
        struct draw_preferences p;
        struct draw_wish wishes[DRAW_WISHES_MAX];
        const uint8_t *text = run->cohort.preferences[run->cohort.places[w->pass].index];
        if (draw_stock_free_count(run->stock) == 0) {
            w->pass = to;
            return true;
        }
        if (w->states[w->pass] != PLACE_STANDBY || text == NULL) {
            continue;
        }
        bundle_wishes(run, text, &p, wishes);
        for (uint32_t i = 0; i < p.count; i++) {
            if (draw_stock_first(run->stock, wishes[i], p.slot_count) != DRAW_NONE) {
                return false;
            }
        }
    }
    return true;
}

/* The pass under way, if there is one, to the end of the order. */
static int returns_pass_ends(struct bundle_run *run)
{
    struct bundle_walks *w = &run->walks;
    if (w->is_passing && !returns_pass(run, run->cohort.count)) {
        return returns_wrong(run, "standby gets something that is not told before");
    }
    w->is_passing = false;
    return 0;
}

static int returns_first(struct bundle_run *run, uint32_t to)
{
    struct bundle_walks *w = &run->walks;
    if (to < w->first || (to > w->first && (w->is_passing || (w->has_passed && w->has_back)))) {
        return returns_wrong(run, to < w->first ? "the first pass does not go back"
                                                : "what came back is for standby first");
    }
    int r = 0;
    while (r == 0 && w->first < to) {
        r = bundle_outcome_next(run, w->first++);
    }
    return r;
}

/* FIRST and STANDBY, the rest of the line: both walks go there. */
static int returns_walks(struct bundle_run *run)
{
    struct bundle_walks *w = &run->walks;
    uint32_t first = 0, standby = 0;
    bool is_at_start, is_over;
    if (!returns_walk(run, &first, &is_at_start) || !returns_walk(run, &standby, &is_over) ||
        !lines_is_over(&run->returns)) {
        return returns_wrong(run, "is no place in the order");
    }
    if (is_over) {
        int r = returns_pass_ends(run);
        return r ? r : returns_first(run, first);
    }
    if (!w->is_passing || standby < w->pass) {
        return returns_wrong(run, "the pass over standby is not there");
    }
    if (!returns_pass(run, standby)) {
        return returns_wrong(run, "standby gets something that is not told before");
    }
    return returns_first(run, first);
}

/* -- events ------------------------------------------------------------------------------------ */

static int returns_back(struct bundle_run *run)
{
    uint64_t slot = lines_number(&run->returns, UINT32_MAX);
    if (run->returns.bad || slot >= run->sum->slots) {
        return returns_wrong(run, "is no slot of the release");
    }
    int r = returns_walks(run);
    if (r) {
        return r;
    }
    if (draw_stock_is_free(run->stock, (uint32_t)slot)) {
        return returns_wrong(run, "nobody had this slot");
    }
    draw_stock_put(run->stock, (uint32_t)slot);
    run->walks.has_back = true;
    run->sum->returned++;
    return 0;
}

static int returns_pass_begins(struct bundle_run *run)
{
    struct bundle_walks *w = &run->walks;
    uint32_t first = 0;
    bool is_at_start;
    if (!returns_walk(run, &first, &is_at_start) || !lines_is_over(&run->returns)) {
        return returns_wrong(run, "is no place in the order");
    }
    int r = returns_pass_ends(run);
    r = r ? r : returns_first(run, first);
    if (r == 0 && !w->has_back) {
        return returns_wrong(run, "nothing has come back for this pass");
    }
    w->is_passing = true;
    w->has_passed = true;
    w->has_back = false;
    w->pass = 0;
    return r;
}

/* The ticket of PLACE; false: told. */
static int returns_ticket(struct bundle_run *run, uint32_t *ret_at)
{
    struct span field = lines_field(&run->returns);
    return !run->returns.bad && returns_find(run, field, ret_at)
               ? 0
               : returns_wrong(run, "is no place in the order");
}

static int returns_won(struct bundle_run *run)
{
    struct bundle_walks *w = &run->walks;
    uint32_t at = 0;
    int r = returns_ticket(run, &at);
    if (r) {
        return r;
    }
    if (!w->is_passing || at < w->pass || w->states[at] != PLACE_STANDBY) {
        return returns_wrong(run, "this ticket does not stand by for a pass under way");
    }
    if (!returns_pass(run, at)) {
        return returns_wrong(run, "standby gets something that is not told before");
    }
    const struct draw_place *place = &run->cohort.places[at];
    struct lines gain = run->returns; /* `WISH SLOTS`, as in the outcome behind `won` */
    uint32_t wish = gain.line.len ? (uint32_t)(gain.line.ptr[0] - '0') : 0;
    w->pass = at + 1;
    w->states[at] = PLACE_WON;
    if (!bundle_gain(run, &gain, run->cohort.preferences[place->index])) {
        return returns_wrong(run, "is not what this ticket gets now");
    }
    run->sum->standby++;
    const struct draw_bundle_receipt *receipt = run->b->receipt;
    if (receipt && memcmp(&run->cohort.ids[place->index], &receipt->is.id, 16) == 0) {
        run->sum->receipt_wish = wish;
        run->sum->is_receipt_lost = false;
    }
    return 0;
}

static int returns_left(struct bundle_run *run)
{
    uint32_t at = 0;
    int r = returns_ticket(run, &at);
    r = r ? r : returns_walks(run);
    if (r) {
        return r;
    }
    if (run->walks.states[at] != PLACE_UNSEEN && run->walks.states[at] != PLACE_STANDBY) {
        return returns_wrong(run, "this ticket has left, or got something");
    }
    run->walks.states[at] = PLACE_LEFT;
    return 0;
}

/* The last line: whoever was not looked at by then never is. */
static int returns_end(struct bundle_run *run, bool is_open)
{
    int r = returns_walks(run);
    if (r == 0 && run->returns.rest.len > 0) {
        run->returns.number++;
        return returns_wrong(run, "nothing comes behind the end");
    }
    run->sum->is_open = is_open;
    run->walks.is_over = true;
    while (r == 0 && run->walks.first < run->cohort.count) {
        r = bundle_outcome_next(run, run->walks.first++);
    }
    return r;
}

static int returns_event(struct bundle_run *run)
{
    struct span word = lines_field(&run->returns);
    if (span_equal(word, span_of("back"))) {
        return returns_back(run);
    }
    if (span_equal(word, span_of("pass"))) {
        return returns_pass_begins(run);
    }
    if (span_equal(word, span_of("won"))) {
        return returns_won(run);
    }
    if (span_equal(word, span_of("left"))) {
        return returns_left(run);
    }
    bool is_open = span_equal(word, span_of("now"));
    return is_open || span_equal(word, span_of("end")) ? returns_end(run, is_open)
                                                       : returns_wrong(run, "is no event");
}

static int returns_states_new(struct bundle_run *run)
{
    run->walks.states = calloc(run->cohort.count + (size_t)1, 1);
    return run->walks.states ? 0 : err_origin(-ENOMEM);
}

int bundle_returns_serve(struct bundle_run *run)
{
    int r = returns_states_new(run);
    while (r == 0 && !run->walks.is_over) {
        if (!lines_next(&run->returns)) {
            run->returns.number += !run->returns.bad;
            r = returns_wrong(run, "the journal has no end");
        } else {
            r = returns_event(run);
        }
    }
    free(run->walks.states);
    run->walks.states = NULL;
    return r;
}

int bundle_returns_begin(struct bundle_run *run)
{
    run->returns = lines_of(run->b->returns);
    if (!run->b->has_returns) {
        return 0;
    }
    struct span value = lines_next(&run->returns) ? lines_value(&run->returns, "journal")
                                                  : (struct span){0};
    bool is_none = span_equal(value, span_of("none")) && run->returns.rest.len == 0;
    run->sum->is_journaled = !run->returns.bad && span_equal(value, span_of("kept")) &&
                             run->manifest.serving == DRAW_BY_PREFERENCE;
    if (run->returns.bad || (!is_none && !run->sum->is_journaled)) {
        run->returns.number += run->returns.number == 0;
        return returns_wrong(run, "is no journal of this release");
    }
    return 0;
}
