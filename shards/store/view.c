/* SPDX-License-Identifier: MIT */
/* Three layers as one ordered map:
 *
 *   live overlay  >  frozen overlay  >  snapshot of the state environment
 *
 * The newest layer that knows a key decides; a tombstone decides "no such record".  next() merges
 * three sorted sequences: the least key wins, the newest layer among equals, every layer that
 * stands on the winner's key steps past it.
 * Owns nothing.  Fails: < 0 when a record's checksum is wrong (-EBADMSG: the shard must stop and
 * another replica go on; guessing would be silent wrong data) or memory ends. */
#include "store/view.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define LAYERS 3

/* One layer's place in the merge. */
struct front {
    struct overlay_cursor cursor;      /* overlays */
    const struct overlay_entry *entry; /* overlays: at the cursor */
    struct span key;                   /* of the record it stands on */
    struct span stored;                /* state environment: value behind its sum */
    bool end;                          /* nothing more in this layer */
};

/* An error of the state environment as the book reports it: nothing but found, not found, fatal. */
static int fatal_or_none(struct view *v, int r)
{
    switch (r) {
    case STATEENV_E_NONE:
        return 1;
    case STATEENV_E_DAMAGED:
        v->is_damaged = true;
        return err_origin(-EBADMSG);
    default:
        return err_trace(r);
    }
}

static void fetch(const struct view *v, uint32_t tag)
{
    overlay_fetch(v->live, tag);
    if (v->frozen) {
        overlay_fetch(v->frozen, tag);
    }
}

/* The overlays are far larger than the processor's caches: most of what a command costs is waiting
 * for them.  Of a hint the slots are asked for now and, some hints later, when they have come, the
 * record that they name. */
static void view_hint(void *self, struct span key)
{
    struct view *v = self;
    uint32_t *place = &v->hinted[v->hints++ % VIEW_HINTS];
    if (!overlay_fetch_entry(v->live, *place) && v->frozen) {
        overlay_fetch_entry(v->frozen, *place);
    }
    *place = overlay_tag(key);
    fetch(v, *place);
}

static int view_get(void *self, struct span key, struct span *ret_value)
{
    struct view *v = self;
    uint32_t tag = overlay_tag(key);
    fetch(v, tag); /* both at once */
    const struct overlay_entry *e = overlay_find_tagged(v->live, key, tag);
    if (!e && v->frozen) {
        e = overlay_find_tagged(v->frozen, key, tag);
    }
    if (!e) {
        return fatal_or_none(v, stateenv_get(v->state, key, ret_value));
    }
    if (e->tombstone) {
        return 1;
    }
    *ret_value = overlay_value(e);
    return 0;
}

static int view_put(void *self, struct span key, struct span value)
{
    struct view *v = self;
    v->between = true;
    v->effects = record_effect(v->effects, key, value);
    return err_trace(overlay_put(v->live, key, value));
}

static int view_del(void *self, struct span key)
{
    struct view *v = self;
    v->between = true;
    v->effects = record_effect(v->effects, key, (struct span){0});
    return err_trace(overlay_del(v->live, key));
}

/* -- the merge --------------------------------------------------------------------------------- */

static void front_note(struct front *f)
{
    f->entry = overlay_at(&f->cursor);
    f->end = !f->entry;
    if (f->entry) {
        f->key = overlay_key(f->entry);
    }
}

static int front_note_state(struct view *v, struct front *f, int r)
{
    f->end = r == STATEENV_E_NONE;
    return f->end ? 0 : fatal_or_none(v, r);
}

static int fronts_seek(struct view *v, struct front *fronts, struct span from, bool exclusive)
{
    const struct overlay *overlays[] = {v->live, v->frozen};
    for (int i = 0; i < 2; i++) {
        fronts[i].end = true;
        if (overlays[i]) {
            fronts[i].cursor = overlay_seek(overlays[i], from, exclusive);
            front_note(&fronts[i]);
        }
    }
    struct front *state = &fronts[2];
    return front_note_state(
        v, state, stateenv_seek(v->state, from, exclusive, &state->key, &state->stored));
}

static int key_order(struct span a, struct span b)
{
    int difference = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return difference ? difference : (a.len > b.len) - (a.len < b.len);
}

/* The layer with the least key, the newest of equals; NULL when all have ended. */
static struct front *fronts_least(struct front *fronts)
{
    struct front *least = NULL;
    for (int i = 0; i < LAYERS; i++) {
        if (!fronts[i].end && (!least || key_order(fronts[i].key, least->key) < 0)) {
            least = &fronts[i];
        }
    }
    return least;
}

/* Every layer that stands on `key` goes on to its next record. */
static int fronts_pass(struct view *v, struct front *fronts, struct span key)
{
    for (int i = 0; i < LAYERS; i++) {
        struct front *f = &fronts[i];
        if (f->end || key_order(f->key, key) != 0) {
            continue;
        }
        if (i < 2) {
            overlay_step(&f->cursor);
            front_note(f);
            continue;
        }
        int r = front_note_state(v, f, stateenv_step(v->state, &f->key, &f->stored));
        if (r < 0) {
            return err_trace(r);
        }
    }
    return 0;
}

static int view_next(void *self, struct span from, bool exclusive, struct span *ret_key,
                     struct span *ret_value)
{
    struct view *v = self;
    struct front fronts[LAYERS] = {0};
    struct front *least = NULL;
    int r = fronts_seek(v, fronts, from, exclusive);
    while (r == 0 && (least = fronts_least(fronts)) && least->entry && least->entry->tombstone) {
        r = fronts_pass(v, fronts, least->key);
    }
    if (r < 0) {
        return err_trace(r);
    }
    if (!least) {
        return 1;
    }
    struct span value;
    if (least->entry) {
        value = overlay_value(least->entry);
    } else if (record_value_read(least->key, least->stored, &value) != 0) {
        v->is_damaged = true;
        return err_origin(-EBADMSG);
    }
    *ret_key = least->key;
    *ret_value = value;
    return 0;
}

void view_init(struct view *v, struct overlay *live, struct stateenv *state)
{
    *v = (struct view){
        .live = live,
        .state = state,
        .book = {.self = v, .get = view_get, .put = view_put, .del = view_del, .next = view_next,
                 .hint = view_hint},
    };
}
