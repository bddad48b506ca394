/* SPDX-License-Identifier: MIT */
/* fairslot flood histogram: numbers on stdin -> percentiles and HdrHistogram's V2 encoding.
 * For those who want to look at a series with other tools, and for the test that holds our
 * histogram against another one.
 * Owns: the histogram.  Fails with 2 at the first line that is no number, or none that it holds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/hist.h"
#include "base/check.h"
#include "ctl/options.h"
#include "ctl/render.h"
#include "ctl/talk.h"
#include "flood/flood.h"

/* The last bucket ends here: what is over it would be told as this. */
#define HISTOGRAM_MOST ((UINT64_C(1) << (HIST_SUB_BITS + HIST_LEVELS - 1)) - 1)

static int histogram_read(struct hist *h)
{
    char line[64];
    for (unsigned long number = 1; fgets(line, sizeof line, stdin); number++) {
        char *end;
        unsigned long long v = strtoull(line, &end, 10);
        if (end == line || (*end != '\n' && *end != 0) || line[0] == '-' || v > HISTOGRAM_MOST) {
            talk_error("line %lu is no whole number of microseconds from 0 to %llu: %.*s", number,
                       (unsigned long long)HISTOGRAM_MOST, (int)strcspn(line, "\r\n"), line);
            talk_next("write one number a line");
            return VERB_USAGE;
        }
        hist_record(h, v);
    }
    return 0;
}

int flood_histogram(const struct verb *verb, int argc, char **argv)
{
    static const uint32_t points[] = {50000, 90000, 95000, 99000, 99900, 99990, 100000};
    static struct hist h;
    static uint8_t bytes[HIST_EXPORT_MAX], text[HIST_EXPORT_MAX / 3 * 4 + 8];
    const struct options_spec specs[] = {{NULL}};
    const struct options_rule rule = {specs, 0, 0, ""};
    struct options_words words;
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r) {
        return options_exit(r);
    }
    hist_init(&h);
    r = histogram_read(&h);
    if (r) {
        return r;
    }
    printf("{\"count\": %llu, \"max\": %llu, \"percentiles\": {", (unsigned long long)h.count,
           (unsigned long long)h.max_us);
    for (size_t i = 0; i < ARRAY_COUNT(points); i++) {
        printf("%s\"%g\": %llu", i ? ", " : "", points[i] / 1000.0,
               (unsigned long long)hist_quantile(&h, points[i]));
    }
    size_t n = hist_export(&h, bytes, sizeof bytes);
    size_t len = base64_encode((struct span){bytes, n}, true, text);
    printf("}, \"v2\": \"%.*s\"}\n", (int)len, (const char *)text);
    return render_flush();
}
