/* SPDX-License-Identifier: MIT */
/* Asks memory for records before they are read.
 *   keys -> the memo's places -> leaves -> their numbers -> entries -> records
 * Each arrow is a wait of a hundred nanoseconds when the crowd is millions; here all keys wait
 * together, once an arrow.
 * Owns nothing, changes nothing.  Fails never: a leaf that the memo does not know is left out. */
#include "simulate/simbook_inside.h"

#define SIMBOOK_HINT   64 /* keys at once: about what can be under way from memory */

/* The entry of the leaf that may be the key's, by its number alone; n->count: it is behind it. */
static uint32_t simbook_guess(const struct simbook_node *n, struct span key)
{
    int order = simbook_prefix_order(n, key);
    return order < 0   ? 0
           : order > 0 ? n->count
                       : simbook_lower_head(n, 0, n->count, simbook_head(key, n->prefix_len));
}

/* In passes, so that what one waits for the next finds: places, leaves, leaves behind them, entries
 * and records. */
static void simbook_hint_some(struct simbook *s, const struct span *keys, size_t count)
{
    const struct simbook_node *leaves[SIMBOOK_HINT];
    uint32_t at[SIMBOOK_HINT];
    for (size_t i = 0; i < count; i++) {
        __builtin_prefetch(simbook_memo(s, keys[i]));
    }
    for (size_t i = 0; i < count; i++) {
        leaves[i] = *simbook_memo(s, keys[i]);
        if (leaves[i]) {
            simbook_fetch(leaves[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        at[i] = leaves[i] ? simbook_guess(leaves[i], keys[i]) : 0;
        if (leaves[i] && at[i] == leaves[i]->count && leaves[i]->next) {
            leaves[i] = leaves[i]->next;
            at[i] = SIMBOOK_FAN;
            simbook_fetch(leaves[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        at[i] = leaves[i] && at[i] == SIMBOOK_FAN ? simbook_guess(leaves[i], keys[i]) : at[i];
        if (leaves[i] && at[i] < leaves[i]->count) {
            __builtin_prefetch(&leaves[i]->records[at[i]]);
        } else {
            leaves[i] = NULL;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (leaves[i]) {
            __builtin_prefetch(leaves[i]->records[at[i]]);
        }
    }
}

void simbook_hint(struct simbook *s, const struct span *keys, size_t count)
{
    for (size_t from = 0; from < count; from += SIMBOOK_HINT) {
        simbook_hint_some(s, keys + from,
                          count - from < SIMBOOK_HINT ? count - from : SIMBOOK_HINT);
    }
}
