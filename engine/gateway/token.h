/* SPDX-License-Identifier: MIT */
/* The token desk: calls whose bearer token nobody has seen yet wait here while a worker verifies
 * it.  Loop thread; one function of token.c runs on libuv's workers. */
#ifndef FAIRSLOT_GATEWAY_TOKEN_H
#define FAIRSLOT_GATEWAY_TOKEN_H

#include <uv.h>

#include "base/limits.h"
#include "base/list.h"
#include "base/types.h"

#define TOKEN_BUCKETS 1024

struct call;
struct auth;
struct fairq;
struct front;
struct gateway;

struct token_desk {
    struct list buckets[TOKEN_BUCKETS]; /* every job, by its token */
    struct list suspects;               /* waiting ones of connections that brought junk before */
    struct list parked;                 /* waiting for their issuer's keys */
    struct fairq *queue;                /* waiting for a worker, by connection */
    uv_timer_t timer;                   /* looks after `parked` while there is one */
    uint8_t secret[16];                 /* nobody chooses his bucket */
    size_t jobs_count;                  /* at most VERIFY_PENDING_MAX */
    size_t running_count;               /* at most VERIFY_RUNNING_MAX */
    size_t parked_count;                /* at most VERIFY_PARKED_MAX */
};

/* 0 or < 0. */
int token_desk_init(struct gateway *g);
/* Its timer, once the loop is there. */
void token_desk_open(struct gateway *g);
/* The options' issuers and their keys, not in use yet.  0, > 0 with `ret_text` (256 bytes), or < 0.
 * Any thread; waits for issuers, REFRESH_START_MS at most. */
int token_desk_keys(const struct front *front, struct auth **ret_auth, char *ret_text);
/* From now on the loop believes the front's issuers of this moment. */
void token_desk_turn(struct gateway *g);
/* Every call has been refused.  Lets the loop end. */
void token_desk_close(struct gateway *g);
/* The loop has ended. */
void token_desk_fini(struct gateway *g);
/* Judges the call's authorization header: known at once (admit_verified() is called), refused, or
 * CALL_OPEN -> CALL_AUTH until a worker is done. */
void token_ask(struct call *call);

#endif
