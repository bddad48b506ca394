/* SPDX-License-Identifier: MIT */
/* The store: the log environment, the state environment and the overlays between them.
 *
 *   append, commit --> log env                                    (writer thread, fsync a round)
 *   put, del -------> live overlay --due--> frozen --flusher--> state env   (index in the commit)
 *   get, next ------> live, frozen, snapshot
 *
 * Owns: everything in the directory while its lock is held, both overlays, the flusher thread.
 * Happy path of store_turn(): a finished flush is adopted (new snapshot first, then the frozen
 * overlay is dropped: its records are in the snapshot now), and when the interval is over or the
 * live overlay half full it is frozen and handed over, and a spare takes its place.
 * Fails: < 0 from any disk error; the process must end, and the next one replays the log.
 * Invariants: what is applied is durable in the log; one frozen overlay at most; the log keeps
 * every entry after the durable applied index.
 * When a flush begins: the longer it waits the fewer pages are written twice, and the more a start
 * after a crash has to decide again.  So: soon while it is small, else when an overlay has cost as
 * much work as a start may take, or is half full. */
#include "store/store_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/metrics.h"
#include "store/room.h"

#define SLICE_PAGES       256                    /* 1 MiB: worth its two syncs */
#define HURRY_PERCENT       60 /* of the live overlay; below it nobody looks at the flush beside */
#define HURRY_END_PERCENT   90 /* that it may have when the flush has ended */
#define SNAPSHOT_AGE_MAX_US SECOND_US
#define ROOM_INTERVAL_US    INT64_C(100000)      /* between two measurings, at least */
#define LATE_PAGES_MAX      32                   /* more of them are worth an empty flush */
#define LOG_TRAIL           64                   /* entries kept behind what is durable */
#define LATE_US             (2 * SECOND_US)      /* over the time that a flush has */
#define SPREAD_PERCENT      85 /* of the time in which the overlay filled, for its flush's slices */
#define BIG_RECORDS         16384                /* fewer are soon written */
#define BIG_INTERVALS       15                   /* that a big flush may wait */
#define WORK_RECORDS        1000000              /* a second and a half of deciding, about */
#define ROOM_SHARE          100                  /* measuring takes at most 1 in so many us */

/* -- opening and closing ----------------------------------------------------------------------- */

static void options_fill(struct store_options *o)
{
    o->log_map_bytes = o->log_map_bytes ? o->log_map_bytes : (size_t)4 << 30;
    o->log_tail_bytes = o->log_tail_bytes ? o->log_tail_bytes : (size_t)4 << 20;
    o->state_map_bytes = o->state_map_bytes ? o->state_map_bytes : (size_t)64 << 30;
    o->overlay_max_bytes = o->overlay_max_bytes ? o->overlay_max_bytes : (size_t)512 << 20;
    o->flush_interval_us = o->flush_interval_us ? o->flush_interval_us : SECOND_US;
    o->slice_pages = o->slice_pages ? o->slice_pages : SLICE_PAGES;
    o->disk_reserve_bytes = o->disk_reserve_bytes ? o->disk_reserve_bytes : (uint64_t)256 << 20;
    o->log_keep_entries = o->log_keep_entries ? o->log_keep_entries : 200000;
    o->scrub_interval_us = o->scrub_interval_us ? o->scrub_interval_us : 24 * HOUR_US;
    o->scrub_bytes_per_s = o->scrub_bytes_per_s ? o->scrub_bytes_per_s : (uint64_t)32 << 20;
    o->log_keep_bytes = o->log_keep_bytes ? o->log_keep_bytes : (uint64_t)256 << 20;
}

