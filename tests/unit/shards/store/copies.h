/* SPDX-License-Identifier: MIT */
/* Two stores, and a copy of one's state on its way to the other. */
#ifndef FAIRSLOT_TESTS_STORE_COPIES_H
#define FAIRSLOT_TESTS_STORE_COPIES_H

#include <sys/stat.h>

#include "place.h"
#include "store/record.h"
#include "store/snapshot.h"

#define KEYS      2000
#define WAIT_MAX  3000 /* of 10 ms */

static char other_dir[300];
static uint8_t chunk[SNAPSHOT_CHUNK_MAX];

static inline struct store_options options_of(const char *dir)
{
    struct store_options o = place_options();
    o.dir = dir;
    memset(o.cluster_id, 7, sizeof o.cluster_id);
    return o;
}

static inline struct store *open_one(void)
{
    struct store_options o = options_of(place_dir);
    return place_open(&o);
}

static inline struct store *open_other(void)
{
    struct store_options o = options_of(other_dir);
    return place_open(&o);
}

static inline struct span key_of(uint8_t out[24], uint64_t n)
{
    struct scribe w = scribe_of(out, 24);
    scribe_u64(&w, n % 7);
    scribe_u64(&w, n);
    return (struct span){out, scribe_len(&w)};
}

/* Entry by entry, one record each; `tag` makes values differ. */
static inline void fill(struct store *s, uint64_t count, uint8_t tag)
{
    const struct book *b = store_book(s);
    for (uint64_t i = 0; i < count; i++) {
        uint8_t key[24], value[60];
        uint64_t index = store_log_last(s) + 1;
        memset(value, tag, sizeof value);
        if (index > store_applied_index(s)) {
            EQ(b->put(b->self, key_of(key, index % KEYS), (struct span){value, sizeof value}), 0);
        }
        EQ(store_log_append(s, 1, (struct span){value, sizeof value}), 0);
        EQ(i % 50 == 0 || i + 1 == count ? store_log_commit(s) : 0, 0);
        if (index > store_applied_index(s) && (i % 50 == 0 || i + 1 == count)) {
            store_applied(s, store_log_last(s), 1, (int64_t)index);
        }
    }
}

static inline struct snapshot_about wait_copy(struct store *s, uint64_t index)
{
    struct snapshot_about about = {0};
    int r = SNAPSHOT_E_WAIT;
    for (int i = 0; i < WAIT_MAX && r == SNAPSHOT_E_WAIT; i++) {
        r = snapshot_want(store_snapshots(s), index, &about);
        usleep(r == SNAPSHOT_E_WAIT ? 10000 : 0);
    }
    EQ(r, 0);
    return about;
}

static inline int wait_check(struct store *s)
{
    int r = SNAPSHOT_E_WAIT;
    for (int i = 0; i < WAIT_MAX && r == SNAPSHOT_E_WAIT; i++) {
        r = snapshot_check(store_snapshots(s));
        usleep(r == SNAPSHOT_E_WAIT ? 10000 : 0);
    }
    return r;
}

/* From where the receiver stands up to `end`. */
static inline void stream(struct store *from, struct store *to, const struct snapshot_about *about,
                   uint64_t end)
{
    uint64_t offset;
    EQ(snapshot_receive(store_snapshots(to), about, &offset), 0);
    while (offset < end) {
        size_t len = end - offset < 70001 ? (size_t)(end - offset) : 70001;
        EQ(snapshot_read(store_snapshots(from), about->id, offset, chunk, &len), 0);
        OK(len > 0);
        EQ(snapshot_chunk(store_snapshots(to), offset, (struct span){chunk, len}), 0);
        offset += len;
    }
}

static inline struct store_place place_at(uint64_t base)
{
    return (struct store_place){.base = base, .base_term = 1, .members_index = 3,
                                .members = span_of("who they are")};
}

/* Both hold the same records. */
static inline void check_same(struct store *a, struct store *b)
{
    const struct book *books[] = {store_book(a), store_book(b)};
    struct span keys[2] = {{0}, {0}}, values[2];
    uint64_t count = 0;
    for (;; count++) {
        int r[2];
        for (int i = 0; i < 2; i++) {
            r[i] = books[i]->next(books[i]->self, keys[i], count > 0, &keys[i], &values[i]);
        }
        EQ(r[0], r[1]);
        if (r[0] != 0 || r[1] != 0) {
            break;
        }
        OK(span_equal(keys[0], keys[1]) && span_equal(values[0], values[1]));
    }
    OK(count > 100);
    EQ(store_applied_effects(a), store_applied_effects(b));
}

static inline bool is_there(const char *dir, const char *name)
{
    char path[600];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return stat(path, &st) == 0;
}

static inline bool is_gone(const char *dir, const char *name)
{
    for (int i = 0; i < WAIT_MAX && is_there(dir, name); i++) {
        usleep(10000);
    }
    return !is_there(dir, name);
}

static inline void wipe(void)
{
    char line[800];
    snprintf(line, sizeof line, "cd '%s' && rm -rf other && rm -rf log state* copy.* incoming",
             place_dir);
    EQ(system(line), 0);
    snprintf(other_dir, sizeof other_dir, "%s/other", place_dir);
}

#endif
