/* SPDX-License-Identifier: MIT */
/* Operator's calls over ctl/session: what stands before the doors open, and the audit behind.
 *   pool -> slots -> release -> its manifest stands -> names of all slots
 * Owns: the session.  Fails with an exit code, told by the session. */
#include "flood/stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "ctl/refusal.h"
#include "ctl/session.h"
#include "ctl/talk.h"
#include "fairslot/admin/v1/cluster.pb-c.h"
#include "fairslot/admin/v1/pools.pb-c.h"
#include "fairslot/v1/services.pb-c.h"
#include "ctl/import.h"
#include "flood/check.h"
#include "flood/probe.h"

#define STAGE_SLOT_S   900
#define STAGE_BATCH    500
#define STAGE_DESKS    10
#define STAGE_READY_US 30000000 /* for the manifest */

struct stage {
    struct session *session;
    const char *token_file; /* the operator's */
};

int stage_open(const struct options_call *call, struct stage **ret_stage)
{
    struct stage *s = calloc(1, sizeof *s);
    CHECK(s != NULL);
    s->token_file = call->token_file;
    int r = session_open(call, &s->session);
    if (r) {
        free(s);
        return r;
    }
    *ret_stage = s;
    return 0;
}

void stage_close(struct stage *s)
{
    if (s) {
        session_close(s->session);
        free(s);
    }
}

static int stage_pool(struct stage *s, const struct plan *plan)
{
    Fairslot__Admin__V1__CreatePoolRequest q = FAIRSLOT__ADMIN__V1__CREATE_POOL_REQUEST__INIT;
    Fairslot__V1__Pool pool = FAIRSLOT__V1__POOL__INIT, *made;
    char request_id[VALUE_UUID_MAX];
    session_request_id(request_id);
    pool.display_name = "Flood";
    pool.scarce = true;
    pool.max_live_per_identity = 1;
    pool.min_assurance = (Fairslot__V1__Assurance)plan->scenario.assurance;
    q.pool_id = (char *)plan->pool + strlen("pools/");
    q.pool = &pool;
    q.request_id = request_id;
    struct session_call call = {"/fairslot.admin.v1.PoolAdminService/CreatePool", &q.base,
                                &fairslot__v1__pool__descriptor};
    int r = session_call(s->session, &call, &made);
    session_free(r ? NULL : made);
    return r;
}

/* One batch: slots number first .. first + count - 1, ten desks side by side, or out of a file. */
static int stage_batch(struct stage *s, const struct plan *plan, int64_t start_s, uint32_t first,
                       uint32_t count)
{
    static Fairslot__V1__Slot slots[STAGE_BATCH], *list[STAGE_BATCH];
    static Google__Protobuf__Timestamp starts[STAGE_BATCH];
    static char desks[STAGE_DESKS][16];
    static Google__Protobuf__Duration lengths[STAGE_BATCH];
    Fairslot__Admin__V1__BatchCreateSlotsRequest q =
        FAIRSLOT__ADMIN__V1__BATCH_CREATE_SLOTS_REQUEST__INIT;
    Fairslot__Admin__V1__BatchCreateSlotsResponse *made;
    char request_id[VALUE_UUID_MAX];
    session_request_id(request_id);
    CHECK(count <= STAGE_BATCH);
    for (uint32_t i = 0; i < count; i++) {
        const struct import *given = plan->slots_given;
        uint32_t n = first + i, desk = n % STAGE_DESKS;
        snprintf(desks[desk], sizeof desks[desk], "Desk %u", desk + 1);
        google__protobuf__timestamp__init(&starts[i]);
        google__protobuf__duration__init(&lengths[i]);
        starts[i].seconds = given ? given->slots[n].start_s
                                  : start_s + (int64_t)(n / STAGE_DESKS) * STAGE_SLOT_S;
        lengths[i].seconds = given ? given->slots[n].duration_s : STAGE_SLOT_S;
        fairslot__v1__slot__init(&slots[i]);
        slots[i].start_time = &starts[i];
        slots[i].duration = &lengths[i];
        slots[i].desk = given ? (char *)given->slots[n].desk : desks[desk];
        list[i] = &slots[i];
    }
    q.parent = (char *)plan->pool;
    q.slots = list;
    q.n_slots = count;
    q.request_id = request_id;
    struct session_call call = {"/fairslot.admin.v1.PoolAdminService/BatchCreateSlots", &q.base,
                                &fairslot__admin__v1__batch_create_slots_response__descriptor};
    int r = session_call(s->session, &call, &made);
    session_free(r ? NULL : made);
    return r;
}

