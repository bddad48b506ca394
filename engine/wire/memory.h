/* SPDX-License-Identifier: MIT */
/* Where a connection's memory comes from: libc, or an allocator of a test that fails on demand.
 * nghttp2 takes the same one, so that a failing allocation is met wherever it happens. */
#ifndef FAIRSLOT_WIRE_MEMORY_H
#define FAIRSLOT_WIRE_MEMORY_H

#include <nghttp2/nghttp2.h>

/* libc's. */
extern const nghttp2_mem wire_memory_libc;

#endif
