/* SPDX-License-Identifier: MIT */
/* Large arrays in huge pages.
 *   small -> calloc()      large -> memory of its own from the kernel, with a wish for huge pages
 * Owns nothing; the caller gives each array back with its size.  Fails by NULL.
 * Huge pages are a wish: where there are none everything is as right, and slower. */
#include "base/pages.h"

#include <stdlib.h>
#include <sys/mman.h>

#define PAGES_LARGE ((size_t)64 << 20) /* bytes: below, one page more than needed would be felt */

void *pages_new(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    if (bytes < PAGES_LARGE) {
        return calloc(count, size);
    }
    void *array = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (array == MAP_FAILED) {
        return NULL;
    }
    (void)madvise(array, bytes, MADV_HUGEPAGE);
    return array;
}

void pages_free(void *array, size_t count, size_t size)
{
    if (array == NULL || count * size < PAGES_LARGE) {
        free(array);
    } else {
        munmap(array, count * size);
    }
}
