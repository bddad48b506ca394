/* SPDX-License-Identifier: MIT */
/* What every calling verb does: find target and token, call, retry what may be retried, tell what
 * went wrong.  Messages are protobuf-c structs.  One thread. */
#ifndef FAIRSLOT_CTL_SESSION_H
#define FAIRSLOT_CTL_SESSION_H

#include <protobuf-c/protobuf-c.h>

#include "base/types.h"
#include "ctl/options.h"
#include "ctl/value.h"

struct session;

/* Reads the token file; does not connect yet.  0, or an exit code (told). */
int session_open(const struct options_call *call, struct session **ret_session);
void session_close(struct session *s);

/* A method and what goes in. */
struct session_call {
    const char *path;                              /* "/package.Service/Method" */
    const ProtobufCMessage *request;               /* packed at once, borrowed */
    const ProtobufCMessageDescriptor *answer_type; /* what comes back */
};

/* How long a call is tried again while the server says "come back" (5 s). */
void session_set_patience(struct session *s, int64_t patience_us);

/* One call.  Waits and sends again while the server names a time to come back: safe, because every
 * mutation carries a request id.
 * VERB_OK and the unpacked answer (in *ret_answer, a pointer to the message type), to be freed with
 * session_free(); else an exit code, and the person has been told. */
int session_call(struct session *s, const struct session_call *call, void *ret_answer);
/* As session_call(), but a refusal is returned in `ret_refusal` and not told. */
struct refusal;
int session_try(struct session *s, const struct session_call *call, void *ret_answer,
                struct refusal *ret_refusal);
/* A call whose messages are bytes, and may be many. */
struct session_stream {
    const char *path;    /* "/package.Service/Method" */
    struct span request; /* packed */
    int64_t timeout_us;  /* more than 0; the server is told */
    /* Gets each message; false: no more are wanted, and all is well. */
    bool (*hear)(void *user, struct span message);
    void *user;
};
/* As session_call(), but once a message was heard nothing is sent again. */
int session_stream(struct session *s, const struct session_stream *call);
/* Frees an answer.  Takes NULL. */
void session_free(void *answer);

/* A new random request id; `out` has VALUE_UUID_MAX bytes. */
void session_request_id(char *out);

#endif
