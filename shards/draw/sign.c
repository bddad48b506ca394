/* SPDX-License-Identifier: MIT */
/* Messages that the operator's key signs, and checking what it signed.  Pure (libcrypto's Ed25519).
 * Ed25519 because it is deterministic: the same ticket gets the same receipt whoever answers, so a
 * repeated request is answered byte for byte as the first one, and any replica with the key signs
 * alike.  Each message begins with a tag of its own, so that no signature says two things.
 * Owns nothing.  Fails by `false`: a key that is none, a signature that does not fit. */
#include "draw/sign.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

static void sign_prefixed(struct scribe *w, const void *bytes, size_t len)
{
    scribe_u64(w, len);
    scribe_bytes(w, bytes, len);
}

static void sign_number(struct scribe *w, uint64_t number)
{
    scribe_u64(w, 8);
    scribe_u64(w, number);
}

static struct scribe sign_begin(const char *tag, const struct draw_hash *manifest,
                                uint8_t out[DRAW_SIGNED_MAX])
{
    struct scribe w = scribe_of(out, DRAW_SIGNED_MAX);
    sign_prefixed(&w, tag, strlen(tag));
    sign_prefixed(&w, manifest->bytes, sizeof manifest->bytes);
    return w;
}

static size_t sign_end(const struct scribe *w)
{
    CHECK(!w->bad);
    return scribe_len(w);
}

size_t draw_signed_manifest(const struct draw_hash *manifest, uint8_t out[DRAW_SIGNED_MAX])
{
    struct scribe w = sign_begin("fairslot/manifest/v1", manifest, out);
    return sign_end(&w);
}

size_t draw_signed_root(const struct draw_hash *manifest, const struct draw_hash *root,
                        uint64_t count, uint8_t out[DRAW_SIGNED_MAX])
{
    struct scribe w = sign_begin("fairslot/root/v1", manifest, out);
    sign_prefixed(&w, root->bytes, sizeof root->bytes);
    sign_number(&w, count);
    return sign_end(&w);
}

size_t draw_signed_receipt(const struct draw_receipt *receipt, uint8_t out[DRAW_SIGNED_MAX])
{
    struct scribe w = sign_begin("fairslot/receipt/v1", &receipt->manifest, out);
    sign_prefixed(&w, receipt->id.bytes, sizeof receipt->id.bytes);
    sign_number(&w, receipt->version);
    sign_prefixed(&w, receipt->leaf.bytes, sizeof receipt->leaf.bytes);
    return sign_end(&w);
}

bool draw_signature_ok(const struct draw_key *key, struct span message,
                       const struct draw_signature *signature)
{
    EVP_PKEY *k = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->bytes,
                                              sizeof key->bytes);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    CHECK(ctx != NULL);
    bool ok = k && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k) == 1 &&
              EVP_DigestVerify(ctx, signature->bytes, sizeof signature->bytes, message.ptr,
                               message.len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(k);
    return ok;
}
