/* SPDX-License-Identifier: MIT */
/* How often one identity may look at what is free in scarce pools.  What they show changes once a
 * second and is the same for everybody, so looking oftener is worth nothing; the budget makes it
 * cost nothing either.  Writer thread. */
#ifndef FAIRSLOT_NODE_BUDGET_H
#define FAIRSLOT_NODE_BUDGET_H

#include "ledger/ledger.h"
#include "node/intake.h"

struct budget;

/* `rate` reads a second, `burst` at once after a pause; rate 0: any number.  0 or -ENOMEM. */
int budget_new(int64_t rate, int64_t burst, struct budget **ret_budget);
/* Takes NULL. */
void budget_free(struct budget *b);
/* A read that is to be answered: *refusal becomes READ_BUDGET with a retry time when its caller has
 * looked too often.  Everything else passes. */
void budget_judge(struct budget *b, struct ledger *ledger, const struct command *command,
                  int64_t now_us, struct intake_refusal *refusal);

#endif
