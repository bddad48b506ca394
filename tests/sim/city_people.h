/* SPDX-License-Identifier: MIT */
/* Gateways with their fair queue, and the crowd: people who ask, wait, and ask again with the same
 * request id until they are told. */
#ifndef FAIRSLOT_TESTS_SIM_CITY_PEOPLE_H
#define FAIRSLOT_TESTS_SIM_CITY_PEOPLE_H

#include "tests/sim/city_draw.h"
#include "tests/sim/city_shard.h"

#define BATCH_LOST_MS 400
#define RETRY_MS      700
#define CALL_MS   600

/* -- gateways ---------------------------------------------------------------------------------- */

static bool ends_something(enum command_kind kind)
{
    return kind == COMMAND_CONFIRM_HOLD || kind == COMMAND_DROP_HOLD ||
           kind == COMMAND_CANCEL_RESERVATION;
}

static enum fairq_class class_of(enum command_kind kind)
{
    if (command_is_read(kind)) {
        return FAIRQ_READ;
    }
    return ends_something(kind) ? FAIRQ_CONTROL : FAIRQ_RESERVE;
}

static void gate_queue(struct gate *g, struct gate_call *call)
{
    struct fairq_place place = {.tenant_weight = 1};
    place.identity.bytes[0] = (uint8_t)call->call.person;
    call->entry = (struct fairq_entry){.class = class_of(call->call.kind)};
    if (fairq_push(g->queue, &place, &call->entry) != 0) {
        call->is_used = false; /* refused: its own newest */
        return;
    }
    g->waiting[call->entry.class][call->call.person]++;
}

/* Fairness: while somebody waits, nobody of the same class is served more than twice. */
static void see_pull(struct gate *g, const struct gate_call *call)
{
    enum fairq_class class = call->entry.class;
    uint32_t person = call->call.person;
    g->waiting[class][person]--;
    for (uint32_t i = 0; i < PEOPLE; i++) {
        g->passed[class][person][i] = 0;
        if (i != person && g->waiting[class][i] > 0 && ++g->passed[class][i][person] > 2) {
            violate("fairness: one was served thrice while another waited");
        }
    }
}

static uint32_t gate_waits(const struct gate *g)
{
    uint32_t count = 0;
    for (size_t i = 0; i < PEOPLE; i++) {
        bool waits = false;
        for (size_t k = 0; k < FAIRQ_CLASSES; k++) {
            waits = waits || g->waiting[k][i] > 0;
        }
        count += waits;
    }
    return count;
}

static void gate_batch(struct gate *g, uint64_t id, struct gate_batch *batch)
{
    static uint8_t bytes[8 + BATCH * (sizeof(struct who) + BYTES_MAX)];
    struct batch_call calls[BATCH];
    struct span message;
    uint32_t count = (uint32_t)batch->count;
    size_t len = 8;
    memcpy(bytes, &batch->id, 4);
    memcpy(bytes + 4, &count, 4);
    for (uint32_t i = 0; i < count; i++) {
        const struct gate_call *call = batch->calls[i];
        struct who who = {(uint32_t)(call - g->calls), call->call.person, call->call.op};
        calls[i] = (struct batch_call){.call = who.call, .deadline_ms = CALL_MS,
                                       .command = {call->call.bytes, call->call.len}};
        memcpy(bytes + len, &who, sizeof who);
        len += sizeof who;
    }
    arena_reset(&g->arena);
    const struct batch_head head = {1, id + 1, gate_waits(g), 0};
    CHECK(codec_batch_pack(&head, calls, count, &g->arena, &message) == 0);
    CHECK(len + message.len <= sizeof bytes);
    memcpy(bytes + len, message.ptr, message.len);
    if (!g->is_cut[0][g->leader]) {
        send_unsure(BATCH_OUT, id, g->leader, bytes, len + message.len);
    }
    post(GATE_TIMER, id, batch->id, BATCH_LOST_MS, (struct span){0});
}

