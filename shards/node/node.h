/* SPDX-License-Identifier: MIT */
/* A node: a process's shard replica with its writer thread, alone or among peers.
 *
 *   rpc batches -> intake -> round: one entry -> replica (log env, fsync) -> committed ->
 *   ledger.apply -> verdicts -> answers
 *
 * All calls from the thread that started it. */
#ifndef FAIRSLOT_NODE_NODE_H
#define FAIRSLOT_NODE_NODE_H

#include "base/types.h"

struct node;

#define NODE_MEMBERS_MAX 16

/* A replica of the shard, as the log names it. */
struct node_member {
    uint64_t id;
    const char *address; /* tcp://HOST:PORT, where its peers reach it */
};

struct node_options {
    uint64_t id;            /* our own among others; 0: alone */
    const struct node_member *members; /* the first ones, our own included; the same on all */
    size_t members_count;   /* 0: alone, or joining */
    const char *peers_url;  /* where peers connect; NULL: our own address */
    const char *address;    /* what peers dial; NULL: our own of members, or peers_url */
    bool joins;             /* no first member: waits until a leader adds it */
    const char *data_dir;   /* shard's directory */
    const char *listen_url; /* inproc://... or tcp://... */
    const char *program;    /* its version, for the others; NULL: not told */
    const char *door;       /* what gateways dial; NULL: listen_url with its port */
    const char *signing_key; /* PEM file of the operator's key; NULL or "": nothing is signed */
    uint8_t cluster_id[16]; /* zero: as store_open() */
    /* Called once from the writer thread when the node cannot go on (disk error, damage): the
     * process must end, unsuccessfully and at once.  NULL: the node logs and calls _exit(1). */
    void (*fatal)(void *user);
    void *user;
    /* 0: the store's own; struct store_options has them. */
    size_t log_map_bytes;
    size_t state_map_bytes;
    size_t overlay_max_bytes;
    size_t warm_bytes;      /* of the overlays, touched before node_start() returns; 0: none */
    uint64_t log_keep_entries;
    uint64_t lag_alarm_entries; /* of a replica; more is told.  0: CLUSTER_LAG_MAX */
    uint32_t election_ms;   /* without a leader, before a replica wants to lead; 0: 300 */
    uint64_t disk_reserve_bytes;
    int64_t scarce_reads;   /* of one identity a second, of scarce pools' slots; 0: any number */
    int64_t scarce_burst;   /* at once after a pause */
    int64_t ticket_burst;   /* fresh answers to GetTicket at once; 0: all are.  See poll.h */
    int64_t slow_round_us;  /* a commit that takes longer is logged; 0: none is */
    int64_t scrub_interval_us; /* as the store's: 0: 24 h, < 0: never */
};

enum {
    NODE_E_STORE = 1,   /* the directory cannot be used: locked, foreign, damaged */
    NODE_E_VERSION = 2, /* the state was written by newer rules than this program has */
    NODE_E_ADDRESS = 3, /* listen_url is no address of ours, or in use */
    NODE_E_KEY = 4,     /* signing_key holds no key */
    NODE_E_PEERS = 5,   /* peers_url is no address of ours, or in use */
};

/* Opens the store, replays the log, listens.  0, a verdict above with `ret_text` (at least 256
 * bytes) saying what and what to do, or < 0. */
int node_start(const struct node_options *options, struct node **ret_node, char *ret_text);
int node_port(const struct node *n);
/* Finishes the rounds under way, flushes, closes.  Takes NULL. */
void node_stop(struct node *n);

#endif
