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

static int64_t majority(size_t voters, size_t count, int64_t a, int64_t b, int64_t c)
{
    int64_t clocks[3] = {a, b, c};
    return logtime_majority(clocks, count, voters);
}

static void test_a_majority_has_passed_it(void)
{
    const int64_t hour = HOUR_US, now = start_us;
    EQ(majority(3, 3, now, now + 1, now + 2), now + 1);
    EQ(majority(3, 3, now + hour, now, now + 1), now + 1); /* one is an hour ahead */
    EQ(majority(3, 3, now - hour, now, now + 1), now);     /* one is an hour behind */
    EQ(majority(3, 3, now + hour, now + hour, now), now + hour); /* two are: nobody can tell */
    EQ(majority(3, 2, now + hour, now, 0), now); /* one is not heard: the earlier of two */
    EQ(majority(5, 3, now + hour, now, now + 1), now);
    EQ(majority(3, 1, now + hour, 0, 0), now + hour); /* alone heard */
    EQ(majority(1, 1, now, 0, 0), now);
    EQ(majority(2, 2, now, now + hour, 0), now);
}

static void test_goes_on_from_another_leader(void)
{
    struct logtime t;
    logtime_init(&t, start_us, start_us, 0);
    logtime_follow(&t, start_us + 7 * SECOND_US, 3 * SECOND_US);
    EQ(logtime_advance(&t, start_us + 9 * SECOND_US, 5 * SECOND_US), start_us + 9 * SECOND_US);
}

int main(void)
{
    TAP_RUN(test_starts_at_the_later);
    TAP_RUN(test_follows_agreeing_clocks);
    TAP_RUN(test_slews_by_one_percent);
    TAP_RUN(test_never_goes_back);
    TAP_RUN(test_a_majority_has_passed_it);
    TAP_RUN(test_goes_on_from_another_leader);
    return tap_done();
}
