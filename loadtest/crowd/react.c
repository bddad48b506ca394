/* SPDX-License-Identifier: MIT */
/* What a client does next, from what it was told.
 *   first come:  LIST -> choose -> HOLD -> CONFIRM
 *   else:        TICKET -> wait -> POLL -> (turn: LIST -> HOLD) -> CONFIRM, or standby, or nothing
 * People read and think between steps; programs ask at once, and by a clock whatever comes back.
 * What kinds differ in is numbers of their population (scenario_keys.c), not branches here.
 * Owns: nothing.  Fails: never; an answer that fits no state changes nothing.
 * Invariants: each random number is the client's own, counted; one chain of POLLs a client; an
 * answer to a clock's request starts no chain; who holds something ends by its CONFIRM or DROP
 * alone, though what it asked before is answered later; who has a reservation has won. */
#include "base/check.h"
#include "crowd/crowd_inside.h"

#define REACT_POLL_US  500000   /* between looks at a ticket, doubled each time up to 64 s */
#define REACT_LIST_EVERY 8      /* a program that aims looks at the list now and then */

static uint64_t react_dice(struct crowd *c, uint32_t client)
{
    return dice_at(c->seed, client, crowd_at(c, client)->draws++);
}

uint64_t crowd_draw(struct crowd *c, uint32_t client)
{
    return react_dice(c, client);
}

static bool react_chance(struct crowd *c, uint32_t client, uint64_t permille)
{
    return permille > 0 && dice_below(react_dice(c, client), 1000) < permille;
}

static int64_t react_think(struct crowd *c, uint32_t client)
{
    const struct crowd_population *p = crowd_population(c, crowd_at(c, client));
    return (int64_t)(p->think_us ? dice_lognormal(react_dice(c, client), p->think_us, 500) : 0);
}

/* Half to one and a half of `us`. */
static int64_t react_about(struct crowd *c, uint32_t client, int64_t us)
{
    return us / 2 + (int64_t)dice_below(react_dice(c, client), (uint64_t)us + 1);
}

static void react_push(struct crowd *c, uint32_t client, enum crowd_act act, int64_t at_us)
{
    const struct crowd_client *who = crowd_at(c, client);
    crowd_push(c, &(struct crowd_event){.at_us = at_us, .client = client, .slot = who->slot,
                                        .act = (uint8_t)act, .population = who->population});
}

/* -- coming ---------------------------------------------------------------------------------- */

static enum crowd_act react_first_act(const struct crowd *c, const struct crowd_population *p)
{
    if (c->scenario.mode != CROWD_FCFS) {
        return CROWD_ACT_TICKET;
    }
    return crowd_is_program(p) ? CROWD_ACT_HOLD : CROWD_ACT_LIST;
}

void crowd_arrive(struct crowd *c, uint32_t client)
{
    struct crowd_client *who = crowd_at(c, client);
    const struct crowd_population *p = crowd_population(c, who);
    uint64_t spread = p->spread_us;
    if (spread == 0 && c->scenario.mode == CROWD_DRAW && !crowd_is_program(p)) {
        spread = c->scenario.draw_window_us; /* nobody hurries for a draw */
    }
    uint64_t bits = react_dice(c, client);
    who->first_us = (int64_t)(spread ? dice_below(bits, spread)
                                     : dice_lognormal(bits, p->reaction_us, p->sigma_milli));
    who->rtt_us = (uint32_t)dice_lognormal(react_dice(c, client), p->rtt_us, 500);
    who->slot = (uint32_t)dice_below(react_dice(c, client), c->scenario.slots);
    who->is_late = who->first_us > c->window_us;
    react_push(c, client, p->scan_permille == 1000 ? CROWD_ACT_LIST : react_first_act(c, p),
               who->first_us);
    if (p->interval_us) {
        int64_t phase = (int64_t)dice_below(react_dice(c, client), p->interval_us);
        int64_t tick = crowd_is_program(p) ? phase - (int64_t)p->early_us
                                           : who->first_us + (int64_t)p->interval_us;
        who->is_clocked = 1;
        crowd_push(c, &(struct crowd_event){.at_us = tick, .client = client, .is_tick = 1,
                                            .act = CROWD_ACT_COUNT,
                                            .population = who->population});
    }
}

/* -- due ------------------------------------------------------------------------------------- */

