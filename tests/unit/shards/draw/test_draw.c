/* SPDX-License-Identifier: MIT */
/* Goal: every byte of docs/draw.md.  The vectors come from the independent Python of tests/draw;
 * the path check must refuse every altered byte. */
#include "draw/bundle.h"
#include "draw/draw.h"
#include "draw/sign.h"

#include <jansson.h>

#include "base/bytes.h"
#include "base/prng.h"
#include "tests/lib/tap.h"

static json_t *vectors;

static void unhex(const char *text, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned byte = 0;
        OK(sscanf(text + 2 * i, "%2x", &byte) == 1);
        out[i] = (uint8_t)byte;
    }
}

static const char *text_at(const char *key, size_t i)
{
    const char *text = json_string_value(json_array_get(json_object_get(vectors, key), i));
    return text ? text : "";
}

static void hash_at(const char *key, size_t i, struct draw_hash *out)
{
    unhex(text_at(key, i), out->bytes, 32);
}

#define LEAVES 13

static void load_leaves(struct draw_hash *leaves)
{
    for (size_t i = 0; i < LEAVES; i++) {
        hash_at("leaves", i, &leaves[i]);
    }
}

static void test_ticket_ids(void)
{
    uint8_t key[32];
    struct draw_mac m;
    unhex(json_string_value(json_object_get(vectors, "release_key")), key, 32);
    draw_mac_init(&m, key);
    for (size_t i = 0; i < LEAVES; i++) {
        struct identity id;
        struct ticket_id want, got;
        unhex(text_at("identities", i), id.bytes, 16);
        unhex(text_at("ticket_ids", i), want.bytes, 16);
        draw_ticket_id(&m, &id, &got);
        OK(memcmp(&want, &got, 16) == 0);
    }
}

static void test_leaves(void)
{
    for (size_t i = 0; i < LEAVES; i++) {
        char wish[32], nonce_text[32];
        struct draw_hash nonce, prefs, got, want;
        struct ticket_id id;
        unhex(text_at("sorted_ticket_ids", i), id.bytes, 16);
        snprintf(wish, sizeof wish, "preference %zu", i);
        snprintf(nonce_text, sizeof nonce_text, "nonce %zu", i);
        SHA256((const uint8_t *)nonce_text, strlen(nonce_text), nonce.bytes);
        draw_preferences_hash((struct span){(const uint8_t *)wish, strlen(wish)}, nonce.bytes,
                              &prefs);
        draw_leaf(&id, i + 1, i == 5 ? DRAW_LEAF_WITHDRAWN : DRAW_LEAF_ENTERED, &prefs, &got);
        hash_at("leaves", i, &want);
        OK(memcmp(&want, &got, 32) == 0);
    }
}

static void test_roots(void)
{
    struct draw_hash leaves[LEAVES], want, got;
    struct draw_tree t;
    load_leaves(leaves);
    draw_tree_init(&t);
    for (size_t n = 0; n <= LEAVES; n++) {
        hash_at("roots", n, &want);
        draw_tree_root(&t, &got);
        OK(memcmp(&want, &got, 32) == 0);
        if (n < LEAVES) {
            draw_tree_add(&t, &leaves[n]);
        }
    }
    draw_shard_leaf(&want, LEAVES, &got);
    unhex(json_string_value(json_object_get(vectors, "shard_leaf")), want.bytes, 32);
    OK(memcmp(&want, &got, 32) == 0);
}

static void test_paths_of_the_vectors(void)
{
    struct draw_hash leaves[LEAVES], root, path[DRAW_PATH_MAX];
    load_leaves(leaves);
    hash_at("roots", LEAVES, &root);
    for (size_t i = 0; i < LEAVES; i++) {
        json_t *want = json_array_get(json_object_get(vectors, "paths"), i);
        unsigned n = draw_path(leaves, LEAVES, i, path);
        EQ(n, json_array_size(want));
        for (unsigned k = 0; k < n; k++) {
            struct draw_hash w;
            unhex(json_string_value(json_array_get(want, k)), w.bytes, 32);
            OK(memcmp(&w, &path[k], 32) == 0);
        }
        OK(draw_path_check(&leaves[i], i, LEAVES, path, n, &root));
    }
}

