/* SPDX-License-Identifier: MIT */
/* The crowd of a release day: who comes, when, and what each does with what it is told.  PURE: no
 * clock, random device, float; the same scenario and seed make the same bytes on every compiler.
 *
 *   bytes of a scenario -> scenario_read() -> crowd_new() -> crowd_next() -> an event is due
 *                                                 ^                             |
 *                                                 +-- crowd_answer() <- asked, or simulated
 *
 * Sockets and virtual time drive the same machine: crowd_next() says what is due up to a moment,
 * crowd_answer() says what came back.  Each client draws from random numbers of its own, so that
 * what it does depends on what it was told and when, never on the order in which others were.
 * Times: microseconds from the moment at which the release opens. */
#ifndef FAIRSLOT_CROWD_CROWD_H
#define FAIRSLOT_CROWD_CROWD_H

#include "base/types.h"

#define CROWD_POPULATIONS_MAX 16
#define CROWD_NAME_MAX        32        /* bytes of a population's or scenario's name, with end */
#define CROWD_IDENTITIES_MAX  20000000  /* of a scenario */
#define CROWD_SLOTS_MAX       1000000
#define CROWD_WISHES_MAX      8         /* preferences on a ticket */
#define CROWD_MISTAKES_MAX    20        /* told; then reading stops */
#define CROWD_TEXT_MAX        (256 * 1024) /* bytes of a scenario */

/* -- scenario ---------------------------------------------------------------------------------- */

enum crowd_mode { CROWD_FCFS, CROWD_LIVE, CROWD_DRAW, CROWD_MODES };

/* Kinds of population: X(NAME, word, is an attack).  A kind is a set of defaults (scenario.c);
 * every key can be given differently. */
#define CROWD_KINDS(X)                                                                          \
    X(PEOPLE, "people", false)                                                                  \
    X(REFRESHERS, "refreshers", false)          /* people who press F5 */                        \
    X(BACKENDS, "backends", false)              /* many users on one connection */               \
    X(SLOW_READERS, "slow-readers", true)       /* leave answers unread */                       \
    X(BOTS, "bots", true)                                                                       \
    X(STORM, "retry-storm", true)               /* ask again at once, for ever */                \
    X(FIRM, "firm", true)                       /* an agent with n real clients */               \
    X(SYBILS, "sybils", true)                   /* a ring of weak identities */                  \
    X(HOARDERS, "hoarders", true)               /* hold and never confirm */                     \
    X(SELLERS, "sellers", true)                 /* confirm, cancel, book again for a client */    \
    X(CONNECTORS, "many-connections", true)     /* one identity, many connections */             \
    X(THIEVES, "token-thieves", true)           /* come with other people's tokens */            \
    X(SCANNERS, "scanners", true)               /* look for free slots all the time */           \
    X(PROXIES, "many-addresses", true)          /* one identity, many addresses */               \
    X(REPLAYERS, "replayers", true)             /* send again what was recorded */               \
    X(GHOSTS, "ghosts", true)                   /* have a place and are not there */

enum crowd_kind {
#define CROWD_KIND(name, word, is_attack) CROWD_##name,
    CROWD_KINDS(CROWD_KIND)
#undef CROWD_KIND
    CROWD_KIND_COUNT
};

enum crowd_assurance { CROWD_LOW = 1, CROWD_SUBSTANTIAL = 2, CROWD_HIGH = 3 };

