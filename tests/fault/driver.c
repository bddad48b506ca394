/* SPDX-License-Identifier: MIT */
/* Drives a store as the writer of a node does, and says after each commit what it promises.
 *
 *   driver DIR ROUNDS [ack-early | skip-replay | install | receive]
 *
 * A round: append, commit, ack, apply, turn.  Now and then a vote, and entries that are truncated
 * again.  Ends without closing, and the last rounds have no turn, so that the next run has
 * something to replay.
 * Half way a copy of the state is made, as for a peer.  install: before it, the state of another
 * store, which is further, comes in and takes this one's place; receive: it comes in, not whole.
 * The two faults are planted bugs of a node; the checker has to find them, or it proves nothing. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "store/snapshot.h"
#include "workload.h"

#define ROUNDS_LEFT 5   /* whose effects never reach the state */
#define ROUND_US    300
#define MANY        48  /* entries: two blocks of the log's tail */

static int ack_fd;
static bool ack_early;
static bool skip_replay;
static uint8_t chunk[SNAPSHOT_CHUNK_MAX];

static void ack(const char *what, uint64_t number)
{
    char line[64];
    int n = snprintf(line, sizeof line, "%s %llu\n", what, (unsigned long long)number);
    CHECK(write(ack_fd, line, (size_t)n) == n);
}

static void replay(struct store *s)
{
    struct span entry;
    uint64_t term;
    for (uint64_t i = store_applied_index(s) + 1; !skip_replay && i <= store_log_last(s); i++) {
        CHECK(store_log_read(s, i, &term, &entry) == 0);
        workload_apply(s, i, term, entry);
    }
}

/* What a follower does when a new leader disagrees: commits entries, then drops them. */
static void junk(struct store *s)
{
    uint8_t bytes[WORKLOAD_BYTES];
    uint64_t first = store_log_last(s) + 1;
    for (uint64_t i = first; i < first + 3; i++) {
        CHECK(store_log_append(s, WORKLOAD_JUNK, workload_entry(i, WORKLOAD_JUNK, bytes)) == 0);
    }
    CHECK(store_log_commit(s) == 0);
    CHECK(store_log_truncate(s, first) == 0);
}

static void one_round(struct store *s, uint64_t round, struct prng *p)
{
    uint8_t bytes[WORKLOAD_BYTES];
    uint64_t first = store_log_last(s) + 1, vote = 0;
    uint64_t last = first + (round % 29 == 20 ? MANY : prng_below(p, 4));
    if (round % 13 == 7) {
        junk(s);
    }
    for (uint64_t i = first; i <= last; i++) {
        CHECK(store_log_append(s, WORKLOAD_TERM, workload_entry(i, WORKLOAD_TERM, bytes)) == 0);
    }
    if (round % 11 == 5) {
        uint64_t term;
        store_log_vote(s, &term, &vote);
        vote = term + 1;
        CHECK(store_log_set_vote(s, vote, 1 + vote % 3) == 0);
    }
    if (ack_early) {
        ack("entry", last);
    }
    CHECK(store_log_commit(s) == 0);
    ack("entry", last);
    if (vote) {
        ack("vote", vote);
    }
    for (uint64_t i = first; i <= last; i++) {
        if (i > store_applied_index(s)) { /* a received state may be ahead */
            workload_apply(s, i, WORKLOAD_TERM, workload_entry(i, WORKLOAD_TERM, bytes));
        }
    }
}

/* -- copies ------------------------------------------------------------------------------------ */

static struct snapshot_about copy(struct store *s, uint64_t index)
{
    struct snapshot_about about;
    int r;
    while ((r = snapshot_want(store_snapshots(s), index, &about)) == SNAPSHOT_E_WAIT ||
           r == SNAPSHOT_E_BEHIND) {
        CHECK(store_turn(s) == 0);
        usleep(ROUND_US);
    }
    CHECK(r == 0);
    return about;
}

