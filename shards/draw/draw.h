/* SPDX-License-Identifier: MIT */
/* The draw: ticket ids, leaves, Merkle root and paths, seed, ranks.  PURE (libcrypto's SHA-256
 * only); docs/draw.md says every byte and tests/draw has its vectors.  Sources: RFC 9162 2.1 for
 * the tree, RFC 2104 for HMAC.  Nothing here fails: lengths are fixed or bounded by the caller. */
#ifndef FAIRSLOT_DRAW_DRAW_H
#define FAIRSLOT_DRAW_DRAW_H

#include <openssl/sha.h>

#include "base/types.h"

struct draw_hash {
    uint8_t bytes[32];
};

struct ticket_id {
    uint8_t bytes[16];
};

/* -- HMAC with its two pads hashed once: a ticket costs two compressions ----------------------- */

struct draw_mac {
    SHA256_CTX inner; /* after key ^ ipad */
    SHA256_CTX outer; /* after key ^ opad */
};

void draw_mac_init(struct draw_mac *m, const uint8_t key[32]);
void draw_mac(const struct draw_mac *m, struct span message, struct draw_hash *ret_mac);

/* `m` keyed with the release key. */
void draw_ticket_id(const struct draw_mac *m, const struct identity *identity,
                    struct ticket_id *ret_id);
/* `m` keyed with the seed.  Lower is earlier. */
uint64_t draw_rank(const struct draw_mac *m, const struct ticket_id *id);

/* -- leaves ------------------------------------------------------------------------------------ */

enum draw_leaf_state { DRAW_LEAF_ENTERED = 1, DRAW_LEAF_WITHDRAWN = 2 };

void draw_preferences_hash(struct span preferences, const uint8_t nonce[16],
                           struct draw_hash *ret_hash);
/* preferences_hash is ignored (zero) for a withdrawn ticket. */
void draw_leaf(const struct ticket_id *id, uint64_t version, enum draw_leaf_state state,
               const struct draw_hash *preferences_hash, struct draw_hash *ret_leaf);
/* A shard's root as a leaf of the release's root. */
void draw_shard_leaf(const struct draw_hash *root, uint64_t count, struct draw_hash *ret_leaf);

/* -- tree: leaves come in order of ticket id --------------------------------------------------- */

#define DRAW_PATH_MAX 64

/* Takes any number of leaves in constant memory. */
struct draw_tree {
    struct draw_hash stack[DRAW_PATH_MAX]; /* roots of complete subtrees, largest first */
    unsigned depth;
    uint64_t count;
};

void draw_tree_init(struct draw_tree *t);
void draw_tree_add(struct draw_tree *t, const struct draw_hash *leaf);
/* May be asked at any time; more leaves may follow. */
void draw_tree_root(const struct draw_tree *t, struct draw_hash *ret_root);

/* Inclusion path of leaf `index` of `count` > index, from the leaf upwards; `path` takes
 * DRAW_PATH_MAX.  O(count) hashes.  Returns its length. */
unsigned draw_path(const struct draw_hash *leaves, uint64_t count, uint64_t index,
                   struct draw_hash *path);
/* RFC 9162 2.1.3.2.  False also for an index beyond count or a path of another length. */
bool draw_path_check(const struct draw_hash *leaf, uint64_t index, uint64_t count,
                     const struct draw_hash *path, unsigned path_len,
                     const struct draw_hash *root);

/* -- seed -------------------------------------------------------------------------------------- */

struct draw_seed_parts {
    struct draw_hash manifest_hash;
    struct draw_hash root;
    uint64_t count;
    struct span operator_seed;
    const struct span *trustee_parts; /* a missing one is empty */
    uint64_t trustee_parts_count;
    struct span last_part; /* beacon value, or empty */
};

void draw_seed(const struct draw_seed_parts *parts, struct draw_hash *ret_seed);

/* -- order: everybody's place ------------------------------------------------------------------ */

struct draw_place {
    uint64_t rank;
    uint32_t index; /* of the ticket in `ids` */
};

/* `ids` in ascending order, each once.  Fills `places` with all of them, earliest first; `scratch`
 * takes `count` places too.  A second and a half for 11 million on one core. */
void draw_order(const struct draw_hash *seed, const struct ticket_id *ids, uint32_t count,
                struct draw_place *places, struct draw_place *scratch);

#endif
