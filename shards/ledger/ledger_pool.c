/* SPDX-License-Identifier: MIT */
/* Pools: their policy, their catalogue by name, and the few fields that every hold needs, kept
 * decoded (direct-mapped by space; a pool evicts another; an update empties its place).
 * Owns: the cache in struct ledger.
 * Two ids with one space (2^-62) cannot both exist: the second is POOL_EXISTS, and every lookup
 * compares the name in full. */
#include <errno.h>

#include "ledger/ledger_memory.h"

#define POOL_VALUE_MAX 1024

static struct ledger_key ledger_pool_record_key(uint64_t space)
{
    return ledger_key_make((struct routing_key){space, 0}, 'P', (struct span){0});
}

/* Where it is, else where it goes.  Of a few dozen pools a fifth shared a single place. */
static struct ledger_pool *ledger_pool_cached(struct ledger *l, uint64_t space)
{
    enum { WAYS = 4 };
    size_t home = space & (LEDGER_POOLS - 1);
    struct ledger_pool *empty = NULL;
    for (size_t way = 0; way < WAYS; way++) {
        struct ledger_pool *p = &l->pools[home ^ way];
        if (p->space == space) {
            return p;
        }
        empty = empty || p->space ? empty : p;
    }
    return empty ? empty : &l->pools[home];
}

/* Where a pool of that name was found last.  Every command asks two or three times, and the hash of
 * a name costs more than to compare it; ids of many pools differ in their last characters. */
static struct ledger_pool **ledger_pool_lately(struct ledger *l, struct span id)
{
    unsigned last = id.len > 0 ? id.ptr[id.len - 1] : 0;
    unsigned before = id.len > 1 ? id.ptr[id.len - 2] : 0;
    return &l->lately[(10 * before + last) & (LEDGER_LATELY - 1)];
}

/* The pool, if it still is where it was; NULL says nothing. */
static struct ledger_pool *ledger_pool_again(struct ledger *l, struct span id)
{
    struct ledger_pool *p = *ledger_pool_lately(l, id);
    bool is_it = p && p->space != 0 && span_equal((struct span){p->id, p->id_len}, id);
    return is_it ? p : NULL;
}

/* The whole record; spans borrow from the book. */
static int ledger_pool_record(struct ledger *l, uint64_t space, struct pool_view *ret_view)
{
    struct ledger_key key = ledger_pool_record_key(space);
    struct span value;
    int r = ledger_get(l, &key, &value);
    return r ? r == LEDGER_NONE ? r : err_trace(r) : err_trace(ledger_read_pool(value, ret_view));
}

const struct ledger_pool *ledger_pool_peek(struct ledger *l, struct span id)
{
    const struct ledger_pool *again = ledger_pool_again(l, id);
    if (again) {
        return again;
    }
    uint64_t space = ledger_pool_key(id).space;
    const struct ledger_pool *p = ledger_pool_cached(l, space);
    return p->space == space ? p : NULL;
}

int ledger_pool_find(struct ledger *l, struct span id, const struct ledger_pool **ret_pool)
{
    *ret_pool = ledger_pool_again(l, id);
    if (*ret_pool) {
        return 0;
    }
    uint64_t space = ledger_pool_key(id).space;
    struct ledger_pool *p = ledger_pool_cached(l, space);
    if (p->space != space) {
        struct pool_view view;
        int r = ledger_pool_record(l, space, &view);
        if (r) {
            return r == LEDGER_NONE ? r : err_trace(r);
        }
        static const struct identity nobody;
        uint64_t class_space = ledger_identity_key(view.service_class, &nobody).space;
        *p = (struct ledger_pool){.space = space,
                                  .class_space = class_space,
                                  .id_len = view.id.len,
                                  .class_len = view.service_class.len,
                                  .min_assurance = view.min_assurance,
                                  .hold_ttl_us = view.hold_ttl_us,
                                  .max_live = view.max_live,
                                  .max_slots = view.max_slots,
                                  .max_changes = view.max_changes,
                                  .cool_down_us = view.cool_down_us,
                                  .reconfirm_open_us = view.reconfirm_open_us,
                                  .reconfirm_by_us = view.reconfirm_by_us,
                                  .appeal_us = view.appeal_us,
                                  .return_policy = view.return_policy,
                                  .return_wait_us = view.return_wait_us,
                                  .return_len = view.return_release.len,
                                  .scarce = view.scarce};
        memcpy(p->id, view.id.ptr, view.id.len);
        memcpy(p->service_class, view.service_class.ptr, view.service_class.len);
        if (view.return_release.len) {
            memcpy(p->return_release, view.return_release.ptr, view.return_release.len);
        }
    }
    if (!span_equal((struct span){p->id, p->id_len}, id)) {
        return LEDGER_NONE;
    }
    *ledger_pool_lately(l, id) = p;
    *ret_pool = p;
    return 0;
}

