/* SPDX-License-Identifier: MIT */
/* Where a connection's memory comes from, and a book of what nghttp2 holds of it. */
#ifndef FAIRSLOT_WIRE_MEMORY_H
#define FAIRSLOT_WIRE_MEMORY_H

#include <nghttp2/nghttp2.h>

#include "base/list.h"

/* libc's. */
extern const nghttp2_mem wire_memory_libc;

struct wire_memory {
    nghttp2_mem under;  /* who really allocates */
    nghttp2_mem booked; /* for nghttp2: as `under`, each block on the list */
    struct list blocks; /* what nghttp2 holds */
};

/* Does not move afterwards: nghttp2 keeps its address. */
void wire_memory_init(struct wire_memory *m, const nghttp2_mem *under);
/* Ends a session.  `failed`: an allocation failed in it, so it is not trusted to free itself. */
void wire_memory_end(struct wire_memory *m, nghttp2_session *session, bool failed);

#endif
