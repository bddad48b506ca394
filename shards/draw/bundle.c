/* SPDX-License-Identifier: MIT */
/* Verifying a bundle: read, recompute, compare; the first difference is the finding.
 *
 *   manifest -> slots (their hash) -> parts (commitments, signatures) -> tickets (leaves, root,
 *   count) -> seed -> order -> outcome and returns, line by line against serial dictatorship
 *
 * Everything that the files claim is either an input that the manifest or the root commits to, or
 * is computed here and compared.  So one changed byte in any file is found, and where: what is
 * committed to shows at its own line where it can, else at the value that no longer fits.
 * Owns: ids and places of the tickets, the stock; gone when it returns.
 * Fails by finding; < 0 when memory ends.  Road not taken: trusting the outcome's own order and
 * checking that it ascends, which would let an operator leave somebody out. */
#include "draw/bundle_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"

int bundle_found(struct bundle_run *run, const char *file, unsigned long line, const char *what)
{
    *run->finding = (struct draw_finding){file, line, what};
    return 1;
}

/* -- slots ------------------------------------------------------------------------------------- */

static void bundle_slot(struct lines *l, uint32_t number, struct draw_slot *slot,
                        struct draw_hash *hash)
{
    l->bad = l->bad || lines_number(l, UINT32_MAX) != number;
    slot->start_us = (int64_t)lines_number(l, BUNDLE_NUMBER_MAX / 2);
    int64_t duration_us = (int64_t)lines_number(l, BUNDLE_NUMBER_MAX / 2);
    struct span slug = lines_field(l);
    l->bad = l->bad || slug.len > sizeof slot->slug || !lines_is_over(l);
    if (l->bad) {
        return;
    }
    slot->end_us = slot->start_us + duration_us;
    slot->slug_len = (uint8_t)slug.len;
    memcpy(slot->slug, slug.ptr, slug.len);
    draw_slots_hash(hash, slot->start_us, duration_us, slug);
}

static int bundle_slots_read(struct bundle_run *run, struct draw_slot *slots)
{
    struct lines l = lines_of(run->b->slots);
    struct draw_hash hash = {{0}};
    uint32_t count = 0;
    while (count < run->manifest.slots_count && lines_next(&l)) {
        bundle_slot(&l, count, &slots[count], &hash);
        if (l.bad || (count > 0 && draw_slot_compare(&slots[count - 1], &slots[count]) >= 0)) {
            return bundle_found(run, "slots", l.number, "is no slot in its order");
        }
        count++;
    }
    if (l.bad || count < run->manifest.slots_count || l.rest.len > 0) {
        return bundle_found(run, "slots", l.number, "the manifest has another number of slots");
    }
    if (memcmp(&hash, &run->manifest.slots_hash, sizeof hash) != 0) {
        return bundle_found(run, "slots", 0, "is not the list whose hash the manifest has");
    }
    int r = draw_stock_new(slots, count, &run->stock);
    for (uint32_t i = 0; r == 0 && i < count; i++) {
        draw_stock_put(run->stock, i);
    }
    run->sum->slots = count;
    return err_trace(r);
}

static int bundle_slots_new(struct bundle_run *run)
{
    if (run->manifest.slots_count > DRAW_STOCK_MAX) {
        return bundle_found(run, "manifest", 0, "more slots than a release may have");
    }
    struct draw_slot *slots = calloc(run->manifest.slots_count + (size_t)1, sizeof *slots);
    if (slots == NULL) {
        return err_origin(-ENOMEM);
    }
    int r = bundle_slots_read(run, slots);
    free(slots);
    return r;
}

/* -- parts ------------------------------------------------------------------------------------- */

/* The value of the next line; NULL pointer: it is no such line. */
static struct span bundle_part_line(struct lines *l, const char *key)
{
    if (!lines_next(l)) {
        l->bad = true;
    }
    return lines_value(l, key);
}

static void bundle_part_hex(struct lines *l, const char *key, void *out, size_t n)
{
    struct span value = bundle_part_line(l, key);
    size_t len = 0;
    l->bad = l->bad || !lines_hex_of(value, out, n, &len) || len != n;
}

