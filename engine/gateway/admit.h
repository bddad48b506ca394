/* SPDX-License-Identifier: MIT */
/* Admission: a call of the API from its headers into the fair queue.  Loop thread. */
#ifndef FAIRSLOT_GATEWAY_ADMIT_H
#define FAIRSLOT_GATEWAY_ADMIT_H

#include "base/types.h"

struct call;
struct verified;

/* The token is good: role, then what came of the message meanwhile.  In CALL_OPEN. */
void admit_verified(struct call *call, const struct verified *verified);

/* Of the routes. */
void admit_open(struct call *call);
void admit_message(struct call *call, struct span message);
void admit_half_closed(struct call *call);

#endif