static void stage_time(Google__Protobuf__Timestamp *t, int64_t us)
{
    google__protobuf__timestamp__init(t);
    t->seconds = us / SECOND_US;
    t->nanos = (int32_t)(us % SECOND_US * 1000);
}

static void stage_length(Google__Protobuf__Duration *d, uint64_t us)
{
    d->seconds = (int64_t)(us / SECOND_US);
    d->nanos = (int32_t)(us % SECOND_US * 1000);
}

static int stage_release(struct stage *s, struct plan *plan, int64_t first_s, int64_t last_s)
{
    Fairslot__Admin__V1__CreateReleaseRequest q = FAIRSLOT__ADMIN__V1__CREATE_RELEASE_REQUEST__INIT;
    Fairslot__V1__Release release = FAIRSLOT__V1__RELEASE__INIT, *made;
    Google__Protobuf__Timestamp open, close, first, last;
    Google__Protobuf__Duration grace = GOOGLE__PROTOBUF__DURATION__INIT, cohort = grace,
                               accept = grace;
    char request_id[VALUE_UUID_MAX];
    session_request_id(request_id);
    stage_time(&open, plan->opens_wall_us);
    stage_time(&close, plan->opens_wall_us + plan->window_us);
    stage_time(&first, first_s * SECOND_US);
    stage_time(&last, last_s * SECOND_US);
    stage_length(&grace, plan->scenario.grace_us);
    stage_length(&cohort, plan->scenario.cohort_us);
    stage_length(&accept, plan->accept_us);
    release.entry_open_time = &open;
    release.entry_close_time = &close;
    release.slots_start_time = &first;
    release.slots_end_time = &last;
    release.serving = FAIRSLOT__V1__RELEASE__SERVING__SERVING_FIRST_COME;
    if (plan->scenario.mode != CROWD_FCFS) {
        release.serving = plan->scenario.by_turn
                              ? FAIRSLOT__V1__RELEASE__SERVING__SERVING_BY_TURN
                              : FAIRSLOT__V1__RELEASE__SERVING__SERVING_BY_PREFERENCE;
        release.turn_length = plan->scenario.by_turn ? &accept : NULL;
        release.entry_grace = &grace;
        release.accept_length = &accept;
        release.cohort_length = plan->scenario.cohort_us ? &cohort : NULL;
    }
    q.parent = plan->pool;
    q.release_id = strrchr(plan->release, '/') + 1;
    q.release = &release;
    q.request_id = request_id;
    struct session_call call = {"/fairslot.admin.v1.ReleaseAdminService/CreateRelease", &q.base,
                                &fairslot__v1__release__descriptor};
    int r = session_call(s->session, &call, &made);
    session_free(r ? NULL : made);
    return r;
}

