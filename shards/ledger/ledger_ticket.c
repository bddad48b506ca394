/* SPDX-License-Identifier: MIT */
/* Tickets: the one place of an identity in a release.
 *
 *   create   entry: a new place, or other preferences for the same one
 *            behind it, where the release has cohorts: a place in the cohort that is open now
 *   delete   entry: withdrawn, its leaf with it;  later: the place is given up, the leaf stays
 *
 * The ticket id is a keyed hash of release and identity, so whatever somebody sends, and through
 * whichever gateway, meets the same record: there is no second place to have.
 * Order of checks of create, behind those of every mutation (ledger_scene.c): RELEASE_UNKNOWN,
 * RELEASE_NOT_OPEN / _SEALED / _ENDED / _STATE, COOL_DOWN, ASSURANCE_TOO_LOW, TOO_MANY_SLOTS,
 * SLOT_UNKNOWN (a wish), TICKET_ENDED, IDENTITY_QUOTA.
 * A live ticket counts as one hold against the entitlement; which identity has tickets where is
 * kept as marks in its account, and a mark whose ticket is over counts as nothing and is struck.
 * Owns nothing. */
#include <errno.h>

#include "ledger/ledger_event.h"

#define TICKET_SNAPSHOT_MAX 40 /* four varints */

/* -- the record -------------------------------------------------------------------------------- */

int ledger_ticket_load(struct ledger_step *s, uint64_t space, const struct ticket_id *id,
                       struct ledger_ticket *ret_ticket)
{
    struct ledger_key key = ledger_release_key_ticket(space, id);
    struct span value;
    int r = ledger_get(s->l, &key, &value);
    return r ? r == LEDGER_NONE ? r : err_trace(r)
             : err_trace(ledger_read_ticket(value, id, ret_ticket));
}

int ledger_ticket_put(struct ledger_step *s, uint64_t space, const struct ledger_ticket *t)
{
    uint8_t bytes[LEDGER_TICKET_BYTES];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct ledger_key key = ledger_release_key_ticket(space, &t->id);
    ledger_record_ticket(&w, t);
    ledger_touch_identity(s->l, &t->identity);
    return err_trace(ledger_put(s->l, &key, &w));
}

const struct draw_mac *ledger_ticket_mac(struct ledger *l, const uint8_t key[32])
{
    size_t at = key[0] % LEDGER_MACS;
    if (!l->macs[at].is_set || memcmp(l->macs[at].key, key, sizeof l->macs[at].key) != 0) {
        memcpy(l->macs[at].key, key, sizeof l->macs[at].key);
        draw_mac_init(&l->macs[at].mac, key);
        l->macs[at].is_set = true;
    }
    return &l->macs[at].mac;
}

void ledger_ticket_forget_macs(struct ledger *l)
{
    memset(l->macs, 0, sizeof l->macs);
}

uint64_t ledger_ticket_rank(struct ledger *l, const struct ledger_release *r,
                            const struct ticket_id *id)
{
    return draw_rank(ledger_ticket_mac(l, r->seed), id);
}

void ledger_ticket_nonce(struct ledger *l, const struct ledger_release *r,
                         const struct ledger_ticket *t, uint8_t ret_nonce[16])
{
    if (t->is_burned) {
        memcpy(ret_nonce, t->identity.bytes, 16);
        return;
    }
    draw_nonce(ledger_ticket_mac(l, r->release_key), &t->id, t->leaf_version, ret_nonce);
}

void ledger_ticket_leaf(const struct ledger_ticket *t, const uint8_t nonce[16],
                        struct draw_hash *ret_leaf)
{
    struct draw_hash preferences;
    draw_preferences_hash(t->preferences, nonce, &preferences);
    draw_leaf(&t->id, t->leaf_version,
              t->is_leaf_withdrawn ? DRAW_LEAF_WITHDRAWN : DRAW_LEAF_ENTERED, &preferences,
              ret_leaf);
}

