/* SPDX-License-Identifier: MIT */
/* Requests about the replicas: names, addresses and numbers within their bounds, and a view of a
 * cluster as the messages that clients get. */
#include "fairslot/admin/v1/cluster.pb-c.h"
#include "google/longrunning/operations.pb-c.h"
#include "tests/unit/proto/codec_kit.h"

#define CLUSTER(method) "/fairslot.admin.v1.ClusterService/" method

static void test_nodes(void)
{
    static const char *const bad[] = {"", "3", "nodes/", "nodes/0", "nodes/-1", "nodes/03",
                                      "nodes/3 ", "nodes/x", "nodes/9223372036854775808",
                                      "shards/1"};
    Fairslot__Admin__V1__RemoveNodeRequest remove = FAIRSLOT__ADMIN__V1__REMOVE_NODE_REQUEST__INIT;
    Fairslot__Admin__V1__DrainNodeRequest drain = FAIRSLOT__ADMIN__V1__DRAIN_NODE_REQUEST__INIT;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        remove.name = drain.name = (char *)bad[i];
        REFUSED(CLUSTER("RemoveNode"), &remove, "name");
        REFUSED(CLUSTER("DrainNode"), &drain, "name");
    }
    remove.name = (char *)"nodes/9223372036854775807";
    remove.validate_only = true;
    EQ(kit_ask(CLUSTER("RemoveNode"), &remove), 0);
    OK(kit_command.number == INT64_MAX && kit_command.validate_only);
    EQ(kit_command.kind, COMMAND_REMOVE_NODE);
    OK(command_is_cluster(kit_command.kind) && command_is_read(kit_command.kind));
}

static void test_operations(void)
{
    static const char *bad[] = {"", "operations/4", "operations/node-4", "operations/add-node-",
                                "operations/add-node-0", "operations/add-node-4x", "add-node-4",
                                "operations/move-node-4",
                                "operations/add-node-9223372036854775808"};
    static const char *good[] = {"operations/add-node-4", "operations/remove-node-4",
                                 "operations/drain-node-4"};
    static const char path[] = "/google.longrunning.Operations/GetOperation";
    Google__Longrunning__GetOperationRequest m = GOOGLE__LONGRUNNING__GET_OPERATION_REQUEST__INIT;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        m.name = (char *)bad[i];
        REFUSED(path, &m, "name");
    }
    for (size_t i = 0; i < 3; i++) {
        struct arena arena;
        struct span bytes;
        m.name = (char *)good[i];
        EQ(kit_ask(path, &m), 0);
        EQ(kit_command.kind, COMMAND_GET_OPERATION);
        EQ(kit_command.number, 4);
        struct verdict v = {.result = RESULT_NODE_CHANGE, .node = 4,
                            .change = (enum node_change)kit_command.version};
        arena_init(&arena, 1 << 16);
        EQ(codec_answer(&v, &arena, &bytes), 0);
        Google__Longrunning__Operation *o =
            google__longrunning__operation__unpack(NULL, bytes.len, bytes.ptr);
        EQS(o->name, good[i]); /* what a verb answers is what can be asked for */
        google__longrunning__operation__free_unpacked(o, NULL);
        arena_fini(&arena);
    }
}

static void test_add(void)
{
    static const char *const bad[] = {"", "tcp://", "tcp://a", "tcp://a:", "tcp://a:0",
                                      "tcp://a:65536", "tcp://a:1x", "tcp://:1", "http://a:1",
                                      "tcp://0.0.0.0:1", "tcp://[::]:1",
                                      "tcp://a b:1", "tcp://a:1/x", "tcp://\xc3\xa4:1",
                                      "inproc://a"};
    Fairslot__Admin__V1__AddNodeRequest m = FAIRSLOT__ADMIN__V1__ADD_NODE_REQUEST__INIT;
    char long_one[160];
    m.node = 4;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        m.peer_address = (char *)bad[i];
        REFUSED(CLUSTER("AddNode"), &m, "peer_address");
    }
    memset(long_one, 'a', sizeof long_one);
    memcpy(long_one, "tcp://", 6);
    strcpy(long_one + 126, ":1");
    m.peer_address = long_one;
    REFUSED(CLUSTER("AddNode"), &m, "peer_address");
    m.peer_address = (char *)"tcp://[::1]:17703";
    EQ(kit_ask(CLUSTER("AddNode"), &m), 0);
    EQ(kit_command.number, 4);
    OK(span_equal(kit_command.note, span_of("tcp://[::1]:17703")));
    m.node = 0;
    REFUSED(CLUSTER("AddNode"), &m, "node");
    m.node = -3;
    REFUSED(CLUSTER("AddNode"), &m, "node");
}

