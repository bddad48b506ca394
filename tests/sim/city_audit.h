/* SPDX-License-Identifier: MIT */
/* The audit: a model of the pool so naive that it can be checked by reading it, told each command
 * with its verdict once, when the first replica applies it; and what an answer must be true to. */
#ifndef FAIRSLOT_TESTS_SIM_CITY_AUDIT_H
#define FAIRSLOT_TESTS_SIM_CITY_AUDIT_H

#include "tests/sim/city.h"

static int64_t slot_start(uint32_t slot)
{
    return DAY_ONE + (int64_t)slot * 600 * SECOND_US;
}

static bool is_modelled(const struct command *k)
{
    return span_equal(k->pool, span_of("city"));
}

/* Answered once, and the same again: what changes something and has a request id. */
static bool is_remembered(enum command_kind kind)
{
    return !command_is_read(kind) && kind != COMMAND_MARK_NODE;
}

/* -- verdicts ---------------------------------------------------------------------------------- */

/* All that a caller is told. */
static uint64_t answer_hash(enum reason reason, struct span message)
{
    return mix64(mix64(7, reason), reason == REASON_OK ? XXH3_64bits(message.ptr, message.len) : 0);
}

static uint64_t verdict_hash(const struct verdict *v)
{
    struct span message = {0};
    arena_reset(&c.packing);
    if (v->reason == REASON_OK && codec_answer(v, &c.packing, &message) != 0) {
        violate("a verdict cannot be packed");
    }
    return answer_hash(v->reason, message);
}

/* Verdicts that are not remembered: nothing was decided. */
static bool is_forgotten(enum reason reason)
{
    return reason == REASON_POOL_UNKNOWN || reason == REASON_ROLE_MISSING ||
           reason == REASON_RATE_LIMITED || reason == REASON_COOL_DOWN ||
           reason == REASON_RECONFIRM_EARLY || reason == REASON_RESTOCK_RUNNING ||
           reason == REASON_RESTOCKS_FULL || reason == REASON_METHOD_PLANNED ||
           reason == REASON_RELEASE_NOT_OPEN;
}

/* Refused before the log: the caller asks again. */
static bool is_undecided(enum reason reason)
{
    return reason == REASON_STORAGE_FULL || reason == REASON_DEADLINE_EXCEEDED ||
           reason == REASON_STILL_QUEUED || reason == REASON_SHUTTING_DOWN ||
           reason == REASON_NODE_UNKNOWN || reason == REASON_RULES_UNSETTLED;
}

static struct request_seen *request_of(uint32_t person, uint32_t op)
{
    static struct request_seen none;
    struct requests *r = &c.requests[person];
    if (person >= PEOPLE || op > c.people[person].op) {
        violate("a request that nobody made");
        none = (struct request_seen){0};
        return &none;
    }
    if (op >= r->cap) {
        size_t cap = op * 2 + 64;
        r->seen = realloc(r->seen, cap * sizeof *r->seen);
        memset(r->seen + r->cap, 0, (cap - r->cap) * sizeof *r->seen);
        r->cap = cap;
    }
    return &r->seen[op];
}

/* Exactly once: true the first time that a request is decided. */
static bool request_first(const struct command *k, uint64_t index, const struct verdict *v)
{
    uint64_t verdict = verdict_hash(v);
    enum reason reason = v->reason;
    uint32_t person = k->identity.bytes[0], op;
    memcpy(&op, k->request_id.bytes, sizeof op);
    struct request_seen *r = request_of(person, op);
    if (is_forgotten(reason)) {
        return true;
    }
    if (r->is_some) {
        if (r->verdict != verdict) {
            violate("exactly once: a request was decided twice");
        }
        return false;
    }
    *r = (struct request_seen){.verdict = verdict, .index = index, .is_some = true};
    if (v->result == RESULT_HOLD && reason == REASON_OK) {
        r->owner = v->holds[0].owner;
        r->number = v->holds[0].number;
    } else if (v->result == RESULT_RESERVATION && reason == REASON_OK) {
        r->owner = v->reservations[0].owner;
        r->number = v->reservations[0].number;
    }
    return true;
}

/* -- the model --------------------------------------------------------------------------------- */

static struct item *item_of(uint64_t number)
{
    for (size_t i = c.items_count; i > 0; i--) {
        if (c.items[i - 1].number == number) {
            return &c.items[i - 1];
        }
    }
    return NULL;
}

static void item_over(struct item *item)
{
    item->state = OVER;
    c.people[item->person].live--;
}

static uint32_t slot_of(const struct slot_view *slots)
{
    return (uint32_t)((slots[0].key.start_us - DAY_ONE) / (600 * SECOND_US));
}

static void model_slot(uint32_t slot, enum slot_state from, enum slot_state to)
{
    if (slot >= SLOTS || c.slots[slot] != from) {
        violate(to == SLOT_RETURNED ? "a slot was freed that its holder had not"
                                    : "no double booking: the slot was not free");
        return;
    }
    c.slots[slot] = to;
}