/* The clock: the next tick, whatever this one is good for. */
static bool react_tick(struct crowd *c, struct crowd_event *e)
{
    struct crowd_client *who = crowd_at(c, e->client);
    const struct crowd_population *p = crowd_population(c, who);
    if (!crowd_is_open(who) || e->at_us > c->clock_end_us) {
        return false;
    }
    struct crowd_event next = *e;
    next.at_us += (int64_t)p->interval_us;
    crowd_push(c, &next);
    if (who->state == CROWD_HOLDING) {
        return false;
    }
    e->act = (uint8_t)react_first_act(c, p);
    if (react_chance(c, e->client, p->scan_permille)) {
        e->act = CROWD_ACT_LIST;
    } else if (who->state != CROWD_LOOKING && !crowd_is_program(p) && who->has_entered) {
        e->act = CROWD_ACT_POLL;
    } else if (e->act == CROWD_ACT_HOLD) {
        who->slot = (uint32_t)((who->slot + 1) % c->scenario.slots);
        e->slot = who->slot;
    }
    return true;
}

bool crowd_due(struct crowd *c, struct crowd_event *e)
{
    const struct crowd_client *who = crowd_at(c, e->client);
    if (e->is_tick) {
        return react_tick(c, e);
    }
    if (e->is_replay) { /* whatever became of whom it was recorded from */
        CHECK(c->replays_count > 0);
        c->replays_count--;
        crowd_at(c, e->client)->has_replay = 0;
        return true;
    }
    switch ((enum crowd_act)e->act) {
    case CROWD_ACT_LIST:
    case CROWD_ACT_TICKET:
    case CROWD_ACT_HOLD:
    case CROWD_ACT_POLL:
    case CROWD_ACT_CONNECT:
        return crowd_is_open(who) && who->state != CROWD_HOLDING;
    case CROWD_ACT_WISHES:
        return who->state == CROWD_ENTERED;
    case CROWD_ACT_CONFIRM:
    case CROWD_ACT_DROP:
        return who->state == CROWD_HOLDING;
    case CROWD_ACT_CANCEL:
        return who->state == CROWD_WON;
    case CROWD_ACT_COUNT:
        break;
    }
    return false;
}

/* -- deciding -------------------------------------------------------------------------------- */

static void react_decide(struct crowd *c, struct crowd_client *who, int64_t now_us)
{
    if (who->decided_us == CROWD_NEVER_US) {
        who->decided_us = now_us;
        c->tallies[who->population].decided++;
    }
}

static void react_end(struct crowd *c, struct crowd_client *who, enum crowd_state state,
                      int64_t now_us)
{
    if (crowd_is_open(who)) {
        react_decide(c, who, now_us);
        who->state = (uint8_t)state;
        CHECK(c->open_count > 0);
        c->open_count--;
    }
}

/* It gave up, and then what it asked for before is granted: nobody leaves that lying. */
static void react_reopen(struct crowd *c, struct crowd_client *who)
{
    if (who->state == CROWD_LOST) {
        who->state = CROWD_LOOKING;
        c->open_count++;
    }
}

static void react_waste(struct crowd *c, struct crowd_client *who)
{
    who->is_waste = 1;
    c->tallies[who->population].wasted++;
}

/* Has a hold: confirm it, give it back, or sit on it. */
static void react_held(struct crowd *c, uint32_t client, int64_t now_us)
{
    struct crowd_client *who = crowd_at(c, client);
    const struct crowd_population *p = crowd_population(c, who);
    bool is_known = who->state == CROWD_WON || who->state == CROWD_HOLDING;
    if (is_known || (who->state == CROWD_LOST && who->is_waste)) {
        return; /* on its other device, or by its clock; or it sits on it */
    }
    react_reopen(c, who);
    react_decide(c, who, now_us);
    who->state = CROWD_HOLDING;
    who->holds++;
    c->tallies[who->population].holds++;
    if (react_chance(c, client, p->abandon_permille)) {
        react_waste(c, who);
        react_end(c, who, CROWD_LOST, now_us);
        return;
    }
    bool is_drop = react_chance(c, client, p->drop_permille);
    react_push(c, client, is_drop ? CROWD_ACT_DROP : CROWD_ACT_CONFIRM,
               now_us + react_think(c, client));
}

