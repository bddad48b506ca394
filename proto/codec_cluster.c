/* SPDX-License-Identifier: MIT */
/* Operators' requests about the replicas -> commands.  As codec_request.c: names and addresses are
 * judged here, who is a member and who leads by the node.
 * Owns nothing.  A node's name is its number: 1 and up, in decimal, with no zeros in front. */
#include <stdint.h>
#include <stdio.h>

#include "base/check.h"
#include "base/err.h"
#include "fairslot/admin/v1/cluster.pb-c.h"
#include "google/longrunning/operations.pb-c.h"
#include "proto/codec_parts.h"

#define CLUSTER_SHARD "1" /* the one shard of today */

static bool codec_cluster_number(const char *text, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (text[0] < '1' || text[0] > '9') {
        return false;
    }
    for (const char *at = text; *at; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (*at < '0' || *at > '9' || number > ((uint64_t)CLUSTER_ID_MAX - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    *ret_number = number;
    return true;
}

static int codec_cluster_node(struct codec_ask *ask, const char *field, const char *name)
{
    if (strncmp(name, "nodes/", 6) != 0 || !codec_cluster_number(name + 6, &ask->command->number)) {
        return codec_fault(ask, field, "nodes/NODE, its number");
    }
    return 0;
}

/* 0.0.0.0 and ::, where nobody is reached: what one listens on. */
static bool codec_cluster_is_any(struct span host)
{
    return span_equal(host, span_of("0.0.0.0")) || span_equal(host, span_of("[::]"));
}

/* tcp://HOST:PORT, no blanks: it goes into the log and to every member. */
static bool codec_cluster_address_ok(struct span url)
{
    if (url.len <= 6 || url.len > CLUSTER_ADDRESS_MAX || memcmp(url.ptr, "tcp://", 6) != 0) {
        return false;
    }
    size_t colon = 0;
    for (size_t i = 6; i < url.len; i++) {
        if (url.ptr[i] <= ' ' || url.ptr[i] > '~' || url.ptr[i] == '/') {
            return false;
        }
        colon = url.ptr[i] == ':' ? i : colon;
    }
    size_t port = 0;
    for (size_t i = colon + 1; i < url.len; i++) {
        if (url.ptr[i] < '0' || url.ptr[i] > '9' || port > 65535) {
            return false;
        }
        port = port * 10 + (size_t)(url.ptr[i] - '0');
    }
    return colon > 6 && colon + 1 < url.len && port > 0 && port <= 65535 &&
           !codec_cluster_is_any((struct span){url.ptr + 6, colon - 6});
}

static int codec_cluster_get(struct codec_ask *ask, struct span message)
{
    Fairslot__Admin__V1__GetClusterRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__get_cluster_request__descriptor, message,
                         ask->arena, &m);
    if (r || m->name[0] == '\0') {
        return r;
    }
    const char *id = m->name + 9;
    if (strncmp(m->name, "clusters/", 9) != 0 || strlen(id) != 32 ||
        strspn(id, "0123456789abcdef") != 32) {
        return codec_fault(ask, "name", "empty, or clusters/ and 32 hex digits");
    }
    ask->command->note = span_of(id);
    return 0;
}

static int codec_cluster_list_nodes(struct codec_ask *ask, struct span message)
{
    Fairslot__Admin__V1__ListNodesRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__list_nodes_request__descriptor, message, ask->arena,
                         &m);
    return r ? r : codec_ask_page(ask, m->page_size, m->page_token);
}

static int codec_cluster_list_shards(struct codec_ask *ask, struct span message)
{
    Fairslot__Admin__V1__ListShardsRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__list_shards_request__descriptor, message,
                         ask->arena, &m);
    if (r == 0 && m->filter[0] != '\0') {
        return codec_fault(ask, "filter", "empty: this version has no filters");
    }
    return r ? r : codec_ask_page(ask, m->page_size, m->page_token);
}

static int codec_cluster_add(struct codec_ask *ask, struct span message)
{
    Fairslot__Admin__V1__AddNodeRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__add_node_request__descriptor, message, ask->arena,
                         &m);
    if (r) {
        return r;
    }
    struct command *c = ask->command;
    if (m->node < 1) {
        return codec_fault(ask, "node", "its number, 1 and up");
    }
    c->number = (uint64_t)m->node;
    c->note = span_of(m->peer_address);
    c->validate_only = m->validate_only;
    return codec_cluster_address_ok(c->note)
               ? 0
               : codec_fault(ask, "peer_address",
                             "tcp://HOST:PORT where others reach it, at most 127 bytes");
}

