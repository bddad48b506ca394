/* SPDX-License-Identifier: MIT */
/* What a person does next: mostly book, confirm and give back; now and then ask for the same again,
 * read what is theirs, or want one too many.
 * Owns: nothing.  Cannot fail: every message fits PEOPLE_PACKED_MAX (checked).
 * People meet: slots are drawn from a narrow window that moves on, so that about every tenth hold
 * finds its slot taken or being taken. */
#include <string.h>

#include "base/check.h"
#include "nemesis/people.h"
#include "proto/codec.h"

#define ASK_WINDOW 100 /* slots that people fight for at a time */

void people_request_id(struct prng *prng, uint64_t request[2], char out[37])
{
    uint64_t a = prng_next(prng), b = prng_next(prng);
    request[0] = a;
    request[1] = b;
    snprintf(out, 37, "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)(a >> 32),
             (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xfff, (unsigned)(b >> 48) & 0xfff,
             (unsigned long long)(b & 0xffffffffffff));
}

void people_slot_name(const struct people *g, uint32_t slot, char pool[64], char name[128])
{
    char id[48];
    struct slot_key key = {
        .start_us = (PEOPLE_START_S + (int64_t)(slot / g->pools) * 60) * SECOND_US,
        .slug = {(const uint8_t *)"d1", 2},
    };
    size_t n = codec_slot_id(&key, id);
    snprintf(pool, 64, "pools/nemesis-%u", slot % g->pools);
    snprintf(name, 128, "%s/slots/%.*s", pool, (int)n, id);
}

static void ask_pack(struct person *p, const char *path, uint8_t op, const ProtobufCMessage *m)
{
    CHECK(protobuf_c_message_get_packed_size(m) <= sizeof p->now.packed);
    p->now.packed_len = protobuf_c_message_pack(m, p->now.packed);
    p->now.path = path;
    p->now.op = op;
}

static void ask_hold(struct people *g, struct person *p)
{
    uint64_t front = g->picked++ * 9 / 10;
    uint32_t slot = (uint32_t)((front + prng_below(&g->prng, ASK_WINDOW)) % g->slots);
    char pool[64], name[128], id[37];
    people_slot_name(g, slot, pool, name);
    people_request_id(&g->prng, p->now.request, id);
    Fairslot__V1__CreateHoldRequest q = FAIRSLOT__V1__CREATE_HOLD_REQUEST__INIT;
    q.parent = pool;
    q.want_case = FAIRSLOT__V1__CREATE_HOLD_REQUEST__WANT_SLOT;
    q.slot = name;
    q.request_id = id;
    p->now.slot = slot;
    p->now.thing = 0;
    ask_pack(p, "/fairslot.v1.ReservationService/CreateHold", STORY_HOLD, &q.base);
}

/* Everything else is about one thing that this person has. */
static void ask_about(struct people *g, struct person *p, uint8_t op, const struct people_own *own)
{
    char pool[64], slot[128], name[160], id[37];
    people_slot_name(g, own->slot, pool, slot);
    snprintf(name, sizeof name, "%s/%s/%s", pool, own->is_reservation ? "reservations" : "holds",
             own->id);
    p->now.request[0] = p->now.request[1] = 0;
    if (op != STORY_READ) {
        people_request_id(&g->prng, p->now.request, id);
    }
    p->now.slot = own->slot;
    p->now.thing = own->thing;
    Fairslot__V1__ConfirmHoldRequest confirm = FAIRSLOT__V1__CONFIRM_HOLD_REQUEST__INIT;
    Fairslot__V1__DropHoldRequest drop = FAIRSLOT__V1__DROP_HOLD_REQUEST__INIT;
    Fairslot__V1__CancelReservationRequest cancel =
        FAIRSLOT__V1__CANCEL_RESERVATION_REQUEST__INIT;
    Fairslot__V1__GetHoldRequest hold = FAIRSLOT__V1__GET_HOLD_REQUEST__INIT;
    Fairslot__V1__GetReservationRequest reservation = FAIRSLOT__V1__GET_RESERVATION_REQUEST__INIT;
    confirm.name = drop.name = cancel.name = hold.name = reservation.name = name;
    confirm.request_id = drop.request_id = cancel.request_id = id;
    switch (op) {
    case STORY_CONFIRM:
        ask_pack(p, "/fairslot.v1.ReservationService/ConfirmHold", op, &confirm.base);
        break;
    case STORY_DROP:
        ask_pack(p, "/fairslot.v1.ReservationService/DropHold", op, &drop.base);
        break;
    case STORY_CANCEL:
        ask_pack(p, "/fairslot.v1.ReservationService/CancelReservation", op, &cancel.base);
        break;
    default:
        if (own->is_reservation) {
            ask_pack(p, "/fairslot.v1.ReservationService/GetReservation", op, &reservation.base);
        } else {
            ask_pack(p, "/fairslot.v1.ReservationService/GetHold", op, &hold.base);
        }
    }
}

void people_choose(struct people *g, struct person *p)
{
    uint64_t dice = prng_below(&g->prng, 1000);
    const struct people_own *own =
        p->own_count ? &p->own[prng_below(&g->prng, p->own_count)] : NULL;
    if (dice < 40 && p->last.op != STORY_NONE) {
        p->is_again = true;
    } else if (dice < 90 && own) {
        ask_about(g, p, STORY_READ, own);
    } else if (p->own_count < PEOPLE_MAX_LIVE ? own == NULL || dice < 430 : dice < 100) {
        ask_hold(g, p);
    } else if (own->is_reservation) {
        ask_about(g, p, STORY_CANCEL, own);
    } else {
        ask_about(g, p, dice % 8 ? STORY_CONFIRM : STORY_DROP, own);
    }
}
