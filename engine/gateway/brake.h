/* SPDX-License-Identifier: MIT */
/* The brake: an identity that goes on sending when its queue is full is read slowly.  Each call
 * that is refused with QUEUE_FULL costs the gateway about what a served one costs; who is refused
 * and asks again at once, on thousands of connections, would take the processor from everybody.
 * So connections that bring such calls are left unread for a while, and TCP holds their sender. */
#ifndef FAIRSLOT_GATEWAY_BRAKE_H
#define FAIRSLOT_GATEWAY_BRAKE_H

#include "base/limits.h"
#include "base/types.h"

struct call;
struct conn;

/* Of the first loop: identities that were refused lately. */
struct brake {
    struct brake_slot {
        struct identity identity;
        uint64_t whole_ms; /* when its budget of refusals is whole again */
    } slots[BRAKE_SLOTS];
};

/* PURE.  One call of the identity was refused: 0, or for how many milliseconds the connection that
 * brought it is to be left unread. */
uint32_t brake_press(struct brake *brake, const struct identity *identity, uint64_t now_ms);

/* The call's own loop.  Its connection is left unread for so long, if calls like this are most of
 * what it brings: a connection of many people is not stopped for one of them. */
void brake_hold(struct call *call, uint32_t ms);
/* Its deadline: it is read again. */
void brake_release(struct conn *conn);

#endif
