/* SPDX-License-Identifier: MIT */
/* The verbs about replicas: fairslot cluster, node, shard leader; their help stands beside them. */
#ifndef FAIRSLOT_CTL_CMD_CLUSTER_H
#define FAIRSLOT_CTL_CMD_CLUSTER_H

#include "ctl/options.h"
#include "fairslot/admin/v1/cluster.pb-c.h"
#include "verb.h"

#define CMD_CLUSTER_ADMIN "/fairslot.admin.v1.ClusterService/"

struct session;

int cmd_cluster_init(const struct verb *verb, int argc, char **argv);
int cmd_cluster_status(const struct verb *verb, int argc, char **argv);
int cmd_cluster_problems(const struct verb *verb, int argc, char **argv);
int cmd_node_list(const struct verb *verb, int argc, char **argv);
int cmd_node_show(const struct verb *verb, int argc, char **argv);
int cmd_node_add(const struct verb *verb, int argc, char **argv);
int cmd_node_remove(const struct verb *verb, int argc, char **argv);
int cmd_node_cordon(const struct verb *verb, int argc, char **argv);
int cmd_node_uncordon(const struct verb *verb, int argc, char **argv);
int cmd_node_drain(const struct verb *verb, int argc, char **argv);
int cmd_shard_leader(const struct verb *verb, int argc, char **argv);
extern const char cmd_cluster_init_help[], cmd_cluster_status_help[], cmd_cluster_problems_help[];
extern const char cmd_node_list_help[], cmd_node_show_help[], cmd_node_add_help[];
extern const char cmd_node_cordon_help[], cmd_node_uncordon_help[];
extern const char cmd_node_remove_help[], cmd_node_drain_help[], cmd_shard_leader_help[];

/* The cluster as whoever answers sees it; to be freed with session_free().  An exit code. */
int cmd_cluster_get(struct session *session, Fairslot__Admin__V1__Cluster **ret_cluster);
/* The same, but a refusal is not told. */
struct refusal;
int cmd_cluster_try(struct session *session, Fairslot__Admin__V1__Cluster **ret_cluster,
                    struct refusal *ret_refusal);
/* "nodes/3" or "3" as "nodes/3"; false: told. */
#define CMD_NODE_MAX 32
bool cmd_cluster_node(const char *typed, char out[CMD_NODE_MAX]);
/* NULL: it is no member. */
const Fairslot__Admin__V1__Node *cmd_cluster_find(const Fairslot__Admin__V1__Cluster *cluster,
                                                  const char *node);
const Fairslot__Admin__V1__Replica *cmd_cluster_replica(const Fairslot__Admin__V1__Cluster *cluster,
                                                        const char *node);
/* One line about a node on its way, that replaces itself; how often it was asked for. */
void cmd_cluster_progress(const Fairslot__Admin__V1__Cluster *cluster, const char *node,
                          unsigned asked, bool done);

#endif
