/* SPDX-License-Identifier: MIT */
/* A shard's replica among others: --id, --peer and --join as the node wants them. */
#ifndef FAIRSLOT_SERVE_PEERS_H
#define FAIRSLOT_SERVE_PEERS_H

#include "node/node.h"
#include "serve_config.h"

struct serve_peers {
    char texts[NODE_MEMBERS_MAX][256]; /* "ID=URL", cut at the '=' */
    struct node_member members[NODE_MEMBERS_MAX];
    size_t count;
};

/* Fills id, members, joins, cluster_id and addresses of `options`; borrowed from sc and peers.
 * VERB_OK, or VERB_USAGE (told). */
int serve_peers_fill(struct serve_peers *peers, const struct serve_config *sc,
                     const struct verb *verb, struct node_options *options);

#endif