static void bundle_trustee(struct bundle_run *run, struct lines *l, uint32_t i)
{
    size_t len = 0;
    struct span value = bundle_part_line(l, "trustee-key");
    l->bad = l->bad || !lines_hex_of(value, run->key_bytes[i], DRAW_KEY_BYTES_MAX, &len);
    run->keys[i] = (struct span){run->key_bytes[i], len};
    struct draw_hash hash;
    draw_hash_bytes(run->keys[i], &hash);
    l->bad = l->bad || memcmp(&hash, &run->manifest.trustees[i], sizeof hash) != 0;
    value = bundle_part_line(l, "trustee-part");
    run->part_lines[i] = l->number;
    len = 0;
    if (!l->bad && !span_equal(value, span_of("missing"))) {
        l->bad = !lines_hex_of(value, run->part_bytes[i], DRAW_PART_MAX, &len) || len == 0;
    }
    run->parts[i] = (struct span){run->part_bytes[i], len};
    run->sum->parts_missing += len == 0;
}

static void bundle_beacon(struct bundle_run *run, struct lines *l)
{
    struct span value = bundle_part_line(l, "beacon-value");
    if (run->manifest.beacon.len == 0) {
        l->bad = l->bad || !span_equal(value, span_of("-"));
    } else if (span_equal(value, span_of("missing"))) {
        run->sum->beacon_is_missing = true;
    } else {
        bool is_hex = lines_hex_of(value, run->beacon, sizeof run->beacon, &run->beacon_len);
        l->bad = l->bad || !is_hex || run->beacon_len == 0;
        run->sum->has_beacon = true;
    }
}

/* The hash of returns: line and file are both there or neither is. */
static int bundle_parts_returns(struct bundle_run *run, struct lines *l)
{
    static const char key[] = "returns: ";
    struct draw_hash claimed, returns;
    bool is_there = l->rest.len >= sizeof key - 1 && !memcmp(l->rest.ptr, key, sizeof key - 1);
    if (!is_there) {
        return run->b->has_returns ? bundle_found(run, "parts", l->number + 1, "is no returns")
                                   : 0;
    }
    bundle_part_hex(l, "returns", &claimed, sizeof claimed);
    draw_hash_bytes(run->b->returns, &returns);
    if (!run->b->has_returns) {
        return bundle_found(run, "returns", 0, "is missing, and parts has its hash");
    }
    return l->bad || memcmp(&claimed, &returns, sizeof returns) == 0
               ? 0
               : bundle_found(run, "returns", 0, "is not the text whose hash parts has");
}

static int bundle_parts_read(struct bundle_run *run)
{
    struct lines l = lines_of(run->b->parts);
    struct draw_hash commitment, manifest;
    bundle_part_hex(&l, "manifest", &manifest, sizeof manifest);
    if (!l.bad && memcmp(&manifest, &run->sum->manifest_hash, sizeof manifest) != 0) {
        return bundle_found(run, "manifest", 0, "is not the text whose hash parts has");
    }
    bundle_part_hex(&l, "operator-seed", run->operator_seed, sizeof run->operator_seed);
    draw_commit_operator(run->operator_seed, &commitment);
    if (!l.bad && memcmp(&commitment, &run->manifest.operator_commitment, sizeof commitment)) {
        return bundle_found(run, "parts", l.number, "is not the seed that was committed to");
    }
    for (uint32_t i = 0; i < run->manifest.trustees_count && !l.bad; i++) {
        bundle_trustee(run, &l, i);
    }
    if (!l.bad) {
        bundle_beacon(run, &l);
    }
    if (!l.bad) {
        bundle_part_hex(&l, "root", &run->claimed_root, sizeof run->claimed_root);
        run->root_line = l.number;
    }
    struct span count = l.bad ? (struct span){0} : bundle_part_line(&l, "count");
    run->claimed_count = l.bad ? 0 : lines_number_of(count, BUNDLE_TICKETS_MAX, &l.bad);
    struct draw_hash claimed, late;
    bundle_part_hex(&l, "late", &claimed, sizeof claimed);
    draw_hash_bytes(run->b->late, &late);
    if (!l.bad && memcmp(&claimed, &late, sizeof late) != 0) {
        return bundle_found(run, "late", 0, "is not the text whose hash parts has");
    }
    int r = l.bad ? 0 : bundle_parts_returns(run, &l);
    if (r) {
        return r;
    }
    if (!l.bad) {
        bundle_part_hex(&l, "seed", &run->claimed_seed, sizeof run->claimed_seed);
        run->seed_line = l.number;
    }
    if (l.bad || l.rest.len > 0) {
        return bundle_found(run, "parts", l.number, "is not what should stand here");
    }
    return 0;
}

