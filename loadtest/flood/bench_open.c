/* SPDX-License-Identifier: MIT */
/* The generator alone: how many requests a second it sends at their scheduled times from one core,
 * and how late it was.  Open loop: request n is due at n / rate, whatever came back.
 * Owns: its loop.  A connection whose streams are all busy makes its request late, and the lag says
 * so.  Fails: what was sent and not answered OK is counted, and the exit code says so. */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "flood/bench.h"
#include "flood/loop.h"
#include "verb.h"

#define OPEN_PATH    "/grpc.health.v1.Health/Check"
#define OPEN_IDLE_US 2000

static struct {
    struct hist lag, latency;
    uint64_t sent, done, failed;
    int64_t start_us;
} bench_opened;

static void open_message(void *user, struct wire_request *request, struct span message)
{
    (void)user;
    (void)request;
    (void)message;
}

static void open_finish(void *user, struct wire_request *request, int status, struct span text,
                        struct span details)
{
    (void)user;
    (void)text;
    (void)details;
    int64_t took = clock_mono_us() - (int64_t)(uintptr_t)wire_request_user(request);
    bench_opened.done += status == 0;
    bench_opened.failed += status != 0;
    hist_record(&bench_opened.latency, took > 0 ? (uint64_t)took : 0);
}

/* The next request, due at `due_us`; false: no connection has room. */
static bool open_send(struct loop *l, uint64_t number, int64_t due_us)
{
    struct wire_request *request;
    for (size_t i = 0; i < l->conns_count; i++) {
        struct loop_conn *c = &l->conns[(number + i) % l->conns_count];
        if (c->fd < 0) {
            continue;
        }
        int r = wire_client_call(c->client, OPEN_PATH, (struct span){0}, -1, (struct span){0},
                                 (void *)(uintptr_t)due_us, &request);
        if (r == 0) {
            int64_t lag = clock_mono_us() - due_us;
            hist_record(&bench_opened.lag, lag > 0 ? (uint64_t)lag : 0);
            bench_opened.sent++;
            loop_touch(c);
            return true;
        }
    }
    return false;
}

static int open_drive(struct loop *l, const struct bench_options *o)
{
    uint64_t total = o->rate * o->seconds;
    double gap_us = 1e6 / (double)o->rate;
    int r = 0;
    int64_t limit_us = bench_opened.start_us + (int64_t)(o->seconds + 10) * SECOND_US;
    while (r == 0 && l->conns_open > 0 && clock_mono_us() < limit_us &&
           bench_opened.done + bench_opened.failed < total) {
        int64_t due = bench_opened.start_us + (int64_t)((double)bench_opened.sent * gap_us);
        int64_t now = clock_mono_us();
        while (bench_opened.sent < total && due <= now) {
            if (!open_send(l, bench_opened.sent, due)) {
                break;
            }
            due = bench_opened.start_us + (int64_t)((double)bench_opened.sent * gap_us);
        }
        int64_t wait = bench_opened.sent < total ? due - clock_mono_us() : OPEN_IDLE_US;
        r = loop_step_us(l, wait < 0 ? 0 : wait > OPEN_IDLE_US ? OPEN_IDLE_US : wait);
    }
    return r;
}

static double open_cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int bench_open(const struct bench_options *o)
{
    static const struct wire_client_ops ops = {.on_message = open_message,
                                               .on_finish = open_finish};
    struct loop l;
    if (o->rate == 0) {
        fprintf(stderr, "bench: open needs --rate, requests a second\n");
        return VERB_USAGE;
    }
    hist_init(&bench_opened.lag);
    hist_init(&bench_opened.latency);
    int r = loop_open(&l, o->target, o->connections, &ops);
    if (r) {
        return r == LOOP_E_CONNECT ? VERB_UNREACHABLE : VERB_FAILED;
    }
    r = loop_step(&l, 10);
    double cpu_s = open_cpu_s();
    bench_opened.start_us = clock_mono_us();
    r = r ? r : open_drive(&l, o);
    cpu_s = open_cpu_s() - cpu_s;
    if (r < 0) {
        err_print(stderr);
    }
    printf("{\"bench\":\"open\",\"rate\":%llu,\"sent\":%llu,\"answered\":%llu,\"failed\":%llu,"
           "\"cpu_us_per_request\":%.2f,\"lag_p50_us\":%llu,\"lag_p99_us\":%llu,"
           "\"lag_max_us\":%llu,",
           (unsigned long long)o->rate, (unsigned long long)bench_opened.sent,
           (unsigned long long)bench_opened.done, (unsigned long long)bench_opened.failed,
           bench_opened.sent ? cpu_s * 1e6 / (double)bench_opened.sent : 0,
           (unsigned long long)hist_quantile(&bench_opened.lag, 50000),
           (unsigned long long)hist_quantile(&bench_opened.lag, 99000),
           (unsigned long long)bench_opened.lag.max_us);
    bench_print_hist(stdout, &bench_opened.latency);
    printf("}\n");
    loop_close(&l);
    return r == 0 && bench_opened.done == o->rate * o->seconds ? VERB_OK : VERB_FAILED;
}