static int start(struct store *s, char *ret_text)
{
    struct snapshot_options snapshots = {
        .dir = s->options.dir, .state = s->opened.state, .damage = &s->damage,
        .map_bytes = s->options.state_map_bytes,
        .disk_reserve_bytes = s->options.disk_reserve_bytes, .woken = s->options.flushed,
        .user = s->options.user};
    memcpy(snapshots.cluster_id, s->opened.cluster_id, sizeof snapshots.cluster_id);
    s->log_floor = UINT64_MAX;
    s->log_hold = UINT64_MAX;
    int r = overlay_new(&s->live);
    r = r ? r : overlay_new(&s->spare);
    r = r ? r : overlay_warm(s->live, s->options.warm_bytes / 2);
    r = r ? r : overlay_warm(s->spare, s->options.warm_bytes / 2);
    if (r == 0) {
        r = snapshot_open(&snapshots, &s->snapshots);
    }
    if (r == 0) {
        r = store_take_state(s);
    }
    if (r == 0) {
        r = store_scrub(s);
    }
    if (r == STORE_E_DAMAGED) {
        opening_refuse_damage(s->options.dir, "its state's file `members` is damaged", ret_text);
    }
    return err_trace(r);
}

static void release(struct store *s, bool is_clean)
{
    flusher_stop(s->flusher);
    snapshot_close(s->snapshots);
    scrub_stop(s->scrub);
    damage_fini(&s->damage);
    overlay_free(s->live);
    overlay_free(s->frozen);
    overlay_free(s->spare);
    opening_end(&s->opened, is_clean ? s->options.dir : NULL);
    free((char *)(uintptr_t)s->options.dir);
    free(s);
}

int store_open(const struct store_options *options, struct store **ret_store, char *ret_text)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s) {
        return err_origin(-ENOMEM);
    }
    s->options = *options;
    s->opened.lock_fd = -1;
    damage_init(&s->damage, options->damaged, options->user);
    options_fill(&s->options);
    s->options.dir = strdup(options->dir);
    int r = s->options.dir ? opening_run(&s->options, &s->opened, ret_text) : -ENOMEM;
    if (r == 0) {
        r = start(s, ret_text);
    }
    if (r != 0) {
        release(s, false);
        return err_trace(r);
    }
    *ret_store = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s) {
        return;
    }
    /* A failure here loses nothing: the log still has what this flush would have saved a replay. */
    bool is_clean = !s->failed && store_flush(s) == 0;
    release(s, is_clean);
}

void store_abandon(struct store *s)
{
    if (s) {
        release(s, false);
    }
}

void store_cluster_id(const struct store *s, uint8_t ret_id[16])
{
    memcpy(ret_id, s->opened.cluster_id, 16);
}

/* -- the log ----------------------------------------------------------------------------------- */

uint64_t store_log_first(const struct store *s)
{
    return logenv_first(s->opened.log);
}

uint64_t store_log_last(const struct store *s)
{
    return logenv_last(s->opened.log);
}

int store_log_append(struct store *s, uint64_t term, struct span entry)
{
    return err_trace(logenv_append(s->opened.log, term, entry));
}

/* While a received state is ahead, entries at and below its index may be another leader's, who had
 * them and never committed them. */
int store_log_truncate(struct store *s, uint64_t index)
{
    CHECK(s->opened.is_ahead || index > s->applied.applied_index);
    return err_trace(logenv_truncate(s->opened.log, index));
}

int store_log_set_vote(struct store *s, uint64_t term, uint64_t vote)
{
    return err_trace(logenv_set_vote(s->opened.log, term, vote));
}

void store_log_vote(const struct store *s, uint64_t *ret_term, uint64_t *ret_vote)
{
    const struct record_log_meta *meta = logenv_meta(s->opened.log);
    *ret_term = meta->term;
    *ret_vote = meta->vote;
}

static uint64_t lowest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The first entry that must stay. */
static uint64_t log_keep(const struct store *s)
{
    const struct env_usage *log = &s->figures.log;
    uint64_t last = logenv_last(s->opened.log), floor = s->log_floor;
    uint64_t keep = s->applied_durable > LOG_TRAIL ? s->applied_durable - LOG_TRAIL + 1 : 0;
    if (s->opened.is_ahead || s->opened.is_blank) {
        return 0; /* what is durable says nothing of these entries */
    }
    if (last > s->options.log_keep_entries && floor < last - s->options.log_keep_entries) {
        floor = last - s->options.log_keep_entries;
    }
    if (log->used_pages * log->page_bytes <= s->options.log_keep_bytes) {
        keep = lowest(keep, floor);
    }
    bool is_tight = log->used_pages > log->map_pages / 2 ||
                    room_judge(&s->figures) != STORE_ROOM_OK;
    return is_tight ? keep : lowest(keep, s->log_hold);
}