/* One [population NAME].  docs/scenarios.md has every key with unit and range. */
struct crowd_population {
    char name[CROWD_NAME_MAX];
    enum crowd_kind kind;
    bool is_attack;          /* its share is what the report's first sentence is about */
    enum crowd_assurance assurance;
    int32_t victims;         /* population whose tokens it uses; -1: it has its own */
    uint32_t first_client;   /* its clients: first_client, ... (set by scenario_read) */
    uint32_t first_identity; /* its identities, likewise; of thieves: their victims' */
    uint64_t identities;     /* how many; of thieves: how many tokens they stole */
    uint64_t devices;        /* clients of each identity, all at once */
    uint64_t connections;    /* that its clients share; 0: one each */
    uint64_t addresses;      /* that its connections come from; 0: the system chooses */
    uint64_t reaction_us;    /* median of a log-normal time from the opening to the first request */
    uint64_t sigma_milli;    /* of its logarithm, thousandths */
    uint64_t spread_us;      /* > 0: evenly over this long instead; draw: over the window */
    uint64_t early_us;       /* its clock starts this long before the opening */
    uint64_t interval_us;    /* asks again as often as this, whatever came back; 0: never */
    uint64_t rate_milli;     /* requests in 1,000 s of all its clients together: sets interval_us;
                                0: interval_us is given */
    uint64_t think_us;       /* median between an answer and what it makes somebody do */
    uint64_t tries;          /* how often it asks again after a refusal before it gives up */
    uint64_t retry_us;       /* ... and how long it waits before: half to one and a half of this */
    uint64_t rtt_us;         /* median round trip; each client has its own, sigma 0.5 */
    uint64_t reload_permille;   /* of clients: come back once, on another device */
    uint64_t change_permille;   /* of clients: replace their preferences once */
    uint64_t abandon_permille;  /* of holds: never confirmed */
    uint64_t drop_permille;     /* of holds: given back */
    uint64_t cancel_permille;   /* of reservations: cancelled after cancel_after_us, then tried for
                                   again in another name of the population */
    uint64_t cancel_after_us;
    uint64_t unread_us;         /* leaves each answer unread this long */
    uint64_t scan_permille;     /* of its clock's requests: only look for free slots */
    uint64_t replay_permille;   /* of changes that were carried out: sent again, byte for byte,
                                   after about retry_us */
    uint64_t absent_permille;   /* of turns: nobody is there */
};

struct crowd_scenario {
    char name[CROWD_NAME_MAX];
    enum crowd_mode mode;
    enum crowd_assurance assurance; /* that the pool asks for */
    uint64_t slots;
    uint64_t window_us;      /* of a live release */
    uint64_t draw_window_us; /* of a draw */
    uint64_t grace_us;       /* from its announced end to the seal */
    uint64_t cohort_us;      /* length of a later cohort; 0: nobody is let in later */
    uint64_t accept_us;      /* for confirming an offer */
    uint64_t run_us;         /* the release closes this long after the window's end */
    uint64_t wishes;         /* preferences on a ticket, 1 to 8 */
    uint64_t timeout_us;     /* of a call */
    uint64_t capacity;       /* simulate: requests that the shard serves in a second */
    struct crowd_population populations[CROWD_POPULATIONS_MAX];
    uint32_t populations_count;
    uint32_t clients_count;    /* all devices */
    uint32_t identities_count; /* all different ones */
    bool by_turn;              /* served by turns, not by preference */
};

/* Where mistakes go: "FILE:LINE: what", without line end. */
struct crowd_report {
    void (*tell)(void *user, const char *line);
    void *user;
    uint32_t count;
};

/* Reads a scenario.  `file` is for mistakes only.  0; CROWD_E_WRONG: told, nothing is returned. */
enum { CROWD_E_WRONG = 1 };
int scenario_read(struct span text, const char *file, struct crowd_report *report,
                  struct crowd_scenario *ret_scenario);
/* Every number of clients, slots and the capacity by `milli` thousandths, at least 1 of each. */
void scenario_scale(struct crowd_scenario *s, uint64_t milli);
/* Every time by `millionths`: a demo's minute. */
void scenario_hasten(struct crowd_scenario *s, uint64_t millionths);
/* Counts clients and identities after a change; false: over CROWD_IDENTITIES_MAX. */
bool scenario_count(struct crowd_scenario *s);
int64_t scenario_window_us(const struct crowd_scenario *s); /* of its mode */
const char *scenario_mode_name(enum crowd_mode mode);       /* fcfs, live, draw */
bool scenario_mode_named(const char *name, enum crowd_mode *ret_mode); /* false: none is */
const char *scenario_kind_name(enum crowd_kind kind);

/* -- clients ----------------------------------------------------------------------------------- */

