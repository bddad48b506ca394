/* SPDX-License-Identifier: MIT */
/* Plain TAP for unit tests: a table of named functions, an OK() that names its line.
 *   static void test_x(void) { OK(1 + 1 == 2); }
 *   int main(void) { TAP_RUN(test_x); return tap_done(); } */
#ifndef FAIRSLOT_TESTS_TAP_H
#define FAIRSLOT_TESTS_TAP_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_count;
static int tap_failed;
static int tap_broken; /* the running test has a false OK */

#define OK(a)                                                            \
    do {                                                                 \
        if (!(a)) {                                                      \
            printf("# %s:%d: %s is false\n", __FILE__, __LINE__, #a);    \
            tap_broken = 1;                                              \
        }                                                                \
    } while (0)

#define EQ(a, b)                                                                        \
    do {                                                                                \
        long long tap_a = (long long)(a), tap_b = (long long)(b);                       \
        if (tap_a != tap_b) {                                                           \
            printf("# %s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #a, tap_a, tap_b); \
            tap_broken = 1;                                                             \
        }                                                                               \
    } while (0)

#define EQS(a, b)                                                                       \
    do {                                                                                \
        const char *tap_a = (a), *tap_b = (b);                                          \
        if (strcmp(tap_a, tap_b) != 0) {                                                \
            printf("# %s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, #a, tap_a, tap_b); \
            tap_broken = 1;                                                             \
        }                                                                               \
    } while (0)

#define TAP_RUN(f)                                                               \
    do {                                                                         \
        tap_broken = 0;                                                          \
        f();                                                                     \
        tap_failed += tap_broken;                                                \
        printf("%s %d - %s\n", tap_broken ? "not ok" : "ok", ++tap_count, #f);   \
        fflush(stdout);                                                          \
    } while (0)

static inline int tap_done(void)
{
    printf("1..%d\n", tap_count);
    return tap_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