static void react_won(struct crowd *c, uint32_t client, int64_t now_us)
{
    struct crowd_client *who = crowd_at(c, client);
    const struct crowd_population *p = crowd_population(c, who);
    react_reopen(c, who);
    if (who->state == CROWD_WON) {
        return;
    }
    react_end(c, who, CROWD_WON, now_us);
    who->won_us = now_us;
    c->tallies[who->population].won++;
    if (react_chance(c, client, p->cancel_permille)) {
        react_push(c, client, CROWD_ACT_CANCEL, now_us + (int64_t)p->cancel_after_us);
    }
}

/* Cancelled to book the same slot for a paying client: at once, in the next name. */
static void react_cancelled(struct crowd *c, uint32_t client, int64_t now_us)
{
    struct crowd_client *who = crowd_at(c, client);
    const struct crowd_population *p = crowd_population(c, who);
    if (who->state != CROWD_WON) {
        return;
    }
    react_waste(c, who);
    who->won_us = CROWD_NEVER_US;
    who->state = CROWD_LOOKING;
    who->has_entered = 0;
    c->open_count++;
    who->identity = p->first_identity +
                    (who->identity - p->first_identity + 1) % (uint32_t)p->identities;
    react_push(c, client, react_first_act(c, p), now_us);
}

/* Once more, or never again. */
static void react_again(struct crowd *c, const struct crowd_event *e, enum crowd_act act,
                        int64_t now_us, int64_t wait_us)
{
    struct crowd_client *who = crowd_at(c, e->client);
    const struct crowd_population *p = crowd_population(c, who);
    if (e->is_tick || !crowd_is_open(who)) {
        return; /* the clock asks again anyway */
    }
    if (who->state == CROWD_HOLDING && act != CROWD_ACT_CONFIRM && act != CROWD_ACT_DROP) {
        return; /* it has what it wanted */
    }
    if (who->tries == 0) {
        react_end(c, who, CROWD_LOST, now_us);
        return;
    }
    who->tries--;
    int64_t wait = react_about(c, e->client, (int64_t)p->retry_us);
    react_push(c, e->client, act, now_us + (wait > wait_us || crowd_is_program(p) ? wait
                                                                                  : wait_us));
}

/* -- answers --------------------------------------------------------------------------------- */

static void react_poll_later(struct crowd *c, uint32_t client, int64_t now_us)
{
    struct crowd_client *who = crowd_at(c, client);
    int64_t from = now_us < c->served_us ? c->served_us : now_us;
    int64_t wait = (int64_t)REACT_POLL_US << (who->polls < 7 ? who->polls : 7);
    if (c->scenario.mode == CROWD_DRAW && who->polls == 0) {
        wait = (int64_t)c->scenario.accept_us / 4 + 1; /* a message came: within the hours */
    }
    if (c->scenario.by_turn && wait > (int64_t)c->scenario.accept_us / 2) {
        wait = (int64_t)c->scenario.accept_us / 2 + 1; /* nobody sleeps a turn out */
    }
    who->polls += who->polls < 7;
    react_push(c, client, CROWD_ACT_POLL,
               from + (int64_t)dice_below(react_dice(c, client), (uint64_t)wait));
}

/* Has a place: waits for the order, may think again, may look from another device. */
static void react_entered(struct crowd *c, const struct crowd_event *e, int64_t now_us)
{
    struct crowd_client *who = crowd_at(c, e->client);
    const struct crowd_population *p = crowd_population(c, who);
    if (who->state == CROWD_LOOKING) {
        who->state = CROWD_ENTERED;
        who->has_entered = 1;
        who->polls = 0;
        c->tallies[who->population].entered++;
        react_poll_later(c, e->client, now_us);
        int64_t left = c->window_us - now_us;
        if (left > 0 && !who->has_changed && react_chance(c, e->client, p->change_permille)) {
            who->has_changed = 1;
            react_push(c, e->client, CROWD_ACT_WISHES,
                       now_us + (int64_t)dice_below(react_dice(c, e->client), (uint64_t)left));
        }
        if (left > 0 && !who->has_reloaded && react_chance(c, e->client, p->reload_permille)) {
            who->has_reloaded = 1;
            react_push(c, e->client, CROWD_ACT_CONNECT,
                       now_us + (int64_t)dice_below(react_dice(c, e->client), (uint64_t)left));
        }
    } else if (e->act == CROWD_ACT_POLL && !e->is_tick) {
        react_poll_later(c, e->client, now_us);
    }
}

