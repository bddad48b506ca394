/* SPDX-License-Identifier: MIT */
/* Does a whole gateway keep its word over a real socket, with a shard that answers, is slow, is
 * full, goes away and comes back?  One gateway in a thread for all tests, stopped by SIGTERM. */
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

enum { DEADLINE_DEFAULT_MS = 1500, MANY = 1000, SUBJECTS = 100 };

static struct fake_shard shard;
static atomic_int port;
static int gateway_result = -1;
static char *alice; /* "Bearer ..." */

static void on_ready(void *user, int got)
{
    atomic_store(&port, got);
}

static void *run(void *arg)
{
    static const uint8_t key[32] = "0123456789abcdef0123456789abcde";
    char text[256];
    struct gateway_options options = {
        .listen_host = "127.0.0.1",
        .shard_url = SHARD_URL,
        .jwks_path = arg,
        .issuer = MINT_ISSUER,
        .audience = MINT_AUDIENCE,
        .tenant_key = key,
        .drain_ms = 3000,
        .deadline_ms = DEADLINE_DEFAULT_MS,
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
static struct span pool_request(const char *id)
{
    static uint8_t buf[128];
    int n = snprintf((char *)buf + 2, sizeof buf - 2, "pools/%s", id);
    buf[0] = 10;
    buf[1] = (uint8_t)n;
    return (struct span){buf, (size_t)n + 2};
}

static void get_pool(struct peer *p, struct ask *a, const char *id)
{
    peer_ask(p, a, GET_POOL, alice, pool_request(id));
}

static struct span no_bytes(void)
{
    return (struct span){0};
}

/* Waits until the shard keeps n batches. */
static bool wait_kept(size_t n)
{
    for (int i = 0; i < 300 && shard_kept(&shard) < n; i++) {
        usleep(10000);
    }
    return shard_kept(&shard) >= n;
}

static void test_health(void)
{
    struct peer p;
    struct ask a;
    EQ(peer_open(&p, port), 0);
    peer_ask(&p, &a, CHECK_UP, NULL, no_bytes());
    peer_wait(&p, &a, 1000);
    EQ(a.status, 0);
    EQ(a.len, 2);
    EQ(a.message[1], 1);
    peer_ask(&p, &a, CHECK_UP, NULL, span_of("\012\032fairslot.v1.CatalogService"));
    peer_wait(&p, &a, 1000);
    EQ(a.status, 0);
    peer_ask(&p, &a, CHECK_UP, NULL, span_of("\012\004none"));
    peer_wait(&p, &a, 1000);
    EQ(a.status, 5);
    OK(ask_names(&a, "SERVICE_UNKNOWN"));
    peer_ask(&p, &a, CHECK_UP, NULL, span_of("\012\044none"));
    peer_wait(&p, &a, 1000);
    EQ(a.status, 3);
    OK(ask_names(&a, "MESSAGE_MALFORMED"));
    peer_close(&p);
}

static void test_health_watch(void)
{
    struct peer p;
    struct ask known, stranger, other;
    EQ(peer_open(&p, port), 0);
    peer_ask(&p, &known, WATCH_UP, NULL, no_bytes());
    peer_ask(&p, &stranger, WATCH_UP, NULL, span_of("\012\004none"));
    for (int i = 0; i < 50 && (known.messages == 0 || stranger.messages == 0); i++) {
        peer_step(&p, 20);
    }
    EQ(known.messages, 1);
    EQ(known.message[1], 1);
    EQ(stranger.messages, 1);
    EQ(stranger.message[1], 3);
    EQ(known.status, -1);
    wire_request_cancel(known.request);
    peer_wait(&p, &known, 1000);
    EQ(known.status, 1);
    get_pool(&p, &other, "ok"); /* the connection goes on */
    peer_wait(&p, &other, 1000);
    EQ(other.status, 0);
    peer_close(&p);
}

static void test_reflection(void)
{
    struct peer p;
    struct ask a;
    EQ(peer_open(&p, port), 0);
    peer_ask(&p, &a, REFLECT, NULL, span_of("\072\001*"));
    peer_wait(&p, &a, 1000);
    EQ(a.status, 0);
    EQ(a.messages, 1);
    OK(memmem(a.message, a.len, "fairslot.v1.ReservationService", 30));
    OK(memmem(a.message, a.len, "grpc.health.v1.Health", 21));
    peer_ask(&p, &a, REFLECT, NULL, span_of("\042\020fairslot.v1.Pool"));
    peer_wait(&p, &a, 1000);
    EQ(a.status, 0);
    OK(memmem(a.message, a.len, "fairslot/v1/resources.proto", 27));
    peer_ask(&p, &a, REFLECT, NULL, span_of("\042\001x"));
    peer_wait(&p, &a, 1000);
    EQ(a.status, 0); /* an error_response, not an error */
    OK(memmem(a.message, a.len, "not found", 9));
    peer_ask(&p, &a, REFLECT, NULL, span_of("\042\177x"));
    peer_wait(&p, &a, 1000);
    EQ(a.status, 3);
    peer_close(&p);
}

static void test_refusals_before_the_queue(void)
{
    struct peer p;
    struct ask a;
    char *expired = mint_token("alice", NULL, -600);
    EQ(peer_open(&p, port), 0);
    peer_ask(&p, &a, "/fairslot.v1.CatalogService/Nothing", alice, no_bytes());
    peer_wait(&p, &a, 1000);
    EQ(a.status, 12);
    OK(ask_names(&a, "METHOD_UNKNOWN"));
    peer_ask(&p, &a, "/fairslot.v1.TicketService/CreateTicket", alice, no_bytes());
    peer_wait(&p, &a, 1000);
    EQ(a.status, 12);
    OK(ask_names(&a, "METHOD_PLANNED"));
    peer_ask(&p, &a, GET_POOL, NULL, pool_request("ok"));
    peer_wait(&p, &a, 1000);
    EQ(a.status, 16);
    OK(ask_names(&a, "TOKEN_MISSING"));
    peer_ask(&p, &a, GET_POOL, "Bearer no.token.really", pool_request("ok"));
    peer_wait(&p, &a, 1000);
    EQ(a.status, 16);
    peer_ask(&p, &a, GET_POOL, "Basic YTpi", pool_request("ok"));
    peer_wait(&p, &a, 1000);
    EQ(a.status, 16);
    peer_ask(&p, &a, GET_POOL, expired, pool_request("ok"));
    peer_wait(&p, &a, 1000);
    EQ(a.status, 16);
    OK(ask_names(&a, "TOKEN_EXPIRED"));
    peer_ask(&p, &a, "/fairslot.admin.v1.PoolAdminService/CreatePool", alice, no_bytes());
    peer_wait(&p, &a, 1000);
    EQ(a.status, 7);
    OK(ask_names(&a, "ROLE_MISSING"));
    peer_ask(&p, &a, GET_POOL, alice, span_of("\012\377"));
    peer_wait(&p, &a, 1000);
    EQ(a.status, 3);
    OK(ask_names(&a, "MESSAGE_MALFORMED"));
    peer_ask(&p, &a, GET_POOL, alice, span_of("\012\003Not"));
    peer_wait(&p, &a, 1000);
    EQ(a.status, 3);
    OK(ask_names(&a, "FIELD_INVALID"));
    free(expired);
    peer_close(&p);
}

static void test_long_token_and_message(void)
{
    struct peer p;
    struct ask a;
    static char token[10000];
    static uint8_t message[70000];
    memset(token, 'x', sizeof token - 1);
    memcpy(token, "Bearer ", 7);
    EQ(peer_open(&p, port), 0);
    peer_ask(&p, &a, GET_POOL, token, pool_request("ok"));
    peer_wait(&p, &a, 1000);
    EQ(a.status, 16);
    OK(ask_names(&a, "TOKEN_INVALID"));
    peer_ask(&p, &a, GET_POOL, alice, (struct span){message, sizeof message});
    peer_wait(&p, &a, 1000);
    EQ(a.status, 8);
    OK(ask_names(&a, "MESSAGE_TOO_LARGE"));
    get_pool(&p, &a, "ok");
    peer_wait(&p, &a, 1000);
    EQ(a.status, 0);
    peer_close(&p);
}

static void test_answers_of_the_shard(void)
{
    struct peer p;
    struct ask a;
    EQ(peer_open(&p, port), 0);
    get_pool(&p, &a, "ok");
    peer_wait(&p, &a, 1000);
    EQ(a.status, 0);
    EQ(a.messages, 1);
    OK(a.len == 7 && memcmp(a.message, "pong:ok", 7) == 0);
    get_pool(&p, &a, "unknown-1");
    peer_wait(&p, &a, 1000);
    EQ(a.status, 5);
    EQ(a.messages, 0);
    OK(ask_names(&a, "POOL_UNKNOWN"));
    OK(ask_names(&a, "unknown-1"));
    OK(ask_names(&a, "fairslot"));
    get_pool(&p, &a, "omit");
    peer_wait(&p, &a, 1000);
    EQ(a.status, 13);
    atomic_store(&shard.garbage, 1); /* sent again, by itself */
    get_pool(&p, &a, "ok");
    peer_wait(&p, &a, 1000);
    EQ(a.status, 0);
    peer_close(&p);
}

static void test_deadlines(void)
{
    struct peer p;
    struct ask sent, queued, ours_sent, ours_queued;
    EQ(peer_open(&p, port), 0);
    /* At the shard: a credit of 1 in the reply to the first, so that the next ones queue. */
    atomic_store(&shard.credit, 1);
    get_pool(&p, &sent, "ok");
    peer_wait(&p, &sent, 1000);
    EQ(sent.status, 0);
    get_pool(&p, &ours_sent, "mute-ours");
    peer_write(&p);
    OK(wait_kept(1));
    peer_ask_within(&p, &queued, alice, 150, pool_request("ok"));
    get_pool(&p, &ours_queued, "ok");
    peer_wait(&p, &queued, 2000);
    EQ(queued.status, 4);
    OK(ask_names(&queued, "DEADLINE_EXCEEDED"));
    OK(queued.took_us >= 150000 && queued.took_us < 400000);
    peer_wait(&p, &ours_sent, 3000);
    EQ(ours_sent.status, 14);
    OK(ask_names(&ours_sent, "NO_LEADER"));
    OK(ours_sent.took_us >= DEADLINE_DEFAULT_MS * 1000);
    peer_wait(&p, &ours_queued, 3000);
    EQ(ours_queued.status, 14);
    OK(ask_names(&ours_queued, "STILL_QUEUED"));
    OK(ask_names(&ours_queued, "RetryInfo"));
    shard_release(&shard); /* late answers meet nobody */
    atomic_store(&shard.credit, 64);
    get_pool(&p, &sent, "ok");
    peer_wait(&p, &sent, 1000);
    EQ(sent.status, 0);
    peer_ask_within(&p, &sent, alice, 150, pool_request("mute"));
    peer_wait(&p, &sent, 1000);
    EQ(sent.status, 4);
    OK(sent.took_us >= 150000 && sent.took_us < 400000);
    shard_release(&shard);
    get_pool(&p, &sent, "ok");
    peer_wait(&p, &sent, 1000);
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
    peer_wait(&p, &after, 1000);
    get_pool(&p, &sent, "mute");
    peer_write(&p);
    OK(wait_kept(1));
    get_pool(&p, &queued, "never");
    peer_step(&p, 50);
    unsigned items = atomic_load(&shard.items);
    wire_request_cancel(sent.request);
    wire_request_cancel(queued.request);
    peer_wait(&p, &sent, 1000);
    peer_wait(&p, &queued, 1000);
    EQ(sent.status, 1);
    EQ(queued.status, 1);
    peer_step(&p, 50);
    atomic_store(&shard.credit, 64);
    shard_release(&shard);
    get_pool(&p, &after, "ok");
    peer_wait(&p, &after, 1000);
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
    peer_wait(&p, &after, 1000);
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
    peer_wait(&p, &first, 1000);
    get_pool(&p, &first, "mute");
    peer_write(&p);
    OK(wait_kept(1));
    size_t count = sizeof a / sizeof *a;
    for (size_t i = 0; i < count; i++) {
        get_pool(&p, &a[i], "ok");
    }
    peer_wait(&p, &a[count - 1], 1000);
    size_t full = 0;
    for (size_t i = 0; i < count; i++) {
        full += a[i].status == 8 && ask_names(&a[i], "QUEUE_FULL") && ask_names(&a[i], "RetryInfo");
    }
    EQ(full, 8);
    peer_ask(&p, &other, GET_POOL, bob, pool_request("ok")); /* not bob's fault */
    atomic_store(&shard.credit, 64);
    shard_release(&shard);
    peer_wait(&p, &other, 1000);
    EQ(other.status, 0);
    for (size_t i = 0; i < count; i++) {
        peer_wait(&p, &a[i], 1000);
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
    peer_wait(&p, &a[0], 1000);
    OK(wire_client_room(p.wire) >= MANY);
    for (int i = 0; i < MANY; i++) {
        peer_ask(&p, &a[i], GET_POOL, bearer[i % SUBJECTS], pool_request("ok"));
    }
    int good = 0;
    for (int i = 0; i < MANY; i++) {
        peer_wait(&p, &a[i], 5000);
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

static void test_shard_gone_and_back(void)
{
    struct peer p;
    struct ask at_shard, waiting, after;
    EQ(peer_open(&p, port), 0);
    get_pool(&p, &at_shard, "mute-then-gone");
    peer_write(&p);
    OK(wait_kept(1));
    /* Back at once: the call is sent again by the gateway, the client sees nothing. */
    shard_close(&shard);
    shard_open(&shard, SHARD_URL);
    OK(wait_kept(1));
    shard_release(&shard);
    peer_wait(&p, &at_shard, 2000);
    EQ(at_shard.status, 0);
    /* Away: refused with a time to come back, soon, and not at the deadline. */
    get_pool(&p, &at_shard, "mute");
    peer_write(&p);
    OK(wait_kept(1));
    shard_close(&shard);
    get_pool(&p, &waiting, "ok");
    peer_wait(&p, &waiting, 2000);
    peer_wait(&p, &at_shard, 2000);
    EQ(waiting.status, 14);
    EQ(at_shard.status, 14);
    OK(waiting.took_us < 1000000);
    OK(ask_names(&waiting, "NO_LEADER") && ask_names(&waiting, "RetryInfo"));
    peer_ask(&p, &after, CHECK_UP, NULL, no_bytes());
    peer_wait(&p, &after, 1000);
    EQ(after.status, 0);
    get_pool(&p, &after, "ok");
    peer_wait(&p, &after, 1000);
    EQ(after.status, 14);
    OK(after.took_us < 200000); /* known to be away: at once */
    shard_open(&shard, SHARD_URL);
    for (int i = 0; i < 40 && after.status; i++) {
        usleep(50000);
        get_pool(&p, &after, "ok");
        peer_wait(&p, &after, 1000);
    }
    EQ(after.status, 0);
    peer_close(&p);
}

static void test_garbage(void)
{
    static const char *const junk[] = {"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00\x01",
                                       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxxx"};
    for (size_t i = 0; i < sizeof junk / sizeof *junk; i++) {
        int fd = peer_socket(port);
        OK(fd >= 0);
        OK(send(fd, junk[i], strlen(junk[i]), MSG_NOSIGNAL) > 0);
        struct timeval patience = {.tv_sec = 2};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        char buf[256];
        ssize_t n;
        while ((n = recv(fd, buf, sizeof buf, 0)) > 0) {
        }
        OK(n == 0 || errno == ECONNRESET); /* closed, not timed out */
        close(fd);
    }
    struct peer p;
    struct ask a;
    EQ(peer_open(&p, port), 0);
    get_pool(&p, &a, "ok");
    peer_wait(&p, &a, 1000);
    EQ(a.status, 0);
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
        peer_wait(&p, &a, 1000);
        EQ(a.status, 0);
        best = a.took_us < best ? a.took_us : best;
    }
    printf("# best of 200 lonely calls through gateway and rpc: %lld us\n", (long long)best);
    OK(best < 5000); /* any waiting for company would show */
    peer_close(&p);
}

/* Last: in-flight calls are answered, watchers told, new calls refused, the process ends. */
static void test_drain(pthread_t thread)
{
    struct peer p, idle;
    struct ask in_flight, watch, late;
    EQ(peer_open(&p, port), 0);
    EQ(peer_open(&idle, port), 0);
    peer_ask(&idle, &late, CHECK_UP, NULL, no_bytes());
    peer_wait(&idle, &late, 1000);
    peer_ask(&p, &watch, WATCH_UP, NULL, no_bytes());
    get_pool(&p, &in_flight, "mute");
    peer_write(&p);
    OK(wait_kept(1));
    int64_t start = clock_mono_us();
    kill(getpid(), SIGTERM);
    for (int i = 0; i < 50 && watch.messages < 2; i++) {
        peer_step(&p, 20);
    }
    EQ(watch.messages, 2);
    EQ(watch.message[1], 2);
    EQ(in_flight.status, -1);
    get_pool(&idle, &late, "ok"); /* sent before it saw the notice */
    peer_wait(&idle, &late, 1000);
    EQ(late.status, 14);
    peer_wait(&p, &watch, 1000);
    EQ(watch.status, 14);
    EQ(peer_socket(port), -1);
    shard_release(&shard);
    peer_wait(&p, &in_flight, 1000);
    EQ(in_flight.status, 0);
    while (p.fd >= 0 && clock_mono_us() - start < 5000000) {
        peer_step(&p, 20);
    }
    pthread_join(thread, NULL);
    EQ(gateway_result, 0);
    OK(clock_mono_us() - start < 2500000);
    peer_close(&p);
    peer_close(&idle);
}

static pthread_t thread;
static void test_sigterm(void)
{
    test_drain(thread);
}

static void test_start_failures(void)
{
    char text[256];
    static const uint8_t key[32];
    struct gateway_options o = {.listen_host = "127.0.0.1", .shard_url = SHARD_URL,
                                .jwks_path = "no-such-file.json", .issuer = "i",
                                .audience = "a", .tenant_key = key};
    EQ(gateway_run(&o, text), GATEWAY_E_KEYS);
    OK(strstr(text, "no-such-file.json") != NULL);
}

int main(void)
{
    char jwks[] = "gateway-jwks-XXXXXX";
    int fd = mkstemp(jwks);
    CHECK(fd >= 0 && mint_init(jwks) == 0);
    close(fd);
    alice = mint_token("alice", NULL, 600);
    CHECK(alice != NULL);
    shard_init(&shard, SHARD_URL);
    CHECK(pthread_create(&thread, NULL, run, jwks) == 0);
    while (atomic_load(&port) == 0) {
        usleep(1000);
    }
    CHECK(atomic_load(&port) > 0);
    TAP_RUN(test_health);
    TAP_RUN(test_health_watch);
    TAP_RUN(test_reflection);
    TAP_RUN(test_refusals_before_the_queue);
    TAP_RUN(test_long_token_and_message);
    TAP_RUN(test_answers_of_the_shard);
    TAP_RUN(test_lonely_latency);
    TAP_RUN(test_deadlines);
    TAP_RUN(test_cancel);
    TAP_RUN(test_queue_full);
    TAP_RUN(test_thousand_at_once);
    TAP_RUN(test_shard_gone_and_back);
    TAP_RUN(test_garbage);
    TAP_RUN(test_sigterm);
    TAP_RUN(test_start_failures);
    shard_close(&shard);
    unlink(jwks);
    free(alice);
    mint_fini();
    return tap_done();
}
