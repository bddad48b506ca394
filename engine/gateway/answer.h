/* SPDX-License-Identifier: MIT */
/* How a call ends: with a message, or with a reason.  Loop thread; also inside wire's callbacks.
 * A call that was answered before is left alone. */
#ifndef FAIRSLOT_GATEWAY_ANSWER_H
#define FAIRSLOT_GATEWAY_ANSWER_H

#include "base/types.h"
#include "proto/codec.h"

struct call;
struct gateway;
struct wire_call;

/* The one message of a unary call, status 0.  Copies. */
void answer_message(struct call *call, struct span message);
/* One message of a stream, which goes on; over the call's limit it ends with RATE_LIMITED. */
void answer_part(struct call *call, struct span message);
/* What the shard said: its message, or its refusal.  Copies. */
void answer_shard(struct call *call, const struct answer *answer);
/* Ends a stream with status 0. */
void answer_end(struct call *call);
/* Status, text and details of a refusal. */
void answer_refuse(struct call *call, const struct codec_refusal *refusal);
/* The same with a reason alone, and more to say after its text (NULL: nothing). */
void answer_reason(struct call *call, enum reason reason, const char *detail);
/* Refuses an RPC that has no call of ours (the pool is empty).  0 or < 0. */
int answer_wire(struct gateway *g, struct wire_call *wire, enum reason reason, const char *detail);

#endif
