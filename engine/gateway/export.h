/* SPDX-License-Identifier: MIT */
/* ReleaseAdminService.ExportRelease on one loop: a release's bundle, piece by piece.  Loop
 * thread. */
#ifndef FAIRSLOT_GATEWAY_EXPORT_H
#define FAIRSLOT_GATEWAY_EXPORT_H

#include <uv.h>

#include "base/list.h"
#include "proto/reason.h"

struct answer;
struct call;
struct command;
struct exporter;
struct gateway;

struct exports {
    uv_timer_t timer;      /* while there are exporters */
    struct list exporters; /* of this loop */
    size_t count;
    bool is_timing;
};

/* Its handle, once the loop is there. */
void export_open(struct gateway *g);
/* Lets the loop end. */
void export_close(struct gateway *g);
/* Ends every stream: this process stops. */
void export_end_all(struct gateway *g);
/* CALL_OPEN -> CALL_STREAM, or refused.  `command` has its identity and is changed. */
void export_begin(struct call *call, struct command *command);
/* What an exporter asked came home: an answer of the shard's, or NULL and why not. */
void export_home(struct call *call, const struct answer *answer, enum reason reason,
                 const char *detail);
/* The call leaves its stream, for whatever reason.  call_move() alone calls it. */
void export_leave(struct call *call);

#endif
