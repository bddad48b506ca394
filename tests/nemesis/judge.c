/* SPDX-License-Identifier: MIT */
/* The checker: was everything that was acknowledged kept, once, in order, for one holder?
 * Owns: three sorted lists of indices into the case's lines; nothing of the case.
 *
 *   lines --by request--> requests: one answer each (I6), the first `ok` is its effect
 *   effects --by log index--> one pass: real time (I3), entitlements (I4)
 *   effects --by slot, version--> one pass: who holds it after each version (I1, I5), no version
 *                                 without a cause, the last one stands in the final state (I2)
 *   reads, things --looked up in the effects of their slot--> never stale (I9), all there (I2)
 *
 * A slot's version grows by one with every change of state, and every change has a request of these
 * people as its cause.  So versions that nobody was told of need as many requests whose outcome is
 * unknown, and everything else is a loss.  A request that never got an answer may or may not
 * have happened.  Slots that were given back stay returned: at most one hold in a slot's life.
 * A refusal needs a cause, too: nobody is told "taken" or "ended" of what nobody took or ended.
 *
 * Fails only for lack of memory: about 50 bytes for each line.  A case of 1.5 million lines takes
 * a second or two.  Not a general search for an order: the server says the order. */
#include "nemesis/judge.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define TELL_MAX 40

/* What is sorted by: beside the index, so that sorting does not jump about in the lines. */
struct judge_key {
    uint64_t a, b;
    uint32_t at; /* index of the line */
};

struct judge {
    const struct judge_case *c;
    struct judge_verdict *v;
    bool is_telling;
    struct judge_key *order; /* all mutations' lines, by request; then the effects by log index */
    size_t order_count;
    uint32_t *effects; /* by slot and version */
    size_t effects_count;
    uint32_t *first;   /* of each slot: where its effects begin; slots_count + 1 */
    uint32_t *maybe;   /* of each slot: requests of unknown outcome */
    int64_t *invoked;  /* of each line that is an effect: when its request was first sent */
    int32_t *live;     /* of each identity */
    size_t identities;
    const struct story_thing **things; /* by thing */
    uint64_t *loose;   /* things that an unsettled request may have ended, sorted */
    size_t loose_count;
};

static const struct story_line *judge_line(const struct judge *j, uint32_t at)
{
    return &j->c->lines[at];
}

static const struct story_line *judge_at(const struct judge *j, size_t place)
{
    return judge_line(j, j->order[place].at);
}

static void judge_complain(struct judge *j, enum judge_rule rule, const struct story_line *l)
{
    if (j->c->is_lame && j->c->lame == rule) {
        return;
    }
    enum judge_law law = judge_rule_law(rule);
    static const char *const ops[] = {"", "hold", "confirm", "drop", "cancel", "read"};
    char words[JUDGE_SAID];
    snprintf(words, sizeof words,
             "%s: slot %u version %u, %s by person %u (thing %016" PRIx64 ", log index %" PRIu64
             "): %s",
             judge_law_name(law), l->slot, l->version, ops[l->op], l->identity, l->thing,
             l->log_index, judge_rule_name(rule));
    if (j->is_telling && j->v->wrong_total < TELL_MAX) {
        printf("%s\n", words);
    }
    if (j->v->wrong[law] == 0) {
        memcpy(j->v->said[law], words, sizeof words);
    }
    j->v->wrong[law]++;
    j->v->wrong_total++;
}

