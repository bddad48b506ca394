/* SPDX-License-Identifier: MIT */
/* Releases as operators make and change them; how they are seen: ledger_release_view.c.
 *
 *   create: checks -> record, trustees' keys, catalogue -> listing begins (ledger_release_step.c)
 *   change: open, close, cancel, pause, resume, drain;  a part of the seed
 *
 * Order of checks of create: ROLE_MISSING, POOL_UNKNOWN, the request id, RELEASE_EXISTS,
 * NOT_SCARCE, FIELD_INVALID (times that have passed, keys), RELEASE_OVERLAPS, RELEASES_FULL.
 * A mutation's answer is made of the record alone, so that its snapshot gives the same bytes again.
 * Owns nothing. */
#include <errno.h>

#include "ledger/ledger_event.h"
#include "ledger/ledger_memory.h"

struct span ledger_release_pool(const struct ledger_release *r)
{
    return (struct span){r->pool, r->pool_len};
}

int ledger_release_load(struct ledger *l, uint64_t space, struct ledger_release *ret_release)
{
    struct ledger_key key = ledger_release_key(space, 'L');
    struct span value;
    struct ledger_open *o = ledger_open_find(l, space);
    int r = ledger_get(l, &key, &value);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    if (o && span_equal(value, (struct span){o->read_bytes, o->read_len})) {
        *ret_release = o->read;
        return 0;
    }
    r = ledger_read_release(value, ret_release);
    if (r == 0 && o && value.len <= sizeof o->read_bytes) {
        memcpy(o->read_bytes, value.ptr, value.len);
        o->read_len = value.len;
        o->read = *ret_release;
    }
    return err_trace(r);
}

int ledger_release_find(struct ledger_step *s, struct ledger_release *ret_release)
{
    const struct release_words *words = s->c->release;
    int r = ledger_release_load(s->l, ledger_release_space(s->c->pool, words->id), ret_release);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    return span_equal(ledger_release_id(ret_release), words->id) &&
                   span_equal(ledger_release_pool(ret_release), s->c->pool) &&
                   !ledger_release_is_gone(ret_release, s->now_us)
               ? 0
               : LEDGER_NONE;
}

int ledger_release_put(struct ledger_step *s, struct ledger_release *r)
{
    uint8_t bytes[LEDGER_RELEASE_BYTES];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct ledger_key key = ledger_release_key(r->space, 'L');
    const struct ledger_open *open = ledger_open_find(s->l, r->space);
    bool has_moved = open && open->phase != r->phase;
    int status = ledger_release_is_over(r) && r->over_us == 0 ? ledger_end_begin(s, r) : 0;
    r->version++;
    r->log_index = s->log_index;
    ledger_record_release(&w, r);
    status = status ? status : ledger_put(s->l, &key, &w);
    if (status == 0) {
        ledger_open_follow(s->l, r);
    }
    return status || !has_moved ? err_trace(status) : err_trace(ledger_event_release(s, r));
}

/* -- verdicts of mutations --------------------------------------------------------------------- */

int ledger_release_recalled(struct ledger_step *s, struct span snapshot)
{
    struct ledger_release release;
    int r = ledger_read_release(snapshot, &release);
    return r ? err_trace(r) : err_trace(ledger_release_answer(s, &release));
}

/* The verdict of a mutation, with the record as it is now. */
static int ledger_release_remember(struct ledger_step *s, const struct ledger_key *request,
                                   const struct ledger_release *r)
{
    uint8_t bytes[LEDGER_RELEASE_BYTES];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct ledger_release kept = *r;
    memset(kept.release_key, 0, sizeof kept.release_key); /* burned in one place */
    ledger_record_release(&w, &kept);
    CHECK(!w.bad);
    int status = ledger_release_answer(s, r);
    if (status == 0) {
        struct span snapshot = {bytes, scribe_len(&w)};
        status = ledger_request_remember(s, request, LEDGER_FORMAT_1, snapshot);
    }
    return err_trace(status);
}

/* Anybody may bring a trustee's part: kept are the refusals of operators alone, so that nobody
 * fills the book with request ids. */
