/* SPDX-License-Identifier: MIT */
/* Batches from a gateway to a shard, replies back, and log entries: many commands in one message.
 * A packed command goes through unchanged: its bytes are made once, at the gateway, and are what
 * the log keeps.  Owns nothing; what is unpacked borrows from the arena.
 * Fails by verdict for bytes (a batch that is too large counts as malformed: our own gateways
 * close theirs long before), by -ENOMEM when packing over the arena's cap.
 * Needs, unpacked: about 1 KiB of arena a command, and 20 times its bytes for one full of slots. */
#include <errno.h>

#include "base/check.h"
#include "base/err.h"
#include "proto/codec_parts.h"

static ProtobufCBinaryData codec_batch_data(struct span s)
{
    return (ProtobufCBinaryData){s.len, (uint8_t *)s.ptr};
}

int codec_batch_pack(uint64_t map_epoch, uint64_t gateway, uint32_t waiting_identities,
                     const struct batch_call *calls, size_t count, struct arena *arena,
                     struct span *ret_bytes)
{
    CHECK(count <= BATCH_ITEMS_MAX);
    Shard__V1__Request items[BATCH_ITEMS_MAX];
    Shard__V1__Request *pointers[BATCH_ITEMS_MAX];
    for (size_t i = 0; i < count; i++) {
        shard__v1__request__init(&items[i]);
        items[i].call = calls[i].call;
        items[i].deadline_ms = calls[i].deadline_ms;
        items[i].command = codec_batch_data(calls[i].command);
        items[i].trace = codec_batch_data(calls[i].trace);
        pointers[i] = &items[i];
    }
    Shard__V1__Batch m = SHARD__V1__BATCH__INIT;
    m.map_epoch = map_epoch;
    m.gateway = gateway;
    m.waiting_identities = waiting_identities;
    m.n_requests = count;
    m.requests = pointers;
    return err_trace(codec_pack(&m.base, arena, ret_bytes));
}

int codec_batch_unpack(struct span bytes, struct arena *arena, struct batch_view *ret_batch)
{
    Shard__V1__Batch *m;
    int r = codec_unpack(&shard__v1__batch__descriptor, bytes, arena, &m);
    if (r || m->n_requests > BATCH_ITEMS_MAX) {
        return REASON_MESSAGE_MALFORMED;
    }
    struct batch_item *items = arena_alloc(arena, m->n_requests * sizeof *items);
    struct span *commands = arena_alloc(arena, m->n_requests * sizeof *commands);
    if (items == NULL || commands == NULL) {
        return REASON_MESSAGE_MALFORMED;
    }
    for (size_t i = 0; i < m->n_requests; i++) {
        const Shard__V1__Request *q = m->requests[i];
        items[i].call = q->call;
        items[i].deadline_ms = q->deadline_ms;
        items[i].trace = (struct span){q->trace.data, q->trace.len};
        commands[i] = (struct span){q->command.data, q->command.len};
        if (codec_command_unpack(commands[i], arena, &items[i].command) ||
            command_is_own(items[i].command.kind)) {
            return REASON_MESSAGE_MALFORMED;
        }
    }
    *ret_batch = (struct batch_view){m->map_epoch, m->gateway, m->waiting_identities,
                                     items,        commands,   m->n_requests};
    if (m->feed) {
        ret_batch->is_feed = true;
        ret_batch->feed_epoch = m->feed->epoch;
        ret_batch->feed_after = m->feed->after;
        return m->n_requests ? REASON_MESSAGE_MALFORMED : 0;
    }
    return 0;
}

int codec_feed_pack(uint64_t gateway, uint64_t epoch, uint64_t after, struct arena *arena,
                    struct span *ret_bytes)
{
    Shard__V1__FeedCall feed = SHARD__V1__FEED_CALL__INIT;
    Shard__V1__Batch m = SHARD__V1__BATCH__INIT;
    feed.epoch = epoch;
    feed.after = after;
    m.gateway = gateway;
    m.feed = &feed;
    return err_trace(codec_pack(&m.base, arena, ret_bytes));
}