static void model_hold(uint32_t person, const struct hold_view *h)
{
    if (item_of(h->number)) {
        violate("no resurrection: a number was given twice");
    }
    if (++c.people[person].live > LIVE_MAX) {
        violate("an identity has more than its entitlement");
    }
    if (c.items_count == c.items_cap) {
        c.items_cap = c.items_cap ? c.items_cap * 2 : 256;
        c.items = realloc(c.items, c.items_cap * sizeof *c.items);
    }
    uint32_t slot = slot_of(h->slots);
    c.items[c.items_count++] = (struct item){.number = h->number, .person = person, .slot = slot,
                                             .state = LIVE, .expire_us = h->expire_us};
    model_slot(slot, SLOT_FREE, SLOT_HELD);
}

/* How late a hold may be confirmed: until its expiry has had a round; where there was no entry for
 * a second, so perhaps no leader either, until 3 s behind the next one. */
static int64_t model_spared_us(int64_t log_us)
{
    int64_t before_us = c.effects_count ? c.log_us[c.effects_count - 1] : log_us;
    if (log_us - before_us > CITY_GAP_US) {
        c.gap_end_us = log_us;
    }
    return log_us - c.gap_end_us < CITY_SPARED_US ? INT64_MAX / 4 : SECOND_US / 2;
}

/* True when the state is what the command needs. */
static struct item *model_item(uint64_t number, uint32_t person, enum item_state state)
{
    struct item *item = item_of(number);
    if (item == NULL || item->person != person || item->state != state) {
        violate(state == LIVE ? "a hold that was none was confirmed or dropped"
                              : "a reservation that was none was cancelled or moved");
        return NULL;
    }
    return item;
}

static void model_change(const struct command *k, const struct verdict *v, int64_t log_us)
{
    uint32_t person = k->identity.bytes[0];
    bool is_kept = k->kind == COMMAND_CANCEL_RESERVATION || k->kind == COMMAND_RESCHEDULE;
    struct item *item = model_item(k->number, person, is_kept ? KEPT : LIVE);
    if (item == NULL) {
        return;
    }
    switch (k->kind) {
    case COMMAND_CONFIRM_HOLD:
        if (log_us >= item->expire_us + (c.rules >= 8 ? model_spared_us(log_us) : 0)) {
            violate("a hold was confirmed after it had expired");
        }
        item->state = KEPT;
        model_slot(item->slot, SLOT_HELD, SLOT_TAKEN);
        break;
    case COMMAND_DROP_HOLD:
        item_over(item);
        model_slot(item->slot, SLOT_HELD, SLOT_RETURNED);
        break;
    case COMMAND_CANCEL_RESERVATION:
        item_over(item);
        model_slot(item->slot, SLOT_TAKEN, SLOT_RETURNED);
        break;
    default:
        model_slot(item->slot, SLOT_TAKEN, SLOT_RETURNED);
        item->slot = slot_of(v->reservations[0].slots);
        model_slot(item->slot, SLOT_FREE, SLOT_TAKEN);
    }
}

/* By the shard itself: frees what is live and due, else nothing. */
static void model_expire(const struct command *k, int64_t log_us, bool has_written)
{
    struct item *item = item_of(k->number);
    bool is_due = item && item->state == LIVE && log_us >= item->expire_us;
    if (has_written != is_due) {
        violate(has_written ? "an expiry freed what was not due" : "what is due did not expire");
    }
    if (is_due) {
        item_over(item);
        model_slot(item->slot, SLOT_HELD, SLOT_RETURNED);
        if (!c.mix.is_skewed &&
            EPOCH_US + w.now_ms * 1000 < item->expire_us - SECOND_US / 20 - w.now_ms * 20) {
            violate("a hold expired before its time, by the true clock"); /* 2 % and 50 ms */
        }
    }
}

int __real_ledger_apply(struct ledger *l, const struct command *command, uint64_t index,
                        uint32_t place, int64_t log_us, struct arena *arena,
                        struct verdict *ret_verdict);

/* The pool as anybody can read it; after a restock only returned slots may have become free. */
static void model_compare(struct shard *s, bool is_restocked)
{
    struct command k = {.kind = COMMAND_LIST_SLOTS, .pool = span_of("city"),
                        .from_us = DAY_ONE, .to_us = DAY_ONE + DAY_US, .page_size = 100};
    struct verdict v = {0};
    arena_reset(&c.packing);
    k.identity.bytes[15] = 1;
    int r = __real_ledger_apply(house_ledger(s->house), &k, w.truths_count + 1, 0, EPOCH_US,
                                &c.packing, &v);
    if (r != 0 || v.reason != REASON_OK || v.slots_count != c.created) {
        violate("capacity: the pool has lost slots");
        return;
    }
    for (size_t i = 0; i < v.slots_count; i++) {
        uint32_t slot = slot_of(&v.slots[i]);
        if (is_restocked && c.slots[slot] == SLOT_RETURNED && v.slots[i].state == SLOT_FREE) {
            c.slots[slot] = SLOT_FREE;
        }
        if (c.slots[slot] != v.slots[i].state) {
            violate("the pool and the model of it differ");
        }
    }
}

