/* SPDX-License-Identifier: MIT */
/* The verbs that stay: serve (everything in one process), gateway and shard (two processes). */
#ifndef FAIRSLOT_SERVE_H
#define FAIRSLOT_SERVE_H

#include "verb.h"

/* Ends with noun NULL. */
extern const struct verb serve_verbs[];

#endif
