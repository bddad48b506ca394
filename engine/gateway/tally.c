/* SPDX-License-Identifier: MIT */
/* Tally: what is counted of each call, at its beginning and at its end.
 *   call_new -> tally_open -> ... -> answer.c, call_move(GONE) -> tally_answer
 * Owns nothing: cells are the thread's own (base/metrics.h).
 * Invariant: every call is counted once under in-flight and once under the reason of its end. */
#include "gateway/tally.h"

#include "base/clock.h"
#include "base/metrics.h"
#include "gateway/call.h"
#include "gateway/front.h"
#include "gateway/queue.h"
#include "proto/codec.h"
#include "wire/wire.h"

#define TALLY_OPEN_CLASS 4 /* health, reflection, what nobody serves: outside the queue */

_Static_assert((int)METRICS_VALUES_reason >= (int)REASON_COUNT, "every reason has its cell");
_Static_assert((int)FAIRQ_CLASSES == TALLY_OPEN_CLASS, "the queue's classes are the label's");

void tally_names(void)
{
    for (unsigned i = 0; i < REASON_COUNT; i++) {
        metrics_label_name(METRICS_LABEL_reason, i, reason_name((enum reason)i));
    }
}

static unsigned tally_class(const struct call *call)
{
    return call->method && call->method->kind ? (unsigned)queue_class(call->method->kind)
                                              : TALLY_OPEN_CLASS;
}

static void tally_reason(unsigned class, const struct wire_call *wire, enum reason reason)
{
    unsigned protocol = (unsigned)wire_call_protocol(wire);
    METRIC_ADD3(rpc_requests_total, class, class, protocol, protocol, reason, reason, 1);
    if (reason != REASON_OK) {
        METRIC_ADD1(refusals_total, reason, reason, 1);
    }
}

void tally_open(struct call *call)
{
    call->opened_us = clock_mono_us();
    METRIC_ADD(rpc_inflight, 1);
}

void tally_answer(struct call *call, enum reason reason)
{
    unsigned class = tally_class(call);
    METRIC_ADD(rpc_inflight, -1);
    METRIC_TIME1(rpc_duration_seconds, class, class, clock_mono_us() - call->opened_us);
    tally_reason(class, call->wire, reason);
}

void tally_stranger(struct wire_call *wire, enum reason reason)
{
    tally_reason(TALLY_OPEN_CLASS, wire, reason);
}

void tally_queue(const struct front *front)
{
    METRIC_SET(queue_calls, queue_waiting(front));
    METRIC_SET(queue_identities, queue_waiting_identities(front));
}
