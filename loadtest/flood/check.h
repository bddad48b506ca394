/* SPDX-License-Identifier: MIT */
/* Two questions of the audit that no list answers: is a hold confirmed once only, and does the
 * order follow from the seed? */
#ifndef FAIRSLOT_FLOOD_CHECK_H
#define FAIRSLOT_FLOOD_CHECK_H

#include "flood/stage.h"

/* As some of the winners, with new request ids: each must be refused.  0 or an exit code. */
int check_again(const struct plan *plan, struct audit *audit);
/* `release report --bundle` and `release verify`, by this very binary.  0 or an exit code. */
int check_order(const struct plan *plan, const char *operator_token, struct audit *audit);

#endif
