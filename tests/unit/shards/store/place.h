/* SPDX-License-Identifier: MIT */
/* A directory of its own for one test, and a store in it. */
#ifndef FAIRSLOT_TESTS_STORE_PLACE_H
#define FAIRSLOT_TESTS_STORE_PLACE_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/prng.h"
#include "store/store.h"
#include "tests/lib/tap.h"

static char place_dir[256];
static char place_text[200];

static void place_make(void)
{
    const char *root = getenv("TMPDIR");
    snprintf(place_dir, sizeof place_dir, "%s/fairslot-store-XXXXXX", root ? root : "/tmp");
    if (!mkdtemp(place_dir)) {
        perror("mkdtemp");
        exit(1);
    }
}

static int place_remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

static void place_remove(void)
{
    nftw(place_dir, place_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Small maps, so that many stores cost nothing; a flush only when the test wants one, and then in
 * slices. */
static inline struct store_options place_options(void)
{
    return (struct store_options){.dir = place_dir,
                                  .log_map_bytes = 64 << 20,
                                  .log_tail_bytes = 64 << 10,
                                  .state_map_bytes = 64 << 20,
                                  .slice_pages = 4,
                                  .flush_interval_us = HOUR_US};
}

static inline struct store *place_open(const struct store_options *o)
{
    struct store *s = NULL;
    int r = store_open(o, &s, place_text);
    if (r != 0) {
        printf("# store_open: %d %s\n", r, r > 0 ? place_text : strerror(-r));
        exit(1);
    }
    return s;
}

/* Of a name in the test's directory; until the next call. */
static inline char *place_path(const char *name)
{
    static char out[512];
    snprintf(out, sizeof out, "%s/%s", place_dir, name);
    return out;
}

/* Runs `command` in the test's directory. */
static inline void place_shell(const char *command)
{
    char line[1200];
    snprintf(line, sizeof line, "cd '%s' && %s", place_dir, command);
    EQ(system(line), 0);
}

/* Bytes of number n that stand nowhere else. */
static inline struct span place_bytes(uint8_t *out, size_t len, uint64_t n)
{
    struct prng p;
    prng_init(&p, n + 1);
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)prng_next(&p);
    }
    return (struct span){out, len};
}

/* One entry, durable and applied. */
static inline void place_entry(struct store *s, struct span entry)
{
    EQ(store_log_append(s, 1, entry), 0);
    EQ(store_log_commit(s), 0);
    store_applied(s, store_log_last(s), 1, (int64_t)store_log_last(s) * 1000);
}

#endif
