/* SPDX-License-Identifier: MIT */
/* A storm of malformed things against a gateway that runs.
 *
 * usage: storm PORT TOKEN COUNT SEED RATE     TOKEN: a good one, in a file
 *                                             RATE: things a second; 0: as many as go
 *
 * Some dozens of connections at once; each sends one conversation (words.c), reads what it is told,
 * and goes when the peer ends it or says nothing for a while.  Prints one line of JSON: what was
 * thrown by kind, how the connections ended.  The same seed throws the same things.
 * A rate counts what was begun: conversations come one after another, not all at once whenever
 * some have ended.
 * Fails: exit 1 when the gateway can no longer be reached. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "tests/storm/words.h"

#define STORM_AT_ONCE  48
#define STORM_QUIET_US 30000 /* of silence until a conversation is taken for over */

struct gust {
    int fd;              /* -1: none */
    struct words words;  /* what it sends */
    size_t sent;
    unsigned count;      /* malformed things in it */
    enum words_kind kind;
    int64_t heard_us;    /* when something last moved */
};

static struct gust gusts[STORM_AT_ONCE];
static struct prng prng;
static char token[8192];
static uint64_t begun, thrown[WORDS_KINDS], thrown_all, conns_count, ended_by_peer, bytes_back;

static int storm_connect(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    int one = 1, fd = -1;
    for (int try = 0; try < 100 && fd < 0; try++) {
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(fd >= 0);
        if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
            close(fd);
            fd = -1;
            usleep(20000);
        }
    }
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset); /* no port waits afterwards */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    return fd;
}

static bool storm_begin(struct gust *g, int port)
{
    g->fd = storm_connect(port);
    if (g->fd < 0) {
        return false;
    }
    g->words.token = token;
    g->words.prng = &prng;
    g->kind = (enum words_kind)prng_below(&prng, WORDS_KINDS);
    g->count = words_make(&g->words, g->kind);
    begun += g->count;
    g->sent = 0;
    g->heard_us = clock_mono_us();
    conns_count++;
    return true;
}

static void storm_end(struct gust *g, bool by_peer)
{
    close(g->fd);
    g->fd = -1;
    ended_by_peer += by_peer;
    thrown[g->kind] += g->count;
    thrown_all += g->count;
}

static void storm_move(struct gust *g, short events, int64_t now)
{
    static char back[64 * 1024];
    if (events & POLLOUT && g->sent < g->words.len) {
        ssize_t n = send(g->fd, g->words.bytes + g->sent, g->words.len - g->sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        g->sent += n > 0 ? (size_t)n : 0;
        g->heard_us = n > 0 ? now : g->heard_us;
        if (n < 0 && errno != EAGAIN) {
            storm_end(g, true);
            return;
        }
    }
    if (events & (POLLIN | POLLHUP | POLLERR)) {
        ssize_t n = recv(g->fd, back, sizeof back, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            storm_end(g, true);
            return;
        }
        bytes_back += n > 0 ? (uint64_t)n : 0;
        g->heard_us = n > 0 ? now : g->heard_us;
    }
    if (now - g->heard_us > STORM_QUIET_US) {
        storm_end(g, false);
    }
}

static bool storm_run(int port, uint64_t count, uint64_t rate)
{
    struct pollfd fds[STORM_AT_ONCE];
    int64_t begin = clock_mono_us();
    while (thrown_all < count) {
        for (size_t i = 0; i < STORM_AT_ONCE; i++) {
            uint64_t due = rate * (uint64_t)(clock_mono_us() - begin) / 1000000;
            bool is_due = rate == 0 || begun < due;
            if (gusts[i].fd < 0 && is_due && !storm_begin(&gusts[i], port)) {
                return false;
            }
            bool is_sending = gusts[i].fd >= 0 && gusts[i].sent < gusts[i].words.len;
            fds[i] = (struct pollfd){gusts[i].fd, (short)(POLLIN | (is_sending ? POLLOUT : 0)), 0};
        }
        poll(fds, STORM_AT_ONCE, rate ? 1 : 5);
        int64_t now = clock_mono_us();
        for (size_t i = 0; i < STORM_AT_ONCE; i++) {
            if (gusts[i].fd >= 0) {
                storm_move(&gusts[i], fds[i].revents, now);
            }
        }
    }
    for (size_t i = 0; i < STORM_AT_ONCE; i++) {
        if (gusts[i].fd >= 0) {
            close(gusts[i].fd);
        }
    }
    return true;
}

static bool storm_token(const char *path)
{
    FILE *file = fopen(path, "r");
    bool is_read = file && fgets(token, sizeof token, file);
    if (file) {
        fclose(file);
    }
    token[strcspn(token, "\r\n")] = '\0';
    return is_read;
}

int main(int argc, char **argv)
{
    if (argc != 6 || !storm_token(argv[2])) {
        fprintf(stderr, "usage: storm PORT TOKEN COUNT SEED RATE\n");
        return 2;
    }
    int64_t begin = clock_mono_us();
    prng_init(&prng, strtoull(argv[4], NULL, 10));
    for (size_t i = 0; i < STORM_AT_ONCE; i++) {
        gusts[i].fd = -1;
    }
    bool is_done = storm_run(atoi(argv[1]), strtoull(argv[3], NULL, 10),
                             strtoull(argv[5], NULL, 10));
    printf("{\"thrown\":%llu,\"frames\":%llu,\"tokens\":%llu,\"messages\":%llu,\"headers\":%llu,"
           "\"http1\":%llu,\"garbage\":%llu,\"connections\":%llu,\"ended_by_peer\":%llu,"
           "\"bytes_back\":%llu,\"seconds\":%.1f}\n",
           (unsigned long long)thrown_all, (unsigned long long)thrown[WORDS_FRAMES],
           (unsigned long long)thrown[WORDS_TOKENS], (unsigned long long)thrown[WORDS_MESSAGES],
           (unsigned long long)thrown[WORDS_HEADERS], (unsigned long long)thrown[WORDS_HTTP1],
           (unsigned long long)thrown[WORDS_GARBAGE], (unsigned long long)conns_count,
           (unsigned long long)ended_by_peer, (unsigned long long)bytes_back,
           (double)(clock_mono_us() - begin) / 1e6);
    return is_done ? 0 : 1;
}
