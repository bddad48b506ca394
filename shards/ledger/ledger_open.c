/* SPDX-License-Identifier: MIT */
/* Releases that have not ended: when each one's next step is due, and its stock.
 * All of it can be derived again from the book, so it is no state: ledger_open_load() makes it at
 * the start, and every change of a release's record is followed here.
 *
 *   listing: slots are appended to a stock, so no step does much -> it counts when it is whole
 *   a slot comes back (drop, expiry, cancel, lapse) -> its release's stock, and its record says so,
 *   because the pass over standby that follows is a decision of the log
 *
 * Owns: the array, the lists, the stocks.  Bounded by RELEASES_OPEN_MAX and RELEASE_SLOTS_MAX.
 * Fails by -ENOMEM, and by damage at the start. */
#include <errno.h>
#include <stdlib.h>

#include "ledger/ledger_release.h"

#define OPEN_STEPS 8 /* of all releases, in one round: about 2,000 records */

struct ledger_open *ledger_open_find(struct ledger *l, uint64_t space)
{
    for (size_t i = 0; i < l->open_count; i++) {
        if (l->open[i].space == space) {
            return &l->open[i];
        }
    }
    return NULL;
}

struct ledger_open *ledger_open_offering(struct ledger *l, uint64_t pool_space,
                                         const struct slot_key *slot, uint32_t *ret_slot)
{
    for (size_t i = 0; i < l->open_count; i++) {
        struct ledger_open *o = &l->open[i];
        if (o->pool_space != pool_space || o->stock == NULL || slot->start_us < o->from_us ||
            slot->start_us >= o->to_us) {
            continue;
        }
        *ret_slot = draw_stock_find(o->stock, slot->start_us, slot->slug);
        return *ret_slot == DRAW_NONE ? NULL : o; /* no two overlap */
    }
    return NULL;
}

bool ledger_open_overlaps(const struct ledger *l, uint64_t pool_space, int64_t from_us,
                          int64_t to_us)
{
    for (size_t i = 0; i < l->open_count; i++) {
        const struct ledger_open *o = &l->open[i];
        if (o->pool_space == pool_space && o->from_us < to_us && from_us < o->to_us) {
            return true;
        }
    }
    return false;
}

int ledger_open_add(struct ledger *l, const struct ledger_release *r)
{
    CHECK(l->open_count < RELEASES_OPEN_MAX);
    CHECK(ledger_open_find(l, r->space) == NULL);
    l->open[l->open_count++] = (struct ledger_open){.space = r->space,
                                                    .pool_space = r->pool_space,
                                                    .from_us = (int64_t)r->slots_from_us,
                                                    .to_us = (int64_t)r->slots_to_us};
    ledger_open_follow(l, r);
    return 0;
}

static void ledger_open_empty(struct ledger_open *o)
{
    draw_stock_free(o->listed);
    draw_stock_free(o->stock);
}

void ledger_open_remove(struct ledger *l, uint64_t space)
{
    struct ledger_open *o = ledger_open_find(l, space);
    if (o) {
        ledger_open_empty(o);
        *o = l->open[--l->open_count];
    }
}

void ledger_open_fini(struct ledger *l)
{
    while (l->open_count > 0) {
        ledger_open_empty(&l->open[--l->open_count]);
    }
}

int ledger_open_list(struct ledger_open *o, const struct draw_slot *slot)
{
    int r = o->listed ? 0 : draw_stock_new(NULL, 0, &o->listed);
    r = r ? r : draw_stock_add(o->listed, slot);
    if (r == 0) {
        draw_stock_put(o->listed, draw_stock_count(o->listed) - 1);
    }
    return err_trace(r);
}

int ledger_open_stock(struct ledger_open *o)
{
    int r = o->listed ? 0 : draw_stock_new(NULL, 0, &o->listed);
    o->stock = o->listed;
    o->listed = NULL;
    return err_trace(r);
}

/* -- when -------------------------------------------------------------------------------------- */

/* The first turn's end; INT64_MAX: nobody has one. */
static int64_t ledger_open_turn_us(struct ledger *l, const struct ledger_release *r)
{
    struct ledger_key from = ledger_release_key(r->space, 'U');
    struct ledger_key_parts parts;
    struct span key, value;
    if (r->turns_live == 0 ||
        l->book->next(l->book->self, ledger_key_span(&from), true, &key, &value) != 0 ||
        !ledger_key_parse(key, &parts) || parts.at.space != r->space || parts.tag != 'U') {
        return INT64_MAX;
    }
    struct reader at = reader_of(parts.suffix.ptr, parts.suffix.len);
    int64_t act_by_us = (int64_t)reader_u64(&at);
    return act_by_us > (int64_t)r->lapse_us ? act_by_us : (int64_t)r->lapse_us;
}

