/* SPDX-License-Identifier: MIT */
/* What is published before a release, and what its seed is made of.  PURE.  docs/draw.md,
 * "Manifest" and "Parts", says every byte. */
#ifndef FAIRSLOT_DRAW_MANIFEST_H
#define FAIRSLOT_DRAW_MANIFEST_H

#include "draw/draw.h"

#define DRAW_TRUSTEES_MAX  5
#define DRAW_MANIFEST_MAX  3072 /* bytes of a manifest */
#define DRAW_KEY_BYTES_MAX 560  /* of a trustee's public key: 4,096 bits */
#define DRAW_PART_MAX      512  /* bytes of a trustee's part: a signature of 4,096 bits */

enum draw_serving {
    DRAW_BY_PREFERENCE = 1,
    DRAW_BY_TURN = 2,
    DRAW_FIRST_COME = 3,
};

/* Times in microseconds; spans are borrowed. */
struct draw_manifest {
    struct span pool;
    struct span release;
    enum draw_serving serving;
    int64_t entry_open_us;
    int64_t entry_close_us;
    int64_t entry_grace_us;
    int64_t close_us;        /* 0: when the operator says so */
    int64_t cohort_us;       /* 0: no later cohorts */
    int64_t turn_us;         /* by turn */
    int64_t accept_us;       /* by preference */
    int64_t parts_wait_us;   /* after sealing; then missing parts stand as empty */
    uint32_t slots_count;
    struct draw_hash slots_hash;
    uint32_t max_live;       /* of one identity in the service class */
    uint32_t min_assurance;  /* 0 to 3 */
    struct draw_hash release_key_commitment;
    struct draw_hash operator_commitment;
    struct draw_hash trustees[DRAW_TRUSTEES_MAX]; /* SHA-256 of each key's DER */
    uint32_t trustees_count;
    struct span beacon;      /* what the last part will be, in words; empty: there is none */
};

/* The canonical text.  Returns its length, at most DRAW_MANIFEST_MAX; 0: it does not fit, or a
 * text in it has a byte outside printable ASCII. */
size_t draw_manifest_text(const struct draw_manifest *m, char out[DRAW_MANIFEST_MAX]);
/* Reads what draw_manifest_text() writes, and nothing else: false for any other bytes, with the
 * number of the first line that is wrong, from 1.  Spans borrow from `text`. */
bool draw_manifest_read(struct span text, struct draw_manifest *ret_manifest,
                        unsigned *ret_line);

void draw_hash_bytes(struct span bytes, struct draw_hash *ret_hash);
/* The list of slots, one after the other; `hash` is zero before the first. */
void draw_slots_hash(struct draw_hash *hash, int64_t start_us, int64_t duration_us,
                     struct span slug);
/* H(L(tag) || L(secret)): what is published before and opened later. */
void draw_commit_operator(const uint8_t seed[32], struct draw_hash *ret_hash);
void draw_commit_release_key(const uint8_t key[32], struct draw_hash *ret_hash);
/* The nonce of one version of one ticket: secret until its owner shows it. */
void draw_nonce(const struct draw_mac *release_key, const struct ticket_id *id, uint64_t version,
                uint8_t ret_nonce[16]);

#define DRAW_PART_MESSAGE_MAX 128
/* What a trustee signs, into `out`; returns its length. */
size_t draw_part_message(const struct draw_hash *manifest, const struct draw_hash *root,
                         uint64_t count, uint8_t out[DRAW_PART_MESSAGE_MAX]);
/* Is it an RSA key (DER SubjectPublicKeyInfo) of 2,048 to 4,096 bits with exponent 65537?  Then its
 * signatures (RSASSA-PKCS1-v1_5, SHA-256: RFC 8017 8.2) are unique. */
bool draw_trustee_key_ok(struct span key);
/* Is `part` this trustee's signature of the message?  Also false for a key that is not ok. */
bool draw_part_ok(struct span key, struct span message, struct span part);

#endif
