/* SPDX-License-Identifier: MIT */
/* Does a whole gateway keep its word to clients over a real socket: health, reflection, refusals by
 * name, floods, and an orderly end?  What needs the shard is in test_hop.c. */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "house.h"

static void test_health(void)
{
    struct peer p;
    struct ask a;
    EQ(peer_open(&p, port), 0);
    peer_ask(&p, &a, CHECK_UP, NULL, no_bytes());
    peer_wait(&p, &a);
    EQ(a.status, 0);
    EQ(a.len, 2);
    EQ(a.message[1], 1);
    peer_ask(&p, &a, CHECK_UP, NULL, span_of("\012\032fairslot.v1.CatalogService"));
    peer_wait(&p, &a);
    EQ(a.status, 0);
    peer_ask(&p, &a, CHECK_UP, NULL, span_of("\012\035google.longrunning.Operations"));
    peer_wait(&p, &a);
    EQ(a.status, 0);
    peer_ask(&p, &a, CHECK_UP, NULL, span_of("\012\004none"));
    peer_wait(&p, &a);
    EQ(a.status, 5);
    OK(ask_names(&a, "SERVICE_UNKNOWN"));
    peer_ask(&p, &a, CHECK_UP, NULL, span_of("\012\044none"));
    peer_wait(&p, &a);
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
    peer_until(&p, &known, 1);
    peer_until(&p, &stranger, 1);
    EQ(known.messages, 1);
    EQ(known.message[1], 1);
    EQ(stranger.messages, 1);
    EQ(stranger.message[1], 3);
    EQ(known.status, -1);
    wire_request_cancel(known.request);
    peer_wait(&p, &known);
    EQ(known.status, 1);
    get_pool(&p, &other, "ok"); /* the connection goes on */
    peer_wait(&p, &other);
    EQ(other.status, 0);
    peer_close(&p);
}

static void test_reflection(void)
{
    struct peer p;
    struct ask a;
    EQ(peer_open(&p, port), 0);
    peer_ask(&p, &a, REFLECT, NULL, span_of("\072\001*"));
    peer_wait(&p, &a);
    EQ(a.status, 0);
    EQ(a.messages, 1);
    OK(memmem(a.message, a.len, "fairslot.v1.ReservationService", 30));
    OK(memmem(a.message, a.len, "grpc.health.v1.Health", 21));
    OK(memmem(a.message, a.len, "ClusterService", 14));
    OK(memmem(a.message, a.len, "Operations", 10));
    peer_ask(&p, &a, REFLECT, NULL, span_of("\042\020fairslot.v1.Pool"));
    peer_wait(&p, &a);
    EQ(a.status, 0);
    OK(memmem(a.message, a.len, "fairslot/v1/resources.proto", 27));
    peer_ask(&p, &a, REFLECT, NULL, span_of("\042\001x"));
    peer_wait(&p, &a);
    EQ(a.status, 0); /* an error_response, not an error */
    OK(memmem(a.message, a.len, "not found", 9));
    peer_ask(&p, &a, REFLECT, NULL, span_of("\042\177x"));
    peer_wait(&p, &a);
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
    peer_wait(&p, &a);
    EQ(a.status, 12);
    OK(ask_names(&a, "METHOD_UNKNOWN"));
    peer_ask(&p, &a, "/fairslot.admin.v1.MaintenanceService/VerifyAuditLog", alice, no_bytes());
    peer_wait(&p, &a);
    EQ(a.status, 12);
    OK(ask_names(&a, "METHOD_PLANNED"));
    peer_ask(&p, &a, "/fairslot.v1.ReservationService/GetHold", NULL, pool_request("ok"));
    peer_wait(&p, &a);
    EQ(a.status, 16);
    OK(ask_names(&a, "TOKEN_MISSING"));
    peer_ask(&p, &a, GET_POOL, "Bearer ", pool_request("ok")); /* as a client's empty variable */
    peer_wait(&p, &a);
    EQ(a.status, 16);
    OK(ask_names(&a, "TOKEN_MISSING"));
    peer_ask(&p, &a, GET_POOL, "Bearer no.token.really", pool_request("ok"));
    peer_wait(&p, &a);
    EQ(a.status, 16);
    peer_ask(&p, &a, GET_POOL, "Basic YTpi", pool_request("ok"));
    peer_wait(&p, &a);
    EQ(a.status, 16);
    peer_ask(&p, &a, GET_POOL, expired, pool_request("ok"));
    peer_wait(&p, &a);
    EQ(a.status, 16);
    OK(ask_names(&a, "TOKEN_EXPIRED"));
    peer_ask(&p, &a, "/fairslot.admin.v1.PoolAdminService/CreatePool", alice, no_bytes());
    peer_wait(&p, &a);
    EQ(a.status, 7);
    OK(ask_names(&a, "ROLE_MISSING"));
    peer_ask(&p, &a, GET_POOL, alice, span_of("\012\377"));
    peer_wait(&p, &a);
    EQ(a.status, 3);
    OK(ask_names(&a, "MESSAGE_MALFORMED"));
    peer_ask(&p, &a, GET_POOL, alice, span_of("\012\003Not"));
    peer_wait(&p, &a);
    EQ(a.status, 3);
    OK(ask_names(&a, "FIELD_INVALID"));
    EQS(a.text, "a field is not valid: name must be pools/POOL");
    OK(ask_names(&a, "\022\022must be pools/POOL")); /* FieldViolation.description, all of it */
    free(expired);
    peer_close(&p);
}

