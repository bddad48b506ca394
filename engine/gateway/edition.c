/* SPDX-License-Identifier: MIT */
/* Editions of a pool.
 *
 *   page, page, page -> slots in order, their bytes -> follow(before): a merge by name -> published
 *   part(seen): the slots that changed after `seen`, as WatchSlotsResponses of a bounded size
 *
 * A slot's name sorts as the list does (time, then desk), so two editions are compared in one walk.
 * One rule serves everybody: a newcomer has seen 0, who keeps up has seen the one before, who is
 * slow has seen an older one; each gets what is younger than that.
 * Owns: slots and bytes, until the last holder lets go.
 * Fails by its limits and by memory, never by what a slot says. */
#include "gateway/edition.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/limits.h"
#include "gateway/pb.h"

/* Field numbers of ListSlotsResponse, Slot and WatchSlotsResponse. */
enum {
    LIST_SLOTS = 1, LIST_TOKEN = 2, LIST_AS_OF = 3, SLOT_NAME = 1,
    WATCH_CHANGED = 1, WATCH_AS_OF = 2, WATCH_COMPLETE = 3,
};

struct edition *edition_new(void)
{
    struct edition *e = calloc(1, sizeof *e);
    if (e) {
        atomic_init(&e->holders, 1);
    }
    return e;
}

void edition_hold(struct edition *e)
{
    atomic_fetch_add(&e->holders, 1);
}

void edition_drop(struct edition *e)
{
    if (e && atomic_fetch_sub(&e->holders, 1) == 1) {
        free(e->slots);
        free(e->fresh);
        free(e->bytes);
        free(e);
    }
}

/* -- while it is made ------------------------------------------------------------------------- */

/* Room for one more slot and `len` more bytes; false: out of memory. */
static bool edition_grow(struct edition *e, size_t len)
{
    if (e->count == e->capacity) {
        size_t capacity = e->capacity ? 2 * e->capacity : 256;
        struct edition_slot *slots = realloc(e->slots, capacity * sizeof *slots);
        if (slots == NULL) {
            return false;
        }
        e->slots = slots;
        e->capacity = capacity;
    }
    if (e->bytes_len + len > e->bytes_capacity) {
        size_t capacity = 2 * (e->bytes_len + len);
        uint8_t *bytes = realloc(e->bytes, capacity);
        if (bytes == NULL) {
            return false;
        }
        e->bytes = bytes;
        e->bytes_capacity = capacity;
    }
    return true;
}

static int edition_add(struct edition *e, struct span slot)
{
    struct reader r = reader_of(slot.ptr, slot.len);
    struct pb_field f = {0}, name = {0};
    while (pb_next(&r, &f)) {
        if (f.number == SLOT_NAME && f.wire == PB_BYTES) {
            name = f;
        }
    }
    if (r.bad || name.bytes.len == 0 || slot.len > EDITION_SLOT_MAX) {
        return EDITION_E_DAMAGED;
    }
    if (e->count == WATCH_SLOTS_MAX) {
        return EDITION_E_LARGE;
    }
    if (!edition_grow(e, slot.len)) {
        return err_origin(-ENOMEM);
    }
    e->slots[e->count++] =
        (struct edition_slot){.at = e->bytes_len,
                              .len = (uint32_t)slot.len,
                              .name_at = (uint32_t)(name.bytes.ptr - slot.ptr),
                              .name_len = (uint32_t)name.bytes.len};
    memcpy(e->bytes + e->bytes_len, slot.ptr, slot.len);
    e->bytes_len += slot.len;
    return 0;
}

int edition_page(struct edition *e, struct span message, struct span *ret_token)
{
    struct reader r = reader_of(message.ptr, message.len);
    struct pb_field f;
    *ret_token = (struct span){0};
    while (pb_next(&r, &f)) {
        int v = 0;
        if (f.wire != PB_BYTES) {
            continue;
        }
        if (f.number == LIST_SLOTS) {
            v = edition_add(e, f.bytes);
        } else if (f.number == LIST_TOKEN) {
            *ret_token = f.bytes;
        } else if (f.number == LIST_AS_OF && e->as_of_len == 0 &&
                   f.bytes.len <= sizeof e->as_of) {
            memcpy(e->as_of, f.bytes.ptr, f.bytes.len);
            e->as_of_len = f.bytes.len;
        }
        if (v) {
            return v < 0 ? err_trace(v) : v;
        }
    }
    return r.bad ? EDITION_E_DAMAGED : 0;
}

static struct span edition_name(const struct edition *e, size_t i)
{
    const struct edition_slot *s = &e->slots[i];
    return (struct span){e->bytes + s->at + s->name_at, s->name_len};
}

static struct span edition_message(const struct edition *e, size_t i)
{
    return (struct span){e->bytes + e->slots[i].at, e->slots[i].len};
}

static int edition_compare(struct span a, struct span b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = memcmp(a.ptr, b.ptr, n);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

int edition_follow(struct edition *e, const struct edition *before)
{
    size_t old = 0, olds = before ? before->count : 0;
    e->fresh = malloc((e->count + 1) * sizeof *e->fresh);
    if (e->fresh == NULL) {
        return err_origin(-ENOMEM);
    }
    e->number = before ? before->number + 1 : 1;
    for (size_t i = 0; i < e->count; i++) {
        int order = -1;
        while (old < olds &&
               (order = edition_compare(edition_name(before, old), edition_name(e, i))) < 0) {
            old++;
        }
        bool is_same = old < olds && order == 0 &&
                       span_equal(edition_message(before, old), edition_message(e, i));
        uint64_t since = is_same ? before->slots[old].since : e->number;
        e->slots[i].since = since;
        e->newest = since > e->newest ? since : e->newest;
        if (!is_same) {
            e->fresh[e->fresh_count++] = (uint32_t)i;
        }
    }
    return 0;
}

/* -- read -------------------------------------------------------------------------------------- */

bool edition_has(const struct edition *e, uint64_t seen)
{
    return e->newest > seen || seen == 0;
}

/* The next slot at or behind *at that is younger than `seen`; NULL: none.  Who keeps up looks at
 * the fresh ones alone, so that a thousand of them cost little. */
static const struct edition_slot *edition_next(const struct edition *e, uint64_t seen, size_t *at)
{
    if (seen > 0 && seen + 1 == e->number) {
        return *at < e->fresh_count ? &e->slots[e->fresh[*at]] : NULL;
    }
    while (*at < e->count && e->slots[*at].since <= seen) {
        *at += 1;
    }
    return *at < e->count ? &e->slots[*at] : NULL;
}

struct span edition_part(const struct edition *e, uint64_t seen, size_t *at, uint8_t *buffer,
                         bool *ret_complete)
{
    struct scribe w = scribe_of(buffer, EDITION_BUFFER);
    const struct edition_slot *slot;
    size_t count = 0;
    while ((slot = edition_next(e, seen, at)) != NULL && count < EDITION_PART_SLOTS &&
           scribe_len(&w) < EDITION_PART_BYTES) {
        pb_put_bytes(&w, WATCH_CHANGED, (struct span){e->bytes + slot->at, slot->len});
        *at += 1;
        count++;
    }
    pb_put_bytes(&w, WATCH_AS_OF, (struct span){e->as_of, e->as_of_len});
    *ret_complete = slot == NULL;
    if (*ret_complete) {
        pb_put_uint(&w, WATCH_COMPLETE, 1);
    }
    CHECK(!w.bad);
    return (struct span){buffer, scribe_len(&w)};
}