static void test_every_size_and_every_altered_path(void)
{
    static struct draw_hash leaves[70];
    struct draw_hash path[DRAW_PATH_MAX], root;
    struct prng p;
    prng_init(&p, 3);
    for (size_t i = 0; i < 70; i++) {
        for (int k = 0; k < 32; k++) {
            leaves[i].bytes[k] = (uint8_t)prng_next(&p);
        }
    }
    struct draw_tree t;
    draw_tree_init(&t);
    for (uint64_t n = 1; n <= 70; n++) {
        draw_tree_add(&t, &leaves[n - 1]);
        draw_tree_root(&t, &root);
        for (uint64_t i = 0; i < n; i++) {
            unsigned len = draw_path(leaves, n, i, path);
            OK(draw_path_check(&leaves[i], i, n, path, len, &root));
            OK(!draw_path_check(&leaves[(i + 1) % 70], i, n, path, len, &root));
            OK(n == 1 || !draw_path_check(&leaves[i], (i + 1) % n, n, path, len, &root));
            OK(!draw_path_check(&leaves[i], n, n, path, len, &root));
            if (len > 0) {
                OK(!draw_path_check(&leaves[i], i, n, path, len - 1, &root));
                path[prng_below(&p, len)].bytes[prng_below(&p, 32)] ^= 1;
                OK(!draw_path_check(&leaves[i], i, n, path, len, &root));
            }
        }
    }
}

static void test_seed_and_ranks(void)
{
    struct draw_seed_parts parts = {.count = LEAVES};
    struct draw_hash want, got;
    SHA256((const uint8_t *)"manifest", 8, parts.manifest_hash.bytes);
    hash_at("roots", LEAVES, &parts.root);
    struct span trustees[] = {{(const uint8_t *)"trustee one", 11}, {NULL, 0},
                              {(const uint8_t *)"trustee three", 13}};
    parts.operator_seed = (struct span){(const uint8_t *)"operator", 8};
    parts.trustee_parts = trustees;
    parts.trustee_parts_count = 3;
    parts.last_part = (struct span){(const uint8_t *)"beacon", 6};
    draw_seed(&parts, &got);
    unhex(json_string_value(json_object_get(vectors, "seed")), want.bytes, 32);
    OK(memcmp(&want, &got, 32) == 0);
    struct draw_mac m;
    draw_mac_init(&m, got.bytes);
    for (size_t i = 0; i < LEAVES; i++) {
        struct ticket_id id;
        unhex(text_at("sorted_ticket_ids", i), id.bytes, 16);
        OK(draw_rank(&m, &id) == strtoull(text_at("ranks", i), NULL, 10));
    }
    /* A missing part still has its place: another number of parts is another seed. */
    parts.trustee_parts_count = 2;
    draw_seed(&parts, &got);
    OK(memcmp(&want, &got, 32) != 0);
}

/* -- signatures -------------------------------------------------------------------------------- */

static const char *vector_member(const char *object, const char *key)
{
    return json_string_value(json_object_get(json_object_get(vectors, object), key));
}

/* The message is the vector's, its signature holds, and no bit of either may change. */
static void check_signed(const char *key, const uint8_t *message, size_t len)
{
    uint8_t want[DRAW_SIGNED_MAX], bent[DRAW_SIGNED_MAX];
    struct draw_signature signature;
    struct draw_key public;
    const char *text = vector_member("signed", key);
    OK(strlen(text) == 2 * len);
    unhex(text, want, len);
    OK(memcmp(message, want, len) == 0);
    unhex(vector_member("signatures", key), signature.bytes, 64);
    unhex(json_string_value(json_object_get(vectors, "operator_key")), public.bytes, 32);
    OK(draw_signature_ok(&public, (struct span){message, len}, &signature));
    memcpy(bent, message, len);
    for (size_t i = 0; i < len; i++) {
        bent[i] ^= 1;
        OK(!draw_signature_ok(&public, (struct span){bent, len}, &signature));
        bent[i] ^= 1;
    }
    for (size_t i = 0; i < 64; i++) {
        signature.bytes[i] ^= 4;
        OK(!draw_signature_ok(&public, (struct span){message, len}, &signature));
        signature.bytes[i] ^= 4;
    }
    public.bytes[7] ^= 1;
    OK(!draw_signature_ok(&public, (struct span){message, len}, &signature));
}

