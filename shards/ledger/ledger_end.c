/* SPDX-License-Identifier: MIT */
/* What comes after the end of a release.
 *
 *   closed or cancelled -> appeal period of the pool -> its key is burned, 256 tickets a step: of
 *       each the identity and the hold go, the nonce of its leaf stays, so that the root can still
 *       be recomputed; last the key itself is zeroed, and nobody can say whose a ticket was
 *   30 days after its last appointment, never before the burning -> its records go, 256 a step, the
 *       release itself last
 *
 * Both are commands of the log, proposed when due; a step that comes twice, late or early does
 * nothing.  From the instant of the second on the release is unknown to whoever asks, met or not,
 * so that nobody sees half of it (the catalogue names it for that moment).  What a ticket came to
 * is written as it is burned: afterwards its hold cannot be asked.
 * Owns: the heap of instants in struct ledger, derived from the book.  Fails by the book and by
 * -ENOMEM. */
#include <errno.h>

#include "ledger/ledger_release.h"

#define END_STEPS 2 /* of all releases, in one round */

/* -- when -------------------------------------------------------------------------------------- */

static int64_t end_due_us(const struct ledger_release *r)
{
    return r->over_us == 0 ? 0 : (int64_t)(r->is_burned ? r->sweep_us : r->burn_us);
}

int ledger_end_load(struct ledger *l, const struct ledger_release *r)
{
    struct ledger_expiry_entry entry = {.expire_us = end_due_us(r), .number = r->space};
    ledger_expiry_remove(&l->ends, r->space);
    return err_trace(ledger_expiry_add(&l->ends, &entry));
}

/* The end of the last slot that it offered; its own end when it offered none. */
static int end_last_us(struct ledger_step *s, const struct ledger_release *r, uint64_t *ret_us)
{
    struct ledger_key key = ledger_release_key_number(r->space, 'N', r->slots_count - 1);
    struct draw_slot slot;
    struct span value;
    *ret_us = r->over_us;
    if (r->slots_count == 0) {
        return 0;
    }
    int status = ledger_get(s->l, &key, &value);
    status = status ? status : ledger_read_offered(value, &slot);
    if (status) {
        return status == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(status);
    }
    *ret_us = (uint64_t)slot.end_us > *ret_us ? (uint64_t)slot.end_us : *ret_us;
    return 0;
}

int ledger_end_begin(struct ledger_step *s, struct ledger_release *r)
{
    const struct ledger_pool *pool;
    uint64_t last_us;
    if (s->l->version < 3) {
        return err_trace(ledger_end_load(s->l, r)); /* begun when the rules know of it */
    }
    int status = ledger_pool_find(s->l, ledger_release_pool(r), &pool);
    if (status) {
        return status == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(status);
    }
    int64_t appeal_us = pool->appeal_us;
    r->over_us = (uint64_t)(s->now_us > 0 ? s->now_us : 1);
    r->burn_us = r->over_us + (uint64_t)appeal_us;
    r->cursor.len = 0;
    status = end_last_us(s, r, &last_us);
    if (status) {
        return err_trace(status);
    }
    r->sweep_us = last_us + LEDGER_ENDED_US;
    r->sweep_us = r->sweep_us > r->burn_us ? r->sweep_us : r->burn_us;
    if (r->is_returned && r->slots_count == 0) {
        r->burn_us = r->sweep_us = r->over_us; /* nobody saw it */
    }
    return err_trace(ledger_end_load(s->l, r));
}

int64_t ledger_end_next_us(const struct ledger *l)
{
    return l->ends.count ? l->ends.entries[0].expire_us : INT64_MAX;
}

size_t ledger_end_due(const struct ledger *l, int64_t now_us, struct arena *arena,
                      struct command *out, size_t max)
{
    const struct ledger_expiry_entry *due[END_STEPS];
    max = max < END_STEPS ? max : END_STEPS;
    size_t count = l->version < 3 ? 0 : ledger_expiry_due(&l->ends, now_us, arena, due, max);
    for (size_t i = 0; i < count; i++) {
        out[i] = (struct command){.kind = COMMAND_END_RELEASE, .owner = due[i]->number};
    }
    return count;
}

/* -- burning ----------------------------------------------------------------------------------- */