/* Behind the last slot: looks again while it has patience. */
static void react_standby(struct crowd *c, const struct crowd_event *e, int64_t now_us)
{
    struct crowd_client *who = crowd_at(c, e->client);
    if (!crowd_is_open(who) || who->state == CROWD_HOLDING) {
        return;
    }
    react_decide(c, who, now_us);
    who->state = CROWD_WAITS;
    int64_t wait = (int64_t)c->scenario.accept_us / 2;
    wait = wait < 5000000 ? 5000000 : wait;
    if (e->is_tick) {
        return;
    }
    if (who->tries == 0 || now_us + wait > c->end_us) {
        react_end(c, who, CROWD_LOST, now_us);
        return;
    }
    who->tries--;
    react_push(c, e->client, CROWD_ACT_POLL, now_us + react_about(c, e->client, wait));
}

/* A slot to try: told by the list, or the next one that a program aims at. */
static void react_listed(struct crowd *c, const struct crowd_event *e, int64_t now_us,
                         uint32_t slot)
{
    struct crowd_client *who = crowd_at(c, e->client);
    bool may_hold = c->scenario.mode == CROWD_FCFS || who->state == CROWD_CHOOSING;
    if (e->is_tick || !crowd_is_open(who) || who->state == CROWD_HOLDING) {
        return;
    }
    if (!may_hold) { /* a scanner: now it knows, and enters like everybody */
        if (who->state == CROWD_LOOKING) {
            react_push(c, e->client, CROWD_ACT_TICKET, now_us);
        }
        return;
    }
    who->slot = slot;
    react_push(c, e->client, CROWD_ACT_HOLD, now_us + react_think(c, e->client));
}

static void react_taken(struct crowd *c, const struct crowd_event *e, int64_t now_us)
{
    struct crowd_client *who = crowd_at(c, e->client);
    const struct crowd_population *p = crowd_population(c, who);
    bool is_blind = crowd_is_program(p) && who->tries % REACT_LIST_EVERY != 0;
    who->slot = (uint32_t)((who->slot + 1) % c->scenario.slots);
    react_again(c, e, is_blind ? CROWD_ACT_HOLD : CROWD_ACT_LIST, now_us, 0);
}

/* Sold out.  People look again, programs know what that means. */
static void react_nothing(struct crowd *c, const struct crowd_event *e, int64_t now_us)
{
    struct crowd_client *who = crowd_at(c, e->client);
    if (crowd_is_program(crowd_population(c, who)) && who->state != CROWD_HOLDING) {
        react_end(c, who, CROWD_LOST, now_us);
    } else {
        react_again(c, e, CROWD_ACT_LIST, now_us, 0);
    }
}

static void react_count(struct crowd_tally *t, const struct crowd_event *e, enum crowd_answer a)
{
    switch (a) {
    case CROWD_TIMED_OUT:
        t->timed_out++;
        break;
    case CROWD_CANCELLED:
        t->cancelled++;
        break;
    case CROWD_TAKEN:
    case CROWD_REFUSED:
    case CROWD_FORBIDDEN:
    case CROWD_CUT_OFF:
        t->refused++;
        break;
    case CROWD_OVER:
        *(e->act == CROWD_ACT_POLL ? &t->answered : &t->refused) += 1;
        break;
    default:
        t->answered++;
        break;
    }
}

static void react_done(struct crowd *c, const struct crowd_event *e, int64_t now_us)
{
    struct crowd_client *who = crowd_at(c, e->client);
    if (e->act == CROWD_ACT_CANCEL) {
        react_cancelled(c, e->client, now_us);
    } else if (e->act == CROWD_ACT_DROP && who->state == CROWD_HOLDING) {
        react_waste(c, who);
        react_end(c, who, CROWD_LOST, now_us);
    } else if (e->act == CROWD_ACT_CONNECT && who->state == CROWD_ENTERED) {
        react_push(c, e->client, CROWD_ACT_TICKET, now_us); /* asks for the place it has */
    }
}

/* Whose turn it is chooses, or nobody is there. */
static void react_turn(struct crowd *c, const struct crowd_event *e, int64_t now_us)
{
    struct crowd_client *who = crowd_at(c, e->client);
    react_decide(c, who, now_us);
    if (!crowd_is_open(who) || who->state == CROWD_HOLDING || e->is_tick) {
        return;
    }
    if (react_chance(c, e->client, crowd_population(c, who)->absent_permille)) {
        c->tallies[who->population].passed++;
        react_end(c, who, CROWD_LOST, now_us);
        return;
    }
    who->state = CROWD_CHOOSING;
    react_push(c, e->client, CROWD_ACT_LIST, now_us + react_think(c, e->client));
}