/* Its manifest stands: from now on it opens by itself. */
static int stage_wait(struct stage *s, const struct plan *plan)
{
    Fairslot__V1__GetReleaseRequest q = FAIRSLOT__V1__GET_RELEASE_REQUEST__INIT;
    int64_t until_us = clock_mono_us() + STAGE_READY_US;
    q.name = (char *)plan->release;
    struct session_call call = {"/fairslot.v1.CatalogService/GetRelease", &q.base,
                                &fairslot__v1__release__descriptor};
    while (clock_mono_us() < until_us) {
        Fairslot__V1__Release *release;
        int r = session_call(s->session, &call, &release);
        if (r) {
            return r;
        }
        bool is_ready = release->manifest_sha256.len > 0;
        session_free(release);
        if (is_ready) {
            return 0;
        }
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    talk_error("the release %s has no manifest after 30 s", plan->release);
    return VERB_FAILED;
}

/* Calls `each` for every slot of the pool. */
typedef int stage_each(void *user, const Fairslot__V1__Slot *slot);
static int stage_slots(struct stage *s, const struct plan *plan, stage_each *each, void *user)
{
    char token[256] = "";
    do {
        Fairslot__V1__ListSlotsRequest q = FAIRSLOT__V1__LIST_SLOTS_REQUEST__INIT;
        Fairslot__V1__ListSlotsResponse *page;
        q.parent = (char *)plan->pool;
        q.page_size = 1000;
        q.page_token = token;
        struct session_call call = {"/fairslot.v1.CatalogService/ListSlots", &q.base,
                                    &fairslot__v1__list_slots_response__descriptor};
        int r = session_call(s->session, &call, &page);
        if (r) {
            return r;
        }
        for (size_t i = 0; i < page->n_slots && r == 0; i++) {
            r = each(user, page->slots[i]);
        }
        snprintf(token, sizeof token, "%s", page->next_page_token);
        session_free(page);
        if (r) {
            return r;
        }
    } while (*token);
    return 0;
}

static int stage_keep(void *user, const Fairslot__V1__Slot *slot)
{
    struct plan *plan = user;
    plan->slots = realloc(plan->slots, (plan->slots_count + 1) * sizeof *plan->slots);
    CHECK(plan->slots != NULL);
    plan->slots[plan->slots_count] = strdup(slot->name);
    CHECK(plan->slots[plan->slots_count++] != NULL);
    return 0;
}

static int stage_by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int stage_set(struct stage *s, struct plan *plan, int64_t lead_us)
{
    uint32_t slots = (uint32_t)plan->scenario.slots;
    int64_t begin_us = clock_wall_us();
    int64_t start_s = (begin_us / DAY_US + 2) * 86400 + 9 * 3600;
    int64_t end_s = start_s + (int64_t)(slots / STAGE_DESKS + 1) * STAGE_SLOT_S;
    if (plan->slots_given) { /* by start */
        start_s = plan->slots_given->slots[0].start_s;
        end_s = plan->slots_given->slots[slots - 1].start_s + 1;
    }
    int r = stage_pool(s, plan);
    for (uint32_t at = 0; at < slots && r == 0; at += STAGE_BATCH) {
        r = stage_batch(s, plan, start_s, at, slots - at < STAGE_BATCH ? slots - at : STAGE_BATCH);
    }
    plan->opens_wall_us = clock_wall_us() + lead_us;
    plan->opens_mono_us = clock_mono_us() + lead_us;
    r = r ? r : stage_release(s, plan, start_s, end_s);
    r = r ? r : stage_wait(s, plan);
    plan->slots_count = 0;
    r = r ? r : stage_slots(s, plan, stage_keep, plan);
    if (r == 0) {
        qsort(plan->slots, plan->slots_count, sizeof *plan->slots, stage_by_name);
    }
    return r;
}

void stage_free_slots(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->slots_count; i++) {
        free(plan->slots[i]);
    }
    free(plan->slots);
    plan->slots = NULL;
    plan->slots_count = 0;
}

/* -- the audit -------------------------------------------------------------------------------- */

struct stage_audit {
    const struct plan *plan;
    struct audit *audit;
    uint8_t *claims; /* by slot: how many clients say that it is theirs */
    uint8_t *states; /* by slot, as the gateway says */
    uint8_t *wins;   /* by identity: its reservations; 2: two or more */
};

uint32_t stage_slot_index(const struct plan *plan, const char *name)
{
    char **at = bsearch(&name, plan->slots, plan->slots_count, sizeof *plan->slots, stage_by_name);
    return at ? (uint32_t)(at - plan->slots) : UINT32_MAX;
}

/* A reservation that a client was told of, as the shard has it. */
static int stage_audit_one(struct stage *s, struct stage_audit *a, const struct client *who)
{
    char name[192];
    Fairslot__V1__GetReservationRequest q = FAIRSLOT__V1__GET_RESERVATION_REQUEST__INIT;
    Fairslot__V1__Reservation *found;
    struct refusal refusal;
    snprintf(name, sizeof name, "%s/reservations/%s", a->plan->pool, who->paper);
    q.name = name;
    struct session_call call = {"/fairslot.v1.ReservationService/GetReservation", &q.base,
                                &fairslot__v1__reservation__descriptor};
    int r = session_try(s->session, &call, &found, &refusal);
    a->audit->reservations++;
    if (r) {
        a->audit->lost++;
        return refusal.status == 5 ? 0 : r;
    }
    bool is_there = found->state == FAIRSLOT__V1__RESERVATION__STATE__STATE_CONFIRMED;
    a->audit->lost += !is_there;
    a->audit->double_won += is_there && a->wins[who->identity] == 1;
    a->wins[who->identity] = is_there && a->wins[who->identity] < 2
                                 ? a->wins[who->identity] + 1 : a->wins[who->identity];
    for (size_t i = 0; i < found->n_slots && is_there; i++) {
        uint32_t slot = stage_slot_index(a->plan, found->slots[i]->name);
        if (slot == UINT32_MAX) {
            a->audit->lost++;
        } else if (a->claims[slot]++ > 0) {
            a->audit->double_booked++;
        }
    }
    session_free(found);
    return 0;
}