/* Where a command was decided. */
struct place {
    uint64_t index;
    int64_t log_us;
    bool has_written; /* it changed the book */
};

static void audit(struct shard *s, const struct command *k, const struct verdict *v,
                  struct place place)
{
    bool is_first = command_is_own(k->kind) || !is_remembered(k->kind) ||
                    request_first(k, place.index, v);
    if (v->reason != REASON_OK || !is_modelled(k)) {
        return;
    }
    if (!is_first) {
        return; /* told again what was decided: the next compare sees an effect */
    }
    switch (k->kind) {
    case COMMAND_CREATE_SLOTS:
        for (size_t i = 0; i < SLOTS; i++) {
            c.slots[i] = SLOT_FREE;
        }
        c.created = SLOTS;
        break;
    case COMMAND_CREATE_HOLD:
        model_hold(k->identity.bytes[0], &v->holds[0]);
        break;
    case COMMAND_CONFIRM_HOLD:
    case COMMAND_DROP_HOLD:
    case COMMAND_CANCEL_RESERVATION:
    case COMMAND_RESCHEDULE:
        model_change(k, v, place.log_us);
        break;
    case COMMAND_EXPIRE_HOLD:
        model_expire(k, place.log_us, place.has_written);
        break;
    case COMMAND_RESTOCK:
    case COMMAND_RESTOCK_STEP:
        model_compare(s, true);
        break;
    default:
        break;
    }
}

/* -- what was applied, on every replica -------------------------------------------------------- */

static void see_effects(struct shard *s, uint64_t index, int64_t log_us)
{
    if (index > c.effects_count) {
        if (c.effects_count == c.effects_cap) {
            c.effects_cap = c.effects_cap ? c.effects_cap * 2 : 1024;
            c.effects = realloc(c.effects, c.effects_cap * sizeof *c.effects);
            c.log_us = realloc(c.log_us, c.effects_cap * sizeof *c.log_us);
        }
        int64_t before_us = c.effects_count ? c.log_us[c.effects_count - 1] : 0;
        log_us = log_us ? log_us : before_us;
        if (log_us - before_us > CITY_GAP_US) {
            c.gap_end_us = log_us;
        }
        if (log_us < before_us) {
            violate("log time went back");
        }
        c.effects[c.effects_count] = s->book.effects;
        c.log_us[c.effects_count++] = log_us;
        if (index % 16 == 0 && c.created && s->house) {
            model_compare(s, false);
        }
    } else if (c.effects[index - 1] != s->book.effects) {
        violate("replicas differ: same log, other state");
    }
}

/* -- answers ----------------------------------------------------------------------------------- */

/* What the log has of it; NULL: it was not decided there. */
static const struct request_seen *decided(const struct told *a)
{
    const struct request_seen *r = request_of(a->person, a->op);
    if (r->is_fresh || a->reason >= REASON_COUNT || is_forgotten((enum reason)a->reason) ||
        is_undecided((enum reason)a->reason)) {
        return NULL;
    }
    if (!r->is_some || r->verdict != a->verdict) {
        violate("an acknowledged answer is not what the log has");
        return NULL;
    }
    return r;
}

/* As it leaves the shard: on the disks of a majority of voters. */
static void see_answer(const struct node *n, const struct told *a)
{
    struct replica_member members[REPLICA_MEMBERS_MAX];
    size_t count = replica_members(n->replica, members), has = 0, voters = 0;
    const struct request_seen *r = decided(a);
    uint64_t hash = 0; /* the answers leave before the entry counts as applied */
    if (r) {
        hash = r->index <= w.truths_count ? w.truths[r->index - 1].hash
                                          : n->live.recs[r->index - 1].hash;
    }
    for (size_t i = 0; i < count && r; i++) {
        const struct mem_log *d = &w.nodes[members[i].id - 1].disk;
        bool is_voter = members[i].role == REPLICA_VOTER;
        voters += is_voter;
        has += is_voter && (d->base >= r->index ||
                            (r->index <= d->base + d->count &&
                             d->recs[r->index - 1].hash == hash));
    }
    if (r && has * 2 <= voters) {
        violate("an answer left before a majority had it on disk");
    }
}

/* As somebody hears it. */
static void hear_answer(const struct person *p, const struct told *a)
{
    c.acks++;
    const struct request_seen *r = decided(a);
    if (r && a->op == p->op && r->index <= p->invoked_after) {
        violate("real time: an answer from before the question");
    }
}

/* A read that is answered where a leader is known: nobody was told of anything newer before. */
static void see_read(const struct command *k, uint64_t index)
{
    uint32_t person = k->identity.bytes[0];
    if (k->kind == COMMAND_LIST_SLOTS && is_modelled(k) && person < PEOPLE &&
        DAY_ONE - k->from_us == c.people[person].op && index < c.people[person].invoked_after) {
        violate("real time: a read of what was before the question");
    }
}

#endif
