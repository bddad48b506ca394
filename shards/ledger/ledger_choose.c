/* SPDX-License-Identifier: MIT */
/* Which slots a command gets: those it names, or those of any desk at the time it names.
 *
 *   run: `count` slots at one desk, each starting where the one before it ends, all free, all
 *        starting on one day (UTC: a range of keys is never split inside a day)
 *
 * Any desk: among the desks with such a run at that start
 *   1. where the next slot behind the run is not free goes first: it is the end of its stretch, so
 *      long stretches stay whole for services that need several neighbours
 *   2. then by a hash of identity, start and desk.
 * The answer depends on who asks and what is free, never on who was first by a millisecond; the
 * same identity that asks again meets the same order, so asking often is no way to a better desk.
 *
 * Bounded: DESKS_MAX desks of one start, LOOKS_MAX records in all; a pool with more desks at one
 * time answers SLOT_TAKEN when those are taken.
 * Owns nothing; what it returns borrows from book and arena.
 * Road not taken: first desk in the book's order (everybody would fight for the same one, and the
 * last desks would stay whole for nobody). */
#include <sodium.h>

#include "ledger/ledger_parts.h"

#define DESKS_MAX   256
#define LOOKS_MAX   2048 /* about 1 ms */
#define HINT_SCAN   16   /* records looked at for other slots */
#define HINT_SCAN_RUNS 64
#define HINT_SLOTS  5
#define ID_BYTES    48

/* -- runs -------------------------------------------------------------------------------------- */

/* The slot of that record, if it is free: 0, LEDGER_NONE, < 0. */
static int ledger_choose_read(struct span value, struct ledger_slot *ret_slot)
{
    int r = ledger_read_slot(value, ret_slot);
#ifdef PLANT_TAKEN_TOO /* never defined but by tests/sim, as every PLANT_ of this room */
    return err_trace(r);
#endif
    return r ? err_trace(r) : ret_slot->state == SLOT_FREE ? 0 : LEDGER_NONE;
}

/* The slot, if it is there and free. */
static int ledger_choose_free(struct ledger_step *s, uint64_t space, const struct slot_key *at,
                              struct ledger_slot *ret_slot)
{
    struct ledger_key key = ledger_key_slot(space, at);
    struct span value;
    int r = ledger_get(s->l, &key, &value);
    r = r ? r : ledger_choose_read(value, ret_slot);
    return r == LEDGER_NONE ? r : err_trace(r);
}

/* The run of run->count slots that begins there, where the first one's record is `value`: 0;
 * LEDGER_NONE: there is none; < 0. */
static int ledger_choose_run_from(struct ledger_step *s, const struct slot_key *first,
                                  struct span value, struct ledger_run *run)
{
    struct slot_key at = *first;
    run->first = *first;
    for (size_t i = 0; i < run->count; i++) {
        if (at.start_us / DAY_US != first->start_us / DAY_US) {
            return LEDGER_NONE;
        }
        int r = 0;
        if (i > 0) {
            struct ledger_key key = ledger_key_slot(run->space, &at);
            r = ledger_get(s->l, &key, &value);
        }
        r = r ? r : ledger_choose_read(value, &run->slots[i]);
        if (r) {
            return r == LEDGER_NONE ? r : err_trace(r);
        }
        at.start_us += run->slots[i].duration_us;
    }
    run->end_us = at.start_us;
    return 0;
}

static int ledger_choose_run(struct ledger_step *s, const struct slot_key *first,
                             struct ledger_run *run)
{
    struct ledger_key key = ledger_key_slot(run->space, first);
    struct span value;
    int r = ledger_get(s->l, &key, &value);
    r = r ? r : ledger_choose_run_from(s, first, value, run);
    return r == LEDGER_NONE ? r : err_trace(r);
}

/* -- hints ------------------------------------------------------------------------------------- */

/* Says no more than LEDGER_HINTS times per log entry: when a whole crowd wants one slot, the
 * writer has better things to do than to look for others again and again. */
static bool ledger_choose_may_hint(struct ledger_step *s)
{
    struct ledger *l = s->l;
    if (l->hints_index != s->log_index) {
        l->hints_index = s->log_index;
        l->hints = 0;
    }
    return l->hints++ < LEDGER_HINTS;
}

