/* SPDX-License-Identifier: MIT */
/* Before the people come: pools and slots.  After they have gone: how everything stands, read over
 * the API, slots as the operator, holds and reservations as each person.
 * Owns: nothing that outlives a call.  One call after the other (in the end STAGE_READERS at a
 * time, each a process of its own), each asked again until it is answered, for STAGE_SECONDS at
 * most: the faults are over by then, or have not begun. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/refusal.h"
#include "nemesis/people.h"
#include "proto/codec.h"

#define STAGE_SLOTS   1000 /* of one BatchCreateSlots */
#define STAGE_PAGE    1000
#define STAGE_SECONDS 60
#define STAGE_READERS 8 /* at a time, of what people have in the end */

/* One call as somebody; its answer, owned by the caller, or NULL with the refusal. */
struct stage_call {
    struct person asker;
    ProtobufCMessage *answer;
    const ProtobufCMessageDescriptor *type;
    struct refusal refusal;
    bool is_over;
};

static void stage_message(void *user, struct wire_request *request, struct span message)
{
    (void)user;
    struct stage_call *s = wire_request_user(request);
    s->answer = protobuf_c_message_unpack(s->type, NULL, message.len, message.ptr);
}

static void stage_finish(void *user, struct wire_request *request, int status, struct span text,
                         struct span details)
{
    (void)user;
    struct stage_call *s = wire_request_user(request);
    refusal_read(&s->refusal, status, text, details);
    s->is_over = true;
}

static const struct wire_client_ops stage_ops = {.on_message = stage_message,
                                                 .on_finish = stage_finish};

static bool stage_may_pass(int status)
{
    return status == 14 || status == 4 || status == 8 || status == 1;
}

static void stage_once(struct people *g, struct stage_call *s, const char *bearer,
                       const char *path, struct span packed)
{
    struct loop_conn *c = &g->stage.conns[0];
    struct wire_request *request;
    struct span auth = {(const uint8_t *)bearer, strlen(bearer)};
    s->is_over = false;
    s->refusal.status = 14;
    for (size_t i = 0; i < g->targets_count && c->fd < 0; i++) {
        loop_reopen(c, g->targets[i], &stage_ops);
    }
    if (c->fd < 0 ||
        wire_client_call(c->client, path, auth, 10 * SECOND_US, packed, s, &request) != 0) {
        return;
    }
    loop_touch(c);
    for (int64_t until = clock_mono_us() + 12 * SECOND_US;
         !s->is_over && clock_mono_us() < until && loop_step(&g->stage, 50) == 0;) {
    }
    if (!s->is_over) {
        wire_request_cancel(request);
        loop_touch(c);
        loop_step(&g->stage, 50);
    }
}

/* The answer, or NULL after a refusal that waiting does not help, or after STAGE_SECONDS. */
static ProtobufCMessage *stage_ask(struct people *g, const char *bearer,
                                   const char *path, const ProtobufCMessage *message,
                                   const ProtobufCMessageDescriptor *type)
{
    static uint8_t packed[64 * 1024];
    struct span bytes = {packed, protobuf_c_message_pack(message, packed)};
    struct stage_call s = {.type = type};
    int64_t until = clock_mono_us() + STAGE_SECONDS * SECOND_US;
    do {
        stage_once(g, &s, bearer, path, bytes);
        if (s.answer == NULL && stage_may_pass(s.refusal.status)) {
            loop_step(&g->stage, 100);
        }
    } while (s.answer == NULL && stage_may_pass(s.refusal.status) && clock_mono_us() < until);
    if (s.answer == NULL && s.refusal.status != 5) { /* NOT_FOUND is an answer here */
        fprintf(stderr, "people: %s: %d %s %s\n", path, s.refusal.status, s.refusal.reason,
                s.refusal.text);
    }
    return s.answer;
}

