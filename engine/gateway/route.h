/* SPDX-License-Identifier: MIT */
/* Who serves a call: from its path to a table of functions.  The route_call_* are wire's
 * callbacks; their user is the connection, the wire call's user is our call (NULL: refused
 * without one). */
#ifndef FAIRSLOT_GATEWAY_ROUTE_H
#define FAIRSLOT_GATEWAY_ROUTE_H

#include "base/types.h"
#include "wire/wire.h"

struct call;

/* One kind of service.  Every function may answer the call. */
struct route {
    const char *path;  /* NULL: the API's methods, whose paths are in proto/codec.h */
    bool takes_one;    /* exactly one request message: route.c sees to it */
    bool has_end;      /* a deadline stands even if the client gave none */
    void (*open)(struct call *call); /* NULL: nothing to do */
    void (*message)(struct call *call, struct span message); /* valid during the call only */
    void (*half_closed)(struct call *call);
};

/* Does this version answer the method, other than by "planned"? */
bool route_is_served(struct span path);

void route_call_open(void *user, struct wire_call *wire);
void route_call_message(void *user, struct wire_call *wire, struct span message);
void route_call_half_closed(void *user, struct wire_call *wire);
void route_call_closed(void *user, struct wire_call *wire, bool finished);
void route_call_refused(void *user, struct wire_call *wire, enum wire_refusal why);

#endif
