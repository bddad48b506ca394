/* SPDX-License-Identifier: MIT */
/* What is counted of calls.  Loop thread only; metrics_table.h has the metrics. */
#ifndef FAIRSLOT_GATEWAY_TALLY_H
#define FAIRSLOT_GATEWAY_TALLY_H

#include "proto/reason.h"

struct call;
struct front;
struct wire_call;

/* The names of the labels that other rooms have the words for.  Once a process, or again. */
void tally_names(void);
/* A call begins. */
void tally_open(struct call *call);
/* It was answered, or its client gave it up (CANCELLED). */
void tally_answer(struct call *call, enum reason reason);
/* A call that never became one of ours was refused. */
void tally_stranger(struct wire_call *wire, enum reason reason);
/* Queue and shard, once a turn of the first loop. */
void tally_queue(const struct front *front);

#endif
