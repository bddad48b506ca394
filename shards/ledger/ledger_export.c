/* SPDX-License-Identifier: MIT */
/* The bundle of a release (docs/draw.md, "Bundle"), a piece of a file at a time.
 *   manifest, slots, signatures, tickets, late, parts, outcome: one after the other, by a page
 *   token that holds the file, the key behind which it goes on, and whether anything came back
 * Records are walked as they lie: tickets by id, late and outcome in the order of serving.  A piece
 * has EXPORT_ROWS records or EXPORT_BYTES at most, and looks for EXPORT_LOOKS numbers of slots.
 * Owns nothing: the same state and token give the same bytes.  The hash of the file late comes with
 * the command, because whoever joins the pieces has it anyway; the signatures are made by the node.
 * Fails with ROLE_MISSING, RELEASE_UNKNOWN, RELEASE_STATE, PAGE_TOKEN_INVALID.
 * Road not taken: the whole bundle in one command.  It would hold the writer for as long. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "ledger/ledger_release.h"

#define EXPORT_ROWS  256
#define EXPORT_BYTES ((size_t)48 * 1024)
#define EXPORT_LINE  1024 /* bytes of a line, at most */
#define EXPORT_LOOKS 2048
#define EXPORT_TEXT  160

enum export_stage {
    EXPORT_MANIFEST,
    EXPORT_SLOTS,
    EXPORT_SIGNATURES,
    EXPORT_TICKETS,
    EXPORT_LATE,
    EXPORT_PARTS,
    EXPORT_OUTCOME,
    EXPORT_STAGES
};

struct export {
    struct ledger_step *s;
    struct ledger_release release;
    struct writer out;    /* of the piece */
    struct ledger_key at; /* what was walked last */
    uint8_t stage;
    bool has_returns;     /* slots came back while it was open: later cohorts may have got them */
    bool is_withheld;
    size_t looks;
};

/* -- text -------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3)))
static void export_text(struct export *e, const char *format, ...)
{
    char text[EXPORT_TEXT];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    CHECK(n >= 0 && (size_t)n < sizeof text);
    writer_bytes(&e->out, text, (size_t)n);
}

static void export_hex(struct export *e, const void *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = ((const uint8_t *)bytes)[i];
        writer_u8(&e->out, (uint8_t)digits[byte >> 4]);
        writer_u8(&e->out, (uint8_t)digits[byte & 15]);
    }
}

static void export_part(struct export *e, const char *key, struct span bytes)
{
    export_text(e, "%s: ", key);
    export_hex(e, bytes.ptr, bytes.len);
    export_text(e, bytes.len ? "\n" : "missing\n");
}

static bool export_has_room(const struct export *e, size_t rows)
{
    return rows < EXPORT_ROWS && e->looks < EXPORT_LOOKS &&
           writer_len(&e->out) + EXPORT_LINE <= EXPORT_BYTES;
}

/* -- slots ------------------------------------------------------------------------------------- */

/* The release's next record with this tag, behind e->at, which moves to it. 0, LEDGER_NONE, < 0. */
static int export_next(struct export *e, uint8_t tag, struct span *ret_suffix,
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
    for (size_t rows = 0; export_has_room(e, rows); rows++) {
        struct span suffix, value;
        struct draw_slot slot;
        int r = export_next(e, 'N', &suffix, &value);
        r = r ? r : ledger_read_offered(value, &slot);
        if (r) {
            return r == LEDGER_NONE ? r : err_trace(r);
        }
        struct reader number = reader_of(suffix.ptr, suffix.len);
        export_text(e, "%" PRIu64 " %" PRId64 " %" PRId64 " %.*s\n", reader_u64(&number),
                    slot.start_us, slot.end_us - slot.start_us, (int)slot.slug_len, slot.slug);
    }
    return 0;
}

/* The number of this slot in the release's list, with its end. 0, LEDGER_NONE, < 0. */
static int export_find(struct export *e, struct draw_slot *slot, uint64_t *ret_number)
{
    uint64_t from = 0, to = e->release.slots_count;
    while (from < to) {
        uint64_t middle = from + (to - from) / 2;
        struct ledger_key key = ledger_release_key_number(e->release.space, 'N', middle);
        struct draw_slot there;
        struct span value;
        int r = ledger_get(e->s->l, &key, &value);
        r = r ? r : ledger_read_offered(value, &there);
        if (r) {
            return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
        }
        e->looks++;
        int order = draw_slot_compare(slot, &there);
        if (order == 0) {
            slot->end_us = there.end_us;
            *ret_number = middle;
            return 0;
        }
        *(order < 0 ? &to : &from) = order < 0 ? middle : middle + 1;
    }
    return LEDGER_NONE;
}

/* -- tickets ----------------------------------------------------------------------------------- */

