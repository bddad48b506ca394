/* SPDX-License-Identifier: MIT */
/* Goal: a shard that takes nothing holds everybody, and lets them go in exact turns; a slower shard
 * gets less at once within a second; and whoever chose the gateway where few wait gains nothing.
 * Real gateways over real nng; the shard's speed is the test's, its credits are shards/node's. */
#include "gateway/gateway.h"

#include <signal.h>

#include "base/limits.h"
#include "base/metrics.h"
#include "mint.h"
#include "peer.h"
#include "slowshard.h"
#include "tests/lib/tap.h"

#define URL "inproc://test-credits"

enum { PEOPLE = 1200, HONEST = 100, HEAVY = 100, GATEWAYS = 2, PEERS = 4, CALLERS = 4000 };

static char jwks[] = "/tmp/fairslot-jwks-XXXXXX";
static char *bearers[PEOPLE];
static struct slow_shard shard;

/* -- gateways ---------------------------------------------------------------------------------- */

struct house {
    pthread_t thread;
    int loops;
    atomic_int port;
    int result;
};
static struct house houses[GATEWAYS];

static void on_ready(void *user, int port, int admin_port)
{
    atomic_store(&((struct house *)user)->port, port);
}

static void *run(void *arg)
{
    static const uint8_t key[32] = "0123456789abcdef0123456789abcde";
    struct house *h = arg;
    char text[512];
    struct gateway_options options = {
        .listen_host = "127.0.0.1", .shard_url = URL, .jwks_path = jwks, .issuer = MINT_ISSUER,
        .audience = MINT_AUDIENCE, .tenant_key = key, .loops = h->loops, .drain_ms = 2000,
        .deadline_ms = 60000, .ready = on_ready, .user = h,
    };
    h->result = gateway_run(&options, text);
    return NULL;
}

static void houses_open(int count, int loops)
{
    for (int i = 0; i < count; i++) {
        houses[i] = (struct house){.loops = loops};
        CHECK(pthread_create(&houses[i].thread, NULL, run, &houses[i]) == 0);
        while (atomic_load(&houses[i].port) == 0) {
            usleep(1000);
        }
    }
}

static void houses_close(int count)
{
    kill(getpid(), SIGTERM);
    for (int i = 0; i < count; i++) {
        pthread_join(houses[i].thread, NULL);
        EQ(houses[i].result, 0);
    }
}

/* -- people at one gateway --------------------------------------------------------------------- */

struct crowd;
struct caller {
    struct crowd *crowd;
    struct peer *peer;
    const char *bearer;
};
struct crowd {
    struct peer peers[PEERS];
    struct caller callers[CALLERS];
    size_t callers_count;
    size_t done_count;
    size_t failed_count;
    size_t busy_count;
    bool asks_again;
};
static struct crowd crowds[GATEWAYS];

static void crowd_ask(struct caller *c)
{
    static const uint8_t pool[] = {10, 8, 'p', 'o', 'o', 'l', 's', '/', 'o', 'k'};
    struct wire_request *request;
    int r = wire_client_call(c->peer->wire, "/fairslot.v1.CatalogService/GetPool",
                             span_of(c->bearer), -1, (struct span){pool, sizeof pool}, c, &request);
    c->crowd->failed_count += r != 0;
    c->crowd->busy_count += r == 0;
}

static void crowd_message(void *user, struct wire_request *request, struct span message)
{
}

static void crowd_finish(void *user, struct wire_request *request, int status, struct span text,
                         struct span details)
{
    struct caller *c = wire_request_user(request);
    c->crowd->busy_count--;
    c->crowd->done_count += status == 0;
    c->crowd->failed_count += status != 0;
    if (c->crowd->asks_again && status == 0) {
        crowd_ask(c);
    }
}

static const struct wire_client_ops crowd_ops = {crowd_message, crowd_finish};

static void crowd_open(struct crowd *crowd, int port)
{
    memset(crowd, 0, sizeof *crowd);
    for (int i = 0; i < PEERS; i++) {
        crowd->peers[i] = (struct peer){.fd = peer_socket(port)};
        CHECK(crowd->peers[i].fd >= 0);
        CHECK(wire_client_new(&crowd_ops, &crowd->peers[i], &crowd->peers[i].wire) == 0);
        peer_step(&crowd->peers[i], 200); /* its SETTINGS: how many calls may be open */
        peer_step(&crowd->peers[i], 20);
    }
}

