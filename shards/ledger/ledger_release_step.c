/* SPDX-License-Identifier: MIT */
/* A release from state to state: one step a command of the log.
 *
 *   LISTING   slots of the interval, free or returned -> list, its hash; whole: manifest ->
 *             ANNOUNCED
 *   ANNOUNCED entry_open -> ENTRY
 *   ENTRY     entry_close + grace -> SEALING (first come: the window is all there is -> SERVING)
 *   SEALING   256 leaves a step into the tree; all: root -> SEALED
 *   SEALED    every part is there, or parts_wait is over -> seed -> RANKING
 *   RANKING   256 ranks a step into the order; all -> SERVING
 *   SERVING, STANDBY  ledger_release_serve.c;  close_time -> CLOSING
 *   CLOSING   what nobody has goes to the return pool, 256 slots a step; ledger_report.c -> CLOSED
 *
 * A step names the version it goes on from; any other does nothing, so a step proposed twice or
 * late is harmless.  Sealing is decided here, by the order of the log: a ticket before the first
 * step of SEALING is in, one behind it is not, whatever any clock says.
 * Invariant: chunks of 256 leaves are whole subtrees (RFC 9162), so their roots serve for proofs.
 */
#include <errno.h>

#include "ledger/ledger_release.h"

/* -- listing ----------------------------------------------------------------------------------- */

static void step_manifest_fill(const struct ledger_release *r, const struct ledger_pool *pool,
                               struct draw_manifest *m)
{
    *m = (struct draw_manifest){.pool = ledger_release_pool(r),
                                .release = ledger_release_id(r),
                                .serving = (enum draw_serving)r->serving,
                                .entry_open_us = (int64_t)r->entry_open_us,
                                .entry_close_us = (int64_t)r->entry_close_us,
                                .entry_grace_us = (int64_t)r->entry_grace_us,
                                .close_us = (int64_t)r->close_us,
                                .cohort_us = (int64_t)r->cohort_us,
                                .turn_us = (int64_t)r->turn_us,
                                .accept_us = (int64_t)r->accept_us,
                                .parts_wait_us = (int64_t)r->parts_wait_us,
                                .slots_count = (uint32_t)r->slots_count,
                                .max_live = pool->max_live,
                                .min_assurance = (uint32_t)pool->min_assurance,
                                .trustees_count = r->trustees_count,
                                .beacon = {r->beacon, r->beacon_len}};
    memcpy(m->slots_hash.bytes, r->slots_hash, 32);
    draw_commit_release_key(r->release_key, &m->release_key_commitment);
    draw_commit_operator(r->operator_seed, &m->operator_commitment);
}

static int step_manifest(struct ledger_step *s, struct ledger_release *r)
{
    char text[DRAW_MANIFEST_MAX];
    const struct ledger_pool *pool;
    struct draw_manifest m;
    int status = ledger_pool_find(s->l, ledger_release_pool(r), &pool);
    if (status) {
        return status == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(status);
    }
    step_manifest_fill(r, pool, &m);
    for (uint32_t i = 0; i < r->trustees_count; i++) {
        struct ledger_key key = ledger_release_key_number(r->space, 'P', i);
        struct span der;
        status = ledger_release_get_bytes(s, &key, &der);
        if (status) {
            return status == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(status);
        }
        draw_hash_bytes(der, &m.trustees[i]);
    }
    struct span bytes = {(uint8_t *)text, draw_manifest_text(&m, text)};
    CHECK(bytes.len > 0); /* the codec takes printable text alone */
    struct draw_hash hash;
    struct ledger_key key = ledger_release_key(r->space, 'M');
    draw_hash_bytes(bytes, &hash);
    memcpy(r->manifest_hash, hash.bytes, 32);
    return err_trace(ledger_release_put_bytes(s, &key, bytes));
}

