/* SPDX-License-Identifier: MIT */
/* The scrubber: every record of both environments once an interval, part by part.
 *
 *   sleep till the interval is over -> log: meta pages, free list, entries
 *                                   -> state: the same, records -> again
 *   part: one short read transaction of some records, then a pause that keeps the rate
 *
 * For: LMDB 0.9 has no checksums, and a record that nobody asks for may be wrong for years, until
 * the day when it is the only good copy.  The parts are short, because a read transaction pins what
 * flushes free; so a record that moves between two parts may be missed or read twice, which does no
 * harm.
 * Owns: the thread.  Shares the environments with writer and flusher, as any reader does.
 * Fails: what is damaged is told once (damage.h) and nothing more is read; an error of the disk is
 * damage here, for nobody asked for the record that it hit.  A page that is no page at all may end
 * the process inside LMDB, which serves nothing either.
 * Roads not taken: comparing with the tally (the state goes on while it is read; copies for peers
 * do compare it). */
#include "store/scrub.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/metrics.h"

#define PART_RECORDS 500

struct scrub {
    struct scrub_options options;
    pthread_t thread;
    pthread_mutex_t mutex;  /* held while a part is read; guards what follows */
    pthread_cond_t changed;
    bool stop;
    bool is_log;            /* which of the two is being read */
    struct walk_place place;
};

/* The disk serves this thread when nobody else asks, where its scheduler knows priorities. */
static void ask_disk_last(void)
{
    enum { WHO_THREAD = 1, CLASS_IDLE = 3, CLASS_SHIFT = 13 }; /* linux/ioprio.h */
    (void)syscall(SYS_ioprio_set, WHO_THREAD, 0, CLASS_IDLE << CLASS_SHIFT);
}

/* Under the mutex, given up meanwhile; true: stop. */
static bool sleep_us(struct scrub *s, int64_t us)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += us / SECOND_US;
    until.tv_nsec += us % SECOND_US * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (!s->stop && pthread_cond_timedwait(&s->changed, &s->mutex, &until) != ETIMEDOUT) {
    }
    return s->stop;
}

/* 0 or not: the next part was read and is as it was written. */
static int read_part(struct scrub *s)
{
    uint64_t before = s->place.bytes;
    s->place.records_max = PART_RECORDS;
    int r = s->is_log ? logenv_scrub(s->options.log, &s->place)
                      : stateenv_scrub(s->options.state, &s->place);
    METRIC_ADD(shard_scrub_bytes_total, s->place.bytes - before);
    return r;
}

/* All of one environment.  True: stop. */
static bool read_one(struct scrub *s, bool is_log)
{
    s->is_log = is_log;
    s->place = (struct walk_place){0};
    while (!s->place.is_end) {
        uint64_t before = s->place.bytes;
        if (read_part(s) != 0) {
            const char *what = is_log ? "log/ has a record that is not as it was written"
                                      : "state/ has a record that is not as it was written";
            pthread_mutex_unlock(&s->mutex); /* who is told may ask for us to stop */
            damage_note(s->options.damage, s->options.dir, what, is_log);
            pthread_mutex_lock(&s->mutex);
            return true;
        }
        uint64_t bytes = s->place.bytes > before ? s->place.bytes - before : 1;
        if (sleep_us(s, (int64_t)(bytes * SECOND_US / s->options.bytes_per_s))) {
            return true;
        }
    }
    return false;
}

static void *run(void *arg)
{
    struct scrub *s = arg;
    pthread_setname_np(pthread_self(), "scrubber");
    ask_disk_last();
    pthread_mutex_lock(&s->mutex);
    int64_t began_us = clock_mono_us();
    for (;;) {
        int64_t left_us = began_us + s->options.interval_us - clock_mono_us();
        if (sleep_us(s, left_us > 0 ? left_us : 0)) {
            break;
        }
        began_us = clock_mono_us();
        if (read_one(s, true) || read_one(s, false)) {
            break;
        }
        METRIC_ADD(shard_scrubs_total, 1);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

static int thread_start(struct scrub *s)
{
    sigset_t all, before;
    sigfillset(&all); /* signals belong to the threads that expect them */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&s->thread, NULL, run, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc ? err_origin(-rc) : 0;
}

int scrub_start(const struct scrub_options *options, struct scrub **ret_scrub)
{
    pthread_condattr_t attr;
    *ret_scrub = NULL;
    if (options->interval_us < 0) {
        return 0;
    }
    struct scrub *s = calloc(1, sizeof *s);
    if (!s) {
        return err_origin(-ENOMEM);
    }
    s->options = *options;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attr);
    pthread_condattr_destroy(&attr);
    int r = thread_start(s);
    if (r < 0) {
        pthread_cond_destroy(&s->changed);
        pthread_mutex_destroy(&s->mutex);
        free(s);
        return err_trace(r);
    }
    *ret_scrub = s;
    return 0;
}

void scrub_stop(struct scrub *s)
{
    if (!s) {
        return;
    }
    pthread_mutex_lock(&s->mutex);
    s->stop = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

void scrub_pause(struct scrub *s)
{
    if (s) {
        pthread_mutex_lock(&s->mutex);
    }
}

void scrub_go_on(struct scrub *s, struct stateenv *state)
{
    if (s) {
        s->options.state = state;
        s->place.key_len = s->is_log ? s->place.key_len : 0; /* another state: from its beginning */
        pthread_mutex_unlock(&s->mutex);
    }
}
