/* SPDX-License-Identifier: MIT */
/* Reading and recomputing what one person keeps.
 *   JSON -> struct proof -> leaf from id, version, wishes and nonce -> path -> root;
 *                           rank from seed and id; signatures of root and receipt
 * The files come from people, so every member is looked at; unknown ones are passed over.
 * Owns nothing that outlives a call but what the caller gave.  Fails by naming the member. */
#include "ctl/proof.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/check.h"
#include "ctl/signkey.h"
#include "ctl/value.h"
#include "draw/lines.h"

/* -- members ----------------------------------------------------------------------------------- */

static bool proof_bytes(const json_t *object, const char *key, void *out, size_t n)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    size_t len = text ? json_string_length(value) : 0;
    uint8_t bytes[128];
    size_t got = 0;
    bool is_exact;
    while (len > 0 && text[len - 1] == '=') {
        len--;
    }
    if (text == NULL || len > 120 ||
        !base64_decode((struct span){(const uint8_t *)text, len}, BASE64_EITHER, bytes, &got,
                       &is_exact) ||
        got != n) {
        return false;
    }
    memcpy(out, bytes, n);
    return true;
}

/* A number as JSON writes it, or as text; absent: 0. */
static bool proof_number(const json_t *object, const char *key, uint64_t *ret_number)
{
    const json_t *value = json_object_get(object, key);
    bool is_bad = false;
    *ret_number = 0;
    if (json_is_integer(value)) {
        is_bad = json_integer_value(value) < 0;
        *ret_number = (uint64_t)json_integer_value(value);
    } else if (json_is_string(value)) {
        const char *text = json_string_value(value);
        char *end;
        *ret_number = strtoull(text, &end, 10);
        is_bad = text[0] < '0' || text[0] > '9' || *end != '\0';
    } else {
        is_bad = value != NULL;
    }
    return !is_bad;
}

static void proof_text(const json_t *object, const char *key, char out[PROOF_TEXT])
{
    const char *text = json_string_value(json_object_get(object, key));
    snprintf(out, PROOF_TEXT, "%s", text ? text : "");
}

/* The ticket id out of ".../tickets/32 hex digits". */
static bool proof_id(const char *name, struct ticket_id *ret_id)
{
    const char *at = name ? strrchr(name, '/') : NULL;
    size_t n = 0;
    return at && strlen(at + 1) == 32 &&
           lines_hex_of((struct span){(const uint8_t *)at + 1, 32}, ret_id->bytes, 16, &n);
}

static bool proof_receipt(const json_t *ticket, struct draw_bundle_receipt *r,
                          const char **ret_what)
{
    const char *name = json_string_value(json_object_get(ticket, "name"));
    *ret_what = "name";
    if (!proof_id(name, &r->is.id)) {
        return false;
    }
    *ret_what = "leafVersion";
    if (!proof_number(ticket, "leafVersion", &r->is.version) || r->is.version == 0) {
        return false;
    }
    *ret_what = "receipt";
    if (!proof_bytes(ticket, "receipt", &r->is.leaf, sizeof r->is.leaf)) {
        return false;
    }
    *ret_what = "manifestSha256";
    return proof_bytes(ticket, "manifestSha256", &r->is.manifest, sizeof r->is.manifest);
}

static json_t *proof_parse(struct span json, const char **ret_what)
{
    json_error_t error;
    json_t *root = json_loadb((const char *)json.ptr, json.len, JSON_REJECT_DUPLICATES, &error);
    *ret_what = "the file as JSON";
    return root;
}

bool proof_read_receipt(struct span json, struct draw_bundle_receipt *ret_receipt,
                        const char **ret_what)
{
    json_t *root = proof_parse(json, ret_what);
    const json_t *inner = json_object_get(root, "ticket"); /* of a proof, or the ticket alone */
    const json_t *ticket = json_is_object(inner) ? inner : root;
    bool ok = root && proof_receipt(ticket, ret_receipt, ret_what);
    if (ok) {
        *ret_what = "receiptSignature";
        ok = proof_bytes(ticket, "receiptSignature", &ret_receipt->signature, 64);
    }
    json_decref(root);
    return ok;
}

/* -- wishes ------------------------------------------------------------------------------------ */

static bool proof_time(const json_t *object, const char *key, int64_t *ret_us)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && value_time(text, ret_us);
}

/* "s20261201t0900-c3": the start is in the id, the desk behind it. */
static bool proof_slot(const char *name, struct draw_want *want, char slug[SLOT_DESK_MAX + 1])
{
    const char *id = name ? strrchr(name, '/') : NULL;
    int year, month, day, hour, minute, n = 0;
    if (id == NULL ||
        sscanf(id, "/s%4d%2d%2dt%2d%2d%n", &year, &month, &day, &hour, &minute, &n) != 5) {
        return false;
    }
    int second = 0, more = 0;
    if (id[n] != '-' && sscanf(id + n, "%2d%n", &second, &more) == 1) {
        n += more;
    }
    char text[64];
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02dZ", year, month, day, hour, minute,
             second);
    size_t len = id[n] == '-' ? strlen(id + n + 1) : 0;
    if (!value_time(text, &want->from_us) || len == 0 || len > SLOT_DESK_MAX) {
        return false;
    }
    memcpy(slug, id + n + 1, len + 1);
    want->kind = DRAW_WANT_SLOT;
    want->slug = (struct span){(const uint8_t *)slug, len};
    return true;
}

