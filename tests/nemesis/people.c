/* SPDX-License-Identifier: MIT */
/* Many people at once over real gRPC, who write down everything they are told, for the checker.
 * Owns: its loop, the people, the history file.
 *   setup (pools, slots) --> "ready" --> people live until stdin says so or ends --> everybody
 *   settles what was asked --> the final state is read --> "final"
 * Each person has one call in flight; a call without a definite answer is asked again with the same
 * request id until there is one, as the API tells clients to.  A connection that is silent for
 * PEOPLE_PATIENCE is closed, whatever the gateway does.
 * Once a second a line on stdout: how many were acknowledged, and the longest time without one.
 * Fails: exit 1 when somebody's request could not be settled in the end, or setup did not work.
 * usage: people --target HOST:PORT... --operator FILE --tokens FILE --history FILE --final FILE
 *               [--slots N] [--pools N] [--rate N] [--seed N] */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "flood/bench.h"
#include "nemesis/people.h"

#define PEOPLE_PATIENCE (12 * SECOND_US)
#define PEOPLE_DEADLINE (6 * SECOND_US)
#define PEOPLE_CONNS    16
#define PEOPLE_SETTLE   (90 * SECOND_US)

static struct people g;
static volatile sig_atomic_t is_told_to_end;

static void people_signal(int number)
{
    (void)number;
    is_told_to_end = 1;
}

static void people_on_message(void *user, struct wire_request *request, struct span message)
{
    (void)user;
    people_hear(wire_request_user(request), message);
}

static void people_on_finish(void *user, struct wire_request *request, int status,
                             struct span text, struct span details)
{
    (void)user;
    struct person *p = wire_request_user(request);
    p->call = NULL;
    people_settle(&g, p, status, text, details);
}

static const struct wire_client_ops people_ops = {.on_message = people_on_message,
                                                  .on_finish = people_on_finish};

bool people_send(struct people *all, struct person *p, const struct people_ask *ask)
{
    if (p->conn->fd < 0) {
        return false;
    }
    p->said = (struct story_line){0};
    p->said_id[0] = 0;
    p->invoke_us = clock_mono_us();
    struct span auth = {(const uint8_t *)p->bearer, strlen(p->bearer)};
    int r = wire_client_call(p->conn->client, ask->path, auth, PEOPLE_DEADLINE,
                             (struct span){ask->packed, ask->packed_len}, p, &p->call);
    if (r) {
        p->call = NULL;
        p->retry_us = p->invoke_us + 20000;
        return false;
    }
    all->calls++;
    loop_touch(p->conn);
    return true;
}

/* Whatever this person may do now. */
static void people_step(struct person *p, int64_t now)
{
    if (p->call) {
        if (now - p->invoke_us > PEOPLE_PATIENCE) {
            wire_request_cancel(p->call);
            loop_touch(p->conn);
            p->invoke_us = now; /* written down when it ends */
        }
        return;
    }
    if (now < p->retry_us) {
        return;
    }
    /* What was sent again is not counted: else who had no answer for a while is silent as long
     * when there could be one, and that looks like a gap in the writes. */
    bool is_due = g.calls - g.retries < (uint64_t)(now - g.start_us) * g.rate / 1000000;
    if (p->now.op != STORY_NONE) {
        g.retries += people_send(&g, p, &p->now);
    } else if (!g.is_ending && is_due) {
        people_choose(&g, p);
        people_send(&g, p, p->is_again ? &p->last : &p->now);
        p->is_again = p->is_again && p->call;
    }
}

static void people_reconnect(int64_t now)
{
    static int64_t next;
    if (now < next) {
        return;
    }
    next = now + 200000;
    for (size_t i = 0; i < g.loop.conns_count; i++) {
        if (g.loop.conns[i].fd < 0) {
            loop_reopen(&g.loop.conns[i], g.targets[i % g.targets_count], &people_ops);
        }
    }
}

static bool people_stdin_ended(void)
{
    struct pollfd in = {.fd = 0, .events = POLLIN};
    char word[16];
    return poll(&in, 1, 0) > 0 && read(0, word, sizeof word) >= 0;
}

static void people_tell(int64_t now)
{
    static int64_t next;
    if (now < next) {
        return;
    }
    next = now + SECOND_US;
    printf("{\"at_us\":%" PRId64 ",\"acknowledged\":%" PRIu64 ",\"calls\":%" PRIu64
           ",\"unknown\":%" PRIu64 ",\"gap_us\":%" PRId64 ",\"silent_us\":%" PRId64 "}\n",
           now, g.acknowledged, g.calls, g.unknown, g.gap_us, now - g.answered_us);
    fflush(stdout);
    fflush(g.history);
}

