/* SPDX-License-Identifier: MIT */
/* The state on disk: the ledger's records and how far the log is in them.
 * Two faces: the snapshot is the writer thread's, the transaction the flusher thread's. */
#ifndef FAIRSLOT_STORE_STATEENV_H
#define FAIRSLOT_STORE_STATEENV_H

#include "store/env.h"
#include "store/overlay.h"
#include "store/record.h"
#include "store/walk.h"

struct stateenv;

enum {
    STATEENV_E_FORMAT = 1,  /* *ret_format says which */
    STATEENV_E_DAMAGED = 2, /* bad sum or missing records */
    STATEENV_E_NONE = 3,    /* no such record, no more records */
    STATEENV_E_MORE = 4,    /* a slice is durable, the flush goes on */
};

/* 0 or < 0. */
int stateenv_make(const char *path, size_t map_bytes, const uint8_t cluster_id[16]);
/* 0, STATEENV_E_FORMAT, STATEENV_E_DAMAGED, < 0.  With a snapshot. */
int stateenv_open(const char *path, size_t map_bytes, struct stateenv **ret_state,
                  uint32_t *ret_format);
/* Reads every record of the snapshot once: sums, order, the way down to each leaf, and that none is
 * missing or surplus.  0, STATEENV_E_DAMAGED, < 0.  About 10 million records a second in memory. */
int stateenv_verify(struct stateenv *s);
/* A flush that a crash cut in two is undone, durably, so that the records are those of the applied
 * index again.  After stateenv_verify(), before the first flush; most often there is nothing to do.
 * In parts, one transaction each, of `part_pages` pages of notes (0: 512, never more); of a crash
 * between two of them the next call makes the same.  0, STATEENV_E_DAMAGED, < 0. */
int stateenv_undo(struct stateenv *s, uint64_t part_pages);
/* No flush may be under way.  Takes NULL. */
void stateenv_close(struct stateenv *s);

/* -- writer thread: the snapshot --------------------------------------------------------------- */

/* As the environment's meta record stood when it was opened. */
const struct record_state_meta *stateenv_meta(const struct stateenv *s);
/* The newest commit becomes visible; every borrowed span ends.  0 or < 0. */
int stateenv_renew(struct stateenv *s);
/* 0, STATEENV_E_NONE, STATEENV_E_DAMAGED, < 0.  Borrowed until stateenv_renew(). */
int stateenv_get(struct stateenv *s, struct span key, struct span *ret_value);
/* First record with key >= `from`, exclusive: > `from`; stateenv_step() the one after it.
 * 0, STATEENV_E_NONE, STATEENV_E_DAMAGED, < 0.  `ret_stored` has yet to pass
 * record_value_read(). */
int stateenv_seek(struct stateenv *s, struct span from, bool exclusive, struct span *ret_key,
                  struct span *ret_stored);
int stateenv_step(struct stateenv *s, struct span *ret_key, struct span *ret_stored);
/* 0 or < 0. */
int stateenv_usage(struct stateenv *s, struct env_usage *ret_usage);
/* Leaf and overflow pages of the records in the snapshot. */
uint64_t stateenv_leaf_pages(const struct stateenv *s);

/* -- any thread but the writer's and the flusher's: it takes long ------------------------------ */

/* A compact copy as the directory `path`, as the newest commit is at that time.  0 or < 0. */
int stateenv_copy(struct stateenv *s, const char *path);
/* The next part of reading everything (walk_part()); at its beginning metas and free list too.
 * 0, STATEENV_E_DAMAGED, < 0. */
int stateenv_scrub(struct stateenv *s, struct walk_place *place);
/* Bytes that a copy may have.  0 or < 0. */
int stateenv_copy_bytes(struct stateenv *s, uint64_t *ret_bytes);

/* -- flusher thread ---------------------------------------------------------------------------- */

/* One overlay on its way to disk. */
struct stateenv_flush {
    const struct overlay *overlay;
    const struct record_state_meta *meta; /* what the records are with all of it */
    uint64_t slice_pages;    /* leaves that a slice may touch at least, about */
    struct overlay_cursor at; /* the next entry */
    uint64_t left;           /* entries to write */
    uint64_t slice;          /* of them in one transaction; 0: nothing is written yet */
    uint64_t slice_late;     /* the same when it is late */
    bool is_late;            /* the caller's: more in each of the next transactions */
};

void stateenv_flush_init(struct stateenv_flush *f, const struct overlay *overlay,
                         const struct record_state_meta *meta, uint64_t slice_pages);
/* One transaction: the next slice, in key order, and with the last one the meta record.
 * STATEENV_E_MORE: call it again, best when the writer has renewed its snapshot, for only then are
 * pages free again that the slice before has left.  0: all of it is durable; < 0: after
 * stateenv_undo() nothing of it is. */
int stateenv_write(struct stateenv *s, struct stateenv_flush *f);

#endif
