/* SPDX-License-Identifier: MIT */
/* The flusher thread: one frozen overlay in, one durable LMDB transaction out.
 *
 *   IDLE --push--> WAITING --thread--> (writing) --> DONE --poll, wait--> IDLE
 *
 * Owns: the thread, and the overlay between push and DONE (shared: the writer reads it too).
 * For: the writer thread never waits for the state environment, else answers and heartbeats would
 * stop for as long as a big commit takes.  Begin, put and commit of a transaction all happen here,
 * because LMDB's writer lock belongs to a thread.
 * A flush is slices (stateenv.c).  Between two of them the thread waits for the writer's snapshot
 * to follow, because pages that the snapshot still shows cannot be used again; a short time only,
 * for a file that is longer is the lesser evil than a flush that waits for a busy writer.
 * Slices are spread over the time that a flush has: on a disk that writes thousands of pages in one
 * go, the log's commits beside them wait.
 * Fails: the code of the failed flush goes to the writer, which ends the process.  No retry here.
 * Invariants: at most one flush under way; state changes under the mutex only, but for what is
 * atomic: the thread runs slices at idle priority, where it must not have the mutex. */
#include "store/flusher.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"

#define FOLLOW_MAX_US INT64_C(20000) /* that a slice waits for the writer's snapshot */
#define REST_US       INT64_C(50000) /* without a look whether it is late */

enum flusher_step { FLUSHER_IDLE, FLUSHER_WAITING, FLUSHER_DONE };

struct flusher {
    struct flusher_options options;
    pthread_t thread;
    pthread_mutex_t mutex;           /* guards what follows */
    pthread_cond_t changed;          /* step or stop */
    enum flusher_step step;
    bool stop;                       /* the thread ends when it is idle */
    const struct overlay *overlay;   /* WAITING: to be written */
    struct record_state_meta meta;   /* goes with it */
    int64_t spread_us;               /* that it may take */
    struct flusher_result result;    /* DONE: how it went */
    atomic_uint_fast64_t slices;     /* committed that were not a flush's last */
    atomic_uint_fast64_t slices_seen; /* as the writer's snapshot has them */
    atomic_uint_fast64_t done;       /* records of the flush under way that are in a slice */
    atomic_bool nobody_follows;      /* the end is near */
    atomic_bool is_late;             /* the flush under way shall end soon */
    sem_t followed;                  /* posted with slices_seen and nobody_follows */
    sem_t news;                      /* posted with slices and DONE */
};

/* The log's fsync stands between a person and the answer; a flush has time.  So the disk serves the
 * flusher when nobody else asks (where its scheduler knows priorities: mq-deadline, BFQ), and the
 * processor runs it when the writer sleeps: with a normal share it kept a woken writer waiting for
 * the 3 ms of its slice, at every round.  flusher_hurry() ends that when the flush runs late.  What
 * the kernel refuses here changes nothing but speed. */
static void stand_back(pthread_t thread, bool is_back)
{
    struct sched_param param = {0};
    (void)pthread_setschedparam(thread, is_back ? SCHED_IDLE : SCHED_OTHER, &param);
}

static void ask_disk_last(void)
{
    enum { WHO_THREAD = 1, CLASS_IDLE = 3, CLASS_SHIFT = 13 }; /* linux/ioprio.h */
    (void)syscall(SYS_ioprio_set, WHO_THREAD, 0, CLASS_IDLE << CLASS_SHIFT);
}

/* Until something is posted, at most so long; interrupted: shorter. */
static void await_post(struct flusher *f, int64_t max_us)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    int64_t us = until.tv_nsec / 1000 + max_us;
    until.tv_sec += us / SECOND_US;
    until.tv_nsec = us % SECOND_US * 1000;
    (void)sem_timedwait(&f->followed, &until);
}

/* The writer's snapshot shows the newest slice, and it is time for the next one. */
static void await_turn(struct flusher *f, int64_t at_us)
{
    int64_t now_us = clock_mono_us(), follow_us = now_us + FOLLOW_MAX_US;
    for (; !f->nobody_follows; now_us = clock_mono_us()) {
        bool follows = f->slices_seen == f->slices || now_us >= follow_us;
        int64_t until_us = follows ? at_us : follow_us;
        if (follows && (f->is_late || now_us >= at_us)) {
            break;
        }
        await_post(f, until_us - now_us < REST_US ? until_us - now_us : REST_US);
    }
}

/* When the next slice is due: as much of the time as of the entries. */
static int64_t next_us(const struct stateenv_flush *flush, int64_t begin_us, int64_t spread_us)
{
    uint64_t count = overlay_count(flush->overlay), done = count - flush->left;
    return begin_us + spread_us * (int64_t)done / (int64_t)count;
}