/* Where hints are looked for, and for what. */
struct ledger_choose_hint {
    struct ledger_slots_walk walk;
    size_t count;      /* neighbours needed */
    int looks;         /* records left to look at */
    bool by_time;      /* each start time once: whoever asks names no desk */
};

/* The next slot with a run: 0, LEDGER_NONE when there is no more or it would take too long. */
static int ledger_choose_next(struct ledger_step *s, struct ledger_choose_hint *h,
                              int64_t last_us, struct slot_key *ret_key)
{
    while (h->looks-- > 0) {
        struct ledger_slot slot;
        struct ledger_run run = {.space = h->walk.space, .count = h->count};
        int r = ledger_slots_step(s, &h->walk, ret_key, &slot);
        if (r) {
            return r == LEDGER_NONE ? r : err_trace(r);
        }
        if (slot.state != SLOT_FREE || (h->by_time && ret_key->start_us == last_us)) {
            continue;
        }
        h->looks -= (int)h->count - 1;
        r = h->count > 1 ? ledger_choose_run(s, ret_key, &run) : 0;
        if (r != LEDGER_NONE) {
            return err_trace(r);
        }
    }
    return LEDGER_NONE;
}

/* Metadata "next_free": ids of the first slots of such runs soon after. */
static int ledger_choose_hints(struct ledger_step *s, struct ledger_choose_hint *h)
{
    char ids[HINT_SLOTS * ID_BYTES];
    size_t len = 0, found = 0;
    struct slot_key key = {.start_us = -1};
    int r = ledger_choose_may_hint(s) ? 0 : LEDGER_NONE;
    while (r == 0 && found < HINT_SLOTS) {
        r = ledger_choose_next(s, h, key.start_us, &key);
        if (r == 0) {
            ids[len] = ',';
            len += found > 0;
            len += codec_slot_id(&key, ids + len);
            found++;
        }
    }
    if (r < 0 || found == 0) {
        return r < 0 ? err_trace(r) : 0;
    }
    struct span text;
    r = ledger_keep(s->arena, (struct span){(uint8_t *)ids, len}, &text);
    if (r == 0) {
        ledger_meta(s, "next_free", text);
    }
    return err_trace(r);
}

/* -- a slot by name ---------------------------------------------------------------------------- */

static int ledger_choose_named(struct ledger_step *s, struct ledger_run *run)
{
    const struct slot_key *first = &s->c->slots[0];
    struct ledger_key key = ledger_key_slot(run->space, first);
    struct span value;
    int r = ledger_get(s->l, &key, &value);
    if (r) {
        return r == LEDGER_NONE ? REASON_SLOT_UNKNOWN : err_trace(r);
    }
    if (first->start_us <= s->now_us) {
        return REASON_SLOT_PAST;
    }
    r = ledger_choose_run_from(s, first, value, run);
    if (r == LEDGER_NONE) {
        struct ledger_choose_hint h = {.walk = {run->space, ledger_key_span(&key), true},
                                       .count = run->count,
                                       .looks = run->count > 1 ? HINT_SCAN_RUNS : HINT_SCAN};
        r = ledger_choose_hints(s, &h);
        return r ? err_trace(r) : REASON_SLOT_TAKEN;
    }
    return r ? err_trace(r) : REASON_OK;
}

/* -- any desk ---------------------------------------------------------------------------------- */

static uint64_t ledger_choose_hash(struct ledger_step *s, const struct slot_key *at)
{
    uint8_t bytes[16 + 8 + SLOT_DESK_MAX], out[crypto_shorthash_BYTES];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    scribe_bytes(&w, s->c->identity.bytes, sizeof s->c->identity.bytes);
    scribe_u64(&w, (uint64_t)at->start_us);
    scribe_bytes(&w, at->slug.ptr, at->slug.len);
    CHECK(!w.bad);
    crypto_shorthash(out, bytes, scribe_len(&w), (const uint8_t *)"fairslot.desk.v1");
    struct reader r = reader_of(out, sizeof out);
    return reader_u64(&r);
}

