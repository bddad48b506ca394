/* SPDX-License-Identifier: MIT */
/* A shard replica of the city: rounds as the writer makes them, over replica, ledger and log time,
 * with a crash at any boundary of its effects. */
#ifndef FAIRSLOT_TESTS_SIM_CITY_SHARD_H
#define FAIRSLOT_TESTS_SIM_CITY_SHARD_H

#include "tests/sim/city_audit.h"

enum { CRASH_BEFORE_ROUND = 1, CRASH_IN_COMMIT, CRASH_AFTER_COMMIT, CRASH_AFTER_APPLY,
       CRASH_AFTER_SEND, CRASH_POINTS };

static int64_t wall_us(const struct shard *s)
{
    return EPOCH_US + w.now_ms * 1000 + s->skew_us;
}

static void shard_forget(struct shard *s)
{
    while (s->rounds_count > 0) {
        struct pending *p = &s->rounds[s->rounds_first];
        for (size_t i = 0; i < p->count - p->own; i++) {
            free(p->calls[i]);
        }
        s->rounds_first = (s->rounds_first + 1) % ROUNDS;
        s->rounds_count--;
    }
    while (s->inbox_count > 0) {
        free(s->inbox[--s->inbox_count]);
    }
    s->outs_count = 0;
}

/* -- hooks of the node ------------------------------------------------------------------------- */

static void city_started(struct node *n)
{
    struct shard *s = shard_of(n);
    shard_forget(s);
    book_crash(&s->book);
    ledger_free(s->ledger);
    s->ledger = NULL;
    if (ledger_new(&s->book.book, &s->ledger) != 0) {
        violate("a ledger did not start");
    }
    int64_t applied_us = n->applied ? c.log_us[n->applied - 1] : 0;
    logtime_init(&s->time, applied_us, applied_us ? applied_us : wall_us(s),
                 node_now_ms(n) * 1000);
    s->has_written = true;
    s->is_full = false;
}

static void city_flushed(struct node *n)
{
    book_flushed(&shard_of(n)->book);
}

static void city_installed(struct node *n, const struct node *from)
{
    struct shard *s = shard_of(n);
    book_copy(&s->book, &shard_of(from)->book);
#ifdef PLANT_SNAPSHOT_FORGETS /* never defined but by tests, as every PLANT_ here */
    uint8_t bytes[BOOK_KEY_MAX] = {0};
    struct span key, value, start = {bytes, 1};
    while (s->book.m.book.next(&s->book.m, start, true, &key, &value) == 0) {
        memcpy(bytes, key.ptr, key.len);
        start = (struct span){bytes, key.len};
        if (key.len > 16 && bytes[16] == 'R') {
            s->book.m.book.del(&s->book.m, start);
            break;
        }
    }
#endif
    ledger_free(s->ledger);
    s->ledger = NULL;
    if (ledger_new(&s->book.book, &s->ledger) != 0) {
        violate("a ledger did not start from a snapshot");
    }
    int64_t log_us = c.log_us[from->applied - 1];
    logtime_follow(&s->time, log_us > s->time.log_us ? log_us : s->time.log_us,
                   node_now_ms(n) * 1000);
}

static void shard_answer(struct shard *s, const struct inbox_call *call, struct told a)
{
    CHECK(s->outs_count < ARRAY_COUNT(s->outs));
    a.person = call->call.person;
    a.op = call->call.op;
    a.at = call->at;
    s->outs_gate[s->outs_count] = call->gate;
    s->outs_batch[s->outs_count] = call->batch;
    s->outs[s->outs_count++] = a;
}

static void answer_of(const struct verdict *v, uint64_t index, struct told *ret_a)
{
    *ret_a = (struct told){.reason = v->reason, .index = index, .verdict = verdict_hash(v)};
    if (v->result == RESULT_HOLD) {
        ret_a->owner = v->holds[0].owner;
        ret_a->number = v->holds[0].number;
    } else if (v->result == RESULT_RESERVATION) {
        ret_a->owner = v->reservations[0].owner;
        ret_a->number = v->reservations[0].number;
    }
}

/* The round whose entry this is; older ones were overtaken by another leader's: nobody is told. */
static struct pending *round_of(struct shard *s, uint64_t index, uint64_t term)
{
    while (s->rounds_count > 0) {
        struct pending *p = &s->rounds[s->rounds_first];
        if (p->index > index) {
            return NULL;
        }
        if (p->index == index && p->term == term) {
            return p;
        }
        for (size_t i = 0; i < p->count - p->own; i++) {
            free(p->calls[i]);
        }
        s->rounds_first = (s->rounds_first + 1) % ROUNDS;
        s->rounds_count--;
    }
    return NULL;
}

