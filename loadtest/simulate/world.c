/* SPDX-License-Identifier: MIT */
/* The clock, the way to the shard, and its rounds.
 *   crowd -> half a round trip -> fair queue -> round: what the capacity allows -> ledger -> answer
 *   beside it: whatever the ledger has due (sealing, ranking, serving, expiries) at its instant
 * Owns: crowd, queue, ledger, book.  Fails: < 0 when memory or the book end.
 * Time jumps from one thing that is due to the next, so a day of draws costs what happens in it.
 * A request that waited longer than the scenario's timeout is dropped when its turn comes, as the
 * gateway drops it: a deadline drops work and never promotes it. */
#include "simulate/world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"

#define WORLD_BATCH   4096
#define WORLD_DUE     64
#define WORLD_AHEAD   64 /* calls whose records are asked for at once */
#define WORLD_ROUND_US 1000
#define WORLD_PER_CREATE 5000

struct identity world_identity(const struct world *w, uint32_t number)
{
    struct identity id;
    uint64_t bits[2] = {dice_at(w->seed ^ 0x6964, number, 0), dice_at(w->seed ^ 0x6964, number, 1)};
    memcpy(id.bytes, bits, sizeof id.bytes);
    return id;
}

struct slot_key world_slot(uint32_t number, char slug[8])
{
    uint32_t desk = number % WORLD_DESKS;
    slug[0] = 'd';
    slug[1] = (char)('0' + desk / 10);
    slug[2] = (char)('0' + desk % 10);
    return (struct slot_key){WORLD_SLOTS_US + (int64_t)(number / WORLD_DESKS) * WORLD_SLOT_US,
                             {(const uint8_t *)slug, 3}};
}

int world_apply(struct world *w, const struct command *command, struct verdict *ret_verdict)
{
    const struct ledger_touch *touches;
    arena_reset(&w->arena);
    w->commands++;
    int r = ledger_apply(w->ledger, command, ++w->log_index, 0, WORLD_OPEN_US + w->now_us,
                         &w->arena, ret_verdict);
    ledger_touched(w->ledger, &touches);
    return err_trace(r);
}

int world_settle(struct world *w)
{
    struct command due[WORLD_DUE];
    struct verdict v;
    size_t n;
    do {
        arena_reset(&w->due_arena);
        n = ledger_due(w->ledger, WORLD_OPEN_US + w->now_us, &w->due_arena, due, WORLD_DUE);
        for (size_t i = 0; i < n; i++) {
            if (due[i].kind == COMMAND_STEP_RELEASE) {
                foresee_step(w);
            }
            int r = world_apply(w, &due[i], &v);
            if (r) {
                return err_trace(r);
            }
            w->expired += due[i].kind == COMMAND_EXPIRE_HOLD && v.reason == REASON_OK;
        }
    } while (n > 0);
    return 0;
}

/* -- setting the stage ------------------------------------------------------------------------- */

static struct command world_operator(struct world *w, enum command_kind kind)
{
    struct command c = {.kind = kind, .roles = ROLE_OPERATOR, .assurance = ASSURANCE_HIGH,
                        .pool = span_of("city"), .body_hash = w->log_index + 1};
    memset(c.identity.bytes, 0xee, sizeof c.identity.bytes);
    memcpy(c.request_id.bytes, &c.body_hash, sizeof c.body_hash);
    return c;
}

static int world_must(struct world *w, const struct command *c)
{
    struct verdict v;
    int r = world_apply(w, c, &v);
    return r ? err_trace(r) : v.reason == REASON_OK ? 0 : err_origin(-EPROTO);
}

static int world_pool(struct world *w)
{
    const struct crowd_scenario *s = &w->scenario;
    struct pool_view pool = {.id = span_of("city"), .service_class = span_of("city"),
                             .time_zone = span_of("UTC"), .hold_ttl_us = (int64_t)s->accept_us,
                             .max_live = 1, .max_slots = 1, .max_changes = POOL_MAX_CHANGES,
                             .min_assurance = (enum assurance)s->assurance,
                             .scarce = s->mode != CROWD_FCFS,
                             .cool_down_us = s->mode == CROWD_FCFS ? 0 : DAY_US};
    struct command c = world_operator(w, COMMAND_CREATE_POOL);
    if (pool.hold_ttl_us > DAY_US) {
        pool.hold_ttl_us = DAY_US;
    }
    c.new_pool = &pool;
    return err_trace(world_must(w, &c));
}