static void gate_send(struct gate *g, uint64_t id)
{
    for (size_t b = 0; b < BATCHES && fairq_waiting(g->queue) > 0; b++) {
        struct gate_batch *batch = &g->batches[b];
        struct fairq_entry *pulled[BATCH];
        size_t room = g->credit > g->under_way ? g->credit - g->under_way : 0;
        room = g->under_way == 0 && room == 0 ? 1 : room < BATCH ? room : BATCH;
        if (batch->id || room == 0) {
            continue;
        }
        batch->count = fairq_pull(g->queue, pulled, room);
        batch->id = ++g->next_batch;
        batch->sent_ms = w.now_ms;
        g->under_way += (unsigned)batch->count;
        batch->items = (unsigned)batch->count;
        for (size_t i = 0; i < batch->count; i++) {
            batch->calls[i] = CONTAINER_OF(pulled[i], struct gate_call, entry);
            see_pull(g, batch->calls[i]);
        }
        gate_batch(g, id, batch);
    }
}

static void gate_ask(uint64_t id, const struct message *m)
{
    struct gate *g = &c.gates[id];
    for (size_t i = 0; i < CALLS; i++) {
        if (!g->calls[i].is_used) {
            g->calls[i].is_used = true;
            memcpy(&g->calls[i].call, m->bytes, m->len);
            gate_queue(g, &g->calls[i]);
            break;
        }
    }
    gate_send(g, id);
}

static void gate_batch_end(struct gate *g, struct gate_batch *batch)
{
    g->under_way -= batch->items;
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->calls[i]) {
            batch->calls[i]->is_used = false;
        }
    }
    batch->id = 0;
    batch->count = 0;
}

static void gate_timer(uint64_t id, uint64_t batch_id)
{
    struct gate *g = &c.gates[id];
    for (size_t b = 0; b < BATCHES; b++) {
        if (g->batches[b].id == batch_id) { /* no word: somebody else may lead now */
            gate_batch_end(g, &g->batches[b]);
            g->leader = g->leader % w.first_count + 1;
        }
    }
    gate_send(g, id);
}

static void gate_told(struct gate *g, uint64_t id, struct gate_batch *batch, const struct told *a)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct gate_call *call = batch->calls[i];
        if (call == &g->calls[a->at]) {
            send_unsure(ANSWER, id, a->person, a, sizeof *a);
            batch->calls[i] = NULL;
            call->is_used = false;
        }
    }
}

/* The leader is to be asked what has no answer. */
static void gate_turned(struct gate *g, struct gate_batch *batch, const struct message *m,
                        uint64_t leader)
{
    uint64_t next = g->leader % w.first_count + 1;
    g->leader = m->from != g->leader ? g->leader : leader ? leader : next;
    for (size_t i = 0; i < batch->count; i++) {
        struct gate_call *call = batch->calls[i];
        batch->calls[i] = NULL;
        if (call) {
            gate_queue(g, call);
        }
    }
}

static void gate_reply(uint64_t id, const struct message *m)
{
    struct gate *g = &c.gates[id];
    struct reply_head head;
    memcpy(&head, m->bytes, sizeof head);
    for (size_t b = 0; b < BATCHES; b++) {
        struct gate_batch *batch = &g->batches[b];
        if (batch->id != head.batch) {
            continue;
        }
        for (uint32_t i = 0; i < head.count; i++) {
            struct told a;
            memcpy(&a, m->bytes + sizeof head + i * sizeof a, sizeof a);
            gate_told(g, id, batch, &a);
        }
        if (head.is_turned_away) {
            gate_turned(g, batch, m, head.leader);
        } else {
            g->credit = head.credit;
        }
        gate_batch_end(g, batch);
    }
    gate_send(g, id);
}

/* -- people ------------------------------------------------------------------------------------ */

static void person_ask(uint64_t id)
{
    struct person *p = &c.people[id];
    unsigned copies = p->is_flooding && !w.is_healed ? 6 : 1;
    uint64_t gate = prng_below(&w.prng, GATEWAYS);
    for (unsigned i = 0; i < copies; i++) {
        send_unsure(ASK, id, gate, &p->call, offsetof(struct call, bytes) + p->call.len);
    }
    p->tries++;
    c.retries += p->tries > 1;
    p->retry_ms = w.now_ms + RETRY_MS + (int64_t)prng_below(&w.prng, 200);
}