/* A replica that has applied so many entries. */
static struct store *other(struct store *s, const char *dir, uint64_t entries)
{
    char path[4096], text[200];
    uint8_t bytes[WORKLOAD_BYTES];
    struct store *a;
    snprintf(path, sizeof path, "%s.other", dir);
    struct store_options o = workload_options(path);
    store_cluster_id(s, o.cluster_id);
    CHECK(store_open(&o, &a, text) == 0);
    uint64_t first = store_log_last(a) + 1;
    for (uint64_t i = first; i <= entries; i++) {
        struct span entry = workload_entry(i, WORKLOAD_TERM, bytes);
        CHECK(store_log_append(a, WORKLOAD_TERM, entry) == 0);
    }
    CHECK(store_log_commit(a) == 0);
    for (uint64_t i = store_applied_index(a) + 1; i <= entries; i++) {
        workload_apply(a, i, WORKLOAD_TERM, workload_entry(i, WORKLOAD_TERM, bytes));
    }
    CHECK(store_flush(a) == 0);
    CHECK(store_turn(a) == 0);
    return a;
}

static void receive(struct store *a, struct store *s, uint64_t index, bool is_whole)
{
    struct snapshot_about about = copy(a, index);
    uint64_t offset;
    CHECK(snapshot_receive(store_snapshots(s), &about, &offset) == 0);
    while (offset < (is_whole ? about.size : about.size / 2)) {
        size_t len = 50000;
        CHECK(snapshot_read(store_snapshots(a), about.id, offset, chunk, &len) == 0);
        CHECK(snapshot_chunk(store_snapshots(s), offset, (struct span){chunk, len}) == 0);
        offset += len;
    }
}

static void install(struct store *s, const char *dir, bool is_whole)
{
    uint64_t index = store_log_last(s) + 90;
    struct store *a = other(s, dir, index);
    int r = SNAPSHOT_E_WAIT;
    receive(a, s, index, is_whole);
    while (is_whole && r == SNAPSHOT_E_WAIT) {
        r = snapshot_check(store_snapshots(s));
        usleep(ROUND_US);
    }
    if (is_whole) {
        struct store_place place = {.base = index - 20, .base_term = WORKLOAD_TERM,
                                    .members_index = 1, .members = span_of("members")};
        CHECK(r == 0);
        CHECK(store_install(s, &place) == 0);
        ack("entry", index);
    }
    store_abandon(a);
}

int main(int argc, char **argv)
{
    char path[4096], text[200];
    struct store *s;
    struct prng p;
    if (argc < 3) {
        fprintf(stderr, "usage: driver DIR ROUNDS [ack-early | skip-replay | install | receive]\n");
        return 2;
    }
    ack_early = argc > 3 && strcmp(argv[3], "ack-early") == 0;
    skip_replay = argc > 3 && strcmp(argv[3], "skip-replay") == 0;
    bool is_whole = argc > 3 && strcmp(argv[3], "install") == 0;
    bool is_in = is_whole || (argc > 3 && strcmp(argv[3], "receive") == 0);
    struct store_options o = workload_options(argv[1]);
    int r = store_open(&o, &s, text);
    if (r != 0) {
        fprintf(stderr, "driver: %s\n", r > 0 ? text : strerror(-r));
        err_print(stderr);
        return 1;
    }
    snprintf(path, sizeof path, "%s/acks", argv[1]);
    ack_fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    CHECK(ack_fd >= 0);
    ack("ready", 0);
    prng_init(&p, store_log_last(s) + 1);
    replay(s);
    uint64_t rounds = strtoull(argv[2], NULL, 10);
    for (uint64_t round = 0; round < rounds; round++) {
        if (round == rounds / 3 && is_in) {
            install(s, argv[1], is_whole);
        }
        if (round == rounds / 2) {
            struct snapshot_about about = copy(s, store_applied_durable(s));
            snapshot_release(store_snapshots(s), about.id);
        }
        one_round(s, round, &p);
        CHECK(round + ROUNDS_LEFT >= rounds || store_turn(s) == 0);
        usleep(ROUND_US); /* on a tmpfs nothing blocks: let the flusher come in between */
    }
    _exit(0);
}
