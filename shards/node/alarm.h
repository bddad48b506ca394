/* SPDX-License-Identifier: MIT */
/* What the shard's own steps found out that people should hear of.  Writer thread. */
#ifndef FAIRSLOT_NODE_ALARM_H
#define FAIRSLOT_NODE_ALARM_H

#include "proto/words.h"

/* A release was closed and counted: metrics, and a line in the log when being fast bought slots. */
void alarm_report(const struct report_view *v);

#endif