/* -- tickets ----------------------------------------------------------------------------------- */

static void bundle_cohort_fini(struct bundle_cohort *c)
{
    free(c->starts);
    free(c->scratch);
    free(c->places);
    free(c->preferences);
    free(c->ids);
    *c = (struct bundle_cohort){0};
}

static int bundle_cohort_grow(struct bundle_cohort *c)
{
    uint32_t size = c->size ? c->size + c->size / 2 : 4096;
    void *ids = realloc(c->ids, size * sizeof *c->ids);
    c->ids = ids ? ids : c->ids;
    void *preferences = realloc(c->preferences, size * sizeof *c->preferences);
    c->preferences = preferences ? preferences : c->preferences;
    if (ids == NULL || preferences == NULL) {
        return err_origin(-ENOMEM);
    }
    c->size = size;
    return 0;
}

/* Does the field hold preferences that hash to what the leaf says?  Withheld ones cannot tell. */
static bool bundle_preferences_fit(struct bundle_run *run, struct span preferences,
                                   struct span nonce, const struct draw_hash *hash)
{
    uint8_t bytes[DRAW_PREFERENCES_MAX], nonce_bytes[16];
    size_t n, nonce_n;
    struct draw_preferences p;
    struct draw_hash computed;
    if (span_equal(preferences, span_of("withheld"))) {
        run->sum->is_withheld = true;
        return span_equal(nonce, span_of("withheld"));
    }
    if (!lines_hex_of(preferences, bytes, sizeof bytes, &n) ||
        !lines_hex_of(nonce, nonce_bytes, sizeof nonce_bytes, &nonce_n) || nonce_n != 16 ||
        !draw_preferences_read((struct span){bytes, n}, &p)) {
        return false;
    }
    draw_preferences_hash((struct span){bytes, n}, nonce_bytes, &computed);
    return memcmp(&computed, hash, sizeof computed) == 0;
}

int bundle_ticket_read(struct bundle_run *run, struct lines *l)
{
    struct bundle_cohort *c = &run->cohort;
    struct draw_hash hash = {{0}}, leaf;
    if (c->count == c->size) {
        int r = bundle_cohort_grow(c);
        if (r) {
            return err_trace(r);
        }
    }
    struct ticket_id id;
    lines_hex(l, &id, sizeof id);
    uint64_t version = lines_number(l, BUNDLE_NUMBER_MAX);
    struct span state = lines_field(l);
    bool entered = span_equal(state, span_of("entered"));
    if (l->bad || version == 0 || (!entered && !span_equal(state, span_of("withdrawn")))) {
        return LINE_WRONG;
    }
    struct span preferences = {0};
    if (entered) {
        lines_hex(l, &hash, sizeof hash);
        preferences = lines_field(l);
        struct span nonce = lines_field(l);
        l->bad = l->bad || !bundle_preferences_fit(run, preferences, nonce, &hash);
    } else {
        l->bad = !span_equal(l->line, span_of("- - -"));
        l->line.len = 0;
    }
    if (!lines_is_over(l)) {
        return LINE_WRONG;
    }
    draw_leaf(&id, version, entered ? DRAW_LEAF_ENTERED : DRAW_LEAF_WITHDRAWN, &hash, &leaf);
    bundle_receipt_meet(run, &(struct draw_receipt){.id = id, .version = version, .leaf = leaf});
    if (c->number == 0) {
        draw_tree_add(&run->tree, &leaf);
    }
    run->sum->withdrawn += !entered && c->number == 0;
    c->ids[c->count] = id; /* a withdrawn one is overwritten by the next */
    bool is_withheld = span_equal(preferences, span_of("withheld"));
    c->preferences[c->count] = is_withheld ? NULL : preferences.ptr;
    c->count += entered;
    return 0;
}

