/* SPDX-License-Identifier: MIT */
/* Switches for limits, in a planted program only: see limit.h.  Owns nothing; asks the environment
 * each time, as the program that pays for it is never shipped.
 * Fails never: without the variable every limit is on. */
#include "base/limit.h"

#ifdef PLANT_LIMITS_OFF

#include <stdlib.h>
#include <string.h>

bool limit_is_on(const char *name)
{
    const char *at = getenv("FAIRSLOT_LIMITS_OFF");
    size_t len = strlen(name);
    while (at && *at) {
        size_t n = strcspn(at, ",");
        if (n == len && memcmp(at, name, n) == 0) {
            return false;
        }
        at += n + (at[n] == ',');
    }
    return true;
}

#endif
