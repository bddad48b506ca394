/* SPDX-License-Identifier: MIT */
/* What the benches share: how a result is printed, how lines are read, what pools are called.
 * Owns nothing.  Fails with a text on stderr and NULL. */
#include "flood/bench.h"

#include <stdlib.h>
#include <string.h>

void bench_print_hist(FILE *out, const struct hist *h)
{
    fprintf(out, "\"p50_us\":%llu,\"p99_us\":%llu,\"p999_us\":%llu,\"max_us\":%llu",
            (unsigned long long)hist_quantile(h, 50000),
            (unsigned long long)hist_quantile(h, 99000),
            (unsigned long long)hist_quantile(h, 99900), (unsigned long long)h->max_us);
}

char **bench_lines(const char *path, size_t *ret_count)
{
    FILE *f = path ? fopen(path, "r") : NULL;
    if (f == NULL) {
        fprintf(stderr, "bench: cannot read %s\n", path ? path : "(no file named)");
        return NULL;
    }
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f);
    rewind(f);
    char *text = malloc(size + 1);
    char **lines = calloc(size + 1, sizeof *lines);
    size_t count = 0;
    if (text && lines && fread(text, 1, size, f) == size) {
        text[size] = 0;
        char *save = NULL;
        for (char *p = strtok_r(text, "\n", &save); p; p = strtok_r(NULL, "\n", &save)) {
            lines[count++] = p;
        }
    }
    fclose(f);
    if (count == 0) {
        fprintf(stderr, "bench: %s holds no line\n", path);
        free(text);
        free(lines);
        return NULL;
    }
    *ret_count = count;
    return lines;
}

void bench_pool_id(const struct bench_options *o, uint64_t pool, char out[64])
{
    snprintf(out, 64, "bench-%llu-%llu", (unsigned long long)o->run, (unsigned long long)pool);
}
