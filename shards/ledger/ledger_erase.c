/* SPDX-License-Identifier: MIT */
/* Erasure of an identity: an operator's command, after which no record says anything of it.
 *
 *   ERASE {identity} -> for each of its service classes:
 *       live holds and reservations -> given back: their slots are *returned*, or go to the standby
 *           of their open release
 *       tickets -> withdrawn, where that still changes something; then nobody's, as when a key is
 *           burned: the leaf stays, so every release still verifies
 *       account, ended items, remembered verdicts, its place in the index -> gone
 *
 * Records go 256 a command: when more are left the answer is ERASE_RUNNING, not remembered, and
 * the same request goes on; what is left is the cursor, so it goes on after any crash.  A release
 * whose set of tickets is sealed and not served yet says the same, because nobody steps out of a
 * draw half way.  The identity may come back: it begins anew.
 * Owns nothing; fails by the book. */
#include <errno.h>

#include "ledger/ledger_release.h"

#define ERASE_RECORDS 256

struct erase {
    struct ledger_step step; /* as if the identity asked */
    struct command as;
    size_t left; /* records that may still go */
};

/* -- what is live ------------------------------------------------------------------------------ */

static int erase_items(struct erase *e, struct routing_key at, struct ledger_account *account)
{
    struct ledger_step *s = &e->step;
    for (size_t i = 0; i < account->items_count; i++) {
        struct ledger_item *item = &account->items[i];
        const struct ledger_pool *pool;
        struct ledger_owned owned = {NULL, at.position, item};
        if (!ledger_item_is_live(item, s->now_us)) {
            continue;
        }
        int r = ledger_pool_find(s->l, item->pool, &pool);
        owned.pool = pool;
        r = r ? r : ledger_hold_give_back(s, &owned);
        if (r) {
            return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
        }
        /* What was put has ended every span: read again, and look behind this one. */
        r = ledger_account_load(s, at, account);
        if (r) {
            return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
        }
    }
    return 0;
}

/* Its ticket in one release. 0, REASON_ERASE_RUNNING, < 0. */
static int erase_ticket(struct erase *e, uint64_t space)
{
    struct ledger_step *s = &e->step;
    struct ledger_release release;
    struct ticket_id id;
    int r = ledger_release_load(s->l, space, &release);
    if (r || release.is_burned) {
        return r == LEDGER_NONE ? 0 : err_trace(r);
    }
    ledger_ticket_id(s->l, &release, &e->as.identity, &id);
    if (!ledger_release_is_over(&release)) {
        r = ledger_ticket_leave(s, &release, &id);
    }
    return r ? r < 0 ? err_trace(r) : r : err_trace(ledger_ticket_burn(s, &release, &id));
}

/* In every release that is known. */
static int erase_tickets(struct erase *e)
{
    struct ledger *l = e->step.l;
    int r = 0;
    for (size_t i = 0; i < l->open_count && r == 0; i++) {
        r = erase_ticket(e, l->open[i].space);
    }
    for (size_t i = 0; i < l->ends.count && r == 0; i++) {
        r = erase_ticket(e, l->ends.entries[i].number);
    }
    return r < 0 ? err_trace(r) : r;
}

/* -- records ----------------------------------------------------------------------------------- */

/* Those at that place whose suffix begins with the identity. 0, REASON_ERASE_RUNNING, < 0. */
static int erase_records(struct erase *e, struct routing_key at)
{
    struct ledger_key from = ledger_key_make(at, 0, (struct span){0});
    for (;;) {
        struct ledger_key_parts parts;
        struct span key, value;
        int r = ledger_next(e->step.l, ledger_key_span(&from), true, &key, &value);
        if (r < 0) {
            return err_trace(r);
        }
        if (r == LEDGER_NONE || !ledger_key_parse(key, &parts) ||
            memcmp(&parts.at, &at, sizeof at) != 0) {
            return 0;
        }
        memcpy(from.bytes, key.ptr, key.len);
        from.len = key.len;
        if (parts.suffix.len < 16 || memcmp(parts.suffix.ptr, e->as.identity.bytes, 16) != 0) {
            continue;
        }
        if (e->left == 0) {
            return REASON_ERASE_RUNNING;
        }
        e->left--;
        r = ledger_del(e->step.l, &from);
        if (r) {
            return err_trace(r);
        }
    }
}

