/* SPDX-License-Identifier: MIT */
/* One's own holds and reservations, read.  Nothing is written.
 * An operator may read anybody's by name, but list nobody's: an account has no name here.
 * A list over all classes follows the index records of its identity, in the order of the classes'
 * names, then of numbers; at most CLASSES_MAX accounts and SCAN_MAX items are looked at per page:
 * a page may be short and still have a next one.  Owns nothing. */
#include <errno.h>

#include "ledger/ledger_parts.h"

#define CLASSES_MAX 256
#define SCAN_MAX    (4 * PAGE_SIZE_MAX) /* items looked at per page */
#define TOKEN_BYTES (CLASS_MAX + 1 + 16)

/* The item that the command names, if its caller may see it: REASON_OK, why not, or < 0. */
static int ledger_read_find(struct ledger_step *s, struct ledger_account *account,
                            struct ledger_item **ret_item)
{
    bool is_hold = s->c->kind == COMMAND_GET_HOLD;
    enum reason unknown = is_hold ? REASON_HOLD_UNKNOWN : REASON_RESERVATION_UNKNOWN;
    const struct ledger_pool *pool;
    struct ledger_key key;
    int r = ledger_pool_find(s->l, s->c->pool, &pool);
    if (r) {
        return r == LEDGER_NONE ? REASON_POOL_UNKNOWN : err_trace(r);
    }
    struct routing_key at = ledger_identity_key(ledger_pool_class(pool), &s->c->identity);
    r = ledger_account_owner(s, at.space, &key, account, ret_item);
    if (r) {
        return r == LEDGER_NONE ? (int)unknown : err_trace(r);
    }
    if (!is_hold && !ledger_item_is_reservation(*ret_item)) {
        return unknown;
    }
    struct ledger_key own = ledger_key_account(at, &s->c->identity);
    bool is_own = span_equal(ledger_key_span(&own), ledger_key_span(&key));
    return is_own || s->c->roles & ROLE_OPERATOR ? REASON_OK : REASON_NOT_YOUR_RESERVATION;
}

int ledger_read_hold(struct ledger_step *s)
{
    struct ledger_account account;
    struct ledger_item *item;
    int r = ledger_read_find(s, &account, &item);
    if (r) {
        return r < 0 ? err_trace(r) : ledger_refuse(s, (enum reason)r);
    }
    return err_trace(ledger_account_answer_hold(s, item, s->c->owner));
}

int ledger_read_reservation(struct ledger_step *s)
{
    struct ledger_account account;
    struct ledger_item *item;
    int r = ledger_read_find(s, &account, &item);
    if (r) {
        return r < 0 ? err_trace(r) : ledger_refuse(s, (enum reason)r);
    }
    return err_trace(ledger_account_answer_reservation(s, item, s->c->owner));
}

/* -- the list ---------------------------------------------------------------------------------- */

/* Where the list stands. */
struct ledger_read_list {
    struct reservation_view *out;
    struct ledger_class in;
    uint64_t after; /* number of the last one given out of that class */
    size_t looked;  /* items, listed or not */
    bool any_pool;
};

/* "CLASS.NUMBER"; a class may hold dots, a number none. */
static int ledger_read_token(struct ledger_step *s, const struct ledger_read_list *list)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t bytes[TOKEN_BYTES];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    scribe_bytes(&w, list->in.bytes, list->in.len);
    scribe_u8(&w, '.');
    for (int shift = 60; shift >= 0; shift -= 4) {
        scribe_u8(&w, (uint8_t)hex[list->after >> shift & 15]);
    }
    CHECK(!w.bad);
    return err_trace(ledger_page_write(s, (struct span){bytes, scribe_len(&w)}));
}

