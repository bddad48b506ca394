/* SPDX-License-Identifier: MIT */
/* What the pools of an import have already, so that a file may be imported again, grown or in
 * another order. */
#ifndef FAIRSLOT_CTL_STOCK_H
#define FAIRSLOT_CTL_STOCK_H

#include "ctl/import.h"
#include "ctl/session.h"

/* Takes out of the import what its pools have already (same start, desk and duration).  The pools
 * must exist.  VERB_OK and how many were taken out, or an exit code (told): VERB_PRECONDITION when
 * a desk has another slot at that time, with FILE:LINE of each. */
int stock_compare(struct session *session, struct import *import, const char *file,
                  size_t *ret_there);

#endif
