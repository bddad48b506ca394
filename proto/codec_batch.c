/* SPDX-License-Identifier: MIT */
/* Batches from a gateway to a shard, replies back, and log entries: many commands in one message.
 * A packed command goes through unchanged: its bytes are made once, at the gateway, and are what
 * the log keeps.  Owns nothing; what is unpacked borrows from the arena and the bytes.
 *
 *   out: written directly (codec_direct.h)
 *   in:  codec_plain_batch.c reads what is written here; what it declines, the general way judges
 *
 * Fails by verdict for bytes (a batch that is too large counts as malformed: our own gateways
 * close theirs long before), by -ENOMEM when packing over the arena's cap.
 * Needs, unpacked: about 1 KiB of arena a command, and 20 times its bytes for one full of slots. */
#include "proto/codec_direct.h"

#define REQUEST_BYTES (3 * CODEC_OUT_FRAME + 2 * CODEC_OUT_NUMBER) /* without command and trace */
#define ANSWER_BYTES  (3 * CODEC_OUT_FRAME + 3 * CODEC_OUT_NUMBER) /* without texts, metadata */

static ProtobufCBinaryData codec_batch_data(struct span s)
{
    return (ProtobufCBinaryData){s.len, (uint8_t *)s.ptr};
}

int codec_batch_pack(const struct batch_head *head, const struct batch_call *calls, size_t count,
                     struct arena *arena, struct span *ret_bytes)
{
    CHECK(count <= BATCH_ITEMS_MAX);
    struct codec_out o;
    size_t max = 4 * CODEC_OUT_NUMBER + count * REQUEST_BYTES;
    for (size_t i = 0; i < count; i++) {
        max += calls[i].command.len + calls[i].trace.len;
    }
    int r = codec_out_init(&o, arena, max);
    if (r) {
        return err_trace(r);
    }
    codec_out_fixed(&o, 6, head->cluster);
    for (size_t i = count; i-- > 0;) {
        const uint8_t *end = o.at;
        codec_out_bytes(&o, 4, calls[i].trace);
        codec_out_bytes(&o, 3, calls[i].command);
        codec_out_u64(&o, 2, calls[i].deadline_ms);
        codec_out_u64(&o, 1, calls[i].call);
        codec_out_close(&o, 4, end);
    }
    codec_out_u64(&o, 3, head->waiting_identities);
    codec_out_fixed(&o, 2, head->gateway);
    codec_out_u64(&o, 1, head->map_epoch);
    *ret_bytes = codec_out_span(&o);
    return 0;
}

int codec_batch_read_any(struct span bytes, struct arena *arena, struct batch_view *ret_batch)
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
    }
    *ret_batch = (struct batch_view){m->map_epoch, m->gateway, m->waiting_identities,
                                     items,        commands,   m->n_requests};
    ret_batch->cluster = m->cluster;
    if (m->feed) {
        ret_batch->is_feed = true;
        ret_batch->feed_epoch = m->feed->epoch;
        ret_batch->feed_after = m->feed->after;
        return m->n_requests ? REASON_MESSAGE_MALFORMED : 0;
    }
    return 0;
}

int codec_batch_unpack(struct span bytes, struct arena *arena, struct batch_view *ret_batch)
{
    struct batch_view b;
    if (!codec_batch_read_plain(bytes, arena, &b) && codec_batch_read_any(bytes, arena, &b)) {
        return REASON_MESSAGE_MALFORMED;
    }
    for (size_t i = 0; i < b.items_count; i++) {
        struct command *c = &b.items[i].command;
        if (codec_command_unpack(b.commands[i], arena, c) || command_is_own(c->kind)) {
            return REASON_MESSAGE_MALFORMED;
        }
    }
    *ret_batch = b;
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

static size_t codec_batch_answer_max(const struct answer *a)
{
    CHECK(a->meta_count <= VERDICT_META_MAX);
    size_t max = ANSWER_BYTES + a->field.len + a->message.len;
    for (size_t i = 0; i < a->meta_count; i++) {
        max += 3 * CODEC_OUT_FRAME + strlen(a->meta[i].key) + a->meta[i].value.len;
    }
    return max;
}

static void codec_batch_put_answer(struct codec_out *o, const struct answer *a)
{
    codec_out_bytes(o, 6, a->message);
    for (size_t i = a->meta_count; i-- > 0;) {
        const uint8_t *end = o->at;
        codec_out_bytes(o, 2, a->meta[i].value);
        codec_out_bytes(o, 1, span_of(a->meta[i].key));
        codec_out_close(o, 5, end);
    }
    codec_out_bytes(o, 4, a->field);
    codec_out_u64(o, 3, a->retry_ms);
    codec_out_u64(o, 2, a->reason);
    codec_out_u64(o, 1, a->call);
}

/* News are rare: protobuf-c's. */
static Shard__V1__FeedNews codec_batch_feed(const struct feed_news *news)
{
    Shard__V1__FeedNews m = SHARD__V1__FEED_NEWS__INIT;
    m.epoch = news->epoch;
    m.next = news->next;
    m.missed = news->missed;
    m.identities = codec_batch_data(news->identities);
    m.releases = (uint64_t *)(uintptr_t)news->releases;
    m.n_releases = news->releases_count;
    return m;
}

int codec_reply_pack(const struct reply_view *reply, struct arena *arena, struct span *ret_bytes)
{
    struct codec_out o;
    Shard__V1__FeedNews feed;
    size_t max = 5 * CODEC_OUT_NUMBER + CODEC_OUT_FRAME + reply->leader.len;
    for (size_t i = 0; i < reply->answers_count; i++) {
        max += codec_batch_answer_max(&reply->answers[i]);
    }
    if (reply->feed) {
        feed = codec_batch_feed(reply->feed);
        max += CODEC_OUT_FRAME + protobuf_c_message_get_packed_size(&feed.base);
    }
    int r = codec_out_init(&o, arena, max);
    if (r) {
        return err_trace(r);
    }
    codec_out_fixed(&o, 8, reply->cluster);
    codec_out_bytes(&o, 7, reply->leader);
    codec_out_u64(&o, 6, reply->is_turned_away);
    if (reply->feed) {
        codec_out_message(&o, 5, &feed.base);
    }
    codec_out_u64(&o, 4, reply->pause_us);
    for (size_t i = reply->answers_count; i-- > 0;) {
        const uint8_t *end = o.at;
        codec_batch_put_answer(&o, &reply->answers[i]);
        codec_out_close(&o, 3, end);
    }
    codec_out_u64(&o, 2, reply->credit);
    codec_out_u64(&o, 1, reply->map_epoch);
    *ret_bytes = codec_out_span(&o);
    return 0;
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

int codec_reply_read_any(struct span bytes, struct arena *arena, struct reply_view *ret_reply)
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
                                     .leader = span_of(m->leader), .cluster = m->cluster};
    if (m->feed) {
        ret_reply->feed = codec_batch_news(m->feed, arena);
        return ret_reply->feed ? 0 : REASON_MESSAGE_MALFORMED;
    }
    return 0;
}

