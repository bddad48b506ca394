/* SPDX-License-Identifier: MIT */
/* libc's allocator in nghttp2's clothes.  Owns nothing, keeps nothing, fails with NULL as libc.
 * It stands here because nghttp2 keeps its own default to itself. */
#include "wire/memory.h"

#include <stdlib.h>

static void *memory_malloc(size_t size, void *user)
{
    return malloc(size);
}

static void memory_free(void *ptr, void *user)
{
    free(ptr);
}

static void *memory_calloc(size_t count, size_t size, void *user)
{
    return calloc(count, size);
}

static void *memory_realloc(void *ptr, size_t size, void *user)
{
    return realloc(ptr, size);
}

const nghttp2_mem wire_memory_libc = {
    .malloc = memory_malloc,
    .free = memory_free,
    .calloc = memory_calloc,
    .realloc = memory_realloc,
};
