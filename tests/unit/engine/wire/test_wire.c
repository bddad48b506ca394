/* SPDX-License-Identifier: MIT */
/* Does a call keep its shape between our client and our server? */
#include "pair.h"

#include "base/limits.h"

static struct pair p;

static void test_unary(void)
{
    pair_new(&p);
    OK(!wire_server_wants_send(p.server)); /* the client has not said what it speaks */
    EQ(pair_call(&p, "/echo", span_of("hello"), NULL), 0);
    EQ(wire_client_room(p.client), 99);
    pair_run(&p);
    EQS(p.path, "/echo");
    EQS(p.authorization, "");
    EQ(p.timeout_us, -1);
    EQ(p.messages, 1);
    EQ(p.half_closed, 1);
    EQ(p.answers, 1);
    EQ(p.answer_bytes, 5);
    EQ(p.statuses[0], 1);
    EQ(p.closed_finished, 1);
    EQ(wire_server_calls_count(p.server), 0);
    OK(!wire_server_wants_send(p.server));
    OK(!wire_server_done(p.server));
    OK(!wire_client_done(p.client));
    pair_free(&p);
}

static void test_empty_message(void)
{
    pair_new(&p);
    pair_call(&p, "/echo", (struct span){0}, NULL);
    pair_run(&p);
    EQ(p.messages, 1);
    EQ(p.answers, 1);
    EQ(p.answer_bytes, 0);
    EQ(p.statuses[0], 1);
    pair_free(&p);
}

static void test_headers_arrive(void)
{
    static char token[8 * 1024 + 8];
    memset(token, 'a', sizeof(token) - 1);
    memcpy(token, "Bearer ", 7);
    struct wire_request *request;
    pair_new(&p);
    for (int i = 0; i < 3; i++) {
        EQ(wire_client_call(p.client, "/echo", span_of(token), 1500000, (struct span){0}, &p,
                            &request), 0);
        pair_run(&p);
        EQS(p.authorization, token);
        EQ(p.timeout_us, 1500000);
    }
    EQ(p.statuses[0], 3);
    pair_free(&p);
}

static void test_error(void)
{
    static const uint8_t packed[] = {8, 5, 18, 0, 255, 1, 2};
    pair_new(&p);
    pair_call(&p, "/error", span_of("x"), NULL);
    pair_run(&p);
    EQ(p.answers, 0);
    EQ(p.statuses[5], 1);
    EQS(p.text, " 100% kein Platz f\xc3\xbcr\nSie ");
    EQ(p.details_len, sizeof(packed));
    OK(memcmp(p.details, packed, sizeof(packed)) == 0);
    /* The same after a message, in real trailers. */
    pair_call(&p, "/half", span_of("x"), NULL);
    pair_run(&p);
    EQ(p.answers, 1);
    EQ(p.statuses[5], 2);
    EQS(p.text, " 100% kein Platz f\xc3\xbcr\nSie ");
    EQ(p.details_len, sizeof(packed));
    EQ(p.closed_finished, 2);
    pair_free(&p);
}

static void test_text_and_details_are_cut(void)
{
    static uint8_t big[WIRE_DETAILS_MAX + 1];
    memset(big, 'x', sizeof(big));
    pair_new(&p);
    pair_call(&p, "/silent", span_of("x"), NULL);
    pair_run(&p);
    EQ(wire_call_finish(p.call, 3, (struct span){big, sizeof(big)},
                        (struct span){big, sizeof(big)}), 0);
    pair_run(&p);
    EQ(p.statuses[3], 1);
    EQ(strlen(p.text), WIRE_TEXT_MAX);
    EQ(p.details_len, 0);
    pair_call(&p, "/silent", span_of("x"), NULL);
    pair_run(&p);
    memset(big, '\n', sizeof(big)); /* three times as long on the wire */
    EQ(wire_call_finish(p.call, 3, (struct span){big, sizeof(big)},
                        (struct span){big, WIRE_DETAILS_MAX}), 0);
    pair_run(&p);
    EQ(p.statuses[3], 2);
    EQ(strlen(p.text), WIRE_TEXT_MAX);
    EQ(p.details_len, WIRE_DETAILS_MAX);
    pair_free(&p);
}

static void test_big_messages(void)
{
    static uint8_t big[64 * 1024];
    memset(big, 7, sizeof(big));
    pair_new(&p);
    for (int i = 0; i < 20; i++) {
        EQ(pair_call(&p, "/echo", (struct span){big, sizeof(big)}, NULL), 0);
    }
    pair_run(&p);
    EQ(p.messages, 20);
    EQ(p.message_bytes, 20 * sizeof(big));
    EQ(p.answer_bytes, 20 * sizeof(big));
    EQ(p.statuses[0], 20);
    pair_free(&p);
}

static void test_early_finish(void)
{
    static uint8_t big[64 * 1024];
    pair_new(&p);
    pair_call(&p, "/early", (struct span){big, sizeof(big)}, NULL);
    pair_run(&p);
    EQ(p.messages, 0);
    EQ(p.half_closed, 0);
    EQ(p.statuses[16], 1);
    EQS(p.text, "no");
    EQ(p.closed_finished, 1);
    /* The client was told to stop sending, politely: the connection lives. */
    pair_call(&p, "/echo", span_of("x"), NULL);
    pair_run(&p);
    EQ(p.statuses[0], 1);
    pair_free(&p);
}

