/* SPDX-License-Identifier: MIT */
/* The crowd's clients and the queue of what they do next.
 *   crowd_new(): everybody's first event -> buckets of time -> heap -> crowd_next()
 * Owns: the clients (64 bytes each) and the queue (28 an event): the bucket that is due lies in a
 * small heap, by time, then client; later ones are lists that nobody has sorted yet.
 * Fails: crowd_new() alone, when memory ends; room for all events (crowd_room()) is taken there, so
 * nothing that comes back later can need more.
 * Invariants: what comes out has times that never go back, except behind an event that an answer
 * made for now; every event that comes out is counted as sent.
 * Not one heap: of ten million events each pop would miss the cache at every level. */
#include "crowd/crowd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/pages.h"
#include "crowd/crowd_inside.h"

const char *crowd_act_name(enum crowd_act act)
{
    static const char *const names[] = {
#define CROWD_ACT_NAME(name, label) label,
        CROWD_ACTS(CROWD_ACT_NAME)
#undef CROWD_ACT_NAME
    };
    CHECK(act < CROWD_ACT_COUNT);
    return names[act];
}

/* -- heap ------------------------------------------------------------------------------------ */

static bool crowd_before(const struct crowd_event *a, const struct crowd_event *b)
{
    if (a->at_us != b->at_us) {
        return a->at_us < b->at_us;
    }
    return a->client != b->client ? a->client < b->client : a->act < b->act;
}

static bool crowd_before_at(const struct crowd *c, uint32_t a, uint32_t b)
{
    return crowd_before(&c->events[a], &c->events[b]);
}

static void crowd_sift_up(struct crowd *c, uint32_t number)
{
    uint32_t at = c->heap_count++;
    while (at > 0 && crowd_before_at(c, number, c->heap[(at - 1) / 4])) {
        c->heap[at] = c->heap[(at - 1) / 4];
        at = (at - 1) / 4;
    }
    c->heap[at] = number;
}

/* The next bucket with something in it becomes the heap, when that is empty. */
static void crowd_refill(struct crowd *c)
{
    while (c->is_gathered && c->heap_count == 0 && c->bucket + 1 < c->buckets_count) {
        uint32_t link = c->buckets[++c->bucket];
        c->buckets[c->bucket] = 0;
        while (link) {
            struct crowd_event *e = &c->events[link - 1];
            __builtin_prefetch(crowd_at(c, e->client));
            crowd_sift_up(c, link - 1);
            link = e->link;
            e->link = 0;
        }
    }
}

void crowd_push(struct crowd *c, const struct crowd_event *event)
{
    if (event->at_us > c->end_us ||
        (c->events_free == 0 && c->events_used == c->events_capacity)) {
        return;
    }
    uint32_t number = c->events_free ? c->events_free - 1 : c->events_used++;
    c->events_free = c->events_free ? c->events[number].link : 0;
    c->events[number] = *event;
    c->events[number].link = 0;
    int64_t bucket = (event->at_us - c->start_us) / c->bucket_us;
    if (event->at_us < c->start_us || bucket <= (int64_t)c->bucket) {
        crowd_sift_up(c, number);
    } else {
        CHECK(bucket < c->buckets_count);
        c->events[number].link = c->buckets[bucket];
        c->buckets[bucket] = number + 1;
    }
    crowd_refill(c);
}

static void crowd_pop(struct crowd *c, struct crowd_event *ret_event)
{
    CHECK(c->heap_count > 0);
    uint32_t number = c->heap[0], last = c->heap[--c->heap_count], at = 0;
    *ret_event = c->events[number];
    c->events[number].link = c->events_free;
    c->events_free = number + 1;
    for (;;) {
        uint32_t first = 4 * at + 1, best = first;
        for (uint32_t i = first + 1; i < first + 4 && i < c->heap_count; i++) {
            best = crowd_before_at(c, c->heap[i], c->heap[best]) ? i : best;
        }
        if (first >= c->heap_count || !crowd_before_at(c, c->heap[best], last)) {
            break;
        }
        c->heap[at] = c->heap[best];
        at = best;
    }
    c->heap[at] = last;
    crowd_refill(c);
}

int64_t crowd_next_us(const struct crowd *c)
{
    return c->heap_count ? c->events[c->heap[0]].at_us : INT64_MAX;
}

size_t crowd_soon(const struct crowd *c, uint32_t *mark, uint32_t *clients, size_t max)
{
    size_t count = *mark == c->bucket ? 0 : c->heap_count < max ? c->heap_count : max;
    for (size_t i = 0; i < count; i++) {
        clients[i] = c->events[c->heap[i]].client;
    }
    *mark = c->bucket;
    return count;
}

bool crowd_next(struct crowd *c, int64_t until_us, struct crowd_event *ret_event)
{
    while (crowd_next_us(c) <= until_us && c->heap_count > 0) {
        struct crowd_event event;
        crowd_pop(c, &event);
        if (crowd_due(c, &event)) {
            c->tallies[event.population].sent++;
            c->tallies[event.population].replayed += event.is_replay;
            *ret_event = event;
            return true;
        }
    }
    return false;
}

