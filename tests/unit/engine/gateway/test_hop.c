/* SPDX-License-Identifier: MIT */
/* Does a call reach the shard and come back, when the shard answers, is slow, is full, goes away
 * and comes back; and does every deadline hold without a timer in the client? */
#include "house.h"

enum { MANY = 1000, SUBJECTS = 100 };

static void test_answers_of_the_shard(void)
{
    struct peer p;
    struct ask a;
    EQ(peer_open(&p, port), 0);
    get_pool(&p, &a, "ok");
    peer_wait(&p, &a);
    EQ(a.status, 0);
    EQ(a.messages, 1);
    OK(a.len == 7 && memcmp(a.message, "pong:ok", 7) == 0);
    get_pool(&p, &a, "unknown-1");
    peer_wait(&p, &a);
    EQ(a.status, 5);
    EQ(a.messages, 0);
    OK(ask_names(&a, "POOL_UNKNOWN"));
    OK(ask_names(&a, "unknown-1"));
    OK(ask_names(&a, "fairslot"));
    get_pool(&p, &a, "omit");
    peer_wait(&p, &a);
    EQ(a.status, 13);
    atomic_store(&shard.garbage, 1); /* sent again, by itself */
    get_pool(&p, &a, "ok");
    peer_wait(&p, &a);
    EQ(a.status, 0);
    peer_close(&p);
}

/* Order, not speed: a busy machine delays both. */
static bool ended_before(const struct ask *a, const struct ask *b)
{
    return a->start_us + a->took_us <= b->start_us + b->took_us;
}

static void test_deadlines(void)
{
    struct peer p;
    struct ask sent, queued, ours_sent, ours_queued;
    EQ(peer_open(&p, port), 0);
    /* At the shard: a credit of 1 in the reply to the first, so that the next ones queue. */
    atomic_store(&shard.credit, 1);
    get_pool(&p, &sent, "ok");
    peer_wait(&p, &sent);
    EQ(sent.status, 0);
    get_pool(&p, &ours_sent, "mute-ours");
    peer_write(&p);
    OK(wait_kept(1));
    peer_ask_within(&p, &queued, alice, 150, pool_request("ok"));
    get_pool(&p, &ours_queued, "ok");
    peer_wait(&p, &queued);
    EQ(queued.status, 4);
    OK(ask_names(&queued, "DEADLINE_EXCEEDED"));
    OK(queued.took_us >= 150000);
    peer_wait(&p, &ours_sent);
    OK(ended_before(&queued, &ours_sent)); /* by its own deadline, not by the default one */
    EQ(ours_sent.status, 14);
    OK(ask_names(&ours_sent, "NO_LEADER"));
    OK(ours_sent.took_us >= DEADLINE_DEFAULT_MS * 1000);
    peer_wait(&p, &ours_queued);
    EQ(ours_queued.status, 14);
    OK(ask_names(&ours_queued, "STILL_QUEUED"));
    OK(ask_names(&ours_queued, "RetryInfo"));
    shard_release(&shard); /* late answers meet nobody */
    atomic_store(&shard.credit, 64);
    get_pool(&p, &sent, "ok");
    peer_wait(&p, &sent);
    EQ(sent.status, 0);
    get_pool(&p, &ours_sent, "mute-ours"); /* runs out after the default time */
    peer_ask_within(&p, &sent, alice, 150, pool_request("mute"));
    peer_wait(&p, &sent);
    EQ(sent.status, 4);
    OK(sent.took_us >= 150000);
    peer_wait(&p, &ours_sent);
    OK(ended_before(&sent, &ours_sent));
    EQ(ours_sent.status, 14);
    shard_release(&shard);
    get_pool(&p, &sent, "ok");
    peer_wait(&p, &sent);
    EQ(sent.status, 0);
    peer_close(&p);
}

static void test_cancel(void)
{
    struct peer p;
    struct ask sent, queued, after;
    EQ(peer_open(&p, port), 0);
    atomic_store(&shard.credit, 1);
    get_pool(&p, &after, "ok");
    peer_wait(&p, &after);
    get_pool(&p, &sent, "mute");
    peer_write(&p);
    OK(wait_kept(1));
    get_pool(&p, &queued, "never");
    peer_step(&p, 50);
    unsigned items = atomic_load(&shard.items);
    wire_request_cancel(sent.request);
    wire_request_cancel(queued.request);
    peer_wait(&p, &sent);
    peer_wait(&p, &queued);
    EQ(sent.status, 1);
    EQ(queued.status, 1);
    peer_step(&p, 50);
    atomic_store(&shard.credit, 64);
    shard_release(&shard);
    get_pool(&p, &after, "ok");
    peer_wait(&p, &after);
    EQ(after.status, 0);
    EQ(atomic_load(&shard.items) - items, 1); /* the queued one never left */
    /* The connection goes while a call is at the shard. */
    get_pool(&p, &sent, "mute");
    peer_write(&p);
    OK(wait_kept(1));
    peer_close(&p);
    usleep(50000);
    shard_release(&shard);
    EQ(peer_open(&p, port), 0);
    get_pool(&p, &after, "ok");
    peer_wait(&p, &after);
    EQ(after.status, 0);
    peer_close(&p);
}

