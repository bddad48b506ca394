/* SPDX-License-Identifier: MIT */
/* Every allocation of a whole conversation fails once, on either side: no crash, no leak, every
 * call closed once, every request finished once.  Also what a connection holds when it is idle. */
#include "pair.h"
#include "purse.h"

#include "base/limits.h"

static struct pair p;
static int calls; /* requests that wire_client_call() took */

static void memory_call(const char *path, const char *token, struct span message)
{
    struct wire_request *request;
    int r = wire_client_call(p.client, path, span_of(token), 1000000, message, &p, &request);
    pair_note(&p, r);
    calls += r == 0;
    if (r == 0 && strcmp(path, "/silent") == 0) {
        wire_request_cancel(request);
    }
}

static void memory_steps(int count)
{
    size_t moved = 1;
    for (int i = 0; i < count && moved > 0; i++) {
        moved = pair_to_server(&p) + pair_to_client(&p);
    }
}

/* A bit of everything: unary, big, errors, stream, early, cancelled, drained. */
static void memory_conversation(void)
{
    static uint8_t big[30000];
    static char token[700];
    memset(token, 't', sizeof(token) - 1);
    p.stream_left = 1500;
    memory_call("/echo", token, (struct span){big, sizeof(big)});
    memory_call("/half", "", span_of("x"));
    memory_call("/stream", "", span_of("x"));
    memory_steps(20);
    memory_call("/early", "", (struct span){big, 300});
    memory_call("/silent", "", span_of("x"));
    memory_call("/error", "", span_of("x"));
    memory_steps(20);
    memory_call("/echo", token, span_of("x"));
    pair_note(&p, wire_server_drain(p.server));
    memory_steps(20);
    pair_note(&p, wire_server_drain(p.server));
    memory_steps(1000);
}

static void memory_round(struct purse *server, struct purse *client)
{
    nghttp2_mem server_mem = purse_mem(server), client_mem = purse_mem(client);
    p = (struct pair){0};
    calls = 0;
    prng_init(&p.prng, 1);
    p.cut_max = 3000;
    int r = wire_server_new_on(&pair_server_ops, &p, &pair_limits, &server_mem, &p.server);
    pair_note(&p, r);
    if (r == 0) {
        r = wire_client_new_on(&pair_client_ops, &p, &client_mem, &p.client);
        pair_note(&p, r);
    }
    if (r == 0) {
        memory_conversation();
    }
    wire_server_free(p.server);
    wire_client_free(p.client);
    EQ(p.opened, p.closed);
    EQ(p.finished, calls);
    EQ(server->live, 0);
    EQ(client->live, 0);
}

static void memory_fail_each(bool on_server, bool fails_on)
{
    struct purse server = {0}, client = {0};
    memory_round(&server, &client);
    EQ(p.failure, 0);
    EQ(p.statuses[0], 3);
    struct purse *purse = on_server ? &server : &client;
    uint64_t count = purse->count;
    OK(count > 80);
    int unnoticed = 0;
    for (uint64_t n = 1; n <= count; n++) {
        server = client = (struct purse){0};
        purse->fail_at = n;
        purse->fails_on = fails_on;
        memory_round(&server, &client);
        unnoticed += p.failure == 0;
        if (tap_broken) {
            printf("# allocation %d of %d\n", (int)n, (int)count);
            return;
        }
    }
    printf("# %d allocations, %d failures without effect\n", (int)count, unnoticed);
}

static void test_server_fails_once(void)
{
    memory_fail_each(true, false);
}

static void test_server_fails_on(void)
{
    memory_fail_each(true, true);
}

static void test_client_fails_once(void)
{
    memory_fail_each(false, false);
}

static void test_client_fails_on(void)
{
    memory_fail_each(false, true);
}

/* An idle connection: nghttp2's 16 KiB frame buffer is the one big thing, touched in its first
 * page only, so that resident memory is far below. */
static void test_idle_bytes(void)
{
    struct purse purse = {0};
    nghttp2_mem mem = purse_mem(&purse);
    pair_new(&p);
    wire_server_free(p.server);
    EQ(wire_server_new_on(&pair_server_ops, &p, &pair_limits, &mem, &p.server), 0);
    pair_run(&p);
    size_t fresh = purse.bytes;
    for (int i = 0; i < 1000; i++) {
        pair_call(&p, "/echo", span_of("hello"), NULL);
        if (i % 50 == 49) {
            pair_run(&p);
        }
    }
    pair_run(&p);
    EQ(p.statuses[0], 1000);
    printf("# idle: %zu bytes fresh, %zu after 1,000 calls, struct %zu, call %zu\n", fresh,
           purse.bytes, sizeof(struct wire_server), sizeof(struct wire_call));
    OK(purse.bytes - 16 * 1024 < 12 * 1024);
    OK(purse.bytes < fresh + 4096);
    wire_client_free(p.client);
    wire_server_free(p.server);
    EQ(purse.live, 0);
}

int main(void)
{
    TAP_RUN(test_server_fails_once);
    TAP_RUN(test_server_fails_on);
    TAP_RUN(test_client_fails_once);
    TAP_RUN(test_client_fails_on);
    TAP_RUN(test_idle_bytes);
    return tap_done();
}
