/* SPDX-License-Identifier: MIT */
/* Tally: what is counted of each call, at its beginning and at its end.
 *   call_new -> tally_open -> ... -> answer.c, call_move(GONE) -> tally_answer
 * Owns nothing: cells are the thread's own (base/metrics.h).
 * Invariant: every call is counted once under in-flight and once under the reason of its end. */
#include "gateway/tally.h"

#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "gateway/call.h"
#include "gateway/front.h"
#include "gateway/inside.h"
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

static const char *const tally_protocols[] = {
    [WIRE_GRPC] = "grpc", [WIRE_GRPC_WEB] = "grpc-web", [WIRE_GRPC_WEB_TEXT] = "grpc-web-text",
    [WIRE_CONNECT] = "connect", [WIRE_CONNECT_STREAM] = "connect-stream"};

/* The access log: what was asked and became of it, by whom as a pseudonym.  The path of a method
 * that nobody knows is the caller's text, and stays out. */
static void tally_log(const struct call *call, enum reason reason, int64_t took_us)
{
    char method[128] = "-", identity[17] = "", trace[TRACE_ID_HEX] = "";
    struct span path = wire_call_path(call->wire);
    if (call->route || call->method) {
        snprintf(method, sizeof(method), "%.*s", (int)path.len, (const char *)path.ptr);
    }
    for (size_t i = 0; call->is_verified && i < 8; i++) {
        snprintf(identity + 2 * i, 3, "%02x", call->identity.bytes[i]);
    }
    struct log_field fields[] = {
        LOG_TEXT("method", method),
        LOG_TEXT("protocol", tally_protocols[wire_call_protocol(call->wire)]),
        LOG_NUMBER("status", reason_status(reason)),
        LOG_TEXT("reason", reason_name(reason)),
        LOG_NUMBER("duration_us", took_us),
        LOG_TEXT("identity", identity),
        LOG_TEXT("trace_id", call->has_trace ? trace_id_hex(call->trace.bytes, trace) : trace),
        {NULL},
    };
    if (!call->has_trace) {
        fields[ARRAY_COUNT(fields) - 2] = (struct log_field){NULL};
    }
    log_event(LOG_ACCESS, fields, "%s %s", method, reason_name(reason));
}

void tally_open(struct call *call)
{
    call->opened_us = clock_mono_us();
    call->has_trace = trace_parse(wire_call_traceparent(call->wire), &call->trace);
    METRIC_ADD(rpc_inflight, 1);
}

void tally_answer(struct call *call, enum reason reason)
{
    unsigned class = tally_class(call);
    int64_t took_us = clock_mono_us() - call->opened_us;
    METRIC_ADD(rpc_inflight, -1);
    METRIC_TIME1(rpc_duration_seconds, class, class, took_us);
    tally_reason(class, call->wire, reason);
    if (atomic_load_explicit(&call_gateway(call)->options->access_log, memory_order_relaxed)) {
        tally_log(call, reason, took_us);
    }
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