static void test_queue_full(void)
{
    struct peer p;
    static struct ask a[WAITING_PER_IDENTITY + 8];
    struct ask first, other;
    char *bob = mint_token("bob", NULL, 600);
    EQ(peer_open(&p, port), 0);
    atomic_store(&shard.credit, 1);
    get_pool(&p, &first, "ok");
    peer_wait(&p, &first);
    get_pool(&p, &first, "mute");
    peer_write(&p);
    OK(wait_kept(1));
    size_t count = sizeof a / sizeof *a;
    for (size_t i = 0; i < count; i++) {
        get_pool(&p, &a[i], "ok");
    }
    peer_wait(&p, &a[count - 1]);
    size_t full = 0;
    for (size_t i = 0; i < count; i++) {
        full += a[i].status == 8 && ask_names(&a[i], "QUEUE_FULL") && ask_names(&a[i], "RetryInfo");
    }
    EQ(full, 8);
    peer_ask(&p, &other, GET_POOL, bob, pool_request("ok")); /* not bob's fault */
    atomic_store(&shard.credit, 64);
    shard_release(&shard);
    peer_wait(&p, &other);
    EQ(other.status, 0);
    for (size_t i = 0; i < count; i++) {
        peer_wait(&p, &a[i]);
        OK(a[i].status == 0 || a[i].status == 8);
    }
    free(bob);
    peer_close(&p);
}

static void test_thousand_at_once(void)
{
    static struct ask a[MANY];
    static char *bearer[SUBJECTS];
    struct peer p;
    EQ(peer_open(&p, port), 0);
    for (int i = 0; i < SUBJECTS; i++) {
        char name[16];
        snprintf(name, sizeof name, "s-%d", i);
        bearer[i] = mint_token(name, NULL, 600);
    }
    peer_ask(&p, &a[0], CHECK_UP, NULL, no_bytes()); /* SETTINGS come with the answer */
    peer_wait(&p, &a[0]);
    OK(wire_client_room(p.wire) >= MANY);
    for (int i = 0; i < MANY; i++) {
        peer_ask(&p, &a[i], GET_POOL, bearer[i % SUBJECTS], pool_request("ok"));
    }
    int good = 0;
    for (int i = 0; i < MANY; i++) {
        peer_wait(&p, &a[i]);
        good += a[i].status == 0 && a[i].messages == 1;
        if (a[i].status) {
            printf("# %d: status %d %s\n", i, a[i].status, a[i].text);
        }
    }
    EQ(good, MANY);
    OK(atomic_load(&shard.items_of_one) <= 64); /* the credit was kept */
    for (int i = 0; i < SUBJECTS; i++) {
        free(bearer[i]);
    }
    peer_close(&p);
}

/* One reply is lost while the others come: its call is sent again, long before its deadline, and
 * nobody waits for it; not even who calls alone behind a crowd, when a further batch is usually not
 * worth its price.  A machine that stands still for 3 s makes it look as if none came: so, of a few
 * tries. */
static void test_one_reply_is_lost(void)
{
    struct peer p;
    struct ask lost, other;
    int tries = 0, answered;
    EQ(peer_open(&p, port), 0);
    do {
        answered = 0;
        atomic_store(&shard.is_mute, true);
        peer_ask_within(&p, &lost, alice, PATIENCE_MS, pool_request("ok"));
        peer_write(&p);
        OK(wait_kept(1));
        atomic_store(&shard.is_mute, false);
        while (lost.status < 0) {
            peer_ask_within(&p, &other, alice, PATIENCE_MS, pool_request("ok"));
            peer_wait(&p, &other);
            answered += lost.status < 0 && other.status == 0;
            peer_step(&p, 20);
        }
        shard_release(&shard); /* what comes late meets nobody */
        OK(lost.status == 0 || (lost.status == 14 && ask_names(&lost, "NO_LEADER")));
    } while ((lost.status || answered == 0) && ++tries < 5);
    EQ(lost.status, 0);
    OK(answered > 0);
    EQ(lost.messages, 1);
    peer_close(&p);
}

/* Until the shard keeps the call, or it is answered. */
static void until_kept(struct peer *p, const struct ask *a)
{
    while (a->status < 0 && shard_kept(&shard) == 0) {
        peer_step(p, 10);
    }
}

