/* SPDX-License-Identifier: MIT */
/* What one flood does and what came of it: shared by the generator's processes (in memory that
 * survives fork), the live view, the audit and the reports.  Times are microseconds from the moment
 * at which the release opens. */
#ifndef FAIRSLOT_FLOOD_PLAN_H
#define FAIRSLOT_FLOOD_PLAN_H

#include "base/hist.h"
#include "base/types.h"

#define PLAN_PARTIES_MAX  16
#define PLAN_NAME_MAX     64
#define PLAN_BUCKETS      240 /* of the timeline */
#define PLAN_HOLD_MAX     40  /* bytes of a hold's or reservation's id, with its end */
#define PLAN_CLIENTS_MAX  20000000
#define PLAN_DECILES      10

enum plan_mode { PLAN_FCFS, PLAN_LIVE, PLAN_DRAW, PLAN_MODES };

/* RPCs that clients make: X(NAME, label). */
#define PLAN_CALLS(X)                                                                          \
    X(LIST, "ListSlots")                                                                       \
    X(TICKET, "CreateTicket")                                                                  \
    X(POLL, "GetTicket")                                                                       \
    X(HOLD, "CreateHold")                                                                      \
    X(CONFIRM, "ConfirmHold")

enum plan_call {
#define PLAN_CALL_ENUM(name, label) PLAN_CALL_##name,
    PLAN_CALLS(PLAN_CALL_ENUM)
#undef PLAN_CALL_ENUM
    PLAN_CALL_COUNT
};

/* One population.  Times in microseconds of this run (already scaled). */
struct party {
    char name[PLAN_NAME_MAX];
    bool is_bot;           /* its share is an attack */
    uint32_t first, count; /* its clients: first, first + 1, ... */
    uint32_t connections;  /* they share */
    int64_t median_us;     /* of the reaction to the opening, log-normal; bots: all at once */
    double sigma;          /* of its logarithm */
    int64_t spread_us;     /* > 0: evenly over this long instead */
    int64_t early_us;      /* bots: begin this long before the opening */
    int64_t interval_us;   /* asks again as often as this, whatever happened; 0: never */
    int64_t think_us;      /* mean between reading and choosing, and before confirming */
    uint32_t tries;        /* how often a person looks again before giving up */
};

/* How far a client is. */
enum client_state {
    CLIENT_AWAY,      /* has not come yet */
    CLIENT_LOOKING,   /* asks for a ticket or a slot */
    CLIENT_ENTERED,   /* has a ticket */
    CLIENT_HOLDING,   /* has a hold, will confirm it */
    CLIENT_WON,       /* has a reservation */
    CLIENT_STANDBY,   /* was told its standby place, or that nothing is left */
    CLIENT_LOST,      /* gave up, or came too late */
};

/* One identity.  Under 200 bytes, so that millions fit. */
struct client {
    int64_t first_us;     /* scheduled time of its first request */
    int64_t decided_us;   /* when it first had a hold, a turn, a standby place or a no */
    uint32_t slot;        /* bots: the next one to try */
    uint16_t party;
    uint16_t tries;       /* left */
    uint8_t state;        /* enum client_state */
    bool is_decided;
    bool is_late;         /* came after the window */
    char paper[PLAN_HOLD_MAX]; /* id of the hold, once won: of the reservation; "" none */
};

struct plan {
    const char *target;
    enum plan_mode mode;
    char pool[96];             /* pools/P */
    char release[192];         /* pools/P/releases/R */
    int64_t opens_mono_us;     /* when 0 is, on the monotonic clock */
    int64_t opens_wall_us;     /* ... and on the wall clock */
    int64_t window_us;
    int64_t grace_us;
    int64_t cohort_us;         /* 0: nobody is let in later */
    int64_t end_us;            /* nothing is sent after this */
    int64_t timeout_us;        /* of a call */
    int64_t late_us;           /* a request sent this long after its time was late */
    uint64_t seed;
    uint32_t processes;
    struct party parties[PLAN_PARTIES_MAX];
    uint32_t parties_count;
    struct client *clients;    /* shared memory */
    uint32_t clients_count;
    char **slots;              /* their names; read by all */
    uint32_t slots_count;
    const char *tokens;        /* all bearer tokens, one behind the other */
    const uint64_t *token_at;  /* clients_count + 1 offsets */
};

/* Of one population. */
struct party_result {
    uint64_t arrived, entered, decided, holds, won;
    uint64_t sent, answered, refused, timed_out, cancelled;
    uint64_t unreachable;      /* of refused: the connection was lost or not made */
    struct hist wait;          /* first scheduled request -> decided */
};

/* One step of the timeline. */
struct plan_bucket {
    uint32_t sent, answered, refused;
    uint32_t won[PLAN_PARTIES_MAX];
};

/* Written by one generator process, read by the parent. */
struct result {
    struct party_result parties[PLAN_PARTIES_MAX];
    struct hist lag;                      /* sent after its scheduled time */
    struct hist latency[PLAN_CALL_COUNT]; /* answered or refused, from the scheduled time */
    struct plan_bucket timeline[PLAN_BUCKETS];
    uint64_t late;                        /* requests */
    uint64_t garbled;                     /* answers that could not be read */
    uint64_t statuses[17];                /* by gRPC status */
    int64_t cpu_us;                       /* of the generator */
    int64_t wall_us;
    int64_t last_us;                      /* when the last client was done */
    bool is_lost;                         /* the target went away */
    bool is_stopped;                      /* by a signal */
    int failure;                          /* errno of what ended it */
};

const char *plan_mode_name(enum plan_mode mode);
const char *plan_mode_words(enum plan_mode mode); /* "first come, first served" */
const char *plan_call_name(enum plan_call call);
/* Where the timeline puts a moment. */
uint32_t plan_bucket_of(const struct plan *p, int64_t at_us);
int64_t plan_bucket_us(const struct plan *p);
void result_init(struct result *r);
void result_merge(struct result *to, const struct result *from);

#endif
