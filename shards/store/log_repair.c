/* SPDX-License-Identifier: MIT */
/* A damaged log, made anew where nothing of what this replica has promised is damaged.
 *
 *   index    first ... K | K+1 ... last        K: applied and durable in the state, so committed
 *            dropped, as | each whole by its
 *            trimming    | sum: kept as it is  + meta record: term, vote, state, whole by its sum
 *
 *   log.repaired.new -> log.repaired -> log/ becomes log.damaged -> log.repaired becomes log/
 *
 * For: an old entry that nobody may ever ask for should not cost a replica.  What has been promised
 * is the term, the vote, and every entry that is not known to be committed: a replica that forgets
 * one of these and goes on may undo what others have acknowledged.  Hence all of it is looked up
 * and must be whole, and the counts must show that no tail is missing.
 * A sum says that a record was once written so, not that it is the newest: through a spoiled page
 * of the tree's upper part a search may end in a leaf that was replaced since, with an older vote
 * in it.  Such a leaf is on the list of free pages.  And after a clean stop it is known which pages
 * have changed: each must be one that holds dropped entries, or a free one, and none may hold what
 * is kept.  So each page gets marks, and log and state are believed only if these agree.
 * Owns: log.repaired and log.damaged in the store's directory.
 * After a crash: log/ is there, and all begins anew; or it is not and both others are, and only the
 * second rename is left.  Nothing else leaves those two without log/.
 * Fails: a verdict, with nothing touched, or < 0.
 * Roads not taken: mending in place (each write could meet a page that is damaged, too); fetching
 * single entries from peers, for which they would have to know which of them are committed (see
 * docs/decisions). */
#include "store/log_repair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "store/folder.h"
#include "store/sums.h"

#define PAGE_BYTES 4096
#define KEPT_MAX   (64 * 1024) /* pages of entries in one transaction: half of LMDB's 131,071 */
#define INLINE_MAX 1900        /* a value that is longer may have pages of its own */
#define NODE_BYTES 24          /* of a record beside its value, in a leaf */

/* What is known of a page of the damaged file. */
enum {
    MARK_CHANGED = SUMS_MARK, /* since the clean stop */
    MARK_FREE = 2,
    MARK_DROPPED = 4,         /* holds an entry that the state has */
    MARK_KEPT = 8,            /* holds the meta record or an entry that is kept */
};

struct pages {
    uint8_t *marks; /* one byte a page */
    size_t count;
    int fd;         /* of the data file */
};

static int pages_open(const char *log_path, struct pages *p)
{
    char file[FOLDER_PATH_MAX];
    struct stat st;
    int r = folder_join(file, log_path, "/data.mdb");
    if (r < 0) {
        return err_trace(r);
    }
    p->fd = open(file, O_RDONLY | O_CLOEXEC);
    if (p->fd < 0 || fstat(p->fd, &st) < 0) {
        return err_origin(-errno);
    }
    p->count = (size_t)st.st_size / PAGE_BYTES;
    p->marks = calloc(p->count + 1, 1);
    return p->marks ? 0 : err_origin(-ENOMEM);
}

static void pages_close(struct pages *p)
{
    free(p->marks);
    if (p->fd >= 0) {
        close(p->fd);
    }
}

/* A page says its own number, and may be wrong: what is kept must be where it says. */
static bool is_page(const struct pages *p, uint64_t number, const uint8_t *mapped)
{
    uint8_t bytes[PAGE_BYTES];
    return pread(p->fd, bytes, sizeof bytes, (off_t)(number * PAGE_BYTES)) == sizeof bytes &&
           memcmp(bytes, mapped, sizeof bytes) == 0;
}

/* The pages where the value lies; false: they cannot be told. */
static bool mark_value(struct pages *p, struct span value, uint8_t mark)
{
    const uint8_t *page = value.ptr - (uintptr_t)value.ptr % PAGE_BYTES;
    size_t span = (size_t)(value.ptr - page) + value.len;
    size_t count = (span + PAGE_BYTES - 1) / PAGE_BYTES;
    uint64_t number;
    memcpy(&number, page, sizeof number);
    if (number >= p->count || count > p->count - number ||
        (mark == MARK_KEPT && !is_page(p, number, page))) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        p->marks[number + i] |= mark;
    }
    return true;
}

static int mark_free(void *arg, uint64_t number)
{
    struct pages *p = arg;
    if (number < p->count) {
        p->marks[number] |= MARK_FREE;
    }
    return 0;
}

/* What may be damaged: it is looked for only to know where it lies. */
static int mark_dropped(struct pages *p, struct logenv *log, uint64_t applied)
{
    for (uint64_t index = logenv_first(log); index <= applied && index <= logenv_in_tree(log);
         index++) {
        struct span value;
        int r = logenv_stored(log, index, &value);
        if (r < 0) {
            return err_trace(r);
        }
        if (value.ptr) {
            (void)mark_value(p, value, MARK_DROPPED);
        }
    }
    return 0;
}