void ledger_ticket_id(struct ledger *l, const struct ledger_release *r,
                      const struct identity *identity, struct ticket_id *ret_id)
{
    draw_ticket_id(ledger_ticket_mac(l, r->release_key), identity, ret_id);
}

/* -- entitlement ------------------------------------------------------------------------------- */

/* Does the mark's release still have a live ticket of this identity?  0 or < 0. */
static int ticket_mark_is_live(struct ledger_step *s, uint64_t space, bool *ret_is_live)
{
    struct ledger_release release;
    struct ledger_ticket ticket;
    struct ticket_id id;
    *ret_is_live = false;
    int r = ledger_release_load(s->l, space, &release);
    if (r || ledger_release_is_over(&release)) {
        return r == LEDGER_NONE ? 0 : err_trace(r);
    }
    ledger_ticket_id(s->l, &release, &s->c->identity, &id);
    r = ledger_ticket_load(s, space, &id, &ticket);
    if (r) {
        return r == LEDGER_NONE ? 0 : err_trace(r);
    }
    *ret_is_live = ticket.hold == 0 && (ticket.state == TICKET_ENTERED ||
                                        ticket.state == TICKET_STANDBY ||
                                        ticket.state == TICKET_TURN);
    return 0;
}

int ledger_ticket_live(struct ledger_step *s, struct ledger_scene *scene, uint64_t except,
                       uint32_t *ret_count)
{
    struct ledger_account *a = &scene->account;
    size_t kept = 0;
    uint32_t count = 0;
    for (size_t i = 0; i < a->marks_count; i++) {
        bool is_live = false;
        int r = a->marks[i] == except ? 0 : ticket_mark_is_live(s, a->marks[i], &is_live);
        if (r) {
            return err_trace(r);
        }
        if (is_live || a->marks[i] == except) {
            a->marks[kept++] = a->marks[i];
        }
        count += is_live;
    }
    a->marks_count = kept;
    *ret_count = count;
    return 0;
}

/* The quota was asked before: what is over is struck. */
static void ticket_mark(struct ledger_account *a, uint64_t space)
{
    for (size_t i = 0; i < a->marks_count; i++) {
        if (a->marks[i] == space) {
            return;
        }
    }
    CHECK(a->marks_count < LEDGER_MARKS_MAX);
    a->marks[a->marks_count++] = space;
}

/* -- create ------------------------------------------------------------------------------------ */

static int ticket_answer(struct ledger_step *s, const struct ledger_release *r,
                         const struct ledger_ticket *t)
{
    struct ticket_view *view;
    int status = ledger_ticket_view(s, r, t, &view);
    if (status == 0) {
        view->is_receipt = s->c->kind == COMMAND_CREATE_TICKET;
        s->v->result = RESULT_TICKET;
        s->v->ticket = view;
    }
    return err_trace(status);
}

struct ticket_scene {
    struct ledger_scene scene;
    struct ledger_release release;
    struct ledger_ticket ticket;
    bool is_there; /* the ticket is */
    bool is_late;  /* it goes into a later cohort */
    uint8_t preferences[DRAW_PREFERENCES_MAX];
    size_t preferences_len;
};

/* May tickets be filed now?  REASON_OK, or why not; a retry time with what waiting cures. */
static enum reason ticket_window(struct ledger_step *s, const struct ledger_release *r,
                                 bool *ret_is_late)
{
    *ret_is_late = false;
    if (ledger_release_is_over(r) || r->phase == PHASE_CLOSING) {
        return REASON_RELEASE_ENDED;
    }
    if (r->serving == RELEASE_FIRST_COME) {
        return REASON_RELEASE_STATE;
    }
    if (r->phase < PHASE_ENTRY) {
        return REASON_RELEASE_NOT_OPEN;
    }
    if (r->phase == PHASE_ENTRY) {
        return REASON_OK;
    }
    if (r->cohort_us == 0 || r->is_draining) {
        return REASON_RELEASE_SEALED;
    }
    *ret_is_late = true;
    return r->phase >= PHASE_SERVING ? REASON_OK : REASON_RELEASE_NOT_OPEN;
}