int ledger_pool_id(const struct ledger *l, uint64_t space, struct arena *arena,
                   struct span *ret_id)
{
    struct ledger_key key = ledger_pool_record_key(space);
    struct pool_view view;
    struct span value;
    int r = l->book->get(l->book->self, ledger_key_span(&key), &value);
    if (r) {
        return r > 0 ? LEDGER_NONE : err_trace(r);
    }
    r = ledger_read_pool(value, &view);
    return r ? err_trace(r) : err_trace(ledger_keep(arena, view.id, ret_id));
}

int64_t ledger_pool_lapse_us(const struct ledger_pool *pool, int64_t start_us, int64_t now_us)
{
    int64_t by_us = start_us - pool->reconfirm_by_us;
    bool is_open = pool->reconfirm_open_us != 0 && start_us - pool->reconfirm_open_us <= now_us;
    return pool->reconfirm_by_us == 0 || by_us <= now_us || is_open ? 0 : by_us;
}

int ledger_pool_open(struct ledger_step *s, const struct ledger_pool **ret_pool,
                     struct ledger_key *ret_request)
{
    const struct command *c = s->c;
    /* A trustee's signature speaks for itself, whoever brings it. */
    bool is_part = c->kind == COMMAND_ADD_PART && c->release->part != RELEASE_PART_BEACON;
    if (!(c->roles & ROLE_OPERATOR) && !is_part) {
        ledger_refuse(s, REASON_ROLE_MISSING);
        return LEDGER_ANSWERED;
    }
    int r = ledger_pool_find(s->l, c->pool, ret_pool);
    if (r == LEDGER_NONE) {
        ledger_refuse(s, REASON_POOL_UNKNOWN);
        return LEDGER_ANSWERED;
    }
    if (r) {
        return err_trace(r);
    }
    *ret_request = ledger_key_admin(&c->identity, &c->request_id);
    r = ledger_request_recall(s, ret_request, 0);
    return r == LEDGER_NONE ? 0 : r ? err_trace(r) : LEDGER_ANSWERED;
}

/* A copy of the record in the arena, decoded. 0, LEDGER_NONE, < 0. */
static int ledger_pool_copy(struct ledger_step *s, struct span id, struct pool_view *out)
{
    struct ledger_key key = ledger_pool_record_key(ledger_pool_key(id).space);
    struct span value;
    int r = ledger_get(s->l, &key, &value);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    r = ledger_keep(s->arena, value, &value);
    if (r == 0) {
        r = ledger_read_pool(value, out);
    }
    if (r) {
        return err_trace(r);
    }
    return span_equal(out->id, id) ? 0 : LEDGER_NONE;
}

/* -- create, update ---------------------------------------------------------------------------- */

static int ledger_pool_answer(struct ledger_step *s, const struct pool_view *view)
{
    struct pool_view *out = arena_alloc(s->arena, sizeof *out);
    if (out == NULL) {
        return err_origin(-ENOMEM);
    }
    *out = *view;
    s->v->result = RESULT_POOL;
    s->v->pools = out;
    s->v->pools_count = 1;
    return 0;
}