static void person_begin(uint64_t id, struct command *k)
{
    struct person *p = &c.people[id];
    struct span packed;
    p->op++;
    k->identity.bytes[0] = (uint8_t)id;
    k->identity.bytes[15] = 1;
    k->assurance = ASSURANCE_HIGH;
    k->roles = id == 0 ? ROLE_OPERATOR : 0;
    if (is_remembered(k->kind)) {
        memcpy(k->request_id.bytes, &p->op, sizeof p->op);
        k->request_id.bytes[15] = (uint8_t)(id + 1);
        k->body_hash = mix64(id + 1, p->op);
    }
    arena_reset(&c.packing);
    CHECK(codec_command_pack(k, &c.packing, &packed) == 0);
    CHECK(packed.len <= BYTES_MAX);
    p->call.person = (uint32_t)id;
    p->call.op = p->op;
    p->call.kind = k->kind;
    p->call.len = (uint32_t)packed.len;
    memcpy(p->call.bytes, packed.ptr, packed.len);
    p->is_waiting = true;
    request_of((uint32_t)id, p->op)->is_fresh = !is_remembered(k->kind);
    p->tries = 0;
    p->invoked_after = c.answered_index;
    person_ask(id);
}

static struct slot_key slot_key_of(uint32_t slot)
{
    return (struct slot_key){slot_start(slot), span_of("a")};
}

static void person_wish(uint64_t id)
{
    struct person *p = &c.people[id];
    struct slot_key key = slot_key_of((uint32_t)prng_below(&w.prng, SLOTS));
    struct command k = {.kind = COMMAND_CREATE_HOLD, .pool = span_of("city")};
    size_t i = prng_below(&w.prng, LIVE_MAX);
    if (chance(100)) { /* a look: the first microseconds say which one it is */
        p->about = LIVE_MAX;
        k = (struct command){.kind = COMMAND_LIST_SLOTS, .pool = span_of("city"),
                             .from_us = DAY_ONE - p->op - 1, .to_us = DAY_ONE + DAY_US,
                             .page_size = 2};
        person_begin(id, &k);
        return;
    }
    p->about = i;
    if (!p->has[i].is_some) {
        if (chance(300)) {
            k.select_us = key.start_us;
            k.select_count = 1;
        } else {
            k.slots = &key;
            k.slots_count = 1;
        }
        person_begin(id, &k);
        return;
    }
    k.owner = p->has[i].owner;
    k.number = p->has[i].number;
    uint64_t dice = prng_below(&w.prng, 10);
    if (!p->has[i].is_reservation) {
        if (dice < 2) {
            p->has[i].is_some = false; /* forgotten: it will expire */
            return;
        }
        k.kind = dice < 8 ? COMMAND_CONFIRM_HOLD : COMMAND_DROP_HOLD;
    } else if (dice < 3) {
        k.kind = COMMAND_RESCHEDULE;
        k.slots = &key;
        k.slots_count = 1;
    } else {
        k.kind = COMMAND_CANCEL_RESERVATION;
    }
    person_begin(id, &k);
}

static struct pool_view pool_of(const char *id)
{
    return (struct pool_view){
        .id = span_of(id), .service_class = span_of(id), .time_zone = span_of("UTC"),
        .hold_ttl_us = TTL_US, .max_live = LIVE_MAX, .min_assurance = ASSURANCE_LOW,
        .max_slots = POOL_MAX_SLOTS, .max_changes = 50, .appeal_us = POOL_APPEAL_US,
        .return_policy = RETURN_NEXT, .return_wait_us = POOL_RETURN_WAIT_US};
}

static void operator_slots(const char *pool)
{
    struct new_slot made[SLOTS];
    struct command k = {.kind = COMMAND_CREATE_SLOTS, .pool = span_of(pool), .new_slots = made,
                        .new_slots_count = SLOTS};
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct slot_key key = slot_key_of(i);
        made[i] = (struct new_slot){key.start_us, 600 * SECOND_US, key.slug, span_of("")};
    }
    person_begin(0, &k);
}

static void operator_release(void)
{
    static const uint8_t secret[RELEASE_SECRET] = {1, 2, 3};
    struct release_policy policy = {.serving = chance(500) ? RELEASE_BY_PREFERENCE
                                                           : RELEASE_BY_TURN,
                                    .entry_open_us = EPOCH_US,
                                    .entry_close_us = EPOCH_US + (w.now_ms + 2500) * 1000,
                                    .entry_grace_us = SECOND_US, .turn_us = 2 * SECOND_US,
                                    .slots_from_us = DAY_ONE, .slots_to_us = DAY_ONE + DAY_US};
    struct release_words words = {.id = span_of("r"), .policy = &policy,
                                  .secret = {secret, sizeof secret}};
    struct command k = {.kind = COMMAND_CREATE_RELEASE, .pool = span_of("draw"),
                        .release = &words};
    person_begin(0, &k);
}

