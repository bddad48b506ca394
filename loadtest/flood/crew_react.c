/* SPDX-License-Identifier: MIT */
/* What a client does next, from what it was told.
 *   first come: look -> choose -> hold -> confirm; else: ticket -> wait -> look at it -> confirm
 * Bots ask by the clock, whatever comes back; people when they have read and thought.
 * Owns: nothing.  Answers that cannot be read are counted and taken as a refusal: a target that
 * answers garbage ends no process. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "fairslot/v1/services.pb-c.h"
#include "flood/crew_inside.h"

#define CREW_AGAIN_US    400000 /* a person tries again after a refusal that may pass */
#define CREW_POLL_US     500000 /* a client looks at its ticket as often as this, once served */
#define CREW_FIRST_US    5000   /* fast bots aim at the opening within this */
#define CREW_SETTLE_US   200000 /* sealing and serving take about this long */

static double crew_unit(struct crew *c)
{
    return ((double)(prng_next(&c->prng) >> 11) + 0.5) / 9007199254740992.0;
}

static double crew_normal(struct crew *c)
{
    double u = crew_unit(c), v = crew_unit(c);
    return sqrt(-2.0 * log(u)) * cos(2.0 * M_PI * v);
}

static int64_t crew_think(struct crew *c, const struct party *p)
{
    return p->think_us ? (int64_t)((double)p->think_us * exp(0.5 * crew_normal(c))) : 0;
}

static const struct party *crew_party(const struct crew *c, uint32_t client)
{
    return &c->plan->parties[c->plan->clients[client].party];
}

static void crew_next(struct crew *c, uint32_t client, enum plan_call call, int64_t due_us)
{
    crew_push(c, &(struct event){.due_us = due_us, .client = client, .call = (uint8_t)call});
}

static void crew_tick_at(struct crew *c, uint32_t client, int64_t due_us)
{
    crew_push(c, &(struct event){.due_us = due_us, .client = client, .is_tick = true});
}

/* -- coming --------------------------------------------------------------------------------- */

static bool crew_is_open(const struct client *who)
{
    return who->state < CLIENT_WON;
}

static enum plan_call crew_first_call(const struct crew *c)
{
    return c->plan->mode == PLAN_FCFS ? PLAN_CALL_LIST : PLAN_CALL_TICKET;
}

static void crew_arrive_bot(struct crew *c, const struct party *p, uint32_t client)
{
    int64_t phase = (int64_t)(crew_unit(c) * (double)p->interval_us);
    c->plan->clients[client].slot = (uint32_t)prng_below(&c->prng, c->plan->slots_count + 1);
    crew_tick_at(c, client, phase - p->early_us);
    /* ... and one shot at the moment itself, which is public. */
    crew_next(c, client, c->plan->mode == PLAN_FCFS ? PLAN_CALL_HOLD : PLAN_CALL_TICKET,
              (int64_t)(crew_unit(c) * CREW_FIRST_US));
    c->plan->clients[client].first_us = 0;
}

static void crew_arrive_person(struct crew *c, const struct party *p, uint32_t client)
{
    struct client *who = &c->plan->clients[client];
    double at = p->spread_us ? crew_unit(c) * (double)p->spread_us
                             : (double)p->median_us * exp(p->sigma * crew_normal(c));
    who->first_us = (int64_t)at;
    who->is_late = who->first_us > c->plan->window_us;
    crew_next(c, client, crew_first_call(c), who->first_us);
    if (p->interval_us) {
        crew_tick_at(c, client, who->first_us + p->interval_us);
    }
}

void crew_arrivals(struct crew *c)
{
    for (uint32_t k = 0; k < c->plan->parties_count; k++) {
        const struct party *p = &c->plan->parties[k];
        for (uint32_t i = p->first; i < p->first + p->count; i++) {
            if (!crew_mine(c, i)) {
                continue;
            }
            struct client *who = &c->plan->clients[i];
            *who = (struct client){.party = (uint16_t)k, .tries = (uint16_t)p->tries,
                                   .state = CLIENT_LOOKING};
            c->open_count++;
            c->result->parties[k].arrived++;
            if (p->is_bot) {
                crew_arrive_bot(c, p, i);
            } else {
                crew_arrive_person(c, p, i);
            }
        }
    }
}

/* -- deciding ------------------------------------------------------------------------------- */

/* The first hold, turn, standby place or no: what the wait is measured to. */
static void crew_decide(struct crew *c, uint32_t client)
{
    struct client *who = &c->plan->clients[client];
    if (!who->is_decided) {
        who->is_decided = true;
        who->decided_us = c->now_us;
        int64_t wait = c->now_us - who->first_us;
        struct party_result *p = &c->result->parties[who->party];
        p->decided++;
        hist_record(&p->wait, wait > 0 ? (uint64_t)wait : 0);
    }
}