int store_log_commit(struct store *s)
{
    return err_trace(logenv_commit(s->opened.log, log_keep(s)));
}

void store_log_floor(struct store *s, uint64_t index)
{
    s->log_floor = index;
}

void store_log_hold(struct store *s, uint64_t index)
{
    s->log_hold = index;
}

void store_log_durable(const struct store *s, uint64_t *ret_index, uint64_t *ret_term)
{
    const struct record_log_meta *log = logenv_meta(s->opened.log);
    bool is_known = !s->opened.is_ahead && !s->opened.is_blank;
    *ret_index = is_known ? s->applied_durable : log->base;
    *ret_term = is_known ? s->durable_term : log->base_term;
    struct span entry;
    uint64_t first = logenv_first(s->opened.log), term;
    if (!is_known && first > log->base + 1 && first <= logenv_last(s->opened.log) &&
        logenv_read(s->opened.log, first, &term, &entry) == 0) {
        *ret_index = first; /* entries go only when a state that has them is durable */
        *ret_term = term;
    }
}

int store_log_read(struct store *s, uint64_t index, uint64_t *ret_term, struct span *ret_entry)
{
    int r = logenv_read(s->opened.log, index, ret_term, ret_entry);
    switch (r) {
    case LOGENV_E_MISSING:
        return STORE_E_MISSING;
    case LOGENV_E_DAMAGED:
        return STORE_E_DAMAGED;
    default:
        return err_trace(r);
    }
}

/* -- the state --------------------------------------------------------------------------------- */

const struct book *store_book(struct store *s)
{
    return &s->view.book;
}

/* A flush is wanted, one interval from now. */
static void flush_want(struct store *s, int64_t now_us)
{
    if (s->waiting_since_us == 0) {
        s->waiting_since_us = now_us;
    }
}

void store_applied(struct store *s, uint64_t index, uint64_t term, int64_t log_time_us)
{
    CHECK(index >= s->applied.applied_index);
    CHECK(index <= logenv_durable(s->opened.log)); /* else a truncation could reach it */
    s->view.between = false;
    s->opened.is_ahead = s->opened.is_ahead && index == s->applied.applied_index;
    s->applied.applied_index = index;
    s->applied.applied_term = term;
    s->applied.applied_time_us = log_time_us;
    s->applied.effects = s->view.effects;
    flush_want(s, clock_mono_us());
}

uint64_t store_applied_index(const struct store *s)
{
    return s->applied.applied_index;
}

int64_t store_applied_time_us(const struct store *s)
{
    return s->applied.applied_time_us;
}

uint64_t store_applied_effects(const struct store *s)
{
    return s->applied.effects;
}

uint64_t store_applied_durable(const struct store *s)
{
    return s->applied_durable;
}

/* How full the live overlay is, of 100. */
static unsigned overlay_percent(const struct store *s)
{
    uint64_t percent = overlay_bytes(s->live) * 100 / s->options.overlay_max_bytes;
    return percent > 1000 ? 1000 : (unsigned)percent;
}

bool store_overlay_full(const struct store *s)
{
    return s->frozen && overlay_percent(s) >= 100;
}

static int renew(struct store *s, int64_t now_us)
{
    s->snapshot_at_us = now_us;
    return err_trace(stateenv_renew(s->opened.state));
}

