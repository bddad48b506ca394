/* SPDX-License-Identifier: MIT */
/* Many people at once who write down everything they are told.  See people.c. */
#ifndef FAIRSLOT_NEMESIS_PEOPLE_H
#define FAIRSLOT_NEMESIS_PEOPLE_H

#include <stdio.h>

#include "base/prng.h"
#include "fairslot/admin/v1/cluster.pb-c.h"
#include "fairslot/admin/v1/pools.pb-c.h"
#include "fairslot/v1/services.pb-c.h"
#include "flood/loop.h"
#include "nemesis/story.h"

#define PEOPLE_TARGETS_MAX 8
#define PEOPLE_OWN_MAX     8
#define PEOPLE_PACKED_MAX  512
#define PEOPLE_MAX_LIVE    4
#define PEOPLE_START_S     INT64_C(4102444800) /* 2100-01-01: no slot has started */

/* A hold or reservation that its person believes alive. */
struct people_own {
    char id[48];
    uint64_t thing;
    uint32_t slot;
    bool is_reservation;
};

/* A request as it goes out, again and again until it is settled. */
struct people_ask {
    const char *path;
    uint8_t packed[PEOPLE_PACKED_MAX];
    size_t packed_len;
    uint64_t request[2], thing;
    uint32_t slot;
    uint8_t op; /* STORY_NONE: nothing is asked */
};

struct person {
    uint32_t number;
    char *bearer;
    struct loop_conn *conn;
    struct wire_request *call; /* in flight, or NULL */
    struct people_ask now, last; /* last: a mutation that was settled, to be asked again */
    bool is_again;             /* `call` asks `last` */
    int64_t invoke_us, retry_us;
    struct people_own own[PEOPLE_OWN_MAX];
    size_t own_count;
    struct story_line said;    /* what the answer of this call said */
    char said_id[48];
};

struct people {
    const char *targets[PEOPLE_TARGETS_MAX];
    size_t targets_count;
    struct loop loop;
    struct loop stage; /* one connection, before and after */
    struct person *people;
    size_t people_count;
    char *operator_bearer;
    uint32_t pools, slots;
    uint64_t rate; /* new calls a second, all together */
    struct prng prng;
    FILE *history;
    uint64_t picked, acknowledged, unknown;
    uint64_t calls, retries; /* all that were sent; those of them that asked for the same again */
    int64_t start_us, answered_us, gap_us; /* longest time without an acknowledgement */
    bool is_ending;
};

/* people_ask.c: what they ask. */
void people_request_id(struct prng *prng, uint64_t request[2], char out[37]);
/* "pools/nemesis-N" of a slot, and "pools/.../slots/..." of it. */
void people_slot_name(const struct people *g, uint32_t slot, char pool[64], char name[128]);
/* Decides what this person does next and packs it into p->now (or asks p->last again). */
void people_choose(struct people *g, struct person *p);

/* people_hear.c: what they understand. */
uint64_t people_thing(const char *id);
void people_hear(struct person *p, struct span message);
/* The call has ended: writes its line, moves what the person has. */
void people_settle(struct people *g, struct person *p, int status, struct span text,
                   struct span details);

/* people_stage.c: before and after, one call after the other, as the operator or a person. */
int people_prepare(struct people *g);
int people_final(struct people *g, const char *path);

/* people.c: sends p->now or p->last; false: not now. */
bool people_send(struct people *g, struct person *p, const struct people_ask *ask);

#endif