static void test_long_token_and_message(void)
{
    struct peer p;
    struct ask a;
    static const size_t lengths[] = {40000, 10000}; /* past our header list, past TOKEN_MAX */
    static char token[40001];
    static uint8_t message[70000];
    memset(token, 'x', sizeof token - 1);
    memcpy(token, "Bearer ", 7);
    EQ(peer_open(&p, port), 0);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        token[lengths[i]] = '\0';
        peer_ask(&p, &a, GET_POOL, token, pool_request("ok"));
        peer_wait(&p, &a);
        EQ(a.status, 16);
        OK(ask_names(&a, "TOKEN_INVALID"));
    }
    peer_ask(&p, &a, GET_POOL, alice, (struct span){message, sizeof message});
    peer_wait(&p, &a);
    EQ(a.status, 8);
    OK(ask_names(&a, "MESSAGE_TOO_LARGE"));
    get_pool(&p, &a, "ok");
    peer_wait(&p, &a);
    EQ(a.status, 0);
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
        OK(is_closed(fd));
        close(fd);
    }
    struct peer p;
    struct ask a;
    EQ(peer_open(&p, port), 0);
    get_pool(&p, &a, "ok");
    peer_wait(&p, &a);
    EQ(a.status, 0);
    peer_close(&p);
}

/* No descriptor is left for a new connection: it is closed, not left hanging, and the loop does not
 * spin; afterwards all is well. */
static void test_out_of_descriptors(void)
{
    enum { LOW = 200 };
    struct rlimit before, low;
    int held[LOW], count = 0, fd;
    struct peer p, old;
    struct ask a;
    EQ(peer_open(&old, port), 0);
    get_pool(&old, &a, "ok");
    peer_wait(&old, &a);
    getrlimit(RLIMIT_NOFILE, &before);
    low = (struct rlimit){LOW, before.rlim_max};
    EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (count < LOW && (fd = open("/dev/null", O_RDONLY)) >= 0) {
        held[count++] = fd;
    }
    OK(count > 0);
    close(held[--count]);
    fd = peer_socket(port);
    OK(fd >= 0);
    OK(is_closed(fd));
    close(fd);
    get_pool(&old, &a, "ok"); /* who is there already is served */
    peer_wait(&old, &a);
    EQ(a.status, 0);
    while (count > 0) {
        close(held[--count]);
    }
    EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    EQ(peer_open(&p, port), 0);
    get_pool(&p, &a, "ok");
    peer_wait(&p, &a);
    EQ(a.status, 0);
    peer_close(&p);
    peer_close(&old);
}

/* Whoever does not say what it came for goes; an idle client that greeted stays. */
static void test_silent_connections(void)
{
    static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    static const char settings[] = "\0\0\0\4\0\0\0\0\0";
    static const char half[] = "\0\0\1\1\0\0\0\0\1\x82"; /* HEADERS, not the last of its block */
    int silent = peer_socket(port), slow = peer_socket(port), halved = peer_socket(port);
    struct peer idle;
    struct ask a;
    EQ(peer_open(&idle, port), 0);
    get_pool(&idle, &a, "ok");
    peer_wait(&idle, &a);
    OK(send(slow, hello, sizeof hello - 1, MSG_NOSIGNAL) > 0);
    OK(send(halved, hello, sizeof hello - 1, MSG_NOSIGNAL) > 0);
    OK(send(halved, settings, sizeof settings - 1, MSG_NOSIGNAL) > 0);
    OK(send(halved, half, sizeof half - 1, MSG_NOSIGNAL) > 0);
    OK(is_closed(silent));
    OK(is_closed(slow));
    OK(is_closed(halved));
    close(silent);
    close(slow);
    close(halved);
    get_pool(&idle, &a, "ok");
    peer_wait(&idle, &a);
    EQ(a.status, 0);
    peer_close(&idle);
}