/* The flush has ended: its records are in the next snapshot. */
static int adopt(struct store *s, const struct flusher_result *result)
{
    int r = result->code < 0 ? err_origin(result->code) : renew(s, clock_mono_us());
    if (r < 0) {
        s->failed = true;
        return err_trace(r);
    }
    s->measure_at_us = 0; /* what was pending is in the map now */
    s->applied_durable = s->frozen_meta.applied_index;
    s->durable_term = s->frozen_meta.applied_term;
    s->flush_last = *result;
    s->flush_count++;
    s->view.frozen = NULL;
    s->spare = s->frozen;
    s->frozen = NULL;
    overlay_reset(s->spare);
    return 0;
}

/* What the flush under way has brought since the last time, if anything: its end or a slice. */
static int follow(struct store *s, bool *ret_is_news)
{
    struct flusher_result result;
    uint64_t slices;
    int r = 0;
    if (flusher_poll(s->flusher, &result)) {
        *ret_is_news = true;
        return err_trace(adopt(s, &result));
    }
    *ret_is_news = flusher_sliced(s->flusher, &slices);
    if (*ret_is_news) {
        r = renew(s, clock_mono_us());
        flusher_followed(s->flusher, slices);
    }
    return err_trace(r);
}

/* People's records lie anywhere in the tree: a flush writes a leaf for nearly each of them, and the
 * more of them wait the more share one. */
static int64_t flush_interval_us(const struct store *s)
{
    bool is_big = overlay_count(s->live) > BIG_RECORDS;
    return s->options.flush_interval_us * (is_big ? BIG_INTERVALS : 1);
}

/* The overlay beside it fills in about the time in which this one did. */
static int64_t flush_spread_us(const struct store *s, int64_t now_us)
{
    int64_t took_us = now_us - s->waiting_since_us, max_us = flush_interval_us(s);
    return (took_us < max_us ? took_us : max_us) * SPREAD_PERCENT / 100;
}

static void hand_over(struct store *s)
{
    int64_t now_us = clock_mono_us(), spread_us = flush_spread_us(s, now_us);
    CHECK(!s->frozen);
    CHECK(s->spare);
    CHECK(!s->view.between); /* half an entry under the index of the one before could not replay */
    s->frozen = s->live;
    s->live = s->spare;
    s->spare = NULL;
    s->view.live = s->live;
    s->view.frozen = s->frozen;
    s->frozen_meta = s->applied;
    s->waiting_since_us = 0;
    s->hurried = false;
    s->late_at_us = now_us + spread_us + LATE_US;
    flusher_push(s->flusher, s->frozen, &s->frozen_meta, spread_us);
}

static bool flush_wanted(const struct store *s)
{
    return s->waiting_since_us != 0;
}

static bool is_waited_for(const struct store *s)
{
    return s->wanted_durable > s->applied_durable;
}

void store_want_durable(struct store *s, uint64_t index)
{
    s->wanted_durable = index < s->applied.applied_index ? index : s->applied.applied_index;
}

static bool flush_due(const struct store *s, int64_t now_us)
{
    return flush_wanted(s) && !s->frozen &&
           (now_us - s->waiting_since_us >= flush_interval_us(s) ||
            overlay_percent(s) >= 50 || overlay_count(s->live) >= WORK_RECORDS ||
            is_waited_for(s));
}

/* At this pace the live overlay, which was empty when the flush began, is full before it ends. */
static bool is_overtaken(const struct store *s)
{
    uint64_t percent = overlay_percent(s);
    return percent >= HURRY_PERCENT &&
           percent * overlay_count(s->frozen) > HURRY_END_PERCENT * flusher_done(s->flusher);
}

/* A flush stands back for everything else; on a machine that has no time left it would never end,
 * and the log behind it could not be cut. */
static bool is_late(const struct store *s, int64_t now_us)
{
    return now_us >= s->late_at_us || is_waited_for(s) || is_overtaken(s);
}

