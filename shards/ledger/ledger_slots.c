/* SPDX-License-Identifier: MIT */
/* Slots in numbers: making them, listing them, walking over them.
 * A pool's slots lie in time order behind its policy, so every list is one short walk.
 * A walk is bounded (SCAN_MAX records): a page may be short and still have a next one, but nobody
 * makes the writer read a whole pool.
 * Of a scarce pool nobody but operators sees more than free or not: neither state nor version moves
 * when somebody gives a slot back, and who is not known by a token sees nothing.  Owns nothing. */
#include <errno.h>

#include "ledger/ledger_memory.h"

#define SCAN_MAX   (4 * PAGE_SIZE_MAX)
#define ID_BYTES   48

/* -- create ------------------------------------------------------------------------------------ */

/* SLOT_EXISTS with the slot's id for the first that is there. 0: refused; LEDGER_NONE: all new. */
static int ledger_slots_existing(struct ledger_step *s, uint64_t space)
{
    for (size_t i = 0; i < s->c->new_slots_count; i++) {
        struct slot_key slot = {s->c->new_slots[i].start_us, s->c->new_slots[i].slug};
        struct ledger_key key = ledger_key_slot(space, &slot);
        struct span value;
        int r = ledger_get(s->l, &key, &value);
        if (r < 0) {
            return err_trace(r);
        }
        if (r == 0) {
            char *id = arena_alloc(s->arena, ID_BYTES);
            if (id == NULL) {
                return err_origin(-ENOMEM);
            }
            ledger_meta(s, "slot", (struct span){(uint8_t *)id, codec_slot_id(&slot, id)});
            return ledger_refuse(s, REASON_SLOT_EXISTS);
        }
    }
    return LEDGER_NONE;
}

static int ledger_slots_put(struct ledger_step *s, uint64_t space)
{
    for (size_t i = 0; i < s->c->new_slots_count; i++) {
        const struct new_slot *n = &s->c->new_slots[i];
        struct slot_key at = {n->start_us, n->slug};
        struct ledger_key key = ledger_key_slot(space, &at);
        struct ledger_slot slot = {.state = SLOT_FREE,
                                   .version = 1,
                                   .duration_us = n->duration_us,
                                   .desk = n->desk};
        uint8_t bytes[LEDGER_SLOT_BYTES];
        struct scribe w = scribe_of(bytes, sizeof bytes);
        ledger_record_slot(&w, &slot);
        int r = ledger_put(s->l, &key, &w);
        if (r) {
            return err_trace(r);
        }
    }
    return 0;
}

/* Past the request id: all or nothing. */
static int ledger_slots_make(struct ledger_step *s, uint64_t space,
                             const struct ledger_key *request)
{
    uint8_t bytes[16];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    const struct command *c = s->c;
    int r = ledger_slots_existing(s, space);
    if (r < 0) {
        return err_trace(r);
    }
    if (r == LEDGER_NONE) {
        ledger_request_counted(s, c->new_slots_count, c->validate_only ? 0 : s->log_index, &w);
        r = c->validate_only ? 0 : ledger_slots_put(s, space);
    }
    if (r || c->validate_only) {
        return err_trace(r);
    }
    struct span snapshot = {bytes, scribe_len(&w)};
    return err_trace(ledger_request_remember(s, request, LEDGER_FORMAT_1, snapshot));
}

int ledger_slots_create(struct ledger_step *s)
{
    const struct command *c = s->c;
    const struct ledger_pool *pool;
    struct ledger_key request;
    CHECK(c->new_slots_count > 0);
    int r = ledger_pool_open(s, &pool, &request);
    if (r) {
        return r == LEDGER_ANSWERED ? 0 : err_trace(r);
    }
    return err_trace(ledger_slots_make(s, pool->space, &request));
}

/* -- read -------------------------------------------------------------------------------------- */

int ledger_slots_step(struct ledger_step *s, struct ledger_slots_walk *w,
                             struct slot_key *ret_key, struct ledger_slot *ret_slot)
{
    struct ledger_key_parts parts;
    struct span value;
    int r = ledger_next(s->l, w->at, w->exclusive, &w->at, &value);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    w->exclusive = true;
    if (!ledger_key_parse(w->at, &parts)) {
        return err_origin(-EBADMSG);
    }
    if (parts.at.space != w->space) {
        return LEDGER_NONE;
    }
    return ledger_key_slot_of(&parts, ret_key) ? err_trace(ledger_read_slot(value, ret_slot))
                                               : err_origin(-EBADMSG);
}

static int ledger_slots_view(struct ledger_step *s, const struct slot_key *key,
                             const struct ledger_slot *slot, struct slot_view *out)
{
    *out = (struct slot_view){.key.start_us = key->start_us,
                              .duration_us = slot->duration_us,
                              .state = slot->state,
                              .version = slot->version};
#ifdef PLANT_STALE_LIST /* never defined but by tests/e2e: the flood must catch it */
    out->state = SLOT_FREE;
#endif
    int r = ledger_keep(s->arena, key->slug, &out->key.slug);
    return r ? err_trace(r) : err_trace(ledger_keep(s->arena, slot->desk, &out->desk));
}