static int step_list_slot(struct ledger_step *s, struct ledger_release *r, struct ledger_open *o,
                          const struct draw_slot *slot)
{
    uint8_t bytes[64];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct ledger_key key = ledger_release_key_number(r->space, 'N', r->slots_count);
    struct draw_hash hash;
    ledger_record_offered(&w, slot);
    memcpy(hash.bytes, r->slots_hash, 32);
    draw_slots_hash(&hash, slot->start_us, slot->end_us - slot->start_us,
                    (struct span){(const uint8_t *)slot->slug, slot->slug_len});
    memcpy(r->slots_hash, hash.bytes, 32);
    r->slots_count++;
    int status = ledger_put(s->l, &key, &w);
    return status ? err_trace(status) : err_trace(ledger_open_list(o, slot));
}

/* The next slot of the interval that can be offered, or none: 0, LEDGER_NONE, < 0. */
static int step_list_one(struct ledger_step *s, struct ledger_release *r, struct ledger_open *o)
{
    struct slot_key from = {.start_us = (int64_t)r->slots_from_us}, at;
    struct ledger_key first = ledger_key_slot(r->pool_space, &from);
    const struct ledger_key *cursor = r->cursor.len ? &r->cursor : &first;
    struct ledger_slots_walk walk = {r->pool_space, ledger_key_span(cursor), r->cursor.len > 0};
    struct ledger_slot slot;
    int status = ledger_slots_step(s, &walk, &at, &slot);
    if (status || at.start_us >= (int64_t)r->slots_to_us || r->slots_count == RELEASE_SLOTS_MAX) {
        return status < 0 ? err_trace(status) : LEDGER_NONE;
    }
    struct draw_slot listed = {at.start_us, at.start_us + slot.duration_us,
                               (uint8_t)at.slug.len, {0}};
    memcpy(listed.slug, at.slug.ptr, at.slug.len);
    r->cursor = ledger_key_slot(r->pool_space, &at);
    const struct ledger_pool *pool;
    status = ledger_pool_find(s->l, ledger_release_pool(r), &pool);
    if (status) {
        return status == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(status);
    }
    bool is_offered = r->is_returned
                          ? slot.state == SLOT_RETURNED
                          : ledger_release_offers(pool, ledger_release_id(r), slot.state);
    return is_offered
               ? err_trace(step_list_slot(s, r, o, &listed))
               : 0;
}

static int step_list(struct ledger_step *s, struct ledger_release *r, struct ledger_open *o)
{
    int status = 0;
    for (int i = 0; i < RELEASE_STEP && status == 0; i++) {
        status = step_list_one(s, r, o);
    }
    if (status != LEDGER_NONE) {
        return err_trace(status);
    }
    r->phase = PHASE_ANNOUNCED;
    r->cursor.len = 0;
    if (r->is_returned && r->slots_count == 0) {
        r->phase = PHASE_CANCELLED; /* nothing came back: as if the coin had not been thrown */
        return 0;
    }
    status = ledger_open_stock(o);
    return status ? err_trace(status) : err_trace(step_manifest(s, r));
}

/* -- sealing ----------------------------------------------------------------------------------- */

static int step_tree_load(struct ledger_step *s, const struct ledger_release *r,
                          struct draw_tree *tree)
{
    struct ledger_key key = ledger_release_key(r->space, 'Y');
    struct span bytes;
    draw_tree_init(tree);
    int status = ledger_release_get_bytes(s, &key, &bytes);
    if (status) {
        return status == LEDGER_NONE ? 0 : err_trace(status);
    }
    struct reader at = reader_of(bytes.ptr, bytes.len);
    tree->count = reader_u64(&at);
    tree->depth = reader_u8(&at);
    if (tree->depth > DRAW_PATH_MAX) {
        return err_origin(-EBADMSG);
    }
    reader_bytes(&at, tree->stack, tree->depth * sizeof tree->stack[0]);
    return at.bad || reader_left(&at) ? err_origin(-EBADMSG) : 0;
}

