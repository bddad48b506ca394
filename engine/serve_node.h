/* SPDX-License-Identifier: MIT */
/* Starting the shard's node from a configuration. */
#ifndef FAIRSLOT_SERVE_NODE_H
#define FAIRSLOT_SERVE_NODE_H

#include "node/node.h"
#include "serve_config.h"

/* Logs that others can read a file that holds a secret. */
void serve_node_warn_mode(const char *path);
/* In the data directory of sc, reached by gateways at `url`.  VERB_OK, or an exit code (told). */
int serve_node_start(const struct serve_config *sc, const struct verb *verb, const char *url,
                     struct node **ret_node);

#endif
