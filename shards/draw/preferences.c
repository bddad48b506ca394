/* SPDX-License-Identifier: MIT */
/* Preferences, both ways.  Pure.
 * The reader is strict: what it takes, the writer would write the same way, so the hash in a leaf
 * fixes the wishes.
 * Owns nothing.  Fails by `false`. */
#include "draw/preferences.h"

#include "base/bytes.h"
#include "base/check.h"

size_t draw_preferences_write(const struct draw_preferences *p, uint8_t out[DRAW_PREFERENCES_MAX])
{
    struct scribe w = scribe_of(out, DRAW_PREFERENCES_MAX);
    CHECK(p->slot_count >= 1 && p->slot_count <= DRAW_CHAIN_MAX);
    CHECK(p->count >= 1 && p->count <= DRAW_WISHES_MAX);
    scribe_u8(&w, (uint8_t)p->slot_count);
    scribe_u8(&w, (uint8_t)p->count);
    for (uint32_t i = 0; i < p->count; i++) {
        const struct draw_want *want = &p->wants[i];
        scribe_u8(&w, (uint8_t)want->kind);
        if (want->kind != DRAW_WANT_ANY) {
            scribe_u64(&w, (uint64_t)want->from_us);
        }
        if (want->kind == DRAW_WANT_CLASS) {
            scribe_u64(&w, (uint64_t)want->to_us);
        } else if (want->kind == DRAW_WANT_SLOT) {
            scribe_u8(&w, (uint8_t)want->slug.len);
            scribe_bytes(&w, want->slug.ptr, want->slug.len);
        }
    }
    CHECK(!w.bad);
    return scribe_len(&w);
}

static void preferences_want(struct reader *r, struct draw_want *want)
{
    *want = (struct draw_want){.kind = (enum draw_want_kind)reader_u8(r)};
    if (want->kind == DRAW_WANT_ANY) {
        return;
    }
    want->from_us = (int64_t)reader_u64(r);
    if (want->kind == DRAW_WANT_CLASS) {
        want->to_us = (int64_t)reader_u64(r);
        return;
    }
    want->slug.len = reader_u8(r);
    r->bad = r->bad || want->kind != DRAW_WANT_SLOT || want->slug.len == 0 ||
             want->slug.len > SLOT_DESK_MAX;
    reader_take(r, r->bad ? 0 : want->slug.len, &want->slug.ptr);
}

bool draw_preferences_read(struct span bytes, struct draw_preferences *ret_preferences)
{
    struct reader r = reader_of(bytes.ptr, bytes.len);
    struct draw_preferences p = {.slot_count = reader_u8(&r), .count = reader_u8(&r)};
    if (p.slot_count < 1 || p.slot_count > DRAW_CHAIN_MAX || p.count < 1 ||
        p.count > DRAW_WISHES_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < p.count && !r.bad; i++) {
        preferences_want(&r, &p.wants[i]);
    }
    if (r.bad || reader_left(&r) > 0) {
        return false;
    }
    *ret_preferences = p;
    return true;
}

void draw_preferences_wishes(const struct draw_preferences *p, const struct draw_stock *stock,
                             struct draw_wish out[DRAW_WISHES_MAX])
{
    for (uint32_t i = 0; i < p->count; i++) {
        const struct draw_want *want = &p->wants[i];
        if (want->kind == DRAW_WANT_ANY) {
            out[i] = (struct draw_wish){0, draw_stock_count(stock)};
        } else if (want->kind == DRAW_WANT_CLASS) {
            out[i] = draw_stock_interval(stock, want->from_us, want->to_us);
        } else {
            uint32_t slot = draw_stock_find(stock, want->from_us, want->slug);
            out[i] = slot == DRAW_NONE ? (struct draw_wish){0, 0}
                                       : (struct draw_wish){slot, slot + 1};
        }
    }
}