static int ledger_release_refuse(struct ledger_step *s, const struct ledger_key *request,
                                 enum reason reason)
{
    bool is_body = reason == REASON_FIELD_INVALID || reason == REASON_PART_INVALID;
    ledger_refuse(s, reason);
    s->v->field = reason == REASON_PART_INVALID ? "part" : s->v->field;
    if (is_body || !(s->c->roles & ROLE_OPERATOR)) { /* a field is not remembered either */
        return 0;
    }
    return err_trace(ledger_request_remember(s, request, LEDGER_FORMAT_1, (struct span){0}));
}

/* -- create ------------------------------------------------------------------------------------ */

static enum reason ledger_release_field(struct ledger_step *s, const char *field)
{
    s->v->field = field;
    return REASON_FIELD_INVALID;
}

/* What the codec cannot know: the time, keys, other releases. */
static enum reason ledger_release_check(struct ledger_step *s, const struct ledger_pool *pool)
{
    const struct release_policy *p = s->c->release->policy;
    if (p->serving != RELEASE_FIRST_COME && !pool->scarce) {
        return REASON_NOT_SCARCE;
    }
    if (p->entry_close_us <= s->now_us) {
        return ledger_release_field(s, "release.entry_close_time");
    }
    for (uint32_t i = 0; i < p->trustees_count; i++) {
        if (!draw_trustee_key_ok(p->trustee_keys[i])) {
            return ledger_release_field(s, "release.trustee_keys");
        }
    }
    if (ledger_open_overlaps(s->l, pool->space, p->slots_from_us, p->slots_to_us)) {
        return REASON_RELEASE_OVERLAPS;
    }
    return s->l->open_count == RELEASES_OPEN_MAX ? REASON_RELEASES_FULL : REASON_OK;
}

#define RELEASE_LOOK 1024 /* slots looked at for one to offer; more is left to the listing */

/* REASON_OK when the interval has a slot to offer, RELEASE_EMPTY, or < 0. */
static int ledger_release_check_slots(struct ledger_step *s, const struct ledger_pool *pool)
{
    const struct release_policy *p = s->c->release->policy;
    struct slot_key from = {.start_us = p->slots_from_us}, at;
    struct ledger_key first = ledger_key_slot(pool->space, &from);
    struct ledger_slots_walk walk = {pool->space, ledger_key_span(&first), false};
    for (int i = 0; i < RELEASE_LOOK; i++) {
        struct ledger_slot slot;
        int r = ledger_slots_step(s, &walk, &at, &slot);
        if (r < 0) {
            return err_trace(r);
        }
        if (r == LEDGER_NONE || at.start_us >= p->slots_to_us) {
            return REASON_RELEASE_EMPTY;
        }
        if (ledger_release_offers(pool, s->c->release->id, slot.state)) {
            break;
        }
    }
    return REASON_OK;
}

static void ledger_release_text(uint8_t *out, uint8_t *ret_len, struct span text)
{
    *ret_len = (uint8_t)text.len;
    if (text.len > 0) {
        memcpy(out, text.ptr, text.len);
    }
}

static void ledger_release_make(struct ledger_step *s, const struct ledger_pool *pool,
                                struct ledger_release *out)
{
    const struct release_words *words = s->c->release;
    const struct release_policy *p = words->policy;
    *out = (struct ledger_release){
        .space = ledger_release_space(s->c->pool, words->id),
        .pool_space = pool->space,
        .phase = PHASE_LISTING,
        .serving = p->serving,
        .is_journaled = s->l->version >= 5,
        .trustees_count = (uint8_t)p->trustees_count,
        .entry_open_us = (uint64_t)p->entry_open_us,
        .entry_close_us = (uint64_t)p->entry_close_us,
        .entry_grace_us = (uint64_t)p->entry_grace_us,
        .close_us = (uint64_t)p->close_us,
        .cohort_us = (uint64_t)p->cohort_us,
        .turn_us = (uint64_t)p->turn_us,
        .accept_us = (uint64_t)(p->accept_us ? p->accept_us : pool->hold_ttl_us),
        .parts_wait_us = (uint64_t)p->parts_wait_us,
        .slots_from_us = (uint64_t)p->slots_from_us,
        .slots_to_us = (uint64_t)p->slots_to_us,
    };
    memcpy(out->release_key, words->secret.ptr, 32);
    memcpy(out->operator_seed, words->secret.ptr + 32, 32);
    ledger_release_text(out->pool, &out->pool_len, s->c->pool);
    ledger_release_text(out->id, &out->id_len, words->id);
    ledger_release_text(out->display, &out->display_len, p->display_name);
    ledger_release_text(out->beacon, &out->beacon_len, p->beacon);
}

