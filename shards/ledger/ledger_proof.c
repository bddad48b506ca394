/* SPDX-License-Identifier: MIT */
/* What proves a release: one person's path to the root, and the rows of the bundle.
 * A path has two halves, because sealing keeps the root of each chunk of 256 leaves: inside the
 * ticket's chunk its leaves are made again, above it the chunks' roots are the leaves.  So a proof
 * of a million tickets looks at 256 tickets and 4,000 roots, not at a million leaves.
 * Rows are for operators and auditors: preferences are a person's.
 * Owns nothing; fails by the book. */
#include <errno.h>
#include <stdlib.h>

#include "ledger/ledger_release.h"

#define PROOF_CHUNK  256
#define PROOF_CHUNKS 4096 /* of a release with proofs: a million tickets */
#define BUNDLE_ROWS  500  /* of a page, at most */

/* -- a page of tickets ------------------------------------------------------------------------- */

int ledger_proof_next(struct ledger_step *s, uint64_t space, struct ledger_key *at,
                      struct ledger_ticket *out)
{
    struct ledger_key_parts parts;
    struct span key, value;
    struct ticket_id id;
    do {
        int r = ledger_next(s->l, ledger_key_span(at), true, &key, &value);
        if (r) {
            return r == LEDGER_NONE ? r : err_trace(r);
        }
        if (!ledger_key_parse(key, &parts)) {
            return err_origin(-EBADMSG);
        }
        if (parts.at.space != space) {
            return LEDGER_NONE;
        }
        memcpy(at->bytes, key.ptr, key.len);
        at->len = key.len;
    } while (parts.tag != 'T');
    if (parts.suffix.len != sizeof id.bytes) {
        return err_origin(-EBADMSG);
    }
    memcpy(id.bytes, parts.suffix.ptr, sizeof id.bytes);
    return err_trace(ledger_read_ticket(value, &id, out));
}

/* -- proof ------------------------------------------------------------------------------------- */

struct proof {
    struct draw_hash leaves[PROOF_CHUNK];
    uint32_t leaves_count;
    uint32_t place; /* of the ticket in them */
    uint64_t chunk; /* its number */
};

/* The roots of all chunks, and which one holds the ticket. */
static int proof_roots(struct ledger_step *s, const struct ledger_release *r,
                       const struct ticket_id *id, struct draw_hash *roots, struct proof *proof)
{
    uint64_t count = (r->tickets_count + PROOF_CHUNK - 1) / PROOF_CHUNK;
    for (uint64_t i = 0; i < count; i++) {
        struct ledger_key key = ledger_release_key_number(r->space, 'H', i);
        struct span bytes;
        int status = ledger_release_get_bytes(s, &key, &bytes);
        if (status || bytes.len != 32 + sizeof id->bytes) {
            return status < 0 ? err_trace(status) : err_origin(-EBADMSG);
        }
        memcpy(roots[i].bytes, bytes.ptr, 32);
        if (memcmp(bytes.ptr + 32, id->bytes, sizeof id->bytes) <= 0) {
            proof->chunk = i;
        }
    }
    return 0;
}

/* The leaves of the ticket's chunk, from its first ticket on.  0, LEDGER_NONE, < 0. */
static int proof_chunk(struct ledger_step *s, const struct ledger_release *r,
                       const struct ticket_id *id, struct proof *proof)
{
    struct ledger_key root = ledger_release_key_number(r->space, 'H', proof->chunk);
    struct span bytes;
    int status = ledger_release_get_bytes(s, &root, &bytes);
    if (status) {
        return status == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(status);
    }
    struct ticket_id first;
    memcpy(first.bytes, bytes.ptr + 32, sizeof first.bytes);
    struct ledger_key at = ledger_release_key_ticket(r->space, &first);
    at.len--; /* before the first one, and behind whatever is before it */
    bool is_found = false;
    while (proof->leaves_count < PROOF_CHUNK) {
        struct ledger_ticket ticket;
        status = ledger_proof_next(s, r->space, &at, &ticket);
        if (status) {
            break;
        }
        if (ticket.cohort > 0) {
            continue; /* came behind the seal */
        }
        if (memcmp(&ticket.id, id, sizeof *id) == 0) {
            is_found = true;
            proof->place = proof->leaves_count;
        }
        uint8_t nonce[16];
        ledger_ticket_nonce(s->l, r, &ticket, nonce);
        ledger_ticket_leaf(&ticket, nonce, &proof->leaves[proof->leaves_count++]);
    }
    return status < 0 ? err_trace(status) : is_found ? 0 : LEDGER_NONE;
}