static void crowd_add(struct crowd *crowd, int person, size_t calls)
{
    for (size_t i = 0; i < calls; i++) {
        struct caller *c = &crowd->callers[crowd->callers_count];
        struct peer *peer = &crowd->peers[crowd->callers_count++ % PEERS];
        *c = (struct caller){.crowd = crowd, .peer = peer, .bearer = bearers[person]};
        crowd_ask(c);
    }
}

static void crowd_step(struct crowd *crowd)
{
    for (int i = 0; i < PEERS; i++) {
        peer_step(&crowd->peers[i], 0);
    }
}

static void crowds_run(int count, int ms)
{
    int64_t end = clock_mono_us() + (int64_t)ms * 1000;
    while (clock_mono_us() < end) {
        for (int i = 0; i < count; i++) {
            crowd_step(&crowds[i]);
        }
        usleep(200);
    }
}

/* Until nobody waits for an answer. */
static void crowd_rest(struct crowd *crowd)
{
    int64_t end = clock_mono_us() + 60 * SECOND_US;
    crowd->asks_again = false;
    while (crowd->busy_count > 0 && clock_mono_us() < end) {
        crowd_step(crowd);
        usleep(200);
    }
    EQ(crowd->busy_count, 0);
    EQ(crowd->failed_count, 0);
}

static void crowd_close(struct crowd *crowd)
{
    for (int i = 0; i < PEERS; i++) {
        peer_close(&crowd->peers[i]);
    }
}

/* -- exact turns ------------------------------------------------------------------------------- */

/* Served from `first` on: at every moment two people who still wait were served equally often, but
 * for one. */
static void check_turns(size_t first, size_t end)
{
    static struct identity who[PEOPLE];
    static size_t total[PEOPLE], served[PEOPLE];
    static int number[SLOW_SERVED];
    size_t people = 0;
    memset(total, 0, sizeof total);
    memset(served, 0, sizeof served);
    for (size_t i = first; i < end; i++) {
        size_t p = 0;
        while (p < people && memcmp(&who[p], &shard.served[i], sizeof who[p]) != 0) {
            p++;
        }
        who[p] = shard.served[i];
        people = p == people ? people + 1 : people;
        number[i] = (int)p;
        total[p]++;
    }
    OK(people > 1000);
    for (size_t i = first; i < end && !tap_broken; i++) {
        served[number[i]]++;
        size_t most = 0, least = SIZE_MAX;
        for (size_t p = 0; p < people; p++) {
            bool still_waits = served[p] < total[p];
            most = served[p] > most && still_waits ? served[p] : most;
            least = served[p] < least && still_waits ? served[p] : least;
        }
        OK(least == SIZE_MAX || most <= least + 1);
    }
}

static void hold_and_release(int loops)
{
    struct crowd *crowd = &crowds[0];
    slow_open(&shard, URL, 0, 64);
    houses_open(1, loops);
    crowd_open(crowd, atomic_load(&houses[0].port));
    for (int i = 0; i < PEOPLE; i++) { /* their tokens are known afterwards */
        crowd_add(crowd, i, 1);
        if (i % 200 == 199) {
            crowd_rest(crowd);
        }
    }
    crowd_rest(crowd);
    atomic_store(&shard.credit_fixed, 0);
    crowd_add(crowd, 0, 1);
    crowd_rest(crowd); /* the gateway knows now: no credit */
    atomic_store(&shard.is_paused, true);
    size_t before = atomic_load(&shard.served_count), all = 0;
    crowd_add(crowd, 0, HEAVY);
    crowd_add(crowd, 1, HEAVY);
    crowds_run(1, 100);
    for (int i = 0; i < PEOPLE; i++) {
        crowd_add(crowd, i, i < 10 ? 3 : 2);
    }
    all = crowd->busy_count;
    crowds_run(1, 500);
    EQ(crowd->busy_count, all); /* nobody is answered, nobody is refused */
    pthread_mutex_lock(&shard.mutex);
    EQ(shard.count, 1); /* zero credit still allows one batch */
    pthread_mutex_unlock(&shard.mutex);
    atomic_store(&shard.is_paused, false);
    crowd_rest(crowd);
    size_t end = atomic_load(&shard.served_count);
    EQ(end - before, all);
    check_turns(before + 64, end); /* without the batch that left before the people came */
    crowd_close(crowd);
    houses_close(1);
    slow_close(&shard);
}

