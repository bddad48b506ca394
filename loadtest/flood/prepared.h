/* SPDX-License-Identifier: MIT */
/* Tokens that were minted ahead, in a file of their own (flood --prepared FILE). */
#ifndef FAIRSLOT_FLOOD_PREPARED_H
#define FAIRSLOT_FLOOD_PREPARED_H

#include "flood/plan.h"

#define PREPARED_TOKEN_MAX 2040 /* bytes of one */

struct prepared_head {
    char magic[32];
    uint64_t key;        /* of issuer and populations: prepared_key() */
    int64_t until_s;     /* the tokens end, seconds since the epoch */
    uint64_t count;      /* of tokens */
    uint64_t tokens_len; /* bytes of all together; count + 1 offsets stand behind them */
};

enum { PREPARED_E_MISSING = -1 };
/* What tokens of this crowd by this issuer are known by.  0 or an exit code, told. */
int prepared_key(const char *issuer_dir, const struct plan *plan, uint64_t *ret_key);
/* Sets the plan's tokens.  0; PREPARED_E_MISSING: there is no such file; or an exit code, told. */
int prepared_load(const char *path, uint64_t key, struct plan *plan);
/* Writes the plan's.  0 or an exit code, told. */
int prepared_save(const char *path, uint64_t key, int64_t until_s, const struct plan *plan);

#endif
