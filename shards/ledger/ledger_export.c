/* SPDX-License-Identifier: MIT */
/* The bundle of a release (docs/draw.md, "Bundle"), a piece of a file at a time.
 *   manifest, slots, signatures, tickets, late, returns, parts, outcome: one after the other, by a
 *   page token that holds the file, what it goes on behind, and the instant of the first piece
 * One bundle is as of one instant, also while the release goes on: how many events its journal had,
 * how far both walks over the order were, which cohorts had ended.  Everything before that stays as
 * it is, so whatever happens between two pieces changes none.  Releases without a journal wait for
 * their end.
 * Records are walked as they lie: tickets by id, late and outcome in the order of serving.  A piece
 * has EXPORT_ROWS records or EXPORT_BYTES at most, and looks for EXPORT_LOOKS numbers of slots.
 * Owns nothing: the same state and token give the same bytes.  The hashes of late and returns come
 * with the command, because whoever joins the pieces has them; the signatures are made by the node.
 * Fails with ROLE_MISSING, RELEASE_UNKNOWN, RELEASE_STATE, PAGE_TOKEN_INVALID, and METHOD_PLANNED
 * for a gateway of before, which brings one hash.
 * Road not taken: the whole bundle in one command.  It would hold the writer for as long. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "ledger/ledger_export.h"

/* -- text -------------------------------------------------------------------------------------- */

void ledger_export_text(struct export *e, const char *format, ...)
{
    char text[EXPORT_TEXT];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    CHECK(n >= 0 && (size_t)n < sizeof text);
    scribe_bytes(&e->out, text, (size_t)n);
}

void ledger_export_hex(struct export *e, const void *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = ((const uint8_t *)bytes)[i];
        scribe_u8(&e->out, (uint8_t)digits[byte >> 4]);
        scribe_u8(&e->out, (uint8_t)digits[byte & 15]);
    }
}

static void export_part(struct export *e, const char *key, struct span bytes)
{
    ledger_export_text(e, "%s: ", key);
    ledger_export_hex(e, bytes.ptr, bytes.len);
    ledger_export_text(e, bytes.len ? "\n" : "missing\n");
}

bool ledger_export_has_room(const struct export *e, size_t rows)
{
    return rows < EXPORT_ROWS && e->looks < EXPORT_LOOKS &&
           scribe_len(&e->out) + EXPORT_LINE <= EXPORT_BYTES;
}

/* -- slots ------------------------------------------------------------------------------------- */

int ledger_export_next(struct export *e, uint8_t tag, struct span *ret_suffix,
                       struct span *ret_value)
{
    struct ledger_key_parts parts;
    struct span key;
    int r = ledger_next(e->s->l, ledger_key_span(&e->at), true, &key, ret_value);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    if (!ledger_key_parse(key, &parts)) {
        return err_origin(-EBADMSG);
    }
    if (parts.at.space != e->release.space || parts.at.position != 0 || parts.tag != tag) {
        return LEDGER_NONE;
    }
    memcpy(e->at.bytes, key.ptr, key.len);
    e->at.len = key.len;
    *ret_suffix = parts.suffix;
    return 0;
}

static int export_slots(struct export *e)
{
    for (size_t rows = 0; ledger_export_has_room(e, rows); rows++) {
        struct span suffix, value;
        struct draw_slot slot;
        int r = ledger_export_next(e, 'N', &suffix, &value);
        r = r ? r : ledger_read_offered(value, &slot);
        if (r) {
            return r == LEDGER_NONE ? r : err_trace(r);
        }
        struct reader number = reader_of(suffix.ptr, suffix.len);
        ledger_export_text(e, "%" PRIu64 " %" PRId64 " %" PRId64 " %.*s\n", reader_u64(&number),
                           slot.start_us, slot.end_us - slot.start_us, (int)slot.slug_len,
                           slot.slug);
    }
    return 0;
}

/* -- tickets ----------------------------------------------------------------------------------- */

/* A ticket's line, without its end, as tickets and late have it. */
static void export_ticket(struct export *e, const struct ticket_row *row)
{
    struct draw_hash hash;
    ledger_export_hex(e, row->id, sizeof row->id);
    ledger_export_text(e, " %u ", row->version);
    if (row->is_withdrawn) {
        ledger_export_text(e, "withdrawn - - -");
        return;
    }
    draw_preferences_hash(row->preferences, row->nonce, &hash);
    ledger_export_text(e, "entered ");
    ledger_export_hex(e, hash.bytes, sizeof hash.bytes);
    if (e->is_withheld) {
        ledger_export_text(e, " withheld withheld");
        return;
    }
    ledger_export_text(e, " ");
    ledger_export_hex(e, row->preferences.ptr, row->preferences.len);
    ledger_export_text(e, " ");
    ledger_export_hex(e, row->nonce, sizeof row->nonce);
}

