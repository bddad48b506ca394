/* SPDX-License-Identifier: MIT */
/* Hashes of the draw.  Pure.  Owns nothing.
 * docs/draw.md is the law here; a change of one byte is a new version tag and new vectors.
 * SHA256_Init/Update/Final although OpenSSL 3 calls them old: the one-shot SHA256() looks the
 * algorithm up at every call and is four times slower, which an 11 million ticket draw feels.
 * Fails never. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "draw/draw.h"

#include <string.h>

#include "base/check.h"

#define DRAW_BLOCK 64 /* bytes of a SHA-256 block */

static void draw_put_u64(SHA256_CTX *h, uint64_t v)
{
    uint8_t bytes[8];
    for (int i = 7; i >= 0; i--, v >>= 8) {
        bytes[i] = (uint8_t)v;
    }
    SHA256_Update(h, bytes, sizeof bytes);
}

/* L(x) of docs/draw.md. */
static void draw_put_prefixed(SHA256_CTX *h, const void *ptr, size_t len)
{
    draw_put_u64(h, len);
    if (len > 0) {
        SHA256_Update(h, ptr, len);
    }
}

static void draw_put_tag(SHA256_CTX *h, const char *tag)
{
    draw_put_prefixed(h, tag, strlen(tag));
}

void draw_mac_init(struct draw_mac *m, const uint8_t key[32])
{
    uint8_t pad[DRAW_BLOCK];
    memset(pad, 0x36, sizeof pad);
    for (int i = 0; i < 32; i++) {
        pad[i] ^= key[i];
    }
    SHA256_Init(&m->inner);
    SHA256_Update(&m->inner, pad, sizeof pad);
    for (int i = 0; i < DRAW_BLOCK; i++) {
        pad[i] ^= 0x36 ^ 0x5c;
    }
    SHA256_Init(&m->outer);
    SHA256_Update(&m->outer, pad, sizeof pad);
}

void draw_mac(const struct draw_mac *m, struct span message, struct draw_hash *ret_mac)
{
    SHA256_CTX h = m->inner;
    SHA256_Update(&h, message.ptr, message.len);
    SHA256_Final(ret_mac->bytes, &h);
    h = m->outer;
    SHA256_Update(&h, ret_mac->bytes, sizeof ret_mac->bytes);
    SHA256_Final(ret_mac->bytes, &h);
}

void draw_ticket_id(const struct draw_mac *m, const struct identity *identity,
                    struct ticket_id *ret_id)
{
    static const char tag[] = "fairslot/ticket/v1";
    uint8_t message[sizeof tag - 1 + sizeof identity->bytes];
    struct draw_hash mac;
    memcpy(message, tag, sizeof tag - 1);
    memcpy(message + sizeof tag - 1, identity->bytes, sizeof identity->bytes);
    draw_mac(m, (struct span){message, sizeof message}, &mac);
    memcpy(ret_id->bytes, mac.bytes, sizeof ret_id->bytes);
}

uint64_t draw_rank(const struct draw_mac *m, const struct ticket_id *id)
{
    struct draw_hash mac;
    draw_mac(m, (struct span){id->bytes, sizeof id->bytes}, &mac);
    uint64_t rank = 0;
    for (int i = 0; i < 8; i++) {
        rank = rank << 8 | mac.bytes[i];
    }
    return rank;
}

void draw_preferences_hash(struct span preferences, const uint8_t nonce[16],
                           struct draw_hash *ret_hash)
{
    SHA256_CTX h;
    SHA256_Init(&h);
    draw_put_tag(&h, "fairslot/preferences/v1");
    draw_put_prefixed(&h, preferences.ptr, preferences.len);
    draw_put_prefixed(&h, nonce, 16);
    SHA256_Final(ret_hash->bytes, &h);
}

void draw_leaf(const struct ticket_id *id, uint64_t version, enum draw_leaf_state state,
               const struct draw_hash *preferences_hash, struct draw_hash *ret_leaf)
{
    static const char tag[] = "fairslot/leaf/v1";
    static const struct draw_hash none;
    CHECK(version > 0);
    CHECK(state == DRAW_LEAF_ENTERED || state == DRAW_LEAF_WITHDRAWN);
    const uint8_t prefix = 0, state_byte = (uint8_t)state;
    SHA256_CTX h;
    SHA256_Init(&h);
    SHA256_Update(&h, &prefix, 1);
    SHA256_Update(&h, tag, sizeof tag - 1);
    SHA256_Update(&h, id->bytes, sizeof id->bytes);
    draw_put_u64(&h, version);
    SHA256_Update(&h, &state_byte, 1);
    const struct draw_hash *p = state == DRAW_LEAF_WITHDRAWN ? &none : preferences_hash;
    SHA256_Update(&h, p->bytes, sizeof p->bytes);
    SHA256_Final(ret_leaf->bytes, &h);
}

void draw_shard_leaf(const struct draw_hash *root, uint64_t count, struct draw_hash *ret_leaf)
{
    static const char tag[] = "fairslot/shard/v1";
    const uint8_t prefix = 0;
    SHA256_CTX h;
    SHA256_Init(&h);
    SHA256_Update(&h, &prefix, 1);
    SHA256_Update(&h, tag, sizeof tag - 1);
    SHA256_Update(&h, root->bytes, sizeof root->bytes);
    draw_put_u64(&h, count);
    SHA256_Final(ret_leaf->bytes, &h);
}

void draw_seed(const struct draw_seed_parts *parts, struct draw_hash *ret_seed)
{
    SHA256_CTX h;
    SHA256_Init(&h);
    draw_put_tag(&h, "fairslot/seed/v1");
    draw_put_prefixed(&h, parts->manifest_hash.bytes, sizeof parts->manifest_hash.bytes);
    draw_put_prefixed(&h, parts->root.bytes, sizeof parts->root.bytes);
    draw_put_u64(&h, 8);
    draw_put_u64(&h, parts->count);
    draw_put_prefixed(&h, parts->operator_seed.ptr, parts->operator_seed.len);
    draw_put_u64(&h, 8);
    draw_put_u64(&h, parts->trustee_parts_count);
    for (uint64_t i = 0; i < parts->trustee_parts_count; i++) {
        draw_put_prefixed(&h, parts->trustee_parts[i].ptr, parts->trustee_parts[i].len);
    }
    draw_put_prefixed(&h, parts->last_part.ptr, parts->last_part.len);
    SHA256_Final(ret_seed->bytes, &h);
}