/* In a process of its own: opens `count` connections that say what they speak and no more, keeps
 * them until the parent closes its end of `gate`.  Returns whether the first was closed by then. */
static bool silent_crowd(int count, int gate)
{
    char byte = 0;
    int first = -1;
    for (int i = 0; i < count; i++) {
        int fd = peer_socket(port);
        struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (fd < 0 || send(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24, 0) < 0 ||
            recv(fd, &byte, 1, 0) != 1) { /* our SETTINGS: it was accepted */
            return false;
        }
        first = i == 0 ? fd : first;
    }
    bool is_gone = is_closed(first);
    return send(gate, &byte, 1, MSG_NOSIGNAL) == 1 && recv(gate, &byte, 1, 0) == 0 && is_gone;
}

/* Silent connections take descriptors until few are left: then the oldest makes room. */
static void test_silent_ones_make_room(void)
{
    enum { LOW = 400, SILENT = 200, ROOM = 40 };
    struct rlimit before, low;
    int held[LOW], gate[2], count = 0, fd, status = -1;
    char byte;
    struct peer p, old;
    struct ask a;
    EQ(peer_open(&old, port), 0);
    get_pool(&old, &a, "ok");
    peer_wait(&old, &a);
    EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, gate), 0);
    getrlimit(RLIMIT_NOFILE, &before);
    low = (struct rlimit){LOW, before.rlim_max};
    EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (count < LOW && (fd = open("/dev/null", O_RDONLY)) >= 0) {
        held[count++] = fd;
    }
    for (int i = 0; i < ROOM; i++) {
        close(held[--count]);
    }
    pid_t crowd = fork();
    if (crowd == 0) {
        while (count > 0) {
            close(held[--count]);
        }
        close(gate[0]);
        _exit(silent_crowd(SILENT, gate[1]) ? 0 : 1);
    }
    OK(crowd > 0);
    close(gate[1]);
    EQ(recv(gate[0], &byte, 1, 0), 1); /* all are there, and the first is gone */
    EQ(peer_open(&p, port), 0);
    get_pool(&p, &a, "ok");
    peer_wait(&p, &a);
    EQ(a.status, 0);
    get_pool(&old, &a, "ok");
    peer_wait(&old, &a);
    EQ(a.status, 0);
    close(gate[0]);
    EQ(waitpid(crowd, &status, 0), crowd);
    EQ(status, 0);
    while (count > 0) {
        close(held[--count]);
    }
    EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    peer_close(&p);
    peer_close(&old);
}

/* More fresh tokens at once than may be verified: each call is refused by name, none hangs. */
static void test_flood_of_tokens(void)
{
    static struct ask a[900];
    struct peer p;
    size_t count = sizeof a / sizeof *a, bad = 0, busy = 0;
    EQ(peer_open(&p, port), 0);
    peer_ask(&p, &a[0], CHECK_UP, NULL, no_bytes());
    peer_wait(&p, &a[0]);
    for (size_t i = 0; i < count; i++) {
        char token[64];
        snprintf(token, sizeof token, "Bearer eyJhbGciOiJub25lIn0.%zu.", 1000 + i);
        peer_ask(&p, &a[i], GET_POOL, token, pool_request("ok"));
    }
    for (size_t i = 0; i < count; i++) {
        peer_wait(&p, &a[i]);
        bad += a[i].status == 16;
        busy += a[i].status == 8 && ask_names(&a[i], "RATE_LIMITED");
    }
    EQ(bad + busy, count);
    OK(bad > 0);
    get_pool(&p, &a[0], "ok");
    peer_wait(&p, &a[0]);
    EQ(a[0].status, 0);
    peer_close(&p);
}

