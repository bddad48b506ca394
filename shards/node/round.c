/* SPDX-License-Identifier: MIT */
/* What a round is made of, and the refusals that never reach the log.
 * Owns: the list of its commands and the bytes of its entry.  The batches are the intake's.
 * happy path: own commands packed, each item looked at once, its packed bytes noted as they came.
 * Refused here, in this order: what is past its deadline (dropping work, never promoting it), what
 * the state's rules do not know (an older replica could not read its entry), nodes that are none,
 * what writes without room (STORAGE_FULL: confirm, drop and cancel still pass in the reserve,
 * because they end something).  The shard's own kinds cannot come from outside: the codec refuses
 * them.
 * Fails: < 0 out of memory. */
#include "node/round.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"

#define COIN_US (60 * SECOND_US) /* between two throws of the coin */

#define ROUND_ARENA_MAX  (64 * 1024 * 1024)
#define ROUND_ARENA_KEPT (1024 * 1024)

int round_new(struct round **ret_round)
{
    struct round *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return err_origin(-ENOMEM);
    }
    list_init(&r->batches);
    arena_init(&r->arena, ROUND_ARENA_MAX);
    if (arena_alloc(&r->arena, ROUND_ARENA_KEPT) == NULL) {
        free(r);
        return err_origin(-ENOMEM);
    }
    arena_reset(&r->arena);
    *ret_round = r;
    return 0;
}

void round_free(struct round *r)
{
    if (r) {
        arena_fini(&r->arena);
        free(r);
    }
}

void round_reset(struct round *r)
{
    CHECK(list_empty(&r->batches));
    r->index = 0;
    r->has_entry = false;
    r->own_count = 0;
    r->commands_count = 0;
    arena_reset(&r->arena);
}

static bool round_ends_something(enum command_kind kind)
{
    return kind == COMMAND_CONFIRM_HOLD || kind == COMMAND_DROP_HOLD ||
           kind == COMMAND_CANCEL_RESERVATION;
}

static bool round_is_member(const struct round_gate *gate, uint64_t node)
{
    for (size_t i = 0; i < gate->members_count; i++) {
        if (gate->members[i].id == node) {
            return true;
        }
    }
    return false;
}

static struct intake_refusal round_look(const struct batch_item *item, int64_t arrival_us,
                                        const struct round_gate *gate)
{
    enum command_kind kind = item->command.kind;
    CHECK(!command_is_own(kind));
    if (gate->now_us - arrival_us >= (int64_t)item->deadline_ms * 1000) {
        return (struct intake_refusal){.reason = REASON_DEADLINE_EXCEEDED};
    }
    if (command_is_read(kind)) {
        return (struct intake_refusal){.reason = REASON_OK};
    }
    if (!ledger_knows(gate->ledger, &item->command)) {
        bool is_settled = gate->has_older || ledger_is_newest(gate->ledger);
        return (struct intake_refusal){.reason = is_settled ? REASON_METHOD_PLANNED
                                                            : REASON_RULES_UNSETTLED};
    }
    if (kind == COMMAND_MARK_NODE && !round_is_member(gate, item->command.number)) {
        return (struct intake_refusal){.reason = REASON_NODE_UNKNOWN};
    }
    if (gate->room == STORE_ROOM_NONE ||
        (gate->room == STORE_ROOM_RESERVE && !round_ends_something(kind))) {
        return (struct intake_refusal){.reason = REASON_STORAGE_FULL};
    }
    return (struct intake_refusal){.reason = REASON_OK};
}

void round_judge(struct round *r, const struct round_gate *gate)
{
    CHECK(r->commands_count == r->own_count);
    for (struct list *l = r->batches.next; l != &r->batches; l = l->next) {
        struct intake_batch *b = CONTAINER_OF(l, struct intake_batch, node);
        for (size_t i = 0; i < b->view.items_count; i++) {
            const struct batch_item *item = &b->view.items[i];
            b->refusals[i] = round_look(item, b->arrival_us, gate);
            if (b->refusals[i].reason == REASON_OK && !command_is_read(item->command.kind)) {
                CHECK(r->commands_count < ROUND_ITEMS_MAX);
                r->commands[r->commands_count++] = b->view.commands[i];
            }
        }
    }
}

static bool round_is_expiry(const struct command *c)
{
    return c->kind == COMMAND_EXPIRE_HOLD || c->kind == COMMAND_LAPSE;
}

int round_own(struct round *r, const struct ledger *ledger, bool sweep, int64_t now_us,
              int64_t *coin_at_us)
{
    CHECK(r->commands_count == 0);
    size_t count = ledger_due(ledger, r->log_time_us, &r->arena, r->own, ROUND_DUE_MAX);
    CHECK(count <= ROUND_DUE_MAX);
    while (r->spares_holds && count > 0 && round_is_expiry(&r->own[count - 1])) {
        count--; /* they come last */
    }
    if (sweep) {
        r->own[count++] = (struct command){.kind = COMMAND_SWEEP};
    }
    if (now_us >= *coin_at_us && ledger_wants_coin(ledger)) {
        /* Drawn here: the ledger has no random device. */
        *coin_at_us = now_us + COIN_US;
        uint8_t *random = arena_alloc(&r->arena, COIN_RANDOM);
        if (random == NULL) {
            return err_origin(-ENOMEM);
        }
        clock_random(random, COIN_RANDOM);
        r->own[count++] = (struct command){.kind = COMMAND_COIN, .random = {random, COIN_RANDOM}};
    }
    for (size_t i = 0; i < count; i++) {
        int s = codec_command_pack(&r->own[i], &r->arena, &r->commands[i]);
        if (s) {
            return err_fold(s);
        }
    }
    r->own_count = count;
    r->commands_count = count;
    return 0;
}

int round_add(struct round *r, const struct command *command)
{
    CHECK(r->commands_count == r->own_count);
    CHECK(r->own_count < ROUND_OWN_MAX);
    int s = codec_command_pack(command, &r->arena, &r->commands[r->commands_count]);
    if (s) {
        return err_fold(s);
    }
    r->own[r->own_count++] = *command;
    r->commands_count++;
    return 0;
}

int round_pack(struct round *r, struct span *ret_entry)
{
    return err_fold(codec_entry_pack(r->log_time_us, r->commands, r->commands_count, &r->arena,
                                     ret_entry));
}
