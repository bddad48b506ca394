/* SPDX-License-Identifier: MIT */
/* WatchTicket streams of a release that is served by turn: how long until a turn that was given
 * reaches whoever waits for it?
 * Line i of the tokens file watches on stream i; each must have its ticket already.
 * Owns: its loop, the streams.  The instant of a turn is the ticket's act_by_time less the turn's
 * length (--turn-ms): log time, which is this machine's clock when the shard runs on it too.
 * "open" on stderr once every stream has had its first ticket; turns of before are not counted, for
 * they were told by the first look.
 * Any stream that ends with a refusal is counted and printed: a figure with failures is none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "fairslot/v1/services.pb-c.h"
#include "flood/bench.h"
#include "flood/loop.h"
#include "verb.h"

#define WATCH_PATH     "/fairslot.v1.TicketService/WatchTicket"
#define WATCH_OPEN_US  (120 * SECOND_US) /* until all must stand */
#define WATCH_AT_ONCE  64                /* opened in one turn of the loop */

struct stream {
    struct loop_conn *conn;
    bool has_first;
    bool has_turn;
};

static struct watch_bench {
    const struct bench_options *o;
    struct loop loop;
    struct stream *streams;
    size_t streams_count;
    size_t asked_count, first_count;
    uint64_t turns_count, ended_count, failed_count, undecoded_count;
    bool is_measuring;
    bool is_closing; /* what ends now does so because of us */
    struct hist hist;
} watching;

static void watch_turn(const Fairslot__V1__Ticket *t)
{
    int64_t act_by_us = t->act_by_time->seconds * SECOND_US + t->act_by_time->nanos / 1000;
    int64_t took_us = clock_wall_us() - (act_by_us - (int64_t)watching.o->turn_ms * 1000);
    watching.turns_count++;
    hist_record(&watching.hist, took_us > 0 ? (uint64_t)took_us : 0);
}

static void watch_message(void *user, struct wire_request *request, struct span message)
{
    (void)user;
    struct stream *s = wire_request_user(request);
    Fairslot__V1__Ticket *t = fairslot__v1__ticket__unpack(NULL, message.len, message.ptr);
    if (t == NULL) {
        watching.undecoded_count++;
        return;
    }
    watching.first_count += !s->has_first;
    s->has_first = true;
    if (t->state == FAIRSLOT__V1__TICKET__STATE__STATE_TURN && t->act_by_time && !s->has_turn) {
        s->has_turn = true;
        if (watching.is_measuring) {
            watch_turn(t);
        }
    }
    fairslot__v1__ticket__free_unpacked(t, NULL);
}

static void watch_finish(void *user, struct wire_request *request, int status, struct span text,
                         struct span details)
{
    (void)user;
    (void)request;
    (void)details;
    if (watching.is_closing) {
        return;
    }
    watching.ended_count++;
    if (status != 0 && watching.failed_count++ < 3) {
        fprintf(stderr, "bench: status %d: %.*s\n", status, (int)text.len, text.ptr);
    }
}

static int watch_call(struct stream *s, const char *token)
{
    char bearer[TOKEN_MAX + 8], name[256];
    uint8_t packed[300];
    struct wire_request *request;
    Fairslot__V1__WatchTicketRequest q = FAIRSLOT__V1__WATCH_TICKET_REQUEST__INIT;
    int len = snprintf(bearer, sizeof bearer, "Bearer %s", token);
    snprintf(name, sizeof name, "%s/tickets/me", watching.o->release);
    q.name = name;
    size_t n = protobuf_c_message_pack(&q.base, packed);
    int r = wire_client_call(s->conn->client, WATCH_PATH,
                             (struct span){(uint8_t *)bearer, (size_t)len}, -1,
                             (struct span){packed, n}, s, &request);
    loop_touch(s->conn);
    return r;
}

static int watch_open(const struct bench_options *o)
{
    static const struct wire_client_ops ops = {.on_message = watch_message,
                                               .on_finish = watch_finish};
    watching.o = o;
    hist_init(&watching.hist);
    watching.streams_count = o->connections * o->streams;
    watching.streams = calloc(watching.streams_count, sizeof *watching.streams);
    int r = loop_open(&watching.loop, o->target, o->connections, &ops);
    if (r || watching.streams == NULL) {
        return r == LOOP_E_CONNECT ? VERB_UNREACHABLE : VERB_FAILED;
    }
    for (size_t i = 0; i < watching.streams_count; i++) {
        watching.streams[i].conn = &watching.loop.conns[i % o->connections];
    }
    return loop_step(&watching.loop, 10) < 0 ? VERB_FAILED : VERB_OK;
}

static int watch_begin(char **tokens)
{
    int64_t until_us = clock_mono_us() + WATCH_OPEN_US;
    while (watching.first_count < watching.streams_count && watching.failed_count == 0) {
        for (int i = 0; i < WATCH_AT_ONCE && watching.asked_count < watching.streams_count; i++) {
            size_t at = watching.asked_count++;
            if (watch_call(&watching.streams[at], tokens[at])) {
                fprintf(stderr, "bench: stream %zu does not open: more --connections?\n", at);
                return VERB_FAILED;
            }
        }
        if (loop_step(&watching.loop, 5) < 0 || clock_mono_us() > until_us) {
            fprintf(stderr, "bench: %zu of %zu streams stand\n", watching.first_count,
                    watching.streams_count);
            return VERB_FAILED;
        }
    }
    return watching.failed_count ? VERB_FAILED : VERB_OK;
}

static int watch_measure(void)
{
    int64_t until_us = clock_mono_us() + (int64_t)watching.o->seconds * SECOND_US;
    watching.is_measuring = true;
    while (clock_mono_us() < until_us) {
        if (loop_step(&watching.loop, 50) < 0) {
            err_print(stderr);
            return VERB_FAILED;
        }
    }
    return watching.failed_count || watching.undecoded_count ? VERB_FAILED : VERB_OK;
}

int bench_watch(const struct bench_options *o)
{
    size_t count;
    char **tokens = bench_lines(o->tokens_file, &count);
    if (tokens == NULL || count < o->connections * o->streams || o->release == NULL ||
        o->turn_ms == 0) {
        fprintf(stderr, "bench: --release, --turn-ms and a token for every stream are needed\n");
        return VERB_USAGE;
    }
    int r = watch_open(o);
    r = r ? r : watch_begin(tokens);
    if (r) {
        return r;
    }
    fprintf(stderr, "open\nmeasuring\n");
    r = watch_measure();
    printf("{\"bench\":\"watch\",\"streams\":%zu,\"turns\":%llu,\"ended\":%llu,\"failed\":%llu,",
           watching.streams_count, (unsigned long long)watching.turns_count,
           (unsigned long long)watching.ended_count, (unsigned long long)watching.failed_count);
    bench_print_hist(stdout, &watching.hist);
    printf("}\n");
    watching.is_closing = true;
    loop_close(&watching.loop);
    free(watching.streams);
    free(tokens[0]);
    free(tokens);
    return r;
}
