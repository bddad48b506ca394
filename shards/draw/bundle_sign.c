/* SPDX-License-Identifier: MIT */
/* Verifying a bundle, what was signed: the manifest, the root, and one person's receipt.
 *   signatures: operator-key, manifest, root        receipt: the answer that its owner kept
 * A receipt says "this version of this ticket was with us".  In the bundle the same ticket must
 * stand with the same leaf, or with a later version (the receipt was replaced); anything else is
 * the operator's signature against the operator's bundle.
 * The key in the bundle is the operator's word for who it is: whoever knows the key from elsewhere
 * hands it in (draw_bundle.key), and then no other will do.  Owns nothing.  Fails by finding. */
#include <string.h>

#include "draw/bundle_inside.h"

static void sign_line(struct lines *l, const char *key, void *out, size_t n)
{
    size_t len = 0;
    if (l->bad || !lines_next(l)) {
        l->bad = true;
        return;
    }
    struct span value = lines_value(l, key);
    l->bad = l->bad || !lines_hex_of(value, out, n, &len) || len != n;
}

int bundle_signatures_check(struct bundle_run *run)
{
    struct lines l = lines_of(run->b->signatures);
    struct draw_signature manifest, root;
    uint8_t message[DRAW_SIGNED_MAX];
    struct draw_key *key = &run->sum->key;
    sign_line(&l, "operator-key", key->bytes, sizeof key->bytes);
    sign_line(&l, "manifest", manifest.bytes, sizeof manifest.bytes);
    sign_line(&l, "root", root.bytes, sizeof root.bytes);
    if (l.bad || l.rest.len > 0) {
        return bundle_found(run, "signatures", l.number, "is not what should stand here");
    }
    if (run->b->key && memcmp(run->b->key, key, sizeof *key) != 0) {
        return bundle_found(run, "signatures", 1, "is not the operator's key that was given");
    }
    size_t n = draw_signed_manifest(&run->sum->manifest_hash, message);
    if (!draw_signature_ok(key, (struct span){message, n}, &manifest)) {
        return bundle_found(run, "signatures", 2, "is not this key's signature of the manifest");
    }
    n = draw_signed_root(&run->sum->manifest_hash, &run->sum->root, run->tree.count, message);
    if (!draw_signature_ok(key, (struct span){message, n}, &root)) {
        return bundle_found(run, "signatures", 3, "is not this key's signature of root and count");
    }
    return 0;
}

void bundle_receipt_meet(struct bundle_run *run, const struct draw_receipt *ticket)
{
    const struct draw_bundle_receipt *r = run->b->receipt;
    if (r && memcmp(&r->is.id, &ticket->id, sizeof ticket->id) == 0) {
        run->sum->receipt_version = ticket->version;
        run->is_receipt_leaf = memcmp(&r->is.leaf, &ticket->leaf, sizeof ticket->leaf) == 0;
    }
}

int bundle_receipt_check(struct bundle_run *run)
{
    const struct draw_bundle_receipt *r = run->b->receipt;
    uint8_t message[DRAW_SIGNED_MAX];
    if (r == NULL) {
        return 0;
    }
    if (memcmp(&r->is.manifest, &run->sum->manifest_hash, sizeof r->is.manifest) != 0) {
        return bundle_found(run, "receipt", 0, "is of another release or manifest");
    }
    size_t n = draw_signed_receipt(&r->is, message);
    if (!draw_signature_ok(&run->sum->key, (struct span){message, n}, &r->signature)) {
        return bundle_found(run, "receipt", 0, "is not signed by the bundle's operator-key");
    }
    uint64_t version = run->sum->receipt_version;
    if (version == 0) {
        return bundle_found(run, "receipt", 0, "is signed, and its ticket is not in the bundle");
    }
    if (version < r->is.version) {
        return bundle_found(run, "receipt", 0, "is signed, and the bundle has an older version");
    }
    if (version == r->is.version && !run->is_receipt_leaf) {
        return bundle_found(run, "receipt", 0, "is signed, and the bundle has another leaf for it");
    }
    run->sum->is_receipt_replaced = version > r->is.version;
    return 0;
}
