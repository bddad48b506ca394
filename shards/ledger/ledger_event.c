/* SPDX-License-Identifier: MIT */
/* Events: what became of releases, tickets, holds and reservations, for the client (the authorised
 * party of a token) that filed the ticket.
 *
 *   a step that changes something -> one small record in the same step
 *   (events, client)  'V' number nth     kind, time, release; of a ticket: id, act by; hold
 *   (events, 0)       'V' number nth     the same of a release: everybody may know
 *   (origins, hold)   'O'                ticket that a hold came of, until its slot is over
 *
 * number is log index and place in the entry, nth counts what one command makes: so a client's
 * events are one interval in the order of the log, and a place in it outlives every restart.
 * A ticket knows the client through which it was filed last; one of nobody's makes no events, and
 * neither does what was booked without a ticket.  Filing one makes none: its caller has the answer.
 * Kept EVENTS_KEPT_US of log time; the sweep takes them (ledger_sweep.c).  How they are read stands
 * in ledger_event_list.c.
 * Owns nothing; fails by the book and by damage in it. */
#include <errno.h>

#include "ledger/ledger_event.h"

#define EVENT_BYTES 64

struct ledger_key ledger_event_key(uint64_t client, uint64_t number, uint16_t nth)
{
    uint8_t suffix[10];
    struct scribe w = scribe_of(suffix, sizeof suffix);
    scribe_u64(&w, number);
    scribe_u16(&w, nth);
    return ledger_key_make((struct routing_key){LEDGER_SPACE_EVENTS, client}, 'V',
                           (struct span){suffix, sizeof suffix});
}

/* -- values ------------------------------------------------------------------------------------ */

static void event_record(struct scribe *w, const struct ledger_event *e)
{
    scribe_u8(w, LEDGER_FORMAT_1);
    scribe_u8(w, (uint8_t)e->kind);
    scribe_u64(w, (uint64_t)e->time_us);
    scribe_u64(w, e->release);
    if (e->kind >= EVENT_OF_TICKET) {
        scribe_bytes(w, e->ticket.bytes, sizeof e->ticket.bytes);
        scribe_u64(w, (uint64_t)e->act_by_us);
    }
    if (e->kind >= EVENT_OF_HOLD) {
        scribe_u64(w, e->owner);
        scribe_u64(w, e->number);
    }
}

int ledger_event_read(struct span value, struct ledger_event *ret_event)
{
    struct reader r = reader_of(value.ptr, value.len);
    struct ledger_event e = {.number = 0};
    bool is_ours = reader_u8(&r) == LEDGER_FORMAT_1;
    e.kind = (enum event_kind)reader_u8(&r);
    e.time_us = (int64_t)reader_u64(&r);
    e.release = reader_u64(&r);
    if (e.kind >= EVENT_OF_TICKET) {
        reader_bytes(&r, e.ticket.bytes, sizeof e.ticket.bytes);
        e.act_by_us = (int64_t)reader_u64(&r);
    }
    if (e.kind >= EVENT_OF_HOLD) {
        e.owner = reader_u64(&r);
        e.number = reader_u64(&r);
    }
    if (!is_ours || r.bad || reader_left(&r) > 0) {
        return err_origin(-EBADMSG);
    }
    *ret_event = e;
    return 0;
}

/* Nobody's (0) are everybody's. */
static int event_put(struct ledger_step *s, uint64_t client, struct ledger_event *e)
{
    uint8_t bytes[EVENT_BYTES];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct ledger_key key = ledger_event_key(client, s->number, s->l->events_made++);
    e->time_us = s->now_us;
    event_record(&w, e);
    return err_trace(ledger_put(s->l, &key, &w));
}

/* -- where a hold came from -------------------------------------------------------------------- */

/* What a hold that came of a ticket leads back to. */
struct event_origin {
    int64_t until_us; /* when nothing can become of it any more */
    uint64_t release;
    struct ticket_id ticket;
};