/* When whoever is next behind the cursor may be served: 0 for cohort 0, else the end of its cohort;
 * INT64_MAX: nobody is behind it. */
static int64_t ledger_open_served_us(struct ledger *l, const struct ledger_release *r)
{
    struct ledger_key begin = ledger_release_key(r->space, 'K');
    const struct ledger_key *from = r->cursor.len ? &r->cursor : &begin;
    struct ledger_key_parts parts;
    struct span key, value;
    if (l->book->next(l->book->self, ledger_key_span(from), true, &key, &value) != 0 ||
        !ledger_key_parse(key, &parts) || parts.at.space != r->space || parts.tag != 'K') {
        return INT64_MAX;
    }
    struct reader at = reader_of(parts.suffix.ptr, parts.suffix.len);
    uint32_t cohort = reader_u32(&at);
    return cohort == 0 ? 0
                       : (int64_t)(r->entry_close_us + r->entry_grace_us + cohort * r->cohort_us);
}

static int64_t ledger_open_serving_us(struct ledger *l, const struct ledger_release *r,
                                      const struct ledger_open *o)
{
    int64_t due = INT64_MAX, next = ledger_open_served_us(l, r);
    bool is_through = r->phase == PHASE_SERVING && next == INT64_MAX;
    if (r->serving == RELEASE_BY_TURN) {
        uint32_t free_count = o->stock ? draw_stock_free_count(o->stock) : 0;
        due = ledger_open_turn_us(l, r);
        next = r->turns_live < free_count ? next : INT64_MAX;
    } else if (r->freed_count > 0 || r->is_scanning) {
        return 0;
    }
    if (is_through) {
        next = 0; /* everybody was served: standby begins */
    }
    return next < due ? next : due;
}

static bool ledger_open_has_parts(const struct ledger_release *r)
{
    uint8_t want = (uint8_t)((1u << r->trustees_count) - 1);
    want |= r->beacon_len ? LEDGER_RELEASE_BEACON_BIT : 0;
    return (r->parts_mask & want) == want;
}

static int64_t ledger_open_due_us(struct ledger *l, const struct ledger_release *r,
                                  const struct ledger_open *o)
{
    switch (r->phase) {
    case PHASE_ANNOUNCED:
        return r->is_paused ? INT64_MAX : (int64_t)r->entry_open_us;
    case PHASE_ENTRY:
        return (int64_t)(r->entry_close_us + r->entry_grace_us);
    case PHASE_SEALED:
        return ledger_open_has_parts(r) ? 0 : (int64_t)(r->seal_us + r->parts_wait_us);
    case PHASE_SERVING:
    case PHASE_STANDBY:
        return r->is_paused                         ? INT64_MAX
               : r->serving == RELEASE_FIRST_COME ? INT64_MAX
                                                  : ledger_open_serving_us(l, r, o);
    case PHASE_CLOSED:
    case PHASE_CANCELLED:
        return INT64_MAX;
    default:
        return 0; /* mass work under way */
    }
}

void ledger_open_follow(struct ledger *l, const struct ledger_release *r)
{
    struct ledger_open *o = ledger_open_find(l, r->space);
    if (o == NULL) {
        return;
    }
    if (o->phase != r->phase) {
        o->phase = r->phase;
        ledger_touch_release(l, r->space);
    }
    if (ledger_release_is_over(r)) {
        ledger_open_remove(l, r->space);
        return;
    }
    o->version = r->version;
    o->due_us = ledger_open_due_us(l, r, o);
    int64_t close_us = r->close_us ? (int64_t)r->close_us : INT64_MAX;
    if (r->phase >= PHASE_SERVING && r->phase <= PHASE_STANDBY && close_us < o->due_us) {
        o->due_us = close_us;
    }
}

int64_t ledger_open_next_us(const struct ledger *l)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < l->open_count; i++) {
        next = l->open[i].due_us < next ? l->open[i].due_us : next;
    }
    return next;
}

/* OPEN_STEPS a round, so that it stays short; where the walk begins moves on with every step, so
 * that each of many busy releases gets its own. */
size_t ledger_open_due(const struct ledger *l, int64_t now_us, struct command *out, size_t max)
{
    size_t count = 0;
    uint64_t first = 0;
    for (size_t i = 0; i < l->open_count; i++) {
        first += l->open[i].version;
    }
    max = max < OPEN_STEPS ? max : OPEN_STEPS;
    for (size_t i = 0; i < l->open_count && count < max; i++) {
        const struct ledger_open *o = &l->open[(first + i) % l->open_count];
        if (o->due_us <= now_us) {
            out[count++] = (struct command){.kind = COMMAND_STEP_RELEASE,
                                            .owner = o->space,
                                            .version = o->version};
        }
    }
    return count;
}