static void test_shards_and_clusters(void)
{
    Fairslot__Admin__V1__TransferLeaderRequest lead =
        FAIRSLOT__ADMIN__V1__TRANSFER_LEADER_REQUEST__INIT;
    Fairslot__Admin__V1__GetClusterRequest get = FAIRSLOT__ADMIN__V1__GET_CLUSTER_REQUEST__INIT;
    Fairslot__Admin__V1__ListShardsRequest list = FAIRSLOT__ADMIN__V1__LIST_SHARDS_REQUEST__INIT;
    lead.to_node = (char *)"nodes/2";
    lead.name = (char *)"1";
    REFUSED(CLUSTER("TransferLeader"), &lead, "name");
    lead.name = (char *)"shards/2";
    EQ(kit_ask(CLUSTER("TransferLeader"), &lead), REASON_SHARD_UNKNOWN);
    lead.name = (char *)"shards/1";
    EQ(kit_ask(CLUSTER("TransferLeader"), &lead), 0);
    EQ(kit_command.number, 2);
    lead.to_node = (char *)"2";
    REFUSED(CLUSTER("TransferLeader"), &lead, "to_node");
    EQ(kit_ask(CLUSTER("GetCluster"), &get), 0);
    EQ(kit_command.note.len, 0);
    get.name = (char *)"clusters/00112233445566778899aabbccddeeff";
    EQ(kit_ask(CLUSTER("GetCluster"), &get), 0);
    EQ(kit_command.note.len, 32);
    get.name = (char *)"clusters/00112233445566778899AABBCCDDEEFF";
    REFUSED(CLUSTER("GetCluster"), &get, "name");
    list.filter = (char *)"leader=1";
    REFUSED(CLUSTER("ListShards"), &list, "filter");
}

static struct cluster_node_view nodes[] = {
    {.id = 1, .address = {(const uint8_t *)"tcp://h:1", 9}, .is_voter = true, .is_self = true,
     .state = NODE_UP, .applied_index = 7, .silent_us = -1, .has_clock = true,
     .check = STATE_SAME},
    {.id = 2, .state = NODE_DOWN, .silent_us = 5 * SECOND_US, .behind = 3},
};
static const struct cluster_problem_view problems[] = {
    {PROBLEM_NODE_DOWN, 2, {(const uint8_t *)"down", 4}, {(const uint8_t *)"start it", 8}}};

static void test_answer(void)
{
    struct cluster_view view = {.cluster_id = {0xab}, .self = 1, .leader = 1, .commit_index = 9,
                                .nodes = nodes, .nodes_count = 2, .problems = problems,
                                .problems_count = 1};
    struct verdict v = {.result = RESULT_CLUSTER, .cluster = &view};
    struct arena arena;
    struct span bytes;
    arena_init(&arena, 1 << 16);
    EQ(codec_answer(&v, &arena, &bytes), 0);
    Fairslot__Admin__V1__Cluster *m =
        fairslot__admin__v1__cluster__unpack(NULL, bytes.len, bytes.ptr);
    OK(m != NULL);
    EQS(m->name, "clusters/ab000000000000000000000000000000");
    EQS(m->problems[0], "down; next: start it");
    EQS(m->problem_list[0]->node, "nodes/2");
    EQ(m->n_nodes, 2);
    EQ(m->nodes[0]->leader_count, 1);
    OK(m->nodes[0]->silence == NULL && m->nodes[1]->silence->seconds == 5);
    OK(m->nodes[0]->clock_ahead != NULL && m->nodes[1]->clock_ahead == NULL);
    EQS(m->shards[0]->leader, "nodes/1");
    OK(m->shards[0]->log_time == NULL); /* nothing was applied yet */
    OK(!m->shards[0]->members[1]->voter);
    EQ(m->shards[0]->members[1]->entries_behind, 3);
    fairslot__admin__v1__cluster__free_unpacked(m, NULL);
    v = (struct verdict){.result = RESULT_NODE_CHANGE, .node = 4, .is_done = true};
    EQ(codec_answer(&v, &arena, &bytes), 0);
    Google__Longrunning__Operation *o =
        google__longrunning__operation__unpack(NULL, bytes.len, bytes.ptr);
    OK(o != NULL && o->done);
    google__longrunning__operation__free_unpacked(o, NULL);
    arena_fini(&arena);
    arena_init(&arena, 64); /* over the cap, and not half an answer */
    v = (struct verdict){.result = RESULT_CLUSTER, .cluster = &view};
    OK(codec_answer(&v, &arena, &bytes) < 0);
    arena_fini(&arena);
}

int main(void)
{
    arena_init(&kit_arena, 1 << 20);
    TAP_RUN(test_nodes);
    TAP_RUN(test_operations);
    TAP_RUN(test_add);
    TAP_RUN(test_shards_and_clusters);
    TAP_RUN(test_answer);
    return kit_done();
}