/* A winner whose slots came back, or somebody who got such slots out of standby. */
static bool export_is_return(const struct ticket_row *row)
{
    return row->wish > 0 && (row->first_us == 0 || row->state == TICKET_LAPSED);
}

/* Cohort 0; the others are passed over, and looked at for what came back. */
static int export_tickets(struct export *e)
{
    for (size_t rows = 0; ledger_export_has_room(e, rows); rows++) {
        struct ledger_ticket ticket;
        struct ticket_row row;
        int r = ledger_proof_next(e->s, e->release.space, &e->at, &ticket);
        if (r == 0) {
            r = ledger_proof_row(e->s, &e->release, &ticket, &row);
        }
        if (r) {
            return r == LEDGER_NONE ? r : err_trace(r);
        }
        e->has_returns |= export_is_return(&row);
        if (row.cohort == 0) {
            export_ticket(e, &row);
            ledger_export_text(e, "\n");
        }
    }
    return 0;
}

static int export_late(struct export *e)
{
    for (size_t rows = 0; ledger_export_has_room(e, rows); rows++) {
        struct export_place place;
        int r = ledger_export_place(e, &place);
        if (r) {
            return r;
        }
        ledger_export_text(e, "%u ", place.row.cohort);
        export_ticket(e, &place.row);
        ledger_export_text(e, "\n");
    }
    return 0;
}

/* -- parts ------------------------------------------------------------------------------------- */

static void export_parts(struct export *e, const struct release_view *v)
{
    struct span hashes = e->s->c->release->bytes;
    export_part(e, "manifest", (struct span){v->manifest_hash, 32});
    export_part(e, "operator-seed", (struct span){v->operator_seed, 32});
    for (uint32_t i = 0; i < v->policy.trustees_count; i++) {
        export_part(e, "trustee-key", v->policy.trustee_keys[i]);
        export_part(e, "trustee-part", v->parts[i]);
    }
    if (v->policy.beacon.len) {
        export_part(e, "beacon-value", v->beacon_value);
    } else {
        ledger_export_text(e, "beacon-value: -\n");
    }
    export_part(e, "root", (struct span){v->ticket_root, 32});
    ledger_export_text(e, "count: %" PRIu64 "\n", v->tickets_count);
    export_part(e, "late", (struct span){hashes.ptr, 32});
    export_part(e, "returns", (struct span){hashes.ptr + 32, 32});
    export_part(e, "seed", (struct span){v->seed, 32});
}

/* -- the instant ------------------------------------------------------------------------------- */

/* Of an export that begins now: 0, REASON_RELEASE_STATE, < 0. */
static int export_cut(struct export *e)
{
    const struct ledger_release *r = &e->release;
    e->cut = (struct export_cut){.is_open = r->phase < PHASE_CLOSING,
                                 .events = r->journal_count,
                                 .cohort = UINT32_MAX};
    if (e->cut.is_open) {
        e->cut.cohort = ledger_release_cohort_closed(r, e->s->now_us);
        ledger_journal_walks(r, &e->cut.walks);
        return r->is_journaled ? 0 : REASON_RELEASE_STATE;
    }
    struct ledger_event_of_return end = {.kind = JOURNAL_END};
    int status = 0;
    if (e->is_journaled) {
        status = r->journal_count ? ledger_journal_get(e->s, r, r->journal_count - 1, &end)
                                  : err_origin(-EBADMSG);
    }
    e->cut.walks = end.walks;
    return status == 0 && end.kind != JOURNAL_END ? err_origin(-EBADMSG) : err_trace(status);
}

/* -- the walk ---------------------------------------------------------------------------------- */

/* Before the first record of a file. */
static void export_begin(struct export *e, enum export_stage stage)
{
    static const struct ticket_id nobody;
    uint64_t space = e->release.space;
    e->stage = (uint8_t)stage;
    e->event = 0;
    e->at = ledger_release_key(space, stage == EXPORT_SLOTS     ? 'N'
                                      : stage == EXPORT_RETURNS ? 'J'
                                      : stage == EXPORT_OUTCOME ? 'K'
                                                                : 'T');
    if (stage == EXPORT_LATE) {
        e->at = ledger_release_key_order(space, 1, 0, &nobody);
        e->at.len -= 8 + sizeof nobody.bytes; /* before any rank of cohort 1 */
    }
}