/* What a client does: X(NAME, label). */
#define CROWD_ACTS(X)                                                                           \
    X(CONNECT, "connect")      /* open a connection (or reuse its own) */                        \
    X(LIST, "ListSlots")                                                                        \
    X(TICKET, "CreateTicket")                                                                   \
    X(WISHES, "UpdateTicket")  /* replace its preferences */                                     \
    X(POLL, "GetTicket")       /* or watch it: the runner's choice */                            \
    X(HOLD, "CreateHold")      /* event.slot says which, counted from 0 */                       \
    X(CONFIRM, "ConfirmHold")                                                                   \
    X(DROP, "DropHold")                                                                         \
    X(CANCEL, "CancelReservation")

enum crowd_act {
#define CROWD_ACT(name, label) CROWD_ACT_##name,
    CROWD_ACTS(CROWD_ACT)
#undef CROWD_ACT
    CROWD_ACT_COUNT
};
const char *crowd_act_name(enum crowd_act act);

/* What it was told. */
enum crowd_answer {
    CROWD_DONE,        /* connected, wishes replaced, dropped, cancelled */
    CROWD_LISTED,      /* LIST: there are free slots; crowd_say.slot is one, drawn by
                          crowd_draw() % their count */
    CROWD_NOTHING,     /* LIST: none is free */
    CROWD_WAITING,     /* TICKET, POLL: has a place, order not known yet */
    CROWD_OFFERED,     /* POLL: has a hold to confirm */
    CROWD_TURN,        /* POLL: may choose now */
    CROWD_HELD,        /* HOLD */
    CROWD_CONFIRMED,   /* CONFIRM */
    CROWD_STANDBY,     /* POLL: its place is behind the last slot; may come up later */
    CROWD_OVER,        /* came too late, lost, used, lapsed: nothing will come of it */
    CROWD_TAKEN,       /* HOLD: somebody has that slot */
    CROWD_REFUSED,     /* may pass: retry_after_us, or 0 */
    CROWD_FORBIDDEN,   /* will not pass: assurance too low, cool-down, entitlement used */
    CROWD_TIMED_OUT,
    CROWD_CUT_OFF,     /* the connection was lost, or not made */
    CROWD_GARBLED,     /* the answer could not be read */
    CROWD_CANCELLED,   /* the runner took the request back */
    CROWD_ANSWER_COUNT
};

/* What an engine's reasons come to, for every runner: X(reason, answer).  The others may pass:
 * REFUSED. */
#define CROWD_REASONS(X)                                                                        \
    X(SLOT_TAKEN, TAKEN)                                                                        \
    X(RELEASE_SEALED, OVER)                                                                     \
    X(RELEASE_ENDED, OVER)                                                                      \
    X(TICKET_UNKNOWN, OVER)                                                                     \
    X(TICKET_ENDED, OVER)                                                                       \
    X(HOLD_UNKNOWN, OVER)                                                                       \
    X(HOLD_EXPIRED, OVER)                                                                       \
    X(HOLD_ENDED, OVER)                                                                         \
    X(RESERVATION_ENDED, OVER)                                                                  \
    X(NOT_YOUR_RESERVATION, FORBIDDEN)                                                          \
    X(ASSURANCE_TOO_LOW, FORBIDDEN)                                                             \
    X(COOL_DOWN, FORBIDDEN)                                                                     \
    X(IDENTITY_QUOTA, FORBIDDEN)                                                                \
    X(TOKEN_INVALID, FORBIDDEN)                                                                 \
    X(TOKEN_EXPIRED, FORBIDDEN)                                                                 \
    X(ISSUER_UNKNOWN, FORBIDDEN)

struct crowd_say {
    enum crowd_answer answer;
    uint32_t slot;          /* LISTED: of those free */
    int64_t retry_after_us; /* REFUSED */
};

enum crowd_state {
    CROWD_AWAY,     /* has not come yet */
    CROWD_LOOKING,
    CROWD_ENTERED,  /* has a ticket */
    CROWD_CHOOSING, /* was listed a slot, or has a turn */
    CROWD_HOLDING,
    CROWD_WON,
    CROWD_WAITS,    /* on standby: looks again now and then */
    CROWD_LOST,     /* gave up, or nothing will come of it */
};