/* The command's wishes, packed; their length. */
static size_t ticket_wishes(struct ledger_step *s, uint8_t out[DRAW_PREFERENCES_MAX])
{
    static const struct draw_want any = {.kind = DRAW_WANT_ANY};
    const struct release_words *words = s->c->release;
    struct draw_preferences p = {.slot_count = words->slot_count,
                                 .count = (uint32_t)words->wishes_count};
    for (uint32_t i = 0; i < p.count; i++) {
        const struct ticket_wish *w = &words->wishes[i];
        p.wants[i] = w->kind == WISH_SLOT ? (struct draw_want){DRAW_WANT_SLOT, w->slot.start_us, 0,
                                                               w->slot.slug}
                     : w->kind == WISH_CLASS
                         ? (struct draw_want){DRAW_WANT_CLASS, w->from_us, w->to_us, {0}}
                         : any;
    }
    if (p.count == 0) { /* whatever is left */
        p.wants[p.count++] = any;
    }
    return draw_preferences_write(&p, out);
}

/* The wishes that name a slot name one of the list. */
static enum reason ticket_check_wishes(struct ledger_step *s, const struct ticket_scene *t)
{
    const struct release_words *words = s->c->release;
    struct ledger_open *o = ledger_open_find(s->l, t->release.space);
    CHECK(o != NULL && o->stock != NULL);
    for (size_t i = 0; i < words->wishes_count; i++) {
        const struct slot_key *slot = &words->wishes[i].slot;
        if (words->wishes[i].kind == WISH_SLOT &&
            draw_stock_find(o->stock, slot->start_us, slot->slug) == DRAW_NONE) {
            return REASON_SLOT_UNKNOWN;
        }
    }
    return REASON_OK;
}

static int ticket_check_quota(struct ledger_step *s, struct ticket_scene *t)
{
    uint32_t live = 0, max = t->scene.pool->max_live;
    int r = ledger_ticket_live(s, &t->scene, t->release.space, &live);
    if (r) {
        return err_trace(r);
    }
    if (live < TICKETS_PER_IDENTITY &&
        live + ledger_account_live(&t->scene.account, s->now_us) < max) {
        return REASON_OK;
    }
    r = ledger_meta_count(s, "max_active", max);
    return r ? err_trace(r) : REASON_IDENTITY_QUOTA;
}

/* REASON_OK when this caller may have this ticket, else why not; < 0. */
static int ticket_check(struct ledger_step *s, struct ticket_scene *t)
{
    const struct ledger_pool *pool = t->scene.pool;
    size_t count = s->c->release->slot_count;
    if (s->c->assurance < pool->min_assurance) {
        return REASON_ASSURANCE_TOO_LOW;
    }
    if (count > pool->max_slots || (t->release.serving == RELEASE_BY_TURN && count > 1)) {
        int r = ledger_meta_count(s, "max_slots", t->release.serving == RELEASE_BY_TURN
                                                      ? 1
                                                      : pool->max_slots);
        return r ? err_trace(r) : REASON_TOO_MANY_SLOTS;
    }
    enum reason reason = ticket_check_wishes(s, t);
    if (reason != REASON_OK) {
        return reason;
    }
    bool is_open = t->ticket.state == TICKET_ENTERED || t->ticket.state == TICKET_WITHDRAWN;
    if (t->is_there && (t->is_late || !is_open)) {
        return t->ticket.state == TICKET_ENTERED || t->ticket.state == TICKET_STANDBY
                   ? REASON_RELEASE_SEALED
                   : REASON_TICKET_ENDED;
    }
    return ticket_check_quota(s, t);
}

/* The record as the command makes it. */
static void ticket_make(struct ledger_step *s, struct ticket_scene *t)
{
    struct ledger_ticket *ticket = &t->ticket;
    ticket->identity = s->c->identity; /* of one that was erased again */
    ticket->is_burned = false;
    if (!t->is_there) {
        ticket->number = s->number;
        ticket->entered_us = s->now_us;
        ticket->cohort = t->is_late ? ledger_release_cohort_closed(&t->release, s->now_us) + 1 : 0;
    }
    ticket->state = TICKET_ENTERED;
    ticket->assurance = s->c->assurance;
    ticket->client = s->l->version >= 3 ? s->c->client : 0;
    ticket->version++;
    ticket->leaf_version++;
    ticket->is_leaf_withdrawn = false;
    ticket->log_index = s->log_index;
    ticket->preferences = (struct span){t->preferences, t->preferences_len};
}