int ledger_ticket_burn(struct ledger_step *s, const struct ledger_release *r,
                       const struct ticket_id *id)
{
    uint8_t bytes[LEDGER_TICKET_BYTES];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct ledger_key key = ledger_release_key_ticket(r->space, id);
    struct ledger_ticket_now now;
    struct ledger_ticket ticket;
    uint8_t nonce[16];
    int status = ledger_ticket_load(s, r->space, id, &ticket);
    if (status || ticket.is_burned) {
        return status == LEDGER_NONE ? 0 : err_trace(status);
    }
    status = ledger_ticket_now(s, r, &ticket, &now); /* may borrow the book for itself */
    status = status ? status : ledger_ticket_load(s, r->space, id, &ticket);
    if (status) {
        return status == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(status);
    }
    ledger_ticket_nonce(s->l, r, &ticket, nonce);
    memcpy(ticket.identity.bytes, nonce, sizeof ticket.identity.bytes);
    ticket.state = ticket.hold ? now.state : ticket.state;
    ticket.state = ticket.state == TICKET_OFFERED ? TICKET_LAPSED : ticket.state; /* erased */
    ticket.hold = 0;
    ticket.act_by_us = ticket.state == TICKET_WITHDRAWN ? ticket.act_by_us : 0;
    ticket.is_burned = true;
    ledger_record_ticket(&w, &ticket);
    return err_trace(ledger_put(s->l, &key, &w));
}

static int end_burn(struct ledger_step *s, struct ledger_release *r)
{
    struct ledger_key at = r->cursor.len ? r->cursor : ledger_release_key(r->space, 'T');
    int status = 0;
    for (int i = 0; i < RELEASE_STEP && status == 0; i++) {
        struct ledger_ticket ticket;
        status = ledger_proof_next(s, r->space, &at, &ticket);
        if (status == 0) {
            struct ticket_id id = ticket.id;
            status = ledger_ticket_burn(s, r, &id);
        }
    }
    if (status < 0) {
        return err_trace(status);
    }
    r->cursor = at;
    if (status == LEDGER_NONE) {
        memset(r->release_key, 0, sizeof r->release_key);
        ledger_ticket_forget_macs(s->l);
        r->is_burned = true;
        r->cursor.len = 0;
    }
    status = ledger_release_put(s, r);
    return status ? err_trace(status) : err_trace(ledger_end_load(s->l, r));
}

/* -- the end of its records -------------------------------------------------------------------- */

static int end_sweep_last(struct ledger_step *s, const struct ledger_release *r)
{
    struct ledger_key named = ledger_release_key_named(r->pool_space, ledger_release_id(r));
    struct ledger_key own = ledger_release_key(r->space, 'L');
    int status = ledger_del(s->l, &named);
    status = status ? status : ledger_del(s->l, &own);
    ledger_expiry_remove(&s->l->ends, r->space);
    return err_trace(status);
}

static int end_sweep(struct ledger_step *s, const struct ledger_release *r)
{
    struct ledger_key own = ledger_release_key(r->space, 'L');
    struct ledger_key at = ledger_key_space(r->space);
    for (int i = 0; i < RELEASE_STEP; i++) {
        struct ledger_key_parts parts;
        struct span key, value;
        int status = ledger_next(s->l, ledger_key_span(&at), i > 0, &key, &value);
        if (status < 0) {
            return err_trace(status);
        }
        if (status == 0 && (!ledger_key_parse(key, &parts) || key.len > BOOK_KEY_MAX)) {
            return err_origin(-EBADMSG);
        }
        if (status == LEDGER_NONE || parts.at.space != r->space) {
            return err_trace(end_sweep_last(s, r));
        }
        memcpy(at.bytes, key.ptr, key.len);
        at.len = key.len;
        bool is_own = span_equal(ledger_key_span(&at), ledger_key_span(&own));
        status = is_own ? 0 : ledger_del(s->l, &at);
        if (status) {
            return err_trace(status);
        }
    }
    return 0;
}

/* By the shard itself.  Late, early or twice: nothing happens. */
int ledger_end_step(struct ledger_step *s)
{
    struct ledger_release release;
    int r = ledger_release_load(s->l, s->c->owner, &release);
    if (r == LEDGER_NONE) {
        ledger_expiry_remove(&s->l->ends, s->c->owner);
        return 0;
    }
    if (r) {
        return err_trace(r);
    }
    if (!ledger_release_is_over(&release) || end_due_us(&release) > s->now_us) {
        return 0;
    }
    if (release.over_us == 0) {
        return err_trace(ledger_release_put(s, &release)); /* ended under older rules */
    }
    return release.is_burned ? err_trace(end_sweep(s, &release))
                             : err_trace(end_burn(s, &release));
}
