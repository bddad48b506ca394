/* SPDX-License-Identifier: MIT */
/* Who is in the next batch to the shard, and whether it leaves now.
 * Owns nothing: hop.c has the contexts, the queue the order.  Fails by an empty batch.
 * A batch wakes threads at both ends, so it gathers under load and leaves at once without any. */
#include "gateway/hop_inside.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "gateway/queue.h"

/* Items that may leave now. */
size_t hop_batch_room(const struct hop *hop)
{
    size_t room = hop->credit > hop->under_way ? hop->credit - hop->under_way : 0;
    if (room == 0 && hop->busy_count == 0) {
        room = HOP_CREDIT;
    }
    return room < BATCH_ITEMS_MAX ? room : BATCH_ITEMS_MAX;
}

/* How many ask at about the same time: falls by an eighth a batch. */
static void hop_batch_count_crowd(struct hop *hop)
{
    size_t waiting = queue_waiting_identities(hop->front);
    hop->crowd -= (hop->crowd + 7) / 8;
    hop->crowd = waiting > hop->crowd ? waiting : hop->crowd;
}

/* At least half of those who asked lately wait now. */
static bool hop_batch_is_crowded(const struct hop *hop)
{
    return 2 * queue_waiting_identities(hop->front) >= hop->crowd;
}

/* Is one under way that may come back soon? */
static bool hop_batch_is_due(const struct hop *hop)
{
    bool is_due = false;
    for (unsigned i = 0; i < RPC_CLIENT_CONTEXTS; i++) {
        const struct hop_context *c = &hop->contexts[i];
        is_due = is_due || (c->is_busy && hop_now(hop) - c->sent_ms <= HOP_PROBE_MS);
    }
    return is_due;
}

/* Is a further batch worth its price now, or does it rather wait for one to come back? */
bool hop_batch_is_worth(const struct hop *hop)
{
    if (!list_empty(&hop->lost) || !hop_batch_is_due(hop)) {
        return true;
    }
    return hop_batch_is_crowded(hop) && (hop->busy_count < HOP_EAGER ||
                                   queue_waiting_identities(hop->front) >= HOP_GATHER);
}

/* Who is next, lost ones first; those whose time is over are refused on the way. */
struct errand *hop_batch_next(struct hop *hop)
{
    uint64_t now = hop_now(hop);
    for (;;) {
        struct errand *e = list_empty(&hop->lost)
            ? queue_pull(hop->front)
            : CONTAINER_OF(hop->lost.next, struct errand, note.link);
        if (e == NULL || e->deadline_ms > now) {
            return e;
        }
        errand_overdue(hop->front, e);
    }
}

static void hop_batch_seat(struct hop_context *c, struct errand *e, unsigned context, size_t seat)
{
    list_remove(&e->note.link); /* of the lost */
    e->state = ERRAND_SENT;
    e->context = (uint8_t)context;
    e->seat = (uint16_t)seat;
    c->errands[seat] = e;
}

/* Moves waiting errands onto the context; returns how many.  One call of each who waits, and as
 * many again as long as most of them have more: so whoever sends much has his share of a batch, and
 * not the rest of it while the others' next calls are on their way. */
size_t hop_batch_fill(struct hop *hop, struct hop_context *c, size_t room)
{
    size_t count = 0, bytes = 0, lap = queue_waiting_identities(hop->front);
    struct errand *e;
    uint64_t now = hop_now(hop);
    int64_t now_us = clock_mono_us();
    bool is_lap = list_empty(&hop->lost); /* the lost had their turn before */
    room = !is_lap || lap > HOP_LAP || room < HOP_LAP ? room : HOP_LAP;
    hop_batch_count_crowd(hop);
    c->batch_number = hop->batches_count++ % (UINT32_MAX / BATCH_ITEMS_MAX);
    while (count < room && bytes < BATCH_BYTES && (e = hop_batch_next(hop))) {
        hop->batch[count] = (struct batch_call){
            .call = c->batch_number * BATCH_ITEMS_MAX + (uint32_t)count,
            .deadline_ms = (uint32_t)(e->deadline_ms - now),
            .command = {e->command, e->len},
            .trace = {e->trace.bytes, e->has_trace ? TRACE_BYTES : 0},
        };
        if (e->queued_us) {
            METRIC_TIME1(queue_wait_seconds, class, e->entry.class, now_us - e->queued_us);
        }
        hop_batch_seat(c, e, (unsigned)(c - hop->contexts), count);
        count++;
        bytes += e->len;
        lap -= lap > 0;
        if (lap == 0 && is_lap) {
            lap = queue_waiting_identities(hop->front);
            if (!hop_batch_is_crowded(hop)) {
                break;
            }
        }
    }
    c->errands_count = count;
    return count;
}
