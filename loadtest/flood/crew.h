/* SPDX-License-Identifier: MIT */
/* One process of the generator: its part of the clients over its connections, open loop. */
#ifndef FAIRSLOT_FLOOD_CREW_H
#define FAIRSLOT_FLOOD_CREW_H

#include <signal.h>

#include "flood/plan.h"

/* Runs the clients whose number leaves `number` when divided by the plan's processes, until all are
 * decided or the plan ends, or *stop is set.  0; CREW_E_CONNECT; CREW_E_FILES (out of descriptors);
 * or < 0.  `ret_result` is filled as it goes. */
enum { CREW_E_CONNECT = 1, CREW_E_FILES = 2 };
int crew_run(const struct plan *plan, uint32_t number, const volatile sig_atomic_t *stop,
             struct result *ret_result);

#endif
