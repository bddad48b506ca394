/* SPDX-License-Identifier: MIT */
/* What the hot path costs: prints nanoseconds, fails only when a step has become thirty times
 * what was planned (1 us), because machines differ and sanitizers run this too. */
#include <time.h>

#include "fairslot/v1/services.pb-c.h"
#include "tests/unit/proto/codec_kit.h"

#define ROUNDS 20000
#define ITEMS  64

static struct arena arena;
static struct span request;
static const struct codec_method *method;
static struct command command;
static struct batch_call calls[ITEMS];
static struct span batch_bytes, reply_bytes, entry_bytes;
static struct span packed[ITEMS];
static struct answer answers[ITEMS];
static struct verdict verdict;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* others work on this machine */
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Nanoseconds of f() per item. */
static void measure(const char *name, int (*f)(void), int items)
{
    int64_t best = INT64_MAX;
    int rounds = ROUNDS / items;
    for (int k = 0; k < 5; k++) {
        int64_t start = now_ns();
        for (int i = 0; i < rounds; i++) {
            arena_reset(&arena);
            if (f() != 0) {
                abort();
            }
        }
        int64_t took = (now_ns() - start) / rounds / items;
        best = took < best ? took : best;
    }
    printf("# %-34s %5lld ns\n", name, (long long)best);
    OK(best < 30000);
}

static int do_request(void)
{
    return codec_request(method, request, &arena, &command, &kit_field, &kit_detail);
}

static int do_request_and_pack(void)
{
    struct span out;
    int r = do_request();
    memset(command.identity.bytes, 7, 16);
    return r ? r : codec_command_pack(&command, &arena, &out);
}

static int do_find(void)
{
    return codec_method_find(span_of(KIT_SERVICE("ReservationService/ConfirmHold"))) == NULL;
}

static int do_command_unpack(void)
{
    return codec_command_unpack(packed[0], &arena, &command);
}

static int do_batch_pack(void)
{
    struct span out;
    return codec_batch_pack(&(struct batch_head){1, 2, 3, 4}, calls, ITEMS, &arena, &out);
}

static int do_batch_unpack(void)
{
    struct batch_view out;
    return codec_batch_unpack(batch_bytes, &arena, &out);
}

static int do_answer(void)
{
    struct span out;
    return codec_answer(&verdict, &arena, &out);
}

static int do_reply_pack(void)
{
    struct reply_view reply = {1, 2, answers, ITEMS};
    struct span out;
    return codec_reply_pack(&reply, &arena, &out);
}

static int do_reply_unpack(void)
{
    struct reply_view out;
    return codec_reply_unpack(reply_bytes, &arena, &out);
}

static int do_entry_pack(void)
{
    struct span out;
    return codec_entry_pack(1, packed, ITEMS, &arena, &out);
}

static int do_entry_unpack(void)
{
    struct command *out;
    int64_t log_time_us;
    size_t count;
    return codec_entry_unpack(entry_bytes, &arena, &log_time_us, &out, &count);
}

static void prepare(struct arena *keep)
{
    Fairslot__V1__CreateHoldRequest m = FAIRSLOT__V1__CREATE_HOLD_REQUEST__INIT;
    m.parent = (char *)"pools/registry-office-7";
    m.want_case = FAIRSLOT__V1__CREATE_HOLD_REQUEST__WANT_SLOT;
    m.slot = (char *)"pools/registry-office-7/slots/s20261201t0900-desk-12";
    m.request_id = (char *)KIT_UUID;
    request = kit_pack(&m);
    method = codec_method_find(span_of(KIT_SERVICE("ReservationService/CreateHold")));
    OK(codec_request(method, request, keep, &command, &kit_field, &kit_detail) == 0);
    memset(command.identity.bytes, 7, 16);
    static struct slot_view slot;
    slot = (struct slot_view){command.slots[0], 900 * SECOND_US, span_of("Desk 12"), SLOT_HELD, 2};
    static struct hold_view hold;
    hold = (struct hold_view){.pool = command.pool, .owner = UINT64_MAX, .number = 123456789,
                              .state = HOLD_LIVE, .slots = &slot, .slots_count = 1,
                              .expire_us = slot.key.start_us, .version = 1, .log_index = 77};
    verdict = (struct verdict){.result = RESULT_HOLD, .holds = &hold};
    struct span answer;
    OK(codec_answer(&verdict, keep, &answer) == 0);
    for (int i = 0; i < ITEMS; i++) {
        OK(codec_command_pack(&command, keep, &packed[i]) == 0);
        calls[i] = (struct batch_call){(uint32_t)i, 1000, packed[i]};
        answers[i] = (struct answer){.call = (uint32_t)i, .message = answer};
    }
    struct reply_view reply = {1, 2, answers, ITEMS};
    OK(codec_batch_pack(&(struct batch_head){1, 2, 3, 4}, calls, ITEMS, keep, &batch_bytes) == 0);
    OK(codec_reply_pack(&reply, keep, &reply_bytes) == 0);
    OK(codec_entry_pack(1, packed, ITEMS, keep, &entry_bytes) == 0);
    printf("# request %zu bytes, command %zu, answer %zu\n", request.len, packed[0].len,
           answer.len);
}

static void test_cost(void)
{
    struct arena keep;
    arena_init(&keep, 1 << 20);
    prepare(&keep);
    measure("method_find", do_find, 1);
    measure("request(CreateHold)", do_request, 1);
    measure("request + command_pack", do_request_and_pack, 1);
    measure("command_unpack", do_command_unpack, 1);
    measure("batch_pack, each of 64", do_batch_pack, ITEMS);
    measure("batch_unpack, each of 64", do_batch_unpack, ITEMS);
    measure("answer(Hold)", do_answer, 1);
    measure("reply_pack, each of 64", do_reply_pack, ITEMS);
    measure("reply_unpack, each of 64", do_reply_unpack, ITEMS);
    measure("entry_pack, each of 64", do_entry_pack, ITEMS);
    measure("entry_unpack, each of 64", do_entry_unpack, ITEMS);
    arena_fini(&keep);
}

int main(void)
{
    arena_init(&arena, CALL_ARENA_MAX);
    TAP_RUN(test_cost);
    arena_fini(&arena);
    return kit_done();
}
