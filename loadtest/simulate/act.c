/* SPDX-License-Identifier: MIT */
/* A client's request as a command of the ledger, and the verdict as what the client is told.
 * Owns: nothing but the papers that clients keep.  Fails: < 0 from the ledger alone; a refusal is
 * an answer.
 * A slot's holder is written down here as answers tell it, beside the ledger's own state: the audit
 * compares the two at the end. */
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "simulate/world.h"

#define ACT_PAGE 50 /* slots of a list */

static struct command act_command(struct world *w, const struct crowd_event *e,
                                  enum command_kind kind)
{
    const struct crowd_client *who = crowd_client(w->crowd, e->client);
    const struct crowd_population *p = &w->scenario.populations[who->population];
    struct command c = {.kind = kind, .identity = world_identity(w, who->identity),
                        .assurance = (enum assurance)p->assurance, .pool = span_of("city")};
#ifdef PLANT_ADDRESS_PLACE
    c.identity = world_identity(w, e->client + WORLD_NOBODY / 2);
#endif
    if (!command_is_read(kind)) {
        uint64_t number = e->is_replay ? w->tapes[e->client].request : w->log_index + 1;
        memcpy(c.request_id.bytes, &number, sizeof number);
        c.request_id.bytes[15] = 1;
        c.body_hash = number * 7919;
    }
    return c;
}

/* What a reason means to a client. */
static struct crowd_say act_refusal(const struct verdict *v)
{
    enum crowd_answer answer = CROWD_REFUSED;
    switch (v->reason) {
#define ACT_REASON(reason, means)                                                               \
    case REASON_##reason:                                                                       \
        answer = CROWD_##means;                                                                 \
        break;
        CROWD_REASONS(ACT_REASON)
#undef ACT_REASON
    default:
        break;
    }
    uint32_t retry = v->retry_ms ? v->retry_ms : reason_retry_ms(v->reason);
    return (struct crowd_say){answer, 0, (int64_t)retry * 1000};
}

static void act_keep(struct world *w, const struct crowd_event *e, uint64_t owner, uint64_t number)
{
    if (!e->is_replay) {
        w->papers[e->client] = (struct world_paper){owner, number};
    }
}

static struct crowd_say act_state(struct world *w, const struct crowd_event *e,
                                  const struct ticket_view *t)
{
    switch (t->state) {
    case TICKET_ENTERED:
    case TICKET_WAITING:
        return (struct crowd_say){.answer = CROWD_WAITING};
    case TICKET_TURN:
        return (struct crowd_say){.answer = CROWD_TURN};
    case TICKET_OFFERED:
        act_keep(w, e, t->hold_owner, t->hold_number);
        return (struct crowd_say){.answer = CROWD_OFFERED};
    case TICKET_STANDBY:
        return (struct crowd_say){.answer = CROWD_STANDBY};
    default:
        return (struct crowd_say){.answer = CROWD_OVER};
    }
}

/* -- one function a kind of act ---------------------------------------------------------------- */

static uint32_t act_slot_number(const struct world *w, const struct slot_key *key)
{
    uint32_t time = (uint32_t)((key->start_us - WORLD_SLOTS_US) / WORLD_SLOT_US);
    uint32_t desk = (uint32_t)(key->slug.ptr[1] - '0') * 10 + (uint32_t)(key->slug.ptr[2] - '0');
    CHECK(key->slug.len == 3);
    uint32_t number = time * WORLD_DESKS + desk;
    CHECK(number < w->scenario.slots);
    return number;
}

static int act_list(struct world *w, const struct crowd_event *e, struct crowd_say *ret_say)
{
    struct command c = act_command(w, e, COMMAND_LIST_SLOTS);
    struct verdict v;
    c.to_us = INT64_MAX;
    c.free_only = true;
    c.page_size = ACT_PAGE;
    int r = world_apply(w, &c, &v);
    if (r) {
        return err_trace(r);
    }
    if (v.reason != REASON_OK) {
        *ret_say = act_refusal(&v);
    } else if (v.slots_count == 0) {
        *ret_say = (struct crowd_say){.answer = CROWD_NOTHING};
    } else {
        uint64_t pick = dice_below(crowd_draw(w->crowd, e->client), v.slots_count);
        *ret_say = (struct crowd_say){CROWD_LISTED, act_slot_number(w, &v.slots[pick].key), 0};
    }
    return 0;
}

/* Wishes: single slots, and at last whatever is left. */
static int act_ticket(struct world *w, const struct crowd_event *e, struct crowd_say *ret_say)
{
    struct command c = act_command(w, e, COMMAND_CREATE_TICKET);
    struct ticket_wish wishes[TICKET_WISHES_MAX];
    char slugs[TICKET_WISHES_MAX][8];
    size_t count = w->scenario.wishes;
    struct verdict v;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = crowd_draw(w->crowd, e->client);
        wishes[i] = (struct ticket_wish){.kind = i + 1 < count ? WISH_SLOT : WISH_ANY};
        wishes[i].slot = world_slot((uint32_t)dice_below(bits, w->scenario.slots), slugs[i]);
    }
    struct release_words words = {.id = span_of("r"), .wishes = wishes, .wishes_count = count,
                                  .slot_count = 1};
    c.release = &words;
    int r = world_apply(w, &c, &v);
    if (r) {
        return err_trace(r);
    }
    *ret_say = v.reason != REASON_OK          ? act_refusal(&v)
               : e->act == CROWD_ACT_WISHES ? (struct crowd_say){.answer = CROWD_DONE}
                                            : act_state(w, e, v.ticket);
    return 0;
}

