/* SPDX-License-Identifier: MIT */
/* What hostile clients may cost this loop when each of them alone keeps within its connection's
 * limits: memory of all together, and calls whose message does not come.  Loop thread. */
#ifndef FAIRSLOT_GATEWAY_GUARD_H
#define FAIRSLOT_GATEWAY_GUARD_H

#include "base/list.h"
#include "base/memcap.h"
#include "wire/wire.h"

struct call;
struct conn;
struct gateway;

struct guard {
    struct memcap memory;      /* what connections and calls hold */
    struct wire_limits limits; /* of every connection */
    struct list mutes;         /* calls whose message is awaited, oldest first; by mute_link */
    size_t mutes_count;
    uint64_t relieved_ms;      /* when a hog was last looked for */
};

void guard_init(struct gateway *g);
/* Every connection is gone. */
void guard_fini(struct gateway *g);
/* There is memory for one more connection or call. */
bool guard_has_room(const struct gateway *g);
/* A call opened, and its message is to come.  False: refused, its connection has too many. */
bool guard_await(struct call *call);
/* It came, or is awaited no more. */
void guard_heard(struct call *call);
/* The call keeps n bytes more, until guard_give().  False: there is no room. */
bool guard_take(struct call *call, size_t n);
/* Gives back all that the call keeps. */
void guard_give(struct call *call);
/* Once per turn of the loop: where memory or unread answers run out, the connection with the most
 * of it goes. */
void guard_settle(struct gateway *g);

#endif
