/* SPDX-License-Identifier: MIT */
/* Where a connection's memory comes from, and a book of all that it holds. */
#ifndef FAIRSLOT_WIRE_MEMORY_H
#define FAIRSLOT_WIRE_MEMORY_H

#include <nghttp2/nghttp2.h>

#include "base/memcap.h"
#include "base/list.h"

/* libc's. */
extern const nghttp2_mem wire_memory_libc;

struct wire_memory {
    nghttp2_mem under;     /* who really allocates */
    nghttp2_mem booked;    /* for the connection: as `under`, each block on the list */
    struct list blocks;    /* what it holds */
    size_t used;           /* bytes of them, heads included */
    struct memcap *cap; /* of many connections; NULL: none */
};

/* Does not move afterwards: nghttp2 keeps its address.  `cap`: borrowed, or NULL. */
void wire_memory_init(struct wire_memory *m, const nghttp2_mem *under, struct memcap *cap);
/* Ends a session, when its connection has given back what is its own.  `failed`: an allocation
 * failed in it, so it is not trusted to free itself. */
void wire_memory_end(struct wire_memory *m, nghttp2_session *session, bool failed);

#endif
