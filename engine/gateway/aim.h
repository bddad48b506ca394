/* SPDX-License-Identifier: MIT */
/* Where the hop's batches go: a line to each replica of the shard, and the choice of one.
 * The first loop's thread. */
#ifndef FAIRSLOT_GATEWAY_AIM_H
#define FAIRSLOT_GATEWAY_AIM_H

#include "gateway/leads.h"
#include "rpc/rpc.h"

#define AIM_PROBE RPC_CLIENT_CONTEXTS /* number of the context behind the hop's own */

/* Embedded in its owner. */
struct aim {
    struct leads *leads; /* borrowed */
    struct rpc_client *clients[LEADS_MAX]; /* NULL: no line yet */
    rpc_client_done_cb *done_cb;
    void *user;
    size_t at;           /* the replica that is asked */
    size_t probed;       /* the one that was probed last */
    unsigned fruitless;  /* batches turned away since one was answered */
    bool is_named;       /* the last of these said who leads, and that one is asked next */
    uint64_t leaderless_ms; /* when the first of these was; 0: none was */
};

/* Dials every address in the background.  0, RPC_E_ADDRESS or < 0; aim_close() in any case. */
int aim_open(struct aim *a, struct leads *leads, rpc_client_done_cb *done_cb, void *user);
void aim_close(struct aim *a);
/* Is the one that is asked connected?  If it is not and another one is, that is asked from now on
 * (*ret_moved). */
bool aim_look(struct aim *a, bool *ret_moved);
/* 0 or < 0; context below RPC_CLIENT_CONTEXTS. */
int aim_send(struct aim *a, unsigned context, struct span batch);
void aim_abort(struct aim *a, size_t at, unsigned context);
/* The one that is asked is silent: it is dialled anew, and not connected until it answers that. */
void aim_renew(struct aim *a);

/* A batch was answered by a leader. */
void aim_answered(struct aim *a);
/* Replica `from` does not lead and named `leader` (empty: none).  Returns the milliseconds to wait
 * before the next batch. */
unsigned aim_turned(struct aim *a, size_t from, struct span leader, uint64_t now_ms);
/* Nobody has led for so long, and nobody is said to lead now: callers are told. */
bool aim_is_leaderless(const struct aim *a, uint64_t now_ms);

/* Asks another replica, with an empty batch on context AIM_PROBE, who leads; false: there is no
 * other one.  Its reply goes to aim_probed(). */
bool aim_probe(struct aim *a, struct span empty_batch);
/* `leads`: the probed one leads itself; else it named `leader`.  True: another one is asked from
 * now on. */
bool aim_probed(struct aim *a, bool leads, struct span leader);

#endif
