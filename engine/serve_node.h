/* SPDX-License-Identifier: MIT */
/* Starting the shard's node from a configuration. */
#ifndef FAIRSLOT_SERVE_NODE_H
#define FAIRSLOT_SERVE_NODE_H

#include "node/node.h"
#include "serve_config.h"

/* Logs that others can read a file that holds a secret. */
void serve_node_warn_mode(const char *path);
/* The shard's ends may stand beyond loopback: there is TLS, or it is said to be fine. */
bool serve_node_may_listen(const struct config *config);
/* TLS towards shards and peers, where [inside] says so; before the first of them is opened.
 * VERB_OK, or an exit code (told). */
int serve_node_secure(const struct serve_config *sc, const struct verb *verb);
/* In the data directory of sc, reached by gateways at `url`.  VERB_OK, or an exit code (told). */
int serve_node_start(const struct serve_config *sc, const struct verb *verb, const char *url,
                     struct node **ret_node);

#endif
