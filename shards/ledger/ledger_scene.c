/* SPDX-License-Identifier: MIT */
/* The frame of a client's mutation: where it takes place, what is written when it is decided.
 *
 *   open: pool -> request id known? -> account -> the day's count     (checks 1 to 3 of ledger.c)
 *   ... the kind decides, on the scene's account and into an outcome ...
 *   close: slots -> account, what leaves it, index -> the remembered verdict
 *
 * Owns nothing.  Invariant: everything is decided and encoded before the first put, because what
 * the book lent is gone with it; so an outcome holds bytes, not spans.
 * Not remembered: what is refused by ledger_scene_wait(), since its answer changes by waiting. */
#include <errno.h>

#include "ledger/ledger_memory.h"
#include "ledger/ledger_release.h"

void ledger_outcome_add(struct ledger_outcome *o, const struct ledger_key *key,
                        const struct ledger_slot *slot)
{
    CHECK(o->count < ARRAY_COUNT(o->slots));
    struct scribe w = scribe_of(o->slots[o->count].bytes, LEDGER_SLOT_BYTES);
    ledger_record_slot(&w, slot);
    CHECK(!w.bad);
    o->slots[o->count].key = *key;
    o->slots[o->count++].len = scribe_len(&w);
}

/* A slot that came back goes to the open release that offers it, if there is one. */
static int ledger_outcome_freed(struct ledger_step *s, const struct ledger_key *key)
{
    struct ledger_key_parts parts;
    struct slot_key slot;
    if (!ledger_key_parse(ledger_key_span(key), &parts) || !ledger_key_slot_of(&parts, &slot)) {
        return err_origin(-EBADMSG);
    }
    return err_trace(ledger_open_freed(s, parts.at.space, &slot));
}

int ledger_outcome_put(struct ledger_step *s, const struct ledger_outcome *o)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < o->count; i++) {
        uint8_t *bytes = (uint8_t *)o->slots[i].bytes;
        struct scribe w = {.start = bytes, .at = bytes + o->slots[i].len};
        r = ledger_put(s->l, &o->slots[i].key, &w);
        if (r == 0 && s->l->open_count > 0 && bytes[1] == SLOT_RETURNED) {
            r = ledger_outcome_freed(s, &o->slots[i].key);
        }
    }
    return err_trace(r);
}

/* Counts the request against the day; false when the day's are used up. */
static bool ledger_scene_count(struct ledger_step *s, struct ledger_account *account)
{
    int64_t now = s->now_us > 0 ? s->now_us : 0;
    uint32_t day = (uint32_t)(now / DAY_US);
    if (account->day != day) {
        account->day = day;
        account->requests = 0;
    }
    if (account->requests >= REQUESTS_PER_IDENTITY_DAY) {
        s->v->retry_ms = (uint32_t)((DAY_US - now % DAY_US) / 1000) + 1;
        return false;
    }
    account->requests++;
    return true;
}

/* Known here?  In the account, or beside it.  0: answered; LEDGER_NONE; < 0. */
static int ledger_scene_recall(struct ledger_step *s, struct ledger_scene *scene)
{
    const struct ledger_account *a = &scene->account;
    struct ledger_memory m;
    int r = ledger_memory_find(s, scene->at, a, &m);
    if (r == 0) {
        r = ledger_request_recall_from(s, &m, scene->at.position);
    } else if (a->has_memory &&
               memcmp(&a->memory_id, &s->c->request_id, sizeof a->memory_id) == 0) {
        r = ledger_request_recall_from(s, &a->memory, scene->at.position);
    } else if (r == LEDGER_NONE && ledger_memory_may_lie_beside(s, a)) {
        struct ledger_key key = ledger_key_request(scene->at, &s->c->identity, &s->c->request_id);
        r = ledger_request_recall(s, &key, scene->at.position);
    }
    return r == LEDGER_NONE ? r : err_trace(r);
}

