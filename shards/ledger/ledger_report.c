/* SPDX-License-Identifier: MIT */
/* A release's report: who came, who got something, and whether being fast bought anything.
 *
 *   CLOSING: slots are back -> a sample of arrivals, for the bounds of the deciles
 *            -> every ticket, into counts -> CLOSED
 *   GetReleaseReport: the counts -> figures (draw/fairness.c), small counts hidden
 *
 * The sample is the first 2,048 tickets by ticket id, a random order: the deciles are exact up to
 * that many, and within about a hundredth beyond.
 * 256 tickets a step, by the release's cursor, as every long work here.  The ticket's record alone
 * says what it got; whether that was confirmed stands in its owner's account.
 * Records: (release, 0) 'V' 0 counts, 'V' 1 and on the sample until it was used.
 * Owns nothing; fails by the book. */
#include <errno.h>

#include "draw/fairness.h"
#include "ledger/ledger_release.h"

#define REPORT_CHUNK  256 /* tickets sampled in one step, and kept in one record */
#define REPORT_CHUNKS 8

/* Stages of ledger_release.counting: 1 to REPORT_CHUNKS, the chunk that is sampled; then these. */
enum { COUNT_ALL = 100, COUNT_DONE = 101 };
enum { REPORT_COUNTS_KEY = 0, REPORT_CHUNK_KEY = 1 };

/* Arrivals and waits of the tickets sampled. */
struct report_sample {
    size_t count;
    uint64_t arrivals[REPORT_CHUNK * REPORT_CHUNKS];
    uint64_t waits_us[REPORT_CHUNK * REPORT_CHUNKS]; /* from entering to sealing */
};

struct report_counts {
    struct fairness is;
    uint64_t wait_p50_us, wait_p95_us;
    uint64_t counted_us; /* log time */
};

/* -- records ----------------------------------------------------------------------------------- */

static struct ledger_key report_chunk_key(const struct ledger_release *r, uint64_t chunk)
{
    return ledger_release_key_number(r->space, 'V', REPORT_CHUNK_KEY + chunk);
}

/* Adds one chunk's pairs to the sample. */
static int report_load_chunk(struct ledger_step *s, const struct ledger_key *key,
                             struct report_sample *out)
{
    struct span bytes;
    int status = ledger_release_get_bytes(s, key, &bytes);
    if (status) {
        return status == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(status);
    }
    struct reader at = reader_of(bytes.ptr, bytes.len);
    while (reader_left(&at) > 0 && !at.bad && out->count < ARRAY_COUNT(out->arrivals)) {
        out->arrivals[out->count] = reader_u64(&at);
        out->waits_us[out->count++] = reader_u64(&at);
    }
    return at.bad || reader_left(&at) > 0 ? err_origin(-EBADMSG) : 0;
}

#define REPORT_NUMBERS (sizeof(struct report_counts) / sizeof(uint64_t))

static int report_load_counts(struct ledger_step *s, const struct ledger_release *r,
                              struct report_counts *out)
{
    struct ledger_key key = ledger_release_key_number(r->space, 'V', REPORT_COUNTS_KEY);
    struct span bytes;
    uint64_t numbers[REPORT_NUMBERS];
    int status = ledger_release_get_bytes(s, &key, &bytes);
    if (status) {
        return status == LEDGER_NONE ? status : err_trace(status);
    }
    struct reader at = reader_of(bytes.ptr, bytes.len);
    for (size_t i = 0; i < REPORT_NUMBERS; i++) {
        numbers[i] = reader_u64(&at);
    }
    if (at.bad || reader_left(&at) > 0) {
        return err_origin(-EBADMSG);
    }
    memcpy(out, numbers, sizeof *out); /* whole numbers of 64 bits, and nothing else */
    return 0;
}

static int report_put_counts(struct ledger_step *s, const struct ledger_release *r,
                             const struct report_counts *counts)
{
    uint8_t bytes[sizeof *counts];
    uint64_t numbers[REPORT_NUMBERS];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct ledger_key key = ledger_release_key_number(r->space, 'V', REPORT_COUNTS_KEY);
    memcpy(numbers, counts, sizeof numbers);
    for (size_t i = 0; i < REPORT_NUMBERS; i++) {
        scribe_u64(&w, numbers[i]);
    }
    CHECK(!w.bad);
    return err_trace(ledger_release_put_bytes(s, &key, (struct span){bytes, scribe_len(&w)}));
}