static void round_retire(struct shard *s, struct pending *p)
{
    for (size_t i = 0; i < p->count - p->own; i++) {
        free(p->calls[i]);
    }
    s->rounds_first = (s->rounds_first + 1) % ROUNDS;
    s->rounds_count--;
}

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
        if (log_us < before_us) {
            violate("log time went back");
        }
        c.effects[c.effects_count] = s->book.effects;
        c.log_us[c.effects_count++] = log_us;
        if (index % 16 == 0 && c.created) {
            model_compare(s, false);
        }
    } else if (c.effects[index - 1] != s->book.effects) {
        violate("replicas differ: same log, other state");
    }
}

static int64_t apply_time(const struct shard *s, int64_t log_us)
{
#ifdef PLANT_CLOCK_IN_APPLY
    return wall_us(s) > log_us ? wall_us(s) : log_us;
#endif
    (void)s;
    return log_us;
}

static void city_apply(struct node *n, uint64_t index, uint64_t term, struct span entry)
{
    struct shard *s = shard_of(n);
    struct pending *p = round_of(s, index, term);
    struct command *commands;
    int64_t log_us = 0;
    size_t count = 0;
    bool is_first = index > c.effects_count;
    arena_reset(&c.entries);
    if (entry.len > 0 && codec_entry_unpack(entry, &c.entries, &log_us, &commands, &count) != 0) {
        violate("an entry cannot be read");
        return;
    }
    for (size_t i = 0; i < count && !w.violation; i++) {
        struct verdict v = {0};
        uint64_t writes = s->book.writes;
        arena_reset(&c.verdicts);
        if (ledger_apply(s->ledger, &commands[i], index, (uint32_t)i, apply_time(s, log_us),
                         &c.verdicts, &v) != 0) {
            violate("the ledger failed");
            return;
        }
        if (is_first) {
            struct place place = {index, log_us, s->book.writes != writes};
            audit(s, &commands[i], &v, place);
        }
        if (p && i >= p->own) {
            struct told a;
            answer_of(&v, index, &a);
            shard_answer(s, p->calls[i - p->own], a);
        }
    }
    if (log_us > s->time.log_us || !replica_is_leader(n->replica)) { /* it follows */
        logtime_follow(&s->time, log_us > s->time.log_us ? log_us : s->time.log_us,
                       node_now_ms(n) * 1000);
    }
    see_effects(s, index, log_us);
    if (p) {
        round_retire(s, p);
    }
}

static const struct hooks city_hooks = {city_started, city_apply, city_flushed, city_installed};

/* -- a round ----------------------------------------------------------------------------------- */

static bool ends_something(enum command_kind kind)
{
    return kind == COMMAND_CONFIRM_HOLD || kind == COMMAND_DROP_HOLD ||
           kind == COMMAND_CANCEL_RESERVATION;
}

static void turn_away(struct node *n)
{
    struct shard *s = shard_of(n);
    for (size_t i = 0; i < s->inbox_count; i++) {
        shard_answer(s, s->inbox[i], (struct told){.reason = TURNED_AWAY,
                     .leader = (uint32_t)replica_leader(n->replica)});
        free(s->inbox[i]);
    }
    s->inbox_count = 0;
}

static size_t round_own(struct shard *s, int64_t log_us, struct span *commands)
{
    struct command own[BATCH * 4];
    size_t count = ledger_due(s->ledger, log_us, &s->arena, own, ARRAY_COUNT(own) - 1);
    if (s->has_written && log_us >= s->sweep_us) {
        own[count++] = (struct command){.kind = COMMAND_SWEEP};
        s->has_written = false;
        s->sweep_us = log_us + SECOND_US;
    }
    for (size_t i = 0; i < count; i++) {
        CHECK(codec_command_pack(&own[i], &s->arena, &commands[i]) == 0);
    }
    return count;
}

static void round_take(struct shard *s, struct pending *p, struct span *commands)
{
    size_t taken = 0;
    for (; taken < s->inbox_count && taken < INBOX / 2; taken++) {
        struct inbox_call *call = s->inbox[taken];
        if (s->is_full && !ends_something(call->call.kind)) {
            shard_answer(s, call, (struct told){.reason = REASON_STORAGE_FULL});
            free(call);
            continue;
        }
        p->calls[p->count - p->own] = call;
        commands[p->count++] = (struct span){call->call.bytes, call->call.len};
    }
    s->inbox_count -= taken;
    memmove(s->inbox, s->inbox + taken, s->inbox_count * sizeof s->inbox[0]);
}

