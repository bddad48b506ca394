/* SPDX-License-Identifier: MIT */
/* A blocking gRPC client over engine/wire.
 *   client_call -> connect if needed -> wire_client_call -> pump: poll, recv -> wire, wire -> send
 *   -> on_finish -> answer
 * Owns the socket, the wire connection and the bytes of the last answer.
 * Fails into the answer: no connection is status 14 with a text of ours, no answer in time is 4
 * (the server was told the deadline too; ours comes a little later, so that its text wins).
 * Invariant: after any lost connection socket and wire connection are gone, and the next call
 * starts anew.  Not taken: the gateway's event loop: a command makes one call at a time. */
#include "ctl/client.h"

#include <errno.h>
#include <netdb.h>
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
#include "base/err.h"
#include "base/limits.h"
#include "ctl/value.h"
#include "wire/wire.h"

#define CLIENT_CONNECT_US (5 * SECOND_US)
#define CLIENT_GRACE_US   (SECOND_US / 2) /* our deadline behind the server's */
#define CLIENT_BYTES      16384

struct client {
    char host[VALUE_HOST_MAX + 1];
    int port;
    char *authorization;      /* "Bearer ...", or NULL */
    int fd;                   /* -1: not connected */
    struct wire_client *wire; /* NULL: not connected */
    bool finished;            /* the running call has its answer */
    int status;               /* of the answer */
    struct span message;      /* malloc'ed */
    struct span text;         /* malloc'ed */
    struct span details;      /* malloc'ed */
    char trouble[160];        /* why there is no connection */
};

static void client_span_free(struct span *s)
{
    free((void *)(uintptr_t)s->ptr);
    *s = (struct span){0};
}

static void client_span_copy(struct span *to, struct span from)
{
    client_span_free(to);
    uint8_t *bytes = malloc(from.len + 1);
    if (bytes) {
        memcpy(bytes, from.len ? from.ptr : (const uint8_t *)"", from.len);
        bytes[from.len] = '\0';
        *to = (struct span){bytes, from.len};
    }
}

static void client_on_message(void *user, struct wire_request *request, struct span message)
{
    struct client *c = user;
    (void)request;
    client_span_copy(&c->message, message);
}

static void client_on_finish(void *user, struct wire_request *request, int status,
                             struct span text, struct span details)
{
    struct client *c = user;
    (void)request;
    c->finished = true;
    c->status = status;
    client_span_copy(&c->text, text);
    client_span_copy(&c->details, details);
}

static const struct wire_client_ops client_ops = {
    .on_message = client_on_message,
    .on_finish = client_on_finish,
};

int client_open(const char *target, const char *token, struct client **ret_client)
{
    struct client *c = calloc(1, sizeof(*c));
    if (!c) {
        return err_origin(-ENOMEM);
    }
    c->fd = -1;
    if (!value_target(target, c->host, &c->port) ||
        (token && asprintf(&c->authorization, "Bearer %s", token) < 0)) {
        free(c);
        return err_origin(-EINVAL);
    }
    *ret_client = c;
    return 0;
}

static void client_disconnect(struct client *c)
{
    wire_client_free(c->wire);
    c->wire = NULL;
    if (c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
    }
}

void client_close(struct client *c)
{
    if (!c) {
        return;
    }
    client_disconnect(c);
    client_span_free(&c->message);
    client_span_free(&c->text);
    client_span_free(&c->details);
    if (c->authorization) {
        explicit_bzero(c->authorization, strlen(c->authorization));
        free(c->authorization);
    }
    free(c);
}

/* Waits until `events`, at most until `until_us`; false when the time is over. */
static bool client_wait(int fd, short events, int64_t until_us)
{
    for (;;) {
        int64_t left_ms = (until_us - clock_mono_us() + 999) / 1000;
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, left_ms > 0 ? (int)left_ms : 0);
        if (n > 0) {
            return true;
        }
        if (n == 0 || errno != EINTR) {
            return false;
        }
    }
}

