/* SPDX-License-Identifier: MIT */
/* One process of the generator: a heap of what is due, requests under way, sockets.
 *   due event -> request packed -> sent at its time whatever happened before -> answer -> client
 * Owns: heap, shots, loop.  Callbacks of the wire only note what came and push events; sending
 * happens between steps, so a connection never dies under its own callback.
 * Latency counts from the scheduled time.  A connection that ended is made again when next needed;
 * when none can be made for 3 s the target is lost and the run ends with what it has. */
#include "flood/crew.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "flood/crew_inside.h"

#define CREW_LOST_US    3000000 /* without any connection */
#define CREW_LINGER_US  1500000 /* for answers after the end */
#define CREW_RETRY_US   500     /* until a full connection is tried again */
#define CREW_IDLE_US    50000   /* longest sleep */
#define CREW_BEARER_MAX 2048    /* bytes of a token with its word before it */

static int64_t crew_time(const struct crew *c)
{
    return clock_mono_us() - c->plan->opens_mono_us;
}

bool crew_mine(const struct crew *c, uint32_t client)
{
    return client % c->plan->processes == c->number;
}

static bool crew_before(const struct event *a, const struct event *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->client < b->client;
}

void crew_push(struct crew *c, const struct event *e)
{
    if (c->heap_count == c->heap_size) {
        c->heap_size = c->heap_size ? 2 * c->heap_size : 4096;
        c->heap = realloc(c->heap, c->heap_size * sizeof *c->heap);
        CHECK(c->heap != NULL);
    }
    size_t i = c->heap_count++;
    for (; i > 0 && crew_before(e, &c->heap[(i - 1) / 2]); i = (i - 1) / 2) {
        c->heap[i] = c->heap[(i - 1) / 2];
    }
    c->heap[i] = *e;
}

static struct event crew_pop(struct crew *c)
{
    CHECK(c->heap_count > 0);
    struct event top = c->heap[0], last = c->heap[--c->heap_count];
    size_t i = 0;
    for (size_t k = 1; k < c->heap_count; i = k, k = 2 * i + 1) {
        k += k + 1 < c->heap_count && crew_before(&c->heap[k + 1], &c->heap[k]);
        if (!crew_before(&c->heap[k], &last)) {
            break;
        }
        c->heap[i] = c->heap[k];
    }
    c->heap[i] = last;
    return top;
}

/* Until its connection has room again. */
static void crew_park(struct crew *c, const struct event *e)
{
    if (c->parked_count == c->parked_size) {
        c->parked_size = c->parked_size ? 2 * c->parked_size : 256;
        c->parked = realloc(c->parked, c->parked_size * sizeof *c->parked);
        CHECK(c->parked != NULL);
    }
    c->parked[c->parked_count++] = *e;
}

static struct shot *crew_shot(struct crew *c)
{
    if (!list_empty(&c->spare)) {
        struct shot *s = CONTAINER_OF(c->spare.next, struct shot, link);
        list_remove(&s->link);
        return s;
    }
    struct shot *s = malloc(sizeof *s);
    CHECK(s != NULL);
    return s;
}

/* Every request ends here, once. */
static void crew_count(struct crew *c, struct shot *s, int status)
{
    struct party_result *p = &c->result->parties[c->plan->clients[s->client].party];
    struct plan_bucket *b = &c->result->timeline[plan_bucket_of(c->plan, c->now_us)];
    p->answered += status == 0;
    p->timed_out += status == 4 || s->is_overdue;
    p->cancelled += status == 1 && !s->is_overdue;
    bool is_refused = status != 0 && status != 4 && status != 1;
    p->refused += is_refused;
    b->answered += status == 0;
    b->refused += is_refused;
    c->result->statuses[status >= 0 && status <= 16 ? status : 2]++;
    if (status != 1 && s->request) {
        int64_t took = crew_time(c) - s->due_us;
        hist_record(&c->result->latency[s->call], took > 0 ? (uint64_t)took : 0);
    }
    list_remove(&s->link);
    list_push(&c->spare, &s->link);
    c->shots_count--;
}

static void crew_message(void *user, struct wire_request *request, struct span message)
{
    struct loop_conn *conn = user;
    struct crew *c = conn->user;
    struct shot *s = wire_request_user(request);
    if (!s->is_answered) {
        s->is_answered = true;
        c->now_us = crew_time(c);
        crew_answer(c, s, message);
    }
}

