/* SPDX-License-Identifier: MIT */
/* Resource names from what people type: an id alone, or the full name.  Pure. */
#ifndef FAIRSLOT_CTL_NAMES_H
#define FAIRSLOT_CTL_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#define NAMES_MAX 256 /* bytes with the end; what is longer is cut and refused by the server */

/* "passports" or "pools/passports" -> "pools/passports". */
void names_pool(const char *typed, char *out);
/* "pools/P/slots/S" as it is; "S" with --pool P.  false: no pool named. */
bool names_child(const char *typed, const char *pool, const char *collection, char *out);
/* "pools/P" of "pools/P/slots/S"; false when it is no such name. */
bool names_parent(const char *name, char *out);

#endif
