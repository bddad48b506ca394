/* SPDX-License-Identifier: MIT */
/* Breadcrumbs of a failing call.  Owns: a small ring per thread.  Fails never: when the ring is
 * full the oldest crumb goes, because the newest frames are the ones nearest to the answer. */
#include "base/err.h"

#include <string.h>

struct crumb {
    const char *file;
    const char *function;
    int line;
    int code;
};

static _Thread_local struct crumb trail[ERR_TRAIL_MAX];
static _Thread_local unsigned trail_count;

int err_crumb(int r, const char *file, int line, const char *function, int is_origin)
{
    if (r >= 0) {
        return r; /* verdicts and success leave no trail */
    }
    if (is_origin) {
        trail_count = 0;
    }
    struct crumb *c = &trail[trail_count++ % ERR_TRAIL_MAX];
    *c = (struct crumb){.file = file, .function = function, .line = line, .code = r};
    return r;
}

void err_print(FILE *out)
{
    unsigned first = trail_count > ERR_TRAIL_MAX ? trail_count - ERR_TRAIL_MAX : 0;
    for (unsigned i = first; i < trail_count; i++) {
        const struct crumb *c = &trail[i % ERR_TRAIL_MAX];
        fprintf(out, "  %s at %s:%d: %s\n", c->function, c->file, c->line, strerror(-c->code));
    }
    trail_count = 0;
}
