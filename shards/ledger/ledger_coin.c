/* SPDX-License-Identifier: MIT */
/* Slots that were given back return when a coin says so.
 *
 *   COIN {32 random bytes}, once a minute, by the shard -> each pool with RETURN_COIN its own
 *       throw, 1 : minutes of return_wait
 *   heads, scarce pool -> a release of its returned slots: 10 minutes of entry, by preference
 *   heads, other pool  -> a restock: they are free
 *
 * Memoryless: a throw knows nothing of earlier ones, and no instant stands anywhere, so neither
 * whoever gave a slot back nor whoever reads the state knows when it returns.  Everything random
 * comes in the command, so every replica throws the same.
 * While another release of the pool is open whose times overlap, heads do nothing: the coin comes
 * up again.  A release that finds no returned slot ends at once and leaves nothing.
 * Owns: the list of such pools in struct ledger, derived from the book.  Fails by the book. */
#include <errno.h>
#include <stdio.h>

#include "draw/draw.h"
#include "ledger/ledger_release.h"

#define COIN_MINUTE_US (60 * SECOND_US)
#define COIN_ENTRY_US  (10 * COIN_MINUTE_US)
#define COIN_GRACE_US  (10 * SECOND_US)
#define COIN_STANDBY_US (60 * COIN_MINUTE_US) /* for whom a slot lapses, behind the accept time */

/* -- which pools ------------------------------------------------------------------------------- */

bool ledger_coin_has_room(const struct ledger *l, uint64_t space)
{
    bool is_there = false;
    for (size_t i = 0; i < l->coins_count; i++) {
        is_there = is_there || l->coins[i] == space;
    }
    return is_there || l->coins_count < COINS_MAX;
}

void ledger_coin_follow(struct ledger *l, uint64_t space, enum return_policy policy)
{
    size_t at = 0;
    while (at < l->coins_count && l->coins[at] < space) {
        at++;
    }
    bool is_there = at < l->coins_count && l->coins[at] == space;
    if (is_there == (policy == RETURN_COIN)) {
        return;
    }
    if (is_there) {
        l->coins_count--;
        memmove(&l->coins[at], &l->coins[at + 1], (l->coins_count - at) * sizeof l->coins[0]);
        return;
    }
    CHECK(l->coins_count < COINS_MAX);
    memmove(&l->coins[at + 1], &l->coins[at], (l->coins_count - at) * sizeof l->coins[0]);
    l->coins[at] = space;
    l->coins_count++;
}

bool ledger_wants_coin(const struct ledger *l)
{
    return l->version >= 3 && l->coins_count > 0;
}

/* -- heads ------------------------------------------------------------------------------------- */

static void coin_id(uint64_t space, struct ticket_id *ret_id)
{
    struct scribe w = scribe_of(ret_id->bytes, sizeof ret_id->bytes);
    scribe_u64(&w, space);
    scribe_u64(&w, 0);
}

/* The release that returned slots go through. */
static void coin_make(struct ledger_step *s, const struct ledger_pool *pool,
                      const struct draw_mac *mac, struct ledger_release *out)
{
    struct ticket_id id;
    uint64_t now_us = (uint64_t)s->now_us;
    uint64_t close_us = now_us + COIN_ENTRY_US + COIN_GRACE_US;
    *out = (struct ledger_release){
        .pool_space = pool->space,
        .phase = PHASE_LISTING,
        .serving = RELEASE_BY_PREFERENCE,
        .is_returned = true,
        .is_journaled = s->l->version >= 5,
        .entry_open_us = now_us,
        .entry_close_us = now_us + COIN_ENTRY_US,
        .entry_grace_us = COIN_GRACE_US,
        .close_us = close_us + (uint64_t)pool->hold_ttl_us + COIN_STANDBY_US,
        .accept_us = (uint64_t)pool->hold_ttl_us,
        .slots_from_us = close_us - close_us % SECOND_US,
        .slots_to_us = LEDGER_SECOND_MAX * SECOND_US,
    };
    coin_id(pool->space, &id);
    for (uint64_t i = 0; i < 2; i++) {
        draw_nonce(mac, &id, 2 * i, out->release_key + 16 * i);
        draw_nonce(mac, &id, 2 * i + 1, out->operator_seed + 16 * i);
    }
    out->pool_len = (uint8_t)pool->id_len;
    memcpy(out->pool, pool->id, pool->id_len);
    out->id_len = (uint8_t)snprintf((char *)out->id, sizeof out->id, "returned-%llu",
                                    (unsigned long long)s->log_index);
    static const char title[] = "returned slots";
    out->display_len = sizeof title - 1;
    memcpy(out->display, title, sizeof title - 1);
    out->space = ledger_release_space(ledger_release_pool(out), ledger_release_id(out));
}

static int coin_release(struct ledger_step *s, const struct ledger_pool *pool,
                        const struct draw_mac *mac)
{
    struct ledger_release made, found;
    coin_make(s, pool, mac, &made);
    bool is_busy = s->now_us <= 0 || s->l->open_count == RELEASES_OPEN_MAX ||
                   ledger_open_overlaps(s->l, pool->space, (int64_t)made.slots_from_us,
                                        (int64_t)made.slots_to_us);
    int r = is_busy ? 0 : ledger_release_load(s->l, made.space, &found);
    if (r != LEDGER_NONE) {
        return err_trace(r); /* busy, or an operator's of that very name */
    }
    struct ledger_key key = ledger_release_key_named(made.pool_space, ledger_release_id(&made));
    r = ledger_release_put_bytes(s, &key, (struct span){0});
    r = r ? r : ledger_release_put(s, &made);
    return r ? err_trace(r) : err_trace(ledger_open_add(s->l, &made));
}

/* One pool's throw. */
static int coin_throw(struct ledger_step *s, uint64_t space, const struct draw_mac *mac)
{
    const struct ledger_pool *pool;
    struct ticket_id id;
    struct span name;
    int r = ledger_pool_id(s->l, space, s->arena, &name);
    r = r ? r : ledger_pool_find(s->l, name, &pool);
    if (r) {
        return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
    }
    coin_id(space, &id);
    uint64_t minutes = (uint64_t)(pool->return_wait_us / COIN_MINUTE_US);
    bool is_heads = draw_rank(mac, &id) <= UINT64_MAX / (minutes ? minutes : 1);
    return !is_heads      ? 0
           : pool->scarce ? err_trace(coin_release(s, pool, mac))
                          : err_trace(ledger_restock_own(s, space));
}

int ledger_coin(struct ledger_step *s)
{
    struct draw_mac mac;
    if (s->c->random.len != COIN_RANDOM) {
        return err_origin(-EINVAL); /* codec_command_unpack() lets no other through */
    }
    draw_mac_init(&mac, s->c->random.ptr);
    for (size_t i = 0; i < s->l->coins_count; i++) {
        int r = coin_throw(s, s->l->coins[i], &mac);
        if (r) {
            return err_trace(r);
        }
    }
    return 0;
}
