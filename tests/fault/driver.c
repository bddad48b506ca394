/* SPDX-License-Identifier: MIT */
/* Drives a store as the writer of a node does, and says after each commit what it promises.
 *
 *   driver DIR ROUNDS [ack-early | skip-replay]
 *
 * A round: append, commit, ack, apply, turn.  Now and then a vote, and entries that are truncated
 * again.  Ends without closing, and the last rounds have no turn, so that the next run has
 * something to replay.
 * The two faults are planted bugs of a node; the checker has to find them, or it proves nothing. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "workload.h"

#define ROUNDS_LEFT 5   /* whose effects never reach the state */
#define ROUND_US    300

static int ack_fd;
static bool ack_early;
static bool skip_replay;

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
    uint64_t first = store_log_last(s) + 1, last = first + prng_below(p, 4), vote = 0;
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
        workload_apply(s, i, WORKLOAD_TERM, workload_entry(i, WORKLOAD_TERM, bytes));
    }
}

int main(int argc, char **argv)
{
    char path[4096], text[200];
    struct store *s;
    struct prng p;
    if (argc < 3) {
        fprintf(stderr, "usage: driver DIR ROUNDS [ack-early | skip-replay]\n");
        return 2;
    }
    ack_early = argc > 3 && strcmp(argv[3], "ack-early") == 0;
    skip_replay = argc > 3 && strcmp(argv[3], "skip-replay") == 0;
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
        one_round(s, round, &p);
        CHECK(round + ROUNDS_LEFT >= rounds || store_turn(s) == 0);
        usleep(ROUND_US); /* on a tmpfs nothing blocks: let the flusher come in between */
    }
    _exit(0);
}