/* What an operator does while people book. */
static void operator_later(void)
{
    struct command k = {.kind = COMMAND_RESTOCK, .pool = span_of("city"),
                        .note = span_of("again")};
    uint64_t dice = prng_below(&w.prng, 10);
    if (dice < 3) {
        k = (struct command){.kind = COMMAND_MARK_NODE,
                             .number = 1 + prng_below(&w.prng, w.nodes_count),
                             .version = dice == 0 ? NODE_MARK_CORDON
                                                 : NODE_MARK_NONE};
    } else if (dice < 5) {
        k = (struct command){.kind = dice == 3 ? COMMAND_TRANSFER_LEADER : COMMAND_DRAIN_NODE,
                             .number = 1 + prng_below(&w.prng, w.nodes_count)};
    }
    person_begin(0, &k);
}

static void operator_wish(void)
{
    struct person *p = &c.people[0];
    struct pool_view pool = pool_of(p->stage == 0 ? "city" : "draw");
    struct command k = {.kind = COMMAND_CREATE_POOL, .pool = pool.id, .new_pool = &pool};
    unsigned stage = p->stage++;
    if (stage >= 2 && !c.mix.has_release) {
        stage = 5;
    }
    pool.scarce = stage == 2;
    switch (stage) {
    case 0:
    case 2:
        person_begin(0, &k);
        break;
    case 1:
        operator_slots("city");
        break;
    case 3:
        operator_slots("draw");
        break;
    case 4:
        operator_release();
        break;
    default:
        operator_later();
    }
}

static void person_ticket(uint64_t id)
{
    struct ticket_wish wish = {.kind = WISH_ANY};
    struct release_words words = {.id = span_of("r"), .wishes = &wish, .wishes_count = 1,
                                  .slot_count = 1};
    struct command k = {.kind = chance(800) ? COMMAND_CREATE_TICKET : COMMAND_DELETE_TICKET,
                        .pool = span_of("draw"), .release = &words};
    if (k.kind == COMMAND_DELETE_TICKET) {
        words = (struct release_words){.id = span_of("r")};
    }
    c.people[id].about = LIVE_MAX;
    person_begin(id, &k);
}

static void person_wake(uint64_t id)
{
    struct person *p = &c.people[id];
    if (p->is_waiting && w.now_ms >= p->retry_ms) {
        person_ask(id);
    } else if (!p->is_waiting && !c.is_closing) {
        if (id == 0) {
            operator_wish();
        } else if (c.mix.has_release && chance(150)) {
            person_ticket(id);
        } else {
            person_wish(id);
        }
    }
    int64_t think_ms = id == 0 && p->stage > 5 ? 1500 : c.mix.think_ms;
    post(WAKE, id, id, 1 + (int64_t)prng_below(&w.prng, (uint64_t)think_ms), (struct span){0});
}

static void person_hear(uint64_t id, const struct message *m)
{
    struct person *p = &c.people[id];
    struct told a;
    memcpy(&a, m->bytes, sizeof a);
    hear_answer(p, &a);
    if (!p->is_waiting || a.op != p->op) {
        return; /* told before */
    }
    const struct request_seen *r = request_of(a.person, a.op);
    c.answered_index = r->index > c.answered_index ? r->index : c.answered_index;
    if (!r->is_fresh && is_undecided((enum reason)a.reason)) {
        return; /* asks again */
    }
    p->is_waiting = false;
    c.answered++;
    if (is_forgotten((enum reason)a.reason)) {
        return;
    }
    if (p->about >= LIVE_MAX || id == 0) {
        return;
    }
    bool good = a.reason == REASON_OK;
    switch (p->call.kind) {
    case COMMAND_CREATE_HOLD:
    case COMMAND_CONFIRM_HOLD:
        p->has[p->about].is_some = good;
        p->has[p->about].is_reservation = p->call.kind == COMMAND_CONFIRM_HOLD;
        p->has[p->about].owner = r->owner;
        p->has[p->about].number = r->number;
        break;
    case COMMAND_RESCHEDULE:
        break;
    default:
        p->has[p->about].is_some = false;
    }
}

#endif
