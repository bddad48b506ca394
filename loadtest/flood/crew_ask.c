/* SPDX-License-Identifier: MIT */
/* What clients ask: one small request each, packed by protobuf-c.
 * Owns: nothing.
 * Fails never: every text of a plan fits CREW_PACKED_MAX. */
#include <stdio.h>

#include "base/check.h"
#include "fairslot/v1/services.pb-c.h"
#include "flood/crew_inside.h"

#define CREW_UUID_MAX 37

static void crew_format_id(uint64_t a, uint64_t b, char out[CREW_UUID_MAX])
{
    snprintf(out, CREW_UUID_MAX, "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)(a >> 32),
             (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xfff, (unsigned)(b >> 48) & 0xfff,
             (unsigned long long)(b & 0xffffffffffff));
}

static void crew_request_id(struct crew *c, char out[CREW_UUID_MAX])
{
    uint64_t a = prng_next(&c->prng), b = prng_next(&c->prng);
    crew_format_id(a, b, out);
}

/* One id for one confirmation, however often it is sent: a lost answer costs nothing. */
static void crew_same_id(const char *hold, char out[CREW_UUID_MAX])
{
    uint64_t x = 0;
    for (const char *at = hold; *at; at++) {
        x = (x ^ (uint8_t)*at) * 0x100000001b3;
    }
    uint64_t a = prng_splitmix(&x), b = prng_splitmix(&x);
    crew_format_id(a, b, out);
}

/* First come, first served knows no turns. */
static bool crew_is_by_turn(const struct crew *c)
{
    return c->plan->scenario.by_turn && c->plan->scenario.mode != CROWD_FCFS;
}

static const char *crew_pack_list(struct crew *c, uint8_t *out, size_t *ret_len)
{
    Fairslot__V1__ListSlotsRequest q = FAIRSLOT__V1__LIST_SLOTS_REQUEST__INIT;
    q.parent = (char *)c->plan->pool;
    q.free_only = true;
    q.page_size = crew_is_by_turn(c) ? 1000 : 20; /* holders of turns choose at once */
    *ret_len = protobuf_c_message_pack(&q.base, out);
    return "/fairslot.v1.CatalogService/ListSlots";
}

/* Wishes: single slots, and at last whatever is left. */
static const char *crew_pack_ticket(struct crew *c, const struct crowd_event *e, uint8_t *out,
                                    size_t *ret_len)
{
    Fairslot__V1__CreateTicketRequest q = FAIRSLOT__V1__CREATE_TICKET_REQUEST__INIT;
    Fairslot__V1__Preference wishes[CROWD_WISHES_MAX], *preferences[CROWD_WISHES_MAX];
    char request_id[CREW_UUID_MAX];
    size_t count = c->plan->scenario.wishes;
    crew_request_id(c, request_id);
    CHECK(count >= 1 && count <= CROWD_WISHES_MAX);
    for (size_t i = 0; i < count; i++) {
        fairslot__v1__preference__init(&wishes[i]);
        wishes[i].want_case = FAIRSLOT__V1__PREFERENCE__WANT_SLOT;
        wishes[i].slot = c->plan->slots[dice_below(crowd_draw(c->crowd, e->client),
                                                   c->plan->slots_count)];
        preferences[i] = &wishes[i];
    }
    wishes[count - 1].want_case = FAIRSLOT__V1__PREFERENCE__WANT_ANY;
    wishes[count - 1].any = true;
    q.parent = (char *)c->plan->release;
    q.preferences = preferences;
    q.n_preferences = count;
    q.request_id = request_id;
    *ret_len = protobuf_c_message_pack(&q.base, out);
    return "/fairslot.v1.TicketService/CreateTicket";
}

static const char *crew_pack_poll(struct crew *c, uint8_t *out, size_t *ret_len)
{
    Fairslot__V1__GetTicketRequest q = FAIRSLOT__V1__GET_TICKET_REQUEST__INIT;
    char name[224];
    snprintf(name, sizeof name, "%s/tickets/me", c->plan->release);
    q.name = name;
    *ret_len = protobuf_c_message_pack(&q.base, out);
    return "/fairslot.v1.TicketService/GetTicket";
}

static const char *crew_pack_hold(struct crew *c, const struct crowd_event *e, uint8_t *out,
                                  size_t *ret_len)
{
    Fairslot__V1__CreateHoldRequest q = FAIRSLOT__V1__CREATE_HOLD_REQUEST__INIT;
    char request_id[CREW_UUID_MAX], ticket[224];
    crew_request_id(c, request_id);
    CHECK(e->slot < c->plan->slots_count);
    snprintf(ticket, sizeof ticket, "%s/tickets/me", c->plan->release);
    q.ticket = crew_is_by_turn(c) ? ticket : q.ticket;
    q.parent = (char *)c->plan->pool;
    q.want_case = FAIRSLOT__V1__CREATE_HOLD_REQUEST__WANT_SLOT;
    q.slot = c->plan->slots[e->slot];
    q.request_id = request_id;
    *ret_len = protobuf_c_message_pack(&q.base, out);
    return "/fairslot.v1.ReservationService/CreateHold";
}

static const char *crew_pack_confirm(struct crew *c, const char *paper, uint8_t *out,
                                     size_t *ret_len)
{
    Fairslot__V1__ConfirmHoldRequest q = FAIRSLOT__V1__CONFIRM_HOLD_REQUEST__INIT;
    char request_id[CREW_UUID_MAX], name[160];
    crew_same_id(paper, request_id);
    snprintf(name, sizeof name, "%s/holds/%s", c->plan->pool, paper);
    q.name = name;
    q.request_id = request_id;
    *ret_len = protobuf_c_message_pack(&q.base, out);
    return "/fairslot.v1.ReservationService/ConfirmHold";
}

static const char *crew_pack_drop(struct crew *c, const char *paper, uint8_t *out,
                                  size_t *ret_len)
{
    Fairslot__V1__DropHoldRequest q = FAIRSLOT__V1__DROP_HOLD_REQUEST__INIT;
    char request_id[CREW_UUID_MAX], name[160];
    crew_request_id(c, request_id);
    snprintf(name, sizeof name, "%s/holds/%s", c->plan->pool, paper);
    q.name = name;
    q.request_id = request_id;
    *ret_len = protobuf_c_message_pack(&q.base, out);
    return "/fairslot.v1.ReservationService/DropHold";
}

static const char *crew_pack_cancel(struct crew *c, const char *paper, uint8_t *out,
                                    size_t *ret_len)
{
    Fairslot__V1__CancelReservationRequest q = FAIRSLOT__V1__CANCEL_RESERVATION_REQUEST__INIT;
    char request_id[CREW_UUID_MAX], name[160];
    crew_request_id(c, request_id);
    snprintf(name, sizeof name, "%s/reservations/%s", c->plan->pool, paper);
    q.name = name;
    q.request_id = request_id;
    *ret_len = protobuf_c_message_pack(&q.base, out);
    return "/fairslot.v1.ReservationService/CancelReservation";
}

const char *crew_ask(struct crew *c, const struct crowd_event *e, uint8_t *out, size_t *ret_len)
{
    const char *paper = c->plan->clients[e->client].paper;
    switch ((enum crowd_act)e->act) {
    case CROWD_ACT_LIST:
        return crew_pack_list(c, out, ret_len);
    case CROWD_ACT_TICKET:
    case CROWD_ACT_WISHES:
        return crew_pack_ticket(c, e, out, ret_len);
    case CROWD_ACT_POLL:
        return crew_pack_poll(c, out, ret_len);
    case CROWD_ACT_HOLD:
        return crew_pack_hold(c, e, out, ret_len);
    case CROWD_ACT_CONFIRM:
        return crew_pack_confirm(c, paper, out, ret_len);
    case CROWD_ACT_DROP:
        return crew_pack_drop(c, paper, out, ret_len);
    case CROWD_ACT_CANCEL:
        return crew_pack_cancel(c, paper, out, ret_len);
    case CROWD_ACT_CONNECT:
    case CROWD_ACT_COUNT:
        break;
    }
    CHECK(!"a request");
    return NULL;
}