static int ledger_release_write(struct ledger_step *s, struct ledger_release *release)
{
    const struct release_policy *p = s->c->release->policy;
    struct ledger_key key = ledger_release_key_named(release->pool_space, s->c->release->id);
    int r = ledger_release_put_bytes(s, &key, (struct span){0});
    for (uint32_t i = 0; i < p->trustees_count && r == 0; i++) {
        key = ledger_release_key_number(release->space, 'P', i);
        r = ledger_release_put_bytes(s, &key, p->trustee_keys[i]);
    }
    if (r == 0) {
        r = ledger_release_put(s, release);
    }
    return r ? err_trace(r) : err_trace(ledger_open_add(s->l, release));
}

int ledger_release_create(struct ledger_step *s)
{
    const struct ledger_pool *pool;
    struct ledger_key request;
    struct ledger_release release;
    int r = ledger_pool_open(s, &pool, &request);
    if (r) {
        return r == LEDGER_ANSWERED ? 0 : err_trace(r);
    }
    r = ledger_release_load(s->l, ledger_release_space(s->c->pool, s->c->release->id), &release);
    if (r < 0) {
        return err_trace(r);
    }
    enum reason reason = r == 0 ? REASON_RELEASE_EXISTS : ledger_release_check(s, pool);
    if (reason == REASON_OK) {
        r = ledger_release_check_slots(s, pool);
        if (r < 0) {
            return err_trace(r);
        }
        reason = (enum reason)r;
    }
    if (s->c->validate_only) {
        ledger_release_make(s, pool, &release);
        s->v->reason = reason;
        return reason == REASON_OK ? err_trace(ledger_release_answer(s, &release)) : 0;
    }
    if (reason != REASON_OK) {
        return err_trace(ledger_release_refuse(s, &request, reason));
    }
    ledger_release_make(s, pool, &release);
    r = ledger_release_write(s, &release);
    return r ? err_trace(r) : err_trace(ledger_release_remember(s, &request, &release));
}

/* -- change ------------------------------------------------------------------------------------ */

/* REASON_OK, and the record as the action makes it. */
static enum reason ledger_release_act(struct ledger_step *s, struct ledger_release *r)
{
    bool is_before = r->phase <= PHASE_ENTRY;
    if (ledger_release_is_over(r) || r->phase == PHASE_CLOSING) {
        return REASON_RELEASE_ENDED;
    }
    switch (s->c->release->action) {
    case RELEASE_ACTION_OPEN:
        if (r->phase != PHASE_ANNOUNCED) {
            return REASON_RELEASE_STATE;
        }
        r->phase = PHASE_ENTRY;
        return REASON_OK;
    case RELEASE_ACTION_CLOSE:
        if (r->phase != PHASE_SERVING && r->phase != PHASE_STANDBY) {
            return REASON_RELEASE_STATE;
        }
        r->phase = PHASE_CLOSING;
        return REASON_OK;
    case RELEASE_ACTION_CANCEL:
        if (r->phase >= PHASE_SERVING) {
            return REASON_RELEASE_STATE;
        }
        r->phase = PHASE_CANCELLED;
        return REASON_OK;
    case RELEASE_ACTION_PAUSE:
        r->is_paused = true;
        return REASON_OK;
    case RELEASE_ACTION_RESUME:
        if (r->is_paused) {
            r->lapse_us = (uint64_t)s->now_us + r->turn_us; /* a turn's time was not its holder's */
            ledger_touch_release(s->l, r->space);
        }
        r->is_paused = false;
        return REASON_OK;
    default:
        r->is_draining = true;
        return is_before ? REASON_RELEASE_STATE : REASON_OK;
    }
}

/* Opens a mutation of a release that exists.  0, LEDGER_ANSWERED, < 0. */
static int ledger_release_open(struct ledger_step *s, struct ledger_key *ret_request,
                               struct ledger_release *ret_release)
{
    const struct ledger_pool *pool;
    int r = ledger_pool_open(s, &pool, ret_request);
    if (r) {
        return r == LEDGER_ANSWERED ? r : err_trace(r);
    }
    r = ledger_release_find(s, ret_release);
    if (r == LEDGER_NONE) {
        r = ledger_release_refuse(s, ret_request, REASON_RELEASE_UNKNOWN);
        return r ? err_trace(r) : LEDGER_ANSWERED;
    }
    return err_trace(r);
}