/* The desks of one start, and the best one so far. */
struct ledger_choose_desks {
    size_t seen;      /* slots that start then */
    size_t looks;     /* records looked at */
    bool found;
    uint64_t rank;    /* of the best: top bit 0 at the end of its stretch, then the hash */
    size_t slug_len;
    uint8_t slug[SLOT_DESK_MAX];
};

/* Looks at one free slot. */
static int ledger_choose_desk(struct ledger_step *s, struct ledger_choose_desks *d,
                              const struct slot_key *at, struct ledger_run *run)
{
    struct slot_key behind = {.slug = at->slug};
    struct ledger_slot slot;
    d->looks += run->count + 1;
    int r = ledger_choose_run(s, at, run);
    if (r) {
        return r == LEDGER_NONE ? 0 : err_trace(r);
    }
    behind.start_us = run->end_us;
    int next = ledger_choose_free(s, run->space, &behind, &slot);
    if (next < 0) {
        return err_trace(next);
    }
    uint64_t rank = (uint64_t)(next == 0) << 63 | ledger_choose_hash(s, at) >> 1;
    if (!d->found || rank < d->rank) {
        d->found = true;
        d->rank = rank;
        d->slug_len = at->slug.len;
        memcpy(d->slug, at->slug.ptr, at->slug.len);
    }
    return 0;
}

static int ledger_choose_walk(struct ledger_step *s, struct ledger_choose_desks *d,
                              struct ledger_run *run)
{
    struct slot_key at = {.start_us = s->c->select_us};
    struct ledger_key from = ledger_key_slot(run->space, &at);
    struct ledger_slots_walk walk = {run->space, ledger_key_span(&from), false};
    struct ledger_slot slot;
    while (d->seen < DESKS_MAX && d->looks < LOOKS_MAX) {
        int r = ledger_slots_step(s, &walk, &at, &slot);
        if (r == LEDGER_NONE || (r == 0 && at.start_us != s->c->select_us)) {
            return 0;
        }
        if (r == 0 && slot.state == SLOT_FREE) {
            r = ledger_choose_desk(s, d, &at, run);
        }
        if (r) {
            return err_trace(r);
        }
        d->seen++;
        d->looks++;
    }
    return 0;
}

static int ledger_choose_other(struct ledger_step *s, const struct ledger_run *run)
{
    int64_t second = s->c->select_us > s->now_us ? s->c->select_us : s->now_us;
    struct slot_key after = {.start_us = second - second % SECOND_US + SECOND_US};
    struct ledger_key from = ledger_key_slot(run->space, &after);
    struct ledger_choose_hint h = {.walk = {run->space, ledger_key_span(&from), false},
                                   .count = run->count,
                                   .looks = HINT_SCAN_RUNS,
                                   .by_time = true};
    return err_trace(ledger_choose_hints(s, &h));
}

static int ledger_choose_any(struct ledger_step *s, struct ledger_run *run)
{
    struct ledger_choose_desks d = {.seen = 0};
    struct slot_key best = {.start_us = s->c->select_us};
    int r = ledger_choose_walk(s, &d, run);
    if (r) {
        return err_trace(r);
    }
    if (d.seen > 0 && s->c->select_us <= s->now_us) {
        return REASON_SLOT_PAST;
    }
    if (!d.found) {
        r = ledger_choose_other(s, run);
        return r ? err_trace(r) : d.seen ? REASON_SLOT_TAKEN : REASON_SLOT_UNKNOWN;
    }
    r = ledger_keep(s->arena, (struct span){d.slug, d.slug_len}, &best.slug);
    if (r == 0) {
        r = ledger_choose_run(s, &best, run);
    }
    CHECK(r != LEDGER_NONE);
    return r ? err_trace(r) : REASON_OK;
}

int ledger_choose(struct ledger_step *s, const struct ledger_pool *pool, size_t count,
                  struct ledger_run *ret_run)
{
    CHECK(count >= 1);
    CHECK(count <= SLOTS_PER_HOLD);
    ret_run->space = pool->space;
    ret_run->count = count;
    int r = s->c->slots_count ? ledger_choose_named(s, ret_run) : ledger_choose_any(s, ret_run);
    return r < 0 ? err_trace(r) : r;
}