/* A ticket's line, without its end, as tickets and late have it. */
static void export_ticket(struct export *e, const struct ticket_row *row)
{
    struct draw_hash hash;
    export_hex(e, row->id, sizeof row->id);
    export_text(e, " %u ", row->version);
    if (row->is_withdrawn) {
        export_text(e, "withdrawn - - -");
        return;
    }
    draw_preferences_hash(row->preferences, row->nonce, &hash);
    export_text(e, "entered ");
    export_hex(e, hash.bytes, sizeof hash.bytes);
    if (e->is_withheld) {
        export_text(e, " withheld withheld");
        return;
    }
    export_text(e, " ");
    export_hex(e, row->preferences.ptr, row->preferences.len);
    export_text(e, " ");
    export_hex(e, row->nonce, sizeof row->nonce);
}

/* A winner whose slots came back, or somebody who got such slots out of standby. */
static bool export_is_return(const struct ticket_row *row)
{
    return row->wish > 0 && (row->first_us == 0 || row->state == TICKET_LAPSED);
}

/* Cohort 0; the others are passed over, and looked at for what came back. */
static int export_tickets(struct export *e)
{
    for (size_t rows = 0; export_has_room(e, rows); rows++) {
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
            export_text(e, "\n");
        }
    }
    return 0;
}

/* The next in the order of serving, with its rank. 0, LEDGER_NONE, < 0. */
static int export_place(struct export *e, uint64_t *ret_rank, struct ticket_row *ret_row)
{
    struct span suffix, value;
    struct ledger_ticket ticket;
    struct ticket_id id;
    int r = export_next(e, 'K', &suffix, &value);
    if (r) {
        return r;
    }
    struct reader at = reader_of(suffix.ptr, suffix.len);
    reader_u32(&at);
    *ret_rank = reader_u64(&at);
    reader_bytes(&at, id.bytes, sizeof id.bytes);
    if (at.bad) {
        return err_origin(-EBADMSG);
    }
    r = ledger_ticket_load(e->s, e->release.space, &id, &ticket);
    r = r ? r : ledger_proof_row(e->s, &e->release, &ticket, ret_row);
    return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
}

static int export_late(struct export *e)
{
    for (size_t rows = 0; export_has_room(e, rows); rows++) {
        struct ticket_row row;
        uint64_t rank;
        int r = export_place(e, &rank, &row);
        if (r) {
            return r;
        }
        export_text(e, "%u ", row.cohort);
        export_ticket(e, &row);
        export_text(e, "\n");
    }
    return 0;
}

/* -- parts ------------------------------------------------------------------------------------- */

static void export_parts(struct export *e, const struct release_view *v, struct span late)
{
    export_part(e, "manifest", (struct span){v->manifest_hash, 32});
    export_part(e, "operator-seed", (struct span){v->operator_seed, 32});
    for (uint32_t i = 0; i < v->policy.trustees_count; i++) {
        export_part(e, "trustee-key", v->policy.trustee_keys[i]);
        export_part(e, "trustee-part", v->parts[i]);
    }
    if (v->policy.beacon.len) {
        export_part(e, "beacon-value", v->beacon_value);
    } else {
        export_text(e, "beacon-value: -\n");
    }
    export_part(e, "root", (struct span){v->ticket_root, 32});
    export_text(e, "count: %" PRIu64 "\n", v->tickets_count);
    export_part(e, "late", late);
    export_part(e, "seed", (struct span){v->seed, 32});
}

/* -- outcome ----------------------------------------------------------------------------------- */

/* "won WISH SLOTS" or "lost - -". */
static int export_won(struct export *e, const struct ticket_row *row)
{
    struct draw_preferences p;
    struct draw_slot slot = {.start_us = row->first_us};
    if (row->first_us == 0 || row->wish == 0 || !draw_preferences_read(row->preferences, &p)) {
        export_text(e, "lost - -\n");
        return 0;
    }
    CHECK(row->first_slug.len <= sizeof slot.slug);
    slot.slug_len = (uint8_t)row->first_slug.len;
    memcpy(slot.slug, row->first_slug.ptr, row->first_slug.len);
    export_text(e, "won %u ", row->wish);
    for (uint32_t i = 0; i < p.slot_count; i++) {
        uint64_t number = 0;
        int r = export_find(e, &slot, &number);
        if (r) { /* it was served from this list: its neighbours stand in it */
            return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
        }
        export_text(e, "%s%" PRIu64, i ? "," : "", number);
        slot.start_us = slot.end_us;
    }
    export_text(e, "\n");
    return 0;
}

static const char *export_turn(const struct ticket_row *row)
{
    return row->state == TICKET_TURN || row->state == TICKET_USED || row->state == TICKET_LAPSED
               ? "turn - -\n"
           : row->state == TICKET_WITHDRAWN ? "left - -\n"
                                            : "waiting - -\n";
}

/* Of a later cohort, by preference: has it had its first chance?  Who left may not have. */
static bool export_is_served(const struct ticket_row *row)
{
    return row->state != TICKET_ENTERED && (row->state != TICKET_WITHDRAWN || row->first_us);
}