static bool stage_pool(struct people *g, uint32_t number)
{
    char id[64], request_id[37];
    uint64_t request[2];
    snprintf(id, sizeof id, "nemesis-%u", number);
    people_request_id(&g->prng, request, request_id);
    Google__Protobuf__Duration ttl = GOOGLE__PROTOBUF__DURATION__INIT;
    ttl.seconds = 3600;
    Fairslot__V1__Pool pool = FAIRSLOT__V1__POOL__INIT;
    pool.service_class = (char *)"nemesis";
    pool.hold_ttl = &ttl;
    pool.max_live_per_identity = PEOPLE_MAX_LIVE;
    Fairslot__Admin__V1__CreatePoolRequest q = FAIRSLOT__ADMIN__V1__CREATE_POOL_REQUEST__INIT;
    q.pool_id = id;
    q.pool = &pool;
    q.request_id = request_id;
    ProtobufCMessage *m = stage_ask(g, g->operator_bearer,
                                    "/fairslot.admin.v1.PoolAdminService/CreatePool", &q.base,
                                    &fairslot__v1__pool__descriptor);
    protobuf_c_message_free_unpacked(m, NULL);
    return m != NULL;
}

/* `count` slots of a pool from its `first` on. */
static bool stage_slots(struct people *g, uint32_t pool, uint32_t first,
                        uint32_t count)
{
    static Fairslot__V1__Slot slots[STAGE_SLOTS];
    static Fairslot__V1__Slot *pointers[STAGE_SLOTS];
    static Google__Protobuf__Timestamp times[STAGE_SLOTS];
    static Google__Protobuf__Duration length = GOOGLE__PROTOBUF__DURATION__INIT;
    length.seconds = 60;
    for (uint32_t i = 0; i < count; i++) {
        slots[i] = (Fairslot__V1__Slot)FAIRSLOT__V1__SLOT__INIT;
        times[i] = (Google__Protobuf__Timestamp)GOOGLE__PROTOBUF__TIMESTAMP__INIT;
        times[i].seconds = PEOPLE_START_S + (int64_t)(first + i) * 60;
        slots[i].start_time = &times[i];
        slots[i].duration = &length;
        slots[i].desk = (char *)"d1";
        pointers[i] = &slots[i];
    }
    char parent[64], request_id[37];
    uint64_t request[2];
    snprintf(parent, sizeof parent, "pools/nemesis-%u", pool);
    people_request_id(&g->prng, request, request_id);
    Fairslot__Admin__V1__BatchCreateSlotsRequest q =
        FAIRSLOT__ADMIN__V1__BATCH_CREATE_SLOTS_REQUEST__INIT;
    q.parent = parent;
    q.slots = pointers;
    q.n_slots = count;
    q.request_id = request_id;
    ProtobufCMessage *m = stage_ask(g, g->operator_bearer,
                                    "/fairslot.admin.v1.PoolAdminService/BatchCreateSlots",
                                    &q.base,
                                    &fairslot__admin__v1__batch_create_slots_response__descriptor);
    protobuf_c_message_free_unpacked(m, NULL);
    return m != NULL;
}

int people_prepare(struct people *g)
{
    int r = loop_init(&g->stage, 1);
    uint32_t each = g->slots / g->pools;
    bool is_good = r == 0;
    for (uint32_t pool = 0; pool < g->pools && is_good; pool++) {
        is_good = stage_pool(g, pool);
        for (uint32_t first = 0; first < each && is_good; first += STAGE_SLOTS) {
            uint32_t left = each - first;
            is_good = stage_slots(g, pool, first, left < STAGE_SLOTS ? left : STAGE_SLOTS);
        }
    }
    loop_close(&g->stage);
    return is_good ? 0 : -1;
}