static int step_tree_put(struct ledger_step *s, const struct ledger_release *r,
                         const struct draw_tree *tree)
{
    uint8_t bytes[9 + DRAW_PATH_MAX * 32];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct ledger_key key = ledger_release_key(r->space, 'Y');
    scribe_u64(&w, tree->count);
    scribe_u8(&w, (uint8_t)tree->depth);
    scribe_bytes(&w, tree->stack, tree->depth * sizeof tree->stack[0]);
    CHECK(!w.bad);
    return err_trace(ledger_release_put_bytes(s, &key, (struct span){bytes, scribe_len(&w)}));
}

int ledger_release_next_ticket(struct ledger_step *s, struct ledger_release *r,
                               struct ledger_ticket *out)
{
    struct ledger_key begin = ledger_release_key(r->space, 'T');
    const struct ledger_key *from = r->cursor.len ? &r->cursor : &begin;
    struct ledger_key_parts parts;
    struct span key, value;
    struct ticket_id id;
    do {
        int status = ledger_next(s->l, ledger_key_span(from), true, &key, &value);
        if (status) {
            return status == LEDGER_NONE ? status : err_trace(status);
        }
        if (!ledger_key_parse(key, &parts) || key.len > BOOK_KEY_MAX) {
            return err_origin(-EBADMSG);
        }
        if (parts.at.space != r->space) {
            return LEDGER_NONE;
        }
        memcpy(r->cursor.bytes, key.ptr, key.len);
        r->cursor.len = key.len;
        from = &r->cursor;
    } while (parts.tag != 'T'); /* at position 0 stand the release's own records too */
    if (parts.suffix.len != sizeof id.bytes) {
        return err_origin(-EBADMSG);
    }
    memcpy(id.bytes, parts.suffix.ptr, sizeof id.bytes);
    return err_trace(ledger_read_ticket(value, &id, out));
}

/* The root of this step's leaves, a whole chunk or the last one, and its first ticket. */
static int step_chunk(struct ledger_step *s, const struct ledger_release *r,
                      const struct draw_tree *chunk, uint64_t number, const struct ticket_id *first)
{
    struct draw_hash root;
    uint8_t bytes[32 + sizeof first->bytes];
    struct ledger_key key = ledger_release_key_number(r->space, 'H', number);
    draw_tree_root(chunk, &root);
    memcpy(bytes, root.bytes, 32);
    memcpy(bytes + 32, first->bytes, sizeof first->bytes);
    return err_trace(ledger_release_put_bytes(s, &key, (struct span){bytes, sizeof bytes}));
}

static int step_seal(struct ledger_step *s, struct ledger_release *r)
{
    struct draw_tree tree, chunk;
    struct ticket_id first = {{0}};
    int status = step_tree_load(s, r, &tree);
    uint64_t number = tree.count / RELEASE_STEP;
    draw_tree_init(&chunk);
    while (status == 0 && chunk.count < RELEASE_STEP) {
        struct ledger_ticket ticket;
        struct draw_hash leaf;
        uint8_t nonce[16];
        status = ledger_release_next_ticket(s, r, &ticket);
        if (status == 0) {
            first = chunk.count ? first : ticket.id;
            ledger_ticket_nonce(s->l, r, &ticket, nonce);
            ledger_ticket_leaf(&ticket, nonce, &leaf);
            draw_tree_add(&tree, &leaf);
            draw_tree_add(&chunk, &leaf);
        }
    }
    if (status < 0) {
        return err_trace(status);
    }
    if (status == LEDGER_NONE) {
        struct draw_hash root;
        draw_tree_root(&tree, &root);
        memcpy(r->root, root.bytes, 32);
        r->tickets_count = tree.count;
        r->seal_us = (uint64_t)(s->now_us > 0 ? s->now_us : 1);
        r->phase = PHASE_SEALED;
        r->cursor.len = 0;
    }
    status = chunk.count ? step_chunk(s, r, &chunk, number, &first) : 0;
    return status ? err_trace(status) : err_trace(step_tree_put(s, r, &tree));
}

/* -- seed and ranks ---------------------------------------------------------------------------- */

