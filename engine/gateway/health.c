/* SPDX-License-Identifier: MIT */
/* Health, answered on the loop: the cheapest call there is, and the one that load balancers repeat.
 * Owns: the list of watchers.  Check: one message in, two bytes out.  Watch: the status now, and
 * again whenever it changes; a stranger's name is watched too, its status just never changes.
 * Fails: malformed bytes (status 3), an unknown service (5, Check only), too many watchers (8).
 * Invariant: every watcher is in CALL_STREAM and on the list; call_move() takes it off and counts.
 * Not a status per service: what is served here is served by one process, or not at all. */
#include "gateway/health.h"

#include "base/bytes.h"
#include "base/check.h"
#include "gateway/answer.h"
#include "gateway/call.h"
#include "gateway/inside.h"
#include "gateway/pb.h"
#include "gateway/symbols.h"

#define HEALTH_WATCHERS_MAX 1024 /* they hold calls of the pool for hours: few may */

void health_init(struct health *h, const struct symbols *symbols)
{
    *h = (struct health){.symbols = symbols, .status = HEALTH_SERVING};
    list_init(&h->watchers);
}

enum health_status health_ask(const struct health *h, struct span message)
{
    struct span service = {0};
    struct reader r = reader_of(message.ptr, message.len);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (f.number == 1 && f.wire == PB_BYTES) {
            service = f.bytes;
        }
    }
    if (r.bad) {
        return HEALTH_UNKNOWN;
    }
    bool is_known = service.len == 0 || symbols_service_index(h->symbols, service) >= 0;
    return is_known ? h->status : HEALTH_SERVICE_UNKNOWN;
}

/* HealthCheckResponse{status}, packed. */
static struct span health_packed(enum health_status status)
{
    static const uint8_t packed[4][2] = {{8, 0}, {8, 1}, {8, 2}, {8, 3}};
    return (struct span){packed[status], 2};
}

void health_check_message(struct call *call, struct span message)
{
    call->service = (int32_t)health_ask(&call_gateway(call)->health, message);
}

void health_check_half_closed(struct call *call)
{
    enum health_status status = (enum health_status)call->service;
    if (status == HEALTH_UNKNOWN) {
        answer_reason(call, REASON_MESSAGE_MALFORMED, NULL);
    } else if (status == HEALTH_SERVICE_UNKNOWN) {
        answer_reason(call, REASON_SERVICE_UNKNOWN, NULL);
    } else {
        answer_message(call, health_packed(status));
    }
}

void health_watch_open(struct call *call)
{
    struct gateway *g = call_gateway(call);
    if (g->health.watchers_count >= HEALTH_WATCHERS_MAX) {
        answer_reason(call, REASON_RATE_LIMITED, "too many watch already: use Check");
    } else if (g->phase != GATEWAY_OPEN) {
        answer_reason(call, REASON_SHUTTING_DOWN, NULL);
    } else if (!call->has_own_deadline) {
        deadline_arm(&g->deadlines, &call->deadline, uv_now(&g->loop) + DEADLINE_MS);
    }
}

void health_watch_message(struct call *call, struct span message)
{
    struct gateway *g = call_gateway(call);
    enum health_status status = health_ask(&g->health, message);
    if (status == HEALTH_UNKNOWN) {
        answer_reason(call, REASON_MESSAGE_MALFORMED, NULL);
        return;
    }
    if (!call->has_own_deadline) {
        deadline_disarm(&g->deadlines, &call->deadline);
    }
    call_move(call, CALL_STREAM);
    call->service = (int32_t)status;
    call->is_watching = true;
    g->health.watchers_count++;
    list_push(&g->health.watchers, &call->link);
    answer_part(call, health_packed(status));
}

void health_set(struct health *h, enum health_status status)
{
    h->status = status;
    struct list *next;
    for (struct list *l = h->watchers.next; l != &h->watchers; l = next) {
        next = l->next; /* a watcher that does not read is ended, and leaves */
        struct call *call = CONTAINER_OF(l, struct call, link);
        if (call->service != HEALTH_SERVICE_UNKNOWN) {
            answer_part(call, health_packed(status));
        }
    }
}

void health_end_watches(struct health *h)
{
    while (!list_empty(&h->watchers)) {
        answer_reason(CONTAINER_OF(h->watchers.next, struct call, link), REASON_SHUTTING_DOWN,
                      NULL);
    }
}