static void test_held_at_zero_credit(void)
{
    hold_and_release(1);
}

static void test_held_at_zero_credit_with_three_loops(void)
{
    hold_and_release(3);
}

/* -- a flood ----------------------------------------------------------------------------------- */

static struct identity honest[HONEST];

/* Until so many calls stand in the queue. */
static void crowds_queued(size_t calls)
{
    int64_t end = clock_mono_us() + 60 * SECOND_US;
    while (metrics_sum(METRICS_AT_queue_calls) < (int64_t)calls && clock_mono_us() < end) {
        crowds_run(2, 10);
    }
    OK(metrics_sum(METRICS_AT_queue_calls) >= (int64_t)calls);
}

/* How many were served until the last of the honest had been, from where `first` is. */
static size_t last_turn(size_t first, size_t end)
{
    size_t last = 0;
    for (size_t i = first; i < end; i++) {
        for (size_t p = 0; p < HONEST; p++) {
            bool is_his = memcmp(&honest[p], &shard.served[i], sizeof honest[p]) == 0;
            last = is_his ? i - first + 1 : last;
        }
    }
    return last;
}

/* A hundred people ask behind a flood of so many calls of each of so many identities: what the last
 * of them waits for, in calls that the shard serves.  The first of the flood leave before. */
static size_t wait_behind(int flooders, size_t calls)
{
    slow_open(&shard, URL, 0, 64);
    houses_open(1, 1);
    crowd_open(&crowds[0], atomic_load(&houses[0].port));
    crowd_open(&crowds[1], atomic_load(&houses[0].port));
    for (int i = 0; i < HONEST; i++) {
        crowd_add(&crowds[0], i, 1);
    }
    crowd_rest(&crowds[0]);
    memcpy(honest, shard.served, sizeof honest);
    for (int i = 0; i < flooders; i++) { /* their tokens are known afterwards */
        crowd_add(&crowds[1], HONEST + i, 1);
        if (i % 200 == 199) {
            crowd_rest(&crowds[1]);
        }
    }
    crowd_rest(&crowds[1]);
    atomic_store(&shard.credit_fixed, 0);
    crowd_add(&crowds[0], 0, 1);
    crowd_rest(&crowds[0]); /* the gateway knows now: no credit */
    atomic_store(&shard.is_paused, true);
    size_t before = atomic_load(&shard.served_count), flood = (size_t)flooders * calls;
    for (int i = 0; i < flooders; i++) {
        crowd_add(&crowds[1], HONEST + i, calls);
    }
    crowds_queued(flood > 64 ? flood - 64 : 0);
    for (int i = 0; i < HONEST; i++) {
        crowd_add(&crowds[0], i, 1);
    }
    crowds_queued(flood + HONEST - 64);
    atomic_store(&shard.is_paused, false);
    crowd_rest(&crowds[0]);
    crowd_rest(&crowds[1]);
    size_t wait = last_turn(before, atomic_load(&shard.served_count));
    crowd_close(&crowds[0]);
    crowd_close(&crowds[1]);
    houses_close(1);
    slow_close(&shard);
    return wait;
}

/* What figure flood shows in time, in turns: whatever the machine's speed is. */
static void test_a_flooder_has_one_turn(void)
{
    size_t quiet = wait_behind(0, 0), one = wait_behind(1, WAITING_PER_IDENTITY);
    size_t many = wait_behind(PEOPLE - HONEST, 1);
    printf("# the last of %d people was served as number %zu, behind a flooder %zu, behind a flood "
           "of %d identities %zu\n", HONEST, quiet, one, PEOPLE - HONEST, many);
    EQ(quiet, HONEST);
    OK(one <= 2 * quiet);
    OK(many > 2 * quiet); /* so the check can fail */
}

/* -- the shard's speed ------------------------------------------------------------------------- */

static uint32_t credit_mean(int ms)
{
    uint64_t sum = 0, count = 0;
    int64_t end = clock_mono_us() + (int64_t)ms * 1000, delay_us;
    while (clock_mono_us() < end) {
        crowds_run(1, 10);
        sum += slow_look(&shard, &delay_us);
        count++;
    }
    return (uint32_t)(sum / count);
}