static int judge_order(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int judge_by_key(const void *a, const void *b)
{
    const struct judge_key *x = a, *y = b;
    int r = judge_order(x->a, y->a);
    return r ? r : judge_order(x->b, y->b);
}

static uint64_t judge_place(const struct story_line *l)
{
    return (uint64_t)l->slot << 32 | l->version;
}

static int judge_by_thing(const void *a, const void *b)
{
    return judge_order((*(const struct story_thing *const *)a)->thing,
                       (*(const struct story_thing *const *)b)->thing);
}

static int judge_by_number(const void *a, const void *b)
{
    return judge_order(*(const uint64_t *)a, *(const uint64_t *)b);
}

static bool judge_is_loose(const struct judge *j, uint64_t thing)
{
    return bsearch(&thing, j->loose, j->loose_count, sizeof thing, judge_by_number) != NULL;
}

/* -- one request, one answer ------------------------------------------------------------------- */

/* lines order[from..to) are the attempts of one request; leaves its effect, if it had one. */
static void judge_request(struct judge *j, size_t from, size_t to)
{
    const struct story_line *ok = NULL, *refused = NULL, *head = judge_at(j, from);
    int64_t invoked = INT64_MAX;
    for (size_t i = from; i < to; i++) {
        const struct story_line *l = judge_at(j, i);
        invoked = l->invoke_us < invoked ? l->invoke_us : invoked;
        if (l->op != head->op || l->slot != head->slot || l->identity != head->identity) {
            judge_complain(j, RULE_OTHER_BODY, l);
        }
        if (l->outcome == STORY_OK && ok && l->answer != ok->answer) {
            judge_complain(j, RULE_OTHER_ANSWER, l);
        }
        if (l->outcome == STORY_OK && (ok == NULL || l->return_us < ok->return_us)) {
            ok = l; /* the first that came back */
        }
        if (l->outcome == STORY_REFUSED) {
            if (refused && refused->reason != l->reason) {
                judge_complain(j, RULE_OTHER_REASON, l);
            }
            refused = l;
        }
    }
    if (ok && refused) {
        judge_complain(j, RULE_DONE_AND_REFUSED, ok);
    }
    if (ok) {
        j->invoked[ok - j->c->lines] = invoked;
        j->effects[j->effects_count++] = (uint32_t)(ok - j->c->lines);
    } else if (refused) {
        j->v->refused++;
    } else {
        j->v->unsettled++;
        j->maybe[head->slot]++;
        if (head->thing) {
            j->loose[j->loose_count++] = head->thing;
        }
    }
}

static void judge_requests(struct judge *j)
{
    for (size_t i = 0; i < j->c->lines_count; i++) {
        const struct story_line *l = judge_line(j, (uint32_t)i);
        if (l->op == STORY_READ) {
            j->v->reads++;
        } else {
            j->order[j->order_count++] = (struct judge_key){l->request[0], l->request[1],
                                                            (uint32_t)i};
        }
    }
    qsort(j->order, j->order_count, sizeof *j->order, judge_by_key);
    for (size_t from = 0, to; from < j->order_count; from = to) {
        for (to = from + 1; to < j->order_count; to++) {
            if (judge_by_key(&j->order[from], &j->order[to]) != 0) {
                break;
            }
        }
        judge_request(j, from, to);
    }
    j->v->acknowledged = j->effects_count;
    qsort(j->loose, j->loose_count, sizeof *j->loose, judge_by_number);
}

/* -- one pass by log index --------------------------------------------------------------------- */

static bool judge_is_end(const struct story_line *l)
{
    return l->op == STORY_DROP || l->op == STORY_CANCEL;
}

static uint8_t judge_after(uint8_t op)
{
    static const uint8_t states[] = {[STORY_HOLD] = STORY_HELD,
                                     [STORY_CONFIRM] = STORY_TAKEN,
                                     [STORY_DROP] = STORY_RETURNED,
                                     [STORY_CANCEL] = STORY_RETURNED};
    return states[op];
}

/* What the answer itself says: its place in the log, and what it made of the slot. */
static void judge_answer(struct judge *j, const struct story_line *l)
{
    if (l->log_index == 0 || l->log_index > j->c->head->log_end) {
        judge_complain(j, RULE_NO_PLACE, l);
    }
    if (l->state != judge_after(l->op)) {
        judge_complain(j, RULE_OTHER_STATE, l);
    }
}

/* What surely lives.  Inside one entry ends are counted first: their order is not told. */
static void judge_lives(struct judge *j, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        const struct story_line *l = judge_at(j, i);
        if (judge_is_end(l) && !judge_is_loose(j, l->thing)) {
            j->live[l->identity]--; /* below 0: its beginning stands in the same entry */
        }
    }
    for (size_t i = from; i < to; i++) {
        const struct story_line *l = judge_at(j, i);
        if (l->op == STORY_HOLD && !judge_is_loose(j, l->thing) &&
            ++j->live[l->identity] > (int32_t)j->c->head->max_live) {
            judge_complain(j, RULE_ONE_MORE, l);
        }
    }
}

static void judge_by_log(struct judge *j)
{
    j->order_count = j->effects_count;
    for (size_t i = 0; i < j->effects_count; i++) {
        const struct story_line *l = judge_line(j, j->effects[i]);
        j->order[i] = (struct judge_key){l->log_index, judge_place(l), j->effects[i]};
    }
    qsort(j->order, j->order_count, sizeof *j->order, judge_by_key);
    int64_t latest_us = 0;
    for (size_t from = 0, to; from < j->order_count; from = to) {
        for (to = from; to < j->order_count && j->order[to].a == j->order[from].a; to++) {
            int64_t invoked = j->invoked[j->order[to].at];
            latest_us = invoked > latest_us ? invoked : latest_us;
        }
        for (size_t i = from; i < to; i++) {
            const struct story_line *l = judge_at(j, i);
            if (l->return_us < latest_us) {
                judge_complain(j, RULE_TOO_EARLY, l);
            }
            judge_answer(j, l);
        }
        judge_lives(j, from, to);
    }
}

