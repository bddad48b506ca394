/* SPDX-License-Identifier: MIT */
/* The parts of a seed: commitments, and what trustees sign.  Pure (libcrypto's SHA-256 and RSA).
 * A trustee's part is a signature because nobody can know it before the root and the count that it
 * signs, the trustee keeps nothing secret for each release, and there is exactly one: an RSA key
 * with exponent 65537 is a permutation and PKCS1-v1_5 has no randomness, so a trustee can withhold
 * its part but not choose it.  Owns nothing.  Fails by `false`. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "draw/manifest.h"

#define PARTS_BITS_MIN 2048
#define PARTS_BITS_MAX 4096

static void parts_u64(SHA256_CTX *h, uint64_t v)
{
    uint8_t bytes[8];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    scribe_u64(&w, v);
    SHA256_Update(h, bytes, sizeof bytes);
}

static void parts_prefixed(SHA256_CTX *h, const void *ptr, size_t len)
{
    parts_u64(h, len);
    SHA256_Update(h, ptr, len);
}

static void parts_commit(const char *tag, const uint8_t secret[32], struct draw_hash *ret_hash)
{
    SHA256_CTX h;
    SHA256_Init(&h);
    parts_prefixed(&h, tag, strlen(tag));
    parts_prefixed(&h, secret, 32);
    SHA256_Final(ret_hash->bytes, &h);
}

void draw_hash_bytes(struct span bytes, struct draw_hash *ret_hash)
{
    SHA256_CTX h;
    SHA256_Init(&h);
    SHA256_Update(&h, bytes.ptr, bytes.len);
    SHA256_Final(ret_hash->bytes, &h);
}

void draw_slots_hash(struct draw_hash *hash, int64_t start_us, int64_t duration_us,
                     struct span slug)
{
    SHA256_CTX h;
    SHA256_Init(&h);
    SHA256_Update(&h, hash->bytes, sizeof hash->bytes);
    parts_u64(&h, (uint64_t)start_us);
    parts_u64(&h, (uint64_t)duration_us);
    parts_prefixed(&h, slug.ptr, slug.len);
    SHA256_Final(hash->bytes, &h);
}

void draw_commit_operator(const uint8_t seed[32], struct draw_hash *ret_hash)
{
    parts_commit("fairslot/operator-seed/v1", seed, ret_hash);
}

void draw_commit_release_key(const uint8_t key[32], struct draw_hash *ret_hash)
{
    parts_commit("fairslot/release-key/v1", key, ret_hash);
}

void draw_nonce(const struct draw_mac *release_key, const struct ticket_id *id, uint64_t version,
                uint8_t ret_nonce[16])
{
    static const char tag[] = "fairslot/nonce/v1";
    uint8_t message[sizeof tag - 1 + sizeof id->bytes + 8];
    struct scribe w = scribe_of(message, sizeof message);
    struct draw_hash mac;
    scribe_bytes(&w, tag, sizeof tag - 1);
    scribe_bytes(&w, id->bytes, sizeof id->bytes);
    scribe_u64(&w, version);
    CHECK(!w.bad);
    draw_mac(release_key, (struct span){message, sizeof message}, &mac);
    memcpy(ret_nonce, mac.bytes, 16);
}

size_t draw_part_message(const struct draw_hash *manifest, const struct draw_hash *root,
                         uint64_t count, uint8_t out[DRAW_PART_MESSAGE_MAX])
{
    static const uint8_t tag[24] = "\0\0\0\0\0\0\0\020fairslot/part/v1";
    const size_t n = sizeof tag + 32 + 32 + 8;
    memcpy(out, tag, sizeof tag);
    memcpy(out + sizeof tag, manifest->bytes, 32);
    memcpy(out + sizeof tag + 32, root->bytes, 32);
    for (size_t i = n; i-- > n - 8; count >>= 8) {
        out[i] = (uint8_t)count;
    }
    return n;
}

/* The key, or NULL when it is not one that signs uniquely.  Whoever asks frees it. */
static EVP_PKEY *parts_key(struct span key)
{
    const uint8_t *at = key.ptr;
    BIGNUM *e = NULL;
    if (key.len == 0 || key.len > DRAW_KEY_BYTES_MAX) {
        return NULL;
    }
    EVP_PKEY *k = d2i_PUBKEY(NULL, &at, (long)key.len);
    int bits = k ? EVP_PKEY_get_bits(k) : 0;
    bool ok = k && at == key.ptr + key.len && EVP_PKEY_get_base_id(k) == EVP_PKEY_RSA &&
              bits >= PARTS_BITS_MIN && bits <= PARTS_BITS_MAX &&
              EVP_PKEY_get_bn_param(k, "e", &e) == 1 && BN_is_word(e, 65537);
    BN_free(e);
    if (!ok) {
        EVP_PKEY_free(k);
        return NULL;
    }
    return k;
}

bool draw_trustee_key_ok(struct span key)
{
    EVP_PKEY *k = parts_key(key);
    EVP_PKEY_free(k);
    return k != NULL;
}

bool draw_part_ok(struct span key, struct span message, struct span part)
{
    EVP_PKEY *k = parts_key(key);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    CHECK(ctx != NULL);
    /* PKCS1-v1_5 is libcrypto's default padding for RSA. */
    bool ok = k && part.len == (size_t)EVP_PKEY_get_size(k) &&
              EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, k) == 1 &&
              EVP_DigestVerify(ctx, part.ptr, part.len, message.ptr, message.len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(k);
    return ok;
}
