/* SPDX-License-Identifier: MIT */
/* Node to node: one ordered stream to each peer, one door for all of them.
 *
 *   peers_send() --queue of a peer--> PUSH socket ====nng====> PULL socket --inbox--> peers_take()
 *
 * A message comes whole, once and in the order of its stream, or not at all: what is sent while a
 * peer is away, or when its queue is full, is dropped (Raft sends again).  Nothing is ever answered
 * by the transport.  Every message says which cluster, node, disk and process it is from; one of
 * another cluster, or for another node, is dropped and counted.
 * One thread (the node's writer) calls all of these; `arrived` comes on nng's threads. */
#ifndef FAIRSLOT_RPC_PEERS_H
#define FAIRSLOT_RPC_PEERS_H

#include "base/list.h"
#include "base/types.h"

struct peers;

#define PEERS_MAX         16
#define PEERS_ADDRESS_MAX 128               /* bytes of a URL with its closing 0 */
#define PEERS_BODY_MAX    (8 * 1024 * 1024) /* bytes of one message; an entry has 2 MiB at most */

struct peers_member {
    uint64_t id;
    char address[PEERS_ADDRESS_MAX]; /* tcp://HOST:PORT or inproc://NAME */
};

struct peers_options {
    const char *listen_url; /* our door */
    const char *address;    /* what others dial to reach it; NULL: listen_url */
    uint64_t id;            /* our own, > 0 */
    uint64_t disk;          /* a random number of our data directory */
    uint8_t cluster_id[16];
    void (*arrived)(void *user); /* there is something to take */
    void *user;
};

/* One that has come.  Owned by whoever took it, until peers_done(). */
struct peers_message {
    struct list node;
    uint64_t from, disk;
    uint8_t kind;        /* the caller's */
    int64_t wall_us;     /* the sender's wall clock when it was sent */
    int64_t arrival_us;  /* monotonic, here */
    struct span body;
    char address[PEERS_ADDRESS_MAX]; /* where the sender is reached */
    void *message;       /* nng's */
};

enum { PEERS_E_ADDRESS = 1 };

/* 0, PEERS_E_ADDRESS for a URL that is none of ours or in use, or < 0. */
int peers_open(const struct peers_options *options, struct peers **ret_peers);
/* Does a node, whichever, answer at that address?  Waits so long for each of its two steps; false
 * where that is not known. */
bool peers_probe(const char *url, int wait_ms);
/* Nothing arrives after it returns.  Takes NULL. */
void peers_close(struct peers *p);
/* The port of the door, when it is tcp. */
int peers_port(const struct peers *p);
/* Who is to be reached, ourselves left out; the others' streams end. */
void peers_set(struct peers *p, const struct peers_member *members, size_t count);
/* False: dropped. */
bool peers_send(struct peers *p, uint64_t to, uint8_t kind, struct span body);
/* The oldest that has come; NULL: none. */
struct peers_message *peers_take(struct peers *p);
/* Takes NULL. */
void peers_done(struct peers_message *m);
/* A stream to that peer stands. */
bool peers_connected(struct peers *p, uint64_t id);
/* Two processes speak as that node at a time: its directory was copied. */
bool peers_is_twice(struct peers *p, uint64_t id);

#endif