static void test_many_at_once(void)
{
    pair_new(&p);
    pair_run(&p);
    for (int i = 0; i < 100; i++) {
        EQ(pair_call(&p, "/echo", span_of("x"), NULL), 0);
    }
    EQ(wire_client_room(p.client), 0);
    EQ(pair_call(&p, "/echo", span_of("x"), NULL), WIRE_E_FULL);
    pair_run(&p);
    EQ(p.statuses[0], 100);
    EQ(wire_client_room(p.client), 100);
    EQ(p.closed, 100);
    EQ(p.server->spare_count, WIRE_SPARE_CALLS_IDLE);
    pair_free(&p);
}

static void test_random_cuts(void)
{
    static uint8_t big[5000];
    for (uint64_t seed = 1; seed <= 40; seed++) {
        pair_new(&p);
        prng_init(&p.prng, seed);
        p.cut_max = seed < 5 ? 1 : 1 + seed * 7 % 60;
        p.stream_left = p.next = 30;
        pair_call(&p, "/stream", span_of("go"), NULL);
        for (int i = 0; i < 10; i++) {
            pair_call(&p, i % 2 ? "/echo" : "/half", (struct span){big, 500u * (unsigned)i}, NULL);
        }
        p.next = 0;
        pair_run(&p);
        OK(p.failure == 0 && p.finished == 11 && p.statuses[0] == 6 && p.statuses[5] == 5);
        EQ(p.answers, 40);
        EQ(p.closed_finished, 11);
        pair_free(&p);
        if (tap_broken) {
            printf("# seed %d\n", (int)seed);
            return;
        }
    }
}

static void test_slow_reader(void)
{
    const uint32_t count = 20000;
    pair_new(&p);
    pair_call(&p, "/stream", span_of("go"), NULL);
    p.stream_left = p.next = count;
    p.is_client_deaf = true;
    pair_run(&p);
    EQ(p.full, 1);
    OK(p.queued_max <= pair_limits.queued_bytes);
    OK(p.queued_max > pair_limits.queued_bytes - 105);
    EQ(wire_server_queued_bytes(p.server), wire_call_queued_bytes(p.call));
    p.is_client_deaf = false;
    pair_run(&p);
    EQ(p.answers, count);
    EQ(p.disorder, 0);
    EQ(p.statuses[0], 1);
    OK(p.full > 10);
    EQ(p.drained, p.full);
    OK(p.queued_max <= pair_limits.queued_bytes);
    EQ(wire_server_queued_bytes(p.server), 0);
    pair_free(&p);
}

static void test_message_over_the_cap_alone(void)
{
    static uint8_t big[300 * 1024];
    pair_new(&p);
    pair_call(&p, "/silent", span_of("x"), NULL);
    pair_run(&p);
    EQ(wire_call_send(p.call, (struct span){big, sizeof(big)}), 0);
    EQ(wire_call_send(p.call, span_of("x")), WIRE_E_FULL);
    pair_run(&p);
    EQ(p.answer_bytes, sizeof(big));
    EQ(p.drained, 1);
    EQ(wire_call_finish(p.call, 0, (struct span){0}, (struct span){0}), 0);
    EQ(wire_call_send(p.call, span_of("late")), 0);
    pair_run(&p);
    EQ(p.answers, 1);
    EQ(p.statuses[0], 1);
    pair_free(&p);
}

/* The calls of one connection together are capped too, and all of them are told of room. */
static void test_connection_cap(void)
{
    static uint8_t big[400 * 1024];
    static struct wire_call *calls[40];
    pair_new(&p);
    int full = 0;
    for (int i = 0; i < 40; i++) {
        pair_call(&p, "/silent", span_of("x"), NULL);
        pair_to_server(&p);
        calls[i] = p.call;
        full += wire_call_send(calls[i], (struct span){big, sizeof(big)}) == WIRE_E_FULL;
    }
    EQ(full, 20);
    OK(wire_server_queued_bytes(p.server) <= WIRE_QUEUED_BYTES_MAX);
    pair_run(&p);
    EQ(p.drained, 20);
    EQ(wire_server_queued_bytes(p.server), 0);
    for (int i = 0; i < 40; i++) {
        wire_call_finish(calls[i], 0, (struct span){0}, (struct span){0});
    }
    pair_run(&p);
    EQ(p.statuses[0], 40);
    pair_free(&p);
}

static void test_answer_over_the_client_limit(void)
{
    static uint8_t big[ANSWER_MAX + 1];
    pair_new(&p);
    pair_call(&p, "/silent", span_of("x"), NULL);
    pair_run(&p);
    wire_call_send(p.call, (struct span){big, sizeof(big)});
    pair_run(&p);
    EQ(p.answers, 0);
    EQ(p.statuses[8], 1);
    EQ(p.closed, 1);
    EQ(p.closed_finished, 0);
    pair_free(&p);
}

