/* SPDX-License-Identifier: MIT */
/* Does rpc keep its contract?  Each claim over inproc and over tcp: every batch is answered with
 * its own answer, a peer may come late or go in the middle, a closed end leaves nothing behind.
 * The test is both ends; where a foreign peer is needed it speaks the bytes of nng's handshake. */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/limits.h"
#include "rpc/rpc.h"
#include "tests/lib/tap.h"

#define CONTEXTS 8
#define WAIT_US  (20 * SECOND_US)

static const char *transport = "inproc"; /* of the running test */

static void pause_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

/* -- a shard: echoes, parks, or answers from another thread ------------------------------------ */

enum shard_way { SHARD_ECHO, SHARD_PARK, SHARD_THREAD };

struct shard {
    struct rpc_server *server;
    enum shard_way way;
    char url[96];
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    struct rpc_batch *out[256]; /* parked, or on their way to the thread */
    size_t out_count;
    bool is_ending;
    atomic_uint received;
};

/* First to last byte turned round, so that an answer is not its question. */
static void shard_answer(struct rpc_batch *batch)
{
    struct span q = rpc_batch_bytes(batch);
    static _Thread_local uint8_t answer[BATCH_BYTES_MAX];
    for (size_t i = 0; i < q.len; i++) {
        answer[i] = (uint8_t)~q.ptr[i];
    }
    rpc_batch_reply(batch, (struct span){answer, q.len});
}

