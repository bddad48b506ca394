/* SPDX-License-Identifier: MIT */
/* What the storm throws: conversations that were right, then damaged, one after another.
 * Deterministic: the same prng makes the same bytes. */
#ifndef FAIRSLOT_TESTS_STORM_WORDS_H
#define FAIRSLOT_TESTS_STORM_WORDS_H

#include "base/prng.h"
#include "base/types.h"

#define WORDS_MAX (64 * 1024) /* bytes of a conversation */

struct words {
    uint8_t bytes[WORDS_MAX];
    size_t len;
    const char *token;   /* one that is good */
    struct prng *prng;
};

enum words_kind {
    WORDS_FRAMES,   /* HTTP/2 frames, damaged */
    WORDS_TOKENS,   /* calls with damaged tokens */
    WORDS_MESSAGES, /* calls with a good token and damaged messages */
    WORDS_HEADERS,  /* header blocks that nobody honest sends */
    WORDS_HTTP1,    /* HTTP/1.1: JSON, Connect and gRPC-Web, damaged */
    WORDS_GARBAGE,  /* other protocols, and noise */
    WORDS_KINDS
};

/* A conversation of a kind; returns how many malformed things are in it. */
unsigned words_make(struct words *w, enum words_kind kind);

#endif
