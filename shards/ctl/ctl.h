/* SPDX-License-Identifier: MIT */
/* What an operator types: verbs that call a gateway over gRPC (engine/wire, client side), and the
 * development issuer that makes keys and tokens.  Blocking, one call at a time. */
#ifndef FAIRSLOT_CTL_CTL_H
#define FAIRSLOT_CTL_CTL_H

#include "verb.h"

/* token; pool create|list|show; slot import|list; reservation list|show.  Ends with noun NULL. */
extern const struct verb ctl_verbs[];

#endif