static int ledger_pool_put(struct ledger_step *s, uint64_t space, struct span value)
{
    uint8_t one[1];
    struct ledger_key key = ledger_pool_record_key(space);
    struct ledger_key name = ledger_key_catalogue(s->c->pool);
    struct scribe w = {.start = (uint8_t *)value.ptr, .at = (uint8_t *)value.ptr + value.len};
    int r = ledger_put(s->l, &key, &w);
    if (r) {
        return err_trace(r);
    }
    w = scribe_of(one, sizeof one);
    scribe_u8(&w, LEDGER_FORMAT_1);
    return err_trace(ledger_put(s->l, &name, &w));
}

/* COINS_MAX pools have one: not remembered, because another may give its own up. */
static int ledger_pool_no_coin(struct ledger_step *s)
{
    s->v->field = "pool.return_policy";
    return ledger_refuse(s, REASON_FIELD_INVALID);
}

int ledger_pool_create(struct ledger_step *s)
{
    const struct command *c = s->c;
    CHECK(c->new_pool != NULL);
    if (!(c->roles & ROLE_OPERATOR)) {
        return ledger_refuse(s, REASON_ROLE_MISSING);
    }
    struct routing_key at = ledger_pool_key(c->pool);
    struct ledger_key request = ledger_key_admin(&c->identity, &c->request_id);
    int r = ledger_request_recall(s, &request, 0);
    if (r != LEDGER_NONE) {
        return err_trace(r);
    }
    struct pool_view view;
    r = ledger_pool_record(s->l, at.space, &view);
    if (r < 0) {
        return err_trace(r);
    }
    if (r == 0) {
        ledger_refuse(s, REASON_POOL_EXISTS);
        return err_trace(ledger_request_remember(s, &request, LEDGER_FORMAT_1, (struct span){0}));
    }
    if (c->new_pool->return_policy == RETURN_COIN && !ledger_coin_has_room(s->l, at.space)) {
        return ledger_pool_no_coin(s);
    }
    uint8_t bytes[POOL_VALUE_MAX];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    view = *c->new_pool;
    view.version = 1;
    ledger_record_pool(&w, &view);
    CHECK(!w.bad);
    struct span value = {bytes, scribe_len(&w)};
    r = ledger_pool_answer(s, &view);
    if (r == 0) {
        r = ledger_pool_put(s, at.space, value);
    }
    ledger_coin_follow(s->l, at.space, view.return_policy);
    return r ? err_trace(r)
             : err_trace(ledger_request_remember(s, &request, LEDGER_FORMAT_1, value));
}

/* What the mask says, of the new one. */
static void ledger_pool_merge(const struct pool_view *from, uint32_t mask, struct pool_view *to)
{
#define MERGE(field, member)                \
    if (mask & POOL_FIELD_##field) {        \
        to->member = from->member;          \
    }
    MERGE(DISPLAY_NAME, display_name)
    MERGE(OFFICE, office)
    MERGE(SERVICE, service)
    MERGE(TIME_ZONE, time_zone)
    MERGE(MIN_ASSURANCE, min_assurance)
    MERGE(HOLD_TTL, hold_ttl_us)
    MERGE(MAX_LIVE, max_live)
    MERGE(SCARCE, scarce)
    MERGE(MAX_SLOTS, max_slots)
    MERGE(MAX_CHANGES, max_changes)
    MERGE(COOL_DOWN, cool_down_us)
    MERGE(RECONFIRM_OPEN, reconfirm_open_us)
    MERGE(RECONFIRM_BY, reconfirm_by_us)
    MERGE(APPEAL, appeal_us)
    MERGE(RETURN_POLICY, return_policy)
    MERGE(RETURN_WAIT, return_wait_us)
    MERGE(RETURN_RELEASE, return_release)
#undef MERGE
}

static int ledger_pool_replace(struct ledger_step *s, uint64_t space,
                               const struct ledger_key *request, const struct pool_view *view)
{
    uint8_t bytes[POOL_VALUE_MAX];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct ledger_key key = ledger_pool_record_key(space);
    ledger_record_pool(&w, view);
    CHECK(!w.bad);
    ledger_pool_cached(s->l, space)->space = 0;
    int r = ledger_pool_answer(s, view);
    if (r == 0) {
        r = ledger_put(s->l, &key, &w);
    }
    struct span value = {bytes, scribe_len(&w)};
    return r ? err_trace(r)
             : err_trace(ledger_request_remember(s, request, LEDGER_FORMAT_1, value));
}