static void test_cancel(void)
{
    struct wire_request *request;
    pair_new(&p);
    pair_call(&p, "/silent", span_of("x"), &request);
    pair_run(&p);
    EQ(wire_server_calls_count(p.server), 1);
    wire_request_cancel(request);
    wire_request_cancel(request);
    EQ(p.finished, 0);
    pair_run(&p);
    EQ(p.statuses[1], 1);
    EQ(p.closed, 1);
    EQ(p.closed_finished, 0);
    EQ(wire_server_calls_count(p.server), 0);
    /* Before a byte left. */
    pair_call(&p, "/silent", span_of("x"), &request);
    wire_request_cancel(request);
    pair_run(&p);
    EQ(p.statuses[1], 2);
    EQ(p.finished, 2);
    /* While answers are on their way. */
    p.stream_left = 1000;
    pair_call(&p, "/stream", span_of("x"), &request);
    pair_to_server(&p);
    wire_request_cancel(request);
    pair_run(&p);
    EQ(p.statuses[1], 3);
    EQ(wire_server_queued_bytes(p.server), 0);
    pair_free(&p);
}

static void test_drain(void)
{
    pair_new(&p);
    pair_call(&p, "/silent", span_of("x"), NULL);
    pair_run(&p);
    struct wire_call *live = p.call;
    EQ(wire_server_drain(p.server), 0);
    pair_call(&p, "/echo", span_of("sent before the notice came"), NULL);
    pair_run(&p);
    EQ(p.statuses[0], 1);
    EQ(wire_client_room(p.client), 0);
    EQ(pair_call(&p, "/echo", span_of("x"), NULL), WIRE_E_CLOSE);
    OK(!wire_server_done(p.server));
    EQ(wire_server_drain(p.server), 0);
    EQ(wire_server_drain(p.server), 0);
    pair_run(&p);
    OK(!wire_server_done(p.server));
    EQ(wire_call_send(live, span_of("late, but here")), 0);
    EQ(wire_call_finish(live, 0, (struct span){0}, (struct span){0}), 0);
    pair_run(&p);
    EQ(p.statuses[0], 2);
    OK(wire_server_done(p.server));
    OK(wire_client_done(p.client));
    pair_free(&p);
}

/* A call that crosses the final GOAWAY is not opened; its client may send it elsewhere. */
static void test_drain_refuses_what_crosses(void)
{
    pair_new(&p);
    pair_run(&p);
    wire_server_drain(p.server);
    wire_server_drain(p.server);
    static uint8_t buf[4096];
    ssize_t n = wire_server_send(p.server, buf, sizeof(buf));
    pair_call(&p, "/echo", span_of("x"), NULL);
    pair_to_server(&p);
    EQ(wire_client_receive(p.client, buf, (size_t)n), 0);
    pair_run(&p);
    EQ(p.opened, 0);
    EQ(p.statuses[14], 1);
    OK(wire_server_done(p.server));
    pair_free(&p);
}

static void test_connection_ends(void)
{
    pair_new(&p);
    for (int i = 0; i < 10; i++) {
        pair_call(&p, i % 2 ? "/silent" : "/echo", span_of("x"), NULL);
    }
    pair_to_server(&p);
    EQ(p.opened, 10);
    wire_server_free(p.server);
    p.server = NULL;
    EQ(p.closed, 10);
    EQ(p.closed_finished, 0);
    wire_client_free(p.client);
    EQ(p.statuses[14], 10);
    EQ(p.finished, 10);
    EQS(p.text, "the connection ended");
    wire_server_free(NULL);
    wire_client_free(NULL);
}

static void test_small_buffers(void)
{
    pair_new(&p);
    uint8_t one;
    pair_call(&p, "/half", span_of("hello"), NULL);
    while (wire_client_wants_send(p.client) || wire_server_wants_send(p.server)) {
        if (wire_client_send(p.client, &one, 1) == 1) {
            EQ(wire_server_receive(p.server, &one, 1), 0);
        }
        if (wire_server_send(p.server, &one, 1) == 1) {
            EQ(wire_client_receive(p.client, &one, 1), 0);
        }
    }
    EQ(p.statuses[5], 1);
    EQ(p.answer_bytes, 5);
    pair_free(&p);
}

int main(void)
{
    TAP_RUN(test_unary);
    TAP_RUN(test_empty_message);
    TAP_RUN(test_headers_arrive);
    TAP_RUN(test_error);
    TAP_RUN(test_text_and_details_are_cut);
    TAP_RUN(test_big_messages);
    TAP_RUN(test_early_finish);
    TAP_RUN(test_many_at_once);
    TAP_RUN(test_random_cuts);
    TAP_RUN(test_slow_reader);
    TAP_RUN(test_message_over_the_cap_alone);
    TAP_RUN(test_connection_cap);
    TAP_RUN(test_answer_over_the_client_limit);
    TAP_RUN(test_cancel);
    TAP_RUN(test_drain);
    TAP_RUN(test_drain_refuses_what_crosses);
    TAP_RUN(test_connection_ends);
    TAP_RUN(test_small_buffers);
    return tap_done();
}
