/* SPDX-License-Identifier: MIT */
/* Tokens of all clients, minted before anything is sent, in a file that is mapped: they take no
 * memory of the generator's own and every process reads the same. */
#ifndef FAIRSLOT_FLOOD_MINT_H
#define FAIRSLOT_FLOOD_MINT_H

#include "flood/plan.h"

/* With the development issuer of a data directory; subjects are POPULATION-NUMBER.  Sets the plan's
 * tokens and token_at.  0 or an exit code, told. */
int mint_tokens(const char *issuer_dir, struct plan *plan);
/* The same out of a file that an earlier run made; makes it when it is not there. */
int mint_prepared(const char *issuer_dir, const char *path, struct plan *plan);
void mint_free(struct plan *plan);

#endif
