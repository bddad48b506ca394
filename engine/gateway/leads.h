/* SPDX-License-Identifier: MIT */
/* Which replica of the shard leads, as far as this process knows: the addresses that were
 * configured and those that replicas named, and the one that questions go to.  Any thread. */
#ifndef FAIRSLOT_GATEWAY_LEADS_H
#define FAIRSLOT_GATEWAY_LEADS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/types.h"

struct leads;

#define LEADS_MAX 32 /* addresses; a shard has 16 replicas at most, and they may move */

/* `urls`: one, or several with blanks between them.  0 or -ENOMEM; more than LEADS_MAX are cut. */
int leads_new(const char *urls, struct leads **ret_leads);
/* Takes NULL. */
void leads_free(struct leads *l);
size_t leads_count(struct leads *l);
/* Lives as long as `l`. */
const char *leads_url(struct leads *l, size_t at);
size_t leads_current(struct leads *l);
/* Questions go there from now on. */
void leads_take(struct leads *l, size_t at);
/* The address that a replica named: its number, taken on when it is a new one.  LEADS_MAX: none was
 * named, it is no tcp:// address, or there are too many. */
size_t leads_named(struct leads *l, struct span url);
/* Whose replicas they are, to be said with each batch; 0: not known. */
uint64_t leads_cluster(struct leads *l);
/* A reply is of that cluster's replica (0: it did not say).  The first one that leads makes it
 * ours; false: it is another one's, and nothing that it says counts. */
bool leads_are(struct leads *l, uint64_t cluster, bool leads);

#endif