static void test_credits_follow_the_speed(void)
{
    int64_t delay_us;
    slow_open(&shard, URL, 200, -1);
    houses_open(1, 1);
    crowd_open(&crowds[0], atomic_load(&houses[0].port));
    crowds[0].asks_again = true;
    for (int i = 0; i < 1000; i++) {
        crowd_add(&crowds[0], i, 1);
    }
    crowds_run(1, 2000);
    uint32_t before = credit_mean(500);
    atomic_store(&shard.item_us, 400);
    int64_t changed = clock_mono_us();
    uint32_t now = before;
    /* Printed, not judged: on a busy machine the credit has come down before the shard does. */
    while (now > before * 4 / 5 && clock_mono_us() < changed + SECOND_US) {
        crowds_run(1, 10);
        now = slow_look(&shard, &delay_us);
    }
    printf("# credit %u, after %lld ms of half the speed %u\n", before,
           (long long)(clock_mono_us() - changed) / 1000, now);
    crowds_run(1, 1000);
    uint32_t slow = credit_mean(500);
    atomic_store(&shard.item_us, 20); /* and back, twenty times as fast */
    uint32_t fast = slow;
    for (int i = 0; i < 100 && fast * 2 < slow * 3; i++) {
        fast = credit_mean(100); /* growth is cautious, and the machine may be busy */
    }
    OK(fast * 2 >= slow * 3); /* multiplied: a credit of 1 that stays must not pass */
    atomic_store(&shard.item_us, 4000); /* slower than any crowd, sanitized or crowded out */
    now = fast;
    for (int i = 0; i < 200 && now > fast * 2 / 3; i++) {
        now = credit_mean(100);
    }
    printf("# slow %u, fast %u, at 4 ms a mutation %u\n", slow, fast, now);
    OK(now <= fast * 2 / 3);
    atomic_store(&shard.item_us, 20);
    crowd_rest(&crowds[0]);
    crowd_close(&crowds[0]);
    houses_close(1);
    slow_close(&shard);
}

/* One person with a hundred calls at one gateway, 999 with one call at the other. */
static void test_shares_follow_people(void)
{
    slow_open(&shard, URL, 200, -1);
    houses_open(2, 1);
    for (int i = 0; i < 2; i++) {
        crowd_open(&crowds[i], atomic_load(&houses[i].port));
        crowds[i].asks_again = true;
    }
    crowd_add(&crowds[0], 0, HEAVY);
    for (int i = 1; i < 1000; i++) {
        crowd_add(&crowds[1], i, 1);
    }
    crowds_run(2, 2000);
    bool is_shared = false;
    /* Rounds that a busy machine holds up push the credit to its floor, which is one gateway's as
     * much as the other's: such seconds say nothing.  A share by gateways would be a thousand times
     * off in each window. */
    for (int window = 0; window < 6 && !is_shared; window++) {
        size_t one = crowds[0].done_count, many = crowds[1].done_count;
        crowds_run(2, 6000);
        one = crowds[0].done_count - one;
        many = crowds[1].done_count - many;
        printf("# in 6 s: one person %zu, 999 people %zu, each %.1f\n", one, many,
               (double)many / 999);
        is_shared = many > 999 && one * 999 <= 2 * many && one * 999 * 2 >= many;
    }
    OK(is_shared);
    crowd_rest(&crowds[1]);
    crowd_rest(&crowds[0]);
    crowd_close(&crowds[0]);
    crowd_close(&crowds[1]);
    houses_close(2);
    slow_close(&shard);
}

int main(void)
{
    int fd = mkstemp(jwks);
    CHECK(fd >= 0 && mint_init(jwks) == 0);
    close(fd);
    for (int i = 0; i < PEOPLE; i++) {
        char name[16];
        snprintf(name, sizeof name, "p-%d", i);
        bearers[i] = mint_token(name, NULL, 3600);
        CHECK(bearers[i] != NULL);
    }
    TAP_RUN(test_held_at_zero_credit);
    TAP_RUN(test_held_at_zero_credit_with_three_loops);
    TAP_RUN(test_a_flooder_has_one_turn);
    TAP_RUN(test_credits_follow_the_speed);
    TAP_RUN(test_shares_follow_people);
    for (int i = 0; i < PEOPLE; i++) {
        free(bearers[i]);
    }
    unlink(jwks);
    mint_fini();
    return tap_done();
}
