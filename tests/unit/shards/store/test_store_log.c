/* SPDX-License-Identifier: MIT */
/* Does the log keep what was committed, in order, and no more than it needs? */
#include <signal.h>
#include <sys/wait.h>

#include "place.h"

static struct span entry_of(uint8_t out[300], uint64_t n)
{
    memset(out, (int)(n * 7), 300);
    return (struct span){out, n % 300};
}

static void append(struct store *s, uint64_t count)
{
    uint8_t bytes[300];
    for (uint64_t i = 0; i < count; i++) {
        uint64_t n = store_log_last(s) + 1;
        EQ(store_log_append(s, n / 10, entry_of(bytes, n)), 0);
        EQ(store_log_last(s), n);
    }
}

static void check(struct store *s, uint64_t first, uint64_t last)
{
    uint8_t bytes[300];
    struct span entry;
    uint64_t term;
    EQ(store_log_first(s), first);
    EQ(store_log_last(s), last);
    for (uint64_t n = first; n <= last; n++) {
        EQ(store_log_read(s, n, &term, &entry), 0);
        EQ(term, n / 10);
        OK(span_equal(entry, entry_of(bytes, n)));
    }
    EQ(store_log_read(s, last + 1, &term, &entry), STORE_E_MISSING);
    EQ(store_log_read(s, first - 1, &term, &entry), STORE_E_MISSING);
    EQ(store_log_read(s, 0, &term, &entry), STORE_E_MISSING);
}

static struct store *reopen(struct store *s, const struct store_options *o)
{
    store_close(s);
    return place_open(o);
}

static void test_append_commit_reopen(void)
{
    struct store_options o = place_options();
    struct store *s = place_open(&o);
    check(s, 1, 0);
    EQ(store_log_commit(s), 0);
    append(s, 40);
    check(s, 1, 40); /* readable before the commit */
    EQ(store_log_commit(s), 0);
    check(s, 1, 40);
    append(s, 5);
    s = reopen(s, &o); /* what was not committed is gone */
    check(s, 1, 40);
    append(s, 1);
    EQ(store_log_commit(s), 0);
    s = reopen(s, &o);
    check(s, 1, 41);
    store_close(s);
}

static void test_truncate_and_append_others(void)
{
    struct store_options o = place_options();
    struct store *s = place_open(&o);
    EQ(store_log_truncate(s, 30), 0);
    EQ(store_log_truncate(s, 30), 0); /* nothing there */
    check(s, 1, 29);
    EQ(store_log_commit(s), 0);
    s = reopen(s, &o);
    check(s, 1, 29);
    EQ(store_log_truncate(s, 20), 0);
    append(s, 3); /* in the same commit */
    EQ(store_log_commit(s), 0);
    s = reopen(s, &o);
    check(s, 1, 22);
    EQ(store_log_truncate(s, 1), 0);
    check(s, 1, 0);
    EQ(store_log_commit(s), 0);
    s = reopen(s, &o);
    check(s, 1, 0);
    append(s, 2);
    EQ(store_log_commit(s), 0);
    check(s, 1, 2);
    store_close(s);
}

static void test_vote_is_durable_with_its_commit(void)
{
    struct store_options o = place_options();
    struct store *s = place_open(&o);
    uint64_t term = 9, vote = 9;
    store_log_vote(s, &term, &vote);
    EQ(term, 0);
    EQ(vote, 0);
    EQ(store_log_set_vote(s, 7, 3), 0);
    s = reopen(s, &o);
    store_log_vote(s, &term, &vote);
    EQ(term, 0);
    EQ(store_log_set_vote(s, 7, 3), 0);
    EQ(store_log_commit(s), 0);
    s = reopen(s, &o);
    store_log_vote(s, &term, &vote);
    EQ(term, 7);
    EQ(vote, 3);
    check(s, 1, 2);
    store_close(s);
}

/* The replay contract: applied_durable + 1 .. last can always be read. */
static void check_replayable(struct store *s)
{
    struct span entry;
    uint64_t term;
    OK(store_log_first(s) <= store_applied_durable(s) + 1);
    for (uint64_t n = store_applied_durable(s) + 1; n <= store_log_last(s); n++) {
        EQ(store_log_read(s, n, &term, &entry), 0);
    }
}

static void test_trimming_follows_the_state(void)
{
    struct store_options o = place_options();
    struct store *s = place_open(&o);
    struct store_stats stats;
    struct prng p;
    uint64_t most = 0, most_bytes = 0;
    prng_init(&p, 5);
    for (int round = 0; round < 2000; round++) {
        append(s, 1 + prng_below(&p, round % 100 == 0 ? 200 : 4));
        EQ(store_log_commit(s), 0);
        store_applied(s, store_log_last(s), 1, round);
        if (prng_below(&p, 20) == 0) {
            EQ(store_flush(s), 0);
        }
        check_replayable(s);
        uint64_t kept = store_log_last(s) + 1 - store_log_first(s);
        most = kept > most ? kept : most;
        store_stats(s, &stats);
        most_bytes = stats.log_bytes > most_bytes ? stats.log_bytes : most_bytes;
    }
    OK(store_log_first(s) > 1000);
    OK(most < 1500);
    OK(most_bytes < 4 << 20);
    uint64_t first = store_log_first(s), last = store_log_last(s);
    OK(last + 1 - first >= 64); /* the trail */
    s = reopen(s, &o); /* the last commit, at the clean stop, trims, too */
    OK(store_log_first(s) >= first);
    OK(last + 1 - store_log_first(s) >= 64);
    check(s, store_log_first(s), last);
    check_replayable(s);
    store_close(s);
}