int ledger_pool_update(struct ledger_step *s)
{
    const struct command *c = s->c;
    const struct ledger_pool *pool;
    struct ledger_key request;
    struct pool_view view;
    CHECK(c->new_pool != NULL);
    int r = ledger_pool_open(s, &pool, &request);
    if (r) {
        return r == LEDGER_ANSWERED ? 0 : err_trace(r);
    }
    uint64_t space = pool->space;
    r = ledger_pool_copy(s, c->pool, &view);
    if (r) {
        return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
    }
    if (!codec_etag_matches(c->etag, view.version)) {
        ledger_refuse(s, REASON_ETAG_MISMATCH);
        return err_trace(
            ledger_request_remember(s, &request, LEDGER_FORMAT_1, (struct span){0}));
    }
    ledger_pool_merge(c->new_pool, c->pool_mask, &view);
    if (view.reconfirm_open_us != 0 && view.reconfirm_by_us >= view.reconfirm_open_us) {
        s->v->field = "pool.reconfirm_by"; /* of the whole, which only the ledger knows */
        return ledger_refuse(s, REASON_FIELD_INVALID);
    }
    if (view.return_policy == RETURN_NAMED && view.return_release.len == 0) {
        s->v->field = "pool.return_release";
        return ledger_refuse(s, REASON_FIELD_INVALID);
    }
    if (view.return_policy == RETURN_COIN && !ledger_coin_has_room(s->l, space)) {
        return ledger_pool_no_coin(s);
    }
    ledger_coin_follow(s->l, space, view.return_policy);
    view.version++;
    return err_trace(ledger_pool_replace(s, space, &request, &view));
}

/* -- read -------------------------------------------------------------------------------------- */

int ledger_pool_get(struct ledger_step *s)
{
    struct pool_view view;
    int r = ledger_pool_copy(s, s->c->pool, &view);
    if (r == LEDGER_NONE) {
        return ledger_refuse(s, REASON_POOL_UNKNOWN);
    }
    return r ? err_trace(r) : err_trace(ledger_pool_answer(s, &view));
}

/* The next id of the catalogue after *id, borrowed. 0, LEDGER_NONE, < 0. */
static int ledger_pool_next(struct ledger_step *s, struct span after, struct span *ret_id)
{
    struct ledger_key from = ledger_key_catalogue(after);
    struct ledger_key_parts parts;
    struct span key, value;
    if (after.len == 0) {
        from = ledger_key_make((struct routing_key){0, 1}, 'p', (struct span){0});
    }
    int r = ledger_next(s->l, ledger_key_span(&from), true, &key, &value);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    if (!ledger_key_parse(key, &parts)) {
        return err_origin(-EBADMSG);
    }
    if (parts.at.space != 0 || parts.tag != 'p') {
        return LEDGER_NONE;
    }
    *ret_id = parts.suffix;
    return parts.suffix.len > 0 && parts.suffix.len <= POOL_ID_MAX ? 0 : err_origin(-EBADMSG);
}

int ledger_pool_list(struct ledger_step *s)
{
    struct span last = {0};
    int r = ledger_page_read(s, &last);
    if (r < 0) {
        return err_trace(r);
    }
    if (r == REASON_PAGE_TOKEN_INVALID || last.len > POOL_ID_MAX) {
        return ledger_refuse(s, REASON_PAGE_TOKEN_INVALID);
    }
    size_t max = s->c->page_size, count = 0;
    struct pool_view *pools = arena_alloc(s->arena, max * sizeof *pools);
    if (pools == NULL) {
        return err_origin(-ENOMEM);
    }
    s->v->result = RESULT_POOLS;
    s->v->pools = pools;
    for (;;) {
        struct span id;
        r = ledger_pool_next(s, last, &id);
        if (r) {
            break;
        }
        if (count == max) {
            return err_trace(ledger_page_write(s, last));
        }
        r = ledger_pool_copy(s, id, &pools[count]);
        if (r) {
            return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
        }
        last = pools[count++].id;
        s->v->pools_count = count;
    }
    return r == LEDGER_NONE ? 0 : err_trace(r);
}
