/* SPDX-License-Identifier: MIT */
/* The front: memory that the loops of one process share.
 * Owns: the table of errands, the words of the API, the keys; queue and hop are opened and closed
 * by the first loop (gateway.c).
 * Fails: out of memory, at the start.
 * Invariant: what another thread than its owner may touch is atomic, locked by itself, or never
 * changes after the start. */
#include "gateway/front.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "gateway/auth.h"
#include "gateway/route.h"

_Static_assert((CALLS_MAX & (CALLS_MAX - 1)) == 0, "a call's slot is cut out of its number");

extern const unsigned char api_descriptor_set[];
extern const unsigned long api_descriptor_set_len;

int front_new(const struct gateway_options *options, struct front **ret_front)
{
    struct front *front = calloc(1, sizeof *front);
    if (front == NULL) {
        return err_origin(-ENOMEM);
    }
    front->options = options;
    front->loops_count = options->loops > 0 ? (unsigned)options->loops : 1;
    CHECK(front->loops_count <= LOOPS_MAX);
    int r = symbols_init(&front->symbols, (struct span){api_descriptor_set,
                                                        api_descriptor_set_len});
    for (unsigned i = 0; i < front->loops_count && r == 0; i++) {
        front->errands[i] = calloc(CALLS_MAX, sizeof *front->errands[i]);
        r = front->errands[i] ? 0 : err_origin(-ENOMEM);
    }
    if (r) {
        front_free(front);
        return err_fold(r);
    }
    symbols_keep_served(&front->symbols, route_is_served);
    *ret_front = front;
    return 0;
}

void front_free(struct front *front)
{
    if (front == NULL) {
        return;
    }
    for (unsigned i = 0; i < front->loops_count; i++) {
        free(front->errands[i]);
    }
    auth_free(front->auth);
    symbols_fini(&front->symbols);
    free(front);
}
