/* SPDX-License-Identifier: MIT */
/* Always-on asserts.  For programmer errors only: hostile input gets a verdict, never a CHECK.
 * One condition a line, so that the message names what broke. */
#ifndef FAIRSLOT_BASE_CHECK_H
#define FAIRSLOT_BASE_CHECK_H

#include <stdbool.h>

/* Prints file, line and condition to stderr and aborts.  Any thread. */
_Noreturn void check_failed(const char *file, int line, const char *condition);

#define CHECK(a)                                      \
    do {                                              \
        if (__builtin_expect(!(a), 0)) {              \
            check_failed(__FILE__, __LINE__, #a);     \
        }                                             \
    } while (0)

/* If a then b. */
#define IMPLY(a, b) CHECK(!(a) || (b))

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The struct of type `type` whose member `member` is at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