static void crew_finish(void *user, struct wire_request *request, int status, struct span text,
                        struct span details)
{
    struct loop_conn *conn = user;
    struct crew *c = conn->user;
    struct shot *s = wire_request_user(request);
    (void)text;
    c->now_us = crew_time(c);
    if (status == 0 && !s->is_answered) {
        c->result->garbled++;
        status = 13;
    }
    if (status == 14 && details.len == 0) {
        c->result->parties[c->plan->clients[s->client].party].unreachable++;
    }
    if (status != 0) {
        crew_refusal(c, s, status, details);
    }
    crew_count(c, s, status);
}

static const struct wire_client_ops crew_ops = {.on_message = crew_message,
                                                .on_finish = crew_finish};

/* The connection that a client speaks on: always the same one of its party's. */
static struct loop_conn *crew_conn(struct crew *c, uint32_t client)
{
    uint32_t party = c->plan->clients[client].party;
    uint32_t number = (client - c->plan->parties[party].first) / c->plan->processes;
    return &c->loop.conns[c->party_conn[party] + number % c->party_conns[party]];
}

static bool crew_reconnect(struct crew *c, struct loop_conn *conn)
{
    if (conn->fd >= 0) {
        return true;
    }
    if (c->dead_since_us != INT64_MIN && c->now_us - c->dead_since_us > CREW_LOST_US) {
        return false; /* it was tried long enough */
    }
    return loop_reopen(conn, c->plan->target, &crew_ops) == 0;
}

static void crew_sent(struct crew *c, struct shot *s)
{
    struct party_result *p = &c->result->parties[c->plan->clients[s->client].party];
    s->sent_us = crew_time(c);
    int64_t lag = s->sent_us - s->due_us;
    hist_record(&c->result->lag, lag > 0 ? (uint64_t)lag : 0);
    c->result->late += lag > c->plan->late_us;
    p->sent++;
    c->result->timeline[plan_bucket_of(c->plan, s->sent_us)].sent++;
}

/* Hands it to the connection: 0, WIRE_E_FULL, or something else: nobody is there. */
static int crew_call(struct crew *c, const struct event *e, struct shot *s)
{
    uint8_t packed[CREW_PACKED_MAX];
    char bearer[CREW_BEARER_MAX];
    size_t n;
    const struct plan *p = c->plan;
    struct loop_conn *conn = crew_conn(c, e->client);
    if (!crew_reconnect(c, conn)) {
        return WIRE_E_CLOSE;
    }
    const char *path = crew_pack(c, e, packed, &n);
    size_t len = (size_t)(p->token_at[e->client + 1] - p->token_at[e->client]);
    CHECK(len + 8 < sizeof bearer);
    memcpy(bearer, "Bearer ", 7);
    memcpy(bearer + 7, p->tokens + p->token_at[e->client], len);
    int r = wire_client_call(conn->client, path,
                             (struct span){(const uint8_t *)bearer, len + 7}, p->timeout_us,
                             (struct span){packed, n}, s, &s->request);
    loop_touch(conn);
    return r;
}

/* Sends it now.  A connection that is full lets it wait, and the lag tells: it is not sent twice
 * and not forgotten. */
static void crew_fire(struct crew *c, const struct event *e)
{
    struct shot *s = crew_shot(c);
    *s = (struct shot){.due_us = e->due_us, .client = e->client, .call = e->call,
                       .slot = c->plan->clients[e->client].slot};
    int r = crew_call(c, e, s);
    if (r == WIRE_E_FULL) {
        list_push(&c->spare, &s->link);
        crew_park(c, e);
        return;
    }
    list_push(&c->shots, &s->link);
    c->shots_count++;
    crew_sent(c, s);
    if (r != 0) {
        s->request = NULL;
        c->result->parties[c->plan->clients[e->client].party].unreachable++;
        crew_refusal(c, s, 14, (struct span){0});
        crew_count(c, s, 14);
    }
}

static void crew_due(struct crew *c)
{
    size_t parked = c->parked_count;
    c->parked_count = 0;
    for (size_t i = 0; i < parked; i++) { /* what is full again parks behind where we read */
        struct event e = c->parked[i];
        crew_fire(c, &e);
    }
    while (c->heap_count > 0 && c->heap[0].due_us <= c->now_us) {
        struct event e = crew_pop(c);
        if (!e.is_tick || crew_tick(c, &e)) {
            crew_fire(c, &e);
        }
        c->now_us = crew_time(c);
    }
}

/* Calls that nobody answers are given up a second after their own time limit. */
static void crew_overdue(struct crew *c)
{
    int64_t limit = c->now_us - c->plan->timeout_us - 1000000;
    while (!list_empty(&c->shots)) {
        struct shot *s = CONTAINER_OF(c->shots.next, struct shot, link);
        if (s->sent_us > limit || s->is_overdue) {
            return;
        }
        s->is_overdue = true;
        struct loop_conn *conn = crew_conn(c, s->client);
        wire_request_cancel(s->request);
        loop_touch(conn);
        list_remove(&s->link);
        list_push(&c->shots, &s->link);
    }
}