/* -- counting ---------------------------------------------------------------------------------- */

/* The whole sample -> bounds and waits; its chunks go. */
static int report_bounds(struct ledger_step *s, struct ledger_release *r, uint64_t chunks)
{
    struct report_sample *sample = arena_alloc(s->arena, sizeof *sample);
    struct report_counts counts = {.wait_p50_us = 0};
    uint64_t unused[FAIRNESS_DECILES - 1];
    int status = 0;
    if (sample == NULL) {
        return err_origin(-ENOMEM);
    }
    sample->count = 0;
    for (uint64_t i = 0; i < chunks && status == 0; i++) {
        struct ledger_key key = report_chunk_key(r, i);
        status = report_load_chunk(s, &key, sample);
        status = status ? status : ledger_del(s->l, &key);
    }
    size_t n = sample->count;
    fairness_bounds(sample->arrivals, n, counts.is.bounds);
    fairness_bounds(sample->waits_us, n, unused); /* sorts them */
    counts.wait_p50_us = n ? sample->waits_us[n / 2] : 0;
    counts.wait_p95_us = n ? sample->waits_us[n * 95 / 100] : 0;
    r->counting = COUNT_ALL;
    r->cursor.len = 0;
    return status ? err_trace(status) : err_trace(report_put_counts(s, r, &counts));
}

/* One chunk of the sample. */
static int report_sample_step(struct ledger_step *s, struct ledger_release *r)
{
    uint8_t bytes[16 * REPORT_CHUNK];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct ledger_key key = report_chunk_key(r, r->counting - 1);
    int status = 0;
    for (int i = 0; i < REPORT_CHUNK && status == 0; i++) {
        struct ledger_ticket t;
        status = ledger_release_next_ticket(s, r, &t);
        if (status == 0 && t.cohort == 0 && !t.is_leaf_withdrawn) {
            int64_t wait_us = (int64_t)r->seal_us - t.entered_us;
            scribe_u64(&w, t.number);
            scribe_u64(&w, wait_us > 0 ? (uint64_t)wait_us : 0);
        }
    }
    CHECK(!w.bad);
    if (status < 0) {
        return err_trace(status);
    }
    int put = ledger_release_put_bytes(s, &key, (struct span){bytes, scribe_len(&w)});
    if (put == 0 && (status == LEDGER_NONE || r->counting == REPORT_CHUNKS)) {
        return err_trace(report_bounds(s, r, r->counting));
    }
    r->counting++;
    return err_trace(put);
}

static int report_ticket(struct ledger_step *s, const struct ledger_release *r,
                         const struct ledger_ticket *t, struct fairness *f)
{
    struct ledger_ticket_now now = {.is_reservation = false};
    struct fairness_ticket out = {.assurance = (uint32_t)t->assurance,
                                  .requests = t->leaf_version,
                                  .is_late = t->cohort > 0,
                                  .arrival = t->number};
    int64_t after_us = t->entered_us - (int64_t)r->entry_open_us;
    out.is_suspected = t->cohort == 0 && after_us < FAIRNESS_SUSPECT_US;
    out.slots = t->hold && t->preferences.len ? t->preferences.ptr[0] : 0;
    if (t->hold) {
        int status = ledger_ticket_now(s, r, t, &now);
        if (status) {
            return err_trace(status);
        }
        out.is_confirmed = now.is_reservation;
    }
    fairness_add(f, &out);
    return 0;
}

static int report_count_step(struct ledger_step *s, struct ledger_release *r)
{
    struct report_counts *counts = arena_alloc(s->arena, sizeof *counts);
    if (counts == NULL) {
        return err_origin(-ENOMEM);
    }
    int status = report_load_counts(s, r, counts);
    if (status == LEDGER_NONE) {
        return err_origin(-EBADMSG);
    }
    for (int i = 0; i < RELEASE_STEP && status == 0; i++) {
        struct ledger_ticket t;
        status = ledger_release_next_ticket(s, r, &t);
        if (status == 0 && !t.is_leaf_withdrawn) {
            status = report_ticket(s, r, &t, &counts->is);
        }
    }
    if (status == LEDGER_NONE) {
        r->counting = COUNT_DONE;
        counts->counted_us = (uint64_t)s->now_us;
        status = 0;
    }
    return status ? err_trace(status) : err_trace(report_put_counts(s, r, counts));
}

/* -- the report -------------------------------------------------------------------------------- */