static int write_slices(struct flusher *f, struct stateenv_flush *flush, int64_t spread_us)
{
    int64_t begin_us = clock_mono_us();
    int r = stateenv_write(f->options.state, flush);
    while (r == STATEENV_E_MORE) {
        f->done = overlay_count(flush->overlay) - flush->left;
        f->slices++;
        sem_post(&f->news);
        if (f->options.flushed) {
            f->options.flushed(f->options.user);
        }
        await_turn(f, next_us(flush, begin_us, spread_us));
        flush->is_late = f->is_late;
        r = stateenv_write(f->options.state, flush);
    }
    return err_fold(r);
}

/* Under the mutex, which it gives up for the time of the writing. */
static void write_one(struct flusher *f)
{
    const struct overlay *overlay = f->overlay;
    struct record_state_meta meta = f->meta;
    int64_t spread_us = f->spread_us;
    pthread_mutex_unlock(&f->mutex);

    struct stateenv_flush flush;
    stateenv_flush_init(&flush, overlay, &meta, f->options.slice_pages);
    stand_back(pthread_self(), true);
    if (f->is_late) { /* told so meanwhile: flusher_hurry() sets it before */
        stand_back(pthread_self(), false);
    }
    int64_t start = clock_mono_us();
    struct flusher_result result = {.records = overlay_count(overlay)};
    result.code = write_slices(f, &flush, spread_us);
    result.took_us = clock_mono_us() - start;
    stand_back(pthread_self(), false); /* never idle with the mutex: the writer takes it too */

    pthread_mutex_lock(&f->mutex);
    f->result = result;
    f->step = FLUSHER_DONE;
    sem_post(&f->news);
}

static void *run(void *arg)
{
    struct flusher *f = arg;
    pthread_setname_np(pthread_self(), "flusher");
    ask_disk_last();
    pthread_mutex_lock(&f->mutex);
    for (;;) {
        while (f->step != FLUSHER_WAITING && !f->stop) {
            pthread_cond_wait(&f->changed, &f->mutex);
        }
        if (f->step != FLUSHER_WAITING) {
            break;
        }
        write_one(f);
        if (f->options.flushed) {
            pthread_mutex_unlock(&f->mutex);
            f->options.flushed(f->options.user);
            pthread_mutex_lock(&f->mutex);
        }
    }
    pthread_mutex_unlock(&f->mutex);
    return NULL;
}

/* Signals belong to the threads that expect them. */
static int thread_start(struct flusher *f)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&f->thread, NULL, run, f);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc ? err_origin(-rc) : 0;
}

int flusher_start(const struct flusher_options *options, struct flusher **ret_flusher)
{
    struct flusher *f = calloc(1, sizeof *f);
    if (!f) {
        return err_origin(-ENOMEM);
    }
    f->options = *options;
    pthread_mutex_init(&f->mutex, NULL);
    pthread_cond_init(&f->changed, NULL);
    sem_init(&f->followed, 0, 0);
    sem_init(&f->news, 0, 0);
    int r = thread_start(f);
    if (r < 0) {
        sem_destroy(&f->followed);
        sem_destroy(&f->news);
        pthread_cond_destroy(&f->changed);
        pthread_mutex_destroy(&f->mutex);
        free(f);
        return err_trace(r);
    }
    *ret_flusher = f;
    return 0;
}

void flusher_stop(struct flusher *f)
{
    if (!f) {
        return;
    }
    f->nobody_follows = true;
    sem_post(&f->followed);
    pthread_mutex_lock(&f->mutex);
    f->stop = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
    pthread_join(f->thread, NULL);
    sem_destroy(&f->followed);
    sem_destroy(&f->news);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->mutex);
    free(f);
}

void flusher_push(struct flusher *f, const struct overlay *overlay,
                  const struct record_state_meta *meta, int64_t spread_us)
{
    pthread_mutex_lock(&f->mutex);
    CHECK(f->step == FLUSHER_IDLE);
    f->spread_us = spread_us;
    f->is_late = false;
    f->done = 0;
    f->overlay = overlay;
    f->meta = *meta;
    f->step = FLUSHER_WAITING;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
}

void flusher_hurry(struct flusher *f)
{
    f->is_late = true;
    stand_back(f->thread, false);
    sem_post(&f->followed);
}

uint64_t flusher_done(const struct flusher *f)
{
    return f->done;
}

bool flusher_sliced(const struct flusher *f, uint64_t *ret_slices)
{
    *ret_slices = f->slices;
    return f->slices_seen != *ret_slices;
}

void flusher_followed(struct flusher *f, uint64_t slices)
{
    f->slices_seen = slices;
    sem_post(&f->followed);
}

bool flusher_poll(struct flusher *f, struct flusher_result *ret_result)
{
    pthread_mutex_lock(&f->mutex);
    bool done = f->step == FLUSHER_DONE;
    if (done) {
        *ret_result = f->result;
        f->step = FLUSHER_IDLE;
    }
    pthread_mutex_unlock(&f->mutex);
    return done;
}

void flusher_wait(struct flusher *f)
{
    while (sem_wait(&f->news) != 0) { /* interrupted */
    }
}
