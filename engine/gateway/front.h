/* SPDX-License-Identifier: MIT */
/* The front: what all loops of a process share.  One thread a loop, each with its own connections,
 * calls, buffers and deadlines (struct gateway); one queue for all, so that work is shared by
 * identity and not by connection or loop.  The first loop runs in the thread that called
 * gateway_run() and owns queue and hop; the others post to it. */
#ifndef FAIRSLOT_GATEWAY_FRONT_H
#define FAIRSLOT_GATEWAY_FRONT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/limits.h"
#include "gateway/brake.h"
#include "gateway/call.h"
#include "gateway/cidr.h"
#include "gateway/gateway.h"
#include "gateway/reload.h"
#include "gateway/symbols.h"

struct auth;
struct board;
struct leads;
struct news;
struct gate;
struct tls;
struct errand;
struct fairq;
struct gateway;
struct hop;

struct front {
    const struct gateway_options *options; /* borrowed */
    struct gateway *loops[LOOPS_MAX];      /* fixed before the first thread starts */
    unsigned loops_count;
    struct symbols symbols;    /* read only */
    struct auth *_Atomic auth; /* held; each loop holds it too, and takes on another: token.c */
    pthread_mutex_t auth_lock; /* while another comes, or a loop takes it */
    struct reload reload;      /* first loop's */
    struct cidr_list frontends; /* of options->frontends */
    atomic_uint_fast64_t anonymous_us; /* when the budget of callers without a token is whole */
    struct gate *gate;         /* any loop */
    struct tls *tls;           /* any loop; NULL: clients come without */
    struct tls *admin_tls;     /* any loop; NULL: operators have no listener of their own */
    int admin_port;            /* of that listener; 0: there is none */
    struct leads *leads;       /* any thread: it locks */
    struct board *board;       /* any loop: it locks */
    struct news *news;         /* the same */
    atomic_size_t conns_count; /* of all loops, at most CONNECTIONS_MAX */
    /* Of the first loop's thread: */
    struct fairq *queue;
    struct brake brake;
    struct hop *hop;
    struct errand **errands[LOOPS_MAX]; /* that are out: by home loop, then slot of the call */
    unsigned others_count;              /* other loops that have not left */
};

/* 0, FRONT_E_OPTIONS with `ret_text` (256 bytes), or -ENOMEM. */
enum { FRONT_E_OPTIONS = 1, FRONT_E_TLS = 2, FRONT_E_GATE = 3 };
int front_new(const struct gateway_options *options, struct front **ret_front, char *ret_text);
/* Reads certificates and opens the gate: 0, FRONT_E_TLS or FRONT_E_GATE with `ret_text` (512
 * bytes), or < 0. */
int front_open(struct front *front, char *ret_text);
/* Certificates and ticket keys again; what cannot be read is logged, and what stood stays. */
void front_reload(struct front *front);
/* Every loop ended.  Takes NULL. */
void front_free(struct front *front);

/* A caller without a token wants a call: 0, or the milliseconds after which it may ask again.  Any
 * thread. */
unsigned front_anonymous_wait_ms(struct front *front, uint64_t now_ms);

/* Where the errand of a loop's call stands while it is out. */
static inline struct errand **front_errand_slot(struct front *front, unsigned home, uint32_t call)
{
    return &front->errands[home][call & (CALLS_MAX - 1)];
}

#endif
