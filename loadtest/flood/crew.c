/* SPDX-License-Identifier: MIT */
/* One process of the generator: the crowd says what is due, this sends it, and says what came back.
 *   crowd_next -> request packed -> sent at its time whatever happened before -> crowd_answer
 * Owns: crowd, shots, loop.  Callbacks of the wire only tell the crowd what came; sending
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
#define CREW_SETTLE_US  1000000 /* after serving began, at least */
#define CREW_LOOK_US    250000  /* between two looks at everybody */
#define CREW_BEARER_MAX 2048    /* bytes of a token with its word before it */

static int64_t crew_time(const struct crew *c)
{
    return clock_mono_us() - c->plan->opens_mono_us;
}

/* Until its connection has room again. */
static void crew_park(struct crew *c, const struct crowd_event *e)
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

/* When a client first knows: its wait ends there. */
static void crew_note(struct crew *c, uint32_t client)
{
    const struct crowd_client *who = crowd_client(c->crowd, client);
    struct client *mine = &c->plan->clients[client];
    struct party_result *p = &c->result->parties[who->population];
    if (who->decided_us != INT64_MIN && !mine->is_decided) {
        int64_t wait = who->decided_us - who->first_us;
        mine->is_decided = true;
        p->decided++;
        hist_record(&p->wait, wait > 0 ? (uint64_t)wait : 0);
    }
}

/* Every request ends here, once. */
static void crew_count(struct crew *c, struct shot *s, int status)
{
    struct party_result *p = &c->result->parties[s->event.population];
    struct plan_bucket *b = &c->result->timeline[plan_bucket_of(c->plan, c->now_us)];
    bool is_cancelled = status == 1 && !s->is_overdue;
    bool is_timed_out = status == 4 || s->is_overdue;
    bool is_refused = status != 0 && !is_cancelled && !is_timed_out;
    p->answered += status == 0;
    p->timed_out += is_timed_out;
    p->cancelled += is_cancelled;
    p->refused += is_refused;
    b->answered += status == 0;
    b->refused += is_refused;
    c->result->statuses[status >= 0 && status <= 16 ? status : 2]++;
    int64_t home_us = c->now_us + crowd_client(c->crowd, s->event.client)->rtt_us / 2;
    if (!is_cancelled && s->request) {
        int64_t took = home_us - s->event.at_us;
        hist_record(&c->result->latency[s->event.act], took > 0 ? (uint64_t)took : 0);
    }
    crowd_answer(c->crowd, &s->event, home_us, &s->say);
    crew_note(c, s->event.client);
    list_remove(&s->link);
    list_push(&c->spare, &s->link);
    c->shots_count--;
}

