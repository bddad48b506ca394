/* SPDX-License-Identifier: MIT */
/* The clocks, for shells only: a pure room is given the time (suite tidy holds that). */
#ifndef FAIRSLOT_BASE_CLOCK_H
#define FAIRSLOT_BASE_CLOCK_H

#include "base/types.h"

/* CLOCK_MONOTONIC in microseconds; for waiting and measuring. */
int64_t clock_mono_us(void);
/* CLOCK_REALTIME in microseconds since the epoch; may jump. */
int64_t clock_wall_us(void);
/* Fills `out` from the kernel's random device; ends the process when there is none. */
void clock_random(void *out, size_t n);

#endif
