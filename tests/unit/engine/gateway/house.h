/* SPDX-License-Identifier: MIT */
/* Tests: a whole gateway in a thread, with a shard of canned answers and an issuer of its own. */
#ifndef FAIRSLOT_TESTS_GATEWAY_HOUSE_H
#define FAIRSLOT_TESTS_GATEWAY_HOUSE_H

#include <signal.h>
#include <unistd.h>

#include "fakeshard.h"
#include "gateway/gateway.h"
#include "mint.h"
#include "peer.h"
#include "tests/lib/tap.h"

#define SHARD_URL "inproc://test-gateway"
#define GET_POOL  "/fairslot.v1.CatalogService/GetPool"
#define CHECK_UP  "/grpc.health.v1.Health/Check"
#define WATCH_UP  "/grpc.health.v1.Health/Watch"
#define REFLECT   "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"

/* As short as what waits for them can bear, as long as a busy machine needs for what must not; the
 * deadline ends before the hop takes the silence of a shard for its end (3 s). */
enum { DEADLINE_DEFAULT_MS = 2200, HOUSE_DRAIN_MS = 20000, HOUSE_DRAIN_SHORT_MS = 3000,
       HOUSE_HELLO_MS = 2000 };

static struct fake_shard shard;
static atomic_int port;
static int gateway_result = -1;
static int house_deadline_ms = DEADLINE_DEFAULT_MS;
static int house_drain_ms = HOUSE_DRAIN_MS;
#ifndef HOUSE_LOOPS
#define HOUSE_LOOPS 1
#endif
static int house_loops = HOUSE_LOOPS;
static const char *house_shards = SHARD_URL;
static char *alice; /* "Bearer ..." */
static pthread_t gateway_thread;
static char jwks[] = "/tmp/fairslot-jwks-XXXXXX";

static inline void on_ready(void *user, int got, int admin_port)
{
    atomic_store(&port, got);
}

static inline void *run(void *arg)
{
    static const uint8_t key[32] = "0123456789abcdef0123456789abcde";
    char text[512];
    struct gateway_options options = {
        .listen_host = "127.0.0.1",
        .shard_url = house_shards,
        .jwks_path = arg,
        .issuer = MINT_ISSUER,
        .audience = MINT_AUDIENCE,
        .tenant_key = key,
        .loops = house_loops,
        .drain_ms = house_drain_ms,
        .hello_ms = HOUSE_HELLO_MS,
        .deadline_ms = house_deadline_ms,
        .ready = on_ready,
    };
    gateway_result = gateway_run(&options, text);
    if (gateway_result) {
        fprintf(stderr, "# gateway: %d %s\n", gateway_result, text);
        atomic_store(&port, -1);
    }
    return NULL;
}

/* GetPoolRequest{name: "pools/ID"}; valid until the next call. */
static inline struct span pool_request(const char *id)
{
    static uint8_t buf[128];
    int n = snprintf((char *)buf + 2, sizeof buf - 2, "pools/%s", id);
    buf[0] = 10;
    buf[1] = (uint8_t)n;
    return (struct span){buf, (size_t)n + 2};
}

static inline void get_pool(struct peer *p, struct ask *a, const char *id)
{
    peer_ask(p, a, GET_POOL, alice, pool_request(id));
}

static inline struct span no_bytes(void)
{
    return (struct span){0};
}

/* Waits until the shard keeps n batches. */
static inline bool wait_kept(size_t n)
{
    for (int i = 0; i < PATIENCE_MS / 10 && shard_kept(&shard) < n; i++) {
        usleep(10000);
    }
    return shard_kept(&shard) >= n;
}

/* Reads until the server closes; false: it did not. */
static inline bool is_closed(int fd)
{
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char buf[256];
    ssize_t n;
    while ((n = recv(fd, buf, sizeof buf, 0)) > 0) {
    }
    return n == 0 || errno == ECONNRESET;
}

/* The gateway's thread, ready to be called when it returns. */
static inline void house_open(void)
{
    atomic_store(&port, 0);
    CHECK(pthread_create(&gateway_thread, NULL, run, jwks) == 0);
    while (atomic_load(&port) == 0) {
        usleep(1000);
    }
    CHECK(atomic_load(&port) > 0);
}

/* After the thread was joined: another gateway for the same shard, whose calls outlast a drain. */
static inline void house_again(void)
{
    house_drain_ms = HOUSE_DRAIN_SHORT_MS;
    house_deadline_ms = 4 * HOUSE_DRAIN_SHORT_MS;
    house_open();
}

/* Ready to be called when it returns. */
static inline void house_start(void)
{
    int fd = mkstemp(jwks);
    CHECK(fd >= 0 && mint_init(jwks) == 0);
    close(fd);
    alice = mint_token("alice", NULL, 600);
    CHECK(alice != NULL);
    shard_init(&shard, SHARD_URL);
    house_open();
}

/* After the gateway's thread was joined. */
static inline void house_stop(void)
{
    shard_close(&shard);
    unlink(jwks);
    free(alice);
    mint_fini();
}

#endif