/* -- what comes back --------------------------------------------------------------------------- */

int ledger_open_freed(struct ledger_step *s, uint64_t pool_space, const struct slot_key *slot)
{
    uint32_t number;
    struct ledger_release release;
    struct ledger_open *o = ledger_open_offering(s->l, pool_space, slot, &number);
    if (o == NULL) {
        return 0;
    }
    draw_stock_put(o->stock, number);
    int r = ledger_release_load(s->l, o->space, &release);
    if (r) {
        return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
    }
    release.freed_count++;
    r = ledger_journal_back(s, &release, number);
    return r ? err_trace(r) : err_trace(ledger_release_put(s, &release));
}

/* -- at the start ------------------------------------------------------------------------------ */

/* Slots of the list into the open release. */
static int ledger_open_load_list(struct ledger *l, struct ledger_open *o)
{
    struct ledger_key from = ledger_release_key(o->space, 'N');
    struct span key = ledger_key_span(&from), value;
    for (bool exclusive = false;; exclusive = true) {
        struct ledger_key_parts parts;
        struct draw_slot slot;
        int r = ledger_next(l, key, exclusive, &key, &value);
        if (r) {
            return r == LEDGER_NONE ? 0 : err_trace(r);
        }
        if (!ledger_key_parse(key, &parts)) {
            return err_origin(-EBADMSG);
        }
        if (parts.at.space != o->space || parts.at.position != 0 || parts.tag != 'N') {
            return 0;
        }
        r = ledger_read_offered(value, &slot);
        if (r == 0) {
            r = ledger_open_list(o, &slot);
        }
        if (r) {
            return err_trace(r);
        }
    }
}

/* Which of them somebody has. */
static int ledger_open_load_free(struct ledger *l, struct ledger_open *o)
{
    for (uint32_t i = 0; i < draw_stock_count(o->stock); i++) {
        const struct draw_slot *at = draw_stock_slot(o->stock, i);
        struct slot_key key = {at->start_us, {(const uint8_t *)at->slug, at->slug_len}};
        struct ledger_key record = ledger_key_slot(o->pool_space, &key);
        struct ledger_slot slot;
        struct span value;
        int r = ledger_get(l, &record, &value);
        if (r == 0) {
            r = ledger_read_slot(value, &slot);
        }
        if (r) {
            return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
        }
        if (slot.state != SLOT_FREE && slot.state != SLOT_RETURNED) {
            draw_stock_take(o->stock, i);
        }
    }
    return 0;
}

static int ledger_open_load_one(struct ledger *l, struct span value)
{
    struct ledger_release release;
    int r = ledger_read_release(value, &release);
    if (r || ledger_release_is_over(&release)) {
        return r ? err_trace(r) : err_trace(ledger_end_load(l, &release));
    }
    if (l->open_count == RELEASES_OPEN_MAX) {
        return err_origin(-EBADMSG);
    }
    r = ledger_open_add(l, &release);
    struct ledger_open *o = ledger_open_find(l, release.space);
    if (r == 0) {
        r = ledger_open_load_list(l, o);
    }
    if (r == 0 && release.phase != PHASE_LISTING) {
        r = ledger_open_stock(o);
        r = r ? r : ledger_open_load_free(l, o);
    }
    ledger_open_follow(l, &release);
    return err_trace(r);
}

int ledger_open_next(struct ledger *l, uint64_t *space, struct span *ret_value)
{
    uint64_t from = *space + 1;
    for (;;) {
        struct ledger_key first = ledger_release_key(from, 'L');
        struct ledger_key_parts parts;
        struct span key, value;
        int r = ledger_next(l, ledger_key_span(&first), false, &key, &value);
        if (r) {
            return r == LEDGER_NONE ? r : err_trace(r);
        }
        if (!ledger_key_parse(key, &parts)) {
            return err_origin(-EBADMSG);
        }
        if (parts.at.space >= LEDGER_SPACE_POOLS) {
            return LEDGER_NONE;
        }
        if (parts.at.position == 0 && parts.tag == 'L') {
            *space = parts.at.space; /* everything else in this space is its own */
            *ret_value = value;
            return 0;
        }
        if (parts.at.position != 0 || parts.tag > 'L') {
            return err_origin(-EBADMSG); /* records without their release */
        }
        from = parts.at.space;
    }
}

int ledger_open_load(struct ledger *l)
{
    uint64_t space = LEDGER_SPACE_RELEASES - 1;
    struct span value;
    int r;
    while ((r = ledger_open_next(l, &space, &value)) == 0) {
        r = ledger_open_load_one(l, value);
        if (r) {
            return err_trace(r);
        }
    }
    return r == LEDGER_NONE ? 0 : err_trace(r);
}
