/* SPDX-License-Identifier: MIT */
/* Time and chance from outside.  Owns nothing.  A machine without clocks or random bytes cannot
 * run a fair release, so failure here ends the process. */
#include "base/clock.h"

#include <sys/random.h>
#include <time.h>

#include "base/check.h"

static int64_t clock_us(clockid_t id)
{
    struct timespec t;
    CHECK(clock_gettime(id, &t) == 0);
    return (int64_t)t.tv_sec * SECOND_US + t.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

int64_t clock_wall_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

void clock_random(void *out, size_t n)
{
    uint8_t *p = out;
    while (n > 0) {
        ssize_t r = getrandom(p, n, 0);
        CHECK(r > 0);
        p += r;
        n -= (size_t)r;
    }
}