void ledger_expect(struct ledger *l, const struct command *c)
{
    bool is_ours = c->pool.len > 0 && !command_is_read(c->kind) && l->book->hint;
    const struct ledger_pool *pool = is_ours ? ledger_pool_peek(l, c->pool) : NULL;
    if (pool == NULL) {
        return;
    }
    struct routing_key at = ledger_pool_at(pool, &c->identity);
    struct ledger_key key = ledger_key_account(at, &c->identity);
    ledger_hint(l, &key);
    if (l->version < 6) {
        key = ledger_key_request(at, &c->identity, &c->request_id);
        ledger_hint(l, &key);
    }
    if (c->slots_count > 0) {
        key = ledger_key_slot(pool->space, &c->slots[0]);
        ledger_hint(l, &key);
    }
}

/* The slot of the hold that the command names is known with the account only. */
static void ledger_scene_hint_item(struct ledger_step *s, struct ledger_scene *scene)
{
    const struct ledger_item *item =
        ledger_account_item(&scene->account, s->c->number, s->c->pool);
    if (item) {
        struct ledger_key slot = ledger_key_slot(scene->pool->space, &item->slot);
        ledger_hint(s->l, &slot);
    }
}

int ledger_scene_open(struct ledger_step *s, struct ledger_scene *scene)
{
    int r = ledger_pool_find(s->l, s->c->pool, &scene->pool);
    if (r == LEDGER_NONE) {
        ledger_refuse(s, REASON_POOL_UNKNOWN);
        return LEDGER_ANSWERED;
    }
    if (r) {
        return err_trace(r);
    }
    scene->at = ledger_pool_at(scene->pool, &s->c->identity);
    r = ledger_account_load(s, scene->at, &scene->account);
    if (r < 0) {
        return err_trace(r);
    }
    scene->is_new = r == LEDGER_NONE;
    ledger_scene_hint_item(s, scene);
    r = scene->is_new ? LEDGER_NONE : ledger_scene_recall(s, scene);
    if (r != LEDGER_NONE) {
        return r ? err_trace(r) : LEDGER_ANSWERED;
    }
    if (scene->is_new || scene->account.has_others) {
        r = ledger_class_recall(s, ledger_pool_class(scene->pool), &scene->account.has_others);
        if (r != LEDGER_NONE) {
            return r ? err_trace(r) : LEDGER_ANSWERED;
        }
    }
    if (!ledger_scene_count(s, &scene->account)) {
        ledger_refuse(s, REASON_RATE_LIMITED);
        return LEDGER_ANSWERED;
    }
    return 0;
}

static int ledger_scene_put_account(struct ledger_step *s, struct ledger_scene *scene,
                                   const struct scribe *account,
                                   const struct ledger_spill *spill)
{
    struct ledger_key key = ledger_key_account(scene->at, &s->c->identity);
    int r = ledger_account_put(s, &key, account, spill);
    if (r == 0 && scene->is_new && scene->account.has_others) {
        r = ledger_class_mark(s, ledger_pool_class(scene->pool));
    }
    if (r || !scene->is_new) {
        return err_trace(r);
    }
    uint8_t one[1] = {LEDGER_FORMAT_1};
    struct scribe w = {.start = one, .at = one + 1, .end = one + 1};
    key = ledger_key_index(&s->c->identity, ledger_pool_class(scene->pool));
    return err_trace(ledger_put(s->l, &key, &w));
}

static void ledger_scene_beside(struct ledger_besides *b, const struct request_id *request,
                                const struct ledger_memory *m)
{
    b->verdicts[b->count].request = *request;
    b->verdicts[b->count++].memory = *m;
}

/* By rules before 6: the newest verdict into the account, if it is small; the one that stood there
 * beside it. */
static void ledger_scene_remember_one(struct ledger_step *s, struct ledger_account *a,
                                      const struct ledger_memory *m,
                                      struct ledger_besides *besides)
{
    besides->count = 0;
    besides->sheaf.len = 0;
    if (a->has_memory && !ledger_memory_is_over(&a->memory, s->now_us)) {
        ledger_scene_beside(besides, &a->memory_id, &a->memory);
    }
    a->has_memory = s->l->version >= 2 && /* the rules of 1 knew no such place */
                    m->snapshot.len + LEDGER_MEMORY_HEAD <= LEDGER_MEMORY_INLINE;
    if (a->has_memory) {
        a->memory = *m;
        a->memory_id = s->c->request_id;
    } else {
        ledger_scene_beside(besides, &s->c->request_id, m);
    }
}

