/* SPDX-License-Identifier: MIT */
/* Goal: small and large arrays are zeroed, writable to their last byte and given back; a size that
 * no number holds, or no memory, is NULL. */
#include "base/pages.h"

#include <stdint.h>

#include "tests/lib/tap.h"

static void pages_check(size_t count)
{
    unsigned char *a = pages_new(count, 16);
    OK(a != NULL);
    EQ(a[0], 0);
    EQ(a[8 * count], 0);
    EQ(a[16 * count - 1], 0);
    a[0] = a[16 * count - 1] = 1;
    pages_free(a, count, 16);
}

static void test_small_from_the_heap(void)
{
    pages_check(100);
}

static void test_large_from_the_kernel(void)
{
    pages_check((size_t)5 << 20); /* 80 MiB, of which three pages are touched */
}

static void test_none_is_null(void)
{
    OK(pages_new(SIZE_MAX / 8, 16) == NULL);
    OK(pages_new(SIZE_MAX / 64, 16) == NULL); /* more than addresses */
    pages_free(NULL, 1, 16);
    pages_free(NULL, (size_t)1 << 30, 16);
}

int main(void)
{
    TAP_RUN(test_small_from_the_heap);
    TAP_RUN(test_large_from_the_kernel);
    TAP_RUN(test_none_is_null);
    return tap_done();
}