static void crew_end(struct crew *c, uint32_t client, enum client_state state)
{
    struct client *who = &c->plan->clients[client];
    if (crew_is_open(who)) {
        crew_decide(c, client);
        who->state = (uint8_t)state;
        CHECK(c->open_count > 0);
        c->open_count--;
    }
}

static void crew_won(struct crew *c, uint32_t client, const char *name)
{
    struct client *who = &c->plan->clients[client];
    const char *id = strrchr(name, '/');
    if (!crew_is_open(who)) {
        return;
    }
    snprintf(who->paper, sizeof who->paper, "%s", id ? id + 1 : name);
    crew_end(c, client, CLIENT_WON);
    c->result->parties[who->party].won++;
    c->result->timeline[plan_bucket_of(c->plan, c->now_us)].won[who->party]++;
}

/* It has a hold: confirms after a moment's thought, a bot at once. */
static void crew_held(struct crew *c, uint32_t client, const char *name)
{
    struct client *who = &c->plan->clients[client];
    const char *id = strrchr(name, '/');
    crew_decide(c, client);
    if (who->state == CLIENT_HOLDING || !crew_is_open(who)) {
        return; /* a second one is the audit's to find */
    }
    who->state = CLIENT_HOLDING;
    snprintf(who->paper, sizeof who->paper, "%s", id ? id + 1 : name);
    c->result->parties[who->party].holds++;
    crew_next(c, client, PLAN_CALL_CONFIRM, c->now_us + crew_think(c, crew_party(c, client)));
}

/* Once more, or never again. */
static void crew_again(struct crew *c, uint32_t client, enum plan_call call, int64_t wait_us)
{
    struct client *who = &c->plan->clients[client];
    const struct party *p = crew_party(c, client);
    if (p->is_bot && call != PLAN_CALL_CONFIRM && call != PLAN_CALL_POLL) {
        return; /* its clock does that */
    }
    if (who->state == CLIENT_HOLDING && call != PLAN_CALL_CONFIRM) {
        return; /* it has what it wanted */
    }
    if (who->tries == 0) {
        crew_end(c, client, CLIENT_LOST);
        return;
    }
    who->tries--;
    crew_next(c, client, call, c->now_us + (int64_t)((double)wait_us * (0.5 + crew_unit(c))));
}

/* -- bots' clock ----------------------------------------------------------------------------- */

/* The next slot that the firm does not know to be gone; false: there is none. */
static bool crew_aim(struct crew *c, struct client *who)
{
    uint32_t count = c->plan->slots_count;
    for (uint32_t i = 0; i < count && c->taken_count < count; i++) {
        who->slot = (who->slot + 1) % count;
        if (!c->taken[who->slot]) {
            return true;
        }
    }
    return false;
}

static void crew_mark(struct crew *c, uint32_t slot)
{
    if (slot < c->plan->slots_count && !c->taken[slot]) {
        c->taken[slot] = 1;
        c->taken_count++;
    }
}

bool crew_tick(struct crew *c, struct event *e)
{
    struct client *who = &c->plan->clients[e->client];
    const struct party *p = crew_party(c, e->client);
    bool is_over = c->now_us > c->plan->window_us;
    if (!crew_is_open(who) || (is_over && c->plan->mode != PLAN_FCFS)) {
        return false;
    }
    if (p->is_bot && c->plan->mode == PLAN_FCFS && !crew_aim(c, who)) {
        crew_end(c, e->client, CLIENT_LOST);
        return false;
    }
    crew_tick_at(c, e->client, e->due_us + p->interval_us);
    if (who->state == CLIENT_HOLDING) {
        return false;
    }
    e->call = (uint8_t)(p->is_bot && c->plan->mode == PLAN_FCFS ? PLAN_CALL_HOLD
                        : p->is_bot || who->state == CLIENT_LOOKING ? crew_first_call(c)
                        : PLAN_CALL_POLL);
    return true;
}

/* -- answers --------------------------------------------------------------------------------- */

static int crew_compare(const void *key, const void *at)
{
    return strcmp(key, *(char *const *)at);
}

static void crew_listed(struct crew *c, uint32_t client, const Fairslot__V1__ListSlotsResponse *m)
{
    struct client *who = &c->plan->clients[client];
    if (m->n_slots == 0) {
        crew_decide(c, client);
        crew_again(c, client, PLAN_CALL_LIST, CREW_AGAIN_US);
        return;
    }
    const char *name = m->slots[prng_below(&c->prng, m->n_slots)]->name;
    char **at = bsearch(name, c->plan->slots, c->plan->slots_count, sizeof *c->plan->slots,
                        crew_compare);
    if (at == NULL) {
        c->result->garbled++; /* a slot that nobody made */
        crew_again(c, client, PLAN_CALL_LIST, CREW_AGAIN_US);
        return;
    }
    who->slot = (uint32_t)(at - c->plan->slots);
    crew_next(c, client, PLAN_CALL_HOLD, c->now_us + crew_think(c, crew_party(c, client)));
}