static int proof_fill(struct ledger_step *s, const struct ledger_release *r,
                      const struct ledger_ticket *t, struct ticket_proof_view *out)
{
    struct proof *proof = arena_alloc(s->arena, sizeof *proof);
    uint64_t chunks = (r->tickets_count + PROOF_CHUNK - 1) / PROOF_CHUNK;
    struct draw_hash *roots = arena_alloc(s->arena, (chunks + 1) * sizeof *roots);
    struct draw_hash *path = arena_alloc(s->arena, DRAW_PATH_MAX * sizeof *path);
    if (proof == NULL || roots == NULL || path == NULL) {
        return err_origin(-ENOMEM);
    }
    uint8_t nonce[16];
    ledger_ticket_nonce(s->l, r, t, nonce);
    ledger_ticket_leaf(t, nonce, &proof->leaves[0]);
    memcpy(out->leaf, proof->leaves[0].bytes, 32);
    proof->leaves_count = 0;
    proof->chunk = 0;
    int status = proof_roots(s, r, &t->id, roots, proof);
    if (status == 0) {
        status = proof_chunk(s, r, &t->id, proof);
    }
    if (status) {
        return status == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(status);
    }
    unsigned n = draw_path(proof->leaves, proof->leaves_count, proof->place, path);
    n += draw_path(roots, chunks, proof->chunk, path + n);
    out->path = (void *)path;
    out->path_count = n;
    out->index = proof->chunk * PROOF_CHUNK + proof->place;
    out->count = r->tickets_count;
    out->cut_off = r->cut_off;
    return 0;
}

int ledger_proof_get(struct ledger_step *s)
{
    struct ledger_release release;
    struct ledger_ticket ticket;
    struct ticket_view *view;
    int r = ledger_ticket_pick(s, &release, &ticket);
    if (r) {
        return r == LEDGER_ANSWERED ? 0 : err_trace(r);
    }
    if (release.seal_us == 0 || ticket.cohort > 0) {
        return ledger_refuse(s, REASON_RELEASE_STATE); /* no root yet, or it is not in it */
    }
    if (release.tickets_count > PROOF_CHUNK * PROOF_CHUNKS) {
        return ledger_refuse(s, REASON_RELEASE_STATE); /* from the bundle */
    }
    struct ticket_proof_view *proof = arena_alloc(s->arena, sizeof *proof);
    if (proof == NULL) {
        return err_origin(-ENOMEM);
    }
    *proof = (struct ticket_proof_view){.index = 0};
    r = ledger_ticket_view(s, &release, &ticket, &view);
    if (r == 0) {
        r = ledger_ticket_load(s, release.space, &ticket.id, &ticket); /* borrowed: read again */
        r = r ? r : proof_fill(s, &release, &ticket, proof);
    }
    if (r) {
        return err_trace(r);
    }
    memcpy(proof->root, release.root, 32);
    if (view->is_ranked) {
        memcpy(proof->seed, release.seed, 32);
        proof->rank = view->rank;
    }
    view->is_receipt = true;
    s->v->result = RESULT_PROOF;
    s->v->proof = proof;
    s->v->ticket = view;
    return 0;
}

/* -- the bundle -------------------------------------------------------------------------------- */

int ledger_proof_row(struct ledger_step *s, const struct ledger_release *r,
                     const struct ledger_ticket *t, struct ticket_row *out)
{
    *out = (struct ticket_row){.cohort = t->cohort,
                               .version = t->leaf_version,
                               .is_withdrawn = t->is_leaf_withdrawn,
                               .number = t->number,
                               .state = t->state,
                               .wish = t->wish,
                               .first_us = t->first_us,
                               .assurance = (uint32_t)t->assurance};
    memcpy(out->id, t->id.bytes, sizeof out->id);
    ledger_ticket_nonce(s->l, r, t, out->nonce);
    int status = ledger_keep(s->arena, t->preferences, &out->preferences);
    status = status ? status : ledger_keep(s->arena, t->first_slug, &out->first_slug);
    if (status == 0 && t->hold) { /* whether what it got came back */
        struct ledger_ticket_now now;
        status = ledger_ticket_now(s, r, t, &now);
        out->state = status ? out->state : now.state;
    }
    return err_trace(status);
}