/* All that was promised: whole, and where it should be.  Index 0 is the meta record. */
static int mark_kept(struct pages *p, struct logenv *log, uint64_t applied)
{
    uint64_t bytes = 0;
    for (uint64_t index = applied; index <= logenv_last(log); index++) {
        struct span value;
        int r = logenv_stored(log, index == applied ? 0 : index, &value);
        if (r < 0) {
            return err_trace(r);
        }
        bytes += NODE_BYTES + (value.len <= INLINE_MAX ? value.len : value.len + PAGE_BYTES);
        bool is_paged = index == applied || index <= logenv_in_tree(log);
        if (r > 0 || bytes > (uint64_t)KEPT_MAX * PAGE_BYTES ||
            (is_paged && !mark_value(p, value, MARK_KEPT)) ||
            !logenv_stored_whole(index == applied ? 0 : index, value)) {
            return LOG_REPAIR_E_REFUSED;
        }
    }
    return 0;
}

static bool marks_agree(const struct pages *p)
{
    for (size_t i = 0; i < p->count; i++) {
        uint8_t m = p->marks[i];
        if ((m & MARK_KEPT && m & (MARK_CHANGED | MARK_FREE)) ||
            (m & MARK_CHANGED && !(m & (MARK_FREE | MARK_DROPPED)))) {
            return false;
        }
    }
    return true;
}

static int judge_pages(const char *log_path, struct logenv *log, uint64_t applied)
{
    struct pages p = {.fd = -1};
    int r = sysconf(_SC_PAGESIZE) == PAGE_BYTES ? pages_open(log_path, &p) : LOG_REPAIR_E_REFUSED;
    if (r == 0) {
        r = sums_changed(log_path, p.marks, p.count);
    }
    if (r == 0) {
        r = logenv_free_pages(log, &p, mark_free);
    }
    r = r ? r : mark_dropped(&p, log, applied);
    r = r ? r : mark_kept(&p, log, applied);
    bool agree = r == 0 && marks_agree(&p);
    pages_close(&p);
    return r < 0 ? err_trace(r) : agree ? 0 : LOG_REPAIR_E_REFUSED;
}

/* After an install a log may hold entries of another leader at and below the state's index, and
 * what follows such an entry does not follow the state: see opening_note_ahead(). */
static int judge_place(struct logenv *log, const struct record_state_meta *state)
{
    const struct record_log_meta *meta = logenv_meta(log);
    uint64_t applied = state->applied_index, term = meta->base_term;
    bool is_trimmed = applied < logenv_first(log) && applied != meta->base;
    struct span value;
    int r = 0;
    if (memcmp(meta->cluster_id, state->cluster_id, sizeof meta->cluster_id) != 0 ||
        logenv_first(log) > applied + 1 || logenv_last(log) < applied) {
        return LOG_REPAIR_E_REFUSED;
    }
    if (meta->state_number == 0 || is_trimmed) {
        return 0; /* entries go only when a state of ours has them */
    }
    if (applied >= logenv_first(log)) {
        r = logenv_stored(log, applied, &value);
        r = r ? r : logenv_stored_whole(applied, value) ? 0 : LOGENV_E_DAMAGED;
        term = r ? 0 : logenv_stored_term(value);
    }
    bool is_met = r == 0 && record_term(term) == record_term(state->applied_term);
    return r < 0 ? err_trace(r) : is_met ? 0 : LOG_REPAIR_E_REFUSED;
}

struct places {
    char log[FOLDER_PATH_MAX], fresh[FOLDER_PATH_MAX], fresh_new[FOLDER_PATH_MAX],
        aside[FOLDER_PATH_MAX];
};

static int places_of(const char *dir, struct places *ret_places)
{
    int r = folder_join(ret_places->log, dir, "/log");
    r = r ? r : folder_join(ret_places->fresh, dir, "/log.repaired");
    r = r ? r : folder_join(ret_places->fresh_new, dir, "/log.repaired.new");
    return r ? err_trace(r) : err_trace(folder_join(ret_places->aside, dir, "/" LOG_REPAIR_ASIDE));
}

int log_repair_build(const char *dir, const struct logenv_place *place, struct logenv *log,
                     const struct record_state_meta *state)
{
    struct places p;
    int r = places_of(dir, &p);
    r = r ? r : judge_place(log, state);
    r = r ? r : judge_pages(p.log, log, state->applied_index);
    /* The one put aside before goes first: beside a new log and without log/ it means a switch. */
    r = r ? r : log_repair_clear(dir);
    struct logenv_place fresh = *place;
    fresh.path = p.fresh;
    return r ? err_trace(r)
             : err_trace(logenv_make_behind(&fresh, log, state->applied_index,
                                            record_term(state->applied_term)));
}

static int move(const char *from, const char *to)
{
    return rename(from, to) < 0 ? err_origin(-errno) : err_trace(folder_sync_parent(to));
}

int log_repair_switch(const char *dir)
{
    struct places p;
    int r = places_of(dir, &p);
    r = r ? r : move(p.log, p.aside);
    return r ? err_trace(r) : err_trace(move(p.fresh, p.log));
}

int log_repair_finish(const char *dir, bool *ret_done)
{
    struct places p;
    int r = places_of(dir, &p);
    *ret_done = r == 0 && !folder_exists(p.log) && folder_exists(p.fresh) &&
                folder_exists(p.aside);
    return r || !*ret_done ? err_trace(r) : err_trace(move(p.fresh, p.log));
}

int log_repair_clear(const char *dir)
{
    struct places p;
    int r = places_of(dir, &p);
    r = r ? r : folder_remove_env(p.aside);
    r = r ? r : folder_remove_env(p.fresh_new);
    return r ? err_trace(r) : err_trace(folder_remove_env(p.fresh));
}
