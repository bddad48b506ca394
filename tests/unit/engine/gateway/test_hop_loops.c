/* SPDX-License-Identifier: MIT */
/* The same questions as test_hop.c with three loops: the hop is the first one's, and calls of the
 * others reach it by post. */
#define HOUSE_LOOPS 3
#include "test_hop.c"