static void shard_batch(void *user, struct rpc_batch *batch)
{
    struct shard *s = user;
    atomic_fetch_add(&s->received, 1);
    if (s->way == SHARD_ECHO) {
        shard_answer(batch);
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->out[s->out_count++] = batch;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

static void *shard_run(void *arg)
{
    struct shard *s = arg;
    pthread_mutex_lock(&s->lock);
    while (!s->is_ending) {
        if (s->out_count == 0) {
            pthread_cond_wait(&s->wake, &s->lock);
            continue;
        }
        struct rpc_batch *b = s->out[--s->out_count];
        pthread_mutex_unlock(&s->lock);
        shard_answer(b);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static int shard_open(struct shard *s, enum shard_way way, const char *url)
{
    *s = (struct shard){.way = way};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    int r = rpc_server_open(url, 32, shard_batch, s, &s->server);
    if (r == 0) {
        int port = rpc_server_port(s->server);
        snprintf(s->url, sizeof s->url, "%s", url);
        if (port > 0) {
            snprintf(s->url, sizeof s->url, "tcp://127.0.0.1:%d", port);
        }
        if (way == SHARD_THREAD) {
            pthread_create(&s->thread, NULL, shard_run, s);
        }
    }
    return r;
}

static const char *fresh_url(void)
{
    static char url[64];
    static int number;
    if (strcmp(transport, "tcp") == 0) {
        return "tcp://127.0.0.1:0";
    }
    snprintf(url, sizeof url, "inproc://test-%d", ++number);
    return url;
}

static void shard_close(struct shard *s)
{
    rpc_server_close(s->server);
    if (s->way == SHARD_THREAD) {
        pthread_mutex_lock(&s->lock);
        s->is_ending = true;
        pthread_cond_signal(&s->wake);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
    }
    for (size_t i = 0; i < s->out_count; i++) {
        rpc_batch_reply(s->out[i], (struct span){0}); /* dropped: the server is closed */
    }
}

/* -- a gateway ---------------------------------------------------------------------------------- */

struct gateway {
    struct rpc_client *client;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    unsigned done[CONTEXTS]; /* callbacks, each context */
    unsigned gone[CONTEXTS]; /* of these with RPC_E_GONE */
    uint64_t sent[CONTEXTS]; /* content of the batch under way */
    unsigned wrong;          /* answers that do not belong to their question */
    unsigned ready;          /* bit set of idle contexts that were not looked at yet */
};

static void gateway_done(void *user, unsigned context, int status, struct span bytes)
{
    struct gateway *g = user;
    pthread_mutex_lock(&g->lock);
    g->done[context]++;
    g->gone[context] += status == RPC_E_GONE;
    uint64_t value;
    if (status == 0 && bytes.len >= sizeof value) {
        memcpy(&value, bytes.ptr, sizeof value);
        g->wrong += value != ~g->sent[context];
    } else if (status != RPC_E_GONE) {
        g->wrong++;
    }
    g->ready |= 1u << context;
    pthread_cond_signal(&g->wake);
    pthread_mutex_unlock(&g->lock);
}

static void gateway_open(struct gateway *g, const char *url)
{
    *g = (struct gateway){0};
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->wake, &attr);
    EQ(rpc_client_open(url, CONTEXTS, gateway_done, g, &g->client), 0);
}

static bool gateway_connected(struct gateway *g)
{
    int64_t limit = clock_mono_us() + WAIT_US;
    while (!rpc_client_connected(g->client) && clock_mono_us() < limit) {
        pause_ms(1);
    }
    return rpc_client_connected(g->client);
}

static int gateway_send(struct gateway *g, unsigned context, uint64_t value, size_t len)
{
    static uint8_t bytes[BATCH_BYTES_MAX];
    pthread_mutex_lock(&g->lock);
    g->sent[context] = value;
    pthread_mutex_unlock(&g->lock);
    memcpy(bytes, &value, sizeof value);
    return rpc_client_send(g->client, context, (struct span){bytes, len});
}

/* The contexts that became idle, at least one; 0 after too long. */
static unsigned gateway_wait(struct gateway *g)
{
    int64_t limit = clock_mono_us() + WAIT_US;
    struct timespec t = {limit / SECOND_US, limit % SECOND_US * 1000};
    pthread_mutex_lock(&g->lock);
    while (g->ready == 0 && pthread_cond_timedwait(&g->wake, &g->lock, &t) == 0) {
    }
    unsigned ready = g->ready;
    g->ready = 0;
    pthread_mutex_unlock(&g->lock);
    return ready;
}

static bool gateway_wait_all(struct gateway *g, unsigned want)
{
    unsigned ready = 0;
    while (ready != want) {
        unsigned more = gateway_wait(g);
        if (more == 0) {
            return false;
        }
        ready |= more;
    }
    return true;
}

static unsigned gateway_sum(const unsigned *counts)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < CONTEXTS; i++) {
        sum += counts[i];
    }
    return sum;
}

static void gateway_echo(struct gateway *g, unsigned total, size_t len)
{
    unsigned sent = 0;
    for (unsigned i = 0; i < CONTEXTS && sent < total; i++) {
        EQ(gateway_send(g, i, ++sent, len), 0);
    }
    unsigned done = 0;
    while (done < total) {
        unsigned ready = gateway_wait(g);
        if (ready == 0) {
            break;
        }
        for (unsigned i = 0; i < CONTEXTS; i++) {
            if (ready & 1u << i) {
                done++;
                if (sent < total) {
                    EQ(gateway_send(g, i, ++sent, len), 0);
                }
            }
        }
    }
    EQ(done, total);
    EQ(g->wrong, 0);
    EQ(gateway_sum(g->gone), 0);
}

/* -- tests -------------------------------------------------------------------------------------- */

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

/* A url on which nobody listens yet, but where a shard can be opened later. */
static void later_url(char url[96])
{
    struct shard s;
    EQ(shard_open(&s, SHARD_ECHO, fresh_url()), 0);
    memcpy(url, s.url, 96);
    shard_close(&s);
}

static void test_absent_then_there(void)
{
    char url[96];
    later_url(url);
    struct gateway g;
    gateway_open(&g, url);
    OK(!rpc_client_connected(g.client));
    for (unsigned round = 1; round <= 3; round++) {
        int64_t start = clock_mono_us();
        EQ(gateway_send(&g, 0, 1, 64), 0);
        EQ(gateway_wait(&g), 1);
        EQ(g.gone[0], round);
        OK(clock_mono_us() - start < 50000); /* at once, not after a timeout */
    }
    struct shard s;
    EQ(shard_open(&s, SHARD_ECHO, url), 0);
    OK(gateway_connected(&g));
    EQ(gateway_send(&g, 0, 7, 64), 0);
    EQ(gateway_wait(&g), 1);
    EQ(g.gone[0], 3);
    EQ(g.wrong, 0);
    rpc_client_close(g.client);
    shard_close(&s);
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
    int64_t start = clock_mono_us();
    shard_close(&s); /* with every batch out */
    OK(gateway_wait_all(&g, 0xff));
    OK(clock_mono_us() - start < 2 * SECOND_US);
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

/* -- a foreign peer, byte by byte --------------------------------------------------------------- */

static int peer_connect(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    OK(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    return fd;
}

/* True when the other side has closed. */
static bool peer_closed(int fd)
{
    uint8_t bytes[64];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0) {
    }
    return n == 0 || errno == ECONNRESET;
}

static void peer_send(int fd, const void *bytes, size_t len)
{
    OK(send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len);
}

static const uint8_t peer_hello[8] = {0, 'S', 'P', 0, 0, 48, 0, 0}; /* REQ, version 0 */

static void test_hostile_peers(void)
{
    struct shard s;
    struct gateway g;
    EQ(shard_open(&s, SHARD_ECHO, "tcp://127.0.0.1:0"), 0);
    int port = rpc_server_port(s.server);
    gateway_open(&g, s.url);
    OK(gateway_connected(&g));

    int fd = peer_connect(port); /* one byte too long: the pipe is closed before it is read */
    peer_send(fd, peer_hello, sizeof peer_hello);
    uint8_t length[8];
    struct writer w = writer_of(length, sizeof length);
    writer_u64(&w, BATCH_BYTES_MAX + 4 + 1);
    peer_send(fd, length, sizeof length);
    OK(peer_closed(fd));
    close(fd);

    fd = peer_connect(port); /* a request without an id */
    peer_send(fd, peer_hello, sizeof peer_hello);
    w = writer_of(length, sizeof length);
    writer_u64(&w, 2);
    peer_send(fd, length, sizeof length);
    peer_send(fd, "xy", 2);
    OK(peer_closed(fd));
    close(fd);

    fd = peer_connect(port); /* another protocol: PUSH */
    static const uint8_t push[8] = {0, 'S', 'P', 0, 0, 80, 0, 0};
    peer_send(fd, push, sizeof push);
    OK(peer_closed(fd));
    close(fd);

    fd = peer_connect(port); /* HTTP */
    peer_send(fd, "GET / HTTP/1.1\r\n\r\n", 18);
    OK(peer_closed(fd));
    close(fd);

    EQ(atomic_load(&s.received), 0);
    gateway_echo(&g, 100, 64); /* and the house goes on */
    rpc_client_close(g.client);
    shard_close(&s);
}

static void test_wrong_server(void)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    OK(bind(listener, (struct sockaddr *)&at, sizeof at) == 0);
    OK(listen(listener, 16) == 0);
    OK(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
    char url[96];
    snprintf(url, sizeof url, "tcp://127.0.0.1:%d", ntohs(at.sin_port));
    struct gateway g;
    gateway_open(&g, url);
    for (int i = 0; i < 3; i++) {
        int fd = accept(listener, NULL, NULL);
        static const uint8_t hello[8] = {0, 'S', 'P', 0, 0, 81, 0, 0}; /* PULL, no REP */
        peer_send(fd, hello, sizeof hello);
        OK(peer_closed(fd));
        close(fd);
    }
    pause_ms(20);
    close(listener);
    OK(!rpc_client_connected(g.client));
    struct shard s;
    EQ(shard_open(&s, SHARD_ECHO, url), 0);
    OK(gateway_connected(&g)); /* the failed ones were counted out again */
    EQ(gateway_send(&g, 0, 1, 64), 0);
    EQ(gateway_wait(&g), 1);
    EQ(g.gone[0], 0);
    rpc_client_close(g.client);
    shard_close(&s);
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
        TAP_RUN(test_shard_closed_in_the_middle);
        TAP_RUN(test_shard_comes_and_goes);
        TAP_RUN(test_abort_and_busy);
        TAP_RUN(test_close_with_batches_out);
        TAP_RUN(test_addresses);
    }
    TAP_RUN(test_hostile_peers);
    TAP_RUN(test_wrong_server);
    return tap_done();
}