enum { HAS_RETURNS = 1, HAS_FIRST = 2, HAS_STANDBY = 4, IS_OPEN = 8, IS_BEGUN = 16 };

/* What the walk goes on behind: a number, or a ticket's id, from which its key follows. */
static void export_write_at(const struct export *e, struct scribe *w)
{
    bool is_number = e->stage == EXPORT_SLOTS || e->stage == EXPORT_RETURNS;
    size_t n = is_number ? 8 : sizeof(struct ticket_id);
    CHECK(e->at.len >= 17 + n);
    scribe_bytes(w, e->at.bytes + e->at.len - n, n);
}

/* 0, REASON_PAGE_TOKEN_INVALID, < 0. */
static int export_read_at(struct export *e, struct reader *at)
{
    struct ledger_ticket ticket;
    struct ticket_id id;
    uint64_t space = e->release.space;
    if (e->stage == EXPORT_SLOTS || e->stage == EXPORT_RETURNS) {
        uint64_t number = reader_u64(at);
        e->at = ledger_release_key_number(space, e->stage == EXPORT_SLOTS ? 'N' : 'J', number);
        e->event = number + 1;
        return at->bad || reader_left(at) ? REASON_PAGE_TOKEN_INVALID : 0;
    }
    reader_bytes(at, id.bytes, sizeof id.bytes);
    if (at->bad || reader_left(at)) {
        return REASON_PAGE_TOKEN_INVALID;
    }
    e->at = ledger_release_key_ticket(space, &id);
    if (e->stage == EXPORT_TICKETS) {
        return 0;
    }
    int r = ledger_ticket_load(e->s, space, &id, &ticket);
    if (r) {
        return r == LEDGER_NONE ? REASON_PAGE_TOKEN_INVALID : err_trace(r);
    }
    uint64_t rank = ledger_ticket_rank(e->s->l, &e->release, &id);
    e->at = ledger_release_key_order(space, ticket.cohort, rank, &id);
    return 0;
}

/* 0, REASON_PAGE_TOKEN_INVALID, REASON_RELEASE_STATE, < 0. */
static int export_resume(struct export *e)
{
    struct span text;
    export_begin(e, EXPORT_MANIFEST);
    int r = ledger_page_read(e->s, &text);
    if (r) {
        return r == LEDGER_NONE                 ? export_cut(e)
               : r == REASON_PAGE_TOKEN_INVALID ? r
                                                : err_trace(r);
    }
    struct reader at = reader_of(text.ptr, text.len);
    uint8_t stage = reader_u8(&at), flags = reader_u8(&at);
    e->cut.events = reader_u64(&at);
    e->cut.cohort = reader_u32(&at);
    reader_bytes(&at, e->cut.walks.first.bytes, sizeof e->cut.walks.first.bytes);
    reader_bytes(&at, e->cut.walks.standby.bytes, sizeof e->cut.walks.standby.bytes);
    if (at.bad || stage >= EXPORT_STAGES || flags >= 2 * IS_BEGUN ||
        e->cut.events > e->release.journal_count) {
        return REASON_PAGE_TOKEN_INVALID;
    }
    e->has_returns = flags & HAS_RETURNS;
    e->cut.walks.has_first = flags & HAS_FIRST;
    e->cut.walks.has_standby = flags & HAS_STANDBY;
    e->cut.is_open = flags & IS_OPEN;
    export_begin(e, (enum export_stage)stage);
    if (flags & IS_BEGUN) {
        return export_read_at(e, &at);
    }
    return reader_left(&at) ? REASON_PAGE_TOKEN_INVALID : 0;
}

static int export_token(struct export *e, bool is_begun)
{
    uint8_t bytes[80];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    const struct ledger_walks *walks = &e->cut.walks;
    scribe_u8(&w, e->stage);
    scribe_u8(&w, (uint8_t)((e->has_returns ? HAS_RETURNS : 0) |
                            (walks->has_first ? HAS_FIRST : 0) |
                            (walks->has_standby ? HAS_STANDBY : 0) |
                            (e->cut.is_open ? IS_OPEN : 0) | (is_begun ? IS_BEGUN : 0)));
    scribe_u64(&w, e->cut.events);
    scribe_u32(&w, e->cut.cohort);
    scribe_bytes(&w, walks->first.bytes, sizeof walks->first.bytes);
    scribe_bytes(&w, walks->standby.bytes, sizeof walks->standby.bytes);
    if (is_begun) {
        export_write_at(e, &w);
    }
    CHECK(!w.bad);
    return err_trace(ledger_page_write(e->s, (struct span){bytes, scribe_len(&w)}));
}