static bool proof_want(const json_t *wish, struct draw_want *want, char slug[SLOT_DESK_MAX + 1])
{
    const json_t *class = json_object_get(wish, "slotClass");
    const json_t *slot = json_object_get(wish, "slot");
    *want = (struct draw_want){.kind = DRAW_WANT_ANY};
    if (class) {
        want->kind = DRAW_WANT_CLASS;
        return proof_time(class, "fromTime", &want->from_us) &&
               proof_time(class, "toTime", &want->to_us);
    }
    return slot ? proof_slot(json_string_value(slot), want, slug)
                : json_is_true(json_object_get(wish, "any"));
}

static bool proof_wishes(const json_t *ticket, struct proof *p)
{
    const json_t *list = json_object_get(ticket, "preferences");
    uint64_t count;
    size_t n = json_array_size(list);
    if (n < 1 || n > DRAW_WISHES_MAX || !proof_number(ticket, "slotCount", &count) || count < 1 ||
        count > DRAW_CHAIN_MAX) {
        return false;
    }
    p->preferences.slot_count = (uint32_t)count;
    p->preferences.count = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        if (!proof_want(json_array_get(list, i), &p->preferences.wants[i], p->slugs[i])) {
            return false;
        }
    }
    return true;
}

/* -- the proof --------------------------------------------------------------------------------- */

static bool proof_path(const json_t *root, struct proof *p)
{
    const json_t *list = json_object_get(root, "path");
    size_t n = json_array_size(list);
    if (n > DRAW_PATH_MAX || (list && !json_is_array(list))) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        json_t *one = json_pack("{s:O}", "h", json_array_get(list, i));
        bool ok = proof_bytes(one, "h", &p->path[i], sizeof p->path[i]);
        json_decref(one);
        if (!ok) {
            return false;
        }
    }
    p->path_len = (unsigned)n;
    return true;
}

static const char *proof_fill(const json_t *root, struct proof *p)
{
    const json_t *ticket = json_object_get(root, "ticket");
    const char *what;
    if (!proof_receipt(ticket, &p->receipt, &what)) {
        return what;
    }
    if (!proof_wishes(ticket, p)) {
        return "preferences";
    }
    if (!proof_bytes(ticket, "nonce", p->nonce, sizeof p->nonce)) {
        return "nonce";
    }
    if (!proof_path(root, p)) {
        return "path";
    }
    if (!proof_number(root, "leafIndex", &p->index) ||
        !proof_number(root, "leafCount", &p->count)) {
        return "leafIndex or leafCount";
    }
    if (!proof_bytes(root, "ticketRoot", &p->root, sizeof p->root)) {
        return "ticketRoot";
    }
    p->is_ranked = proof_bytes(root, "seed", &p->seed, sizeof p->seed);
    if (!proof_number(root, "rank", &p->rank) || !proof_number(root, "cutOff", &p->cut_off)) {
        return "rank or cutOff";
    }
    p->has_root_signature = proof_bytes(root, "operatorKey", &p->key, sizeof p->key) &&
                            proof_bytes(root, "rootSignature", &p->root_signature, 64);
    p->has_receipt_signature = proof_bytes(ticket, "receiptSignature", &p->receipt.signature, 64);
    proof_text(ticket, "name", p->ticket);
    proof_text(ticket, "state", p->state);
    proof_text(ticket, "outcomeReason", p->outcome);
    return NULL;
}

bool proof_read(struct span json, struct proof *ret_proof, const char **ret_what)
{
    json_t *root = proof_parse(json, ret_what);
    *ret_proof = (struct proof){.index = 0};
    if (root) {
        *ret_what = proof_fill(root, ret_proof);
    }
    json_decref(root);
    return *ret_what == NULL;
}

const char *proof_check(const struct proof *p, const struct draw_key *key)
{
    uint8_t bytes[DRAW_PREFERENCES_MAX], message[DRAW_SIGNED_MAX];
    struct draw_hash hash, leaf;
    struct draw_mac mac;
    struct span wishes = {bytes, draw_preferences_write(&p->preferences, bytes)};
    draw_preferences_hash(wishes, p->nonce, &hash);
    draw_leaf(&p->receipt.is.id, p->receipt.is.version, DRAW_LEAF_ENTERED, &hash, &leaf);
    if (memcmp(&leaf, &p->receipt.is.leaf, sizeof leaf) != 0) {
        return "receipt: is not the leaf of this ticket, version and these wishes";
    }
    if (!draw_path_check(&leaf, p->index, p->count, p->path, p->path_len, &p->root)) {
        return "path: does not lead from the leaf to ticketRoot";
    }
    if (p->is_ranked) {
        draw_mac_init(&mac, p->seed.bytes);
        if (draw_rank(&mac, &p->receipt.is.id) != p->rank) {
            return "rank: is not what seed and ticket give";
        }
    }
    if (!p->has_root_signature) {
        return key ? "operatorKey: the proof is not signed" : NULL;
    }
    if (key && memcmp(key, &p->key, sizeof *key) != 0) {
        return "operatorKey: is not the key that was given";
    }
    size_t n = draw_signed_root(&p->receipt.is.manifest, &p->root, p->count, message);
    if (!draw_signature_ok(&p->key, (struct span){message, n}, &p->root_signature)) {
        return "rootSignature: is not this key's signature of manifest, root and count";
    }
    n = draw_signed_receipt(&p->receipt.is, message);
    if (p->has_receipt_signature &&
        !draw_signature_ok(&p->key, (struct span){message, n}, &p->receipt.signature)) {
        return "receiptSignature: is not this key's signature of the receipt";
    }
    return NULL;
}

bool proof_key(const char *text, struct draw_key *ret_key)
{
    size_t n = 0;
    struct span hex = {(const uint8_t *)text, strlen(text)};
    return (hex.len == 64 && lines_hex_of(hex, ret_key->bytes, 32, &n)) ||
           signkey_public(text, ret_key);
}
