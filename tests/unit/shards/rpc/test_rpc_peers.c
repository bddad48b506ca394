/* SPDX-License-Identifier: MIT */
/* Does rpc stand peers that are not ours?  They speak the bytes of nng's handshake, or not even
 * that, over plain sockets. */
#include <arpa/inet.h>
#include <sys/socket.h>

#include "tests/unit/shards/rpc/ends.h"

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
    struct scribe w = scribe_of(length, sizeof length);
    scribe_u64(&w, BATCH_BYTES_MAX + 4 + 1);
    peer_send(fd, length, sizeof length);
    OK(peer_closed(fd));
    close(fd);

    fd = peer_connect(port); /* a request without an id */
    peer_send(fd, peer_hello, sizeof peer_hello);
    w = scribe_of(length, sizeof length);
    scribe_u64(&w, 2);
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

static const uint8_t peer_rep[8] = {0, 'S', 'P', 0, 0, 49, 0, 0}; /* REP, version 0 */

static int peer_listen(int *ret_port)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    OK(bind(listener, (struct sockaddr *)&at, sizeof at) == 0);
    OK(listen(listener, 16) == 0);
    OK(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
    *ret_port = ntohs(at.sin_port);
    return listener;
}

static void test_wrong_server(void)
{
    int port;
    char url[96];
    int listener = peer_listen(&port);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%d", port);
    struct gateway g;
    gateway_open(&g, url);
    for (int i = 0; i < 3; i++) {
        int fd = accept(listener, NULL, NULL);
        static const uint8_t hello[8] = {0, 'S', 'P', 0, 0, 81, 0, 0}; /* PULL, no REP */
        peer_send(fd, hello, sizeof hello);
        OK(peer_closed(fd));
        close(fd);
    }
    close(listener);
    int64_t until_us = clock_mono_us() + WAIT_US; /* a busy machine counts them out late */
    while (rpc_client_connected(g.client) && clock_mono_us() < until_us) {
        pause_ms(1);
    }
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

/* One batch of 64 bytes comes, behind the handshake; not waited for without end. */
static bool peer_takes(int fd)
{
    uint8_t bytes[8 + 8 + 4 + 64]; /* handshake, length, request id, batch */
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return recv(fd, bytes, sizeof bytes, MSG_WAITALL) == sizeof bytes;
}

/* A peer that shakes hands and then neither reads nor answers nor goes: as a connection that nng
 * has lost looks from inside.  Everybody on it is gone after a while, and there is a new
 * connection. */
static void test_a_dead_connection_is_replaced(void)
{
    int port;
    char url[96];
    int listener = peer_listen(&port);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%d", port);
    struct gateway g;
    gateway_open(&g, url);
    int dead = accept(listener, NULL, NULL);
    peer_send(dead, peer_rep, sizeof peer_rep);
    OK(gateway_connected(&g));
    int64_t start = clock_mono_us();
    for (unsigned i = 0; i < CONTEXTS; i++) {
        EQ(gateway_send(&g, i, i, BATCH_BYTES_MAX), 0); /* more than the kernel takes */
    }
    OK(gateway_wait_all(&g, 0xff));
    EQ(gateway_sum(g.gone), CONTEXTS);
    int64_t took_us = clock_mono_us() - start;
    OK(took_us >= 2 * SECOND_US);
    OK(took_us < 15 * SECOND_US);
    int fresh = accept(listener, NULL, NULL);
    peer_send(fresh, peer_rep, sizeof peer_rep);
    OK(gateway_connected(&g));
    EQ(gateway_send(&g, 5, 1, 64), 0);
    OK(peer_takes(fresh));
    close(fresh);
    EQ(gateway_wait(&g), 1u << 5);
    EQ(gateway_sum(g.gone), CONTEXTS + 1);
    close(dead);
    close(listener);
    rpc_client_close(g.client);
}

/* Accepted and then not a word, as a connection whose first packets were swallowed: nng waits 10 s
 * for the handshake and dials nowhere else meanwhile.  Of a few tries: the machine may be busy. */
static void test_a_dial_that_hangs_is_given_up(void)
{
    bool was_soon = false;
    for (int i = 0; i < 3 && !was_soon; i++) {
        int port;
        char url[96];
        int listener = peer_listen(&port);
        snprintf(url, sizeof url, "tcp://127.0.0.1:%d", port);
        struct gateway g;
        gateway_open(&g, url);
        int hanging = accept(listener, NULL, NULL);
        int64_t start = clock_mono_us();
        int fresh = accept(listener, NULL, NULL);
        was_soon = clock_mono_us() - start < 8 * SECOND_US;
        OK(!rpc_client_connected(g.client));
        peer_send(fresh, peer_rep, sizeof peer_rep);
        OK(gateway_connected(&g));
        close(hanging);
        close(fresh);
        close(listener);
        rpc_client_close(g.client);
    }
    OK(was_soon);
}

/* Told that its peer is silent, a client dials anew at once; whoever waits there is gone. */
static void test_a_silent_connection_is_renewed(void)
{
    int port;
    char url[96];
    int listener = peer_listen(&port);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%d", port);
    struct gateway g;
    gateway_open(&g, url);
    int silent = accept(listener, NULL, NULL);
    peer_send(silent, peer_rep, sizeof peer_rep);
    OK(gateway_connected(&g));
    EQ(gateway_send(&g, 3, 1, 64), 0);
    rpc_client_renew(g.client);
    OK(!rpc_client_connected(g.client));
    EQ(gateway_wait(&g), 1u << 3);
    EQ(gateway_sum(g.gone), 1);
    int fresh = accept(listener, NULL, NULL);
    peer_send(fresh, peer_rep, sizeof peer_rep);
    OK(gateway_connected(&g));
    EQ(gateway_send(&g, 3, 2, 64), 0); /* at once on the new one, whoever was on the old one */
    OK(peer_takes(fresh));
    OK(peer_closed(silent)); /* it is let go of */
    close(silent);
    close(fresh);
    close(listener);
    rpc_client_close(g.client);
}

int main(void)
{
    transport = "tcp";
    TAP_RUN(test_hostile_peers);
    TAP_RUN(test_wrong_server);
    TAP_RUN(test_a_dead_connection_is_replaced);
    TAP_RUN(test_a_dial_that_hangs_is_given_up);
    TAP_RUN(test_a_silent_connection_is_renewed);
    return tap_done();
}
