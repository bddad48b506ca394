/* SPDX-License-Identifier: MIT */
/* A node: the intake, the writer behind it, and the door in front.
 * Owns these three.  happy path: start from the inside out (nobody knocks before the log is
 * replayed), stop from the outside in: first new batches are told SHUTTING_DOWN, then the writer
 * answers what waits and flushes, then the door closes, so that answers had time to leave.
 * Fails: the verdicts of node.h with their text; < 0. */
#include "node/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/limits.h"
#include "node/intake.h"
#include "node/writer.h"
#include "rpc/rpc.h"

#define NODE_INTAKE_ITEMS_MAX (4 * ROUND_ITEMS_MAX) /* about 150 ms of work */

struct node {
    struct node_options options; /* strings are copies */
    struct intake *intake;
    struct writer *writer;
    struct rpc_server *server;
};

static int node_listen(struct node *n, char *ret_text)
{
    int r = rpc_server_open(n->options.listen_url, RPC_CONTEXTS, intake_push, n->intake,
                            &n->server);
    if (r > 0) {
        snprintf(ret_text, 256, "%s: cannot listen there: no inproc:// or tcp://HOST:PORT address, "
                 "or in use", n->options.listen_url);
        return NODE_E_ADDRESS;
    }
    return err_trace(r);
}

int node_start(const struct node_options *options, struct node **ret_node, char *ret_text)
{
    CHECK(options->data_dir != NULL);
    CHECK(options->listen_url != NULL);
    struct node *n = calloc(1, sizeof *n);
    if (n == NULL) {
        return err_origin(-ENOMEM);
    }
    n->options = *options;
    n->options.data_dir = strdup(options->data_dir);
    n->options.listen_url = strdup(options->listen_url);
    int r = n->options.data_dir && n->options.listen_url ? 0 : err_origin(-ENOMEM);
    r = r ? r : intake_new(RPC_CONTEXTS, NODE_INTAKE_ITEMS_MAX, &n->intake);
    r = r ? r : writer_start(&n->options, n->intake, &n->writer, ret_text);
    r = r ? r : node_listen(n, ret_text);
    if (r) {
        node_stop(n);
        return err_trace(r);
    }
    *ret_node = n;
    return 0;
}

int node_port(const struct node *n)
{
    return rpc_server_port(n->server);
}

void node_stop(struct node *n)
{
    if (n == NULL) {
        return;
    }
    if (n->intake) {
        intake_stop(n->intake);
    }
    writer_stop(n->writer);
    rpc_server_close(n->server);
    intake_free(n->intake);
    free((char *)(uintptr_t)n->options.data_dir);
    free((char *)(uintptr_t)n->options.listen_url);
    free(n);
}
