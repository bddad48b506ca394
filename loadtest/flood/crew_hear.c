/* SPDX-License-Identifier: MIT */
/* What answers mean to a client: protobuf and refusals become the few words that the crowd knows.
 * Owns: nothing.
 * Answers that cannot be read are counted and told as garbled: a target that answers garbage ends
 * no process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ctl/refusal.h"
#include "fairslot/v1/services.pb-c.h"
#include "flood/crew_inside.h"

static int crew_compare(const void *key, const void *at)
{
    return strcmp(key, *(char *const *)at);
}

static void crew_listed(struct crew *c, struct shot *s, const Fairslot__V1__ListSlotsResponse *m)
{
    if (m->n_slots == 0) {
        s->say.answer = CROWD_NOTHING;
        return;
    }
    const char *name = m->slots[crowd_draw(c->crowd, s->event.client) % m->n_slots]->name;
    char **at = bsearch(name, c->plan->slots, c->plan->slots_count, sizeof *c->plan->slots,
                        crew_compare);
    if (at == NULL) { /* a slot that nobody made */
        c->result->garbled++;
        s->say.answer = CROWD_GARBLED;
        return;
    }
    s->say.answer = CROWD_LISTED;
    s->say.slot = (uint32_t)(at - c->plan->slots);
}

/* The last part of a resource's name is kept for what comes next. */
static void crew_keep(struct crew *c, uint32_t client, const char *name)
{
    struct client *mine = &c->plan->clients[client];
    const char *id = strrchr(name, '/');
    snprintf(mine->paper, sizeof mine->paper, "%s", id ? id + 1 : name);
}

/* It holds or has won: its paper is what it confirms or cancels, whatever is answered late. */
static bool crew_has_paper(const struct crew *c, uint32_t client)
{
    enum crowd_state state = (enum crowd_state)crowd_client(c->crowd, client)->state;
    return state == CROWD_HOLDING || state == CROWD_WON;
}

static void crew_ticket(struct crew *c, struct shot *s, const Fairslot__V1__Ticket *t)
{
    c->plan->told[crowd_client(c->crowd, s->event.client)->identity] = 1;
    switch (t->state) {
    case FAIRSLOT__V1__TICKET__STATE__STATE_OFFERED:
        if (!crew_has_paper(c, s->event.client)) { /* one who came up from standby has none */
            crew_keep(c, s->event.client, t->hold);
        }
        s->say.answer = CROWD_OFFERED;
        break;
    case FAIRSLOT__V1__TICKET__STATE__STATE_TURN:
        s->say.answer = CROWD_TURN;
        break;
    case FAIRSLOT__V1__TICKET__STATE__STATE_STANDBY:
        s->say.answer = CROWD_STANDBY;
        break;
    case FAIRSLOT__V1__TICKET__STATE__STATE_USED:
    case FAIRSLOT__V1__TICKET__STATE__STATE_LOST:
    case FAIRSLOT__V1__TICKET__STATE__STATE_LAPSED:
    case FAIRSLOT__V1__TICKET__STATE__STATE_WITHDRAWN:
        s->say.answer = CROWD_OVER;
        break;
    default:
        s->say.answer = CROWD_WAITING;
    }
}

static const ProtobufCMessageDescriptor *crew_answer_type(enum crowd_act act)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        [CROWD_ACT_LIST] = &fairslot__v1__list_slots_response__descriptor,
        [CROWD_ACT_TICKET] = &fairslot__v1__ticket__descriptor,
        [CROWD_ACT_WISHES] = &fairslot__v1__ticket__descriptor,
        [CROWD_ACT_POLL] = &fairslot__v1__ticket__descriptor,
        [CROWD_ACT_HOLD] = &fairslot__v1__hold__descriptor,
        [CROWD_ACT_CONFIRM] = &fairslot__v1__reservation__descriptor,
        [CROWD_ACT_DROP] = &fairslot__v1__hold__descriptor,
        [CROWD_ACT_CANCEL] = &fairslot__v1__reservation__descriptor,
    };
    CHECK(act < CROWD_ACT_COUNT && act != CROWD_ACT_CONNECT);
    return types[act];
}

/* A reservation: counted once, where it was confirmed. */
static void crew_won(struct crew *c, struct shot *s, const Fairslot__V1__Reservation *r)
{
    struct party_result *p = &c->result->parties[s->event.population];
    crew_keep(c, s->event.client, r->name);
    s->say.answer = CROWD_CONFIRMED;
    p->won++;
    c->result->timeline[plan_bucket_of(c->plan, c->now_us)].won[s->event.population]++;
}

void crew_hear(struct crew *c, struct shot *s, struct span message)
{
    ProtobufCMessage *m = protobuf_c_message_unpack(
        crew_answer_type((enum crowd_act)s->event.act), NULL, message.len, message.ptr);
    if (m == NULL) {
        c->result->garbled++;
        s->say.answer = CROWD_GARBLED;
        return;
    }
    switch ((enum crowd_act)s->event.act) {
    case CROWD_ACT_LIST:
        crew_listed(c, s, (Fairslot__V1__ListSlotsResponse *)m);
        break;
    case CROWD_ACT_TICKET:
    case CROWD_ACT_POLL:
        crew_ticket(c, s, (Fairslot__V1__Ticket *)m);
        break;
    case CROWD_ACT_HOLD:
        crew_keep(c, s->event.client, ((Fairslot__V1__Hold *)m)->name);
        s->say.answer = CROWD_HELD;
        break;
    case CROWD_ACT_CONFIRM:
        crew_won(c, s, (Fairslot__V1__Reservation *)m);
        break;
    default:
        s->say.answer = CROWD_DONE;
    }
    protobuf_c_message_free_unpacked(m, NULL);
}

/* Reasons that the crowd tells apart; the others may pass. */
static enum crowd_answer crew_reason(const char *reason)
{
    static const struct {
        const char *reason;
        enum crowd_answer answer;
    } table[] = {
#define CREW_REASON(reason, answer) {#reason, CROWD_##answer},
        CROWD_REASONS(CREW_REASON)
#undef CREW_REASON
    };
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        if (strcmp(table[i].reason, reason) == 0) {
            return table[i].answer;
        }
    }
    return CROWD_REFUSED;
}

void crew_hear_refusal(struct crew *c, struct shot *s, int status, struct span details)
{
    struct refusal refusal;
    if (s->is_overdue || status == 4) {
        s->say.answer = CROWD_TIMED_OUT;
    } else if (status == 1) {
        s->say.answer = CROWD_CANCELLED;
    } else if (details.len == 0) {
        bool is_lost = status == 14;
        s->say.answer = is_lost ? CROWD_CUT_OFF : CROWD_GARBLED;
        c->result->parties[s->event.population].unreachable += is_lost;
        c->result->garbled += !is_lost;
    } else {
        refusal_read(&refusal, status, (struct span){0}, details);
        s->say.answer = crew_reason(refusal.reason);
        s->say.retry_after_us = refusal.retry_ms * 1000;
    }
}
