/* SPDX-License-Identifier: MIT */
/* Reads through gateway, queue and hop: ListPools (page_size 1) by people who ask again as soon
 * as they are answered.  Stream i asks with line i of the tokens file, over and over: so a file of
 * one line makes all connections one identity, which is how a flooder is made.
 * Owns: its loop, the streams, each identity's times.
 * Refusals are answers here: a flooder lives on them.  They are counted apart and asked again at
 * once, with no regard for the time they name.
 * On stderr five times a second: the monotonic time in microseconds, and calls served and
 * refused so far.
 * The result tells what each identity got: the fewest and most calls, the worst p99 of any. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "flood/bench.h"
#include "flood/loop.h"
#include "verb.h"

#define READS_PATH    "/fairslot.v1.CatalogService/ListPools"
#define READS_SAMPLES 20000 /* times kept of one identity; later ones are counted only */

/* One identity. */
struct person {
    char *bearer;      /* "Bearer TOKEN" */
    size_t bearer_len;
    uint64_t count;    /* answers while measuring */
    size_t kept;       /* of `took_us` */
    uint32_t *took_us; /* READS_SAMPLES */
};

/* One call in flight. */
struct asker {
    struct loop_conn *conn;
    struct person *person;
    int64_t start_us;
};

static struct reads {
    struct person *people;
    size_t people_count;
    struct asker *askers; /* connections x streams */
    size_t askers_count;
    size_t busy_count;
    uint64_t served_count; /* from the first call on */
    uint64_t told_no_count;
    uint64_t done_count;   /* while measuring, as what follows */
    uint64_t refused_count;
    uint64_t failed_count; /* connections that ended */
    int64_t begin_us;      /* measuring; before that it warms up */
    int64_t stop_us;
    struct hist hist;
} reads;

static void reads_ask(struct asker *a)
{
    static const uint8_t page_size_one[] = {8, 1};
    struct wire_request *request;
    struct span bearer = {(const uint8_t *)a->person->bearer, a->person->bearer_len};
    if (a->conn->client == NULL) {
        reads.failed_count++;
        return;
    }
    a->start_us = clock_mono_us();
    int r = wire_client_call(a->conn->client, READS_PATH, bearer, -1,
                             (struct span){page_size_one, sizeof page_size_one}, a, &request);
    if (r) {
        reads.failed_count++;
        return;
    }
    reads.busy_count++;
    loop_touch(a->conn);
}

static void reads_message(void *user, struct wire_request *request, struct span message)
{
    (void)user;
    (void)request;
    (void)message;
}

static void reads_note(struct asker *a, int64_t now, int status)
{
    uint64_t took = (uint64_t)(now - a->start_us);
    if (status != 0) {
        reads.refused_count++;
        return;
    }
    reads.done_count++;
    a->person->count++;
    hist_record(&reads.hist, took);
    if (a->person->kept < READS_SAMPLES) {
        a->person->took_us[a->person->kept++] = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
    }
}

static void reads_finish(void *user, struct wire_request *request, int status, struct span text,
                         struct span details)
{
    (void)user;
    (void)text;
    (void)details;
    struct asker *a = wire_request_user(request);
    int64_t now = clock_mono_us();
    reads.busy_count--;
    reads.served_count += status == 0;
    reads.told_no_count += status != 0;
    if (now >= reads.begin_us && now < reads.stop_us) {
        reads_note(a, now, status);
    }
    if (now < reads.stop_us) {
        reads_ask(a);
    }
}

static const struct wire_client_ops reads_ops = {.on_message = reads_message,
                                                 .on_finish = reads_finish};

