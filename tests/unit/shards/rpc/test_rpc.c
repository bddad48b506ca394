/* SPDX-License-Identifier: MIT */
/* Does rpc keep its contract?  Each claim over inproc and over tcp: every batch is answered with
 * its own answer, a peer may come late or go in the middle, a closed end leaves nothing behind. */
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <semaphore.h>

#include "rpc/inside.h"
#include "tests/unit/shards/rpc/ends.h"

#define NNG_TICK_MS 2300 /* by then nng has looked twice whether to send again */

static void test_echo(void)
{
    struct shard s;
    struct gateway g;
    EQ(shard_open(&s, SHARD_ECHO, fresh_url()), 0);
    gateway_open(&g, s.url);
    OK(gateway_connected(&g));
    gateway_echo(&g, 20000, 64);
    gateway_echo(&g, 64, BATCH_BYTES_MAX);
    rpc_client_close(g.client);
    shard_close(&s);
}

static void test_answers_from_another_thread(void)
{
    struct shard s;
    struct gateway g;
    EQ(shard_open(&s, SHARD_THREAD, fresh_url()), 0);
    gateway_open(&g, s.url);
    OK(gateway_connected(&g));
    gateway_echo(&g, 20000, 200);
    rpc_client_close(g.client);
    shard_close(&s);
}

static void test_two_gateways(void)
{
    struct shard s;
    struct gateway a, b;
    EQ(shard_open(&s, SHARD_THREAD, fresh_url()), 0);
    gateway_open(&a, s.url);
    gateway_open(&b, s.url);
    OK(gateway_connected(&a));
    OK(gateway_connected(&b));
    for (int round = 0; round < 50; round++) {
        for (unsigned i = 0; i < CONTEXTS; i++) {
            EQ(gateway_send(&a, i, i * 2 + 1000, 100), 0);
            EQ(gateway_send(&b, i, i * 2 + 1001, 100), 0);
        }
        OK(gateway_wait_all(&a, 0xff));
        OK(gateway_wait_all(&b, 0xff));
    }
    EQ(a.wrong + b.wrong, 0);
    EQ(gateway_sum(a.done) + gateway_sum(b.done), 2 * 50 * CONTEXTS);
    EQ(gateway_sum(a.gone) + gateway_sum(b.gone), 0);
    rpc_client_close(b.client);
    EQ(gateway_send(&a, 0, 5, 100), 0); /* one leaving does not disturb the other */
    OK(gateway_wait_all(&a, 1));
    EQ(a.gone[0], 0);
    rpc_client_close(a.client);
    shard_close(&s);
}

/* A url on which nobody listens yet, but where a shard can be opened later.  Its port is none that
 * the kernel gives away, else some other program's connection may have it by then. */
static void later_url(char url[96])
{
    struct shard s;
    int r = RPC_E_ADDRESS;
    if (strcmp(transport, "inproc") == 0) {
        snprintf(url, 96, "%s", fresh_url());
        return;
    }
    for (int i = 0; i < 50 && r != 0; i++) {
        snprintf(url, 96, "tcp://127.0.0.1:%d", 12000 + (getpid() * 17 + i * 331) % 20000);
        r = shard_open(&s, SHARD_ECHO, url);
    }
    EQ(r, 0);
    shard_close(&s);
}

static void test_absent_then_there(void)
{
    char url[96];
    later_url(url);
    struct gateway g;
    gateway_open(&g, url);
    OK(!rpc_client_connected(g.client));
    int64_t best = INT64_MAX;
    for (unsigned round = 1; round <= 20; round++) {
        int64_t start = clock_mono_us();
        EQ(gateway_send(&g, 0, 1, 64), 0);
        EQ(gateway_wait(&g), 1);
        EQ(g.gone[0], round);
        int64_t took = clock_mono_us() - start;
        best = took < best ? took : best;
    }
    OK(best < 50000); /* at once, not after a timeout; but a busy machine may lay any one aside */
    struct shard s;
    EQ(shard_open(&s, SHARD_ECHO, url), 0);
    OK(gateway_connected(&g));
    EQ(gateway_send(&g, 0, 7, 64), 0);
    EQ(gateway_wait(&g), 1);
    EQ(g.gone[0], 20);
    EQ(g.wrong, 0);
    rpc_client_close(g.client);
    shard_close(&s);
}

/* A shard that takes one batch at a time, each for longer than a send is looked at again. */
static void slow_batch(void *user, struct rpc_batch *batch)
{
    (void)user;
    pause_ms(120);
    shard_answer(batch);
}

