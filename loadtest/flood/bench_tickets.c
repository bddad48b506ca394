/* SPDX-License-Identifier: MIT */
/* Tickets of one release through gateway, queue and shard, each durable: every token of the file
 * enters once, connections x streams calls at a time.
 * Owns: its loop, the streams.  phases: warm (every token is seen once by the gateway), measure.
 * Any answer that is not OK is counted and printed: a figure with failures is no figure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/prng.h"
#include "fairslot/v1/services.pb-c.h"
#include "flood/bench.h"
#include "flood/loop.h"
#include "verb.h"

struct entrant {
    struct loop_conn *conn;
    int64_t start_us;
};

static struct tickets {
    const struct bench_options *o;
    struct loop loop;
    struct entrant *entrants; /* connections x streams */
    size_t entrants_count;
    size_t busy_count;
    char **tokens;
    size_t tokens_count;
    size_t next; /* token */
    bool is_measuring;
    uint64_t done_count, failed_count;
    struct hist hist;
    struct prng prng;
} tickets;

/* The request of the phase, packed; its length. */
static size_t tickets_request(uint8_t *out)
{
    Fairslot__V1__ListPoolsRequest warm = FAIRSLOT__V1__LIST_POOLS_REQUEST__INIT;
    Fairslot__V1__CreateTicketRequest q = FAIRSLOT__V1__CREATE_TICKET_REQUEST__INIT;
    Fairslot__V1__Preference any = FAIRSLOT__V1__PREFERENCE__INIT, *preferences[] = {&any};
    char request_id[37];
    if (!tickets.is_measuring) {
        warm.page_size = 1;
        return protobuf_c_message_pack(&warm.base, out);
    }
    uint64_t a = prng_next(&tickets.prng), b = prng_next(&tickets.prng);
    snprintf(request_id, sizeof request_id, "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)(a >> 32),
             (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xfff, (unsigned)(b >> 48) & 0xfff,
             (unsigned long long)(b & 0xffffffffffff));
    any.want_case = FAIRSLOT__V1__PREFERENCE__WANT_ANY;
    any.any = true;
    q.parent = (char *)tickets.o->release;
    q.preferences = preferences;
    q.n_preferences = 1;
    q.request_id = request_id;
    return protobuf_c_message_pack(&q.base, out);
}

static void tickets_enter(struct entrant *e)
{
    uint8_t packed[512];
    char bearer[TOKEN_MAX + 8];
    struct wire_request *request;
    if (tickets.next == tickets.tokens_count || tickets.failed_count > 100) {
        return;
    }
    int len = snprintf(bearer, sizeof bearer, "Bearer %s", tickets.tokens[tickets.next++]);
    size_t n = tickets_request(packed);
    e->start_us = clock_mono_us();
    int r = wire_client_call(e->conn->client,
                             tickets.is_measuring ? "/fairslot.v1.TicketService/CreateTicket"
                                                  : "/fairslot.v1.CatalogService/ListPools",
                             (struct span){(uint8_t *)bearer, (size_t)len}, -1,
                             (struct span){packed, n}, e, &request);
    loop_touch(e->conn);
    tickets.failed_count += r != 0;
    tickets.busy_count += r == 0;
}

static void tickets_message(void *user, struct wire_request *request, struct span message)
{
    (void)user;
    (void)request;
    (void)message;
}

static void tickets_finish(void *user, struct wire_request *request, int status, struct span text,
                           struct span details)
{
    (void)user;
    (void)details;
    struct entrant *e = wire_request_user(request);
    tickets.busy_count--;
    if (status == 0) {
        tickets.done_count++;
        hist_record(&tickets.hist, (uint64_t)(clock_mono_us() - e->start_us));
    } else if (tickets.failed_count++ < 3) {
        fprintf(stderr, "bench: status %d: %.*s\n", status, (int)text.len, text.ptr);
    }
    tickets_enter(e);
}

static int tickets_open(const struct bench_options *o)
{
    static const struct wire_client_ops ops = {.on_message = tickets_message,
                                               .on_finish = tickets_finish};
    tickets.o = o;
    prng_init(&tickets.prng, (uint64_t)clock_wall_us());
    tickets.tokens = bench_lines(o->tokens_file, &tickets.tokens_count);
    if (tickets.tokens == NULL) {
        return VERB_USAGE;
    }
    tickets.entrants_count = o->connections * o->streams;
    tickets.entrants = calloc(tickets.entrants_count, sizeof *tickets.entrants);
    int r = loop_open(&tickets.loop, o->target, o->connections, &ops);
    if (r || tickets.entrants == NULL) {
        return r == LOOP_E_CONNECT ? VERB_UNREACHABLE : VERB_FAILED;
    }
    for (size_t i = 0; i < tickets.entrants_count; i++) {
        tickets.entrants[i].conn = &tickets.loop.conns[i % o->connections];
    }
    return loop_step(&tickets.loop, 10) < 0 ? VERB_FAILED : VERB_OK; /* SETTINGS both ways */
}

static int tickets_phase(bool is_measuring)
{
    tickets.is_measuring = is_measuring;
    tickets.next = 0;
    tickets.done_count = 0;
    hist_init(&tickets.hist);
    int64_t limit_us = clock_mono_us() + 300 * SECOND_US;
    for (size_t i = 0; i < tickets.entrants_count; i++) {
        tickets_enter(&tickets.entrants[i]);
    }
    while (tickets.busy_count > 0 && clock_mono_us() < limit_us && tickets.loop.conns_open > 0) {
        if (loop_step(&tickets.loop, 100) < 0) {
            err_print(stderr);
            return VERB_FAILED;
        }
    }
    return tickets.failed_count || tickets.busy_count ? VERB_FAILED : VERB_OK;
}

int bench_tickets(const struct bench_options *o)
{
    int r = tickets_open(o);
    r = r ? r : tickets_phase(false);
    if (r) {
        return r;
    }
    fprintf(stderr, "measuring\n"); /* tests/figures reads the server's CPU from here on */
    int64_t start_us = clock_mono_us();
    r = tickets_phase(true);
    double seconds = (double)(clock_mono_us() - start_us) / 1e6;
    printf("{\"bench\":\"tickets\",\"tickets\":%llu,\"failed\":%llu,\"seconds\":%.2f,"
           "\"tickets_per_s\":%.0f,",
           (unsigned long long)tickets.done_count, (unsigned long long)tickets.failed_count,
           seconds, (double)tickets.done_count / seconds);
    bench_print_hist(stdout, &tickets.hist);
    printf("}\n");
    loop_close(&tickets.loop);
    return r;
}
