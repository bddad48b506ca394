/* SPDX-License-Identifier: MIT */
/* A blocking gRPC client over engine/wire.
 *   client_call -> connect if needed -> wire_client_call -> pump: channel -> wire -> channel
 *   -> on_finish -> answer
 * Owns the channel, the wire connection and the bytes of the last answer.
 * Fails into the answer: no connection is status 14 with a text of ours, no answer in time is 4
 * (the server was told the deadline too; ours comes a little later, so that its text wins).
 * Invariant: after any lost connection channel and wire connection are gone, and the next call
 * starts anew.  Not taken: the gateway's event loop: a command makes one call at a time. */
#include "ctl/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "ctl/channel.h"
#include "ctl/value.h"
#include "wire/wire.h"

#define CLIENT_GRACE_US   (SECOND_US / 2) /* our deadline behind the server's */
#define CLIENT_BYTES      16384

struct client {
    char host[VALUE_HOST_MAX + 1];
    int port;
    char *authorization;      /* "Bearer ...", or NULL */
    struct channel_keys *keys; /* NULL: without TLS */
    struct channel *channel;  /* NULL: not connected */
    struct wire_client *wire; /* NULL: not connected */
    client_hear *hear;        /* NULL: the last message is the answer's */
    void *hear_user;          /* for hear */
    bool has_heard;           /* bytes have come on this connection */
    bool finished;            /* the running call has its answer */
    bool is_enough;           /* hear wants no more */
    int status;               /* of the answer */
    struct span message;      /* malloc'ed */
    struct span text;         /* malloc'ed */
    struct span details;      /* malloc'ed */
    char trouble[CHANNEL_TEXT]; /* why there is no connection */
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
    if (!c->hear) {
        client_span_copy(&c->message, message);
    } else if (!c->is_enough && !c->hear(c->hear_user, message)) {
        c->is_enough = true;
        wire_request_cancel(request);
    }
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

bool client_target(const char *target, char *ret_host, int *ret_port, bool *ret_is_tls)
{
    *ret_is_tls = strncmp(target, "https://", 8) == 0;
    const char *bare = strncmp(target, "http://", 7) == 0 ? target + 7 : target;
    bare += *ret_is_tls ? 8 : 0;
    size_t len = strcspn(bare, "/");
    char copy[VALUE_HOST_MAX + 16];
    bool has_path = bare[len] && bare[len + 1]; /* a slash at the end is a browser's */
    if (has_path || len + 5 > sizeof(copy)) {
        return false;
    }
    memcpy(copy, bare, len);
    copy[len] = '\0';
    if (bare != target && !strchr(copy[0] == '[' ? copy + strcspn(copy, "]") : copy, ':')) {
        strcpy(copy + len, *ret_is_tls ? ":443" : ":80");
    }
    return value_target(copy, ret_host, ret_port);
}

int client_open(const struct client_options *options, struct client **ret_client, char *ret_text)
{
    const struct channel_files files = {options->ca, options->certificate, options->key};
    bool is_tls = false;
    struct client *c = calloc(1, sizeof(*c));
    if (!c) {
        return err_origin(-ENOMEM);
    }
    CHECK(client_target(options->target, c->host, &c->port, &is_tls));
    int r = 0;
    if (options->token && asprintf(&c->authorization, "Bearer %s", options->token) < 0) {
        c->authorization = NULL;
        r = err_origin(-ENOMEM);
    }
    if (r == 0 && (is_tls || files.ca || files.certificate)) {
        r = channel_keys_new(&files, &c->keys, ret_text);
        r = r > 0 ? CLIENT_E_FILES : r;
    }
    if (r) {
        client_close(c);
        return r > 0 ? r : err_trace(r);
    }
    *ret_client = c;
    return 0;
}

static void client_disconnect(struct client *c)
{
    wire_client_free(c->wire);
    c->wire = NULL;
    channel_close(c->channel);
    c->channel = NULL;
}

void client_close(struct client *c)
{
    if (!c) {
        return;
    }
    client_disconnect(c);
    channel_keys_free(c->keys);
    client_span_free(&c->message);
    client_span_free(&c->text);
    client_span_free(&c->details);
    if (c->authorization) {
        explicit_bzero(c->authorization, strlen(c->authorization));
        free(c->authorization);
    }
    free(c);
}

static bool client_connect(struct client *c)
{
    c->has_heard = false;
    int r = channel_open(c->host, c->port, c->keys, &c->channel, c->trouble);
    if (r == 0) {
        r = wire_client_new(&client_ops, c, &c->wire);
    }
    if (r < 0) {
        snprintf(c->trouble, sizeof(c->trouble), "out of memory");
    }
    if (r != 0) {
        client_disconnect(c);
    }
    return r == 0;
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
        if (!channel_send(c->channel, bytes, (size_t)n, until_us)) {
            return false;
        }
    }
}

/* An HTTP/2 server begins with SETTINGS (RFC 9113 3.4): who does not is somebody else, and what it
 * began with says who. */
static bool client_is_stranger(struct client *c, const uint8_t *bytes, size_t n)
{
    if (c->has_heard || n < 4 || bytes[3] == 4) {
        c->has_heard |= n >= 4;
        return false;
    }
    bool is_tls = bytes[0] == 0x15 && bytes[1] == 3; /* an alert */
    snprintf(c->trouble, sizeof(c->trouble), "%.80s:%d %s", c->host, c->port,
             is_tls                          ? "speaks TLS: write https:// before it"
             : memcmp(bytes, "HTTP", 4) == 0 ? "speaks HTTP/1, which is not the gateway's port"
                                             : "answers bytes that are not HTTP/2: is it a "
                                               "fairslot gateway?");
    return true;
}

/* Moves bytes until the call is finished, the connection is lost or the time is over. */
static void client_pump(struct client *c, int64_t until_us)
{
    uint8_t bytes[CLIENT_BYTES];
    snprintf(c->trouble, sizeof(c->trouble), "the connection to %.80s:%d was lost", c->host,
             c->port);
    while (!c->finished && !c->is_enough) {
        bool is_sent = client_flush(c, until_us);
        if (c->finished || c->is_enough) {
            return;
        }
        /* A server that hung up may have said why before. */
        ssize_t n = channel_receive(c->channel, bytes, sizeof(bytes),
                                    is_sent ? until_us : clock_mono_us());
        if (n == -ETIMEDOUT && is_sent) {
            c->status = CLIENT_STATUS_DEADLINE;
            snprintf(c->trouble, sizeof(c->trouble), "no answer from %.80s:%d in time", c->host,
                     c->port);
            return;
        }
        if (n <= 0 && channel_trouble(c->channel)[0]) {
            snprintf(c->trouble, sizeof(c->trouble), "%s", channel_trouble(c->channel));
        }
        if (n > 0 && client_is_stranger(c, bytes, (size_t)n)) {
            return;
        }
        if (n <= 0 || wire_client_receive(c->wire, bytes, (size_t)n) != 0) {
            return;
        }
    }
}

void client_listen(struct client *c, client_hear *hear, void *user)
{
    c->hear = hear;
    c->hear_user = user;
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
    c->finished = c->is_enough = false;
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
    if (c->is_enough) { /* the cancelled call's end need not be waited for */
        client_disconnect(c);
        status = 0;
    } else if (!c->finished) {
        client_disconnect(c);
        client_span_copy(&c->text, (struct span){(const uint8_t *)c->trouble, strlen(c->trouble)});
        client_span_free(&c->details);
    }
    *ret_answer = (struct client_answer){
        .status = status, .message = c->message, .text = c->text, .details = c->details,
        .sent = sent};
    return 0;
}