static int stage_audit_slot(void *user, const Fairslot__V1__Slot *slot)
{
    struct stage_audit *a = user;
    uint32_t index = stage_slot_index(a->plan, slot->name);
    bool is_taken = slot->state == FAIRSLOT__V1__SLOT__STATE__STATE_TAKEN;
    a->audit->slots++;
    a->audit->free += slot->state == FAIRSLOT__V1__SLOT__STATE__STATE_FREE;
    a->audit->held += slot->state == FAIRSLOT__V1__SLOT__STATE__STATE_HELD;
    a->audit->taken += is_taken;
    if (index != UINT32_MAX) {
        a->states[index] = (uint8_t)slot->state;
        a->audit->unheard += is_taken && a->claims[index] == 0;
        a->audit->lost += !is_taken && a->claims[index] > 0;
    }
    return 0;
}

/* All tickets of the release, in every cohort. */
static int stage_count_tickets(struct stage *s, const struct plan *plan, uint64_t *ret_count)
{
    char token[256] = "";
    *ret_count = 0;
    do {
        Fairslot__Admin__V1__ListReleaseTicketsRequest q =
            FAIRSLOT__ADMIN__V1__LIST_RELEASE_TICKETS_REQUEST__INIT;
        Fairslot__Admin__V1__ListReleaseTicketsResponse *page;
        q.parent = (char *)plan->release;
        q.page_size = 1000;
        q.page_token = token;
        struct session_call call = {
            "/fairslot.admin.v1.ReleaseAdminService/ListReleaseTickets", &q.base,
            &fairslot__admin__v1__list_release_tickets_response__descriptor};
        int r = session_call(s->session, &call, &page);
        if (r) {
            return r;
        }
        *ret_count += page->n_rows;
        snprintf(token, sizeof token, "%s", page->next_page_token);
        session_free(page);
    } while (*token);
    return 0;
}

/* No identity has two places: there are no more tickets than people who were told of theirs. */
static int stage_audit_tickets(struct stage *s, const struct plan *plan, struct audit *audit)
{
    uint64_t told = 0;
    int r = plan->scenario.mode == CROWD_FCFS ? 0 : stage_count_tickets(s, plan, &audit->tickets);
    for (uint32_t i = 0; i < plan->scenario.identities_count; i++) {
        told += plan->told[i];
    }
    audit->extra_tickets = audit->tickets > told ? audit->tickets - told : 0;
    return r;
}

int stage_audit(struct stage *s, const struct plan *plan, struct audit *ret_audit)
{
    struct stage_audit a = {.plan = plan, .audit = ret_audit,
                            .claims = calloc(plan->slots_count + 1, 1),
                            .states = calloc(plan->slots_count + 1, 1),
                            .wins = calloc(plan->scenario.identities_count + 1, 1)};
    int r = 0;
    CHECK(a.claims != NULL && a.states != NULL && a.wins != NULL);
    *ret_audit = (struct audit){0};
    for (uint32_t i = 0; i < plan->scenario.clients_count && r == 0; i++) {
        if (plan_has_won(&plan->clients[i])) {
            r = stage_audit_one(s, &a, &plan->clients[i]);
        }
    }
    r = r ? r : stage_slots(s, plan, stage_audit_slot, &a);
    r = r ? r : probe_shards(plan, a.states, ret_audit);
    r = r ? r : stage_audit_tickets(s, plan, ret_audit);
    r = r ? r : check_again(plan, ret_audit);
    r = r ? r : check_order(plan, s->token_file, ret_audit);
    ret_audit->other = ret_audit->slots - ret_audit->free - ret_audit->held - ret_audit->taken;
    ret_audit->oversold = ret_audit->reservations > ret_audit->slots
                              ? ret_audit->reservations - ret_audit->slots : 0;
    ret_audit->is_done = r == 0;
    free(a.claims);
    free(a.states);
    free(a.wins);
    return r;
}
