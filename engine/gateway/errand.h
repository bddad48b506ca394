/* SPDX-License-Identifier: MIT */
/* An errand: what a call wants of the shard, while it is away from its connection.  It is made by
 * the loop that has the call (its home), waits in the one fair queue, goes to the shard and comes
 * home with exactly one answer.  Between errand_send() and its return it belongs to the first loop
 * and home knows it by its call's number alone, which names one life of a call: whoever left
 * meanwhile gets nobody else's answer. */
#ifndef FAIRSLOT_GATEWAY_ERRAND_H
#define FAIRSLOT_GATEWAY_ERRAND_H

#include "base/trace.h"
#include "fair/fairq.h"
#include "gateway/post.h"
#include "proto/codec.h"

struct call;
struct front;
struct gateway;

enum errand_state {
    ERRAND_HOME,   /* with its call, or on the way */
    ERRAND_QUEUED, /* in the fair queue */
    ERRAND_SENT,   /* in a batch at the shard; in the context's `errands` */
    ERRAND_LOST,   /* its batch was lost, effect unknown; on the hop's list, goes first */
};

struct errand {
    struct post_note note;     /* first: how it travels; its link: also of the hop's lost list */
    struct fairq_entry entry;  /* of ERRAND_QUEUED */
    int64_t queued_us;         /* monotonic, since when it waits; 0: it was lost, goes first */
    struct fairq_place place;  /* whose turn it takes */
    uint64_t deadline_ms;      /* of the loops' clock, which is one for all */
    struct answer *answer;     /* on the way home to another loop: owned, in one piece */
    struct trace trace;        /* of the call, when has_trace */
    const char *detail;        /* static; of a refusal of the gateway's own */
    enum reason reason;        /* the same */
    uint32_t hold_ms;          /* of QUEUE_FULL: its connection is to be left unread for so long */
    uint32_t call;             /* number of its call at home */
    uint32_t len;              /* of the command */
    uint16_t seat;             /* of ERRAND_SENT: number in its batch */
    uint8_t context;           /* of ERRAND_SENT */
    uint8_t home;              /* number of the loop that has the call */
    uint8_t state;             /* enum errand_state */
    bool has_own_deadline;     /* the client said how long */
    bool has_trace;
    uint8_t command[];         /* packed, as it travels and is logged */
};

/* A copy of the packed command; NULL: out of memory. */
struct errand *errand_new(struct span command);
/* Takes NULL. */
void errand_free(struct errand *e);

/* -- the call's own loop ----------------------------------------------------------------------*/

/* CALL_OPEN -> CALL_AWAY with call->errand. */
void errand_send(struct call *call);
/* The same for a follower in CALL_STREAM, with an errand of its own that has DEADLINE_MS, or less
 * if the stream ends before.  Ends in follow_home(), events_home() or export_home(), which may be
 * now. */
void errand_ask(struct call *call, struct errand *e);
/* Nobody waits for it any more: it goes from wherever it is.  call_move() alone calls it. */
void errand_cancel(struct call *call);
/* The call's time is over: it is answered as its errand's place says, now or with the next post. */
void errand_expire(struct call *call);
/* Notes came from other loops. */
void errand_post(struct gateway *g, struct post_note *note);

/* -- the first loop ---------------------------------------------------------------------------*/

/* Home with an answer of the shard's (borrowed), or with a refusal.  The errand is off every list
 * and is not touched afterwards. */
void errand_answer(struct front *front, struct errand *e, const struct answer *answer);
void errand_refuse(struct front *front, struct errand *e, enum reason reason, const char *detail);
/* A loop has left: whatever is still out for it goes. */
void errand_drop_all(struct front *front, unsigned home);
/* Refuses it as its state says what became of its time. */
void errand_overdue(struct front *front, struct errand *e);

#endif