/* -- replies ----------------------------------------------------------------------------------- */

static int codec_batch_meta(const struct answer *a, struct arena *arena, Shard__V1__Answer *m)
{
    if (a->meta_count == 0) {
        return 0;
    }
    CHECK(a->meta_count <= VERDICT_META_MAX);
    m->metadata = arena_alloc(arena, a->meta_count * sizeof *m->metadata);
    Shard__V1__Meta *metas = arena_alloc(arena, a->meta_count * sizeof *metas);
    if (m->metadata == NULL || metas == NULL) {
        return err_origin(-ENOMEM);
    }
    for (size_t i = 0; i < a->meta_count; i++) {
        shard__v1__meta__init(&metas[i]);
        metas[i].key = (char *)a->meta[i].key;
        metas[i].value = codec_text(arena, a->meta[i].value);
        m->metadata[i] = &metas[i];
        if (metas[i].value == NULL) {
            return err_origin(-ENOMEM);
        }
    }
    m->n_metadata = a->meta_count;
    return 0;
}

int codec_reply_pack(const struct reply_view *reply, struct arena *arena, struct span *ret_bytes)
{
    size_t count = reply->answers_count;
    Shard__V1__Answer *answers = arena_alloc(arena, count * sizeof *answers);
    Shard__V1__Answer **pointers = arena_alloc(arena, count * sizeof(void *));
    if (answers == NULL || pointers == NULL) {
        return err_origin(-ENOMEM);
    }
    for (size_t i = 0; i < count; i++) {
        const struct answer *a = &reply->answers[i];
        Shard__V1__Answer *m = pointers[i] = &answers[i];
        shard__v1__answer__init(m);
        m->call = a->call;
        m->reason = a->reason;
        m->retry_ms = a->retry_ms;
        m->message = codec_batch_data(a->message);
        m->field = codec_text(arena, a->field);
        int r = m->field ? codec_batch_meta(a, arena, m) : err_origin(-ENOMEM);
        if (r) {
            return err_trace(r);
        }
    }
    Shard__V1__BatchReply m = SHARD__V1__BATCH_REPLY__INIT;
    m.map_epoch = reply->map_epoch;
    m.credit = reply->credit;
    m.pause_us = reply->pause_us;
    m.turned_away = reply->is_turned_away;
    m.leader = codec_text(arena, reply->leader);
    if (m.leader == NULL) {
        return err_origin(-ENOMEM);
    }
    m.n_answers = count;
    m.answers = pointers;
    Shard__V1__FeedNews feed = SHARD__V1__FEED_NEWS__INIT;
    if (reply->feed) {
        feed.epoch = reply->feed->epoch;
        feed.next = reply->feed->next;
        feed.missed = reply->feed->missed;
        feed.identities = codec_batch_data(reply->feed->identities);
        feed.releases = (uint64_t *)(uintptr_t)reply->feed->releases;
        feed.n_releases = reply->feed->releases_count;
        m.feed = &feed;
    }
    return err_trace(codec_pack(&m.base, arena, ret_bytes));
}

static bool codec_batch_answer(const Shard__V1__Answer *m, struct answer *a)
{
    if (m->n_metadata > VERDICT_META_MAX) {
        return false;
    }
    a->call = m->call;
    /* A newer shard may know reasons that this gateway does not. */
    a->reason = m->reason < REASON_COUNT ? (enum reason)m->reason : REASON_INTERNAL;
    a->retry_ms = m->retry_ms;
    a->field = span_of(m->field);
    a->message = (struct span){m->message.data, m->message.len};
    a->meta_count = m->n_metadata;
    for (size_t i = 0; i < m->n_metadata; i++) {
        a->meta[i] = (struct verdict_meta){m->metadata[i]->key, span_of(m->metadata[i]->value)};
    }
    return true;
}