/* Slow is not gone: neither for contexts that had nobody before, nor when many wait at once. */
static void test_absent_then_slow(void)
{
    char url[96];
    struct rpc_server *server;
    struct gateway g;
    later_url(url);
    gateway_open(&g, url);
    for (unsigned i = 0; i < CONTEXTS; i++) {
        EQ(gateway_send(&g, i, 1, 64), 0);
    }
    OK(gateway_wait_all(&g, 0xff));
    EQ(gateway_sum(g.gone), CONTEXTS);
    EQ(rpc_server_open(url, 1, slow_batch, NULL, &server), 0);
    OK(gateway_connected(&g));
    for (unsigned i = 0; i < CONTEXTS; i++) {
        EQ(gateway_send(&g, i, i, 64), 0);
    }
    OK(gateway_wait_all(&g, 0xff));
    EQ(gateway_sum(g.gone), CONTEXTS);
    EQ(g.wrong, 0);
    rpc_client_close(g.client);
    rpc_server_close(server);
}

static void test_shard_closed_in_the_middle(void)
{
    char url[96];
    struct shard s;
    struct gateway g;
    EQ(shard_open(&s, SHARD_PARK, fresh_url()), 0);
    memcpy(url, s.url, sizeof url);
    gateway_open(&g, url);
    OK(gateway_connected(&g));
    for (unsigned i = 0; i < CONTEXTS; i++) {
        EQ(gateway_send(&g, i, i, 64), 0);
    }
    while (atomic_load(&s.received) < CONTEXTS) {
        pause_ms(1);
    }
    pause_ms(NNG_TICK_MS);
    EQ(atomic_load(&s.received), CONTEXTS);
    int64_t start = clock_mono_us();
    shard_close(&s); /* with every batch out: told by the loss, waiting has no limit of its own */
    OK(gateway_wait_all(&g, 0xff));
    OK(clock_mono_us() - start < WAIT_US / 2);
    EQ(gateway_sum(g.gone), CONTEXTS);
    EQ(gateway_send(&g, 0, 9, 64), 0); /* and what is sent now is gone, too */
    EQ(gateway_wait(&g), 1);
    EQ(g.gone[0], 2);
    EQ(shard_open(&s, SHARD_ECHO, url), 0);
    OK(gateway_connected(&g));
    unsigned gone = gateway_sum(g.gone);
    for (unsigned i = 0; i < CONTEXTS; i++) {
        EQ(gateway_send(&g, i, i, 64), 0);
    }
    OK(gateway_wait_all(&g, 0xff));
    EQ(gateway_sum(g.gone), gone);
    EQ(g.wrong, 0);
    rpc_client_close(g.client);
    shard_close(&s);
}

/* A shard that comes and goes under load: every send has exactly one callback. */
static void test_shard_comes_and_goes(void)
{
    char url[96];
    later_url(url);
    struct gateway g;
    gateway_open(&g, url);
    unsigned sends = 0, ready = 0xff;
    for (int round = 0; round < 6; round++) {
        struct shard s;
        EQ(shard_open(&s, round % 2 ? SHARD_PARK : SHARD_THREAD, url), 0);
        OK(gateway_connected(&g));
        int64_t until = clock_mono_us() + 60000;
        while (clock_mono_us() < until) {
            for (unsigned i = 0; i < CONTEXTS; i++) {
                if (ready & 1u << i) {
                    EQ(gateway_send(&g, i, ++sends, 128), 0);
                }
            }
            pthread_mutex_lock(&g.lock);
            ready = g.ready;
            g.ready = 0;
            pthread_mutex_unlock(&g.lock);
            if (ready == 0) {
                pause_ms(1);
            }
        }
        shard_close(&s);
        int64_t limit = clock_mono_us() + WAIT_US;
        while (ready != 0xff && clock_mono_us() < limit) {
            ready |= gateway_wait(&g);
        }
        EQ(ready, 0xff);
        EQ(gateway_sum(g.done), sends);
    }
    EQ(g.wrong, 0);
    rpc_client_close(g.client);
}

