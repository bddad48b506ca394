/* SPDX-License-Identifier: MIT */
/* The Merkle tree of a release (RFC 9162, 2.1).  Pure.
 * adding: a stack of complete subtrees, as the binary digits of the count; two of one size become
 * one of twice the size.  root: the stack folded from the small end.  path: recursion by halves,
 * written as a loop from the root down.
 * Fails never; a wrong path is `false`, because paths come from outside. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <string.h>

#include "base/check.h"
#include "draw/draw.h"

static void draw_node(const struct draw_hash *left, const struct draw_hash *right,
                      struct draw_hash *ret_node)
{
    const uint8_t prefix = 1;
    SHA256_CTX h;
    SHA256_Init(&h);
    SHA256_Update(&h, &prefix, 1);
    SHA256_Update(&h, left->bytes, sizeof left->bytes);
    SHA256_Update(&h, right->bytes, sizeof right->bytes);
    SHA256_Final(ret_node->bytes, &h);
}

void draw_tree_init(struct draw_tree *t)
{
    t->depth = 0;
    t->count = 0;
}

void draw_tree_add(struct draw_tree *t, const struct draw_hash *leaf)
{
    struct draw_hash node = *leaf;
    /* Each trailing 1 of the count is a complete subtree as large as what we carry. */
    for (uint64_t c = t->count; c & 1; c >>= 1) {
        CHECK(t->depth > 0);
        draw_node(&t->stack[--t->depth], &node, &node);
    }
    CHECK(t->depth < DRAW_PATH_MAX);
    t->stack[t->depth++] = node;
    t->count++;
}

void draw_tree_root(const struct draw_tree *t, struct draw_hash *ret_root)
{
    if (t->count == 0) {
        SHA256_CTX h;
        SHA256_Init(&h);
        SHA256_Final(ret_root->bytes, &h);
        return;
    }
    struct draw_hash node = t->stack[t->depth - 1];
    for (unsigned i = t->depth - 1; i-- > 0;) {
        draw_node(&t->stack[i], &node, &node);
    }
    *ret_root = node;
}

static void draw_root_of(const struct draw_hash *leaves, uint64_t count, struct draw_hash *ret_root)
{
    struct draw_tree t;
    draw_tree_init(&t);
    for (uint64_t i = 0; i < count; i++) {
        draw_tree_add(&t, &leaves[i]);
    }
    draw_tree_root(&t, ret_root);
}

/* Largest power of 2 below n > 1: where RFC 9162 splits n leaves. */
static uint64_t draw_split(uint64_t n)
{
    CHECK(n > 1);
    return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

unsigned draw_path(const struct draw_hash *leaves, uint64_t count, uint64_t index,
                   struct draw_hash *path)
{
    CHECK(index < count);
    struct draw_hash down[DRAW_PATH_MAX]; /* siblings from the root downwards */
    unsigned n = 0;
    while (count > 1) {
        CHECK(n < DRAW_PATH_MAX);
        uint64_t k = draw_split(count);
        if (index < k) {
            draw_root_of(leaves + k, count - k, &down[n++]);
            count = k;
        } else {
            draw_root_of(leaves, k, &down[n++]);
            leaves += k;
            index -= k;
            count -= k;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        path[i] = down[n - 1 - i];
    }
    return n;
}

bool draw_path_check(const struct draw_hash *leaf, uint64_t index, uint64_t count,
                     const struct draw_hash *path, unsigned path_len, const struct draw_hash *root)
{
    if (index >= count) {
        return false;
    }
    uint64_t fn = index, sn = count - 1; /* names of RFC 9162 2.1.3.2 */
    struct draw_hash r = *leaf;
    for (unsigned i = 0; i < path_len; i++) {
        if (sn == 0) {
            return false;
        }
        if ((fn & 1) || fn == sn) {
            draw_node(&path[i], &r, &r);
            while (!(fn & 1) && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            draw_node(&r, &path[i], &r);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && memcmp(r.bytes, root->bytes, sizeof r.bytes) == 0;
}
