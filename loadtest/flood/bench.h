/* SPDX-License-Identifier: MIT */
/* What the benches share: options, and one line of JSON as the result. */
#ifndef FAIRSLOT_FLOOD_BENCH_H
#define FAIRSLOT_FLOOD_BENCH_H

#include <stdio.h>

#include "base/hist.h"
#include "base/types.h"

#define BENCH_CONTEXTS_MAX 32

struct bench_options {
    const char *target;       /* HOST:PORT of a gateway, or a shard's nng URL */
    const char *token_file;   /* operator's token, for setting up pools and slots */
    const char *tokens_file;  /* a token a line: identities that are known to the gateway */
    const char *release;      /* pools/POOL/releases/RELEASE, for tickets */
    const char *cold_file;    /* a token a line: never seen, each used once */
    uint64_t connections;
    uint64_t streams;         /* calls in flight on each connection */
    uint64_t seconds;         /* of measuring */
    uint64_t pools;
    uint64_t slots;           /* made before */
    uint64_t identities;
    uint64_t batch;           /* items in one nng message */
    uint64_t contexts;        /* of them under way at most */
    uint64_t rate;            /* open loop, mutations a second; 0: closed loop */
    uint64_t run;             /* number of this run: picks fresh slots and pools */
    uint64_t cold_permille;   /* calls by never seen tokens */
    uint64_t turn_ms;         /* length of a turn of the release, for watch */
    uint64_t skip;            /* slots that earlier runs used up; > 0: nothing is set up */
};

/* Each prints one JSON object on stdout and returns enum verb_exit. */
int bench_health(const struct bench_options *o);
int bench_mutations(const struct bench_options *o);
int bench_shard(const struct bench_options *o);
int bench_open(const struct bench_options *o);
int bench_idle(const struct bench_options *o);
int bench_reads(const struct bench_options *o);
int bench_tickets(const struct bench_options *o);
int bench_watch(const struct bench_options *o);

/* "p50_us":..,"p99_us":..,"p999_us":..,"max_us":.. without braces. */
void bench_print_hist(FILE *out, const struct hist *h);

/* The lines of a file as terminated strings; both owned by the caller (free lines[0], lines).
 * NULL with a message on stderr when unreadable or empty. */
char **bench_lines(const char *path, size_t *ret_count);

/* "pool-RUN-NUMBER" and the slot ids that bench makes in it: one desk, one slot a minute. */
#define BENCH_START_S INT64_C(4102444800) /* 2100-01-01, so that no slot has started */
void bench_pool_id(const struct bench_options *o, uint64_t pool, char out[64]);

#endif
