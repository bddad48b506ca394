/* SPDX-License-Identifier: MIT */
/* What the parts of snapshots share, and what store.c needs of them; nobody else includes this.
 *   snapshot.c            copies that are made and read
 *   snapshot_receive.c    one that comes in
 *   snapshot_worker.c     the thread that makes, checks and removes */
#ifndef FAIRSLOT_STORE_SNAPSHOT_PARTS_H
#define FAIRSLOT_STORE_SNAPSHOT_PARTS_H

#include <pthread.h>

#include "store/damage.h"
#include "store/folder.h"
#include "store/snapshot.h"
#include "store/stateenv.h"

struct snapshot_options {
    const char *dir;              /* borrowed until snapshot_close(), as all else here */
    struct stateenv *state;       /* what copies are made of; snapshot_swap() changes it */
    struct damage *damage;        /* to be told of damage in it */
    uint8_t cluster_id[16];
    size_t map_bytes;             /* of a state environment */
    uint64_t disk_reserve_bytes;  /* stays free */
    void (*woken)(void *user);    /* on the worker, when a call is worth repeating; or NULL */
    void *user;
};

enum snapshot_copy_state {
    SNAPSHOT_COPY_NONE,
    SNAPSHOT_COPY_WANTED,  /* the worker's */
    SNAPSHOT_COPY_READY,
    SNAPSHOT_COPY_FAILED,  /* `code` waits for who asked */
    SNAPSHOT_COPY_DROPPED, /* the worker's */
    SNAPSHOT_COPY_KEPT,    /* an earlier process made it: perhaps its reader goes on */
    SNAPSHOT_COPY_PROVED,  /* it is asked for: the worker's, to see whether it is still whole */
};

struct snapshot_copy {
    enum snapshot_copy_state state;
    uint64_t number;             /* its directory: copy.N */
    struct snapshot_about about; /* READY, KEPT, PROVED */
    int fd;                      /* READY: of its data file */
    int code;                    /* FAILED */
    int64_t used_us;             /* when it was last asked for or read */
};

enum snapshot_in_state {
    SNAPSHOT_IN_NONE,
    SNAPSHOT_IN_OPEN,
    SNAPSHOT_IN_CHECKING, /* the worker's */
    SNAPSHOT_IN_CHECKED,
    SNAPSHOT_IN_FAILED,   /* `code` waits for who asked */
};

/* The state that comes in: the directory "incoming". */
struct snapshot_in {
    enum snapshot_in_state state;
    struct snapshot_about about;
    uint64_t offset; /* bytes that are there */
    int fd;          /* OPEN, CHECKING, CHECKED */
    int code;        /* FAILED */
};

struct snapshots {
    struct snapshot_options options;
    pthread_mutex_t mutex;   /* guards what follows */
    pthread_cond_t changed;
    pthread_t thread;
    bool is_running;         /* the worker was started */
    bool stop;
    bool is_copying;         /* the worker reads options.state */
    uint64_t next_number;    /* of a copy's directory */
    uint64_t durable;        /* index in the state's newest commit */
    struct snapshot_copy copies[SNAPSHOT_COPIES_MAX];
    struct snapshot_in in;
    char garbage[FOLDER_PATH_MAX]; /* the state that was replaced; "": none */
};

/* 0 or < 0. */
int snapshot_open(const struct snapshot_options *options, struct snapshots **ret_snapshots);
/* Waits for what the worker is doing.  Takes NULL. */
void snapshot_close(struct snapshots *n);
/* Writer: drops copies that nobody reads; `durable` is the state's index. */
void snapshot_turn(struct snapshots *n, uint64_t durable, int64_t now_us);
/* Writer: the received and checked state becomes the directory `path`, with `members` in it,
 * durable.  Its index is at least `base`.  0, SNAPSHOT_E_UNKNOWN, or < 0. */
int snapshot_take(struct snapshots *n, const char *path, uint64_t base, struct span members);
/* Writer: nobody reads the old state any more when it returns.  Copies are refused until
 * snapshot_swap_end(), which takes the new one and has `garbage` removed. */
void snapshot_swap(struct snapshots *n);
void snapshot_swap_end(struct snapshots *n, struct stateenv *state, const char *garbage);

/* -- between the parts: under the mutex -------------------------------------------------------- */

/* Starts the worker if need be and tells it that there is something to do.  0 or < 0. */
int snapshot_work(struct snapshots *n);
int snapshot_copy_path(const struct snapshots *n, uint64_t number, char ret_path[FOLDER_PATH_MAX]);
int snapshot_in_path(const struct snapshots *n, char ret_path[FOLDER_PATH_MAX]);

#endif