static int bundle_tickets_read(struct bundle_run *run)
{
    struct lines l = lines_of(run->b->tickets);
    struct ticket_id before = {{0}};
    while (lines_next(&l)) {
        struct span whole = l.line;
        int r = run->tree.count >= BUNDLE_TICKETS_MAX ? LINE_WRONG : bundle_ticket_read(run, &l);
        struct ticket_id id = {{0}};
        size_t n;
        if (r == 0 && lines_hex_of((struct span){whole.ptr, 32}, id.bytes, 16, &n) &&
            run->tree.count > 1 && memcmp(&before, &id, sizeof id) >= 0) {
            r = LINE_WRONG;
        }
        before = id;
        if (r) {
            return r < 0 ? err_trace(r)
                         : bundle_found(run, "tickets", l.number, "is no ticket in its order");
        }
    }
    if (l.bad) {
        return bundle_found(run, "tickets", l.number, "the line has no end");
    }
    run->sum->tickets = (uint32_t)run->tree.count;
    draw_tree_root(&run->tree, &run->sum->root);
    if (memcmp(&run->sum->root, &run->claimed_root, sizeof run->claimed_root) != 0) {
        return bundle_found(run, "tickets", 0, "the tickets do not have the root of parts");
    }
    if (run->tree.count != run->claimed_count) {
        return bundle_found(run, "parts", run->root_line + 1, "is not the number of tickets");
    }
    return 0;
}

static int bundle_seed_check(struct bundle_run *run)
{
    uint8_t message[DRAW_PART_MESSAGE_MAX];
    struct span m = {message, draw_part_message(&run->sum->manifest_hash, &run->sum->root,
                                                run->tree.count, message)};
    run->sum->trustees = run->manifest.trustees_count;
    bool has_part = false;
    for (uint32_t i = 0; i < run->manifest.trustees_count; i++) {
        if (run->parts[i].len > 0 && !draw_part_ok(run->keys[i], m, run->parts[i])) {
            return bundle_found(run, "parts", run->part_lines[i],
                                "is not this trustee's signature of manifest, root and count");
        }
        has_part = has_part || run->parts[i].len > 0;
    }
    run->sum->rests_on_operator = !has_part && !run->sum->has_beacon;
    const struct draw_seed_parts parts = {
        .manifest_hash = run->sum->manifest_hash,
        .root = run->sum->root,
        .count = run->tree.count,
        .operator_seed = {run->operator_seed, sizeof run->operator_seed},
        .trustee_parts = run->parts,
        .trustee_parts_count = run->manifest.trustees_count,
        .last_part = {run->beacon, run->beacon_len},
    };
    draw_seed(&parts, &run->sum->seed);
    if (memcmp(&run->sum->seed, &run->claimed_seed, sizeof run->claimed_seed) != 0) {
        return bundle_found(run, "parts", run->seed_line, "is not the seed of these parts");
    }
    return 0;
}

static int bundle_steps(struct bundle_run *run)
{
    unsigned line = 0;
    draw_hash_bytes(run->b->manifest, &run->sum->manifest_hash);
    if (!draw_manifest_read(run->b->manifest, &run->manifest, &line)) {
        return bundle_found(run, "manifest", line, "is not what should stand here");
    }
    if (run->manifest.serving == DRAW_FIRST_COME) {
        return bundle_found(run, "manifest", 3, "first come, first served: nothing was drawn");
    }
    int r = bundle_parts_read(run);
    r = r ? r : bundle_slots_new(run);
    r = r ? r : bundle_tickets_read(run);
    r = r ? r : bundle_seed_check(run);
    r = r ? r : bundle_signatures_check(run);
    run->outcome = lines_of(run->b->outcome);
    r = r ? r : bundle_returns_begin(run);
    r = r ? r : bundle_late_read(run);
    r = r ? r : bundle_order(run);
    if (r == 0) {
        r = run->sum->is_journaled ? bundle_returns_serve(run) : bundle_outcome_serve(run);
    }
    if (r == 0 && run->outcome.rest.len > 0) {
        r = bundle_found(run, "outcome", run->outcome.number + 1, "nobody is left for this line");
    }
    return r ? r : bundle_receipt_check(run);
}

static struct bundle_run *bundle_run_new(void)
{
    return calloc(1, sizeof(struct bundle_run));
}

int draw_bundle_verify(const struct draw_bundle *b, struct draw_summary *ret_summary,
                       struct draw_finding *ret_finding)
{
    *ret_summary = (struct draw_summary){0};
    struct bundle_run *run = bundle_run_new();
    if (run == NULL) {
        return err_origin(-ENOMEM);
    }
    run->b = b;
    run->sum = ret_summary;
    run->finding = ret_finding;
    draw_tree_init(&run->tree);
    int r = bundle_steps(run);
    bundle_cohort_fini(&run->cohort);
    draw_stock_free(run->stock);
    free(run);
    return r;
}