/* Everything in one class; its place in the index last. */
static int erase_class(struct erase *e, struct span service_class)
{
    struct routing_key at = ledger_identity_key(service_class, &e->as.identity);
    struct ledger_account *account = arena_alloc(e->step.arena, sizeof *account);
    if (account == NULL) {
        return err_origin(-ENOMEM);
    }
    struct ledger_key own = ledger_key_account(at, &e->as.identity);
    int r = ledger_account_load(&e->step, at, account);
    if (r == 0) {
        r = erase_items(e, at, account);
        r = r ? r : ledger_del(e->step.l, &own); /* in the same step: it says what it had */
    }
    r = r < 0 ? r : erase_records(e, at);
    if (r) {
        return r < 0 ? err_trace(r) : r;
    }
    struct ledger_key index = ledger_key_index(&e->as.identity, service_class);
    return err_trace(ledger_del(e->step.l, &index));
}

static int erase_all(struct erase *e)
{
    static const struct request_id none;
    int r = erase_tickets(e);
    while (r == 0) {
        struct ledger_class c = {.len = 0};
        r = ledger_class_next(e->step.l, &e->as.identity, &c);
        if (r == 0) {
            r = erase_class(e, ledger_class_name(&c));
        }
    }
    if (r != LEDGER_NONE) {
        return r < 0 ? err_trace(r) : r;
    }
    struct ledger_key admin = ledger_key_admin(&e->as.identity, &none);
    struct ledger_key_parts parts;
    CHECK(ledger_key_parse(ledger_key_span(&admin), &parts));
    r = erase_records(e, parts.at);
    return r < 0 ? err_trace(r) : r;
}

/* -- the command ------------------------------------------------------------------------------- */

static bool erase_identity(struct span text, struct identity *ret_identity)
{
    if (text.len != 2 * sizeof ret_identity->bytes) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && (c < 'a' || c > 'f')) {
            return false;
        }
        uint8_t digit = (uint8_t)(is_digit ? c - '0' : c - 'a' + 10);
        uint8_t *byte = &ret_identity->bytes[i / 2];
        *byte = (uint8_t)(i % 2 ? *byte << 4 | digit : digit);
    }
    return true;
}

int ledger_erase(struct ledger_step *s)
{
    struct erase e = {.step = *s, .as = {.kind = COMMAND_ERASE}, .left = ERASE_RECORDS};
    struct ledger_key request = ledger_key_admin(&s->c->identity, &s->c->request_id);
    uint8_t bytes[16];
    struct writer w = writer_of(bytes, sizeof bytes);
    if (!(s->c->roles & ROLE_OPERATOR)) {
        return ledger_refuse(s, REASON_ROLE_MISSING);
    }
    int r = ledger_request_recall(s, &request, 0);
    if (r != LEDGER_NONE) {
        s->v->result = r == 0 && s->v->reason == REASON_OK ? RESULT_OPERATION : s->v->result;
        return err_trace(r);
    }
    if (!erase_identity(s->c->note, &e.as.identity)) {
        s->v->field = "identity";
        return ledger_refuse(s, REASON_FIELD_INVALID);
    }
    e.step.c = &e.as;
    r = erase_all(&e);
    if (r) {
        return r < 0 ? err_trace(r) : ledger_refuse(s, (enum reason)r);
    }
    ledger_request_counted(s, 0, s->log_index, &w);
    s->v->result = RESULT_OPERATION;
    return err_trace(ledger_request_remember(s, &request, LEDGER_FORMAT_1,
                                             (struct span){bytes, writer_len(&w)}));
}