/* Entries that come in faster than one slice a commit still go. */
static void test_trimming_keeps_up_with_big_commits(void)
{
    struct store_options o = place_options();
    struct store *s = place_open(&o);
    for (int round = 0; round < 50; round++) {
        append(s, 500);
        EQ(store_log_commit(s), 0);
        store_applied(s, store_log_last(s), 1, round);
        EQ(store_flush(s), 0);
    }
    OK(store_log_last(s) + 1 - store_log_first(s) < 2000);
    store_close(s);
}

/* A process that dies keeps what it had committed, and its lock goes with it. */
static void test_kill_keeps_what_was_committed(void)
{
    struct store_options o = place_options();
    struct store *s = place_open(&o);
    uint64_t first = store_log_first(s), last = store_log_last(s);
    store_close(s);
    pid_t pid = fork();
    if (pid == 0) {
        s = place_open(&o);
        append(s, 10);
        store_log_commit(s);
        append(s, 10);
        raise(SIGKILL);
    }
    int status;
    EQ(waitpid(pid, &status, 0), pid);
    OK(WIFSIGNALED(status));
    s = place_open(&o);
    OK(store_log_first(s) >= first); /* its commit may have trimmed */
    check(s, store_log_first(s), last + 10);
    check_replayable(s);
    store_close(s);
}

/* -- any run of changes ------------------------------------------------------------------------ */

#define LOG_MAX 20000

/* Entries by index: each is a number of its own, of which its bytes and its term follow. */
struct entries {
    uint64_t numbers[LOG_MAX];
    uint64_t last, term; /* the term that was voted in */
};

static struct entries now, committed;
static uint64_t numbers;

static struct span bytes_of(uint64_t number)
{
    static uint8_t out[9000];
    return place_bytes(out, number % 97 == 0 ? sizeof out : number % 600, number);
}

static void change(struct store *s, struct prng *p)
{
    uint64_t applied = store_applied_index(s);
    switch (prng_below(p, 16)) {
    case 0:
        now.term++;
        EQ(store_log_set_vote(s, now.term, now.term % 5), 0);
        break;
    case 1:
        if (now.last > applied) {
            uint64_t index = applied + 1 + prng_below(p, now.last - applied);
            EQ(store_log_truncate(s, index), 0);
            now.last = index - 1;
        }
        break;
    case 2:
        if (committed.last == now.last && now.last > applied) {
            store_applied(s, applied + 1 + prng_below(p, now.last - applied), 1, 1);
        }
        break;
    case 3:
        EQ(store_flush(s), 0);
        break;
    default:
        now.numbers[++now.last] = ++numbers;
        EQ(store_log_append(s, numbers % 7, bytes_of(numbers)), 0);
        break;
    }
}

static void check_committed(struct store *s)
{
    uint64_t term, vote;
    struct span entry;
    EQ(store_log_last(s), committed.last);
    check_replayable(s);
    for (uint64_t i = store_log_first(s); i <= store_log_last(s); i++) {
        EQ(store_log_read(s, i, &term, &entry), 0);
        EQ(term, committed.numbers[i] % 7);
        OK(span_equal(entry, bytes_of(committed.numbers[i])));
    }
    store_log_vote(s, &term, &vote);
    EQ(term, committed.term);
    EQ(vote, term % 5);
}

/* Killed at any time, it has what was committed: in the tree, in the tail, or in both. */
static void test_any_run_of_changes(void)
{
    char path[300];
    struct store_options o = place_options();
    struct prng p;
    snprintf(path, sizeof path, "%s/any", place_dir);
    o.dir = path;
    o.log_tail_bytes = 24 << 10;
    prng_init(&p, 24);
    struct store *s = place_open(&o);
    for (int i = 0; i < 8000; i++) {
        change(s, &p);
        if (prng_below(&p, 3) == 0) {
            EQ(store_log_commit(s), 0);
            committed = now;
        }
        EQ(store_turn(s), 0);
        if (prng_below(&p, 20) == 0) {
            prng_below(&p, 5) ? store_abandon(s) : store_close(s);
            s = place_open(&o);
            check_committed(s);
            now = committed;
        }
    }
    store_close(s);
}

int main(void)
{
    place_make();
    TAP_RUN(test_append_commit_reopen);
    TAP_RUN(test_truncate_and_append_others);
    TAP_RUN(test_vote_is_durable_with_its_commit);
    TAP_RUN(test_trimming_follows_the_state);
    TAP_RUN(test_trimming_keeps_up_with_big_commits);
    TAP_RUN(test_kill_keeps_what_was_committed);
    TAP_RUN(test_any_run_of_changes);
    place_remove();
    return tap_done();
}