static struct ledger_key event_origin_key(uint64_t hold)
{
    return ledger_key_make((struct routing_key){LEDGER_SPACE_ORIGINS, hold}, 'O',
                           (struct span){0});
}

/* The slots of a release lie in its interval, and a scarce pool's reservation does not move. */
static int event_origin_put(struct ledger_step *s, const struct ledger_release *r,
                            const struct ledger_event *e)
{
    uint8_t bytes[EVENT_BYTES];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct ledger_key key = event_origin_key(e->number);
    scribe_u8(&w, LEDGER_FORMAT_1);
    scribe_u64(&w, r->slots_to_us + 2 * DAY_US);
    scribe_u64(&w, e->release);
    scribe_bytes(&w, e->ticket.bytes, sizeof e->ticket.bytes);
    return err_trace(ledger_put(s->l, &key, &w));
}

static int event_origin_read(struct span value, struct event_origin *out)
{
    struct reader r = reader_of(value.ptr, value.len);
    bool is_ours = reader_u8(&r) == LEDGER_FORMAT_1;
    out->until_us = (int64_t)reader_u64(&r);
    out->release = reader_u64(&r);
    reader_bytes(&r, out->ticket.bytes, sizeof out->ticket.bytes);
    return is_ours && !r.bad && reader_left(&r) == 0 ? 0 : err_origin(-EBADMSG);
}

int ledger_event_origin_is_over(struct ledger_step *s, struct span value, bool *ret_is_over)
{
    struct event_origin origin;
    int r = event_origin_read(value, &origin);
    *ret_is_over = r == 0 && origin.until_us <= s->now_us;
    return err_trace(r);
}

/* -- telling ------------------------------------------------------------------------------------*/

int ledger_event_release(struct ledger_step *s, const struct ledger_release *r)
{
    static const enum event_kind kinds[] = {
        [PHASE_ANNOUNCED] = EVENT_RELEASE_ANNOUNCED, [PHASE_ENTRY] = EVENT_RELEASE_ENTRY,
        [PHASE_SEALED] = EVENT_RELEASE_SEALED,       [PHASE_RANKING] = EVENT_RELEASE_RANKED,
        [PHASE_SERVING] = EVENT_RELEASE_SERVING,     [PHASE_STANDBY] = EVENT_RELEASE_STANDBY,
        [PHASE_CLOSED] = EVENT_RELEASE_CLOSED,       [PHASE_CANCELLED] = EVENT_RELEASE_CANCELLED};
    struct ledger_event e = {.kind = kinds[r->phase], .release = r->space};
    bool is_phantom = r->is_returned && r->slots_count == 0; /* a coin's that found nothing */
    bool is_told = e.kind && s->l->version >= 3 && !is_phantom; /* older rules know no events */
    return is_told ? err_trace(event_put(s, 0, &e)) : 0;
}

int ledger_event_ticket(struct ledger_step *s, const struct ledger_release *r,
                        const struct ledger_ticket *t, struct ledger_event e)
{
    if (t->client == 0) {
        return 0;
    }
    e.release = r->space;
    e.ticket = t->id;
    int status = e.kind >= EVENT_OF_HOLD ? event_origin_put(s, r, &e) : 0;
    return status ? err_trace(status) : err_trace(event_put(s, t->client, &e));
}

int ledger_event_item(struct ledger_step *s, struct ledger_event e)
{
    struct ledger_key key = event_origin_key(e.number);
    struct event_origin origin;
    struct ledger_ticket ticket;
    struct span value;
    int r = ledger_get(s->l, &key, &value);
    r = r ? r : event_origin_read(value, &origin);
    r = r ? r : ledger_ticket_load(s, origin.release, &origin.ticket, &ticket);
    if (r) {
        return r == LEDGER_NONE ? 0 : err_trace(r); /* it was booked without a ticket */
    }
    e.release = origin.release;
    e.ticket = origin.ticket;
    return ticket.client ? err_trace(event_put(s, ticket.client, &e)) : 0;
}
