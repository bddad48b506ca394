/* SPDX-License-Identifier: MIT */
/* The whole path under load: people who each hold a free slot and confirm it, through gateway, fair
 * queue, nng, log and state, every answer durable.  Closed loop: connections x streams people at a
 * time.  Owns: its loop, tokens, people.
 * phases: setup (operator makes pools and slots), warm (each known token is seen once by the
 * gateway), measure (create, confirm, next person).  A token of the cold file is never warmed, so
 * --cold-permille of the people cost the gateway a signature.
 * Any answer that is not OK is counted and printed: a figure with failures is no figure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/prng.h"
#include "fairslot/admin/v1/pools.pb-c.h"
#include "fairslot/v1/services.pb-c.h"
#include "flood/bench.h"
#include "flood/loop.h"
#include "proto/codec.h"
#include "verb.h"

#define SLOTS_PER_CALL 500
#define SETUP_IN_FLIGHT 4

enum phase { PHASE_POOLS, PHASE_SLOTS, PHASE_WARM, PHASE_MEASURE };

/* One stream: at most one call in flight. */
struct person {
    struct loop_conn *conn;
    const char *token;
    int64_t start_us;
    bool is_confirming;
    char hold[128];
};

struct mutations {
    const struct bench_options *o;
    struct loop loop;
    enum phase phase;
    struct person *people; /* connections x streams */
    size_t people_count;
    size_t busy_count;
    char **tokens;
    size_t tokens_count;
    char **cold;
    size_t cold_count, cold_next;
    const char *operator_token;
    uint64_t next;       /* pool, chunk, token or slot to be taken next, by phase */
    uint64_t end;        /* of next */
    uint64_t done_count; /* mutations answered OK in the measured phase */
    uint64_t failed_count;
    int64_t stop_us;
    struct hist create, confirm;
    struct prng prng;
    uint8_t packed[64 * 1024];
};

static struct mutations m;

static bool mutations_send(struct person *p, const char *path, const ProtobufCMessage *message)
{
    size_t n = protobuf_c_message_pack(message, m.packed);
    char bearer[TOKEN_MAX + 8];
    int len = snprintf(bearer, sizeof bearer, "Bearer %s", p->token);
    struct wire_request *request;
    p->start_us = clock_mono_us();
    int r = wire_client_call(p->conn->client, path, (struct span){(uint8_t *)bearer, (size_t)len},
                             -1, (struct span){m.packed, n}, p, &request);
    loop_touch(p->conn);
    if (r) {
        fprintf(stderr, "bench: a call cannot be opened (%d)\n", r);
        m.failed_count++;
        return false;
    }
    m.busy_count++;
    return true;
}

