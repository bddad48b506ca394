/* SPDX-License-Identifier: MIT */
/* What every fuzz target shares: the entry point that libFuzzer calls, and without libFuzzer a
 * main() that replays files and folders of them, then damages each with a seeded generator, so that
 * every build (and its sanitizers) runs the kept corpus.
 *
 *   #include "tests/fuzz/fuzz.h"
 *   int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { ... return 0; } */
#ifndef FAIRSLOT_TESTS_FUZZ_H
#define FAIRSLOT_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/prng.h"
#include "base/types.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input cut into its parts, for targets that take more than one thing. */
struct fuzz_cut {
    const uint8_t *at;
    size_t left;
};

static inline struct fuzz_cut fuzz_cut_of(const uint8_t *data, size_t size)
{
    return (struct fuzz_cut){data, size};
}

/* 0 when there is none left. */
static inline uint8_t fuzz_byte(struct fuzz_cut *c)
{
    if (c->left == 0) {
        return 0;
    }
    c->left--;
    return *c->at++;
}

/* As many bytes as there are, at most n. */
static inline struct span fuzz_bytes(struct fuzz_cut *c, size_t n)
{
    n = n < c->left ? n : c->left;
    struct span s = {c->at, n};
    c->at += n;
    c->left -= n;
    return s;
}

/* Up to a NUL, or the rest. */
static inline struct span fuzz_text(struct fuzz_cut *c)
{
    const uint8_t *end = c->left ? memchr(c->at, 0, c->left) : NULL;
    struct span s = fuzz_bytes(c, end ? (size_t)(end - c->at) : c->left);
    fuzz_byte(c);
    return s;
}

#ifndef FUZZ_LIBFUZZER

#include <dirent.h>

#include "tests/lib/tap.h"

#define FUZZ_INPUT_MAX (256 * 1024)
#ifndef FUZZ_DAMAGES
#define FUZZ_DAMAGES 60 /* of each file of the corpus */
#endif

static size_t fuzz_files;

/* Bytes changed, a run removed, a run repeated, the end cut off; returns the new length. */
static inline size_t fuzz_damage(uint8_t *bytes, size_t len, size_t cap, struct prng *prng)
{
    for (uint64_t n = prng_below(prng, 6); n > 0 && len > 1; n--) {
        size_t at = prng_below(prng, len - 1);
        size_t run = 1 + prng_below(prng, 30);
        run = run < len - at ? run : len - at;
        switch (prng_below(prng, 4)) {
        case 0:
            bytes[at] = (uint8_t)prng_next(prng);
            break;
        case 1:
            bytes[at] ^= (uint8_t)(1u << prng_below(prng, 8));
            break;
        case 2:
            memmove(bytes + at, bytes + at + run, len - at - run);
            len -= run;
            break;
        default:
            if (len + run <= cap) {
                memmove(bytes + at + run, bytes + at, len - at);
                len += run;
            }
            break;
        }
    }
    return prng_below(prng, 4) == 0 && len > 1 ? 1 + prng_below(prng, len) : len;
}

/* A copy of its own, so that a sanitizer sees one byte too many. */
static inline void fuzz_once(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len + 1);
    CHECK(copy);
    memcpy(copy, bytes, len);
    uint8_t *exact = realloc(copy, len ? len : 1);
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
}

static inline void fuzz_file(const char *path)
{
    static uint8_t bytes[FUZZ_INPUT_MAX], damaged[FUZZ_INPUT_MAX];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    size_t len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    fuzz_once(bytes, len);
    struct prng prng;
    prng_init(&prng, len * 31 + (len ? bytes[len / 2] : 0));
    for (int i = 0; i < FUZZ_DAMAGES; i++) {
        memcpy(damaged, bytes, len);
        fuzz_once(damaged, fuzz_damage(damaged, len, sizeof damaged, &prng));
    }
    fuzz_files++;
}

static inline void fuzz_path(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder) {
        fuzz_file(path);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        char *inside = NULL;
        CHECK(asprintf(&inside, "%s/%s", path, entry->d_name) > 0);
        if (entry->d_name[0] != '.') {
            fuzz_path(inside);
        }
        free(inside);
    }
    closedir(folder);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        fuzz_path(argv[i]);
    }
    printf("# %zu files, each whole and damaged %d times\n", fuzz_files, FUZZ_DAMAGES);
    OK(fuzz_files > 0);
    printf("%s 1 - the corpus does no harm\n1..1\n", tap_broken ? "not ok" : "ok");
    return tap_broken ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
#endif