static int export_outcome(struct export *e)
{
    for (size_t rows = 0; export_has_room(e, rows); rows++) {
        struct ticket_row row;
        uint64_t rank;
        int r = export_place(e, &rank, &row);
        if (r) {
            return r;
        }
        export_text(e, "%u %016" PRIx64 " ", row.cohort, rank);
        export_hex(e, row.id, sizeof row.id);
        export_text(e, " ");
        if (e->release.serving == RELEASE_BY_TURN) {
            export_text(e, "%s", export_turn(&row));
        } else if (row.cohort > 0 && (e->has_returns || !export_is_served(&row))) {
            export_text(e, "later - -\n");
        } else {
            r = export_won(e, &row);
        }
        if (r) {
            return err_trace(r);
        }
    }
    return 0;
}

/* -- the walk ---------------------------------------------------------------------------------- */

/* Before the first record of a file. */
static void export_begin(struct export *e, enum export_stage stage)
{
    static const struct ticket_id nobody;
    uint64_t space = e->release.space;
    e->stage = (uint8_t)stage;
    e->at = ledger_release_key(space, stage == EXPORT_SLOTS     ? 'N'
                                      : stage == EXPORT_OUTCOME ? 'K'
                                                                : 'T');
    if (stage == EXPORT_LATE) {
        e->at = ledger_release_key_order(space, 1, 0, &nobody);
        e->at.len -= 8 + sizeof nobody.bytes; /* before any rank of cohort 1 */
    }
}

/* 0, REASON_PAGE_TOKEN_INVALID, < 0. */
static int export_resume(struct export *e)
{
    struct span text;
    export_begin(e, EXPORT_MANIFEST);
    int r = ledger_page_read(e->s, &text);
    if (r) {
        return r == LEDGER_NONE ? 0 : r == REASON_PAGE_TOKEN_INVALID ? r : err_trace(r);
    }
    struct reader at = reader_of(text.ptr, text.len);
    e->stage = reader_u8(&at);
    uint8_t has_returns = reader_u8(&at);
    e->at.len = reader_left(&at);
    if (at.bad || e->at.len > sizeof e->at.bytes || e->stage >= EXPORT_STAGES || has_returns > 1) {
        return REASON_PAGE_TOKEN_INVALID;
    }
    e->has_returns = has_returns;
    reader_bytes(&at, e->at.bytes, e->at.len);
    struct reader key = reader_of(e->at.bytes, e->at.len);
    return reader_u64(&key) == e->release.space && !key.bad ? 0 : REASON_PAGE_TOKEN_INVALID;
}

static int export_token(struct export *e)
{
    uint8_t bytes[2 + sizeof e->at.bytes];
    struct writer w = writer_of(bytes, sizeof bytes);
    writer_u8(&w, e->stage);
    writer_u8(&w, e->has_returns);
    writer_bytes(&w, e->at.bytes, e->at.len);
    CHECK(!w.bad);
    return err_trace(ledger_page_write(e->s, (struct span){bytes, writer_len(&w)}));
}

/* A piece of the stage's file: 0 when there is more of it, LEDGER_NONE at its end, < 0. */
static int export_piece(struct export *e, const struct release_view *v)
{
    switch ((enum export_stage)e->stage) {
    case EXPORT_MANIFEST:
        writer_bytes(&e->out, v->manifest.ptr, v->manifest.len);
        return LEDGER_NONE;
    case EXPORT_SLOTS:
        return err_trace(export_slots(e));
    case EXPORT_TICKETS:
        return err_trace(export_tickets(e));
    case EXPORT_LATE:
        return err_trace(export_late(e));
    case EXPORT_PARTS:
        export_parts(e, v, e->s->c->release->bytes);
        return LEDGER_NONE;
    case EXPORT_OUTCOME:
        return err_trace(export_outcome(e));
    case EXPORT_SIGNATURES:
    case EXPORT_STAGES:
        break;
    }
    return LEDGER_NONE;
}

static int export_answer(struct export *e)
{
    static const char *const files[EXPORT_STAGES] = {"manifest", "slots", "signatures", "tickets",
                                                     "late", "parts", "outcome"};
    struct ledger_step *s = e->s;
    struct piece_view *piece = arena_alloc(s->arena, sizeof *piece);
    uint8_t *bytes = arena_alloc(s->arena, EXPORT_BYTES);
    if (piece == NULL || bytes == NULL) {
        return err_origin(-ENOMEM);
    }
    e->out = writer_of(bytes, EXPORT_BYTES);
    int r = export_piece(e, s->v->releases);
    if (r < 0) {
        return err_trace(r);
    }
    CHECK(!e->out.bad);
    *piece = (struct piece_view){files[e->stage], {bytes, writer_len(&e->out)}};
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
    return err_trace(export_token(e));
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
    r = export_resume(e);
    if (r) {
        return r < 0 ? err_trace(r) : ledger_refuse(s, REASON_PAGE_TOKEN_INVALID);
    }
    r = ledger_release_get(s); /* its view: manifest, parts, what is signed */
    if (r || s->v->reason != REASON_OK) {
        return err_trace(r);
    }
    return err_trace(export_answer(e));
}
