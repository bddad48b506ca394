/* SPDX-License-Identifier: MIT */
/* Credits by queueing delay, shared by waiting identities.  Owns a small table of gateways.
 * happy path: observe, maybe a step; find the gateway, sum who was heard lately, divide.
 * Ways to fail: none; a 65th gateway takes the place of the one silent the longest.
 * Between 5 and 20 ms nothing changes, so that credits do not swing with every flush of the state.
 * Additive up, multiplicative down (Chiu and Jain 1989): many shards' gateways settle fairly.
 * Road not taken: counting what is under way (the shard knows only what has arrived). */
#include "node/credit.h"

#include "base/check.h"

void credit_init(struct credit *c, int64_t now_us)
{
    *c = (struct credit){.total = CREDIT_START, .changed_us = now_us};
}

void credit_observe(struct credit *c, int64_t delay_us, int64_t now_us)
{
    CHECK(delay_us >= 0);
    CHECK(c->total >= CREDIT_MIN);
    c->delay_us += (delay_us - c->delay_us) / 8;
    if (now_us - c->changed_us < CREDIT_STEP_US) {
        return;
    }
    if (c->delay_us < CREDIT_DELAY_GROW_US) {
        c->total = c->total + CREDIT_STEP < CREDIT_MAX ? c->total + CREDIT_STEP : CREDIT_MAX;
        c->changed_us = now_us;
    } else if (c->delay_us > CREDIT_DELAY_SHRINK_US) {
        c->total = c->total * 3 / 4 > CREDIT_MIN ? c->total * 3 / 4 : CREDIT_MIN;
        c->changed_us = now_us;
    }
}

static struct credit_gateway *credit_find(struct credit *c, uint64_t id)
{
    struct credit_gateway *oldest = &c->gateways[0];
    for (size_t i = 0; i < c->gateways_count; i++) {
        if (c->gateways[i].id == id) {
            return &c->gateways[i];
        }
        if (c->gateways[i].heard_us < oldest->heard_us) {
            oldest = &c->gateways[i];
        }
    }
    if (c->gateways_count < CREDIT_GATEWAYS_MAX) {
        oldest = &c->gateways[c->gateways_count++];
    }
    oldest->id = id;
    return oldest;
}

uint32_t credit_share(struct credit *c, uint64_t gateway, uint32_t waiting, int64_t now_us)
{
    struct credit_gateway *mine = credit_find(c, gateway);
    mine->heard_us = now_us;
    mine->waiting = waiting;
    uint64_t sum = 0;
    for (size_t i = 0; i < c->gateways_count; i++) {
        if (now_us - c->gateways[i].heard_us <= CREDIT_HEARD_US) {
            sum += (uint64_t)c->gateways[i].waiting + 1;
        }
    }
    CHECK(sum > 0);
    uint64_t share = c->total * ((uint64_t)waiting + 1) / sum;
    return share > CREDIT_MIN ? (uint32_t)share : CREDIT_MIN;
}