static int act_poll(struct world *w, const struct crowd_event *e, struct crowd_say *ret_say)
{
    struct command c = act_command(w, e, COMMAND_GET_TICKET);
    struct release_words words = {.id = span_of("r")};
    struct verdict v;
    c.release = &words;
    int r = world_apply(w, &c, &v);
    if (r) {
        return err_trace(r);
    }
    *ret_say = v.reason == REASON_OK ? act_state(w, e, v.ticket) : act_refusal(&v);
    return 0;
}

static int act_hold(struct world *w, const struct crowd_event *e, struct crowd_say *ret_say)
{
    struct command c = act_command(w, e, COMMAND_CREATE_HOLD);
    struct release_words words = {.id = span_of("r")};
    struct verdict v;
    char slug[8];
    struct slot_key key = world_slot(e->slot, slug);
    c.slots = &key;
    c.slots_count = 1;
    c.release = w->scenario.mode == CROWD_FCFS ? NULL : &words;
    int r = world_apply(w, &c, &v);
    if (r) {
        return err_trace(r);
    }
    if (v.reason == REASON_OK) {
        act_keep(w, e, v.holds[0].owner, v.holds[0].number);
    }
    *ret_say = v.reason == REASON_OK ? (struct crowd_say){.answer = CROWD_HELD} : act_refusal(&v);
    return 0;
}

/* Confirm, drop, cancel: what the client's paper names. */
static int act_change(struct world *w, const struct crowd_event *e, enum command_kind kind,
                      struct crowd_say *ret_say)
{
    struct command c = act_command(w, e, kind);
    uint32_t identity = crowd_client(w->crowd, e->client)->identity;
    struct verdict v;
    const struct world_paper *paper = e->is_replay ? &w->tapes[e->client].paper
                                                   : &w->papers[e->client];
    c.owner = paper->owner;
    c.number = paper->number;
    int r = world_apply(w, &c, &v);
    if (r) {
        return err_trace(r);
    }
    if (v.reason != REASON_OK) {
        *ret_say = act_refusal(&v);
        return 0;
    }
    *ret_say = (struct crowd_say){.answer = kind == COMMAND_CONFIRM_HOLD ? CROWD_CONFIRMED
                                                                         : CROWD_DONE};
    if (kind != COMMAND_DROP_HOLD && !e->is_replay) {
        const struct reservation_view *mine = &v.reservations[0];
        uint32_t *owner = &w->slot_owners[act_slot_number(w, &mine->slots[0].key)];
        bool is_cancel = kind == COMMAND_CANCEL_RESERVATION;
        w->double_booked += *owner != (is_cancel ? identity : WORLD_NOBODY) && *owner != identity;
        *owner = is_cancel ? WORLD_NOBODY : identity;
    }
    return 0;
}

static int act_do(struct world *w, const struct crowd_event *e, struct crowd_say *ret_say)
{
    switch ((enum crowd_act)e->act) {
    case CROWD_ACT_LIST:
        return act_list(w, e, ret_say);
    case CROWD_ACT_TICKET:
    case CROWD_ACT_WISHES:
        return act_ticket(w, e, ret_say);
    case CROWD_ACT_POLL:
        return act_poll(w, e, ret_say);
    case CROWD_ACT_HOLD:
        return act_hold(w, e, ret_say);
    case CROWD_ACT_CONFIRM:
        return act_change(w, e, COMMAND_CONFIRM_HOLD, ret_say);
    case CROWD_ACT_DROP:
        return act_change(w, e, COMMAND_DROP_HOLD, ret_say);
    case CROWD_ACT_CANCEL:
        return act_change(w, e, COMMAND_CANCEL_RESERVATION, ret_say);
    case CROWD_ACT_CONNECT:
    case CROWD_ACT_COUNT:
        break;
    }
    *ret_say = (struct crowd_say){.answer = CROWD_DONE};
    return 0;
}

static bool act_is_change(enum crowd_act act)
{
    return act == CROWD_ACT_TICKET || act >= CROWD_ACT_HOLD;
}

/* The same request once more: whatever became of it since, it has the same answer. */
static int act_replay(struct world *w, const struct crowd_event *e, struct crowd_say *ret_say)
{
    const struct world_tape *tape = &w->tapes[e->client];
    struct crowd_event again = *e;
    CHECK(tape->request != 0);
    again.act = tape->act;
    again.slot = tape->slot;
    int r = act_do(w, &again, ret_say);
    w->replays_differ += r == 0 && ret_say->answer != (enum crowd_answer)tape->answer;
    return err_trace(r);
}

int act_carry_out(struct world *w, const struct crowd_event *e, struct crowd_say *ret_say)
{
    if (e->is_replay) {
        return err_trace(act_replay(w, e, ret_say));
    }
    struct world_paper paper = w->papers[e->client];
    uint64_t request = w->log_index + 1;
    int r = act_do(w, e, ret_say);
    bool is_done = ret_say->answer == CROWD_WAITING || ret_say->answer == CROWD_HELD ||
                   ret_say->answer == CROWD_CONFIRMED || ret_say->answer == CROWD_DONE;
    if (r == 0 && w->tapes && act_is_change((enum crowd_act)e->act) && is_done) {
        w->tapes[e->client] = (struct world_tape){.request = request, .slot = e->slot,
                                                  .act = e->act, .paper = paper,
                                                  .answer = (uint8_t)ret_say->answer};
    }
    return err_trace(r);
}
