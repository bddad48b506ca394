/* SPDX-License-Identifier: MIT */
/* Does a gateway find the replica that leads: by a hint, without one, when the leader dies, stands
 * still or hands over; is nobody asked in a circle; and what is a caller told when nobody leads? */
#include "house.h"

#define URL_A "tcp://127.0.0.1:28311"
#define URL_B "tcp://127.0.0.1:28312"
#define URL_C "tcp://127.0.0.1:28313"
#define URL_D "tcp://127.0.0.1:28314" /* not configured: only named */

static struct fake_shard a, b, c, d;
static struct fake_shard *const all[] = {&a, &b, &c, &d};
static const char *const urls[] = {URL_A, URL_B, URL_C, URL_D};

/* That one leads, and the others know it or not. */
static void lead(const struct fake_shard *leader, bool is_known)
{
    for (size_t i = 0; i < 4; i++) {
        const char *url = NULL;
        for (size_t k = 0; k < 4; k++) {
            url = all[k] == leader && is_known ? urls[k] : url;
        }
        atomic_store(&all[i]->leader, url);
        atomic_store(&all[i]->follows, all[i] != leader);
    }
}

static unsigned batches(void)
{
    unsigned sum = 0;
    for (size_t i = 0; i < 4; i++) {
        sum += atomic_load(&all[i]->batches);
    }
    return sum;
}

static struct ask asked(struct peer *p, const char *pool)
{
    struct ask answer;
    get_pool(p, &answer, pool);
    peer_wait(p, &answer);
    return answer;
}

static void test_by_hint(void)
{
    struct peer p;
    EQ(peer_open(&p, port), 0);
    lead(&c, true);
    EQ(asked(&p, "ok").status, 0);
    OK(atomic_load(&c.items) > 0);
    unsigned before = batches();
    for (int i = 0; i < 20; i++) {
        EQ(asked(&p, "ok").status, 0);
    }
    EQ(batches() - before, 20); /* it is remembered: nobody else is asked */
    lead(&b, true); /* handed over */
    EQ(asked(&p, "ok").status, 0);
    lead(&d, true); /* somebody who was not configured */
    EQ(asked(&p, "ok").status, 0);
    OK(atomic_load(&d.items) > 0);
    peer_close(&p);
}

static void test_without_a_hint(void)
{
    struct peer p;
    EQ(peer_open(&p, port), 0);
    for (int i = 0; i < 3; i++) {
        lead(all[i], false);
        EQ(asked(&p, "ok").status, 0);
    }
    peer_close(&p);
}

/* Two replicas that each take the other for the leader must not be asked as fast as they answer. */
static void test_no_circle(void)
{
    struct peer p;
    struct ask answer;
    EQ(peer_open(&p, port), 0);
    lead(NULL, false);
    atomic_store(&a.leader, URL_B);
    atomic_store(&b.leader, URL_A);
    atomic_store(&c.leader, URL_A);
    unsigned before = batches();
    get_pool(&p, &answer, "ok");
    peer_step(&p, 400);
    OK(batches() - before < 60);
    lead(&b, true); /* the election ended: the very same call is answered */
    peer_wait(&p, &answer);
    EQ(answer.status, 0);
    peer_close(&p);
}

static void test_nobody_leads(void)
{
    struct peer p;
    struct ask first, read;
    EQ(peer_open(&p, port), 0);
    lead(NULL, false);
    first = asked(&p, "ok");
    EQ(first.status, 14);
    OK(ask_names(&first, "NO_LEADER") && ask_names(&first, "RetryInfo"));
    for (int i = 0; i < 50 && first.took_us >= DEADLINE_DEFAULT_MS * 1000; i++) {
        first = asked(&p, "ok"); /* known for 2 s by then: told at once */
    }
    OK(first.took_us < DEADLINE_DEFAULT_MS * 1000);
    EQ(first.status, 14);
    read = asked(&p, "read-1"); /* what any replica may answer is answered */
    EQ(read.status, 0);
    lead(&a, true);
    EQ(asked(&p, "ok").status, 0);
    peer_close(&p);
}

static void test_leader_dies(void)
{
    struct peer p;
    struct ask answer;
    EQ(peer_open(&p, port), 0);
    lead(&a, true);
    EQ(asked(&p, "ok").status, 0);
    atomic_store(&a.is_mute, true);
    get_pool(&p, &answer, "ok"); /* it has this one, and nobody knows what it made of it */
    peer_write(&p);
    for (int i = 0; i < 300 && shard_kept(&a) == 0; i++) {
        usleep(10000);
    }
    OK(shard_kept(&a) > 0);
    lead(&b, true);
    shard_close(&a);
    peer_wait(&p, &answer); /* asked again by request id, of the next leader */
    EQ(answer.status, 0);
    atomic_store(&a.is_mute, false);
    shard_open(&a, URL_A);
    EQ(asked(&p, "ok").status, 0);
    peer_close(&p);
}

/* Stopped, or cut off: its connection stands, and nothing comes. */
static void test_leader_stands_still(void)
{
    struct peer p;
    struct ask answer;
    EQ(peer_open(&p, port), 0);
    lead(&b, true);
    EQ(asked(&p, "ok").status, 0);
    lead(&c, true);
    atomic_store(&b.is_mute, true);
    get_pool(&p, &answer, "ok");
    peer_wait(&p, &answer);
    EQ(answer.status, 0);
    OK(atomic_load(&c.items) > 0);
    /* It wakes up: what it still answers meets nobody. */
    atomic_store(&b.is_mute, false);
    shard_release(&b);
    EQ(asked(&p, "ok").status, 0);
    peer_close(&p);
}

/* A leader whose disk is slow is no reason to go: the others say that it leads. */
static void test_slow_leader_keeps_its_calls(void)
{
    struct peer p;
    struct ask answer;
    EQ(peer_open(&p, port), 0);
    lead(&c, true);
    EQ(asked(&p, "ok").status, 0);
    unsigned items = atomic_load(&c.items);
    atomic_store(&c.is_mute, true);
    get_pool(&p, &answer, "ok");
    peer_step(&p, 1000);
    atomic_store(&c.is_mute, false);
    shard_release(&c);
    peer_wait(&p, &answer);
    EQ(answer.status, 0);
    EQ(atomic_load(&c.items) - items, 1); /* it was asked once */
    peer_close(&p);
}

int main(void)
{
    for (size_t i = 0; i < 4; i++) {
        shard_init(all[i], urls[i]);
    }
    house_shards = URL_A " " URL_B " " URL_C;
    house_start();
    TAP_RUN(test_by_hint);
    TAP_RUN(test_without_a_hint);
    TAP_RUN(test_no_circle);
    TAP_RUN(test_nobody_leads);
    TAP_RUN(test_leader_dies);
    TAP_RUN(test_leader_stands_still);
    TAP_RUN(test_slow_leader_keeps_its_calls);
    kill(getpid(), SIGTERM);
    pthread_join(gateway_thread, NULL);
    CHECK(gateway_result == 0);
    house_stop();
    for (size_t i = 0; i < 4; i++) {
        shard_close(all[i]);
    }
    return tap_done();
}