/* Until it is told to end and everybody has settled; false: somebody could not. */
static bool people_live(void)
{
    int64_t until = INT64_MAX, now = clock_mono_us();
    size_t busy = 1, first = 0;
    g.start_us = g.answered_us = now;
    while (busy > 0 && now < until) {
        busy = 0;
        for (size_t i = 0; i < g.people_count; i++) {
            struct person *p = &g.people[(first + i) % g.people_count];
            people_step(p, now);
            busy += p->call != NULL || p->now.op != STORY_NONE;
        }
        first += 37; /* nobody is always first when the rate is the limit */
        people_reconnect(now);
        people_tell(now);
        if (loop_step_us(&g.loop, 1000) < 0) {
            return false;
        }
        now = clock_mono_us();
        if (!g.is_ending && (is_told_to_end || people_stdin_ended())) {
            g.is_ending = true;
            until = now + PEOPLE_SETTLE;
        }
        busy += !g.is_ending;
    }
    return busy == 0;
}

static char *people_bearer(const char *token)
{
    size_t size = strlen(token) + 8;
    char *bearer = malloc(size);
    CHECK(bearer != NULL);
    snprintf(bearer, size, "Bearer %s", token);
    return bearer;
}

static bool people_open(const char *operator_file, const char *tokens_file, const char *history)
{
    size_t one = 0, count = 0;
    char **own = bench_lines(operator_file, &one);
    char **tokens = bench_lines(tokens_file, &count);
    g.history = fopen(history, "wb");
    if (own == NULL || tokens == NULL || g.history == NULL || loop_init(&g.loop, PEOPLE_CONNS)) {
        fprintf(stderr, "people: %s or %s or %s: %s\n", operator_file, tokens_file, history,
                strerror(errno));
        return false;
    }
    g.operator_bearer = people_bearer(own[0]);
    g.people = calloc(count, sizeof *g.people);
    CHECK(g.people != NULL);
    g.people_count = count;
    for (size_t i = 0; i < count; i++) {
        g.people[i].number = (uint32_t)i;
        g.people[i].bearer = people_bearer(tokens[i]);
        g.people[i].conn = &g.loop.conns[i % PEOPLE_CONNS];
    }
    free(own[0]);
    free(own);
    free(tokens[0]);
    free(tokens);
    return true;
}

static void people_close(void)
{
    loop_close(&g.loop);
    for (size_t i = 0; i < g.people_count; i++) {
        free(g.people[i].bearer);
    }
    free(g.people);
    free(g.operator_bearer);
    fclose(g.history);
}

/* The value of the option, when `word` is its name. */
static bool people_option(const char *word, const char *name, char *value, const char **ret_value)
{
    if (strcmp(word, name) != 0 || value == NULL) {
        return false;
    }
    *ret_value = value;
    return true;
}

int main(int argc, char **argv)
{
    const char *operator_file = "", *tokens = "", *history = "", *final = "", *number = "0";
    g.pools = 20;
    g.slots = 20000;
    g.rate = 2000;
    uint64_t seed = 1;
    for (int i = 1; i < argc; i += 2) {
        char *value = argv[i + 1];
        if (people_option(argv[i], "--target", value, &number) &&
            g.targets_count < PEOPLE_TARGETS_MAX) {
            g.targets[g.targets_count++] = number;
        } else if (people_option(argv[i], "--slots", value, &number)) {
            g.slots = (uint32_t)atol(number);
        } else if (people_option(argv[i], "--pools", value, &number)) {
            g.pools = (uint32_t)atol(number);
        } else if (people_option(argv[i], "--rate", value, &number)) {
            g.rate = (uint64_t)atol(number);
        } else if (people_option(argv[i], "--seed", value, &number)) {
            seed = strtoull(number, NULL, 10);
        } else if (!people_option(argv[i], "--operator", value, &operator_file) &&
                   !people_option(argv[i], "--tokens", value, &tokens) &&
                   !people_option(argv[i], "--history", value, &history) &&
                   !people_option(argv[i], "--final", value, &final)) {
            fprintf(stderr, "people: %s is not understood\n", argv[i]);
            return 2;
        }
    }
    g.slots -= g.slots % g.pools;
    prng_init(&g.prng, seed);
    signal(SIGTERM, people_signal);
    signal(SIGINT, people_signal);
    signal(SIGPIPE, SIG_IGN);
    if (g.targets_count == 0 || !people_open(operator_file, tokens, history) ||
        people_prepare(&g) != 0) {
        return 1;
    }
    printf("ready\n");
    bool is_settled = people_live();
    fflush(g.history);
    printf("%s\n", is_settled ? "settled" : "unsettled");
    fflush(stdout);
    int r = people_final(&g, final);
    printf("final\n");
    people_close();
    return r == 0 && is_settled ? 0 : 1;
}