/* Pages of one pool into `slots`, by number. */
static bool stage_read_pool(struct people *g, uint32_t pool,
                            struct story_slot *slots)
{
    char parent[64], token[PAGE_TOKEN_MAX + 1] = "";
    snprintf(parent, sizeof parent, "pools/nemesis-%u", pool);
    do {
        Fairslot__V1__ListSlotsRequest q = FAIRSLOT__V1__LIST_SLOTS_REQUEST__INIT;
        q.parent = parent;
        q.page_size = STAGE_PAGE;
        q.page_token = token;
        Fairslot__V1__ListSlotsResponse *m = (Fairslot__V1__ListSlotsResponse *)stage_ask(
            g, g->operator_bearer, "/fairslot.v1.CatalogService/ListSlots", &q.base,
            &fairslot__v1__list_slots_response__descriptor);
        if (m == NULL) {
            return true; /* all is lost: the checker says so */
        }
        for (size_t i = 0; i < m->n_slots; i++) {
            int64_t minute = (m->slots[i]->start_time->seconds - PEOPLE_START_S) / 60;
            uint32_t number = (uint32_t)minute * g->pools + pool;
            if (number < g->slots) {
                slots[number].version = (uint32_t)m->slots[i]->version;
                slots[number].state = (uint32_t)m->slots[i]->state;
            }
        }
        snprintf(token, sizeof token, "%s", m->next_page_token);
        protobuf_c_message_free_unpacked(&m->base, NULL);
    } while (token[0]);
    return true;
}

static uint32_t stage_number(const struct people *g, Fairslot__V1__Slot *s)
{
    uint32_t pool = (uint32_t)atoi(strchr(s->name, '-') + 1);
    return (uint32_t)((s->start_time->seconds - PEOPLE_START_S) / 60) * g->pools + pool;
}

static void stage_thing(FILE *out, const struct person *p, const char *name, uint32_t slot,
                        uint32_t state)
{
    struct story_thing t = {.thing = people_thing(strrchr(name, '/') + 1),
                            .identity = p->number, .slot = slot, .state = state};
    fwrite(&t, sizeof t, 1, out);
}

static void stage_reservations(struct people *g, const struct person *p, FILE *out)
{
    char token[PAGE_TOKEN_MAX + 1] = "";
    do {
        Fairslot__V1__ListReservationsRequest q = FAIRSLOT__V1__LIST_RESERVATIONS_REQUEST__INIT;
        q.parent = (char *)"pools/-";
        q.page_size = STAGE_PAGE;
        q.page_token = token;
        Fairslot__V1__ListReservationsResponse *m =
            (Fairslot__V1__ListReservationsResponse *)stage_ask(
                g, p->bearer, "/fairslot.v1.ReservationService/ListReservations", &q.base,
                &fairslot__v1__list_reservations_response__descriptor);
        token[0] = 0;
        for (size_t i = 0; m && i < m->n_reservations; i++) {
            Fairslot__V1__Reservation *r = m->reservations[i];
            bool is_live = r->state == FAIRSLOT__V1__RESERVATION__STATE__STATE_CONFIRMED;
            stage_thing(out, p, r->name, stage_number(g, r->slots[0]),
                        is_live ? STORY_TAKEN : STORY_RETURNED);
        }
        if (m) {
            snprintf(token, sizeof token, "%s", m->next_page_token);
            protobuf_c_message_free_unpacked(&m->base, NULL);
        }
    } while (token[0]);
}

static void stage_holds(struct people *g, const struct person *p, FILE *out)
{
    for (size_t i = 0; i < p->own_count; i++) {
        if (p->own[i].is_reservation) {
            continue;
        }
        char pool[64], slot[128], name[160];
        people_slot_name(g, p->own[i].slot, pool, slot);
        snprintf(name, sizeof name, "%s/holds/%s", pool, p->own[i].id);
        Fairslot__V1__GetHoldRequest q = FAIRSLOT__V1__GET_HOLD_REQUEST__INIT;
        q.name = name;
        Fairslot__V1__Hold *m = (Fairslot__V1__Hold *)stage_ask(
            g, p->bearer, "/fairslot.v1.ReservationService/GetHold", &q.base,
            &fairslot__v1__hold__descriptor);
        if (m) {
            bool is_live = m->state == FAIRSLOT__V1__HOLD__STATE__STATE_LIVE;
            stage_thing(out, p, m->name, stage_number(g, m->slots[0]),
                        is_live ? STORY_HELD : STORY_RETURNED);
            protobuf_c_message_free_unpacked(&m->base, NULL);
        }
    }
}

