/* SPDX-License-Identifier: MIT */
/* Signing answers, outside the ledger: the same state gives the same bytes without a key in it.
 *   ticket just written, or proved -> its receipt       one release with its manifest -> manifest
 *                                                       and, once sealed, its root
 * Ed25519 is deterministic, so nothing of it is kept: a repeated request is signed again, alike.
 * GetRelease may be asked by anybody, so the last signatures of SIGNER_KEPT releases are kept.
 * Owns: the key and that table.  Fails when it opens, never later.
 * libcrypto reads the file, libsodium signs: the same bytes (RFC 8032) in 13 us instead of 24.
 * Road not taken: one signature a round over a tree of receipts.  It costs a twentieth, but a
 * repeated request would get other bytes than the first one. */
#include "node/signer.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "draw/sign.h"

#define SIGNER_KEPT 64 /* releases; a power of two */

struct signer_kept {
    uint8_t manifest[32];
    uint8_t root[32];
    uint64_t count;
    struct verdict_signed is;
};

struct signer {
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
    struct draw_key public;
    struct signer_kept kept[SIGNER_KEPT];
};

static int signer_read(struct signer *s, const char *path, char *ret_text)
{
    FILE *file = fopen(path, "re");
    EVP_PKEY *key = file ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;
    int why = errno;
    uint8_t seed[crypto_sign_SEEDBYTES];
    size_t n = sizeof seed;
    if (file) {
        fclose(file);
    }
    bool ok = key && EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 &&
              EVP_PKEY_get_raw_private_key(key, seed, &n) == 1 &&
              crypto_sign_seed_keypair(s->public.bytes, s->secret, seed) == 0;
    EVP_PKEY_free(key);
    sodium_memzero(seed, sizeof seed);
    if (!ok) {
        snprintf(ret_text, 256, "the signing key %.120s: %s; make one, once: fairslot release key "
                 "FILE", path, file ? "no Ed25519 private key in PEM" : strerror(why));
    }
    return ok ? 0 : SIGNER_E_KEY;
}

int signer_open(const char *path, struct signer **ret_signer, char *ret_text)
{
    if (path == NULL || path[0] == '\0') {
        return 0;
    }
    struct signer *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return err_origin(-ENOMEM);
    }
    int r = signer_read(s, path, ret_text);
    if (r) {
        signer_close(s);
        return r;
    }
    *ret_signer = s;
    return 0;
}

uint64_t signer_mark(const struct signer *s)
{
    return s ? bytes_load64(s->public.bytes) : 0;
}

void signer_close(struct signer *s)
{
    if (s) {
        sodium_memzero(s->secret, sizeof s->secret);
        free(s);
    }
}

static void signer_make(struct signer *s, const uint8_t *message, size_t len, uint8_t out[64])
{
    int r = crypto_sign_detached(out, NULL, message, len, s->secret);
    CHECK(r == 0);
}

static void signer_receipt(struct signer *s, const struct ticket_view *t,
                           struct verdict_signed *out)
{
    uint8_t message[DRAW_SIGNED_MAX];
    struct draw_receipt receipt = {.version = t->leaf_version};
    memcpy(receipt.manifest.bytes, t->manifest_hash, 32);
    memcpy(receipt.id.bytes, t->id, sizeof t->id);
    memcpy(receipt.leaf.bytes, t->leaf, 32);
    memcpy(out->key, s->public.bytes, sizeof out->key);
    signer_make(s, message, draw_signed_receipt(&receipt, message), out->receipt);
}

/* The root of what is sealed; `manifest` too. */
static void signer_root(struct signer *s, const uint8_t manifest[32], const uint8_t root[32],
                        uint64_t count, struct verdict_signed *out)
{
    uint8_t message[DRAW_SIGNED_MAX];
    struct draw_hash m, r;
    memcpy(m.bytes, manifest, 32);
    memcpy(r.bytes, root, 32);
    signer_make(s, message, draw_signed_root(&m, &r, count, message), out->root);
    out->has_root = true;
}

static void signer_manifest(struct signer *s, const uint8_t manifest[32],
                            struct verdict_signed *out)
{
    uint8_t message[DRAW_SIGNED_MAX];
    struct draw_hash m;
    memcpy(m.bytes, manifest, 32);
    memcpy(out->key, s->public.bytes, sizeof out->key);
    signer_make(s, message, draw_signed_manifest(&m, message), out->manifest);
    out->has_manifest = true;
}

static void signer_release(struct signer *s, const struct release_view *v,
                           struct verdict_signed *out)
{
    struct signer_kept *kept = &s->kept[v->manifest_hash[0] % SIGNER_KEPT];
    if (memcmp(kept->manifest, v->manifest_hash, 32) != 0 ||
        memcmp(kept->root, v->ticket_root, 32) != 0 || kept->count != v->tickets_count ||
        kept->is.has_root != v->is_sealed) {
        *kept = (struct signer_kept){.count = v->tickets_count};
        memcpy(kept->manifest, v->manifest_hash, 32);
        memcpy(kept->root, v->ticket_root, 32);
        signer_manifest(s, v->manifest_hash, &kept->is);
        if (v->is_sealed) {
            signer_root(s, v->manifest_hash, v->ticket_root, v->tickets_count, &kept->is);
        }
    }
    *out = kept->is;
}

void signer_sign(struct signer *s, struct verdict *v, struct verdict_signed *ret_signed)
{
    *ret_signed = (struct verdict_signed){.has_root = false};
    if (v->reason != REASON_OK) {
        return;
    }
    bool is_release = v->result == RESULT_RELEASE ||
                      (v->result == RESULT_EXPORT && v->releases_count > 0);
    if (is_release && v->releases->manifest.len > 0) {
        signer_release(s, v->releases, ret_signed);
    } else if ((v->result == RESULT_TICKET || v->result == RESULT_PROOF) &&
               v->ticket->is_receipt) {
        signer_receipt(s, v->ticket, ret_signed);
        ret_signed->has_receipt = true;
        if (v->result == RESULT_PROOF) {
            signer_root(s, v->ticket->manifest_hash, v->proof->root, v->proof->count, ret_signed);
        }
    } else {
        return;
    }
    v->is_signed = ret_signed;
}