/* Is there still somebody to talk to? */
static bool crew_alive(struct crew *c)
{
    if (c->loop.conns_open > 0) {
        c->dead_since_us = INT64_MIN;
    } else if (c->dead_since_us == INT64_MIN) {
        c->dead_since_us = c->now_us;
    }
    return c->dead_since_us == INT64_MIN || c->now_us - c->dead_since_us <= CREW_LOST_US;
}

/* Those under way when the run ends are cancelled, and counted so. */
static int crew_linger(struct crew *c)
{
    int64_t until = crew_time(c) + CREW_LINGER_US;
    int r = 0;
    bool is_cancelling = false;
    while (r == 0 && c->shots_count > 0 && c->loop.conns_open > 0) {
        c->now_us = crew_time(c);
        if (c->now_us > until && !is_cancelling) {
            is_cancelling = true;
            until += CREW_LINGER_US;
            for (struct list *at = c->shots.next; at != &c->shots; at = at->next) {
                struct shot *s = CONTAINER_OF(at, struct shot, link);
                wire_request_cancel(s->request);
                loop_touch(crew_conn(c, s->client));
            }
        } else if (c->now_us > until) {
            break;
        }
        r = loop_step(&c->loop, 20);
    }
    return r;
}

static int crew_loop(struct crew *c)
{
    int r = 0;
    c->now_us = crew_time(c);
    while (r == 0 && !*c->stop && c->open_count + c->shots_count > 0 &&
           c->now_us < c->plan->end_us) {
        crew_due(c);
        crew_overdue(c);
        int64_t next = c->heap_count > 0 ? c->heap[0].due_us - c->now_us : CREW_IDLE_US;
        next = c->parked_count ? CREW_RETRY_US : next;
        next = next < 0 ? 0 : next > CREW_IDLE_US ? CREW_IDLE_US : next;
        r = loop_step_us(&c->loop, next);
        c->now_us = crew_time(c);
        if (!crew_alive(c)) {
            c->result->is_lost = true;
            break;
        }
    }
    c->result->last_us = c->now_us;
    c->result->is_stopped = *c->stop != 0;
    return r ? r : crew_linger(c);
}

/* Each party's connections stand behind each other; every process has its part of them. */
static int crew_connect(struct crew *c)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->plan->parties_count; i++) {
        uint32_t mine = c->plan->parties[i].connections / c->plan->processes;
        c->party_conn[i] = count;
        c->party_conns[i] = mine ? mine : 1;
        count += c->party_conns[i];
    }
    int r = loop_open(&c->loop, c->plan->target, count, &crew_ops);
    for (uint32_t i = 0; i < count && r == 0; i++) {
        c->loop.conns[i].user = c;
    }
    if (r == LOOP_E_CONNECT) {
        c->result->failure = c->loop.failure;
        return c->loop.failure == EMFILE || c->loop.failure == ENFILE ? CREW_E_FILES
                                                                      : CREW_E_CONNECT;
    }
    return r ? err_trace(r) : loop_step(&c->loop, 10); /* SETTINGS both ways */
}

static int64_t crew_cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void crew_free(struct crew *c, struct list *shots)
{
    while (!list_empty(shots)) {
        struct shot *s = CONTAINER_OF(shots->next, struct shot, link);
        list_remove(&s->link);
        free(s);
    }
    (void)c;
}

int crew_run(const struct plan *plan, uint32_t number, const volatile sig_atomic_t *stop,
             struct result *ret_result)
{
    struct crew c = {.plan = plan, .result = ret_result, .stop = stop, .number = number,
                     .dead_since_us = INT64_MIN};
    int64_t began_us = clock_mono_us();
    CHECK(number < plan->processes);
    list_init(&c.shots);
    list_init(&c.spare);
    prng_init(&c.prng, plan->seed * 1000003 + number);
    result_init(ret_result);
    c.taken = calloc(plan->slots_count + 1, 1);
    int r = c.taken ? crew_connect(&c) : -ENOMEM;
    if (r == 0) {
        crew_arrivals(&c);
        r = crew_loop(&c);
    }
    loop_close(&c.loop); /* what is still open ends as unreachable */
    ret_result->cpu_us = crew_cpu_us();
    ret_result->wall_us = clock_mono_us() - began_us;
    crew_free(&c, &c.shots);
    crew_free(&c, &c.spare);
    free(c.heap);
    free(c.parked);
    free(c.taken);
    return r;
}
