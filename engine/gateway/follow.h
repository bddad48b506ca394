/* SPDX-License-Identifier: MIT */
/* TicketService.WatchTicket on one loop: whoever follows a ticket gets it at once and again with
 * every change, until it can change no more.  Loop thread. */
#ifndef FAIRSLOT_GATEWAY_FOLLOW_H
#define FAIRSLOT_GATEWAY_FOLLOW_H

#include <uv.h>

#include "base/list.h"
#include "proto/reason.h"

struct answer;
struct call;
struct command;
struct follower;
struct gateway;

struct news_take;

struct follow {
    uv_async_t async;      /* there are news */
    uv_timer_t timer;      /* while there are followers */
    struct list followers; /* all of this loop, who asked last at the end */
    struct list *buckets;  /* owned: the same by identity */
    struct list called;    /* who is to ask at once */
    struct list woken;     /* who is to ask as soon as there is room */
    struct news_take *take; /* owned: what was taken last */
    size_t count;
    size_t asking;         /* questions out */
    bool is_open;
    bool is_timing;
    bool is_pumping;
};

/* Its handles, once the loop is there.  0 or < 0. */
int follow_open(struct gateway *g);
/* Lets the loop end. */
void follow_close(struct gateway *g);
/* Ends every stream: this process stops. */
void follow_end_all(struct gateway *g);
/* CALL_OPEN -> CALL_STREAM, or refused.  `command` has its identity and is changed. */
void follow_begin(struct call *call, struct command *command);
/* What a follower asked came home: an answer of the shard's, or NULL and why not. */
void follow_home(struct call *call, const struct answer *answer, enum reason reason,
                 const char *detail);
/* The call leaves its stream, for whatever reason.  call_move() alone calls it. */
void follow_leave(struct call *call);

#endif
