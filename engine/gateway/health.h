/* SPDX-License-Identifier: MIT */
/* grpc.health.v1.Health: is this gateway accepting calls?  "" is the process; every service that
 * is served is asked for by its name and shares its answer.  A lost shard does not change it: the
 * gateway still answers, with a reason and a retry time, and must not be taken out for it. */
#ifndef FAIRSLOT_GATEWAY_HEALTH_H
#define FAIRSLOT_GATEWAY_HEALTH_H

#include "base/list.h"
#include "base/types.h"

struct call;
struct symbols;

/* grpc.health.v1.HealthCheckResponse.ServingStatus. */
enum health_status {
    HEALTH_UNKNOWN = 0,
    HEALTH_SERVING = 1,
    HEALTH_NOT_SERVING = 2,
    HEALTH_SERVICE_UNKNOWN = 3,
};

struct health {
    const struct symbols *symbols; /* borrowed */
    enum health_status status;     /* of everything that is known */
    struct list watchers;          /* calls in CALL_STREAM */
    size_t watchers_count;
};

void health_init(struct health *h, const struct symbols *symbols);
/* Reads a HealthCheckRequest and says what to answer: HEALTH_SERVICE_UNKNOWN for a stranger,
 * HEALTH_UNKNOWN for bytes that are no such message.  Pure. */
enum health_status health_ask(const struct health *h, struct span message);
/* Tells every watcher. */
void health_set(struct health *h, enum health_status status);
/* Ends every watch: this process stops. */
void health_end_watches(struct health *h);

/* Of the routes. */
void health_check_message(struct call *call, struct span message);
void health_check_half_closed(struct call *call);
void health_watch_open(struct call *call);
void health_watch_message(struct call *call, struct span message);

#endif
