/* SPDX-License-Identifier: MIT */
/* Round trips: on loopback there are none, so each client's own half is waited out before a request
 * leaves and again before its answer counts.
 *   due -> away (a heap by when it gets there) -> the socket -> answer, half a round trip later
 * Owns: the events on their way.  Fails when memory ends, which ends the process. */
#include <stdlib.h>

#include "base/check.h"
#include "flood/crew_inside.h"

int64_t crew_there_us(const struct crew *c, const struct crowd_event *e)
{
    return e->at_us + crowd_client(c->crowd, e->client)->rtt_us / 2;
}

static bool travel_before(const struct crew *c, const struct crowd_event *a,
                          const struct crowd_event *b)
{
    int64_t there_a = crew_there_us(c, a), there_b = crew_there_us(c, b);
    return there_a != there_b ? there_a < there_b : a->client < b->client;
}

void crew_depart(struct crew *c, const struct crowd_event *e)
{
    if (c->away_count == c->away_size) {
        c->away_size = c->away_size ? 2 * c->away_size : 256;
        c->away = realloc(c->away, c->away_size * sizeof *c->away);
        CHECK(c->away != NULL);
    }
    size_t at = c->away_count++;
    while (at > 0 && travel_before(c, e, &c->away[(at - 1) / 2])) {
        c->away[at] = c->away[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    c->away[at] = *e;
}

bool crew_arrived(struct crew *c, struct crowd_event *ret_event)
{
    if (crew_arrives_us(c) > c->now_us) {
        return false;
    }
    *ret_event = c->away[0];
    struct crowd_event last = c->away[--c->away_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < c->away_count && travel_before(c, &c->away[child + 1], &c->away[child])) {
            child++;
        }
        if (child >= c->away_count || !travel_before(c, &c->away[child], &last)) {
            break;
        }
        c->away[at] = c->away[child];
        at = child;
    }
    c->away[at] = last;
    return true;
}

int64_t crew_arrives_us(const struct crew *c)
{
    return c->away_count ? crew_there_us(c, &c->away[0]) : INT64_MAX;
}