static int ledger_slots_token(struct ledger_step *s, const struct slot_key *last)
{
    char id[ID_BYTES];
    size_t n = codec_slot_id(last, id);
    return err_trace(ledger_page_write(s, (struct span){(uint8_t *)id, n}));
}

void ledger_slots_free_turned(struct ledger_slot *slot, const struct ledger_step *s)
{
    int64_t now_us = s->now_us - s->now_us % SECOND_US;
    slot->since_us = slot->since_us == now_us ? 0 : now_us; /* twice in one second: as before */
}

/* As it was when the second began, and whether free or not alone. */
static void ledger_slots_mask(struct ledger_slot *slot, int64_t second_us)
{
    bool is_free = (slot->state == SLOT_FREE) != (slot->since_us == second_us);
    slot->state = is_free ? SLOT_FREE : SLOT_TAKEN;
    slot->version = 0;
}

/* Collects the page from `w` on. */
static int ledger_slots_collect(struct ledger_step *s, struct ledger_slots_walk *w,
                                bool is_masked, struct slot_view *out)
{
    struct slot_key key, last = {0};
    struct ledger_slot slot;
    uint8_t slug[SLOT_DESK_MAX];
    for (size_t scanned = 0;; scanned++) {
        int r = ledger_slots_step(s, w, &key, &slot);
        if (r == LEDGER_NONE || (r == 0 && key.start_us >= s->c->to_us)) {
            return 0;
        }
        if (r) {
            return err_trace(r);
        }
        if (s->v->slots_count == s->c->page_size || scanned == SCAN_MAX) {
            return err_trace(ledger_slots_token(s, &last));
        }
        if (is_masked) {
            ledger_slots_mask(&slot, s->v->as_of_us);
        }
        if (slot.state == SLOT_FREE || !s->c->free_only) {
            r = ledger_slots_view(s, &key, &slot, &out[s->v->slots_count++]);
            if (r) {
                return err_trace(r);
            }
        }
        memcpy(slug, key.slug.ptr, key.slug.len);
        last = (struct slot_key){key.start_us, {slug, key.slug.len}};
    }
}

bool ledger_is_scarce(struct ledger *l, struct span pool)
{
    const struct ledger_pool *found;
    return ledger_pool_find(l, pool, &found) == 0 && found->scarce;
}

int ledger_slots_list(struct ledger_step *s)
{
    const struct ledger_pool *pool;
    struct slot_key from = {0};
    struct span token;
    int r = ledger_pool_find(s->l, s->c->pool, &pool);
    if (r) {
        return r == LEDGER_NONE ? ledger_refuse(s, REASON_POOL_UNKNOWN) : err_trace(r);
    }
    bool is_masked = pool->scarce && !(s->c->roles & ROLE_OPERATOR);
    if (is_masked && ledger_is_anonymous(s->c)) {
        return ledger_refuse(s, REASON_TOKEN_MISSING); /* what is free here is watched by bots */
    }
    int page = ledger_page_read(s, &token);
    if (page < 0) {
        return err_trace(page);
    }
    if (page == 0 && !codec_slot_id_parse(token, &from)) {
        page = REASON_PAGE_TOKEN_INVALID;
    }
    if (page == REASON_PAGE_TOKEN_INVALID) {
        return ledger_refuse(s, REASON_PAGE_TOKEN_INVALID);
    }
    if (page == LEDGER_NONE) {
        from.start_us = s->c->from_us + (SECOND_US - s->c->from_us % SECOND_US) % SECOND_US;
    }
    if (is_masked) { /* one snapshot a second, the same for everybody */
        s->v->as_of_us = s->now_us - s->now_us % SECOND_US;
    }
    bool is_first = page == LEDGER_NONE;
    int64_t ahead_us = s->now_us - s->now_us % SECOND_US + SECOND_US;
    if (s->c->free_only && from.start_us < ahead_us) { /* what has started cannot be booked */
        from = (struct slot_key){.start_us = ahead_us};
        is_first = true;
    }
    struct slot_view *slots = arena_alloc(s->arena, s->c->page_size * sizeof *slots);
    if (slots == NULL) {
        return err_origin(-ENOMEM);
    }
    s->v->result = RESULT_SLOTS;
    s->v->pool = s->c->pool;
    s->v->slots = slots;
    struct ledger_key first = ledger_key_slot(pool->space, &from);
    struct ledger_slots_walk walk = {pool->space, ledger_key_span(&first), !is_first};
    return err_trace(ledger_slots_collect(s, &walk, is_masked, slots));
}