/* NULL: out of memory, or none of ours. */
static const struct feed_news *codec_batch_news(const Shard__V1__FeedNews *m, struct arena *arena)
{
    struct feed_news *news = arena_alloc(arena, sizeof *news);
    if (news == NULL || m->n_releases > FEED_NEWS_MAX ||
        m->identities.len > FEED_NEWS_MAX * sizeof(struct identity) ||
        m->identities.len % sizeof(struct identity) != 0) {
        return NULL;
    }
    *news = (struct feed_news){.epoch = m->epoch,
                               .next = m->next,
                               .missed = m->missed,
                               .identities = {m->identities.data, m->identities.len},
                               .releases = m->releases,
                               .releases_count = m->n_releases};
    return news;
}

int codec_reply_unpack(struct span bytes, struct arena *arena, struct reply_view *ret_reply)
{
    Shard__V1__BatchReply *m;
    int r = codec_unpack(&shard__v1__batch_reply__descriptor, bytes, arena, &m);
    if (r || m->n_answers > BATCH_ITEMS_MAX) {
        return REASON_MESSAGE_MALFORMED;
    }
    struct answer *answers = arena_alloc(arena, m->n_answers * sizeof *answers);
    if (answers == NULL) {
        return REASON_MESSAGE_MALFORMED;
    }
    for (size_t i = 0; i < m->n_answers; i++) {
        if (!codec_batch_answer(m->answers[i], &answers[i])) {
            return REASON_MESSAGE_MALFORMED;
        }
    }
    *ret_reply = (struct reply_view){.map_epoch = m->map_epoch, .credit = m->credit,
                                     .pause_us = m->pause_us,
                                     .answers = answers, .answers_count = m->n_answers,
                                     .is_turned_away = m->turned_away,
                                     .leader = span_of(m->leader)};
    if (m->feed) {
        ret_reply->feed = codec_batch_news(m->feed, arena);
        return ret_reply->feed ? 0 : REASON_MESSAGE_MALFORMED;
    }
    return 0;
}

/* -- the log ----------------------------------------------------------------------------------- */

int codec_entry_pack(int64_t log_time_us, const struct span *commands, size_t count,
                     struct arena *arena, struct span *ret_bytes)
{
    CHECK(count <= ROUND_ITEMS_MAX);
    Shard__V1__Entry m = SHARD__V1__ENTRY__INIT;
    m.log_time_us = log_time_us;
    m.n_commands = count;
    m.commands = arena_alloc(arena, count * sizeof *m.commands);
    if (m.commands == NULL) {
        return err_origin(-ENOMEM);
    }
    for (size_t i = 0; i < count; i++) {
        m.commands[i] = codec_batch_data(commands[i]);
    }
    return err_trace(codec_pack(&m.base, arena, ret_bytes));
}

int codec_entry_unpack(struct span bytes, struct arena *arena, int64_t *ret_log_time_us,
                       struct command **ret_commands, size_t *ret_count)
{
    Shard__V1__Entry *m;
    int r = codec_unpack(&shard__v1__entry__descriptor, bytes, arena, &m);
    if (r == REASON_MESSAGE_TOO_LARGE) {
        return err_origin(-ENOMEM); /* our own entry, our own arena: not damage */
    }
    if (r || m->n_commands > ROUND_ITEMS_MAX) {
        return REASON_MESSAGE_MALFORMED;
    }
    struct command *commands = arena_alloc(arena, m->n_commands * sizeof *commands);
    if (commands == NULL) {
        return err_origin(-ENOMEM);
    }
    for (size_t i = 0; i < m->n_commands; i++) {
        struct span packed = {m->commands[i].data, m->commands[i].len};
        r = codec_command_unpack(packed, arena, &commands[i]);
        if (r) {
            return r == REASON_MESSAGE_TOO_LARGE ? err_origin(-ENOMEM) : REASON_MESSAGE_MALFORMED;
        }
    }
    *ret_log_time_us = m->log_time_us;
    *ret_commands = commands;
    *ret_count = m->n_commands;
    return 0;
}