/* All parts as they stand; missing ones are empty.  Copies into `bytes`. */
static int step_seed(struct ledger_step *s, struct ledger_release *r)
{
    uint8_t bytes[RELEASE_TRUSTEES_MAX + 1][RELEASE_PART_MAX];
    struct span spans[RELEASE_TRUSTEES_MAX + 1] = {{0}};
    for (uint32_t i = 0; i <= r->trustees_count; i++) {
        bool is_last = i == r->trustees_count;
        struct ledger_key key = ledger_release_key_number(
            r->space, 'P', is_last ? RELEASE_PART_BEACON : 16 + i);
        struct span part;
        int status = ledger_release_get_bytes(s, &key, &part);
        if (status < 0 || (status == 0 && part.len > RELEASE_PART_MAX)) {
            return status < 0 ? err_trace(status) : err_origin(-EBADMSG);
        }
        if (status == 0) {
            memcpy(bytes[i], part.ptr, part.len);
            spans[i] = (struct span){bytes[i], part.len};
        }
    }
    struct draw_seed_parts parts = {.count = r->tickets_count,
                                    .operator_seed = {r->operator_seed, 32},
                                    .trustee_parts = spans,
                                    .trustee_parts_count = r->trustees_count,
                                    .last_part = spans[r->trustees_count]};
    struct draw_hash seed;
    memcpy(parts.manifest_hash.bytes, r->manifest_hash, 32);
    memcpy(parts.root.bytes, r->root, 32);
    draw_seed(&parts, &seed);
    memcpy(r->seed, seed.bytes, 32);
    r->phase = PHASE_RANKING;
    return 0;
}

/* A ticket's rank.  The plants are never defined but by tests/e2e: the flood must catch them. */
static uint64_t step_rank_of(const struct ledger_step *s, const struct draw_mac *mac,
                             const struct ledger_ticket *ticket)
{
    uint64_t rank = draw_rank(mac, &ticket->id);
#ifdef PLANT_ARRIVAL_ORDER
    rank = ticket->number;
#endif
#ifdef PLANT_WRONG_SHARE
    rank >>= ticket->leaf_version > 1 ? 4 : 0;
#endif
#ifdef PLANT_CLOCK_RANK
    rank ^= (uint64_t)s->now_us << 44;
#endif
    (void)s;
    return rank;
}

static int step_rank(struct ledger_step *s, struct ledger_release *r)
{
    struct draw_mac mac;
    int status = 0;
    draw_mac_init(&mac, r->seed);
    for (int i = 0; i < RELEASE_STEP && status == 0; i++) {
        struct ledger_ticket ticket;
        status = ledger_release_next_ticket(s, r, &ticket);
        if (status == 0 && ticket.state == TICKET_ENTERED) {
            struct ledger_key key = ledger_release_key_order(
                r->space, ticket.cohort, step_rank_of(s, &mac, &ticket), &ticket.id);
            status = ledger_release_put_bytes(s, &key, (struct span){0});
        }
    }
    if (status == LEDGER_NONE) {
        r->phase = PHASE_SERVING;
        r->cursor.len = 0;
        return 0;
    }
    return err_trace(status);
}

/* -- closing ----------------------------------------------------------------------------------- */

/* The slot back into the return pool, unless somebody has it. */
static int step_close_slot(struct ledger_step *s, struct ledger_release *r, struct ledger_open *o,
                           uint32_t number)
{
    const struct draw_slot *at = draw_stock_slot(o->stock, number);
    struct slot_key slot_key = {at->start_us, {(const uint8_t *)at->slug, at->slug_len}};
    struct ledger_key key = ledger_key_slot(r->pool_space, &slot_key);
    uint8_t bytes[LEDGER_SLOT_BYTES];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct ledger_slot slot;
    struct span value;
    int status = ledger_get(s->l, &key, &value);
    if (status == 0) {
        status = ledger_read_slot(value, &slot);
    }
    if (status) {
        return status == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(status);
    }
    if (slot.state != SLOT_FREE) {
        return 0;
    }
    ledger_slots_free_turned(&slot, s);
    slot.state = SLOT_RETURNED;
    slot.version++;
    ledger_record_slot(&w, &slot);
    return err_trace(ledger_put(s->l, &key, &w));
}