/* A connected, non-blocking socket, or -errno. */
static int client_dial(const struct addrinfo *address, int64_t until_us)
{
    int one = 1, error = 0;
    socklen_t len = sizeof(error);
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, address->ai_addr, address->ai_addrlen) < 0) {
        error = errno;
        if (error == EINPROGRESS) {
            error = client_wait(fd, POLLOUT, until_us) ? 0 : ETIMEDOUT;
            if (error == 0) {
                getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
            }
        }
    }
    if (error) {
        close(fd);
        return -error;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static bool client_connect(struct client *c)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int64_t until_us = clock_mono_us() + CLIENT_CONNECT_US;
    snprintf(port, sizeof(port), "%d", c->port);
    int r = getaddrinfo(c->host, port, &hints, &found);
    if (r != 0) {
        snprintf(c->trouble, sizeof(c->trouble), "cannot find %.80s: %s", c->host, gai_strerror(r));
        return false;
    }
    for (struct addrinfo *a = found; a && c->fd < 0; a = a->ai_next) {
        c->fd = client_dial(a, until_us);
    }
    freeaddrinfo(found);
    if (c->fd < 0) {
        snprintf(c->trouble, sizeof(c->trouble), "cannot connect to %.80s:%d: %s", c->host, c->port,
                 strerror(-c->fd));
        c->fd = -1;
        return false;
    }
    r = wire_client_new(&client_ops, c, &c->wire);
    if (r != 0) {
        snprintf(c->trouble, sizeof(c->trouble), "out of memory");
        client_disconnect(c);
        return false;
    }
    return true;
}

/* Sends what the connection has; false: the connection is lost. */
static bool client_flush(struct client *c, int64_t until_us)
{
    uint8_t bytes[CLIENT_BYTES];
    for (;;) {
        ssize_t n = wire_client_send(c->wire, bytes, sizeof(bytes));
        if (n <= 0) {
            return n == 0;
        }
        for (ssize_t done = 0; done < n;) {
            ssize_t sent = send(c->fd, bytes + done, (size_t)(n - done), MSG_NOSIGNAL);
            if (sent >= 0) {
                done += sent;
            } else if (errno == EAGAIN && !client_wait(c->fd, POLLOUT, until_us)) {
                return false;
            } else if (errno != EAGAIN && errno != EINTR) {
                return false;
            }
        }
    }
}

/* Moves bytes until the call is finished, the connection is lost or the time is over. */
static void client_pump(struct client *c, int64_t until_us)
{
    uint8_t bytes[CLIENT_BYTES];
    snprintf(c->trouble, sizeof(c->trouble), "the connection to %.80s:%d was lost", c->host,
             c->port);
    while (!c->finished) {
        if (!client_flush(c, until_us) || c->finished) {
            return;
        }
        if (!client_wait(c->fd, POLLIN, until_us)) {
            c->status = CLIENT_STATUS_DEADLINE;
            snprintf(c->trouble, sizeof(c->trouble), "no answer from %.80s:%d in time", c->host,
                     c->port);
            return;
        }
        ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            continue;
        }
        if (n <= 0 || wire_client_receive(c->wire, bytes, (size_t)n) != 0) {
            return;
        }
    }
}

int client_call(struct client *c, const char *path, struct span request, int64_t timeout_us,
                struct client_answer *ret_answer)
{
    CHECK(timeout_us > 0);
    struct wire_request *call;
    struct span authorization = {(const uint8_t *)c->authorization,
                                 c->authorization ? strlen(c->authorization) : 0};
    bool sent = false;
    client_span_free(&c->message);
    client_span_free(&c->text);
    client_span_free(&c->details);
    c->finished = false;
    c->status = CLIENT_STATUS_UNAVAILABLE;
    if (c->wire && wire_client_done(c->wire)) {
        client_disconnect(c);
    }
    if (c->wire || client_connect(c)) {
        int r = wire_client_call(c->wire, path, authorization, timeout_us, request, c, &call);
        if (r < 0) {
            return err_trace(r);
        }
        snprintf(c->trouble, sizeof(c->trouble), "the connection to %.80s:%d is ending", c->host,
                 c->port);
        if (r == 0) {
            sent = true;
            client_pump(c, clock_mono_us() + timeout_us + CLIENT_GRACE_US);
        }
    }
    int status = c->status; /* wire_client_free() finishes the call once more, with its own */
    if (!c->finished) {
        client_disconnect(c);
        client_span_copy(&c->text, (struct span){(const uint8_t *)c->trouble, strlen(c->trouble)});
        client_span_free(&c->details);
    }
    *ret_answer = (struct client_answer){
        .status = status, .message = c->message, .text = c->text, .details = c->details,
        .sent = sent};
    return 0;
}
