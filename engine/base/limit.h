/* SPDX-License-Identifier: MIT */
/* Limits that a test can switch off, to see that it fails without them.  In every program but the
 * one that the tests build with -DPLANT_LIMITS_OFF, limit_is_on() is the constant true.
 *   if (count > MAX && limit_is_on("frames")) refuse; */
#ifndef FAIRSLOT_BASE_LIMIT_H
#define FAIRSLOT_BASE_LIMIT_H

#include <stdbool.h>

#ifdef PLANT_LIMITS_OFF
/* False for the names in the environment's FAIRSLOT_LIMITS_OFF, parted by commas. */
bool limit_is_on(const char *name);
#else
#define limit_is_on(name) true
#endif

#endif
