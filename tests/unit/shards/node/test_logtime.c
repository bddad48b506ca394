/* SPDX-License-Identifier: MIT */
/* Does log time hold its promises under clocks that jump? */
#include "base/prng.h"
#include "node/logtime.h"
#include "tests/lib/tap.h"

static const int64_t start_us = 1800000000 * SECOND_US;

static void test_starts_at_the_later(void)
{
    struct logtime t;
    logtime_init(&t, start_us, start_us - DAY_US, 5);
    EQ(t.log_us, start_us);
    logtime_init(&t, start_us - DAY_US, start_us, 5);
    EQ(t.log_us, start_us);
    logtime_init(&t, 0, start_us, 5); /* the first start of all */
    EQ(t.log_us, start_us);
}

static void test_follows_agreeing_clocks(void)
{
    struct logtime t;
    logtime_init(&t, 0, start_us, 0);
    for (int64_t mono = 0; mono <= HOUR_US; mono += 12345) {
        EQ(logtime_advance(&t, start_us + mono, mono), start_us + mono);
    }
}

/* Steps of `step` for an hour against a wall clock that is off by `jump`. */
static int64_t after_an_hour(int64_t jump, int64_t step)
{
    struct logtime t;
    logtime_init(&t, 0, start_us, 0);
    for (int64_t mono = step; mono <= HOUR_US; mono += step) {
        logtime_advance(&t, start_us + jump + mono, mono);
    }
    return t.log_us - start_us - t.mono_us;
}

static void test_slews_by_one_percent(void)
{
    static const int64_t steps[] = {7, 90, 333, 1000, 250000, SECOND_US};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        int64_t gained = after_an_hour(365 * DAY_US, steps[i]);
        OK(gained <= HOUR_US / 100);
        OK(gained >= HOUR_US / 100 - steps[i]); /* short steps slew as much as long ones */
        int64_t lost = -after_an_hour(-365 * DAY_US, steps[i]);
        OK(lost <= HOUR_US / 100);
        OK(lost >= HOUR_US / 100 - steps[i]);
        EQ(after_an_hour(10 * SECOND_US, steps[i]), 10 * SECOND_US); /* stops where they agree */
        EQ(after_an_hour(-10 * SECOND_US, steps[i]), -10 * SECOND_US);
    }
}

static void test_never_goes_back(void)
{
    struct prng p;
    struct logtime t;
    prng_init(&p, 42);
    logtime_init(&t, 0, start_us, 0);
    int64_t mono = 0, last = t.log_us;
    for (int i = 0; i < 1000000; i++) {
        int64_t wall = start_us + (int64_t)prng_below(&p, 20 * DAY_US) - 10 * DAY_US;
        int64_t step = (int64_t)prng_below(&p, 1000) - 10; /* earlier instants, too */
        mono += step;
        int64_t now = logtime_advance(&t, wall, mono);
        OK(now >= last);
        OK(now - last <= (step > 0 ? step + step / 100 + 1 : 0));
        last = now;
    }
    OK(t.mono_us >= mono);
}

int main(void)
{
    TAP_RUN(test_starts_at_the_later);
    TAP_RUN(test_follows_agreeing_clocks);
    TAP_RUN(test_slews_by_one_percent);
    TAP_RUN(test_never_goes_back);
    return tap_done();
}
