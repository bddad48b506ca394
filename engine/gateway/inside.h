/* SPDX-License-Identifier: MIT */
/* The gateway from inside: what the files of this room share.  One object a loop, touched by the
 * loop's thread only, except where hop.c, post.c and token.c say otherwise. */
#ifndef FAIRSLOT_GATEWAY_INSIDE_H
#define FAIRSLOT_GATEWAY_INSIDE_H

#include <uv.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/prng.h"
#include "gateway/auth.h"
#include "gateway/call.h"
#include "gateway/cipher.h"
#include "gateway/deadline.h"
#include "gateway/face.h"
#include "gateway/events.h"
#include "gateway/export.h"
#include "gateway/follow.h"
#include "gateway/front.h"
#include "gateway/gateway.h"
#include "gateway/guard.h"
#include "gateway/health.h"
#include "gateway/post.h"
#include "gateway/token.h"
#include "gateway/watch.h"

#define READ_BYTES  (64 * 1024)  /* one buffer for every connection: bytes are consumed at once */
#define SEND_BYTES  (128 * 1024) /* the same on the way out: many answers, one write */
#define HELD_BYTES_MAX   (16 * 1024 * 1024)  /* messages waiting while tokens are verified */
#define OUTPUT_BYTES_MAX (256 * 1024 * 1024) /* answers that clients did not read yet, all */

enum gateway_phase {
    GATEWAY_OPEN,    /* serving */
    GATEWAY_NOTICE,  /* SIGTERM came: no new connection, calls are refused, GOAWAY notice is out */
    GATEWAY_FINAL,   /* final GOAWAY is out; calls in flight are answered */
    GATEWAY_TOLD,    /* calls that had no answer by then were refused; the refusals leave */
    GATEWAY_LEAVING, /* no connection is left; the first loop was told, its answer is awaited */
    GATEWAY_CLOSING, /* every connection closed; handles are closing */
};

#define HANDSHAKES_PER_TURN 8 /* of one loop: 2.5 ms of keys between two looks at the others */

struct gateway {
    const struct gateway_options *options; /* borrowed */
    struct front *front;       /* borrowed: what all loops share */
    unsigned index;            /* in front->loops; 0: the first, which has queue and hop */
    uv_thread_t thread;        /* of the others */
    struct post post;          /* from and to other loops */
    bool has_thread;           /* of `thread` */
    bool has_left;             /* first loop's: it said POST_LEAVE, or never ran */
    struct post_note told;     /* of phases: POST_DRAIN to this loop, then POST_LEAVE both ways */
    uv_loop_t loop;
    uv_prepare_t prepare;      /* both run gateway_settle(): once before and once after sleeping */
    uv_check_t check;
    uv_timer_t timer;          /* for the first deadline */
    uint64_t timer_at_ms;      /* 0: not armed */
    uv_signal_t sigterm;
    uv_signal_t sigint;
    uv_signal_t sighup;
    uv_tcp_t listener;
    size_t admin_count;        /* connections by it */
    uv_tcp_t admin_listener;   /* first loop's; not initialised: there is none */
    enum gateway_phase phase;
    struct deadline drain;     /* when the next phase begins */
    uint64_t drain_end_ms;     /* when connections are cut */
    struct list conns;         /* all, by their `link` */
    size_t conns_count;
    struct list strangers;     /* without their greeting, oldest first, by their `stranger_link` */
    uint64_t descriptors_said_ms; /* when the log had a line about them running out; 0: never */
    struct list handshakes;    /* TLS not yet open, oldest first, by their `handshake_link` */
    size_t handshakes_count;
    uint32_t handshakes_turn;  /* whose keys were made since the loop slept */
    struct list dirty;         /* have something to send, by their `dirty_link` */
    unsigned reads_count;      /* reads and accepts since it settled last */
    size_t output_bytes;       /* of answers and rests not sent yet */
    size_t held_bytes;         /* of messages whose token is being verified */
    uint8_t *read_buf;         /* READ_BYTES */
    struct prng jitter;        /* of connections' ages */
    uint8_t *send_buf;         /* SEND_BYTES */
    struct cipher_desk desk;   /* TLS's buffers; empty where there is no TLS */
    struct arena scratch;      /* one message at a time: reset by whoever used it */
    struct arena status;       /* one refusal at a time; answer.c only */
    struct deadline_heap deadlines;
    struct call_pool calls;
    struct guard guard;
    struct auth *auth;         /* held: front's, by token_desk_turn() */
    struct token_desk tokens;
    const struct symbols *symbols; /* front's */
    struct health health;
    struct face face;
    struct watch watch;
    struct follow follow;
    struct events events;
    struct exports exports;
    struct list reflections;   /* reflection streams, in CALL_STREAM */
};

/* At the end of each read and accept: settles now when there were many since it did so last.  libuv
 * hands out up to 48 x 1,024 events before a turn is over, and whoever waits for an answer would
 * wait for ten thousand others' reads.  Connections may close in it. */
void gateway_breathe(struct gateway *g);

#endif