static void mutations_request_id(char out[37])
{
    uint64_t a = prng_next(&m.prng), b = prng_next(&m.prng);
    snprintf(out, 37, "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)(a >> 32),
             (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xfff, (unsigned)(b >> 48) & 0xfff,
             (unsigned long long)(b & 0xffffffffffff));
}

static bool mutations_create_pool(struct person *p, uint64_t number)
{
    char id[64], request_id[37];
    bench_pool_id(m.o, number, id);
    mutations_request_id(request_id);
    Google__Protobuf__Duration ttl = GOOGLE__PROTOBUF__DURATION__INIT;
    ttl.seconds = 3600;
    Fairslot__V1__Pool pool = FAIRSLOT__V1__POOL__INIT;
    pool.service_class = id;
    pool.hold_ttl = &ttl;
    pool.max_live_per_identity = LIVE_PER_IDENTITY_MAX;
    Fairslot__Admin__V1__CreatePoolRequest q = FAIRSLOT__ADMIN__V1__CREATE_POOL_REQUEST__INIT;
    q.pool_id = id;
    q.pool = &pool;
    q.request_id = request_id;
    p->token = m.operator_token;
    return mutations_send(p, "/fairslot.admin.v1.PoolAdminService/CreatePool", &q.base);
}

static uint64_t mutations_slots_per_pool(void)
{
    return (m.o->slots + m.o->pools - 1) / m.o->pools;
}

static bool mutations_create_slots(struct person *p, uint64_t number)
{
    uint64_t per_pool = mutations_slots_per_pool();
    uint64_t chunks = (per_pool + SLOTS_PER_CALL - 1) / SLOTS_PER_CALL;
    uint64_t first = number % chunks * SLOTS_PER_CALL;
    uint64_t count = per_pool - first < SLOTS_PER_CALL ? per_pool - first : SLOTS_PER_CALL;
    static Fairslot__V1__Slot slots[SLOTS_PER_CALL];
    static Fairslot__V1__Slot *pointers[SLOTS_PER_CALL];
    static Google__Protobuf__Timestamp times[SLOTS_PER_CALL];
    static Google__Protobuf__Duration length = GOOGLE__PROTOBUF__DURATION__INIT;
    length.seconds = 60;
    for (uint64_t i = 0; i < count; i++) {
        slots[i] = (Fairslot__V1__Slot)FAIRSLOT__V1__SLOT__INIT;
        times[i] = (Google__Protobuf__Timestamp)GOOGLE__PROTOBUF__TIMESTAMP__INIT;
        times[i].seconds = BENCH_START_S + (int64_t)(first + i) * 60;
        slots[i].start_time = &times[i];
        slots[i].duration = &length;
        slots[i].desk = (char *)"d1";
        pointers[i] = &slots[i];
    }
    char id[64], parent[80], request_id[37];
    bench_pool_id(m.o, number / chunks, id);
    snprintf(parent, sizeof parent, "pools/%s", id);
    mutations_request_id(request_id);
    Fairslot__Admin__V1__BatchCreateSlotsRequest q =
        FAIRSLOT__ADMIN__V1__BATCH_CREATE_SLOTS_REQUEST__INIT;
    q.parent = parent;
    q.slots = pointers;
    q.n_slots = count;
    q.request_id = request_id;
    p->token = m.operator_token;
    return mutations_send(p, "/fairslot.admin.v1.PoolAdminService/BatchCreateSlots", &q.base);
}

static bool mutations_warm(struct person *p, uint64_t number)
{
    Fairslot__V1__ListPoolsRequest q = FAIRSLOT__V1__LIST_POOLS_REQUEST__INIT;
    q.page_size = 1;
    p->token = m.tokens[number];
    return mutations_send(p, "/fairslot.v1.CatalogService/ListPools", &q.base);
}

static bool mutations_hold(struct person *p, uint64_t number)
{
    bool is_cold = m.cold && m.cold_next < m.cold_count &&
                   prng_below(&m.prng, 1000) < m.o->cold_permille;
    p->token = is_cold ? m.cold[m.cold_next++] : m.tokens[number % m.tokens_count];
    p->is_confirming = false;
    char id[64], parent[80], slot[160], name[48], request_id[37];
    bench_pool_id(m.o, number % m.o->pools, id);
    struct slot_key key = {
        .start_us = (BENCH_START_S + (int64_t)(number / m.o->pools) * 60) * SECOND_US,
        .slug = {(const uint8_t *)"d1", 2},
    };
    size_t n = codec_slot_id(&key, name);
    snprintf(parent, sizeof parent, "pools/%s", id);
    snprintf(slot, sizeof slot, "%s/slots/%.*s", parent, (int)n, name);
    mutations_request_id(request_id);
    Fairslot__V1__CreateHoldRequest q = FAIRSLOT__V1__CREATE_HOLD_REQUEST__INIT;
    q.parent = parent;
    q.want_case = FAIRSLOT__V1__CREATE_HOLD_REQUEST__WANT_SLOT;
    q.slot = slot;
    q.request_id = request_id;
    return mutations_send(p, "/fairslot.v1.ReservationService/CreateHold", &q.base);
}

static bool mutations_confirm(struct person *p)
{
    char request_id[37];
    mutations_request_id(request_id);
    Fairslot__V1__ConfirmHoldRequest q = FAIRSLOT__V1__CONFIRM_HOLD_REQUEST__INIT;
    q.name = p->hold;
    q.request_id = request_id;
    p->is_confirming = true;
    return mutations_send(p, "/fairslot.v1.ReservationService/ConfirmHold", &q.base);
}

/* The next thing for an idle person in this phase, if anything is left. */
static void mutations_next(struct person *p)
{
    if (m.next >= m.end || m.failed_count > 100 ||
        (m.phase == PHASE_MEASURE && clock_mono_us() >= m.stop_us)) {
        return;
    }
    uint64_t number = m.next++;
    switch (m.phase) {
    case PHASE_POOLS:
        mutations_create_pool(p, number);
        break;
    case PHASE_SLOTS:
        mutations_create_slots(p, number);
        break;
    case PHASE_WARM:
        mutations_warm(p, number);
        break;
    case PHASE_MEASURE:
        mutations_hold(p, number);
        break;
    }
}

static void mutations_message(void *user, struct wire_request *request, struct span message)
{
    (void)user;
    struct person *p = wire_request_user(request);
    if (m.phase == PHASE_MEASURE && !p->is_confirming) {
        Fairslot__V1__Hold *hold = fairslot__v1__hold__unpack(NULL, message.len, message.ptr);
        snprintf(p->hold, sizeof p->hold, "%s", hold ? hold->name : "");
        if (hold) {
            fairslot__v1__hold__free_unpacked(hold, NULL);
        }
    }
}

static void mutations_finish(void *user, struct wire_request *request, int status,
                             struct span text, struct span details)
{
    (void)user;
    (void)details;
    struct person *p = wire_request_user(request);
    m.busy_count--;
    if (status != 0) {
        if (m.failed_count++ < 3) {
            fprintf(stderr, "bench: status %d: %.*s\n", status, (int)text.len, text.ptr);
        }
        mutations_next(p);
        return;
    }
    if (m.phase == PHASE_MEASURE) {
        uint64_t took = (uint64_t)(clock_mono_us() - p->start_us);
        hist_record(p->is_confirming ? &m.confirm : &m.create, took);
        m.done_count++;
        if (!p->is_confirming) {
            mutations_confirm(p);
            return;
        }
    }
    mutations_next(p);
}

static int mutations_phase(enum phase phase, uint64_t end, size_t in_flight)
{
    m.phase = phase;
    m.next = 0;
    m.end = end;
    int64_t limit = clock_mono_us() + 300 * SECOND_US;
    for (size_t i = 0; i < in_flight && i < m.people_count; i++) {
        mutations_next(&m.people[i]);
    }
    while (m.busy_count > 0 && clock_mono_us() < limit && m.loop.conns_open > 0) {
        if (loop_step(&m.loop, 100) < 0) {
            err_print(stderr);
            return VERB_FAILED;
        }
    }
    return m.failed_count || m.busy_count ? VERB_FAILED : VERB_OK;
}

static int mutations_open(const struct bench_options *o)
{
    static const struct wire_client_ops ops = {.on_message = mutations_message,
                                               .on_finish = mutations_finish};
    m.o = o;
    prng_init(&m.prng, (uint64_t)clock_wall_us());
    hist_init(&m.create);
    hist_init(&m.confirm);
    size_t one;
    char **operator_lines = bench_lines(o->token_file, &one);
    m.tokens = operator_lines ? bench_lines(o->tokens_file, &m.tokens_count) : NULL;
    m.cold = o->cold_file ? bench_lines(o->cold_file, &m.cold_count) : NULL;
    if (m.tokens == NULL || (o->cold_file && m.cold == NULL)) {
        return VERB_USAGE;
    }
    m.operator_token = operator_lines[0];
    m.people_count = o->connections * o->streams;
    m.people = calloc(m.people_count, sizeof *m.people);
    int r = loop_open(&m.loop, o->target, o->connections, &ops);
    if (r || m.people == NULL) {
        return r == LOOP_E_CONNECT ? VERB_UNREACHABLE : VERB_FAILED;
    }
    for (size_t i = 0; i < m.people_count; i++) {
        m.people[i].conn = &m.loop.conns[i % o->connections];
    }
    return loop_step(&m.loop, 10) < 0 ? VERB_FAILED : VERB_OK; /* SETTINGS both ways */
}

int bench_mutations(const struct bench_options *o)
{
    uint64_t chunks = ((o->slots + o->pools - 1) / o->pools + SLOTS_PER_CALL - 1) / SLOTS_PER_CALL;
    int r = mutations_open(o);
    r = r ? r : mutations_phase(PHASE_POOLS, o->pools, SETUP_IN_FLIGHT);
    r = r ? r : mutations_phase(PHASE_SLOTS, o->pools * chunks, SETUP_IN_FLIGHT);
    r = r ? r : mutations_phase(PHASE_WARM, m.tokens_count, m.people_count);
    if (r) {
        return r;
    }
    fprintf(stderr, "measuring\n"); /* tests/figures reads the server's CPU from here on */
    int64_t start = clock_mono_us();
    m.stop_us = start + (int64_t)o->seconds * SECOND_US;
    r = mutations_phase(PHASE_MEASURE, o->pools * mutations_slots_per_pool(), m.people_count);
    double seconds = (double)(clock_mono_us() - start) / 1e6;
    printf("{\"bench\":\"mutations\",\"in_flight\":%zu,\"tokens\":%zu,\"cold\":%zu,\"pools\":%llu,"
           "\"mutations\":%llu,\"failed\":%llu,\"seconds\":%.2f,\"mutations_per_s\":%.0f,",
           m.people_count, m.tokens_count, m.cold_next, (unsigned long long)o->pools,
           (unsigned long long)m.done_count, (unsigned long long)m.failed_count, seconds,
           (double)m.done_count / seconds);
    hist_merge(&m.create, &m.confirm);
    bench_print_hist(stdout, &m.create);
    printf("}\n");
    loop_close(&m.loop);
    return r;
}
