/* SPDX-License-Identifier: MIT */
/* The front: memory that the loops of one process share.
 * Owns: the table of errands, the words of the API, the keys; queue and hop are opened and closed
 * by the first loop (gateway.c).
 * Fails: out of memory, at the start.
 * Invariant: what another thread than its owner may touch is atomic, locked by itself, or never
 * changes after the start. */
#include "gateway/front.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "gateway/auth.h"
#include "gateway/route.h"

#define FRONT_TEXT           256
#define FRONT_ANONYMOUS_RATE 1000 /* a second, unless configured */

_Static_assert((CALLS_MAX & (CALLS_MAX - 1)) == 0, "a call's slot is cut out of its number");

extern const unsigned char api_descriptor_set[];
extern const unsigned long api_descriptor_set_len;

int front_new(const struct gateway_options *options, struct front **ret_front, char *ret_text)
{
    char bad[64];
    struct front *front = calloc(1, sizeof *front);
    if (front == NULL) {
        return err_origin(-ENOMEM);
    }
    front->options = options;
    front->loops_count = options->loops > 0 ? (unsigned)options->loops : 1;
    CHECK(front->loops_count <= LOOPS_MAX);
    if (!cidr_parse(options->frontends, &front->frontends, bad)) {
        snprintf(ret_text, FRONT_TEXT, "%s is no network, as 10.1.0.0/16", bad);
        free(front);
        return FRONT_E_OPTIONS;
    }
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

/* GCRA (ITU-T I.371): one number is the whole budget, a second's worth of it may come at once. */
unsigned front_anonymous_wait_ms(struct front *front, uint64_t now_ms)
{
    int rate = front->options->anonymous_rate > 0 ? front->options->anonymous_rate
                                                  : FRONT_ANONYMOUS_RATE;
    uint64_t now = now_ms * 1000, cost = 1000000 / (uint64_t)rate;
    uint64_t whole = atomic_load_explicit(&front->anonymous_us, memory_order_relaxed), next;
    do {
        next = (whole > now ? whole : now) + cost;
        if (next - now > 1000000) {
            return (unsigned)((next - now - 1000000) / 1000 + 1);
        }
    } while (!atomic_compare_exchange_weak_explicit(&front->anonymous_us, &whole, next,
                                                    memory_order_relaxed, memory_order_relaxed));
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
