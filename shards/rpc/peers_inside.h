/* SPDX-License-Identifier: MIT */
/* What peers.c (the door, the inbox) and stream.c (streams and their keeper) share. */
#ifndef FAIRSLOT_RPC_PEERS_INSIDE_H
#define FAIRSLOT_RPC_PEERS_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "rpc/inside.h"
#include "rpc/peers.h"

#define STREAM_QUEUE_MAX   4096               /* messages to one peer */
#define STREAM_QUEUE_BYTES (32 * 1024 * 1024) /* to one peer */

struct stream {
    struct peers *peers;
    struct peers_member member;
    nng_socket socket;
    nng_aio *aio;
    atomic_int pipes;
    bool is_sending;                /* under the lock, as all below */
    nng_msg *queue[STREAM_QUEUE_MAX];      /* ring */
    size_t first, count, bytes;
    int64_t opened_us, sent_us;
    int64_t redial_us;              /* patience with this one */
    struct stream *next;
};

struct heard {
    uint64_t id, process, number;
    uint64_t other_process, other_number; /* the one heard before this one */
    int64_t since_us;               /* when the younger of both was heard first */
    int64_t twice_us;               /* when both were last known to live; 0: never */
    int64_t at_us;                  /* monotonic, as those */
};

struct peers {
    struct peers_options options;
    char address[PEERS_ADDRESS_MAX];
    uint64_t process;               /* random, of this process */
    uint64_t number;                /* of the last message sent */
    nng_socket door;
    nng_aio *door_aio;
    int port;
    pthread_mutex_t lock;           /* everything below */
    pthread_cond_t wake;
    struct stream *streams;
    struct peers_member wanted[PEERS_MAX];
    size_t wanted_count;
    struct heard heard[PEERS_MAX];
    size_t heard_count;
    struct list inbox;              /* peers_message.node */
    size_t inbox_bytes;
    bool is_paused;                 /* the door waits for the inbox */
    bool is_ending;
    bool has_keeper, has_door;
    pthread_t keeper;
};

/* All with the lock held. */
struct heard *peers_heard_of(struct peers *p, uint64_t id);
struct stream *stream_of(struct peers *p, uint64_t id);
/* Takes the message, unless it returns false. */
bool stream_put(struct stream *s, nng_msg *message);
/* The keeper's thread, with the lock not held: ends when is_ending, and all streams with it. */
void *stream_keep(void *peers);

#endif
