/* SPDX-License-Identifier: MIT */
/* What one flood does and what came of it: shared by the generator's processes (in memory that
 * survives fork), the live view, the audit and the reports.  Times are microseconds from the moment
 * at which the release opens. */
#ifndef FAIRSLOT_FLOOD_PLAN_H
#define FAIRSLOT_FLOOD_PLAN_H

#include "base/hist.h"
#include "base/types.h"
#include "crowd/crowd.h"

#define PLAN_PARTIES_MAX  CROWD_POPULATIONS_MAX
#define PLAN_BUCKETS      240 /* of the timeline */
#define PLAN_PAPER_MAX    40  /* bytes of a hold's or reservation's id, with its end */
#define PLAN_DECILES      10

/* What the clients of one number came to, once the run is over; in memory that all processes see.
 * With the crowd's own record and its queue entry it stays under 200 bytes a client. */
struct client {
    int64_t first_us;    /* scheduled time of its first request */
    uint32_t identity;
    uint32_t rtt_us;
    uint8_t population;
    uint8_t state;       /* enum crowd_state */
    bool is_decided;
    bool has_entered;    /* was told that it has a ticket */
    bool is_late;        /* first came after the window */
    bool is_echo;        /* its reservation is one that another device of its identity told of */
    char paper[PLAN_PAPER_MAX]; /* id of the hold, once won: of the reservation; "" none */
};

struct channel_keys;
struct import;

struct plan {
    const char *target;
    const char *ca;            /* PEM file: whom to trust; NULL: whom the system trusts */
    const char *certificate;   /* PEM file: the client's own, with `key`; NULL: none */
    const char *key;
    struct channel_keys *keys; /* NULL: plain TCP */
    struct crowd_scenario scenario;
    const char *const *audit_shards; /* URLs of shards that the audit asks itself */
    uint32_t audit_shards_count;
    const struct import *slots_given; /* out of a CSV file; NULL: they are made up */
    char pool[96];             /* pools/P */
    char release[192];         /* pools/P/releases/R */
    int64_t opens_mono_us;     /* when 0 is, on the monotonic clock */
    int64_t opens_wall_us;     /* ... and on the wall clock */
    int64_t window_us;
    int64_t end_us;            /* nothing is sent after this */
    uint64_t accept_us;        /* that winners are given: the scenario's; hastened, 10 s at least */
    int64_t late_us;           /* a request sent this long after its time was late */
    uint64_t seed;
    bool is_full;              /* goes on until the release closes, though all know */
    uint32_t processes;
    struct client *clients;    /* shared memory; scenario.clients_count */
    uint8_t *told;             /* shared memory; by identity: 1 when it was told of its ticket */
    char **slots;              /* their names, in order; read by all */
    uint32_t slots_count;
    const char *tokens;        /* all bearer tokens, one behind the other */
    const uint64_t *token_at;  /* by identity; identities_count + 1 offsets */
    size_t token_bytes;        /* of the mapping at `tokens` */
};

/* Of one population. */
struct party_result {
    uint64_t arrived, entered, decided, holds, won, wasted;
    uint64_t passed, too_late, replayed; /* as struct crowd_tally says */
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
    struct hist latency[CROWD_ACT_COUNT]; /* answered or refused, from the scheduled time */
    struct plan_bucket timeline[PLAN_BUCKETS];
    uint64_t late;                        /* requests */
    uint64_t garbled;                     /* answers that could not be read */
    uint64_t replays_differ;              /* answered otherwise than the first time */
    uint64_t garbage;                     /* connections that ended for bytes that are no HTTP/2 */
    uint64_t crowd_bytes;                 /* memory of the crowd */
    uint64_t statuses[17];                /* by gRPC status */
    int64_t cpu_us;                       /* of the generator */
    int64_t wall_us;
    int64_t last_us;                      /* when the last client was done */
    bool is_lost;                         /* the target went away */
    bool is_stopped;                      /* by a signal */
    int failure;                          /* errno of what ended it */
};

static inline const struct crowd_population *plan_who(const struct plan *p, uint32_t number)
{
    return &p->scenario.populations[number];
}

static inline uint32_t plan_whos(const struct plan *p)
{
    return p->scenario.populations_count;
}

static inline enum crowd_mode plan_mode(const struct plan *p)
{
    return p->scenario.mode;
}

const char *plan_mode_words(enum crowd_mode mode); /* "first come, first served" */
/* A plan of this scenario, with nothing set up yet; takes over the scenario's times. */
void plan_init(struct plan *p, const struct crowd_scenario *scenario, uint64_t seed);
/* Marks the clients that tell of a reservation for the second time. */
void plan_mark_echoes(const struct plan *p);
/* A client's winning counts: once a reservation. */
static inline bool plan_has_won(const struct client *who)
{
    return who->state == CROWD_WON && !who->is_echo;
}
/* Where the timeline puts a moment. */
uint32_t plan_bucket_of(const struct plan *p, int64_t at_us);
int64_t plan_bucket_us(const struct plan *p);
void result_init(struct result *r);
void result_merge(struct result *to, const struct result *from);

#endif