int store_turn(struct store *s)
{
    bool is_news = false;
    int64_t now_us = clock_mono_us();
    int r = s->failed ? err_origin(-EIO) : 0;
    if (r < 0) {
        return r; /* nothing is tried again */
    }
    snapshot_turn(s->snapshots, s->applied_durable, now_us);
    if (s->frozen) {
        r = follow(s, &is_news);
    }
    if (r == 0 && is_news && !s->frozen) {
        r = logenv_settle(s->opened.log, log_keep(s));
    }
    if (r == 0 && !is_news && now_us - s->snapshot_at_us >= SNAPSHOT_AGE_MAX_US) {
        r = renew(s, now_us);
    }
    if (r == 0 && flush_due(s, now_us)) {
        hand_over(s);
    } else if (s->frozen && !s->hurried && is_late(s, now_us)) {
        flusher_hurry(s->flusher);
        s->hurried = true;
        METRIC_ADD(shard_flushes_hurried_total, 1);
    }
    return err_trace(r);
}

static int wait_frozen(struct store *s)
{
    int r = 0;
    if (s->frozen) {
        flusher_hurry(s->flusher);
    }
    while (r == 0 && s->frozen) {
        bool is_news;
        r = follow(s, &is_news);
        if (r == 0 && !is_news) {
            flusher_wait(s->flusher);
        }
    }
    return err_trace(r);
}

int store_flush(struct store *s)
{
    int r = s->failed ? err_origin(-EIO) : wait_frozen(s);
    if (r == 0 && flush_wanted(s)) {
        hand_over(s);
        r = wait_frozen(s);
    }
    return r ? err_trace(r) : err_trace(logenv_settle(s->opened.log, log_keep(s)));
}

int64_t store_turn_in_us(const struct store *s)
{
    if (!flush_wanted(s) || s->frozen) {
        return INT64_MAX; /* flushed() wakes the writer when the frozen one is done */
    }
    int64_t left = s->waiting_since_us + flush_interval_us(s) - clock_mono_us();
    return left > 0 ? left : 0;
}

/* -- room and figures -------------------------------------------------------------------------- */

static int measure(struct store *s, int64_t now_us)
{
    int r = room_measure(s->opened.state, s->opened.log, s->options.dir, &s->figures);
    int64_t took_us = clock_mono_us() - now_us;
    int64_t pause_us = took_us * ROOM_SHARE;
    s->measure_at_us = now_us + (pause_us > ROOM_INTERVAL_US ? pause_us : ROOM_INTERVAL_US);
    return err_fold(r);
}

enum store_room store_room(struct store *s)
{
    int64_t now_us = clock_mono_us();
    if (now_us >= s->measure_at_us && measure(s, now_us) < 0) {
        return STORE_ROOM_NONE; /* what cannot be measured may be full; the disk calls will tell */
    }
    s->figures.disk_reserve_bytes = s->options.disk_reserve_bytes;
    s->figures.live_pages = room_pending_pages(s->live, stateenv_leaf_pages(s->opened.state));
    s->figures.frozen_pages = room_pending_pages(s->frozen, stateenv_leaf_pages(s->opened.state));
    enum store_room room = room_judge(&s->figures);
    if (room != STORE_ROOM_OK && s->figures.state.late_pages > LATE_PAGES_MAX) {
        flush_want(s, now_us); /* even an empty flush makes them free */
    }
    return room;
}

void store_stats(struct store *s, struct store_stats *ret_stats)
{
    (void)store_room(s); /* fresh figures */
    const struct env_usage *log = &s->figures.log;
    const struct env_usage *state = &s->figures.state;
    *ret_stats = (struct store_stats){
        .log_bytes = log->used_pages * log->page_bytes,
        .log_map_bytes = log->map_pages * log->page_bytes,
        .state_bytes = state->used_pages * state->page_bytes,
        .state_map_bytes = state->map_pages * state->page_bytes,
        .disk_free_bytes = s->figures.disk_free_bytes,
        .overlay_bytes = overlay_bytes(s->live) + (s->frozen ? overlay_bytes(s->frozen) : 0),
        .flush_count = s->flush_count,
        .flush_us_last = (uint64_t)s->flush_last.took_us,
        .flush_records_last = s->flush_last.records,
        .flush_records_left = s->frozen ? overlay_count(s->frozen) - flusher_done(s->flusher) : 0,
        .is_flush_hurried = s->frozen && s->hurried,
    };
}