int codec_reply_unpack(struct span bytes, struct arena *arena, struct reply_view *ret_reply)
{
    return codec_reply_read_plain(bytes, arena, ret_reply)
               ? 0
               : codec_reply_read_any(bytes, arena, ret_reply);
}

/* -- the log ----------------------------------------------------------------------------------- */

int codec_entry_pack(int64_t log_time_us, const struct span *commands, size_t count,
                     struct arena *arena, struct span *ret_bytes)
{
    CHECK(count <= ROUND_ITEMS_MAX);
    struct codec_out o;
    size_t max = CODEC_OUT_NUMBER + count * CODEC_OUT_FRAME;
    for (size_t i = 0; i < count; i++) {
        max += commands[i].len;
    }
    int r = codec_out_init(&o, arena, max);
    if (r) {
        return err_trace(r);
    }
    for (size_t i = count; i-- > 0;) {
        const uint8_t *end = o.at;
        codec_out_raw(&o, commands[i].ptr, commands[i].len);
        codec_out_close(&o, 2, end);
    }
    codec_out_fixed(&o, 1, (uint64_t)log_time_us);
    *ret_bytes = codec_out_span(&o);
    return 0;
}

int codec_entry_read_any(struct span bytes, struct arena *arena, struct codec_entry *ret_entry)
{
    Shard__V1__Entry *m;
    int r = codec_unpack(&shard__v1__entry__descriptor, bytes, arena, &m);
    if (r == REASON_MESSAGE_TOO_LARGE) {
        return err_origin(-ENOMEM); /* our own entry, our own arena: not damage */
    }
    if (r || m->n_commands > ROUND_ITEMS_MAX) {
        return REASON_MESSAGE_MALFORMED;
    }
    struct span *commands = arena_alloc(arena, m->n_commands * sizeof *commands);
    if (commands == NULL) {
        return err_origin(-ENOMEM);
    }
    for (size_t i = 0; i < m->n_commands; i++) {
        commands[i] = (struct span){m->commands[i].data, m->commands[i].len};
    }
    *ret_entry = (struct codec_entry){m->log_time_us, commands, m->n_commands};
    return 0;
}

int codec_entry_unpack(struct span bytes, struct arena *arena, int64_t *ret_log_time_us,
                       struct command **ret_commands, size_t *ret_count)
{
    struct codec_entry e;
    int r = codec_entry_read_plain(bytes, arena, &e) ? 0 : codec_entry_read_any(bytes, arena, &e);
    if (r) {
        return r < 0 ? err_trace(r) : REASON_MESSAGE_MALFORMED;
    }
    struct command *commands = arena_alloc(arena, e.count * sizeof *commands);
    if (commands == NULL) {
        return err_origin(-ENOMEM);
    }
    for (size_t i = 0; i < e.count; i++) {
        r = codec_command_unpack(e.commands[i], arena, &commands[i]);
        if (r) {
            return r == REASON_MESSAGE_TOO_LARGE ? err_origin(-ENOMEM) : REASON_MESSAGE_MALFORMED;
        }
    }
    *ret_log_time_us = e.log_time_us;
    *ret_commands = commands;
    *ret_count = e.count;
    return 0;
}