int ledger_proof_from(struct ledger_step *s, uint64_t space, struct ledger_key *ret_key)
{
    struct span text = {0};
    struct ticket_id id;
    int r = ledger_page_read(s, &text);
    if (r == REASON_PAGE_TOKEN_INVALID) {
        return r;
    }
    *ret_key = ledger_release_key(space, 'T');
    if (r == LEDGER_NONE) {
        return 0;
    }
    if (text.len != 32) {
        return REASON_PAGE_TOKEN_INVALID;
    }
    for (size_t i = 0; i < 16; i++) {
        char digits[3] = {(char)text.ptr[2 * i], (char)text.ptr[2 * i + 1], 0};
        unsigned byte = 0;
        for (int k = 0; k < 2; k++) {
            char c = digits[k];
            byte = byte << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        id.bytes[i] = (uint8_t)byte;
    }
    *ret_key = ledger_release_key_ticket(space, &id);
    return 0;
}

int ledger_proof_token(struct ledger_step *s, const uint8_t id[16])
{
    static const char hex[] = "0123456789abcdef";
    char token[32];
    for (int i = 0; i < 16; i++) {
        token[2 * i] = hex[id[i] >> 4];
        token[2 * i + 1] = hex[id[i] & 15];
    }
    return err_trace(ledger_page_write(s, (struct span){(uint8_t *)token, sizeof token}));
}

int ledger_bundle_tickets(struct ledger_step *s)
{
    struct ledger_release release;
    struct ledger_key at;
    if (!(s->c->roles & (ROLE_OPERATOR | ROLE_AUDITOR))) {
        return ledger_refuse(s, REASON_ROLE_MISSING);
    }
    int r = ledger_release_find(s, &release);
    if (r) {
        return r == LEDGER_NONE ? ledger_refuse(s, REASON_RELEASE_UNKNOWN) : err_trace(r);
    }
    r = ledger_proof_from(s, release.space, &at);
    if (r) {
        return ledger_refuse(s, REASON_PAGE_TOKEN_INVALID);
    }
    size_t max = s->c->page_size < BUNDLE_ROWS ? s->c->page_size : BUNDLE_ROWS;
    struct ticket_row *rows = arena_alloc(s->arena, max * sizeof *rows);
    if (rows == NULL) {
        return err_origin(-ENOMEM);
    }
    s->v->result = RESULT_TICKETS;
    s->v->rows = rows;
    for (;;) {
        struct ledger_ticket ticket;
        r = ledger_proof_next(s, release.space, &at, &ticket);
        if (r) {
            return r == LEDGER_NONE ? 0 : err_trace(r);
        }
        if (s->v->rows_count == max) {
            return err_trace(ledger_proof_token(s, rows[max - 1].id));
        }
        r = ledger_proof_row(s, &release, &ticket, &rows[s->v->rows_count++]);
        if (r) {
            return err_trace(r);
        }
    }
}

/* The slots of the manifest, as slots: pages by number. */
int ledger_bundle_slots(struct ledger_step *s)
{
    struct ledger_release release;
    struct span text = {0};
    uint64_t number = 0;
    int r = ledger_release_find(s, &release);
    if (r) {
        return r == LEDGER_NONE ? ledger_refuse(s, REASON_RELEASE_UNKNOWN) : err_trace(r);
    }
    r = ledger_page_read(s, &text);
    for (size_t i = 0; r == 0 && i < text.len && i < 8; i++) {
        number = number * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    if (r == REASON_PAGE_TOKEN_INVALID) {
        return ledger_refuse(s, REASON_PAGE_TOKEN_INVALID);
    }
    struct slot_view *views = arena_alloc(s->arena, s->c->page_size * sizeof *views);
    if (views == NULL) {
        return err_origin(-ENOMEM);
    }
    s->v->result = RESULT_SLOTS;
    s->v->slots = views;
    r = ledger_keep(s->arena, ledger_release_pool(&release), &s->v->pool);
    for (; r == 0 && number < release.slots_count && s->v->slots_count < s->c->page_size;
         number++) {
        struct ledger_key key = ledger_release_key_number(release.space, 'N', number);
        struct slot_view *view = &views[s->v->slots_count++];
        struct draw_slot slot;
        struct span value;
        r = ledger_get(s->l, &key, &value);
        r = r ? r : ledger_read_offered(value, &slot);
        if (r) {
            return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
        }
        *view = (struct slot_view){.key.start_us = slot.start_us,
                                   .duration_us = slot.end_us - slot.start_us};
        r = ledger_keep(s->arena, (struct span){(uint8_t *)slot.slug, slot.slug_len},
                        &view->key.slug);
        view->desk = view->key.slug;
    }
    if (r || number >= release.slots_count) {
        return err_trace(r);
    }
    char digits[16];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    return err_trace(ledger_page_write(s, (struct span){(uint8_t *)digits, (size_t)n}));
}