/* Where the token says to go on. 0, LEDGER_NONE for the first page, PAGE_TOKEN_INVALID. */
static int ledger_read_resume(struct ledger_step *s, struct ledger_read_list *list)
{
    struct span token;
    int r = ledger_page_read(s, &token);
    if (r) {
        return r;
    }
    if (token.len < 18 || token.len > TOKEN_BYTES || token.ptr[token.len - 17] != '.') {
        return REASON_PAGE_TOKEN_INVALID;
    }
    ledger_class_enter(&list->in, (struct span){token.ptr, token.len - 17});
    for (size_t i = token.len - 16; i < token.len; i++) {
        uint8_t c = token.ptr[i];
        list->after = list->after << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return 0;
}

/* The item with the next number after list->after: in the account, or ended beside it; *ended is
 * what was found there last.  0, LEDGER_NONE, < 0. */
static int ledger_read_next(struct ledger_step *s, const struct ledger_read_list *list,
                            const struct ledger_key *key, struct ledger_account *account,
                            const struct ledger_item **ret_item)
{
    struct ledger_item *ended = &account->ended;
    const struct ledger_item *next = NULL;
    for (size_t i = 0; next == NULL && i < account->items_count; i++) {
        next = account->items[i].number > list->after ? &account->items[i] : NULL;
    }
    if (ended->number <= list->after) {
        int r = ledger_account_ended(s, key, list->after, ended);
        if (r < 0) {
            return err_trace(r);
        }
        if (r == LEDGER_NONE) {
            ended->number = UINT64_MAX; /* none is left */
        }
    }
    if (ended->number != UINT64_MAX && (next == NULL || ended->number < next->number)) {
        next = ended;
    }
    *ret_item = next;
    return next ? 0 : LEDGER_NONE;
}

static bool ledger_read_is_listed(struct ledger_step *s, const struct ledger_read_list *list,
                                  const struct ledger_account *account,
                                  const struct ledger_item *item)
{
    return ledger_item_is_reservation(item) &&
           (item != &account->ended || ledger_item_is_known(item, s->now_us)) &&
           (list->any_pool || span_equal(item->pool, s->c->pool));
}

/* The reservations of one class. 0; LEDGER_NONE: the page is full, its token written; < 0. */
static int ledger_read_account_list(struct ledger_step *s, struct ledger_read_list *list)
{
    struct ledger_account account;
    const struct ledger_item *item = NULL;
    struct routing_key at = ledger_identity_key(ledger_class_name(&list->in), &s->c->identity);
    struct ledger_key key = ledger_key_account(at, &s->c->identity);
    int r = ledger_account_load(s, at, &account);
    if (r < 0) {
        return err_trace(r);
    }
    account.ended.number = 0;
    while ((r = ledger_read_next(s, list, &key, &account, &item)) == 0) {
        bool is_listed = ledger_read_is_listed(s, list, &account, item);
        if (list->looked++ == SCAN_MAX ||
            (is_listed && s->v->reservations_count == s->c->page_size)) {
            r = ledger_read_token(s, list);
            return r ? err_trace(r) : LEDGER_NONE;
        }
        if (is_listed) {
            r = ledger_account_view(s, item, at.position,
                                    &list->out[s->v->reservations_count++]);
        }
        if (r) {
            return err_trace(r);
        }
        list->after = item->number;
    }
    return r == LEDGER_NONE ? 0 : err_trace(r);
}

static int ledger_read_all(struct ledger_step *s, struct ledger_read_list *list, bool is_first)
{
    int r = is_first ? 0 : ledger_read_account_list(s, list);
    for (int i = 0; r == 0 && i < CLASSES_MAX; i++) {
        r = ledger_class_next(s->l, &s->c->identity, &list->in);
        list->after = 0;
        if (r == 0) {
            r = ledger_read_account_list(s, list);
        }
    }
    if (r == 0) {
        list->after = UINT64_MAX; /* done with this class, and enough for one page */
        r = ledger_read_token(s, list);
    }
    return r == LEDGER_NONE ? 0 : err_trace(r);
}

int ledger_read_reservations(struct ledger_step *s)
{
    const struct ledger_pool *pool = NULL;
    struct ledger_read_list list = {.any_pool = s->c->pool.len == 1 && s->c->pool.ptr[0] == '-'};
    int r = list.any_pool ? 0 : ledger_pool_find(s->l, s->c->pool, &pool);
    if (r) {
        return r == LEDGER_NONE ? ledger_refuse(s, REASON_POOL_UNKNOWN) : err_trace(r);
    }
    int page = ledger_read_resume(s, &list);
    if (page < 0) {
        return err_trace(page);
    }
    if (page == REASON_PAGE_TOKEN_INVALID) {
        return ledger_refuse(s, REASON_PAGE_TOKEN_INVALID);
    }
    list.out = arena_alloc(s->arena, s->c->page_size * sizeof *list.out);
    if (list.out == NULL) {
        return err_origin(-ENOMEM);
    }
    s->v->result = RESULT_RESERVATIONS;
    s->v->reservations = list.out;
    if (list.any_pool) {
        return err_trace(ledger_read_all(s, &list, page == LEDGER_NONE));
    }
    if (page == LEDGER_NONE) {
        ledger_class_enter(&list.in, ledger_pool_class(pool));
    }
    r = ledger_read_account_list(s, &list);
    return r == LEDGER_NONE ? 0 : err_trace(r);
}