static void shard_round(struct node *n)
{
    struct shard *s = shard_of(n);
    struct span commands[INBOX + BATCH * 4], entry;
    if (!replica_is_leader(n->replica)) {
        turn_away(n);
        return;
    }
    /* What older leaders left in the log must be applied before: their log time, their expiries. */
    if (s->rounds_count == ROUNDS || n->applied_term != replica_term(n->replica)) {
        return;
    }
    int64_t log_us = logtime_advance(&s->time, wall_us(s), node_now_ms(n) * 1000);
    struct pending *p = &s->rounds[(s->rounds_first + s->rounds_count) % ROUNDS];
    *p = (struct pending){.log_us = log_us, .term = replica_term(n->replica)};
    arena_reset(&s->arena);
    bool is_quiet = s->rounds_count == 0 && n->applied + 1 >= log_last(n);
    p->own = p->count = is_quiet && !s->is_full ? round_own(s, log_us, commands) : 0;
    round_take(s, p, commands);
    if (p->count == 0) {
        return;
    }
    s->has_written = s->has_written || p->count > p->own;
    CHECK(codec_entry_pack(log_us, commands, p->count, &s->arena, &entry) == 0);
    s->rounds_count++;
    if (replica_propose(n->replica, entry, &p->index) != 0) { /* on its way to hand over */
        s->rounds_count--;
        for (size_t i = 0; i < p->count - p->own; i++) {
            s->inbox[s->inbox_count++] = p->calls[i];
        }
        turn_away(n);
    }
}

/* -- an event ---------------------------------------------------------------------------------- */

static void shard_crash(struct node *n, bool keeps)
{
    struct shard *s = shard_of(n);
    w.faults++;
    shard_forget(s);
    if (keeps && n->disk_state == DISK_GOOD) {
        log_commit(n);
    }
    n->disk_state = DISK_GOOD;
    replica_free(n->replica);
    n->replica = NULL;
    n->is_up = false;
    log_copy(&n->live, &n->disk, 0);
    n->clean = log_last(n);
    n->back_ms = w.now_ms + 1 + (int64_t)prng_below(&w.prng, 600);
    s->stall_ms = 0;
}

static void shard_send(struct node *n)
{
    struct shard *s = shard_of(n);
    for (size_t i = 0; i < s->outs_count; i++) {
        if (s->outs[i].reason < REASON_COUNT && s->outs[i].index) {
            see_answer(&s->outs[i]);
        }
        uint32_t gate = s->outs_gate[i];
        struct {
            uint32_t batch;
            struct told answer;
        } out = {s->outs_batch[i], s->outs[i]};
        if (!c.gates[gate].is_cut[1][n->id]) {
            send_unsure(REPLY, n->id, gate, &out, sizeof out);
        }
    }
    s->outs_count = 0;
}

static void node_send(struct node *n);

static void shard_after(struct node *n)
{
    struct shard *s = shard_of(n);
    int point = 0;
    w.steps++;
    if (!w.is_healed && chance(w.mix.crash)) {
        point = 1 + (int)prng_below(&w.prng, CRASH_POINTS - 1);
    }
    if (!w.is_healed && chance(c.mix.disk_fail)) {
        n->disk_state = chance(500) ? DISK_FAILS : DISK_FAILS_LATE;
    }
    shard_round(n);
    if (point == CRASH_BEFORE_ROUND || point == CRASH_IN_COMMIT) {
        shard_crash(n, point == CRASH_IN_COMMIT && chance(w.mix.keep));
        return;
    }
    node_install(n);
    if (!n->is_up) {
        return;
    }
    if (replica_round(n->replica) || n->disk_state != DISK_GOOD) {
        shard_crash(n, false); /* a failed fsync ends the process */
        return;
    }
    see_leader(n);
    if (point == CRASH_AFTER_COMMIT) {
        shard_crash(n, false);
        return;
    }
    node_apply(n);
    if (point == CRASH_AFTER_APPLY) {
        shard_crash(n, false);
        return;
    }
    node_send(n);
    shard_send(n);
    if (point == CRASH_AFTER_SEND) {
        shard_crash(n, false);
        return;
    }
    if (!w.is_healed && chance(c.mix.slow)) { /* the fsync took long; what it let go is gone */
        w.faults++;
        s->stall_ms = w.now_ms + 1 + (int64_t)prng_below(&w.prng, 80);
    }
}

#endif
