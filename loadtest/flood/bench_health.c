/* SPDX-License-Identifier: MIT */
/* What the gateway costs alone: grpc.health.v1.Health/Check needs neither token nor shard; and what
 * a connection costs that only stands there.
 * Owns: its loop.  health: every stream asks again as soon as it is answered, until the time is
 * over, then what is under way is waited for.  idle: one call each, then silence.
 * The start time of a call is its user pointer, so that measuring allocates nothing.  Server CPU
 * and memory are read from outside (tests/figures).
 * Fails: a connection or call that fails is counted, and the exit code says so. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "flood/bench.h"
#include "flood/loop.h"
#include "verb.h"

#define HEALTH_PATH "/grpc.health.v1.Health/Check"

struct health {
    struct hist hist;
    uint64_t sent_count;
    uint64_t done_count;
    uint64_t failed_count;
    int64_t stop_us; /* no new call after it */
};

static struct health health;

/* One call in flight; the slot is the index in the connection's array. */
static void health_start(struct loop_conn *c)
{
    struct wire_request *request;
    /* The start time travels as the user pointer: nothing to allocate. */
    void *now = (void *)(uintptr_t)clock_mono_us();
    int r = wire_client_call(c->client, HEALTH_PATH, (struct span){0}, -1, (struct span){0}, now,
                             &request);
    health.sent_count++;
    health.failed_count += r != 0;
    loop_touch(c);
}

static void health_message(void *user, struct wire_request *request, struct span message)
{
    (void)user;
    (void)request;
    (void)message;
}

static void health_finish(void *user, struct wire_request *request, int status, struct span text,
                          struct span details)
{
    (void)text;
    (void)details;
    int64_t now = clock_mono_us();
    health.done_count += status == 0;
    health.failed_count += status != 0;
    hist_record(&health.hist, (uint64_t)(now - (int64_t)(uintptr_t)wire_request_user(request)));
    if (now < health.stop_us && status == 0) {
        health_start(user);
    }
}

static const struct wire_client_ops health_ops = {.on_message = health_message,
                                                  .on_finish = health_finish};

static int health_open(struct loop *l, const struct bench_options *o, uint64_t streams)
{
    hist_init(&health.hist);
    int r = loop_open(l, o->target, o->connections, &health_ops);
    if (r) {
        err_print(stderr);
        return r == LOOP_E_CONNECT ? VERB_UNREACHABLE : VERB_FAILED;
    }
    if (loop_step(l, 1) < 0) {
        return VERB_FAILED;
    }
    for (size_t i = 0; i < l->conns_count; i++) {
        for (uint64_t k = 0; k < streams; k++) {
            health_start(&l->conns[i]);
        }
    }
    return VERB_OK;
}

int bench_health(const struct bench_options *o)
{
    struct loop l;
    int64_t start = clock_mono_us();
    health.stop_us = start + (int64_t)o->seconds * SECOND_US;
    int r = health_open(&l, o, o->streams);
    while (r == VERB_OK && l.conns_open > 0 &&
           health.done_count + health.failed_count < health.sent_count &&
           clock_mono_us() < health.stop_us + 5 * SECOND_US) {
        if (loop_step(&l, 100) < 0) {
            err_print(stderr);
            r = VERB_FAILED;
        }
    }
    if (r == VERB_OK && health.done_count < health.sent_count) {
        r = VERB_FAILED;
    }
    double seconds = (double)(health.stop_us - start) / 1e6;
    printf("{\"bench\":\"health\",\"connections\":%llu,\"streams\":%llu,\"rpcs\":%llu,"
           "\"failed\":%llu,\"rpcs_per_s\":%.0f,",
           (unsigned long long)o->connections, (unsigned long long)o->streams,
           (unsigned long long)health.done_count, (unsigned long long)health.failed_count,
           (double)health.done_count / seconds);
    bench_print_hist(stdout, &health.hist);
    printf("}\n");
    loop_close(&l);
    return r;
}

int bench_idle(const struct bench_options *o)
{
    struct loop l;
    health.stop_us = 0; /* one call each, no more */
    int r = health_open(&l, o, 1);
    int64_t limit = clock_mono_us() + 60 * SECOND_US;
    while (r == VERB_OK && health.done_count < o->connections && clock_mono_us() < limit) {
        r = loop_step(&l, 100) < 0 ? VERB_FAILED : VERB_OK;
    }
    printf("{\"bench\":\"idle\",\"held\":%zu,\"answered\":%llu}\n", l.conns_open,
           (unsigned long long)health.done_count);
    fflush(stdout);
    int64_t end = clock_mono_us() + (int64_t)o->seconds * SECOND_US;
    while (r == VERB_OK && clock_mono_us() < end) {
        r = loop_step(&l, 100) < 0 ? VERB_FAILED : VERB_OK;
    }
    loop_close(&l);
    return health.done_count < o->connections ? VERB_FAILED : r;
}
