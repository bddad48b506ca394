/* SPDX-License-Identifier: MIT */
/* A shard replica of the city: the shipped writer over the shells of city_shells.h, a step at a
 * time; what the audit sees of it; its start, its crash at any boundary of its effects, its end. */
#ifndef FAIRSLOT_TESTS_SIM_CITY_SHARD_H
#define FAIRSLOT_TESTS_SIM_CITY_SHARD_H

#include "tests/sim/city_shells.h"

#define FUSE_MAX 8 /* effects before which a node may die in a step; behind all of them, if fewer */

/* -- what the writer calls of the ledger, looked at (the linker's --wrap) ---------------------- */

void __real_ledger_rules(struct ledger *l, uint32_t known);
int __wrap_ledger_apply(struct ledger *l, const struct command *command, uint64_t index,
                        uint32_t place, int64_t log_us, struct arena *arena,
                        struct verdict *ret_verdict);
void __wrap_ledger_rules(struct ledger *l, uint32_t known);

/* A program knows no newer rules than its own. */
void __wrap_ledger_rules(struct ledger *l, uint32_t known)
{
    uint32_t own = floor_of()->rules;
    __real_ledger_rules(l, known < own ? known : own);
}

static void see_raise(const struct shard *s, const struct command *command)
{
    if (command->version > s->rules) {
        violate("rules were raised that a replica does not know");
    }
    c.rules = (uint32_t)command->version > c.rules ? (uint32_t)command->version : c.rules;
}

int __wrap_ledger_apply(struct ledger *l, const struct command *command, uint64_t index,
                        uint32_t place, int64_t log_us, struct arena *arena,
                        struct verdict *ret_verdict)
{
    struct shard *s = floor_of();
    bool is_first = index > c.effects_count;
    uint64_t writes = s->book.writes;
    if (command_is_read(command->kind)) {
        if (replica_leader(here->replica)) { /* with none known, it says how old it is */
            see_read(command, index);
        }
        return __real_ledger_apply(l, command, index, place, log_us, arena, ret_verdict);
    }
#ifdef PLANT_CLOCK_IN_APPLY
    log_us = clock_wall_us() > log_us ? clock_wall_us() : log_us;
#endif
    if (command->kind == COMMAND_RAISE) {
        see_raise(s, command);
    }
    int r = __real_ledger_apply(l, command, index, place, log_us, arena, ret_verdict);
    if (r == 0 && is_first) {
        struct place at = {index, log_us, s->book.writes != writes};
        audit(s, command, ret_verdict, at);
    }
    return r;
}

/* -- begin and end ----------------------------------------------------------------------------- */

static int city_start(struct node *n)
{
    struct shard *s = shard_of(n);
    here = n;
    s->applied_us = n->applied ? c.log_us[n->applied - 1] : 0;
    s->fuse = 0;
    s->is_dead = false;
    s->room = STORE_ROOM_OK;
    n->is_ahead = !s->is_lost && is_ahead(n);
    s->house = house_open(n->id, w.first_count);
    s->next_ms = node_now_ms(n) + 1;
    return s->house == NULL;
}

/* Its process is gone: memory, and what was on its way to it. */
static void shard_end(struct node *n)
{
    struct shard *s = shard_of(n);
    struct peers_message *m;
    here = n;
    s->is_dead = true;
    house_close(s->house);
    while ((m = peers_take((struct peers *)(void *)n)) != NULL) {
        peers_done(m);
    }
    s->house = NULL;
    n->replica = NULL;
    n->is_up = false;
}

static void shard_crash(struct node *n)
{
    struct shard *s = shard_of(n);
    w.faults++;
    shard_end(n);
    book_crash(&s->book);
    if (s->is_damaged) { /* it is seen when it is opened again */
        store_lose_state((struct store *)n);
    }
    n->disk_state = DISK_GOOD;
    log_copy(&n->live, &n->disk, 0);
    n->clean = log_last(n);
    n->back_ms = w.now_ms + 1 + (int64_t)prng_below(&w.prng, 600);
    s->stall_ms = 0;
}

/* A commit of the log: the node may die before it, or in it, and then it is whole or not there. */
static void city_commits(struct node *n)
{
    struct shard *s = shard_of(n);
    bool was_dead = s->is_dead;
    if (!effect()) {
        n->disk_state = !was_dead && chance(w.mix.keep) ? DISK_FAILS_LATE : DISK_FAILS;
    }
}

static const struct hooks city_hooks = {city_start, city_commits};

/* -- an event ---------------------------------------------------------------------------------- */

static void shard_after(struct node *n)
{
    struct shard *s = shard_of(n);
    here = n;
    w.steps++;
    if (!w.is_healed && chance(w.mix.crash)) {
        s->fuse = 1 + (unsigned)prng_below(&w.prng, FUSE_MAX);
    }
    if (!w.is_healed && chance(c.mix.disk_fail)) {
        n->disk_state = chance(500) ? DISK_FAILS : DISK_FAILS_LATE;
    }
    int r = house_step(s->house);
    if (s->is_dead || s->fuse > 0 || n->disk_state != DISK_GOOD) {
        shard_crash(n); /* a failed fsync ends the process */
        return;
    }
    if (r) {
        violate(house_text(s->house));
        return;
    }
    see_leader(n);
    int64_t next_us = house_next_us(s->house), soon_ms = node_now_ms(n) + 1;
    s->next_ms = next_us / 1000 > soon_ms ? (next_us + 999) / 1000 : soon_ms;
    if (!w.is_healed && chance(c.mix.slow)) { /* the fsync took long; what it let go is gone */
        w.faults++;
        s->stall_ms = w.now_ms + 1 + (int64_t)prng_below(&w.prng, 80);
    }
}

#endif