/* -- one pass by slot and version -------------------------------------------------------------- */

/* May `l` come directly after `before` (NULL: nobody touched the slot)? */
static void judge_step(struct judge *j, const struct story_line *before, const struct story_line *l)
{
    uint8_t state = before ? judge_after(before->op) : STORY_FREE;
    uint8_t needed = l->op == STORY_HOLD     ? STORY_FREE
                     : l->op == STORY_CANCEL ? STORY_TAKEN
                                             : STORY_HELD;
    if (state == STORY_RETURNED && l->op != STORY_HOLD && before->thing == l->thing) {
        judge_complain(j, RULE_HAD_ENDED, l);
    } else if (state != needed) {
        judge_complain(j, RULE_WRONG_STATE, l);
    } else if (before && (before->identity != l->identity || before->thing != l->thing)) {
        judge_complain(j, RULE_OTHERS_SLOT, l);
    }
}

static void judge_slot(struct judge *j, uint32_t from, uint32_t to, const struct story_slot *s)
{
    uint32_t version = j->c->head->first_version, spare = j->maybe[s->slot];
    const struct story_line *before = NULL;
    for (uint32_t i = from; i < to; i++) {
        const struct story_line *l = judge_line(j, j->effects[i]);
        uint32_t gap = l->version - version - 1;
        if (l->version <= version) {
            judge_complain(j, RULE_VERSION_TWICE, l);
            continue;
        }
        if (gap > spare) {
            judge_complain(j, RULE_CHANGE_BEFORE, l);
        }
        spare -= gap > spare ? spare : gap;
        if (gap == 0) {
            judge_step(j, before, l);
        }
        if (before && l->log_index < before->log_index) {
            judge_complain(j, RULE_LOG_BACK, l);
        }
        version = l->version;
        before = l;
    }
    struct story_line untouched = {.slot = s->slot, .version = version};
    const struct story_line *last = before ? before : &untouched;
    uint8_t state = before ? judge_after(before->op) : STORY_FREE;
    if (s->version < version) {
        judge_complain(j, RULE_OLDER, last);
    } else if (s->version == version ? s->state != state : s->version - version > spare) {
        judge_complain(j, RULE_UNASKED_STATE, last);
    } else {
        j->v->present += to - from;
        return;
    }
    j->v->lost_slots++;
}

static void judge_slots(struct judge *j)
{
    for (size_t i = 0; i < j->effects_count; i++) {
        j->order[i] = (struct judge_key){judge_place(judge_line(j, j->effects[i])), 0,
                                         j->effects[i]};
    }
    qsort(j->order, j->effects_count, sizeof *j->order, judge_by_key);
    for (size_t i = 0; i < j->effects_count; i++) {
        j->effects[i] = j->order[i].at;
    }
    size_t at = 0;
    for (uint32_t slot = 0; slot < j->c->head->slots_count; slot++) {
        j->first[slot] = (uint32_t)at;
        while (at < j->effects_count && judge_line(j, j->effects[at])->slot == slot) {
            at++;
        }
    }
    j->first[j->c->head->slots_count] = (uint32_t)at;
    for (uint32_t slot = 0; slot < j->c->head->slots_count; slot++) {
        judge_slot(j, j->first[slot], j->first[slot + 1], &j->c->slots[slot]);
    }
}

/* -- things and reads -------------------------------------------------------------------------- */

static const struct story_thing *judge_thing(const struct judge *j, uint64_t thing)
{
    size_t low = 0, high = j->c->head->things_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (j->things[middle]->thing < thing) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < j->c->head->things_count && j->things[low]->thing == thing ? j->things[low] : NULL;
}

/* The last effect on each slot names what its holder should find. */
static void judge_holders(struct judge *j)
{
    for (uint32_t slot = 0; slot < j->c->head->slots_count; slot++) {
        if (j->first[slot] == j->first[slot + 1] || j->maybe[slot]) {
            continue;
        }
        const struct story_line *l = judge_line(j, j->effects[j->first[slot + 1] - 1]);
        const struct story_thing *t = judge_thing(j, l->thing);
        uint8_t state = judge_after(l->op);
        if (t == NULL && state != STORY_RETURNED) { /* what has ended may leave the lists */
            judge_complain(j, RULE_NOT_ON_LIST, l);
        } else if (t && (t->identity != l->identity || t->slot != slot)) {
            judge_complain(j, RULE_OTHERS_IN_END, l);
        } else if (t && state == STORY_RETURNED && t->state != STORY_RETURNED) {
            judge_complain(j, RULE_LIVES, l);
        } else if (t && t->state != state) {
            judge_complain(j, RULE_OTHER_ON_LIST, l);
        }
    }
}

