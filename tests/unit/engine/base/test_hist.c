/* SPDX-License-Identifier: MIT */
/* Goal: quantiles agree with a sorted array to the promised 0.1 %. */
#include "base/hist.h"

#include "base/prng.h"
#include "tests/lib/tap.h"

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void test_against_sorted_values(void)
{
    static struct hist h;
    static uint64_t values[50000];
    struct prng p;
    prng_init(&p, 7);
    hist_init(&h);
    for (int i = 0; i < 50000; i++) {
        values[i] = prng_below(&p, UINT64_C(1) << (4 + prng_below(&p, 26)));
        hist_record(&h, values[i]);
    }
    qsort(values, 50000, sizeof values[0], compare);
    for (uint32_t q = 1000; q <= 100000; q += 1000) {
        uint64_t exact = values[(50000ull * q + 99999) / 100000 - 1];
        uint64_t got = hist_quantile(&h, q);
        OK(got >= exact && got - exact <= exact / 1000 + 1);
    }
    EQ(hist_quantile(&h, 100000), h.max_us);
    for (uint64_t rank = 1, upto; rank <= 50000; rank = upto + 1) {
        uint64_t got = hist_at(&h, rank, &upto);
        OK(upto >= rank && values[upto - 1] <= got); /* all those are not greater */
        OK(upto == 50000 || values[upto] > got);
    }
}

static void test_ends(void)
{
    static struct hist h;
    hist_init(&h);
    EQ(hist_quantile(&h, 50000), 0);
    hist_record(&h, UINT64_MAX);
    hist_record(&h, 0);
    EQ(h.count, 2);
    OK(hist_quantile(&h, 100000) > 0);
    EQ(hist_quantile(&h, 50000), 0);
}

int main(void)
{
    TAP_RUN(test_against_sorted_values);
    TAP_RUN(test_ends);
    return tap_done();
}