/* A late one takes its place in the order at once: the seed is known. */
static int ticket_place(struct ledger_step *s, const struct ticket_scene *t)
{
    uint64_t rank = ledger_ticket_rank(s->l, &t->release, &t->ticket.id);
    struct ledger_key key =
        ledger_release_key_order(t->release.space, t->ticket.cohort, rank, &t->ticket.id);
    return err_trace(ledger_release_put_bytes(s, &key, (struct span){0}));
}

/* Writes the ticket, its place, and the scene with its mark and the verdict.  The snapshot is what
 * of the ticket a retry does not say itself: with the same body come the same preferences. */
static int ticket_write(struct ledger_step *s, struct ticket_scene *t)
{
    static const struct ledger_outcome nothing;
    uint8_t bytes[TICKET_SNAPSHOT_MAX];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    scribe_varint(&w, t->ticket.version);
    scribe_varint(&w, t->ticket.leaf_version);
    scribe_varint(&w, t->ticket.cohort);
    scribe_varint(&w, t->ticket.log_index);
    CHECK(!w.bad);
    int r = ledger_ticket_put(s, t->release.space, &t->ticket);
#ifdef PLANT_SECOND_TICKET /* never defined but by tests/e2e: the flood must catch it */
    struct ledger_ticket second = t->ticket;
    second.id.bytes[15] ^= 1;
    r = r ? r : ledger_ticket_put(s, t->release.space, &second);
#endif
    if (r == 0 && t->is_late) {
        r = ticket_place(s, t);
        r = r ? r : ledger_release_put(s, &t->release); /* its next step may be due earlier now */
    }
    ticket_mark(&t->scene.account, t->release.space);
    struct span snapshot = {bytes, scribe_len(&w)};
    return r ? err_trace(r)
             : err_trace(ledger_scene_close_with(s, &t->scene, &nothing, snapshot));
}

/* Scene, release and ticket of the command; 0: decide; LEDGER_ANSWERED; < 0. */
static int ticket_open(struct ledger_step *s, struct ticket_scene *t)
{
    int r = ledger_scene_open(s, &t->scene);
    if (r) {
        return r == LEDGER_ANSWERED ? r : err_trace(r);
    }
    r = ledger_release_find(s, &t->release);
    if (r == LEDGER_NONE) {
        r = ledger_scene_refuse(s, &t->scene, REASON_RELEASE_UNKNOWN);
        return r ? err_trace(r) : LEDGER_ANSWERED;
    }
    if (r) {
        return err_trace(r);
    }
    struct ticket_id id;
    ledger_ticket_id(s->l, &t->release, &s->c->identity, &id);
    t->ticket = (struct ledger_ticket){.id = id};
    struct ledger_ticket found;
    r = ledger_ticket_load(s, t->release.space, &id, &found);
    if (r < 0) {
        return err_trace(r);
    }
    t->is_there = r == 0;
    if (t->is_there) {
        t->ticket = found;
        t->preferences_len = found.preferences.len;
        memcpy(t->preferences, found.preferences.ptr, found.preferences.len);
        t->ticket.preferences.ptr = t->preferences;
        r = ledger_keep(s->arena, found.first_slug, &t->ticket.first_slug);
        return err_trace(r);
    }
    return 0;
}

static int ticket_refuse(struct ledger_step *s, struct ticket_scene *t, enum reason reason)
{
    if (reason != REASON_RELEASE_NOT_OPEN) {
        return err_trace(ledger_scene_refuse(s, &t->scene, reason));
    }
    int64_t wait_us = (int64_t)t->release.entry_open_us - s->now_us; /* published: no secret */
    bool is_known = t->release.phase < PHASE_ENTRY && wait_us > 0;
    return ledger_scene_wait(s, reason, is_known ? wait_us : SECOND_US);
}

