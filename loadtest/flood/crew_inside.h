/* SPDX-License-Identifier: MIT */
/* Inside a crew: what crew.c (time and sockets), crew_ask.c (requests) and crew_hear.c (answers)
 * share. */
#ifndef FAIRSLOT_FLOOD_CREW_INSIDE_H
#define FAIRSLOT_FLOOD_CREW_INSIDE_H

#include "base/list.h"
#include "base/prng.h"
#include "flood/crew.h"
#include "flood/loop.h"

#define CREW_PACKED_MAX 2048 /* bytes of a request */

/* What a client had carried out, as it was sent and answered; to be sent again byte for byte. */
struct tape {
    const char *path;
    uint8_t *bytes;   /* owned; NULL: nothing is recorded */
    uint16_t len;
    uint8_t act;      /* enum crowd_act */
    uint64_t answer;  /* hash of the message that answered it */
};

/* A request under way. */
struct shot {
    struct list link;             /* on crew->shots, in the order of sending, or spare */
    struct wire_request *request; /* NULL: it was never on a connection */
    struct crowd_event event;     /* latency counts from its time */
    int64_t sent_us;
    struct crowd_say say;         /* what it came to */
    struct tape tape;             /* what was sent, of those who replay */
    bool is_heard;                /* its message was read */
    bool is_carried_out;          /* the status behind it was 0, too */
    bool is_overdue;              /* cancelled by us: it took too long */
};

struct crew {
    const struct plan *plan;
    struct result *result;
    const volatile sig_atomic_t *stop;
    uint32_t number;
    struct crowd *crowd;     /* owned */
    struct loop loop;
    struct prng prng;        /* request ids */
    struct crowd_event *away; /* on half their round trip: a heap by when they get there; owned */
    size_t away_count, away_size;
    struct crowd_event *parked; /* their connections are full; owned */
    size_t parked_count, parked_size;
    struct tape *tapes;      /* by client / processes; owned; NULL: nobody replays */
    struct list shots;       /* under way; owned */
    struct list spare;       /* owned */
    size_t shots_count;
    uint32_t first_conn[PLAN_PARTIES_MAX]; /* of each population */
    uint32_t conns[PLAN_PARTIES_MAX];      /* how many it has */
    int64_t now_us;          /* of this step */
    int64_t looked_us;       /* when everybody was looked at last */
    int64_t dead_since_us;   /* no connection stands since then; INT64_MIN: one does */
};

/* crew_travel.c: half a round trip to the server, half of one back. */
int64_t crew_there_us(const struct crew *c, const struct crowd_event *e);
void crew_depart(struct crew *c, const struct crowd_event *e);
/* The next that has got there by now; false: none. */
bool crew_arrived(struct crew *c, struct crowd_event *ret_event);
/* When the next gets there; INT64_MAX: nobody is on the way. */
int64_t crew_arrives_us(const struct crew *c);
/* crew_tape.c: room for recordings, where a population has use for them. */
void crew_tapes_open(struct crew *c);
void crew_tapes_close(struct crew *c);
/* The request is recorded on its shot, and stays when it is carried out. */
void crew_tape_record(struct crew *c, struct shot *s, const char *path, struct span packed);
void crew_tape_keep(struct crew *c, struct shot *s);
/* What is to be sent again: its path; NULL: nothing was recorded. */
const char *crew_tape_play(struct crew *c, struct shot *s, uint8_t *out, size_t *ret_len);
/* Its answer, or refusal: is it the first one? */
void crew_tape_heard(struct crew *c, struct shot *s, struct span message);
void crew_tape_refused(struct crew *c, const struct shot *s);
/* crew_ask.c: the request packed; its path. */
const char *crew_ask(struct crew *c, const struct crowd_event *e, uint8_t *out, size_t *ret_len);
/* crew_hear.c: what an answer, or a refusal, says to the client. */
void crew_hear(struct crew *c, struct shot *s, struct span message);
void crew_hear_refusal(struct crew *c, struct shot *s, int status, struct span details);

#endif
