/* SPDX-License-Identifier: MIT */
/* One command's talk with one server.
 *   session_call -> pack -> client_call -> 0: unpack | RetryInfo: wait, again | else: refusal
 * Owns the client.  Fails by telling the person and handing back the exit code.
 * A connection lost under a call is tried again once: whether it had an effect is unknown, and the
 * request id in every mutation makes the second one harmless. */
#include "ctl/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "ctl/client.h"
#include "ctl/keyfile.h"
#include "ctl/refusal.h"
#include "ctl/talk.h"

#define SESSION_TIMEOUT_US (10 * SECOND_US)
#define SESSION_PATIENCE_US (5 * SECOND_US)
#define SESSION_RETRY_MS_MAX 5000
#define SESSION_TEXT       256

struct session {
    struct client *client;
    int64_t patience_us; /* how long a call is tried again */
    const struct session_stream *stream; /* the running one, or NULL */
    bool has_heard;                      /* it has had a message */
};

static int session_token(const char *path, char **ret_token)
{
    *ret_token = NULL;
    if (!path) {
        return VERB_OK;
    }
    int r = keyfile_read(path, TOKEN_MAX + 2, ret_token, NULL);
    if (r != 0) {
        talk_error("cannot read the token in %s: %s", path,
                   r == KEYFILE_E_MISSING ? "no such file"
                   : r == KEYFILE_E_LARGE ? "too large for a token" : strerror(-r));
        talk_next("make one: fairslot token --data DIR --subject NAME > FILE");
        return VERB_FAILED;
    }
    char *end = *ret_token + strcspn(*ret_token, " \t\r\n");
    if (end[strspn(end, " \t\r\n")] || end == *ret_token) {
        talk_error("%s does not hold one token", path);
        talk_next("make one: fairslot token --data DIR --subject NAME > FILE");
        free(*ret_token);
        *ret_token = NULL;
        return VERB_FAILED;
    }
    *end = '\0';
    return VERB_OK;
}

int session_open(const struct options_call *call, struct session **ret_session)
{
    char *token;
    int r = session_token(call->token_file, &token);
    if (r != VERB_OK) {
        return r;
    }
    char text[SESSION_TEXT] = "";
    const struct client_options options = {.target = call->target, .token = token, .ca = call->ca,
                                           .certificate = call->certificate, .key = call->key};
    struct session *s = calloc(1, sizeof(*s));
    r = s ? client_open(&options, &s->client, text) : err_origin(-ENOMEM);
    if (token) {
        explicit_bzero(token, strlen(token));
        free(token);
    }
    if (r != 0) {
        talk_error("%s", r > 0 ? text : "out of memory");
        if (r > 0) {
            talk_next("--ca, --cert and --key name PEM files");
        }
        free(s);
        return VERB_FAILED;
    }
    s->patience_us = SESSION_PATIENCE_US;
    *ret_session = s;
    return VERB_OK;
}

void session_set_patience(struct session *s, int64_t patience_us)
{
    s->patience_us = patience_us;
}

void session_close(struct session *s)
{
    if (s) {
        client_close(s->client);
        free(s);
    }
}

void session_free(void *answer)
{
    if (answer) {
        protobuf_c_message_free_unpacked(answer, NULL);
    }
}

void session_request_id(char *out)
{
    uint8_t random[16];
    clock_random(random, sizeof(random));
    value_uuid(random, 4, out);
}

static void session_sleep(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&t, &t) < 0 && errno == EINTR) {
    }
}

/* Milliseconds until the next try; 0: there is none. */
static int64_t session_again_ms(const struct client_answer *answer, const struct refusal *refusal,
                                int tries, int64_t left_us)
{
    bool lost = answer->status == CLIENT_STATUS_UNAVAILABLE && answer->sent && !refusal->reason[0];
    int64_t ms = lost && tries == 1 ? 100 : refusal->retry_ms;
    ms = ms > SESSION_RETRY_MS_MAX ? SESSION_RETRY_MS_MAX : ms;
    return ms * 1000 < left_us ? ms : 0;
}

/* Sends until there is an answer, or no hope.  VERB_OK, an exit code with *ret_refusal, or < 0. */
static int session_send(struct session *s, const struct session_stream *call,
                        struct client_answer *ret_answer, struct refusal *ret_refusal)
{
    int64_t until_us = clock_mono_us() + s->patience_us;
    for (int tries = 1;; tries++) {
        int r = client_call(s->client, call->path, call->request, call->timeout_us, ret_answer);
        if (r < 0) {
            return err_trace(r);
        }
        if (ret_answer->status == 0) {
            return VERB_OK;
        }
        refusal_read(ret_refusal, ret_answer->status, ret_answer->text, ret_answer->details);
        int64_t ms = session_again_ms(ret_answer, ret_refusal, tries, until_us - clock_mono_us());
        if (ms == 0 || s->has_heard) {
            return refusal_exit(ret_answer->status);
        }
        session_sleep(ms);
    }
}

/* Our own trouble as a refusal. */
static int session_fail(struct refusal *ret_refusal, const char *text)
{
    refusal_read(ret_refusal, 13, (struct span){(const uint8_t *)text, strlen(text)},
                 (struct span){0});
    return VERB_FAILED;
}

static int session_exchange(struct session *s, const struct session_call *call, struct span request,
                            void *ret_answer, struct refusal *ret_refusal)
{
    struct client_answer answer;
    const struct session_stream once = {
        .path = call->path, .request = request, .timeout_us = SESSION_TIMEOUT_US};
    int r = session_send(s, &once, &answer, ret_refusal);
    if (r != VERB_OK) {
        return r;
    }
    ProtobufCMessage *message = protobuf_c_message_unpack(call->answer_type, NULL,
                                                          answer.message.len, answer.message.ptr);
    if (!message) {
        return session_fail(ret_refusal, "the server's answer cannot be decoded");
    }
    *(ProtobufCMessage **)ret_answer = message;
    return VERB_OK;
}

int session_try(struct session *s, const struct session_call *call, void *ret_answer,
                struct refusal *ret_refusal)
{
    size_t len = protobuf_c_message_get_packed_size(call->request);
    uint8_t *bytes = malloc(len + 1);
    int r = bytes ? 0 : err_origin(-ENOMEM);
    if (r == 0) {
        protobuf_c_message_pack(call->request, bytes);
        r = session_exchange(s, call, (struct span){bytes, len}, ret_answer, ret_refusal);
    }
    free(bytes);
    return r < 0 ? session_fail(ret_refusal, "out of memory") : r;
}

int session_call(struct session *s, const struct session_call *call, void *ret_answer)
{
    struct refusal refusal;
    int r = session_try(s, call, ret_answer, &refusal);
    if (r != VERB_OK) {
        refusal_tell(&refusal);
    }
    return r;
}

static bool session_hear(void *user, struct span message)
{
    struct session *s = user;
    s->has_heard = true;
    return s->stream->hear(s->stream->user, message);
}

int session_stream(struct session *s, const struct session_stream *call)
{
    struct client_answer answer;
    struct refusal refusal;
    s->stream = call;
    s->has_heard = false;
    client_listen(s->client, session_hear, s);
    int r = session_send(s, call, &answer, &refusal);
    client_listen(s->client, NULL, NULL);
    s->stream = NULL;
    s->has_heard = false;
    r = r < 0 ? session_fail(&refusal, "out of memory") : r;
    if (r != VERB_OK) {
        refusal_tell(&refusal);
    }
    return r;
}
