/* SPDX-License-Identifier: MIT */
/* The token desk: calls whose bearer token nobody has seen yet wait here while a worker verifies
 * it.  Loop thread; one function of token.c runs on libuv's workers. */
#ifndef FAIRSLOT_GATEWAY_TOKEN_H
#define FAIRSLOT_GATEWAY_TOKEN_H

#include "base/list.h"
#include "base/types.h"

struct call;
struct gateway;

struct token_desk {
    struct list jobs;  /* tokens being verified */
    size_t jobs_count; /* at most VERIFY_PENDING_MAX */
};

void token_desk_init(struct token_desk *desk);
/* Reads the issuer's keys: front->auth.  0, > 0 with `ret_text` (256 bytes), or < 0. */
int token_desk_keys(struct gateway *g, char *ret_text);
/* Judges the call's authorization header: known at once (admit_verified() is called), refused, or
 * CALL_OPEN -> CALL_AUTH until a worker is done. */
void token_ask(struct call *call);

#endif
