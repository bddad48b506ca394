/* SPDX-License-Identifier: MIT */
/* What travels between gateway and shard, and lies in the log: batches, replies, entries, commands.
 * The first byte says which.  What is taken must keep the bounds that the house relies on. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>

#include "proto/codec.h"

static struct arena arena;

static void batch_command(const struct command *c)
{
    CHECK(c->slots_count <= SLOTS_PER_HOLD);
    CHECK(c->new_slots_count <= SLOTS_PER_CREATE);
    CHECK(c->pool.len <= POOL_ID_MAX);
    CHECK(c->page_token.len <= PAGE_TOKEN_MAX);
    CHECK(c->page_size <= PAGE_SIZE_MAX);
    CHECK(c->etag.len <= ETAG_MAX);
}

static void batch_batch(struct span bytes)
{
    struct batch_view batch;
    int r = codec_batch_unpack(bytes, &arena, &batch);
    CHECK(r >= 0);
    if (r) {
        return;
    }
    CHECK(batch.items_count <= BATCH_ITEMS_MAX);
    for (size_t i = 0; i < batch.items_count; i++) {
        batch_command(&batch.items[i].command);
        CHECK(batch.items[i].command.kind != COMMAND_EXPIRE_HOLD);
        CHECK(batch.items[i].command.kind != COMMAND_SWEEP);
    }
}

static void batch_reply(struct span bytes)
{
    struct reply_view reply;
    if (codec_reply_unpack(bytes, &arena, &reply)) {
        return;
    }
    CHECK(reply.answers_count <= BATCH_ITEMS_MAX);
    for (size_t i = 0; i < reply.answers_count; i++) {
        struct answer *a = &reply.answers[i];
        CHECK(a->meta_count <= VERDICT_META_MAX);
        reason_text(a->reason);
        struct codec_refusal refusal = {.reason = a->reason, .retry_ms = a->retry_ms,
                                        .meta = a->meta, .meta_count = a->meta_count};
        struct span status;
        CHECK(codec_status(&refusal, &arena, &status) == 0 || a->reason == REASON_OK ||
              arena.used_bytes > arena.max_bytes / 2);
    }
}

static void batch_entry(struct span bytes)
{
    int64_t time_us;
    struct command *commands;
    size_t count;
    int r = codec_entry_unpack(bytes, &arena, &time_us, &commands, &count);
    CHECK(r >= 0 || r == -ENOMEM);
    for (size_t i = 0; r == 0 && i < count; i++) {
        batch_command(&commands[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_cut in = fuzz_cut_of(data, size);
    uint8_t which = fuzz_byte(&in);
    struct span bytes = {in.at, in.left};
    struct command command;
    arena_init(&arena, 16 * 1024 * 1024);
    switch (which % 4) {
    case 0:
        batch_batch(bytes);
        break;
    case 1:
        batch_reply(bytes);
        break;
    case 2:
        batch_entry(bytes);
        break;
    default:
        if (codec_command_unpack(bytes, &arena, &command) == 0) {
            batch_command(&command);
        }
    }
    arena_fini(&arena);
    return 0;
}