/* Things that nobody was told of. */
static void judge_strangers(struct judge *j)
{
    for (size_t i = 0; i < j->c->head->things_count; i++) {
        const struct story_thing *t = j->things[i];
        bool is_known = t->slot >= j->c->head->slots_count || j->maybe[t->slot];
        for (uint32_t at = is_known ? 0 : j->first[t->slot];
             !is_known && at < j->first[t->slot + 1]; at++) {
            is_known = judge_line(j, j->effects[at])->thing == t->thing;
        }
        if (!is_known) {
            struct story_line l = {.slot = t->slot, .identity = t->identity, .thing = t->thing};
            judge_complain(j, RULE_UNTOLD, &l);
        }
    }
}

/* A read may not be older than what had been answered before it was asked, nor newer than what
 * had been asked before it was answered. */
static void judge_read(struct judge *j, const struct story_line *l)
{
    const struct story_line *same = NULL;
    for (uint32_t at = j->first[l->slot]; at < j->first[l->slot + 1]; at++) {
        const struct story_line *e = judge_line(j, j->effects[at]);
        if (e->version > l->version && e->return_us < l->invoke_us && e->thing == l->thing) {
            judge_complain(j, RULE_STALE_READ, l);
            return;
        }
        same = e->version == l->version ? e : same;
    }
    if (same == NULL ? j->maybe[l->slot] == 0
                     : j->invoked[same - j->c->lines] > l->return_us) {
        judge_complain(j, RULE_EARLY_READ, l);
    }
}

/* Told that a thing is not there, or has ended, though it surely lives.  Each person asks for one
 * thing at a time, so what was answered before is all that its asker did. */
static void judge_denied(struct judge *j, const struct story_line *l)
{
    const struct story_line *last = NULL;
    for (uint32_t at = j->first[l->slot]; at < j->first[l->slot + 1]; at++) {
        const struct story_line *e = judge_line(j, j->effects[at]);
        bool is_before = j->invoked[e - j->c->lines] < l->return_us;
        last = e->thing == l->thing && is_before ? e : last;
    }
    if (last == NULL || judge_is_end(last) || judge_is_loose(j, l->thing)) {
        return;
    }
    if (l->op == STORY_READ) {
        judge_complain(j, RULE_NOT_FOUND, l);
    } else {
        judge_complain(j, RULE_DENIED, l);
    }
}

/* Refused as taken: somebody must have asked for the slot by then. */
static void judge_taken(struct judge *j, const struct story_line *l)
{
    bool is_asked_for = j->maybe[l->slot] > 0;
    for (uint32_t at = j->first[l->slot]; at < j->first[l->slot + 1]; at++) {
        is_asked_for |= j->invoked[j->effects[at]] < l->return_us;
    }
    if (!is_asked_for) {
        judge_complain(j, RULE_TAKEN_BY_NOBODY, l);
    }
}

static bool judge_denies(const struct story_line *l)
{
    static const bool reasons[STORY_REASON_COUNT] = {
        [STORY_HOLD_EXPIRED] = true,        [STORY_HOLD_ENDED] = true,
        [STORY_HOLD_UNKNOWN] = true,        [STORY_RESERVATION_ENDED] = true,
        [STORY_RESERVATION_UNKNOWN] = true, [STORY_POOL_UNKNOWN] = true,
        [STORY_SLOT_UNKNOWN] = true,        [STORY_NOT_YOURS] = true,
    };
    return l->op == STORY_READ || (l->op != STORY_HOLD && reasons[l->reason % STORY_REASON_COUNT]);
}

/* Reads of one thing, in the order in which they were asked: none shows less than one that had
 * been answered before it was asked. */