/* What was decided, with the snapshot that the verdict is remembered by: of the item with that
 * number, if it is not 0. */
static int ledger_scene_write(struct ledger_step *s, struct ledger_scene *scene,
                              const struct ledger_outcome *o, struct ledger_memory *memory,
                              uint64_t number)
{
    uint8_t account_bytes[BOOK_VALUE_MAX];
    struct scribe account = scribe_of(account_bytes, sizeof account_bytes);
    struct ledger_besides besides;
    struct ledger_spill spill;
    int r;
    if (s->l->version < 6) {
        ledger_scene_remember_one(s, &scene->account, memory, &besides);
        r = ledger_account_trim(s, &scene->account, &spill); /* moves items: the last to look */
    } else {
        r = ledger_account_trim(s, &scene->account, &spill);
        r = r ? r : ledger_memory_add(s, &scene->account, number, memory, &besides);
    }
    if (r) {
        return err_trace(r);
    }
    ledger_record_account(&account, &scene->account);
    r = ledger_outcome_put(s, o);
    r = r ? r : ledger_scene_put_account(s, scene, &account, &spill);
    return r ? err_trace(r) : err_trace(ledger_memory_put(s, scene->at, &s->c->identity, &besides));
}

int ledger_scene_close(struct ledger_step *s, struct ledger_scene *scene,
                       const struct ledger_outcome *o, const struct ledger_item *item)
{
    uint8_t bytes[LEDGER_ITEM_BYTES];
    struct scribe snapshot = scribe_of(bytes, sizeof bytes);
    uint8_t format = item ? ledger_item_format(item) : LEDGER_FORMAT_1;
    if (item) {
        ledger_record_item(&snapshot, item, format);
    }
    CHECK(!snapshot.bad);
    uint8_t meta[LEDGER_META_BYTES];
    struct ledger_memory memory = ledger_request_memory(
        s, format, (struct span){bytes, scribe_len(&snapshot)}, meta);
    return err_trace(ledger_scene_write(s, scene, o, &memory, item ? item->number : 0));
}

int ledger_scene_close_with(struct ledger_step *s, struct ledger_scene *scene,
                            const struct ledger_outcome *o, struct span snapshot)
{
    uint8_t meta[LEDGER_META_BYTES];
    struct ledger_memory memory = ledger_request_memory(s, LEDGER_FORMAT_1, snapshot, meta);
    return err_trace(ledger_scene_write(s, scene, o, &memory, 0));
}

int ledger_scene_refuse(struct ledger_step *s, struct ledger_scene *scene, enum reason reason)
{
    static const struct ledger_outcome nothing;
    ledger_refuse(s, reason);
    return err_trace(ledger_scene_close(s, scene, &nothing, NULL));
}

int ledger_scene_wait(struct ledger_step *s, enum reason reason, int64_t retry_us)
{
    CHECK(retry_us > 0);
    int64_t ms = retry_us / 1000 + 1;
    s->v->retry_ms = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
    return ledger_refuse(s, reason);
}

int ledger_scene_find(struct ledger_step *s, struct ledger_scene *scene, bool is_reservation,
                      struct ledger_item **ret_item)
{
    struct ledger_item *item = NULL;
    if (scene->at.position == s->c->owner) {
        struct ledger_key own = ledger_key_account(scene->at, &s->c->identity);
        int r = ledger_account_pick(s, &own, &scene->account, &item);
        if (r < 0) {
            return err_trace(r);
        }
    }
    if (item && (!is_reservation || ledger_item_is_reservation(item))) {
        *ret_item = item;
        return REASON_OK;
    }
    if (item == NULL) {
        struct ledger_account other;
        struct ledger_key key;
        int r = ledger_account_owner(s, scene->at.space, &key, &other, &item);
        if (r < 0) {
            return err_trace(r);
        }
        if (r == 0 && (!is_reservation || ledger_item_is_reservation(item))) {
            return REASON_NOT_YOUR_RESERVATION;
        }
    }
    return is_reservation ? REASON_RESERVATION_UNKNOWN : REASON_HOLD_UNKNOWN;
}