static int codec_cluster_remove(struct codec_ask *ask, struct span message)
{
    Fairslot__Admin__V1__RemoveNodeRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__remove_node_request__descriptor, message,
                         ask->arena, &m);
    if (r) {
        return r;
    }
    ask->command->validate_only = m->validate_only;
    return codec_cluster_node(ask, "name", m->name);
}

/* Cordon and uncordon: their messages are alike, and the method says which it is. */
static int codec_cluster_mark(struct codec_ask *ask, struct span message)
{
    Fairslot__Admin__V1__CordonNodeRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__cordon_node_request__descriptor, message,
                         ask->arena, &m);
    if (r) {
        return r;
    }
    ask->command->version = (uint64_t)ask->method->action;
    return codec_cluster_node(ask, "name", m->name);
}

const char *codec_cluster_change(enum node_change change)
{
    return change == NODE_CHANGE_ADD ? "add" : change == NODE_CHANGE_REMOVE ? "remove" : "drain";
}

/* operations/add-node-4: the name that AddNode gave it. */
static int codec_cluster_operation(struct codec_ask *ask, struct span message)
{
    Google__Longrunning__GetOperationRequest *m;
    int r = codec_unpack(&google__longrunning__get_operation_request__descriptor, message,
                         ask->arena, &m);
    for (enum node_change c = NODE_CHANGE_ADD; r == 0 && c <= NODE_CHANGE_DRAIN; c++) {
        char start[40];
        size_t len = (size_t)snprintf(start, sizeof start, "operations/%s-node-",
                                      codec_cluster_change(c));
        if (strncmp(m->name, start, len) == 0 &&
            codec_cluster_number(m->name + len, &ask->command->number)) {
            ask->command->version = (uint64_t)c;
            return 0;
        }
    }
    return r ? r : codec_fault(ask, "name", "operations/add-node-N, remove-node-N or "
                                            "drain-node-N: as the verb answered");
}

static int codec_cluster_drain(struct codec_ask *ask, struct span message)
{
    Fairslot__Admin__V1__DrainNodeRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__drain_node_request__descriptor, message,
                         ask->arena, &m);
    if (r) {
        return r;
    }
    ask->command->validate_only = m->validate_only;
    return codec_cluster_node(ask, "name", m->name);
}

static int codec_cluster_transfer(struct codec_ask *ask, struct span message)
{
    Fairslot__Admin__V1__TransferLeaderRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__transfer_leader_request__descriptor, message,
                         ask->arena, &m);
    if (r) {
        return r;
    }
    uint64_t shard;
    if (strncmp(m->name, "shards/", 7) != 0 || !codec_cluster_number(m->name + 7, &shard)) {
        return codec_fault(ask, "name", "shards/SHARD, its number");
    }
    if (strcmp(m->name + 7, CLUSTER_SHARD) != 0) {
        return REASON_SHARD_UNKNOWN;
    }
    ask->command->validate_only = m->validate_only;
    return codec_cluster_node(ask, "to_node", m->to_node);
}

int codec_request_cluster(struct codec_ask *ask, struct span message)
{
    switch (ask->command->kind) {
    case COMMAND_GET_CLUSTER:
        return codec_cluster_get(ask, message);
    case COMMAND_LIST_NODES:
        return codec_cluster_list_nodes(ask, message);
    case COMMAND_LIST_SHARDS:
        return codec_cluster_list_shards(ask, message);
    case COMMAND_ADD_NODE:
        return codec_cluster_add(ask, message);
    case COMMAND_REMOVE_NODE:
        return codec_cluster_remove(ask, message);
    case COMMAND_DRAIN_NODE:
        return codec_cluster_drain(ask, message);
    case COMMAND_MARK_NODE:
        return codec_cluster_mark(ask, message);
    case COMMAND_GET_OPERATION:
        return codec_cluster_operation(ask, message);
    default:
        CHECK(ask->command->kind == COMMAND_TRANSFER_LEADER);
        return codec_cluster_transfer(ask, message);
    }
}
