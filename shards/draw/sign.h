/* SPDX-License-Identifier: MIT */
/* What the operator's key signs: a release's manifest, its sealed root, and everybody's receipt.
 * PURE: messages and checks only; who holds the key signs (shards/node/signer.c).  docs/draw.md,
 * "Signatures", says every byte. */
#ifndef FAIRSLOT_DRAW_SIGN_H
#define FAIRSLOT_DRAW_SIGN_H

#include "draw/draw.h"

#define DRAW_SIGNED_MAX 192 /* bytes of a message, at most */

/* An Ed25519 public key and signature, raw (RFC 8032). */
struct draw_key {
    uint8_t bytes[32];
};

struct draw_signature {
    uint8_t bytes[64];
};

/* Each writes its message into `out` and returns its length. */
size_t draw_signed_manifest(const struct draw_hash *manifest, uint8_t out[DRAW_SIGNED_MAX]);
size_t draw_signed_root(const struct draw_hash *manifest, const struct draw_hash *root,
                        uint64_t count, uint8_t out[DRAW_SIGNED_MAX]);
/* One version of one ticket: its owner's receipt. */
struct draw_receipt {
    struct draw_hash manifest;
    struct ticket_id id;
    uint64_t version;
    struct draw_hash leaf;
};
size_t draw_signed_receipt(const struct draw_receipt *receipt, uint8_t out[DRAW_SIGNED_MAX]);

bool draw_signature_ok(const struct draw_key *key, struct span message,
                       const struct draw_signature *signature);

#endif
