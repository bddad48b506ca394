/* SPDX-License-Identifier: MIT */
/* The service classes of one identity, and the promise that a request id is its own in all of them.
 *
 * A request is remembered beside the account that it changes, so its record lies in one class.  An
 * identity with accounts in several is rare; its accounts carry a mark (has_others), and only for
 * them are the other classes asked too, through the index:
 *
 *   first account in a class -> index -> no other: nothing more
 *                                     -> one, unmarked: both get the mark
 *                                     -> several: they have it already, the new one gets it
 *
 * So whoever stays in one class pays one look at the index in a life, where the index record is
 * about to be written anyway.  Invariant: marked exactly when the index has two classes or more.
 * Bounded: the first CLASSES_ASKED classes by name; more than a city has.
 * Owns nothing.  Road not taken: a record per request in the identity's own place (another random
 * write for every request of everybody). */
#include <errno.h>

#include "ledger/ledger_memory.h"

#define CLASSES_ASKED 64

int ledger_class_next(struct ledger *l, const struct identity *identity, struct ledger_class *c)
{
    struct ledger_key from = ledger_key_index(identity, ledger_class_name(c));
    struct ledger_key_parts was, is;
    struct span key, value;
    int r = ledger_next(l, ledger_key_span(&from), true, &key, &value);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    if (!ledger_key_parse(ledger_key_span(&from), &was) || !ledger_key_parse(key, &is)) {
        return err_origin(-EBADMSG);
    }
    if (is.at.space != was.at.space || is.at.position != was.at.position || is.tag != 'C' ||
        is.suffix.len <= 16 || memcmp(is.suffix.ptr, identity->bytes, 16) != 0) {
        return LEDGER_NONE;
    }
    if (is.suffix.len > 16 + CLASS_MAX) {
        return err_origin(-EBADMSG);
    }
    ledger_class_enter(c, (struct span){is.suffix.ptr + 16, is.suffix.len - 16});
    return 0;
}

void ledger_class_enter(struct ledger_class *c, struct span name)
{
    CHECK(name.len <= CLASS_MAX);
    memcpy(c->bytes, name.ptr, name.len);
    c->len = name.len;
}

/* As ledger_class_next(), but for the class `own`. */
static int ledger_class_other(struct ledger_step *s, struct span own, struct ledger_class *c)
{
    int r = ledger_class_next(s->l, &s->c->identity, c);
    if (r == 0 && span_equal(ledger_class_name(c), own)) {
        r = ledger_class_next(s->l, &s->c->identity, c);
    }
    return r == LEDGER_NONE ? r : err_trace(r);
}

/* Does the account there remember the request, in it or beside it?  0, LEDGER_NONE, < 0. */
static int ledger_class_knows(struct ledger_step *s, struct routing_key at)
{
    struct ledger_account account;
    struct ledger_memory m;
    int r = ledger_account_load(s, at, &account); /* none: an erasure has come so far */
    if (r == 0 && account.has_memory && !ledger_memory_is_over(&account.memory, s->now_us) &&
        memcmp(&account.memory_id, &s->c->request_id, sizeof account.memory_id) == 0) {
        return 0;
    }
    r = r ? r : ledger_memory_find(s, at, &account, &m);
    if (r == LEDGER_NONE && ledger_memory_may_lie_beside(s, &account)) {
        struct ledger_key key = ledger_key_request(at, &s->c->identity, &s->c->request_id);
        r = ledger_request_is_known(s, &key);
    }
    return r == LEDGER_NONE ? r : err_trace(r);
}

int ledger_class_recall(struct ledger_step *s, struct span own, bool *ret_has_others)
{
    struct ledger_class c = {.len = 0};
    bool has_others = false;
    for (int i = 0; i < CLASSES_ASKED; i++) {
        int r = ledger_class_other(s, own, &c);
        if (r == LEDGER_NONE) {
            break;
        }
        if (r) {
            return err_trace(r);
        }
        has_others = true;
        struct routing_key at = ledger_identity_key(ledger_class_name(&c), &s->c->identity);
        r = ledger_class_knows(s, at);
        if (r != LEDGER_NONE) {
            return r ? err_trace(r) : ledger_refuse(s, REASON_REQUEST_ID_REUSED);
        }
    }
    *ret_has_others = has_others;
    return LEDGER_NONE;
}

int ledger_class_mark(struct ledger_step *s, struct span own)
{
    struct ledger_class c = {.len = 0};
    struct ledger_account account;
    int r = ledger_class_other(s, own, &c);
    if (r) {
        return r == LEDGER_NONE ? 0 : err_trace(r);
    }
    struct routing_key at = ledger_identity_key(ledger_class_name(&c), &s->c->identity);
    r = ledger_account_load(s, at, &account);
    if (r) { /* none: it is being erased */
        return r == LEDGER_NONE ? 0 : err_trace(r);
    }
    if (account.has_others) {
        return 0; /* then they all have it */
    }
    uint8_t bytes[BOOK_VALUE_MAX];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct ledger_key key = ledger_key_account(at, &s->c->identity);
    account.has_others = true;
    ledger_record_account(&w, &account);
    return err_trace(ledger_put(s->l, &key, &w));
}