static void crew_ticket(struct crew *c, uint32_t client, const Fairslot__V1__Ticket *t)
{
    switch (t->state) {
    case FAIRSLOT__V1__TICKET__STATE__STATE_OFFERED:
        crew_held(c, client, t->hold);
        return;
    case FAIRSLOT__V1__TICKET__STATE__STATE_STANDBY:
    case FAIRSLOT__V1__TICKET__STATE__STATE_USED:
        crew_end(c, client, CLIENT_STANDBY);
        return;
    case FAIRSLOT__V1__TICKET__STATE__STATE_LOST:
    case FAIRSLOT__V1__TICKET__STATE__STATE_LAPSED:
    case FAIRSLOT__V1__TICKET__STATE__STATE_WITHDRAWN:
        crew_end(c, client, CLIENT_LOST);
        return;
    default:
        break;
    }
    struct client *who = &c->plan->clients[client];
    int64_t served = c->plan->window_us + c->plan->grace_us + CREW_SETTLE_US;
    int64_t wait = c->now_us < served ? served - c->now_us : CREW_POLL_US;
    if (who->state == CLIENT_LOOKING) {
        who->state = CLIENT_ENTERED;
        c->result->parties[who->party].entered++;
    }
    crew_next(c, client, PLAN_CALL_POLL,
              c->now_us + wait + (int64_t)(crew_unit(c) * CREW_POLL_US));
}

static const ProtobufCMessageDescriptor *crew_answer_type(enum plan_call call)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        [PLAN_CALL_LIST] = &fairslot__v1__list_slots_response__descriptor,
        [PLAN_CALL_TICKET] = &fairslot__v1__ticket__descriptor,
        [PLAN_CALL_POLL] = &fairslot__v1__ticket__descriptor,
        [PLAN_CALL_HOLD] = &fairslot__v1__hold__descriptor,
        [PLAN_CALL_CONFIRM] = &fairslot__v1__reservation__descriptor,
    };
    CHECK(call < PLAN_CALL_COUNT);
    return types[call];
}

void crew_answer(struct crew *c, struct shot *s, struct span message)
{
    const struct client *who = &c->plan->clients[s->client];
    ProtobufCMessage *m =
        protobuf_c_message_unpack(crew_answer_type(s->call), NULL, message.len, message.ptr);
    if (m == NULL) {
        c->result->garbled++;
        crew_again(c, s->client, s->call, CREW_AGAIN_US);
        return;
    }
    switch ((enum plan_call)s->call) {
    case PLAN_CALL_LIST:
        if (who->state == CLIENT_LOOKING) {
            crew_listed(c, s->client, (Fairslot__V1__ListSlotsResponse *)m);
        }
        break;
    case PLAN_CALL_TICKET:
        if (who->state == CLIENT_LOOKING) { /* the first; later ones change nothing */
            crew_ticket(c, s->client, (Fairslot__V1__Ticket *)m);
        }
        break;
    case PLAN_CALL_POLL:
        if (crew_is_open(who) && who->state != CLIENT_HOLDING) {
            crew_ticket(c, s->client, (Fairslot__V1__Ticket *)m);
        }
        break;
    case PLAN_CALL_HOLD:
        crew_mark(c, s->slot);
        crew_held(c, s->client, ((Fairslot__V1__Hold *)m)->name);
        break;
    case PLAN_CALL_CONFIRM:
        crew_won(c, s->client, ((Fairslot__V1__Reservation *)m)->name);
        break;
    case PLAN_CALL_COUNT:
        break;
    }
    protobuf_c_message_free_unpacked(m, NULL);
}

static bool crew_says(struct span details, const char *reason)
{
    return details.len > 0 && memmem(details.ptr, details.len, reason, strlen(reason)) != NULL;
}

void crew_refusal(struct crew *c, struct shot *s, int status, struct span details)
{
    const struct client *who = &c->plan->clients[s->client];
    enum plan_call call = (enum plan_call)s->call;
    if (call == PLAN_CALL_HOLD && crew_says(details, "SLOT_TAKEN")) {
        crew_mark(c, s->slot);
        if (who->state == CLIENT_LOOKING) {
            crew_again(c, s->client, PLAN_CALL_LIST, CREW_AGAIN_US);
        }
        return;
    }
    bool is_too_late = crew_says(details, "RELEASE_SEALED") ||
                       crew_says(details, "RELEASE_ENDED") ||
                       crew_says(details, "TICKET_UNKNOWN") || crew_says(details, "HOLD_EXPIRED");
    if (is_too_late && (who->state != CLIENT_ENTERED || call == PLAN_CALL_POLL)) {
        crew_end(c, s->client, CLIENT_LOST);
    } else if (crew_is_open(who) && status != 1 &&
               (call != PLAN_CALL_TICKET || who->state == CLIENT_LOOKING)) {
        crew_again(c, s->client, call == PLAN_CALL_HOLD ? PLAN_CALL_LIST : call, CREW_AGAIN_US);
    }
}
