/* SPDX-License-Identifier: MIT */
/* The choice of a replica.
 *
 *   connected, answers         asked, and asked again
 *   turned away, leader named  the named one next, at once; after a few in a row with a pause, so
 *                              that two replicas that name each other are not asked in a circle
 *   turned away, nobody named  the next one in the circle, after a pause
 *   not connected              the next one that is
 *   silent                     another one is asked who leads, with an empty batch, beside what is
 *                              under way: a leader with a slow disk keeps its calls, one that
 *                              stands still loses them to its successor
 *
 * Owns: an rpc client for each address, for as long as the hop lives: a follower of today is the
 * leader of the next minute, and then its line stands already.
 * Fails: a line that cannot be opened (memory, descriptors) is tried again at the next look; < 0
 * when there is none at all.
 * Invariant: a context is under way on one client only, whatever is asked meanwhile. */
#include "gateway/aim.h"

#include "base/check.h"
#include "base/err.h"
#include "base/limits.h"

#define AIM_PAUSE_MS_MIN  5
#define AIM_PAUSE_MS_MAX  100
#define AIM_AT_ONCE       2    /* batches turned away in a row that are followed without a pause */
#define AIM_LEADERLESS_MS 2000 /* elections take less; then whoever waits is told */

static bool aim_connected(const struct aim *a, size_t at)
{
    return at < LEADS_MAX && a->clients[at] && rpc_client_connected(a->clients[at]);
}

/* A line for every address that has none.  0, RPC_E_ADDRESS, < 0: the first failure. */
static int aim_dial(struct aim *a)
{
    int r = 0;
    size_t count = leads_count(a->leads);
    for (size_t i = 0; i < count; i++) {
        int s = a->clients[i] ? 0
                              : rpc_client_open(leads_url(a->leads, i), RPC_CLIENT_CONTEXTS + 1,
                                                a->done_cb, a->user, &a->clients[i]);
        r = r ? r : s;
    }
    return r;
}

int aim_open(struct aim *a, struct leads *leads, rpc_client_done_cb *done_cb, void *user)
{
    *a = (struct aim){.leads = leads, .done_cb = done_cb, .user = user,
                      .at = leads_current(leads)};
    int r = aim_dial(a);
    return r < 0 ? err_trace(r) : r;
}

void aim_close(struct aim *a)
{
    for (size_t i = 0; i < LEADS_MAX; i++) {
        rpc_client_close(a->clients[i]);
        a->clients[i] = NULL;
    }
}

static void aim_take(struct aim *a, size_t at)
{
    a->at = at;
    leads_take(a->leads, at);
}

/* The next one in the circle that is connected; LEADS_MAX: no other is. */
static size_t aim_next(const struct aim *a, size_t from)
{
    size_t count = leads_count(a->leads);
    for (size_t i = 1; i <= count; i++) {
        size_t at = (from + i) % count;
        if (at != a->at && aim_connected(a, at)) {
            return at;
        }
    }
    return LEADS_MAX;
}

bool aim_look(struct aim *a, bool *ret_moved)
{
    *ret_moved = false;
    if (aim_connected(a, a->at)) {
        return true;
    }
    aim_dial(a);
    size_t next = aim_next(a, a->at);
    if (next == LEADS_MAX) {
        return false;
    }
    aim_take(a, next);
    *ret_moved = true;
    return true;
}

int aim_send(struct aim *a, unsigned context, struct span batch)
{
    CHECK(context < RPC_CLIENT_CONTEXTS);
    CHECK(a->clients[a->at] != NULL);
    return rpc_client_send(a->clients[a->at], context, batch);
}

void aim_abort(struct aim *a, size_t at, unsigned context)
{
    CHECK(a->clients[at] != NULL);
    rpc_client_abort(a->clients[at], context);
}

void aim_renew(struct aim *a)
{
    CHECK(a->clients[a->at] != NULL);
    rpc_client_renew(a->clients[a->at]);
}

void aim_answered(struct aim *a)
{
    a->fruitless = 0;
    a->leaderless_ms = 0;
}

bool aim_is_leaderless(const struct aim *a, uint64_t now_ms)
{
    return a->leaderless_ms && !a->is_named && now_ms - a->leaderless_ms > AIM_LEADERLESS_MS;
}

/* The one that was named, when it can be asked now. */
static size_t aim_named(struct aim *a, struct span leader)
{
    size_t named = leads_named(a->leads, leader);
    if (named != LEADS_MAX && a->clients[named] == NULL) {
        aim_dial(a); /* somebody new: connected by the time it is named again */
    }
    return named != a->at && aim_connected(a, named) ? named : LEADS_MAX;
}

unsigned aim_turned(struct aim *a, size_t from, struct span leader, uint64_t now_ms)
{
    if (a->leaderless_ms == 0) {
        a->leaderless_ms = now_ms;
    }
    if (from != a->at) {
        return 0; /* somebody else is asked already */
    }
    a->fruitless++;
    size_t named = aim_named(a, leader);
    a->is_named = named != LEADS_MAX;
    size_t next = a->is_named ? named : aim_next(a, a->at);
    if (next != LEADS_MAX) {
        aim_take(a, next);
    }
    if (aim_is_leaderless(a, now_ms) || (a->is_named && a->fruitless <= AIM_AT_ONCE)) {
        return 0; /* what is turned away now is refused, so nothing goes round in a circle */
    }
    unsigned shift = a->fruitless < 5 ? a->fruitless : 5;
    unsigned pause_ms = AIM_PAUSE_MS_MIN << shift;
    return pause_ms < AIM_PAUSE_MS_MAX ? pause_ms : AIM_PAUSE_MS_MAX;
}

bool aim_probe(struct aim *a, struct span empty_batch)
{
    size_t next = aim_next(a, a->probed);
    if (next == LEADS_MAX || rpc_client_send(a->clients[next], AIM_PROBE, empty_batch)) {
        return false;
    }
    a->probed = next;
    return true;
}

bool aim_probed(struct aim *a, bool leads, struct span leader)
{
    size_t next = leads ? a->probed : aim_named(a, leader);
    if (next == LEADS_MAX || next == a->at || !aim_connected(a, next)) {
        return false;
    }
    aim_take(a, next);
    return true;
}