/* The slots are back: the report, where something was drawn, and the end. */
static int step_report(struct ledger_step *s, struct ledger_release *r)
{
    int status = r->serving == RELEASE_FIRST_COME ? 0 : ledger_report_step(s, r);
    if (status == 0) {
        r->phase = PHASE_CLOSED;
    }
    return status == LEDGER_NONE ? 0 : err_trace(status);
}

static int step_close(struct ledger_step *s, struct ledger_release *r, struct ledger_open *o)
{
    struct ledger_key_parts parts;
    uint64_t number = 0;
    if (r->counting) {
        return err_trace(step_report(s, r));
    }
    if (r->cursor.len) {
        if (!ledger_key_parse(ledger_key_span(&r->cursor), &parts)) {
            return err_origin(-EBADMSG);
        }
        struct reader at = reader_of(parts.suffix.ptr, parts.suffix.len);
        number = reader_u64(&at);
    }
    for (int i = 0; i < RELEASE_STEP && number < r->slots_count; i++, number++) {
        int status = step_close_slot(s, r, o, (uint32_t)number);
        if (status) {
            return err_trace(status);
        }
    }
    r->cursor = ledger_release_key_number(r->space, 'N', number);
    return number == r->slots_count ? err_trace(step_report(s, r)) : 0;
}

/* -- dispatch ---------------------------------------------------------------------------------- */

static int step_entry_over(struct ledger_release *r)
{
    r->phase = r->serving == RELEASE_FIRST_COME ? PHASE_SERVING : PHASE_SEALING;
    r->cursor.len = 0;
    return 0;
}

static int step_serve(struct ledger_step *s, struct ledger_release *r, struct ledger_open *o)
{
    if (r->close_us && (int64_t)r->close_us <= s->now_us) {
        r->phase = PHASE_CLOSING;
        return err_trace(ledger_journal_end(s, r));
    }
    if (r->is_paused || r->serving == RELEASE_FIRST_COME) {
        return 0;
    }
    return r->serving == RELEASE_BY_TURN ? err_trace(ledger_release_turns(s, r, o))
                                         : err_trace(ledger_release_serve(s, r, o));
}

static int step_of_phase(struct ledger_step *s, struct ledger_release *r, struct ledger_open *o)
{
    switch (r->phase) {
    case PHASE_LISTING:
        return err_trace(step_list(s, r, o));
    case PHASE_ANNOUNCED:
        /* First come, first served has no tickets: it is served from its opening on. */
        r->phase = r->serving == RELEASE_FIRST_COME ? PHASE_SERVING : PHASE_ENTRY;
        return 0;
    case PHASE_ENTRY:
        return step_entry_over(r);
    case PHASE_SEALING:
        return err_trace(step_seal(s, r));
    case PHASE_SEALED:
        return err_trace(step_seed(s, r));
    case PHASE_RANKING:
        return err_trace(step_rank(s, r));
    case PHASE_SERVING:
    case PHASE_STANDBY:
        return err_trace(step_serve(s, r, o));
    case PHASE_CLOSING:
        return err_trace(step_close(s, r, o));
    default:
        return 0;
    }
}

/* By the shard itself.  Late, early or twice: nothing happens. */
int ledger_release_step(struct ledger_step *s)
{
    struct ledger_release release;
    struct ledger_open *o = ledger_open_find(s->l, s->c->owner);
    if (o == NULL) {
        return 0;
    }
    int r = ledger_release_load(s->l, s->c->owner, &release);
    if (r) {
        return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
    }
    if (release.version != s->c->version || o->due_us > s->now_us) {
        return 0;
    }
    r = step_of_phase(s, &release, o);
    return r ? err_trace(r) : err_trace(ledger_release_put(s, &release));
}
