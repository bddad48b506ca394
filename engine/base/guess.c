/* SPDX-License-Identifier: MIT */
/* Optimal string alignment (Damerau and Levenshtein, restricted): three rows on the stack.
 * Owns nothing, fails never: a word too long simply has no neighbour. */
#include "base/guess.h"

#include <string.h>

#include "base/check.h"

#define GUESS_WORD_MAX 31
#define GUESS_FAR      99

static unsigned guess_min(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned guess_distance(const char *a, const char *b)
{
    CHECK(a);
    CHECK(b);
    size_t n = strlen(a), m = strlen(b);
    unsigned rows[3][GUESS_WORD_MAX + 1];
    if (n > GUESS_WORD_MAX || m > GUESS_WORD_MAX) {
        return GUESS_FAR;
    }
    for (size_t j = 0; j <= m; j++) {
        rows[0][j] = (unsigned)j;
    }
    for (size_t i = 1; i <= n; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            row[j] = guess_min(replaced, guess_min(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = guess_min(row[j], above2[j - 2] + 1);
            }
        }
    }
    return rows[n % 3][m];
}

void guess_init(struct guess *g, const char *word)
{
    CHECK(word);
    *g = (struct guess){.word = word, .distance = (unsigned)strlen(word) / 3 + 2};
}

void guess_offer(struct guess *g, const char *candidate)
{
    unsigned distance = guess_distance(g->word, candidate);
    if (distance < g->distance && distance < strlen(candidate)) {
        g->distance = distance;
        g->best = candidate;
    }
}