static void report_group(const struct fairness *f, enum fairness_group group,
                         struct report_population *out)
{
    static const char *const labels[FAIRNESS_GROUPS] = {
        "everybody", "assurance: low or none", "assurance: substantial", "assurance: high",
        "requests: 4 or more", "suspected: entered within 250 ms of the opening"};
    struct fairness_ratio ratio;
    const struct fairness_count *c = &f->groups[group];
    fairness_advantage(&f->groups[FAIRNESS_ALL], c, &ratio);
    *out = (struct report_population){.label = labels[group],
                                      .identities = fairness_cell(c->identities),
                                      .requests = fairness_cell(c->requests),
                                      .slots = fairness_cell(c->slots),
                                      .is_known = ratio.is_known,
                                      .is_hidden = ratio.is_hidden,
                                      .advantage = ratio.value,
                                      .low = ratio.low,
                                      .high = ratio.high};
}

static int report_view(struct ledger_step *s, const struct ledger_release *r,
                       const struct report_counts *c, struct report_view *out)
{
    const struct fairness *f = &c->is;
    struct fairness_ratio suspected;
    fairness_advantage(&f->groups[FAIRNESS_ALL], &f->groups[FAIRNESS_SUSPECTED], &suspected);
    *out = (struct report_view){.as_of_us = (int64_t)c->counted_us,
                                .slots_offered = r->slots_count,
                                .slots_given = fairness_cell(f->groups[FAIRNESS_ALL].slots),
                                .slots_taken = fairness_cell(f->slots_confirmed),
                                .identities = fairness_cell(f->groups[FAIRNESS_ALL].identities),
                                .jain = fairness_jain(&f->groups[FAIRNESS_ALL]),
                                .wait_p50_us = c->wait_p50_us,
                                .wait_p95_us = c->wait_p95_us,
                                .is_alarm = suspected.is_alarm};
    if (f->holds >= FAIRNESS_CELL_MIN && f->holds - f->confirmed >= FAIRNESS_CELL_MIN) {
        out->hold_waste = (f->holds - f->confirmed) * FAIRNESS_ONE / f->holds;
    }
    for (int i = 0; i < FAIRNESS_DECILES; i++) {
        out->entered[i] = fairness_cell(f->entered[i]);
        out->wins[i] = fairness_cell(f->wins[i]);
    }
    for (int i = 0; i < FAIRNESS_GROUPS; i++) {
        report_group(f, (enum fairness_group)i, &out->populations[i]);
    }
    int status = ledger_keep(s->arena, ledger_release_pool(r), &out->pool);
    return status ? err_trace(status)
                  : err_trace(ledger_keep(s->arena, ledger_release_id(r), &out->release));
}

/* Into the verdict, for whoever asked, or whoever watches over the shard. */
static int report_show(struct ledger_step *s, const struct ledger_release *r)
{
    struct report_counts *counts = arena_alloc(s->arena, sizeof *counts);
    struct report_view *view = arena_alloc(s->arena, sizeof *view);
    if (counts == NULL || view == NULL) {
        return err_origin(-ENOMEM);
    }
    int status = report_load_counts(s, r, counts);
    if (status == 0) {
        status = report_view(s, r, counts, view);
    }
    s->v->report = view;
    return status == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(status);
}

int ledger_report_step(struct ledger_step *s, struct ledger_release *r)
{
    if (r->counting == 0) {
        r->counting = 1;
        r->cursor.len = 0;
    }
    int status = r->counting <= REPORT_CHUNKS ? report_sample_step(s, r) : report_count_step(s, r);
    if (status) {
        return err_trace(status);
    }
    return r->counting == COUNT_DONE ? err_trace(report_show(s, r)) : LEDGER_NONE;
}

int ledger_report_get(struct ledger_step *s)
{
    struct ledger_release release;
    int r = ledger_release_find(s, &release);
    if (r) {
        return r == LEDGER_NONE ? ledger_refuse(s, REASON_RELEASE_UNKNOWN) : err_trace(r);
    }
    if (release.phase != PHASE_CLOSED || release.counting != COUNT_DONE) {
        s->v->retry_ms = release.phase == PHASE_CLOSING ? 1000 : 0;
        return ledger_refuse(s, REASON_RELEASE_STATE); /* not closed, or nothing was drawn */
    }
    s->v->result = RESULT_REPORT;
    return err_trace(report_show(s, &release));
}
