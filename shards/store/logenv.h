/* SPDX-License-Identifier: MIT */
/* The log: entries by index, term and vote, in an LMDB environment of its own with a tail ahead of
 * it.  Everything here is the writer thread's; store.h says what each call means. */
#ifndef FAIRSLOT_STORE_LOGENV_H
#define FAIRSLOT_STORE_LOGENV_H

#include "store/env.h"
#include "store/record.h"
#include "store/walk.h"

struct logenv;

enum {
    LOGENV_E_FORMAT = 1,  /* *ret_format says which */
    LOGENV_E_DAMAGED = 2, /* bad sum, missing or surplus records */
    LOGENV_E_MISSING = 3, /* no such entry */
};

struct logenv_place {
    const char *path; /* the environment's directory */
    size_t map_bytes;
    size_t tail_bytes; /* of a tail that is made; one that is there has its own size */
};

/* `disk`: whose, 0 of a shard alone.  0 or < 0. */
int logenv_make(const struct logenv_place *place, const uint8_t cluster_id[16], uint64_t disk);
/* 0, LOGENV_E_FORMAT, LOGENV_E_DAMAGED, < 0. */
int logenv_open(const struct logenv_place *place, struct logenv **ret_log, uint32_t *ret_format);
/* The same, but only the meta record, the number of entries and the tail are looked at: for
 * log_repair.c, which reads the rest one by one by logenv_stored(). */
int logenv_open_damaged(const struct logenv_place *place, struct logenv **ret_log,
                        uint32_t *ret_format);
/* What was not committed is gone.  Takes NULL. */
void logenv_close(struct logenv *l);

const struct record_log_meta *logenv_meta(const struct logenv *l);
uint64_t logenv_first(const struct logenv *l);
uint64_t logenv_last(const struct logenv *l);
/* Last index that a commit has made durable. */
uint64_t logenv_durable(const struct logenv *l);

/* At opening the tail was damaged where nothing was in it, and was made anew. */
bool logenv_was_spoiled(const struct logenv *l);

/* Takes LMDB's lock of writers now, as the first change would.  It is held until the tree's next
 * commit, so whoever takes another lock meanwhile must take it after this one.  0 or < 0. */
int logenv_write_begin(struct logenv *l);
int logenv_append(struct logenv *l, uint64_t term, struct span entry);
int logenv_truncate(struct logenv *l, uint64_t index);
int logenv_set_vote(struct logenv *l, uint64_t term, uint64_t vote);
/* Makes what is pending durable; now and then that is a commit of the tree, which takes the oldest
 * entries before `keep` along, a slice at a time.  0 or < 0. */
int logenv_commit(struct logenv *l, uint64_t keep);
/* Commits the tree, now if all that is pending in it is durable by the tail, else with the next
 * commit.  0 or < 0. */
int logenv_settle(struct logenv *l, uint64_t keep);
/* One commit: every entry goes, the log stands behind `base`, the state is directory `number`.
 * Term and vote stay, those set and not committed too.  0 or < 0. */
int logenv_install(struct logenv *l, uint64_t base, uint64_t base_term, uint64_t number);
/* One commit: the state is directory `number`; entries, term and vote stay.  0 or < 0. */
int logenv_name_state(struct logenv *l, uint64_t number);
/* One commit: a log that did not say so is `disk`'s from now on.  0 or < 0. */
int logenv_claim(struct logenv *l, uint64_t disk);
/* 0, LOGENV_E_MISSING, LOGENV_E_DAMAGED, < 0.  Borrowed until the next call that writes, or the
 * next read. */
int logenv_read(struct logenv *l, uint64_t index, uint64_t *ret_term, struct span *ret_entry);
/* -- of one that is damaged -- */

/* The record's bytes as they are stored, index 0: the meta record, borrowed until the close.  They
 * may be wrong, their length too, which may reach behind the file: look before reading them.
 * 0, LOGENV_E_DAMAGED (there is no such record), < 0. */
int logenv_stored(struct logenv *l, uint64_t index, struct span *ret_value);
/* By its sum. */
bool logenv_stored_whole(uint64_t index, struct span value);
/* The term of an entry that is whole. */
uint64_t logenv_stored_term(struct span value);
/* As env_free_pages(): LOGENV_E_DAMAGED when there is no telling. */
int logenv_free_pages(struct logenv *l, void *arg, int (*each)(void *arg, uint64_t page));
/* Entries behind this one are in the tail alone, and lie on no page. */
uint64_t logenv_in_tree(const struct logenv *l);
/* A new log, as logenv_make(): cluster, term, vote and state of `from`, which stands behind `base`
 * and has its entries behind that, byte for byte.  0 or < 0. */
int logenv_make_behind(const struct logenv_place *place, struct logenv *from, uint64_t base,
                       uint64_t base_term);

/* Any thread: the next part of reading everything, as stateenv_scrub(). */
int logenv_scrub(struct logenv *l, struct walk_place *place);
/* 0 or < 0.  Leaves borrowed entries alone. */
int logenv_usage(struct logenv *l, struct env_usage *ret_usage);

#endif