static int world_slots(struct world *w)
{
    struct new_slot *slots = calloc(WORLD_PER_CREATE, sizeof *slots);
    char (*slugs)[8] = calloc(WORLD_PER_CREATE, sizeof *slugs);
    int r = slots && slugs ? 0 : err_origin(-ENOMEM);
    uint32_t all = (uint32_t)w->scenario.slots;
    for (uint32_t from = 0; r == 0 && from < all; from += WORLD_PER_CREATE) {
        struct command c = world_operator(w, COMMAND_CREATE_SLOTS);
        uint32_t n = all - from < WORLD_PER_CREATE ? all - from : WORLD_PER_CREATE;
        for (uint32_t i = 0; i < n; i++) {
            struct slot_key key = world_slot(from + i, slugs[i]);
            slots[i] = (struct new_slot){key.start_us, WORLD_SLOT_US, key.slug, span_of("Desk")};
        }
        c.new_slots = slots;
        c.new_slots_count = n;
        r = err_trace(world_must(w, &c));
    }
    free(slots);
    free(slugs);
    return r;
}

static int world_release(struct world *w)
{
    const struct crowd_scenario *s = &w->scenario;
    int64_t close = WORLD_OPEN_US + scenario_window_us(s);
    uint8_t secret[RELEASE_SECRET];
    struct release_policy policy = {
        .serving = s->by_turn ? RELEASE_BY_TURN : RELEASE_BY_PREFERENCE,
        .turn_us = s->by_turn ? (int64_t)s->accept_us : 0,
        .entry_open_us = WORLD_OPEN_US, .entry_close_us = close,
        .entry_grace_us = (int64_t)s->grace_us, .cohort_us = (int64_t)s->cohort_us,
        .accept_us = (int64_t)s->accept_us, .slots_from_us = WORLD_SLOTS_US,
        .slots_to_us = WORLD_SLOTS_US + (int64_t)(s->slots / WORLD_DESKS + 1) * WORLD_SLOT_US};
    struct release_words words = {.id = span_of("r"), .policy = &policy,
                                  .secret = {secret, sizeof secret}};
    for (size_t i = 0; i < sizeof secret; i += 8) {
        uint64_t bits = dice_at(w->seed, 0x736565, i);
        memcpy(secret + i, &bits, sizeof bits);
    }
    struct command c = world_operator(w, COMMAND_CREATE_RELEASE);
    c.release = &words;
    int r = world_must(w, &c);
    return r ? err_trace(r) : err_trace(world_settle(w));
}

/* false: no memory. */
static bool world_tapes(struct world *w)
{
    uint64_t replays = 0;
    for (uint32_t i = 0; i < w->scenario.populations_count; i++) {
        replays += w->scenario.populations[i].replay_permille;
    }
    w->tapes = replays ? calloc(w->scenario.clients_count, sizeof *w->tapes) : NULL;
    return !replays || w->tapes;
}

static int world_stage(struct world *w)
{
    w->now_us = -2 * DAY_US;
    int r = world_settle(w);
    r = r ? r : world_pool(w);
    if (r == 0 && w->scenario.mode != CROWD_FCFS) {
        r = world_slots(w);
        r = r ? r : world_release(w);
    }
    return err_trace(r);
}

int world_init(struct world *w, const struct crowd_scenario *scenario, uint64_t seed)
{
    uint32_t clients = scenario->clients_count;
    memset(w, 0, sizeof *w);
    w->scenario = *scenario;
    w->seed = seed;
    arena_init(&w->arena, 4 << 20);
    arena_init(&w->due_arena, 1 << 20);
    struct fairq_options options = {.weights = {8, 4, 2, 1}, .waiting_per_identity = WORLD_WAITING,
                                    .identities_max = scenario->identities_count + 1,
                                    .groups_max = CROWD_POPULATIONS_MAX};
    int r = simbook_init(&w->book);
    r = r ? r : fairq_new(&options, &w->queue);
    r = r ? r : ledger_new(&w->book.book, &w->ledger);
    r = r ? r : crowd_new(scenario, seed, 0, 1, &w->crowd);
    w->papers = calloc(clients, sizeof *w->papers);
    w->slot_owners = malloc(scenario->slots * sizeof *w->slot_owners);
    if (r == 0 && (w->papers == NULL || w->slot_owners == NULL || !world_tapes(w))) {
        r = err_origin(-ENOMEM);
    }
    if (r == 0) {
        memset(w->slot_owners, 0xff, scenario->slots * sizeof *w->slot_owners);
        r = world_stage(w);
    }
    return err_trace(r);
}

