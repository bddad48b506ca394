/* SPDX-License-Identifier: MIT */
/* Arrays of millions: zeroed memory that lies in huge pages where the kernel has some, so that a
 * step to a random place waits for the place and not for the page's address too.  Small ones come
 * from calloc(), as they would without. */
#ifndef FAIRSLOT_BASE_PAGES_H
#define FAIRSLOT_BASE_PAGES_H

#include <stddef.h>

/* `count` times `size` bytes, all 0; NULL: there is no such memory. */
void *pages_new(size_t count, size_t size);
/* With the same numbers as in pages_new(); NULL is fine. */
void pages_free(void *array, size_t count, size_t size);

#endif
