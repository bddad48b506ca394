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
    struct node_member members[NODE_MEMBERS_MAX];
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

static int node_text(const char *text, const char **ret_copy)
{
    *ret_copy = text ? strdup(text) : NULL;
    return text && *ret_copy == NULL ? err_origin(-ENOMEM) : 0;
}

/* What a replica among others is told. */
static int node_copy(struct node *n, const struct node_options *o)
{
    CHECK(o->members_count <= NODE_MEMBERS_MAX);
    n->options.members = n->members;
    int r = node_text(o->peers_url, &n->options.peers_url);
    r = r ? r : node_text(o->address, &n->options.address);
    r = r ? r : node_text(o->door, &n->options.door);
    r = r ? r : node_text(o->program, &n->options.program);
    for (size_t i = 0; i < o->members_count && r == 0; i++) {
        n->members[i].id = o->members[i].id;
        r = node_text(o->members[i].address, &n->members[i].address);
        n->options.members_count++;
    }
    return r;
}

/* Where gateways reach us; port 0 was any free one. */
static void node_tell_door(struct node *n)
{
    char url[256];
    const char *listen = n->options.listen_url;
    size_t len = strlen(listen);
    bool is_any = len > 2 && strcmp(listen + len - 2, ":0") == 0;
    if (n->options.door) {
        writer_set_door(n->writer, n->options.door);
    } else if (is_any) {
        snprintf(url, sizeof url, "%.*s:%d", (int)len - 2, listen, node_port(n));
        writer_set_door(n->writer, url);
    } else {
        writer_set_door(n->writer, listen);
    }
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
    n->options.peers_url = n->options.address = n->options.door = n->options.program = NULL;
    n->options.members_count = 0;
    n->options.data_dir = strdup(options->data_dir);
    n->options.listen_url = strdup(options->listen_url);
    int r = n->options.data_dir && n->options.listen_url ? 0 : err_origin(-ENOMEM);
    r = r ? r : node_copy(n, options);
    r = r ? r : intake_new(RPC_CONTEXTS, NODE_INTAKE_ITEMS_MAX, &n->intake);
    r = r ? r : writer_start(&n->options, n->intake, &n->writer, ret_text);
    r = r ? r : node_listen(n, ret_text);
    if (r) {
        node_stop(n);
        return err_trace(r);
    }
    node_tell_door(n);
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
        writer_hand_over(n->writer);
        intake_stop(n->intake, n->options.id != 0);
    }
    writer_stop(n->writer);
    rpc_server_close(n->server);
    intake_free(n->intake);
    free((char *)(uintptr_t)n->options.data_dir);
    free((char *)(uintptr_t)n->options.listen_url);
    free((char *)(uintptr_t)n->options.peers_url);
    free((char *)(uintptr_t)n->options.address);
    free((char *)(uintptr_t)n->options.door);
    free((char *)(uintptr_t)n->options.program);
    for (size_t i = 0; i < n->options.members_count; i++) {
        free((char *)(uintptr_t)n->members[i].address);
    }
    free(n);
}