void world_fini(struct world *w)
{
    struct fairq_entry *out;
    while (w->queue && fairq_pull(w->queue, &out, 1) == 1) {
        free(out);
    }
    for (size_t i = 0; i < w->transit_count; i++) {
        free(w->transit[i]);
    }
    free(w->transit);
    free(w->papers);
    free(w->tapes);
    free(w->slot_owners);
    crowd_free(w->crowd);
    if (w->ledger) {
        ledger_free(w->ledger);
    }
    if (w->queue) {
        fairq_free(w->queue);
    }
    simbook_fini(&w->book);
    arena_fini(&w->arena);
    arena_fini(&w->due_arena);
}

/* -- on the way -------------------------------------------------------------------------------- */

static bool world_before(const struct world_call *a, const struct world_call *b)
{
    return a->arrives_us != b->arrives_us ? a->arrives_us < b->arrives_us
                                          : a->event.client < b->event.client;
}

static int world_send(struct world *w, const struct crowd_event *e)
{
    struct world_call *call = malloc(sizeof *call);
    if (w->transit_count == w->transit_size) {
        size_t size = w->transit_size ? 2 * w->transit_size : 1024;
        struct world_call **more = realloc(w->transit, size * sizeof *more);
        w->transit = more ? more : w->transit;
        w->transit_size = more ? size : w->transit_size;
    }
    if (call == NULL || w->transit_count == w->transit_size) {
        free(call);
        return err_origin(-ENOMEM);
    }
    *call = (struct world_call){.event = *e};
    call->arrives_us = e->at_us + crowd_client(w->crowd, e->client)->rtt_us / 2;
    size_t at = w->transit_count++;
    while (at > 0 && world_before(call, w->transit[(at - 1) / 2])) {
        w->transit[at] = w->transit[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    w->transit[at] = call;
    return 0;
}

static struct world_call *world_arrived(struct world *w)
{
    struct world_call *first = w->transit[0], *last = w->transit[--w->transit_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < w->transit_count &&
            world_before(w->transit[child + 1], w->transit[child])) {
            child++;
        }
        if (child >= w->transit_count || !world_before(w->transit[child], last)) {
            break;
        }
        w->transit[at] = w->transit[child];
        at = child;
    }
    w->transit[at] = last;
    return first;
}

/* The answer travels home; a slow reader takes it up later. */
static void world_answer(struct world *w, struct world_call *call, const struct crowd_say *say)
{
    const struct crowd_client *who = crowd_client(w->crowd, call->event.client);
    int64_t unread = (int64_t)w->scenario.populations[who->population].unread_us;
    crowd_answer(w->crowd, &call->event, w->now_us + who->rtt_us / 2 + unread, say);
    free(call);
}

static enum fairq_class world_class(enum crowd_act act)
{
    switch (act) {
    case CROWD_ACT_LIST:
        return FAIRQ_SEARCH;
    case CROWD_ACT_POLL:
        return FAIRQ_READ;
    case CROWD_ACT_CONFIRM:
    case CROWD_ACT_DROP:
    case CROWD_ACT_CANCEL:
        return FAIRQ_CONTROL;
    default:
        return FAIRQ_RESERVE;
    }
}

static void world_queue(struct world *w, struct world_call *call)
{
    const struct crowd_client *who = crowd_client(w->crowd, call->event.client);
    const struct crowd_population *p = &w->scenario.populations[who->population];
    struct fairq_place place = {.identity = world_identity(w, who->identity),
                                .is_grouped = p->assurance == CROWD_LOW};
    if (call->event.act == CROWD_ACT_CONNECT) {
        world_answer(w, call, &(struct crowd_say){.answer = CROWD_DONE});
        return;
    }
    place.group.bytes[0] = who->population;
    call->entry.class = world_class((enum crowd_act)call->event.act);
    if (fairq_push(w->queue, &place, &call->entry)) {
        world_answer(w, call, &(struct crowd_say){CROWD_REFUSED, 0, 500000});
    }
    size_t waiting = fairq_waiting(w->queue);
    w->queued_max = waiting > w->queued_max ? waiting : w->queued_max;
}

static int world_round(struct world *w)
{
    static struct fairq_entry *out[WORLD_BATCH];
    uint64_t capacity = w->scenario.capacity;
    size_t budget = capacity / 1000 ? capacity / 1000 : 1;
    budget = budget < WORLD_BATCH ? budget : WORLD_BATCH;
    size_t n = fairq_pull(w->queue, out, budget);
    for (size_t i = 0; i < n; i++) {
        if (i % WORLD_AHEAD == 0) {
            foresee_calls(w, out + i, n - i < WORLD_AHEAD ? n - i : WORLD_AHEAD);
        }
        struct world_call *call = (struct world_call *)(void *)out[i];
        struct crowd_say say = {.answer = CROWD_TIMED_OUT};
        if (w->now_us - call->arrives_us <= (int64_t)w->scenario.timeout_us) {
            int r = act_carry_out(w, &call->event, &say);
            if (r) {
                free(call);
                return err_trace(r);
            }
        }
        world_answer(w, call, &say);
    }
    w->round_us = w->now_us + (capacity >= 1000 ? WORLD_ROUND_US : SECOND_US / (int64_t)capacity);
    return 0;
}

/* -- time -------------------------------------------------------------------------------------- */

static int64_t world_due_us(const struct world *w)
{
    int64_t due = ledger_next_expiry_us(w->ledger);
    return due == INT64_MAX ? due : due < WORLD_OPEN_US + w->now_us ? w->now_us
                                                                    : due - WORLD_OPEN_US;
}

static int64_t world_next_us(const struct world *w)
{
    int64_t next = crowd_next_us(w->crowd), due = world_due_us(w);
    if (w->transit_count > 0 && w->transit[0]->arrives_us < next) {
        next = w->transit[0]->arrives_us;
    }
    if (fairq_waiting(w->queue) > 0 && w->round_us < next) {
        next = w->round_us;
    }
    if (!w->has_opened && w->scenario.mode == CROWD_FCFS && next > 0) {
        next = 0;
    }
    return due < next ? due : next;
}

static int world_step(struct world *w)
{
    struct crowd_event e;
    int r = 0;
    if (!w->has_opened && w->now_us >= 0) {
        w->has_opened = true;
        r = w->scenario.mode == CROWD_FCFS ? world_slots(w) : 0;
    }
    if (r == 0 && world_due_us(w) <= w->now_us) {
        r = world_settle(w);
    }
    foresee_soon(w);
    while (r == 0 && crowd_next(w->crowd, w->now_us, &e)) {
        r = world_send(w, &e);
    }
    while (w->transit_count > 0 && w->transit[0]->arrives_us <= w->now_us) {
        world_queue(w, world_arrived(w));
    }
    if (r == 0 && fairq_waiting(w->queue) > 0 && w->round_us <= w->now_us) {
        r = world_round(w);
    }
    return err_trace(r);
}

/* The day is over: what is still under way is taken back. */
static void world_close(struct world *w)
{
    const struct crowd_say say = {.answer = CROWD_CANCELLED};
    struct fairq_entry *out;
    while (w->transit_count > 0) {
        world_answer(w, world_arrived(w), &say);
    }
    while (fairq_pull(w->queue, &out, 1) == 1) {
        world_answer(w, (struct world_call *)(void *)out, &say);
    }
}

int world_run(struct world *w)
{
    int64_t end = scenario_window_us(&w->scenario) +
                  (int64_t)(w->scenario.grace_us + w->scenario.run_us + 2 * w->scenario.timeout_us);
    int r = 0;
    for (int64_t next; r == 0 && (next = world_next_us(w)) <= end;) {
        w->now_us = next > w->now_us ? next : w->now_us;
        r = world_step(w);
    }
    world_close(w);
    return err_trace(r);
}