int ledger_ticket_create(struct ledger_step *s)
{
    struct ticket_scene t;
    int r = ticket_open(s, &t);
    if (r) {
        return r == LEDGER_ANSWERED ? 0 : err_trace(r);
    }
    enum reason window = ticket_window(s, &t.release, &t.is_late);
    if (window != REASON_OK) {
        return err_trace(ticket_refuse(s, &t, window));
    }
    int64_t cool_us = ledger_hold_cool_us(s, &t.scene);
    if (cool_us > 0 && s->c->assurance >= t.scene.pool->min_assurance) {
        return ledger_scene_wait(s, REASON_COOL_DOWN, cool_us);
    }
    r = ticket_check(s, &t);
    if (r) {
        return r < 0 ? err_trace(r) : err_trace(ticket_refuse(s, &t, (enum reason)r));
    }
    t.preferences_len = ticket_wishes(s, t.preferences);
    ticket_make(s, &t);
    r = ticket_answer(s, &t.release, &t.ticket);
    return r ? err_trace(r) : err_trace(ticket_write(s, &t));
}

/* -- delete ------------------------------------------------------------------------------------ */

/* REASON_OK and the record as it is withdrawn. */
static int ticket_withdraw(struct ledger_step *s, struct ticket_scene *t)
{
    struct ledger_ticket *ticket = &t->ticket;
    struct ledger_ticket_now now;
    int r = ledger_ticket_now(s, &t->release, ticket, &now);
    if (r) {
        return err_trace(r);
    }
    if (now.state != TICKET_ENTERED && now.state != TICKET_WAITING &&
        now.state != TICKET_STANDBY && now.state != TICKET_TURN) {
        return REASON_TICKET_ENDED;
    }
    /* By preference the whole set is served at once: nobody steps out of it half way. */
    enum ledger_phase served =
        t->release.serving == RELEASE_BY_PREFERENCE ? PHASE_STANDBY : PHASE_SERVING;
    if (t->release.phase > PHASE_ENTRY && t->release.phase < served) {
        return REASON_RELEASE_SEALED;
    }
    if (ticket->state == TICKET_TURN) {
        struct ledger_key key =
            ledger_release_key_turn(t->release.space, ticket->act_by_us, &ticket->id);
        CHECK(t->release.turns_live > 0);
        t->release.turns_live--;
        r = ledger_del(s->l, &key);
        r = r ? r : ledger_release_put(s, &t->release);
    }
    ticket->act_by_us = 0;
    r = r ? r : ledger_journal_left(s, &t->release, ticket);
    ticket->state = TICKET_WITHDRAWN;
    ticket->version++;
    ticket->log_index = s->log_index;
    if (t->release.phase == PHASE_ENTRY) {
        ticket->leaf_version++;
        ticket->is_leaf_withdrawn = true;
    }
    return err_trace(r);
}

int ledger_ticket_leave(struct ledger_step *s, struct ledger_release *r,
                        const struct ticket_id *id)
{
    struct ticket_scene t;
    int status = ledger_ticket_load(s, r->space, id, &t.ticket);
    if (status || t.ticket.state == TICKET_WITHDRAWN) {
        return status == LEDGER_NONE ? 0 : err_trace(status);
    }
    memcpy(t.preferences, t.ticket.preferences.ptr, t.ticket.preferences.len);
    t.ticket.preferences.ptr = t.preferences;
    t.release = *r;
    status = ledger_keep(s->arena, t.ticket.first_slug, &t.ticket.first_slug);
    status = status ? status : ticket_withdraw(s, &t);
    if (status == REASON_RELEASE_SEALED) {
        return REASON_ERASE_RUNNING;
    }
    *r = t.release;
    return status < 0                       ? err_trace(status)
           : status == REASON_TICKET_ENDED ? 0
                                            : err_trace(ledger_ticket_put(s, r->space, &t.ticket));
}