int ledger_release_change(struct ledger_step *s)
{
    struct ledger_key request;
    struct ledger_release release;
    int r = ledger_release_open(s, &request, &release);
    if (r) {
        return r == LEDGER_ANSWERED ? 0 : err_trace(r);
    }
    enum reason reason = codec_etag_matches(s->c->etag, release.version) ? REASON_OK
                                                                         : REASON_ETAG_MISMATCH;
    reason = reason == REASON_OK ? ledger_release_act(s, &release) : reason;
    if (reason != REASON_OK) {
        return err_trace(ledger_release_refuse(s, &request, reason));
    }
    r = release.phase == PHASE_CLOSING ? ledger_journal_end(s, &release) : 0;
    r = r ? r : ledger_release_put(s, &release);
    return r ? err_trace(r) : err_trace(ledger_release_remember(s, &request, &release));
}

/* REASON_OK, REASON_PART_INVALID, or < 0. */
static int ledger_release_part_check(struct ledger_step *s, const struct ledger_release *r)
{
    const struct release_words *words = s->c->release;
    struct ledger_key key = ledger_release_key_number(r->space, 'P', words->part);
    uint8_t message[DRAW_PART_MESSAGE_MAX];
    struct span trustee_key;
    if (words->part == RELEASE_PART_BEACON) {
        return r->beacon_len ? REASON_OK : REASON_PART_INVALID;
    }
    if (words->part >= r->trustees_count) {
        return REASON_PART_INVALID;
    }
    if (r->parts_mask & 1u << words->part) { /* there is only one: no need to compute it again */
        struct ledger_key there = ledger_release_key_number(r->space, 'P',
                                                            RELEASE_PART_RECORD + words->part);
        struct span part;
        int found = ledger_release_get_bytes(s, &there, &part);
        return found ? found == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(found)
               : span_equal(part, words->bytes) ? REASON_OK
                                                : REASON_PART_INVALID;
    }
    int status = ledger_release_get_bytes(s, &key, &trustee_key);
    if (status) {
        return status == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(status);
    }
    struct draw_hash manifest, root;
    memcpy(manifest.bytes, r->manifest_hash, 32);
    memcpy(root.bytes, r->root, 32);
    size_t n = draw_part_message(&manifest, &root, r->tickets_count, message);
    return draw_part_ok(trustee_key, (struct span){message, n}, words->bytes)
               ? REASON_OK
               : REASON_PART_INVALID;
}

int ledger_release_add_part(struct ledger_step *s)
{
    const struct release_words *words = s->c->release;
    struct ledger_key request;
    struct ledger_release release;
    int r = ledger_release_open(s, &request, &release);
    if (r) {
        return r == LEDGER_ANSWERED ? 0 : err_trace(r);
    }
    bool is_beacon = words->part == RELEASE_PART_BEACON;
    uint8_t bit = is_beacon ? LEDGER_RELEASE_BEACON_BIT : (uint8_t)(1u << (words->part & 7));
    if (release.phase != PHASE_SEALED) {
        bool is_early = release.phase < PHASE_SEALED;
        return err_trace(ledger_release_refuse(
            s, &request, is_early ? REASON_RELEASE_STATE : REASON_PART_TOO_LATE));
    }
    r = release.parts_mask & bit && is_beacon ? REASON_PART_TOO_LATE
                                              : ledger_release_part_check(s, &release);
    if (r) {
        return r < 0 ? err_trace(r)
                     : err_trace(ledger_release_refuse(s, &request, (enum reason)r));
    }
    if (release.parts_mask & bit) { /* brought before: nothing to write or to remember */
        return err_trace(ledger_release_answer(s, &release));
    }
    struct ledger_key key = ledger_release_key_number(
        release.space, 'P', is_beacon ? RELEASE_PART_BEACON : RELEASE_PART_RECORD + words->part);
    release.parts_mask |= bit;
    r = ledger_release_put_bytes(s, &key, words->bytes);
    if (r == 0) {
        r = ledger_release_put(s, &release);
    }
    return r ? err_trace(r) : err_trace(ledger_release_remember(s, &request, &release));
}
