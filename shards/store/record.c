/* SPDX-License-Identifier: MIT */
/* Bytes of the store's own records.  Pure.
 *
 *   log meta     magic u32 | format u32 | cluster 16 | term u64 | vote u64 | base u64 |
 *                base term u64 | state number u64 | disk u64 (from format 4) | sum u64
 *   state meta   magic u32 | format u32 | cluster 16 | index u64 | term u64 | time i64 |
 *                effects u64 | count u64 | digest u64 | sum u64
 *   log entry    term u64 | sum u64 | bytes          (key: index u64)
 *   state record sum u64 | value                     (key: the ledger's)
 *
 * All big-endian.  magic and format stand first and are read before the sum, so that a later
 * layout is refused by its name and not as damage.  Fails: verdicts only. */
#include "store/record.h"

#include "base/bytes.h"
#include "base/check.h"
#include "store/sum.h"

#define MAGIC_LOG   0x66736c67 /* "fslg" */
#define MAGIC_STATE 0x66737374 /* "fsst" */

#define SUM_SIZE 8

static void close_meta(struct scribe *w, size_t size)
{
    uint64_t sum = XXH3_64bits(w->start, scribe_len(w));
    scribe_u64(w, sum);
    CHECK(!w->bad);
    CHECK(scribe_len(w) == size);
}

struct layout {
    uint32_t magic, oldest, newest; /* formats that can be read */
    size_t size, added; /* of the newest; what older ones lack of it */
};

static const struct layout log_layout = {MAGIC_LOG, RECORD_LOG_FORMAT_BARE, RECORD_LOG_FORMAT,
                                         RECORD_LOG_META_SIZE, sizeof(uint64_t)};
static const struct layout state_layout = {MAGIC_STATE, RECORD_FORMAT, RECORD_FORMAT,
                                           RECORD_STATE_META_SIZE, 0};

/* Magic, format and sum; leaves `r` behind the format. */
static int open_meta(struct span bytes, const struct layout *layout, struct reader *r,
                     uint32_t *ret_format)
{
    *r = reader_of(bytes.ptr, bytes.len);
    uint32_t found_magic = reader_u32(r);
    *ret_format = reader_u32(r);
    if (r->bad || found_magic != layout->magic) {
        return RECORD_E_DAMAGED;
    }
    if (*ret_format < layout->oldest || *ret_format > layout->newest) {
        return RECORD_E_FORMAT;
    }
    size_t lacks = *ret_format < layout->newest ? layout->added : 0;
    if (bytes.len != layout->size - lacks) {
        return RECORD_E_DAMAGED;
    }
    struct reader tail = reader_of(bytes.ptr + bytes.len - SUM_SIZE, SUM_SIZE);
    return reader_u64(&tail) == XXH3_64bits(bytes.ptr, bytes.len - SUM_SIZE) ? 0
                                                                            : RECORD_E_DAMAGED;
}

void record_log_meta_write(const struct record_log_meta *m, uint8_t out[RECORD_LOG_META_SIZE])
{
    struct scribe w = scribe_of(out, RECORD_LOG_META_SIZE);
    scribe_u32(&w, MAGIC_LOG);
    scribe_u32(&w, RECORD_LOG_FORMAT);
    scribe_bytes(&w, m->cluster_id, sizeof m->cluster_id);
    scribe_u64(&w, m->term);
    scribe_u64(&w, m->vote);
    scribe_u64(&w, m->base);
    scribe_u64(&w, m->base_term);
    scribe_u64(&w, m->state_number);
    scribe_u64(&w, m->disk);
    close_meta(&w, RECORD_LOG_META_SIZE);
}

int record_log_meta_read(struct span bytes, struct record_log_meta *ret_meta,
                         uint32_t *ret_format)
{
    struct reader r;
    int v = open_meta(bytes, &log_layout, &r, ret_format);
    if (v) {
        return v;
    }
    ret_meta->format = *ret_format;
    reader_bytes(&r, ret_meta->cluster_id, sizeof ret_meta->cluster_id);
    ret_meta->term = reader_u64(&r);
    ret_meta->vote = reader_u64(&r);
    ret_meta->base = reader_u64(&r);
    ret_meta->base_term = reader_u64(&r);
    ret_meta->state_number = reader_u64(&r);
    ret_meta->disk = *ret_format < RECORD_LOG_FORMAT ? 0 : reader_u64(&r);
    return 0;
}

void record_state_meta_write(const struct record_state_meta *m,
                             uint8_t out[RECORD_STATE_META_SIZE])
{
    struct scribe w = scribe_of(out, RECORD_STATE_META_SIZE);
    scribe_u32(&w, MAGIC_STATE);
    scribe_u32(&w, RECORD_FORMAT);
    scribe_bytes(&w, m->cluster_id, sizeof m->cluster_id);
    scribe_u64(&w, m->applied_index);
    scribe_u64(&w, m->applied_term);
    scribe_u64(&w, (uint64_t)m->applied_time_us);
    scribe_u64(&w, m->effects);
    scribe_u64(&w, m->count);
    scribe_u64(&w, m->digest);
    close_meta(&w, RECORD_STATE_META_SIZE);
}

int record_state_meta_read(struct span bytes, struct record_state_meta *ret_meta,
                           uint32_t *ret_format)
{
    struct reader r;
    int v = open_meta(bytes, &state_layout, &r, ret_format);
    if (v) {
        return v;
    }
    reader_bytes(&r, ret_meta->cluster_id, sizeof ret_meta->cluster_id);
    ret_meta->applied_index = reader_u64(&r);
    ret_meta->applied_term = reader_u64(&r);
    ret_meta->applied_time_us = (int64_t)reader_u64(&r);
    ret_meta->effects = reader_u64(&r);
    ret_meta->count = reader_u64(&r);
    ret_meta->digest = reader_u64(&r);
    return 0;
}

uint64_t record_entry_sum(uint64_t index, uint64_t term, struct span entry)
{
    uint8_t place[16];
    struct scribe w = scribe_of(place, sizeof place);
    scribe_u64(&w, index);
    scribe_u64(&w, term);
    return sum_bytes(entry, XXH3_64bits(place, sizeof place));
}

static uint64_t value_sum(struct span key, struct span value)
{
    return sum_bytes(value, XXH3_64bits(key.ptr, key.len));
}

void record_value_write(struct span key, struct span value, uint8_t *out)
{
    struct scribe w = scribe_of(out, RECORD_SUM_SIZE + value.len);
    scribe_u64(&w, value_sum(key, value));
    scribe_bytes(&w, value.ptr, value.len);
    CHECK(!w.bad);
}

uint64_t record_value_sum(struct span stored)
{
    struct reader r = reader_of(stored.ptr, stored.len);
    uint64_t sum = reader_u64(&r);
    return r.bad ? 0 : sum;
}

uint64_t record_effect(uint64_t effects, struct span key, struct span value)
{
    uint64_t at_key = XXH3_64bits_withSeed(key.ptr, key.len, effects);
    return value.ptr ? sum_bytes(value, at_key) : ~at_key;
}

int record_value_read(struct span key, struct span stored, struct span *ret_value)
{
    if (stored.len < RECORD_SUM_SIZE) {
        return RECORD_E_DAMAGED;
    }
    struct reader r = reader_of(stored.ptr, stored.len);
    uint64_t sum = reader_u64(&r);
    struct span value = {r.at, reader_left(&r)};
    if (sum != value_sum(key, value)) {
        return RECORD_E_DAMAGED;
    }
    *ret_value = value;
    return 0;
}