/* Last: in-flight calls are answered, watchers told, new calls refused, the process ends. */
static void test_drain(void)
{
    struct peer p, idle;
    struct ask in_flight, watch, late;
    EQ(peer_open(&p, port), 0);
    EQ(peer_open(&idle, port), 0);
    peer_ask(&idle, &late, CHECK_UP, NULL, no_bytes());
    peer_wait(&idle, &late);
    peer_ask(&p, &watch, WATCH_UP, NULL, no_bytes());
    get_pool(&p, &in_flight, "mute");
    peer_write(&p);
    OK(wait_kept(1));
    kill(getpid(), SIGHUP); /* nothing comes of it */
    peer_until(&p, &watch, 1);
    EQ(watch.messages, 1);
    int64_t start = clock_mono_us();
    kill(getpid(), SIGTERM);
    peer_until(&p, &watch, 2);
    EQ(watch.messages, 2);
    EQ(watch.message[1], 2);
    EQ(in_flight.status, -1);
    get_pool(&idle, &late, "ok"); /* sent before it saw the notice */
    peer_wait(&idle, &late);
    EQ(late.status, 14);
    peer_wait(&p, &watch);
    EQ(watch.status, 14);
    EQ(peer_socket(port), -1);
    shard_release(&shard);
    peer_wait(&p, &in_flight);
    EQ(in_flight.status, 0);
    while (p.fd >= 0 && clock_mono_us() - start < HOUSE_DRAIN_MS * INT64_C(1000)) {
        peer_step(&p, 20);
    }
    pthread_join(gateway_thread, NULL);
    EQ(gateway_result, 0);
    OK(clock_mono_us() - start < HOUSE_DRAIN_MS * INT64_C(1000)); /* it does not sit its time out */
    peer_close(&p);
    peer_close(&idle);
}

/* A house of its own, ended while its shard is silent: whoever waits is told before the cut. */
static void test_drain_with_a_silent_shard(void)
{
    enum { QUEUED = 20 };
    static struct ask sent, queued[QUEUED];
    struct peer p;
    size_t told = 0;
    house_again();
    EQ(peer_open(&p, port), 0);
    get_pool(&p, &sent, "mute");
    peer_write(&p);
    OK(wait_kept(1));
    for (size_t i = 0; i < QUEUED; i++) {
        get_pool(&p, &queued[i], "mute");
    }
    peer_step(&p, 50);
    int64_t start = clock_mono_us();
    kill(getpid(), SIGTERM);
    peer_wait(&p, &sent);
    EQ(sent.status, 14);
    OK(ask_names(&sent, "SHUTTING_DOWN"));
    OK(ask_names(&sent, "RetryInfo"));
    for (size_t i = 0; i < QUEUED; i++) {
        peer_wait(&p, &queued[i]);
        told += queued[i].status == 14 && ask_names(&queued[i], "SHUTTING_DOWN");
    }
    EQ(told, QUEUED);
    peer_close(&p);
    pthread_join(gateway_thread, NULL);
    EQ(gateway_result, 0);
    OK(clock_mono_us() - start < house_deadline_ms * INT64_C(1000)); /* the limit of the drain */
    shard_release(&shard);
}

static void test_start_failures(void)
{
    char text[512];
    static const uint8_t key[32];
    struct gateway_options o = {.listen_host = "127.0.0.1", .shard_url = SHARD_URL,
                                .jwks_path = "no-such-file.json", .issuer = "i",
                                .audience = "a", .tenant_key = key};
    EQ(gateway_run(&o, text), GATEWAY_E_KEYS);
    OK(strstr(text, "no-such-file.json") != NULL);
    int taken = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    OK(bind(taken, (struct sockaddr *)&at, len) == 0 && listen(taken, 1) == 0);
    OK(getsockname(taken, (struct sockaddr *)&at, &len) == 0);
    o.jwks_path = jwks;
    o.listen_port = ntohs(at.sin_port);
    EQ(gateway_run(&o, text), GATEWAY_E_LISTEN);
    OK(strstr(text, "address already in use") != NULL);
    o.listen_host = "not-an-address";
    EQ(gateway_run(&o, text), GATEWAY_E_LISTEN);
    close(taken);
}

int main(void)
{
    house_start();
    TAP_RUN(test_health);
    TAP_RUN(test_health_watch);
    TAP_RUN(test_reflection);
    TAP_RUN(test_refusals_before_the_queue);
    TAP_RUN(test_long_token_and_message);
    TAP_RUN(test_garbage);
    TAP_RUN(test_out_of_descriptors);
    TAP_RUN(test_silent_ones_make_room);
    TAP_RUN(test_silent_connections);
    TAP_RUN(test_flood_of_tokens);
    TAP_RUN(test_drain);
    TAP_RUN(test_drain_with_a_silent_shard);
    TAP_RUN(test_start_failures);
    house_stop();
    return tap_done();
}
