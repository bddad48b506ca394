/* SPDX-License-Identifier: MIT */
/* Reading a flooder no faster than it can be told no.
 * Owns: a table of BRAKE_SLOTS identities by the first bytes of their pseudonyms, which are a keyed
 * hash's and cannot be chosen.  Two in one slot: the one that presses takes it over, so the brake
 * may be too weak, never on the wrong one.
 *
 *   refused: whole = max(whole, now) + BRAKE_COST_MS     (GCRA, ITU-T I.371)
 *   unread for: whole - now - BRAKE_FREE_MS, at most BRAKE_HOLD_MS
 *
 * Happy path: nobody presses it.  A page that asks for more than its queue holds is refused some
 * calls and never held: BRAKE_FREE_MS / BRAKE_COST_MS of them are free.
 * Fails never.
 * Not per connection: ten thousand connections would each get a budget.  No reset, no GOAWAY: the
 * flooder would connect again, which costs more than leaving it unread. */
#include "gateway/brake.h"

#include <string.h>

#include "base/check.h"
#include "base/metrics.h"
#include "gateway/conn.h"
#include "gateway/inside.h"

#define BRAKE_COST_MS 4    /* of a refusal: 250 a second */
#define BRAKE_FREE_MS 1000 /* budget that is spent before anybody is held */
#define BRAKE_WINDOW  16   /* calls of a connection that are looked at */
#define BRAKE_HOLD_MS 5000 /* a PING is answered later by so much, no more */

uint32_t brake_press(struct brake *brake, const struct identity *identity, uint64_t now_ms)
{
    uint32_t at;
    memcpy(&at, identity->bytes, sizeof at);
    struct brake_slot *slot = &brake->slots[at % BRAKE_SLOTS];
    if (memcmp(&slot->identity, identity, sizeof *identity) != 0) {
        *slot = (struct brake_slot){.identity = *identity};
    }
    uint64_t end = (slot->whole_ms > now_ms ? slot->whole_ms : now_ms) + BRAKE_COST_MS;
    uint64_t last = now_ms + BRAKE_FREE_MS + BRAKE_HOLD_MS; /* forgiven after that */
    slot->whole_ms = end < last ? end : last;
    CHECK(slot->whole_ms > now_ms);
    uint64_t ahead = slot->whole_ms - now_ms;
    return ahead > BRAKE_FREE_MS ? (uint32_t)(ahead - BRAKE_FREE_MS) : 0;
}

void brake_hold(struct call *call, uint32_t ms)
{
    struct conn *conn = call->conn;
    struct gateway *g = conn->gateway;
    conn->overs_count++;
    while (conn->opened_count > BRAKE_WINDOW) { /* what was long ago counts less */
        conn->opened_count /= 2;
        conn->overs_count /= 2;
    }
    /* Frontends bring many people, and are trusted to hold back one of them. */
    if (ms == 0 || conn->group.value == 0 || conn->wire == NULL ||
        conn->overs_count * 2 < conn->opened_count) {
        return;
    }
    if (conn->brake.place == 0) {
        conn_pause(conn);
        METRIC_ADD(connections_held_total, 1);
    }
    /* Not all at once: a thousand that come back together would be a stall of their own. */
    uint32_t apart = (call->number * UINT32_C(2654435761)) >> 22;
    deadline_arm(&g->deadlines, &conn->brake, uv_now(&g->loop) + ms / 2 + ms * apart / 2048);
}

void brake_release(struct conn *conn)
{
    conn->overs_count = 0;
    conn->opened_count = 0;
    conn_resume(conn);
}
