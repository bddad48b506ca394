/* SPDX-License-Identifier: MIT */
/* `fairslot flood simulate`: a release day of any size in virtual time, without sockets. */
#ifndef FAIRSLOT_SIMULATE_SIMULATE_H
#define FAIRSLOT_SIMULATE_SIMULATE_H

#include "verb.h"

/* Ends with noun NULL. */
extern const struct verb simulate_verbs[];

#endif