/* A piece of the stage's file: 0 when there is more of it, LEDGER_NONE at its end, < 0. */
static int export_piece(struct export *e, const struct release_view *v)
{
    switch ((enum export_stage)e->stage) {
    case EXPORT_MANIFEST:
        scribe_bytes(&e->out, v->manifest.ptr, v->manifest.len);
        return LEDGER_NONE;
    case EXPORT_SLOTS:
        return err_trace(export_slots(e));
    case EXPORT_TICKETS:
        return err_trace(export_tickets(e));
    case EXPORT_LATE:
        return err_trace(export_late(e));
    case EXPORT_RETURNS:
        return err_trace(ledger_export_returns(e));
    case EXPORT_PARTS:
        export_parts(e, v);
        return LEDGER_NONE;
    case EXPORT_OUTCOME:
        return err_trace(ledger_export_outcome(e));
    case EXPORT_SIGNATURES:
    case EXPORT_STAGES:
        break;
    }
    return LEDGER_NONE;
}

static int export_answer(struct export *e)
{
    static const char *const files[EXPORT_STAGES] = {"manifest", "slots", "signatures", "tickets",
                                                     "late", "returns", "parts", "outcome"};
    struct ledger_step *s = e->s;
    struct piece_view *piece = arena_alloc(s->arena, sizeof *piece);
    uint8_t *bytes = arena_alloc(s->arena, EXPORT_BYTES);
    if (piece == NULL || bytes == NULL) {
        return err_origin(-ENOMEM);
    }
    e->out = scribe_of(bytes, EXPORT_BYTES);
    int r = export_piece(e, s->v->releases);
    if (r < 0) {
        return err_trace(r);
    }
    CHECK(!e->out.bad);
    *piece = (struct piece_view){files[e->stage], {bytes, scribe_len(&e->out)}};
    s->v->result = RESULT_EXPORT;
    s->v->piece = piece;
    if (e->stage != EXPORT_SIGNATURES) {
        s->v->releases = NULL; /* nothing to sign */
        s->v->releases_count = 0;
    }
    if (r == LEDGER_NONE && e->stage == EXPORT_OUTCOME) {
        return 0;
    }
    if (r == LEDGER_NONE) {
        export_begin(e, e->stage + 1);
    }
    return err_trace(export_token(e, r == 0));
}

int ledger_export(struct ledger_step *s)
{
    struct export *e = arena_alloc(s->arena, sizeof *e);
    if (e == NULL) {
        return err_origin(-ENOMEM);
    }
    if (!(s->c->roles & (ROLE_OPERATOR | ROLE_AUDITOR))) {
        return ledger_refuse(s, REASON_ROLE_MISSING);
    }
    *e = (struct export){.s = s, .is_withheld = s->c->release->action == 1};
    int r = ledger_release_find(s, &e->release);
    if (r) {
        return r == LEDGER_NONE ? ledger_refuse(s, REASON_RELEASE_UNKNOWN) : err_trace(r);
    }
    if (e->release.phase < PHASE_SERVING || e->release.phase == PHASE_CANCELLED ||
        e->release.seal_us == 0) {
        s->v->retry_ms = e->release.phase < PHASE_SERVING ? 1000 : 0;
        return ledger_refuse(s, REASON_RELEASE_STATE);
    }
    e->is_journaled = e->release.is_journaled && e->release.serving == RELEASE_BY_PREFERENCE;
    r = export_resume(e);
    if (r) {
        return r < 0 ? err_trace(r) : ledger_refuse(s, (enum reason)r);
    }
    if (e->stage == EXPORT_PARTS && s->c->release->bytes.len != 64) {
        return ledger_refuse(s, REASON_METHOD_PLANNED); /* the gateway is older than this shard */
    }
    r = ledger_release_get(s); /* its view: manifest, parts, what is signed */
    if (r || s->v->reason != REASON_OK) {
        return err_trace(r);
    }
    return err_trace(export_answer(e));
}