/* Index of the last committed entry, as whoever answers knows it; 0: nobody does. */
static uint64_t stage_log_end(struct people *g)
{
    Fairslot__Admin__V1__GetClusterRequest q = FAIRSLOT__ADMIN__V1__GET_CLUSTER_REQUEST__INIT;
    Fairslot__Admin__V1__Cluster *m = (Fairslot__Admin__V1__Cluster *)stage_ask(
        g, g->operator_bearer, "/fairslot.admin.v1.ClusterService/GetCluster", &q.base,
        &fairslot__admin__v1__cluster__descriptor);
    uint64_t end = m && m->n_shards ? (uint64_t)m->shards[0]->commit_index : 0;
    protobuf_c_message_free_unpacked(m ? &m->base : NULL, NULL);
    return end;
}

/* One of STAGE_READERS: a process of its own, which reads what every so-manieth person has. */
static int stage_read_part(struct people *g, size_t part, const char *path)
{
    FILE *out = fopen(path, "wb");
    if (out == NULL || loop_init(&g->stage, 1) != 0) {
        perror(path);
        return 1;
    }
    for (size_t i = part; i < g->people_count; i += STAGE_READERS) {
        stage_reservations(g, &g->people[i], out);
        stage_holds(g, &g->people[i], out);
    }
    loop_close(&g->stage);
    return fclose(out) == 0 ? 0 : 1;
}

/* Adds a part's things behind `out`; how many, or -1. */
static int64_t stage_add_part(FILE *out, const char *path)
{
    FILE *in = fopen(path, "rb");
    if (in == NULL) {
        perror(path);
        return -1;
    }
    struct story_thing t;
    int64_t count = 0;
    while (fread(&t, sizeof t, 1, in) == 1) {
        fwrite(&t, sizeof t, 1, out);
        count++;
    }
    fclose(in);
    unlink(path);
    return count;
}

/* A read that must be current waits for a round of the replicas: several people ask at a time. */
static int stage_things(struct people *g, FILE *out, const char *path, struct story_head *head)
{
    pid_t readers[STAGE_READERS];
    char part[STAGE_READERS][512];
    int r = 0;
    fflush(NULL); /* or a child would write it again */
    for (size_t i = 0; i < STAGE_READERS; i++) {
        snprintf(part[i], sizeof part[i], "%s.%zu", path, i);
        readers[i] = fork();
        if (readers[i] == 0) {
            _exit(stage_read_part(g, i, part[i]));
        }
    }
    for (size_t i = 0; i < STAGE_READERS; i++) {
        int status = 1;
        int64_t count = -1;
        if (readers[i] > 0 && waitpid(readers[i], &status, 0) == readers[i] && status == 0) {
            count = stage_add_part(out, part[i]);
        }
        head->things_count += count > 0 ? (uint64_t)count : 0;
        r = count < 0 ? -1 : r;
    }
    return r;
}

int people_final(struct people *g, const char *path)
{
    struct story_head head = {.magic = STORY_MAGIC, .slots_count = g->slots,
                              .max_live = PEOPLE_MAX_LIVE, .first_version = 1};
    struct story_slot *slots = calloc(g->slots, sizeof *slots);
    FILE *out = fopen(path, "wb");
    if (slots == NULL || out == NULL || loop_init(&g->stage, 1) != 0) {
        perror(path);
        free(slots);
        if (out) {
            fclose(out);
        }
        return -1;
    }
    for (uint32_t i = 0; i < g->slots; i++) {
        slots[i].slot = i; /* version 0: it is gone */
    }
    for (uint32_t pool = 0; pool < g->pools; pool++) {
        stage_read_pool(g, pool, slots);
    }
    fwrite(&head, sizeof head, 1, out);
    fwrite(slots, sizeof *slots, g->slots, out);
    free(slots);
    int r = stage_things(g, out, path, &head);
    head.log_end = stage_log_end(g);
    loop_close(&g->stage);
    rewind(out);
    fwrite(&head, sizeof head, 1, out);
    return fclose(out) != 0 || head.log_end == 0 ? -1 : r;
}
