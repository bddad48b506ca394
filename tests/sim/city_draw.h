/* SPDX-License-Identifier: MIT */
/* The draw, looked at from outside when all is over: each rank is what docs/draw.md says, made anew
 * from the seed that was shown and the ticket's id, by another library's HMAC; and the release was
 * served up to the rank of a ticket, not to any other number. */
#ifndef FAIRSLOT_TESTS_SIM_CITY_DRAW_H
#define FAIRSLOT_TESTS_SIM_CITY_DRAW_H

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "tests/sim/city_audit.h"

static bool draw_asks(struct shard *s, uint64_t person, enum command_kind kind, struct verdict *v)
{
    struct release_words words = {.id = span_of("r")};
    struct command k = {.kind = kind, .pool = span_of("draw"), .release = &words,
                        .assurance = ASSURANCE_HIGH, .roles = person ? 0 : ROLE_OPERATOR};
    k.identity.bytes[0] = (uint8_t)person;
    k.identity.bytes[15] = 1;
    return __real_ledger_apply(house_ledger(s->house), &k, w.truths_count + 1, 0, s->applied_us,
                               &c.packing, v) == 0 && v->reason == REASON_OK;
}

/* The rank that is to be. */
static uint64_t see_rank(const struct release_view *release, const struct ticket_view *ticket)
{
    uint8_t mac[32];
    unsigned len = sizeof mac;
    HMAC(EVP_sha256(), release->seed, sizeof release->seed, ticket->id, sizeof ticket->id, mac,
         &len);
    struct reader in = reader_of(mac, sizeof mac);
    uint64_t rank = reader_u64(&in);
    if (ticket->is_ranked && rank != ticket->rank) {
        violate("the draw: a rank is not what the seed makes of the ticket");
    }
    c.ranks += ticket->is_ranked;
    return rank;
}

/* In a release whose seed is out. */
static void see_draw(struct shard *s)
{
    struct verdict release = {0};
    arena_reset(&c.packing);
    if (!draw_asks(s, 0, COMMAND_GET_RELEASE, &release) || !release.releases[0].is_ranked) {
        return;
    }
    uint64_t cut_off = release.releases[0].cut_off;
    bool is_some = cut_off == 0;
    for (uint64_t i = 1; i < PEOPLE; i++) {
        struct verdict v = {0};
        if (draw_asks(s, i, COMMAND_GET_TICKET, &v) && v.ticket) {
            is_some = see_rank(&release.releases[0], v.ticket) == cut_off || is_some;
        }
    }
    if (!is_some) {
        violate("the draw: served up to a rank that no ticket has");
    }
}

#endif
