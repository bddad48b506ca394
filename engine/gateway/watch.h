/* SPDX-License-Identifier: MIT */
/* CatalogService.WatchSlots on one loop: whoever watches gets each edition of the board as far as
 * he reads.  Loop thread. */
#ifndef FAIRSLOT_GATEWAY_WATCH_H
#define FAIRSLOT_GATEWAY_WATCH_H

#include <uv.h>

#include "base/list.h"
#include "base/types.h"

struct call;
struct gateway;
struct watcher;

struct watch {
    uv_async_t async;     /* the board has something new */
    uv_timer_t timer;     /* while there are watchers */
    struct list watchers; /* all of this loop */
    bool is_open;
    bool is_timing;
};

/* Its handles, once the loop is there.  0 or < 0. */
int watch_open(struct gateway *g);
/* Lets the loop end. */
void watch_close(struct gateway *g);
/* Ends every stream: this process stops. */
void watch_end_all(struct gateway *g);
/* CALL_OPEN -> CALL_STREAM, or refused. */
void watch_begin(struct call *call, struct span pool);
/* The call leaves its stream, for whatever reason.  call_move() alone calls it. */
void watch_leave(struct call *call);

#endif