/* The call is sent again by the gateway and the client sees nothing, if the shard is back before
 * the gateway gives it up.  How fast it comes back is for the machine to say, so: once, of many;
 * whoever asks while it is still away from the last time is refused and asks a little later. */
static void test_shard_back_at_once(void)
{
    struct peer p;
    struct ask a;
    int tries = 0;
    bool was_sent_again = false;
    EQ(peer_open(&p, port), 0);
    do {
        get_pool(&p, &a, "mute-then-gone");
        until_kept(&p, &a);
        bool was_kept = shard_kept(&shard) > 0;
        if (was_kept) {
            shard_close(&shard);
            shard_open(&shard, SHARD_URL);
            until_kept(&p, &a);
        }
        shard_release(&shard);
        peer_wait(&p, &a);
        OK(a.status == 0 || (a.status == 14 && ask_names(&a, "NO_LEADER")));
        was_sent_again = was_kept && a.status == 0;
        peer_step(&p, a.status ? 50 : 0);
    } while (!was_sent_again && ++tries < 100);
    OK(was_sent_again);
    peer_close(&p);
}

/* Refused with a time to come back; soon, which is to say not at the deadline. */
static void test_shard_gone_and_back(void)
{
    struct peer p;
    struct ask at_shard, waiting, after;
    EQ(peer_open(&p, port), 0);
    get_pool(&p, &at_shard, "mute");
    peer_write(&p);
    OK(wait_kept(1));
    shard_close(&shard);
    get_pool(&p, &waiting, "ok");
    peer_wait(&p, &waiting);
    peer_wait(&p, &at_shard);
    EQ(waiting.status, 14);
    EQ(at_shard.status, 14);
    OK(waiting.took_us < DEADLINE_DEFAULT_MS * 1000);
    OK(ask_names(&waiting, "NO_LEADER") && ask_names(&waiting, "RetryInfo"));
    OK(ask_names(&at_shard, "NO_LEADER"));
    peer_ask(&p, &after, CHECK_UP, NULL, no_bytes());
    peer_wait(&p, &after);
    EQ(after.status, 0);
    int64_t best = INT64_MAX;
    for (int i = 0; i < 20; i++) {
        get_pool(&p, &after, "ok");
        peer_wait(&p, &after);
        EQ(after.status, 14);
        best = after.took_us < best ? after.took_us : best;
    }
    OK(best < 200000); /* known to be away: at once, not after another 200 ms of waiting for it */
    shard_open(&shard, SHARD_URL);
    int64_t end = clock_mono_us() + PATIENCE_MS * INT64_C(1000);
    while (after.status && clock_mono_us() < end) {
        usleep(50000);
        get_pool(&p, &after, "ok");
        peer_wait(&p, &after);
    }
    EQ(after.status, 0);
    peer_close(&p);
}

static void test_lonely_latency(void)
{
    struct peer p;
    struct ask a;
    int64_t best = INT64_MAX;
    EQ(peer_open(&p, port), 0);
    for (int i = 0; i < 200; i++) {
        get_pool(&p, &a, "ok");
        peer_wait(&p, &a);
        EQ(a.status, 0);
        best = a.took_us < best ? a.took_us : best;
    }
    printf("# best of 200 lonely calls through gateway and rpc: %lld us\n", (long long)best);
    OK(best < 5000); /* any waiting for company would show */
    peer_close(&p);
}

static void house_end(void)
{
    kill(getpid(), SIGTERM);
    pthread_join(gateway_thread, NULL);
    EQ(gateway_result, 0);
}

/* A gateway that is there before its shard holds the first calls, for longer than it holds any
 * later: both are being started. */
static void test_shard_that_comes_later(void)
{
    struct peer p;
    struct ask a;
    shard_close(&shard);
    house_open();
    EQ(peer_open(&p, port), 0);
    get_pool(&p, &a, "ok");
    for (int i = 0; i < 8; i++) {
        peer_step(&p, 100); /* 800 ms, if nothing comes */
    }
    EQ(a.status, -1);
    shard_open(&shard, SHARD_URL);
    peer_wait(&p, &a);
    EQ(a.status, 0);
    peer_close(&p);
    house_end();
}

int main(void)
{
    house_start();
    TAP_RUN(test_answers_of_the_shard);
    TAP_RUN(test_deadlines);
    TAP_RUN(test_cancel);
    TAP_RUN(test_queue_full);
    TAP_RUN(test_thousand_at_once);
    TAP_RUN(test_one_reply_is_lost); /* behind the crowd */
    TAP_RUN(test_shard_back_at_once);
    TAP_RUN(test_shard_gone_and_back);
    TAP_RUN(test_lonely_latency);
    house_end();
    TAP_RUN(test_shard_that_comes_later);
    house_stop();
    return tap_done();
}
