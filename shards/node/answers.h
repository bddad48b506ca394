/* SPDX-License-Identifier: MIT */
/* Verdicts into replies: one reply a batch.  Writer thread only; the caller sees to it that what
 * is answered is durable. */
#ifndef FAIRSLOT_NODE_ANSWERS_H
#define FAIRSLOT_NODE_ANSWERS_H

#include "ledger/ledger.h"
#include "node/credit.h"
#include "node/intake.h"
#include "node/signer.h"

struct answers;

/* `signer` may be NULL: nothing is signed. */
int answers_new(struct signer *signer, struct answers **ret_answers);
/* Takes NULL. */
void answers_free(struct answers *a);

/* Begins the reply to a batch. */
void answers_begin(struct answers *a, const struct intake_batch *batch);
/* The ledger's verdict on the batch's next item may borrow from this until answers_verdict(). */
struct arena *answers_scratch(struct answers *a);
/* False when the reply has no room left for what a read may answer: refuse it instead. */
bool answers_takes_read(const struct answers *a);
/* The answer to the batch's next item. 0 or < 0. */
int answers_verdict(struct answers *a, const struct verdict *verdict);
void answers_refusal(struct answers *a, const struct intake_refusal *refusal);
/* The next item gets no answer here: only in a reply that turns the rest away. */
void answers_omit(struct answers *a);
/* The reply says that what was left out is for the leader, and that none is known. */
void answers_turn_away(struct answers *a);
/* The message of the newest answer, empty when it is a refusal; until answers_begin(). */
struct span answers_last(const struct answers *a);
/* Answers the batch's next item with this message.  Copies.  0 or < 0. */
int answers_message(struct answers *a, struct span message);
/* The packed reply, borrowed until the next answers_begin().  0 or < 0. */
int answers_end(struct answers *a, struct credit_grant grant, struct span *ret_reply);

#endif