static void judge_reads_back(struct judge *j)
{
    size_t count = 0;
    for (size_t i = 0; i < j->c->lines_count; i++) {
        const struct story_line *l = judge_line(j, (uint32_t)i);
        if (l->op == STORY_READ && l->outcome == STORY_OK) {
            j->order[count++] = (struct judge_key){l->thing, (uint64_t)l->invoke_us, (uint32_t)i};
        }
    }
    qsort(j->order, count, sizeof *j->order, judge_by_key);
    const struct story_line *latest = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct story_line *l = judge_at(j, i);
        if (latest == NULL || latest->thing != l->thing || l->version >= latest->version) {
            latest = l;
        } else if (latest->return_us < l->invoke_us) {
            judge_complain(j, RULE_READ_BACK, l);
        }
    }
}

static void judge_reads(struct judge *j)
{
    for (size_t i = 0; i < j->c->lines_count; i++) {
        const struct story_line *l = judge_line(j, (uint32_t)i);
        if (l->op == STORY_READ && l->outcome == STORY_OK) {
            judge_read(j, l);
        } else if (l->outcome == STORY_REFUSED && judge_denies(l)) {
            judge_denied(j, l);
        } else if (l->outcome == STORY_REFUSED && l->reason == STORY_SLOT_TAKEN) {
            judge_taken(j, l);
        }
    }
    judge_reads_back(j);
}

/* -- gaps -------------------------------------------------------------------------------------- */

static void judge_gap(struct judge *j, struct judge_gap gap)
{
    size_t at = JUDGE_GAPS;
    while (at > 0 &&
           gap.to_us - gap.from_us > j->v->gaps[at - 1].to_us - j->v->gaps[at - 1].from_us) {
        at--;
    }
    if (at < JUDGE_GAPS) {
        memmove(&j->v->gaps[at + 1], &j->v->gaps[at], (JUDGE_GAPS - 1 - at) * sizeof gap);
        j->v->gaps[at] = gap;
    }
}

static void judge_gaps(struct judge *j)
{
    for (size_t i = 0; i < j->effects_count; i++) {
        uint64_t return_us = (uint64_t)judge_line(j, j->effects[i])->return_us;
        j->order[i] = (struct judge_key){return_us, 0, 0};
    }
    qsort(j->order, j->effects_count, sizeof *j->order, judge_by_key);
    j->v->pulse_us = j->effects_count ? (int64_t)j->order[0].a : 0;
    for (size_t i = 0; i < j->effects_count; i++) {
        if (i > 0) {
            judge_gap(j, (struct judge_gap){(int64_t)j->order[i - 1].a, (int64_t)j->order[i].a});
        }
        size_t at = (j->order[i].a - j->order[0].a) / JUDGE_PULSE_US;
        if (at < JUDGE_PULSES) {
            j->v->pulse[at]++;
            j->v->pulse_count = at + 1;
        }
    }
}

static int judge_room(struct judge *j)
{
    const struct judge_case *c = j->c;
    for (size_t i = 0; i < c->lines_count; i++) {
        if (c->lines[i].slot >= c->head->slots_count) {
            return -EINVAL;
        }
        j->identities = c->lines[i].identity >= j->identities ? c->lines[i].identity + 1u
                                                              : j->identities;
    }
    j->order = calloc(c->lines_count + 1, sizeof *j->order);
    j->effects = calloc(c->lines_count + 1, sizeof *j->effects);
    j->invoked = calloc(c->lines_count + 1, sizeof *j->invoked);
    j->loose = calloc(c->lines_count + 1, sizeof *j->loose);
    j->first = calloc(c->head->slots_count + 1, sizeof *j->first);
    j->maybe = calloc(c->head->slots_count + 1, sizeof *j->maybe);
    j->live = calloc(j->identities + 1, sizeof *j->live);
    j->things = calloc(c->head->things_count + 1, sizeof *j->things);
    return j->order && j->effects && j->invoked && j->loose && j->first && j->maybe && j->live &&
                   j->things
               ? 0
               : -ENOMEM;
}

int judge_run(const struct judge_case *c, bool is_telling, struct judge_verdict *ret_verdict)
{
    *ret_verdict = (struct judge_verdict){0};
    struct judge j = {.c = c, .v = ret_verdict, .is_telling = is_telling};
    int r = judge_room(&j);
    if (r == 0) {
        for (size_t i = 0; i < c->head->things_count; i++) {
            j.things[i] = &c->things[i];
        }
        qsort(j.things, c->head->things_count, sizeof(void *), judge_by_thing);
        judge_requests(&j);
        judge_by_log(&j);
        judge_slots(&j);
        judge_holders(&j);
        judge_strangers(&j);
        judge_reads(&j);
        judge_gaps(&j);
    }
    free(j.order);
    free(j.effects);
    free(j.invoked);
    free(j.loose);
    free(j.first);
    free(j.maybe);
    free(j.live);
    free(j.things);
    return r;
}