static void test_abort_and_busy(void)
{
    struct shard s;
    struct gateway g;
    EQ(shard_open(&s, SHARD_PARK, fresh_url()), 0);
    gateway_open(&g, s.url);
    OK(gateway_connected(&g));
    rpc_client_abort(g.client, 3); /* idle: nothing to give up */
    for (unsigned round = 1; round <= 20; round++) {
        EQ(gateway_send(&g, 3, round, 64), 0);
        EQ(rpc_client_send(g.client, 3, span_of("more")), RPC_E_BUSY);
        if (round % 2) {
            pause_ms(2); /* received by the shard, or still on its way */
        }
        rpc_client_abort(g.client, 3);
        EQ(gateway_wait(&g), 1u << 3);
        EQ(g.gone[3], round);
        EQ(g.done[3], round);
    }
    /* What the shard answers now belongs to nobody and reaches nobody. */
    pthread_mutex_lock(&s.lock);
    for (size_t i = 0; i < s.out_count; i++) {
        shard_answer(s.out[i]);
    }
    s.out_count = 0;
    s.way = SHARD_ECHO;
    pthread_mutex_unlock(&s.lock);
    pause_ms(20);
    EQ(g.done[3], 20);
    EQ(gateway_send(&g, 3, 77, 64), 0);
    EQ(gateway_wait(&g), 1u << 3);
    EQ(g.gone[3], 20);
    EQ(g.wrong, 0);
    rpc_client_close(g.client);
    shard_close(&s);
}

static void test_close_with_batches_out(void)
{
    for (int round = 0; round < 20; round++) {
        struct shard s;
        struct gateway g;
        EQ(shard_open(&s, round % 2 ? SHARD_PARK : SHARD_THREAD, fresh_url()), 0);
        gateway_open(&g, s.url);
        OK(gateway_connected(&g));
        for (unsigned i = 0; i < CONTEXTS; i++) {
            EQ(gateway_send(&g, i, i, 64), 0);
        }
        if (round % 3) {
            pause_ms(1);
        }
        if (round % 4 < 2) {
            rpc_client_close(g.client);
            EQ(gateway_sum(g.done), CONTEXTS); /* exactly once each, and none later */
            shard_close(&s);
        } else {
            shard_close(&s);
            rpc_client_close(g.client);
            EQ(gateway_sum(g.done), CONTEXTS);
        }
    }
}

static void test_addresses(void)
{
    struct rpc_server *s = NULL;
    struct rpc_client *c = NULL;
    static const char *const bad[] = {"", "tcp://", "inproc://", "ipc:///x", "http://127.0.0.1/",
                                      "127.0.0.1:80", "tcp://127.0.0.1:99999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        EQ(rpc_server_open(bad[i], 2, shard_batch, NULL, &s), RPC_E_ADDRESS);
        OK(s == NULL);
    }
    EQ(rpc_client_open("nonsense", 2, gateway_done, NULL, &c), RPC_E_ADDRESS);
    OK(c == NULL);
    struct shard first;
    EQ(shard_open(&first, SHARD_ECHO, fresh_url()), 0);
    EQ(rpc_server_open(first.url, 2, shard_batch, NULL, &s), RPC_E_ADDRESS); /* in use */
    shard_close(&first);
    rpc_server_close(NULL);
    rpc_client_close(NULL);
}

static sem_t closing_go, closing_done;

static void closing_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    (void)pipe, (void)event;
    sem_wait(arg);
}

static void closing_release(void *arg)
{
    sem_post(arg);
}

/* nng is still at it when the close has ended: what its notifications point to is let go later. */
static void test_a_close_that_takes_longer(void)
{
    struct shard s;
    nng_socket socket;
    nng_dialer dialer;
    sem_init(&closing_go, 0, 0);
    sem_init(&closing_done, 0, 0);
    EQ(shard_open(&s, SHARD_ECHO, fresh_url()), 0);
    EQ(nng_req0_open(&socket), 0);
    EQ(nng_pipe_notify(socket, NNG_PIPE_EV_REM_POST, closing_pipe, &closing_go), 0);
    EQ(rpc_dialer_make(socket, s.url, &dialer), 0);
    EQ(nng_dialer_start(dialer, 0), 0);
    rpc_socket_close(socket, 10, closing_release, &closing_done);
    OK(sem_trywait(&closing_done) != 0);
    sem_post(&closing_go);
    EQ(sem_wait(&closing_done), 0);
    shard_close(&s);
    sem_destroy(&closing_go);
    sem_destroy(&closing_done);
}

int main(void)
{
    static const char *const transports[] = {"inproc", "tcp"};
    for (int i = 0; i < 2; i++) {
        transport = transports[i];
        printf("# %s\n", transport);
        TAP_RUN(test_echo);
        TAP_RUN(test_answers_from_another_thread);
        TAP_RUN(test_two_gateways);
        TAP_RUN(test_absent_then_there);
        TAP_RUN(test_absent_then_slow);
        TAP_RUN(test_shard_closed_in_the_middle);
        TAP_RUN(test_shard_comes_and_goes);
        TAP_RUN(test_abort_and_busy);
        TAP_RUN(test_close_with_batches_out);
        TAP_RUN(test_addresses);
        TAP_RUN(test_a_close_that_takes_longer);
    }
    return tap_done();
}