static int reads_open(struct loop *l, const struct bench_options *o)
{
    char **tokens = bench_lines(o->tokens_file, &reads.people_count);
    if (tokens == NULL) {
        return VERB_USAGE;
    }
    hist_init(&reads.hist);
    reads.askers_count = o->connections * o->streams;
    reads.people_count = reads.people_count < reads.askers_count ? reads.people_count
                                                                 : reads.askers_count;
    reads.people = calloc(reads.people_count, sizeof *reads.people);
    reads.askers = calloc(reads.askers_count, sizeof *reads.askers);
    for (size_t i = 0; reads.people && i < reads.people_count; i++) {
        struct person *p = &reads.people[i];
        p->took_us = malloc(READS_SAMPLES * sizeof *p->took_us);
        p->bearer_len = strlen(tokens[i]) + 7;
        p->bearer = malloc(p->bearer_len + 1);
        if (p->took_us == NULL || p->bearer == NULL) {
            return VERB_FAILED;
        }
        snprintf(p->bearer, p->bearer_len + 1, "Bearer %s", tokens[i]);
    }
    int r = reads.people && reads.askers ? loop_open(l, o->target, o->connections, &reads_ops)
                                         : LOOP_E_CONNECT;
    if (r) {
        err_print(stderr);
        return r == LOOP_E_CONNECT ? VERB_UNREACHABLE : VERB_FAILED;
    }
    for (size_t i = 0; i < reads.askers_count; i++) {
        reads.askers[i].conn = &l->conns[i % o->connections];
        reads.askers[i].person = &reads.people[i % reads.people_count];
    }
    return VERB_OK;
}

static int reads_compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void reads_print(const struct bench_options *o)
{
    uint64_t least = UINT64_MAX, most = 0;
    uint32_t worst_us = 0;
    for (size_t i = 0; i < reads.people_count; i++) {
        struct person *p = &reads.people[i];
        least = p->count < least ? p->count : least;
        most = p->count > most ? p->count : most;
        if (p->kept) {
            qsort(p->took_us, p->kept, sizeof *p->took_us, reads_compare);
            uint32_t p99 = p->took_us[p->kept * 99 / 100];
            worst_us = p99 > worst_us ? p99 : worst_us;
        }
    }
    printf("{\"bench\":\"reads\",\"connections\":%llu,\"streams\":%llu,\"identities\":%zu,"
           "\"rpcs\":%llu,\"refused\":%llu,\"failed\":%llu,\"seconds\":%llu,"
           "\"rpcs_of_one_min\":%llu,\"rpcs_of_one_max\":%llu,\"p99_of_one_max_us\":%u,",
           (unsigned long long)o->connections, (unsigned long long)o->streams, reads.people_count,
           (unsigned long long)reads.done_count, (unsigned long long)reads.refused_count,
           (unsigned long long)reads.failed_count, (unsigned long long)o->seconds,
           (unsigned long long)least, (unsigned long long)most, worst_us);
    bench_print_hist(stdout, &reads.hist);
    printf("}\n");
}

int bench_reads(const struct bench_options *o)
{
    struct loop l;
    int r = reads_open(&l, o);
    if (r) {
        return r;
    }
    reads.begin_us = INT64_MAX;
    reads.stop_us = INT64_MAX;
    for (int i = 0; i < 10 && r == VERB_OK; i++) { /* SETTINGS of all connections */
        r = loop_step(&l, 10) < 0 ? VERB_FAILED : VERB_OK;
    }
    for (size_t i = 0; i < reads.askers_count && r == VERB_OK; i++) {
        reads_ask(&reads.askers[i]);
    }
    int64_t start = clock_mono_us();
    reads.begin_us = start + SECOND_US; /* tokens are verified meanwhile */
    reads.stop_us = reads.begin_us + (int64_t)o->seconds * SECOND_US;
    bool is_said = false;
    int64_t said_us = 0;
    while (r == VERB_OK && reads.busy_count > 0 && l.conns_open > 0 &&
           clock_mono_us() < reads.stop_us + 15 * SECOND_US) {
        if (!is_said && clock_mono_us() >= reads.begin_us) {
            is_said = true;
            fprintf(stderr, "measuring\n");
        }
        if (clock_mono_us() - said_us >= SECOND_US / 5) {
            said_us = clock_mono_us();
            fprintf(stderr, "served %lld %llu %llu\n", (long long)said_us,
                    (unsigned long long)reads.served_count,
                    (unsigned long long)reads.told_no_count);
        }
        r = loop_step(&l, 100) < 0 ? VERB_FAILED : VERB_OK;
    }
    reads_print(o);
    loop_close(&l);
    return reads.done_count == 0 ? VERB_FAILED : r;
}