static void crew_message(void *user, struct wire_request *request, struct span message)
{
    struct loop_conn *conn = user;
    struct crew *c = conn->user;
    struct shot *s = wire_request_user(request);
    if (!s->is_heard) {
        s->is_heard = true;
        c->now_us = crew_time(c);
        if (c->tapes) {
            crew_tape_heard(c, s, message);
        }
        if (!s->event.is_replay) {
            crew_hear(c, s, message);
        }
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
    if (status == 0 && !s->is_heard) { /* no message: no answer */
        c->result->garbled++;
        s->say.answer = CROWD_GARBLED;
        status = 13;
    } else if (status != 0) {
        crew_hear_refusal(c, s, status, details);
        crew_tape_refused(c, s);
    }
    s->is_carried_out = status == 0 && s->say.answer != CROWD_GARBLED;
    crew_tape_keep(c, s);
    crew_count(c, s, status);
}

static const struct wire_client_ops crew_ops = {.on_message = crew_message,
                                                .on_finish = crew_finish};

/* The connection that a client speaks on: always the same one of its population's; whoever sends
 * again what was recorded has the next. */
static struct loop_conn *crew_conn(struct crew *c, const struct crowd_event *e)
{
    uint32_t at = e->population;
    uint32_t number = (e->client - c->plan->scenario.populations[at].first_client) /
                      c->plan->processes;
    return &c->loop.conns[c->first_conn[at] + (number + e->is_replay) % c->conns[at]];
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
    s->sent_us = crew_time(c);
    int64_t lag = s->sent_us - crew_there_us(c, &s->event);
    hist_record(&c->result->lag, lag > 0 ? (uint64_t)lag : 0);
    c->result->late += lag > c->plan->late_us;
    c->result->parties[s->event.population].sent++;
    c->result->timeline[plan_bucket_of(c->plan, s->sent_us)].sent++;
}

/* Hands it to the connection: 0, WIRE_E_FULL, or something else: nobody is there. */
static int crew_call(struct crew *c, const struct crowd_event *e, struct shot *s)
{
    uint8_t packed[CREW_PACKED_MAX];
    char bearer[CREW_BEARER_MAX];
    size_t n;
    const struct plan *p = c->plan;
    struct loop_conn *conn = crew_conn(c, e);
    if (!crew_reconnect(c, conn)) {
        return WIRE_E_CLOSE;
    }
    const char *path = e->is_replay ? crew_tape_play(c, s, packed, &n) : crew_ask(c, e, packed, &n);
    if (path == NULL) {
        return WIRE_E_CLOSE; /* the process that recorded it lost it: never */
    }
    uint32_t identity = crowd_client(c->crowd, e->client)->identity;
    size_t len = (size_t)(p->token_at[identity + 1] - p->token_at[identity]);
    CHECK(len + 8 < sizeof bearer);
    memcpy(bearer, "Bearer ", 7);
    memcpy(bearer + 7, p->tokens + p->token_at[identity], len);
    int r = wire_client_call(conn->client, path,
                             (struct span){(const uint8_t *)bearer, len + 7},
                             (int64_t)p->scenario.timeout_us, (struct span){packed, n}, s,
                             &s->request);
    if (r == 0) {
        crew_tape_record(c, s, path, (struct span){packed, n});
    }
    loop_touch(conn);
    return r;
}

/* No request: a connection stands, or not. */
static void crew_connects(struct crew *c, const struct crowd_event *e)
{
    bool stands = crew_reconnect(c, crew_conn(c, e));
    struct crowd_say say = {.answer = stands ? CROWD_DONE : CROWD_CUT_OFF};
    crowd_answer(c->crowd, e, c->now_us, &say);
    crew_note(c, e->client);
}

/* Sends it now.  A connection that is full lets it wait, and the lag tells: it is not sent twice
 * and not forgotten. */
static void crew_fire(struct crew *c, const struct crowd_event *e)
{
    struct shot *s = crew_shot(c);
    *s = (struct shot){.event = *e, .say.answer = CROWD_REFUSED};
    int r = crew_call(c, e, s);
    if (r == WIRE_E_FULL) {
        list_init(&s->link);
        list_push(&c->spare, &s->link);
        crew_park(c, e);
        return;
    }
    list_push(&c->shots, &s->link);
    c->shots_count++;
    crew_sent(c, s);
    if (r != 0) {
        s->request = NULL;
        crew_hear_refusal(c, s, 14, (struct span){0});
        crew_count(c, s, 14);
    }
}

static void crew_due(struct crew *c)
{
    struct crowd_event e;
    size_t parked = c->parked_count;
    c->parked_count = 0;
    for (size_t i = 0; i < parked; i++) { /* what is full again parks behind where we read */
        e = c->parked[i];
        crew_fire(c, &e);
    }
    while (crowd_next(c->crowd, c->now_us, &e)) {
        if (e.act == CROWD_ACT_CONNECT) {
            crew_connects(c, &e);
        } else {
            crew_depart(c, &e);
        }
        c->now_us = crew_time(c);
    }
    while (crew_arrived(c, &e)) {
        crew_fire(c, &e);
        c->now_us = crew_time(c);
    }
}

/* Calls that nobody answers are given up a second after their own time limit; a slow reader's when
 * it would have read. */
static void crew_overdue(struct crew *c)
{
    int64_t limit = c->now_us - (int64_t)c->plan->scenario.timeout_us - 1000000;
    for (struct list *next = c->shots.next; next != &c->shots;) {
        struct shot *s = CONTAINER_OF(next, struct shot, link);
        next = next->next;
        if (s->sent_us > limit || s->is_overdue) {
            return;
        }
        if (s->sent_us > limit - 2 * (int64_t)plan_who(c->plan, s->event.population)->unread_us) {
            continue;
        }
        s->is_overdue = true;
        struct loop_conn *conn = crew_conn(c, &s->event);
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

/* Is something under way that changes who has what?  Whoever gives up waiting for that answer does
 * not know what the shard has. */
static bool crew_has_change(const struct crew *c)
{
    for (const struct list *at = c->shots.next; at != &c->shots; at = at->next) {
        const struct shot *s = CONTAINER_OF(at, struct shot, link);
        if (s->event.act >= CROWD_ACT_HOLD && !s->is_overdue) {
            return true;
        }
    }
    return false;
}

/* Those under way when the run ends are cancelled, and counted so: confirmations only when their
 * own time is over, but with ^C. */
static int crew_linger(struct crew *c)
{
    int64_t until = crew_time(c) + CREW_LINGER_US;
    int64_t patience = crew_time(c) + (int64_t)c->plan->scenario.timeout_us + CREW_LINGER_US;
    int r = 0;
    bool is_cancelling = false;
    while (r == 0 && c->shots_count > 0 && c->loop.conns_open > 0) {
        c->now_us = crew_time(c);
        bool waits = !*c->stop && c->now_us < patience && c->now_us > until && !is_cancelling &&
                     crew_has_change(c);
        if (waits) {
            crew_overdue(c);
        } else if (c->now_us > until && !is_cancelling) {
            is_cancelling = true;
            until = c->now_us + CREW_LINGER_US;
            for (struct list *at = c->shots.next; at != &c->shots; at = at->next) {
                struct shot *s = CONTAINER_OF(at, struct shot, link);
                wire_request_cancel(s->request);
                loop_touch(crew_conn(c, &s->event));
            }
        } else if (c->now_us > until) {
            break;
        }
        r = loop_step(&c->loop, 20);
    }
    return r;
}

/* Everybody who came in time knows, and nobody is about to confirm: what follows until the release
 * closes changes no share (but where somebody gives slots back; then the plan is a full one). */
static bool crew_is_settled(struct crew *c)
{
    bool is_fcfs = c->plan->scenario.mode == CROWD_FCFS; /* nothing is sealed, nor served later */
    int64_t served_us =
        c->plan->window_us + (is_fcfs ? 0 : (int64_t)c->plan->scenario.grace_us);
    if (c->plan->is_full || c->now_us < served_us + CREW_SETTLE_US ||
        c->now_us < c->looked_us + CREW_LOOK_US) {
        return false;
    }
    c->looked_us = c->now_us;
    for (uint32_t i = c->number; i < c->plan->scenario.clients_count; i += c->plan->processes) {
        const struct crowd_client *who = crowd_client(c->crowd, i);
        bool is_undecided = !who->is_late && who->decided_us == INT64_MIN;
        if (is_undecided || who->state == CROWD_HOLDING || who->state == CROWD_CHOOSING) {
            return false;
        }
    }
    return true;
}

static bool crew_is_done(struct crew *c)
{
    return *c->stop || c->now_us >= c->plan->end_us ||
           (crowd_open_count(c->crowd) == 0 &&
            c->shots_count + c->parked_count + c->away_count == 0) ||
           crew_is_settled(c);
}

static int crew_loop(struct crew *c)
{
    int r = 0;
    c->now_us = crew_time(c);
    while (r == 0 && !crew_is_done(c)) {
        crew_due(c);
        crew_overdue(c);
        int64_t next = crowd_next_us(c->crowd), there = crew_arrives_us(c);
        next = there < next ? there : next;
        next = next > c->now_us + CREW_IDLE_US ? CREW_IDLE_US : next - c->now_us;
        next = c->parked_count ? CREW_RETRY_US : next < 0 ? 0 : next;
        r = loop_step_us(&c->loop, next);
        c->now_us = crew_time(c);
        if (!crew_alive(c)) {
            c->result->is_lost = true;
            break;
        }
    }
    c->result->last_us = c->now_us;
    c->result->garbage = c->loop.garbage_count;
    c->result->is_stopped = *c->stop != 0;
    return r ? r : crew_linger(c);
}

/* The n-th address of a population: spread over the networks of the loopback. */
static uint32_t crew_source(const struct crowd_population *p, uint32_t number, uint64_t n)
{
    uint32_t at = p->addresses ? (uint32_t)(n % p->addresses) : 0;
    return p->addresses ? 127u << 24 | (16u + number) << 16 | at % 256 << 8 | (1 + at / 256) : 0;
}

/* Each population's connections stand behind each other; every process has its part of them. */
static int crew_connect(struct crew *c)
{
    const struct crowd_scenario *s = &c->plan->scenario;
    uint64_t count = 0;
    for (uint32_t i = 0; i < s->populations_count; i++) {
        const struct crowd_population *p = &s->populations[i];
        uint64_t wanted = p->connections ? p->connections : p->identities * p->devices;
        uint64_t mine = wanted / c->plan->processes;
        c->first_conn[i] = (uint32_t)count;
        c->conns[i] = mine ? (uint32_t)mine : 1;
        count += c->conns[i];
    }
    int r = loop_init(&c->loop, count);
    c->loop.keys = c->plan->keys;
    for (uint32_t i = 0; i < s->populations_count && r == 0; i++) {
        for (uint32_t k = 0; k < c->conns[i] && r == 0; k++) {
            struct loop_conn *conn = &c->loop.conns[c->first_conn[i] + k];
            conn->user = c;
            conn->unread_us = (int64_t)s->populations[i].unread_us;
            conn->source = crew_source(&s->populations[i], i,
                                       (uint64_t)k * c->plan->processes + c->number);
            r = loop_reopen(conn, c->plan->target, &crew_ops);
        }
    }
    if (r == LOOP_E_CONNECT) {
        c->result->failure = c->loop.failure;
        return c->loop.failure == EMFILE || c->loop.failure == ENFILE ? CREW_E_FILES
                                                                      : CREW_E_CONNECT;
    }
    return r ? err_trace(r) : loop_step(&c->loop, 10); /* SETTINGS both ways */
}

/* What each client came to, where the parent reads it. */
static void crew_record(const struct crew *c)
{
    for (uint32_t i = c->number; i < c->plan->scenario.clients_count; i += c->plan->processes) {
        const struct crowd_client *who = crowd_client(c->crowd, i);
        struct client *mine = &c->plan->clients[i];
        mine->first_us = who->first_us;
        mine->identity = who->identity;
        mine->rtt_us = who->rtt_us;
        mine->population = who->population;
        mine->state = who->state;
        mine->is_late = who->is_late;
        mine->has_entered = who->has_entered;
    }
    for (uint32_t i = 0; i < c->plan->scenario.populations_count; i++) {
        const struct crowd_tally *t = crowd_tally(c->crowd, i);
        c->result->parties[i].arrived = t->arrived;
        c->result->parties[i].entered = t->entered;
        c->result->parties[i].holds = t->holds;
        c->result->parties[i].wasted = t->wasted;
        c->result->parties[i].passed = t->passed;
        c->result->parties[i].too_late = t->too_late;
        c->result->parties[i].replayed = t->replayed;
    }
}

static int64_t crew_cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void crew_free(struct list *shots)
{
    while (!list_empty(shots)) {
        struct shot *s = CONTAINER_OF(shots->next, struct shot, link);
        list_remove(&s->link);
        free(s->tape.bytes);
        free(s);
    }
}

int crew_run(const struct plan *plan, uint32_t number, const volatile sig_atomic_t *stop,
             struct result *ret_result)
{
    struct crew c = {.plan = plan, .result = ret_result, .stop = stop, .number = number,
                     .dead_since_us = INT64_MIN, .loop.epoll_fd = -1};
    int64_t began_us = clock_mono_us();
    CHECK(number < plan->processes);
    list_init(&c.shots);
    list_init(&c.spare);
    prng_init(&c.prng, plan->seed * 1000003 + number);
    result_init(ret_result);
    int r = crowd_new(&plan->scenario, plan->seed, number, plan->processes, &c.crowd);
    crew_tapes_open(&c);
    r = r ? r : crew_connect(&c);
    r = r ? r : crew_loop(&c);
    loop_close(&c.loop); /* what is still open ends as unreachable */
    if (c.crowd) {
        ret_result->crowd_bytes = crowd_bytes(c.crowd);
        crew_record(&c);
    }
    ret_result->cpu_us = crew_cpu_us();
    ret_result->wall_us = clock_mono_us() - began_us;
    crew_tapes_close(&c);
    crew_free(&c.shots);
    crew_free(&c.spare);
    free(c.parked);
    free(c.away);
    crowd_free(c.crowd);
    return r;
}