/* -- life ------------------------------------------------------------------------------------ */

static void crowd_times(struct crowd *c)
{
    const struct crowd_scenario *s = &c->scenario;
    c->window_us = scenario_window_us(s);
    c->served_us = c->window_us + (int64_t)s->grace_us + 200000; /* sealed, drawn, served */
    c->end_us = c->window_us + (int64_t)(s->grace_us + s->run_us);
    /* A clock that ran for the days of a draw would be the whole run and change nothing. */
    c->clock_end_us = (int64_t)s->window_us;
    for (uint32_t k = 0; k < s->populations_count; k++) {
        int64_t early = -(int64_t)s->populations[k].early_us;
        c->start_us = early < c->start_us ? early : c->start_us;
    }
    c->bucket_us = (c->end_us - c->start_us) / c->buckets_count + 1;
}

static void crowd_gather(struct crowd *c)
{
    for (uint32_t k = 0; k < c->scenario.populations_count; k++) {
        const struct crowd_population *p = &c->scenario.populations[k];
        uint32_t count = (uint32_t)(p->identities * p->devices);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t number = p->first_client + i;
            if (number % c->parts != c->part) {
                continue;
            }
            *crowd_at(c, number) = (struct crowd_client){
                .decided_us = CROWD_NEVER_US, .won_us = CROWD_NEVER_US,
                .identity = p->first_identity + i / (uint32_t)p->devices,
                .tries = (uint16_t)p->tries, .population = (uint8_t)k, .state = CROWD_LOOKING};
            c->open_count++;
            c->tallies[k].arrived++;
            crowd_arrive(c, number);
        }
    }
}

/* Events that can wait at once: everybody's own, a clock's, and of those who reload or think again
 * one more; a quarter on top, since who does is drawn. */
static uint32_t crowd_room(const struct crowd *c)
{
    uint64_t room = 64;
    for (uint32_t k = 0; k < c->scenario.populations_count; k++) {
        const struct crowd_population *p = &c->scenario.populations[k];
        uint64_t clients = p->identities * p->devices / c->parts + 1;
        uint64_t more = clients * (p->reload_permille + p->change_permille) / 1000;
        room += clients * (1 + (p->interval_us > 0) + (p->replay_permille > 0)) + more;
    }
    return (uint32_t)(room + room / 4);
}

int crowd_new(const struct crowd_scenario *scenario, uint64_t seed, uint32_t part, uint32_t parts,
              struct crowd **ret_crowd)
{
    CHECK(part < parts);
    CHECK(scenario->clients_count > 0);
    struct crowd *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return err_origin(-ENOMEM);
    }
    c->scenario = *scenario;
    c->seed = seed;
    c->part = part;
    c->parts = parts;
    c->clients_count = scenario->clients_count / parts + 1;
    c->events_capacity = crowd_room(c);
    c->buckets_count = CROWD_BUCKETS_MIN;
    while (c->buckets_count < c->clients_count / CROWD_OF_BUCKET) {
        c->buckets_count *= 2;
    }
    c->clients = pages_new(c->clients_count, sizeof *c->clients);
    c->events = pages_new(c->events_capacity, sizeof *c->events);
    c->heap = pages_new(c->events_capacity, sizeof *c->heap);
    c->buckets = calloc(c->buckets_count, sizeof *c->buckets);
    if (c->clients == NULL || c->events == NULL || c->heap == NULL || c->buckets == NULL) {
        crowd_free(c);
        return err_origin(-ENOMEM);
    }
    crowd_times(c);
    crowd_gather(c);
    c->is_gathered = true;
    crowd_refill(c);
    *ret_crowd = c;
    return 0;
}

void crowd_free(struct crowd *c)
{
    if (c) {
        pages_free(c->clients, c->clients_count, sizeof *c->clients);
        pages_free(c->events, c->events_capacity, sizeof *c->events);
        pages_free(c->heap, c->events_capacity, sizeof *c->heap);
        free(c->buckets);
        free(c);
    }
}

const struct crowd_scenario *crowd_scenario(const struct crowd *c)
{
    return &c->scenario;
}

const struct crowd_client *crowd_client(const struct crowd *c, uint32_t client)
{
    CHECK(client % c->parts == c->part);
    CHECK(client / c->parts < c->clients_count);
    return &c->clients[client / c->parts];
}

const struct crowd_tally *crowd_tally(const struct crowd *c, uint32_t population)
{
    CHECK(population < c->scenario.populations_count);
    return &c->tallies[population];
}

uint32_t crowd_open_count(const struct crowd *c)
{
    return c->open_count + c->replays_count;
}

size_t crowd_bytes(const struct crowd *c)
{
    return sizeof *c + c->buckets_count * sizeof *c->buckets +
           c->clients_count * sizeof *c->clients +
           (size_t)c->events_capacity * (sizeof *c->events + sizeof *c->heap);
}
