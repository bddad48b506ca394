/* SPDX-License-Identifier: MIT */
/* The end of the line for a broken invariant: say where, then abort.  Owns nothing.
 * Stays on in production: a wrong answer is worse than no answer. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "fairslot: CHECK(%s) failed at %s:%d\n", condition, file, line);
    abort();
}