static void test_signatures_of_the_vectors(void)
{
    uint8_t message[DRAW_SIGNED_MAX];
    struct draw_hash manifest, root;
    struct draw_receipt receipt = {.version = 4};
    SHA256((const uint8_t *)"manifest", 8, manifest.bytes);
    check_signed("manifest", message, draw_signed_manifest(&manifest, message));
    hash_at("roots", LEAVES, &root);
    check_signed("root", message, draw_signed_root(&manifest, &root, LEAVES, message));
    receipt.manifest = manifest;
    unhex(text_at("sorted_ticket_ids", 3), receipt.id.bytes, 16);
    unhex(text_at("leaves", 3), receipt.leaf.bytes, 32);
    check_signed("receipt", message, draw_signed_receipt(&receipt, message));
}

/* -- the journal of returns -------------------------------------------------------------------- */

static struct span vector_file(const char *name)
{
    const char *text = json_string_value(
        json_object_get(json_object_get(json_object_get(vectors, "journal"), "files"), name));
    OK(text != NULL);
    return span_of(text ? text : "");
}

static uint32_t vector_count(const char *key)
{
    return (uint32_t)json_integer_value(
        json_object_get(json_object_get(vectors, "journal"), key));
}

/* A bundle in which slots came back holds; with any byte of its journal altered it does not. */
static void test_the_journal_of_the_vectors(void)
{
    struct draw_bundle b = {.manifest = vector_file("manifest"), .slots = vector_file("slots"),
                            .parts = vector_file("parts"), .tickets = vector_file("tickets"),
                            .late = vector_file("late"), .outcome = vector_file("outcome"),
                            .signatures = vector_file("signatures"),
                            .returns = vector_file("returns"), .has_returns = true};
    struct draw_summary s;
    struct draw_finding finding = {.file = ""};
    uint8_t altered[16 * 1024];
    OK(draw_bundle_verify(&b, &s, &finding) == 0);
    EQ(finding.line, 0);
    OK(s.is_journaled && !s.is_open && s.late > 0);
    OK(s.returned > 5 && s.standby > 5);
    EQ(s.returned, vector_count("returned"));
    EQ(s.standby, vector_count("standby"));
    struct span honest = b.returns;
    OK(honest.len < sizeof altered);
    memcpy(altered, honest.ptr, honest.len);
    b.returns.ptr = altered;
    for (size_t i = 0; i < honest.len; i += 7) {
        altered[i] ^= 1;
        OK(draw_bundle_verify(&b, &s, &finding) == 1);
        OK(strcmp(finding.file, "returns") == 0);
        altered[i] ^= 1;
    }
    b.has_returns = false;
    OK(draw_bundle_verify(&b, &s, &finding) == 1 && strcmp(finding.file, "returns") == 0);
}

int main(void)
{
    json_error_t error;
    vectors = json_load_file(DRAW_VECTORS, 0, &error);
    if (vectors == NULL) {
        printf("Bail out! no vectors: %s\n", error.text);
        return 1;
    }
    TAP_RUN(test_ticket_ids);
    TAP_RUN(test_leaves);
    TAP_RUN(test_roots);
    TAP_RUN(test_paths_of_the_vectors);
    TAP_RUN(test_every_size_and_every_altered_path);
    TAP_RUN(test_seed_and_ranks);
    TAP_RUN(test_signatures_of_the_vectors);
    TAP_RUN(test_the_journal_of_the_vectors);
    json_decref(vectors);
    return tap_done();
}
