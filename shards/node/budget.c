/* SPDX-License-Identifier: MIT */
/* Read budgets: for each identity the instant at which its budget is whole again.
 *   a read costs 1/rate seconds of it; with `burst` reads owed, the next one is refused
 * Owns: a table of BUDGET_SETS x BUDGET_WAYS identities, made once.  An identity is a keyed hash,
 * so its first bytes choose the set.  A full set forgets whoever owes least: that one's budget is
 * whole, or nearly; so the table can be flooded by as many verified identities as it has places,
 * and then errs towards serving.
 * Callers without a token never come here: scarce pools tell them nothing (ledger_slots.c).
 * Not in the ledger: a read must leave no trace in the log, and a budget lost in a restart does no
 * harm.  Operators, and the house's own reads for WatchSlots, have none.  Fails never. */
#include "node/budget.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/metrics.h"

#define BUDGET_SETS 4096 /* a power of two */
#define BUDGET_WAYS 4

struct budget_place {
    uint64_t tag;      /* of the identity; 0: nobody */
    int64_t whole_us;  /* monotonic: when nothing is owed any more */
};

struct budget {
    int64_t cost_us; /* of a read; 0: there is no budget */
    int64_t debt_us; /* that is allowed */
    struct budget_place places[BUDGET_SETS][BUDGET_WAYS];
};

int budget_new(int64_t rate, int64_t burst, struct budget **ret_budget)
{
    struct budget *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return err_origin(-ENOMEM);
    }
    if (rate > 0) {
        b->cost_us = SECOND_US / rate > 0 ? SECOND_US / rate : 1;
        b->debt_us = b->cost_us * (burst > 0 ? burst : 1);
    }
    *ret_budget = b;
    return 0;
}

void budget_free(struct budget *b)
{
    free(b);
}

static struct budget_place *budget_place(struct budget *b, const struct identity *identity)
{
    uint64_t set, tag;
    memcpy(&set, identity->bytes, sizeof set);
    memcpy(&tag, identity->bytes + sizeof set, sizeof tag);
    tag = tag ? tag : 1;
    struct budget_place *ways = b->places[set & (BUDGET_SETS - 1)], *least = ways;
    for (size_t i = 0; i < BUDGET_WAYS; i++) {
        if (ways[i].tag == tag) {
            return &ways[i];
        }
        least = ways[i].whole_us < least->whole_us ? &ways[i] : least;
    }
    *least = (struct budget_place){.tag = tag};
    return least;
}

/* Milliseconds to wait; 0: served. */
static uint32_t budget_spend(struct budget *b, const struct identity *identity, int64_t now_us)
{
    struct budget_place *p = budget_place(b, identity);
    int64_t whole_us = (p->whole_us > now_us ? p->whole_us : now_us) + b->cost_us;
    int64_t over_us = whole_us - now_us - b->debt_us;
    if (over_us > 0) {
        return (uint32_t)(over_us / 1000 + 1);
    }
    p->whole_us = whole_us;
    return 0;
}

void budget_judge(struct budget *b, struct ledger *ledger, const struct command *command,
                  int64_t now_us, struct intake_refusal *refusal)
{
    static const struct identity house = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                           0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    static const struct identity nobody;
    bool is_budgeted = b->cost_us > 0 && refusal->reason == REASON_OK &&
                       command->kind == COMMAND_LIST_SLOTS &&
                       !(command->roles & ROLE_OPERATOR) &&
                       memcmp(&command->identity, &house, sizeof house) != 0 &&
                       memcmp(&command->identity, &nobody, sizeof nobody) != 0 &&
                       ledger_is_scarce(ledger, command->pool);
    uint32_t wait_ms = is_budgeted ? budget_spend(b, &command->identity, now_us) : 0;
    if (wait_ms) {
        METRIC_ADD(scarce_reads_refused_total, 1);
        *refusal = (struct intake_refusal){.reason = REASON_READ_BUDGET, .retry_ms = wait_ms};
    }
}
