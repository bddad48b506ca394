/* SPDX-License-Identifier: MIT */
/* Tickets that are asked for too often: answered as they were, so that asking faster than
 * TICKET_POLL_US tells nothing.  Writer thread. */
#ifndef FAIRSLOT_NODE_POLL_H
#define FAIRSLOT_NODE_POLL_H

#include "ledger/ledger.h"

struct poll;

/* `burst` fresh answers at once after a pause, then one every TICKET_POLL_US; 0: every one is
 * fresh.  0 or -ENOMEM. */
int poll_new(int64_t burst, struct poll **ret_poll);
/* Takes NULL. */
void poll_free(struct poll *p);
/* True: the caller has asked too often, *ret_message is what it was told last (until poll_keep()).
 * False: answer it anew, and tell poll_keep().  A mutation, or a stream's question, makes forget
 * what its caller was told: nobody reads an older state than they have seen. */
bool poll_again(struct poll *p, const struct command *command, int64_t now_us,
                struct span *ret_message);
/* Remembers the answer to what poll_again() let pass, if it is a limited question.  Copies. */
void poll_keep(struct poll *p, const struct command *command, int64_t now_us,
               struct span message);

#endif