/* What was carried out may be sent once more, by whoever recorded it. */
static void react_record(struct crowd *c, const struct crowd_event *e, int64_t now_us,
                         enum crowd_answer answer)
{
    struct crowd_client *who = crowd_at(c, e->client);
    const struct crowd_population *p = crowd_population(c, who);
    bool is_change = (e->act == CROWD_ACT_TICKET && answer == CROWD_WAITING) ||
                     (e->act == CROWD_ACT_HOLD && answer == CROWD_HELD) ||
                     (e->act == CROWD_ACT_CONFIRM && answer == CROWD_CONFIRMED) ||
                     ((e->act == CROWD_ACT_DROP || e->act == CROWD_ACT_CANCEL) &&
                      answer == CROWD_DONE);
    if (!is_change || who->has_replay || !react_chance(c, e->client, p->replay_permille)) {
        return;
    }
    int64_t at_us = now_us + react_about(c, e->client, (int64_t)p->retry_us);
    if (at_us <= c->end_us) {
        who->has_replay = 1;
        c->replays_count++;
        crowd_push(c, &(struct crowd_event){.at_us = at_us, .client = e->client, .slot = e->slot,
                                            .act = e->act, .is_replay = 1,
                                            .population = e->population});
    }
}

/* Is this no none at all?  Of a ticket that it has already a late request says nothing; of a
 * reservation that could not be cancelled neither; and who holds a slot learns from what it asked
 * before only that it may not have a second one. */
static bool react_is_moot(const struct crowd_client *who, const struct crowd_event *e)
{
    bool is_paper = e->act == CROWD_ACT_CONFIRM || e->act == CROWD_ACT_DROP;
    return e->act == CROWD_ACT_CANCEL || e->act == CROWD_ACT_WISHES ||
           (e->act == CROWD_ACT_TICKET && who->has_entered) ||
           (who->state == CROWD_HOLDING && !is_paper);
}

/* A no, or no answer: what is tried again. */
static void react_no(struct crowd *c, const struct crowd_event *e, int64_t now_us,
                     const struct crowd_say *say)
{
    struct crowd_client *who = crowd_at(c, e->client);
    switch (say->answer) {
    case CROWD_TAKEN:
        react_taken(c, e, now_us);
        break;
    case CROWD_OVER:
    case CROWD_FORBIDDEN:
        c->tallies[who->population].too_late += say->answer == CROWD_OVER &&
                                                e->act == CROWD_ACT_CONFIRM;
        if (!react_is_moot(who, e)) {
            react_end(c, who, CROWD_LOST, now_us);
        }
        break;
    default:
        if (e->act != CROWD_ACT_WISHES && e->act != CROWD_ACT_CONNECT &&
            e->act != CROWD_ACT_CANCEL && !(e->act == CROWD_ACT_TICKET && who->has_entered)) {
            react_again(c, e, (enum crowd_act)e->act, now_us, say->retry_after_us);
        }
        break;
    }
}

void crowd_answer(struct crowd *c, const struct crowd_event *event, int64_t now_us,
                  const struct crowd_say *say)
{
    struct crowd_client *who = crowd_at(c, event->client);
    CHECK(say->answer < CROWD_ANSWER_COUNT);
    CHECK(event->act < CROWD_ACT_COUNT);
    react_count(&c->tallies[who->population], event, say->answer);
    if (event->is_replay) {
        return; /* it says nothing new to anybody */
    }
    react_record(c, event, now_us, say->answer);
    switch (say->answer) {
    case CROWD_DONE:
        react_done(c, event, now_us);
        break;
    case CROWD_LISTED:
        react_listed(c, event, now_us, say->slot);
        break;
    case CROWD_NOTHING:
        if (c->scenario.mode == CROWD_FCFS) {
            react_decide(c, who, now_us);
            react_nothing(c, event, now_us);
        } else {
            react_listed(c, event, now_us, who->slot);
        }
        break;
    case CROWD_WAITING:
        react_entered(c, event, now_us);
        break;
    case CROWD_TURN:
        react_turn(c, event, now_us);
        break;
    case CROWD_OFFERED:
    case CROWD_HELD:
        react_held(c, event->client, now_us);
        break;
    case CROWD_CONFIRMED:
        react_won(c, event->client, now_us);
        break;
    case CROWD_STANDBY:
        react_standby(c, event, now_us);
        break;
    default:
        react_no(c, event, now_us, say);
        break;
    }
}