int ledger_ticket_delete(struct ledger_step *s)
{
    static const struct ledger_outcome nothing;
    struct ticket_scene t;
    int r = ticket_open(s, &t);
    if (r) {
        return r == LEDGER_ANSWERED ? 0 : err_trace(r);
    }
    struct span named = s->c->release->ticket;
    bool is_mine = named.len == 0 || memcmp(named.ptr, t.ticket.id.bytes, named.len) == 0;
    r = t.is_there && is_mine ? ticket_withdraw(s, &t) : REASON_TICKET_UNKNOWN;
    if (r) {
        return r < 0 ? err_trace(r) : err_trace(ledger_scene_refuse(s, &t.scene, (enum reason)r));
    }
    r = ledger_ticket_put(s, t.release.space, &t.ticket);
    r = r ? r : ledger_scene_close_with(s, &t.scene, &nothing, (struct span){0});
    struct ledger_event e = {.kind = EVENT_TICKET_WITHDRAWN};
    return r ? err_trace(r) : err_trace(ledger_event_ticket(s, &t.release, &t.ticket, e));
}

int ledger_ticket_recalled(struct ledger_step *s, struct span snapshot)
{
    struct reader at = reader_of(snapshot.ptr, snapshot.len);
    struct ledger_release release;
    struct ledger_ticket ticket = {.state = TICKET_ENTERED, .identity = s->c->identity};
    uint8_t preferences[DRAW_PREFERENCES_MAX];
    if (snapshot.len == 0) {
        return 0; /* of a delete */
    }
    ticket.version = (uint32_t)reader_varint(&at);
    ticket.leaf_version = (uint32_t)reader_varint(&at);
    ticket.cohort = (uint32_t)reader_varint(&at);
    ticket.log_index = reader_varint(&at);
    if (at.bad || reader_left(&at) > 0) {
        return err_origin(-EBADMSG);
    }
    int r = ledger_release_find(s, &release);
    if (r == LEDGER_NONE || (r == 0 && release.is_burned)) {
        return ledger_refuse(s, REASON_RELEASE_ENDED);
    }
    if (r) {
        return err_trace(r);
    }
    ledger_ticket_id(s->l, &release, &s->c->identity, &ticket.id);
    ticket.preferences = (struct span){preferences, ticket_wishes(s, preferences)};
    release.phase = ticket.cohort ? PHASE_SERVING : PHASE_ENTRY; /* as it was then, */
    release.cohort = 0;                                          /* its own not served yet */
    return err_trace(ticket_answer(s, &release, &ticket));
}

/* -- read -------------------------------------------------------------------------------------- */

int ledger_ticket_pick(struct ledger_step *s, struct ledger_release *r, struct ledger_ticket *t)
{
    struct span named = s->c->release->ticket;
    struct ticket_id own, id;
    int status = ledger_release_find(s, r);
    if (status) {
        ledger_refuse(s, REASON_RELEASE_UNKNOWN);
        return status == LEDGER_NONE ? LEDGER_ANSWERED : err_trace(status);
    }
    ledger_ticket_id(s->l, r, &s->c->identity, &own);
    id = own;
    if (named.len > 0) {
        memcpy(id.bytes, named.ptr, sizeof id.bytes);
    }
    bool is_mine = memcmp(&id, &own, sizeof id) == 0;
    status = is_mine || s->c->roles & ROLE_OPERATOR ? ledger_ticket_load(s, r->space, &id, t)
                                                    : LEDGER_NONE; /* whose it is is nobody's */
    if (status == LEDGER_NONE) {
        ledger_refuse(s, REASON_TICKET_UNKNOWN);
        return LEDGER_ANSWERED;
    }
    return err_trace(status);
}

int ledger_ticket_get(struct ledger_step *s)
{
    struct ledger_release release;
    struct ledger_ticket ticket;
    int r = ledger_ticket_pick(s, &release, &ticket);
    return r ? r == LEDGER_ANSWERED ? 0 : err_trace(r)
             : err_trace(ticket_answer(s, &release, &ticket));
}
