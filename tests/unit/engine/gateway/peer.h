/* SPDX-License-Identifier: MIT */
/* Tests: a client over a real socket.  It has no timer of its own: a deadline that it sees came
 * from the server. */
#ifndef FAIRSLOT_TESTS_PEER_H
#define FAIRSLOT_TESTS_PEER_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "wire/wire.h"

#define PEER_BYTES  4096
#define PATIENCE_MS 20000 /* for what should come: how soon is for the busy machine to say */

/* One RPC as the client saw it. */
struct ask {
    struct wire_request *request;
    int status;   /* -1: not finished */
    int messages; /* that came */
    int64_t took_us;
    int64_t start_us;
    size_t len; /* of the last message */
    uint8_t message[PEER_BYTES];
    char text[200];
    size_t details_len;
    uint8_t details[1024];
};

struct peer {
    int fd; /* -1: the server closed it */
    struct wire_client *wire;
};

static inline void peer_on_message(void *user, struct wire_request *request, struct span message)
{
    struct ask *a = wire_request_user(request);
    a->messages++;
    a->len = message.len < PEER_BYTES ? message.len : PEER_BYTES;
    if (a->len) {
        memcpy(a->message, message.ptr, a->len);
    }
}

static inline void peer_on_finish(void *user, struct wire_request *request, int status,
                                  struct span text, struct span details)
{
    struct ask *a = wire_request_user(request);
    a->status = status;
    a->took_us = clock_mono_us() - a->start_us;
    size_t n = text.len < sizeof a->text - 1 ? text.len : sizeof a->text - 1;
    if (n) {
        memcpy(a->text, text.ptr, n);
    }
    a->text[n] = '\0';
    a->details_len = details.len < sizeof a->details ? details.len : sizeof a->details;
    if (a->details_len) {
        memcpy(a->details, details.ptr, a->details_len);
    }
    a->request = NULL;
}

static inline int peer_socket(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static const struct wire_client_ops peer_ops = {peer_on_message, peer_on_finish};

static inline int peer_open(struct peer *p, int port)
{
    *p = (struct peer){.fd = peer_socket(port)};
    return p->fd < 0 ? -1 : wire_client_new(&peer_ops, p, &p->wire);
}

static inline void peer_close(struct peer *p)
{
    wire_client_free(p->wire);
    if (p->fd >= 0) {
        close(p->fd);
    }
    *p = (struct peer){.fd = -1};
}

static inline void peer_write(struct peer *p)
{
    uint8_t buf[16384];
    ssize_t n;
    while (p->fd >= 0 && (n = wire_client_send(p->wire, buf, sizeof buf)) > 0) {
        for (ssize_t at = 0; at < n;) {
            ssize_t w = send(p->fd, buf + at, (size_t)(n - at), MSG_NOSIGNAL);
            if (w < 0 && errno != EINTR) {
                return;
            }
            at += w > 0 ? w : 0;
        }
    }
}

/* Sends what there is and reads what comes within wait_ms; false: nothing came. */
static inline bool peer_step(struct peer *p, int wait_ms)
{
    uint8_t buf[65536];
    peer_write(p);
    struct pollfd poll_fd = {.fd = p->fd, .events = POLLIN};
    if (p->fd < 0 || poll(&poll_fd, 1, wait_ms) <= 0) {
        return false;
    }
    ssize_t n = recv(p->fd, buf, sizeof buf, 0);
    if (n <= 0 || wire_client_receive(p->wire, buf, (size_t)n)) {
        close(p->fd);
        p->fd = -1;
        wire_client_free(p->wire); /* finishes what is open with status 14 */
        p->wire = NULL;
        return false;
    }
    peer_write(p);
    return true;
}

/* Until the ask is finished; unfinished when patience is over. */
static inline void peer_wait(struct peer *p, const struct ask *a)
{
    int64_t end = clock_mono_us() + (int64_t)PATIENCE_MS * 1000;
    while (a->status < 0 && p->fd >= 0 && clock_mono_us() < end) {
        peer_step(p, 10);
    }
}

/* Until so many messages of a stream have come. */
static inline void peer_until(struct peer *p, const struct ask *a, int messages)
{
    int64_t end = clock_mono_us() + (int64_t)PATIENCE_MS * 1000;
    while (a->messages < messages && p->fd >= 0 && clock_mono_us() < end) {
        peer_step(p, 10);
    }
}

static inline void peer_ask(struct peer *p, struct ask *a, const char *path, const char *bearer,
                            struct span message)
{
    *a = (struct ask){.status = -1, .start_us = clock_mono_us()};
    struct span authorization = bearer ? span_of(bearer) : (struct span){0};
    if (wire_client_call(p->wire, path, authorization, -1, message, a, &a->request)) {
        a->status = -2;
    }
}

static inline void peer_ask_within(struct peer *p, struct ask *a, const char *bearer, int ms,
                                   struct span message)
{
    *a = (struct ask){.status = -1, .start_us = clock_mono_us()};
    if (wire_client_call(p->wire, "/fairslot.v1.CatalogService/GetPool", span_of(bearer),
                         (int64_t)ms * 1000, message, a, &a->request)) {
        a->status = -2;
    }
}

/* Does a refusal's detail name this reason? */
static inline bool ask_names(const struct ask *a, const char *reason)
{
    return memmem(a->details, a->details_len, reason, strlen(reason)) != NULL;
}

#endif