/* One client: 64 bytes here, 24 in the queue of events for each that is due. */
struct crowd_client {
    int64_t first_us;    /* scheduled time of its first request */
    int64_t decided_us;  /* first hold, turn, standby place or no; INT64_MIN: not yet */
    int64_t won_us;      /* of its reservation; INT64_MIN: none */
    uint32_t identity;   /* counted over the scenario */
    uint32_t draws;      /* random numbers it has used */
    uint32_t slot;       /* the next one to try */
    uint32_t rtt_us;
    uint16_t tries;      /* left */
    uint16_t holds;      /* it ever had */
    uint8_t population;
    uint8_t state;       /* enum crowd_state */
    uint8_t polls;       /* in a row, for the wait between them */
    uint8_t is_clocked : 1;  /* asks by the clock */
    uint8_t is_late : 1;     /* first came after the window */
    uint8_t has_entered : 1;
    uint8_t has_reloaded : 1;
    uint8_t has_changed : 1;
    uint8_t has_replay : 1;  /* one is in the queue */
    uint8_t is_waste : 1;    /* let a hold lapse, dropped or cancelled */
};

struct crowd_event {
    int64_t at_us;
    uint32_t client;
    uint32_t slot;     /* HOLD */
    uint8_t act;       /* enum crowd_act */
    uint8_t is_tick;   /* of the client's clock */
    uint8_t population;
    uint8_t is_replay; /* what the client had carried out last, once more; the runner kept it */
    uint32_t link;     /* the queue's own; 0 in what comes out */
};

/* Of one population, counted by the machine. */
struct crowd_tally {
    uint64_t arrived, entered, decided, holds, won, wasted;
    uint64_t passed;   /* turns that it let pass */
    uint64_t too_late; /* its confirmations of holds that were over by then */
    uint64_t replayed; /* of those sent */
    uint64_t sent, answered, refused, timed_out, cancelled; /* sent = the other four + under way */
};

struct crowd;

/* The clients whose number leaves `part` when divided by `parts`.  `scenario` is copied.
 * 0 or -ENOMEM. */
int crowd_new(const struct crowd_scenario *scenario, uint64_t seed, uint32_t part, uint32_t parts,
              struct crowd **ret_crowd);
void crowd_free(struct crowd *c);
/* The next thing that is due not later than `until_us`; false: nothing is.  Equal times by client.
 * Each event that comes out counts as sent and gets exactly one crowd_answer(). */
bool crowd_next(struct crowd *c, int64_t until_us, struct crowd_event *ret_event);
/* When the next event may be due; INT64_MAX: nothing ever (all are done, or wait for answers). */
int64_t crowd_next_us(const struct crowd *c);
/* Up to `max` clients whose events come next, in no order, each time when the time of those asked
 * for before is over: for runners that make ready what is needed.  `mark` is the caller's, 0 at
 * first. */
size_t crowd_soon(const struct crowd *c, uint32_t *mark, uint32_t *clients, size_t max);
void crowd_answer(struct crowd *c, const struct crowd_event *event, int64_t now_us,
                  const struct crowd_say *say);
/* A client's own next random number, for the runner's choices that must repeat. */
uint64_t crowd_draw(struct crowd *c, uint32_t client);

const struct crowd_scenario *crowd_scenario(const struct crowd *c);
/* By its number over the whole scenario; only those of this part. */
const struct crowd_client *crowd_client(const struct crowd *c, uint32_t client);
const struct crowd_tally *crowd_tally(const struct crowd *c, uint32_t population);
/* Clients that may still get something, and requests that are still to be sent again. */
uint32_t crowd_open_count(const struct crowd *c);
size_t crowd_bytes(const struct crowd *c);        /* memory it holds */

/* -- random numbers of fixed point (dice.c) ---------------------------------------------------- */

/* The n-th number of stream `stream`: splitmix64 over (seed, stream, n). */
uint64_t dice_at(uint64_t seed, uint64_t stream, uint64_t n);
/* Standard normal from 64 random bits, in 1/65536, to 3e-4; never beyond +-5.6. */
int32_t dice_normal(uint64_t bits);
/* median * exp(sigma * normal), sigma in thousandths; to 1e-4; at most 2^62. */
uint64_t dice_lognormal(uint64_t bits, uint64_t median, uint64_t sigma_milli);
/* 0 ... n - 1 from 64 random bits; n > 0. */
uint64_t dice_below(uint64_t bits, uint64_t n);

#endif
