/* SPDX-License-Identifier: MIT */
/* Credits by queueing delay, shared by waiting identities.  Owns a small table of gateways.
 * happy path: observe, maybe a step; find the gateway, sum who was heard lately, divide.
 * Ways to fail: none; a 65th gateway takes the place of the one silent the longest.
 * Between 8 and 15 ms nothing changes, so that credits do not swing with every flush of the state;
 * the one is more than half of the other, so that a shard whose speed is halved is always seen.
 * Additive up, multiplicative down (Chiu and Jain 1989): many shards' gateways settle fairly.
 * A wait may be long because rounds are: a slow disk, a slow network between replicas.  Fewer items
 * do not make those rounds shorter, and with one item a round the shard stood still at 10 rounds a
 * second: so there is a floor.  It is low, since people are shared fairly only where they wait, at
 * the gateways: with 128 a flooder beside 20 people got a hundred times the share of one.
 * While a round's work is short, so that fewer items could not help, the floor is one item for each
 * identity that waits, which settles where half of those who ask are under way and the other half
 * wait.  So nobody has many under way there, and 200 people at commits of 20 ms are not served by
 * sixteens.
 * Road not taken: counting what is under way (the shard knows only what has arrived). */
#include "node/credit.h"

#include "base/check.h"

void credit_init(struct credit *c, int64_t now_us)
{
    *c = (struct credit){.total = CREDIT_START, .changed_us = now_us, .counted_us = now_us,
                         .work_us = CREDIT_DELAY_SHRINK_US};
}

void credit_worked(struct credit *c, int64_t work_us)
{
    CHECK(work_us >= 0);
    c->work_us += (work_us - c->work_us) / 8;
}

/* A gateway where nobody waits counts as one person: somebody may come. */
static uint64_t credit_people(const struct credit_gateway *gateway)
{
    return gateway->waiting > 0 ? gateway->waiting : 1;
}

/* At all gateways heard lately. */
static uint64_t credit_crowd(const struct credit *c, int64_t now_us)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < c->gateways_count; i++) {
        if (now_us - c->gateways[i].heard_us <= CREDIT_HEARD_US) {
            sum += credit_people(&c->gateways[i]);
        }
    }
    return sum;
}

static uint32_t credit_floor(const struct credit *c, int64_t now_us)
{
    uint64_t crowd = c->work_us < CREDIT_DELAY_GROW_US ? credit_crowd(c, now_us) : 0;
    return crowd > CREDIT_MAX ? CREDIT_MAX : crowd > CREDIT_FLOOR ? (uint32_t)crowd : CREDIT_FLOOR;
}

static uint32_t credit_more(uint32_t total, uint32_t max)
{
    return total + CREDIT_STEP < max ? total + CREDIT_STEP : max;
}

static uint32_t credit_less(uint32_t total, uint32_t floor)
{
    return total * 3 / 4 > floor ? total * 3 / 4 : floor;
}

static void credit_count(struct credit *c, size_t items, int64_t now_us)
{
    int64_t took_us = now_us - c->counted_us;
    c->items += items;
    if (took_us >= CREDIT_RATE_US) {
        c->rate = c->items * (uint64_t)SECOND_US / (uint64_t)took_us;
        c->items = 0;
        c->counted_us = now_us;
    }
}

void credit_observe(struct credit *c, int64_t delay_us, size_t items, int64_t now_us)
{
    CHECK(delay_us >= 0);
    CHECK(c->total >= CREDIT_FLOOR);
    credit_count(c, items, now_us);
    c->delay_us += (delay_us - c->delay_us) / 8;
    if (now_us - c->changed_us < CREDIT_STEP_US) {
        return;
    }
    if (c->delay_us < CREDIT_DELAY_GROW_US) {
        c->total = credit_more(c->total, CREDIT_MAX);
        c->changed_us = now_us;
    } else if (c->delay_us > CREDIT_DELAY_SHRINK_US) {
        uint32_t floor = credit_floor(c, now_us);
        c->total = c->total < floor ? credit_more(c->total, floor) : credit_less(c->total, floor);
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

struct credit_grant credit_share(struct credit *c, uint64_t gateway, uint32_t waiting,
                                 int64_t now_us)
{
    struct credit_gateway *mine = credit_find(c, gateway);
    mine->heard_us = now_us;
    mine->waiting = waiting;
    uint64_t sum = credit_crowd(c, now_us);
    CHECK(sum > 0);
    struct credit_grant grant = {.items = (uint32_t)(c->total * credit_people(mine) / sum)};
    if (grant.items < CREDIT_MIN) {
        uint64_t rate = credit_people(mine) * (c->rate ? c->rate : 1);
        uint64_t each = sum * (uint64_t)SECOND_US / rate;
        grant.items = CREDIT_MIN;
        grant.pause_us = each < CREDIT_PAUSE_US ? (uint32_t)each : CREDIT_PAUSE_US;
    }
    return grant;
}
