/* SPDX-License-Identifier: MIT */
/* EventService.WatchEvents on one loop: events page by page, then the new ones.  Loop thread. */
#ifndef FAIRSLOT_GATEWAY_EVENTS_H
#define FAIRSLOT_GATEWAY_EVENTS_H

#include <uv.h>

#include "base/list.h"
#include "proto/reason.h"

struct answer;
struct call;
struct command;
struct gateway;
struct listener;

struct events {
    uv_timer_t timer;      /* while there are listeners */
    struct list listeners; /* of this loop */
    size_t count;
    bool is_timing;
};

/* Its handle, once the loop is there. */
void events_open(struct gateway *g);
/* Lets the loop end. */
void events_close(struct gateway *g);
/* Ends every stream: this process stops. */
void events_end_all(struct gateway *g);
/* The shard has news: whoever listens asks. */
void events_news(struct gateway *g);
/* CALL_OPEN -> CALL_STREAM, or refused.  `command` has its identity and is changed. */
void events_begin(struct call *call, struct command *command);
/* What a listener asked came home: an answer of the shard's, or NULL and why not. */
void events_home(struct call *call, const struct answer *answer, enum reason reason,
                 const char *detail);
/* The call leaves its stream, for whatever reason.  call_move() alone calls it. */
void events_leave(struct call *call);

#endif
