/* SPDX-License-Identifier: MIT */
/* Opening a store's directory.
 *
 *   lock -> log/ says which state -> state/ (made when neither is there) -> log/ (made last)
 *        -> same disk, same cluster? -> replayable? -> what an install or a copy left half way goes
 *
 * Owns nothing beyond the struct it fills.
 * First creation: state/ first, log/ last, each all or nothing (env_make), so the state of the
 * directory says how far an earlier try came: state/ alone, with nothing applied, is taken up;
 * anything else that lacks one half is damage, because the other half has been in use.
 * An installed snapshot is state.N/ and the log environment names N, so the log is opened first;
 * what it does not name is no state: a try that ended before its commit, or what it replaced.
 * A state that is damaged while its log is not: with options.repairs an empty one stands in for it,
 * and nobody may be answered from that (store_repair()).  The damaged one is kept until then, so
 * that whatever ends the process in between, the next start finds it damaged again.
 * A log that is damaged where the state has it all is made anew: log_repair.c.
 * Fails: a verdict with a text for a person: what was found, what was wanted, what to do next.
 * Invariant on success: every log entry after the applied index is there.  Only a received state
 * may be ahead of the log, for what it has is committed: its last entry is not in the log yet. */
#include "store/opening.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/metrics.h"
#include "store/folder.h"
#include "store/log_repair.h"
#include "store/sums.h"

#define BLANK     "/blank" /* the state that stands in for a damaged one */
#define DIR_SHOWN 60 /* bytes of the directory's name in a text; the end of it says most */

static const uint8_t no_id[16];

int opening_state_path(const char *dir, uint64_t number, char ret_path[FOLDER_PATH_MAX])
{
    char name[40];
    snprintf(name, sizeof name, number ? "/state.%" PRIu64 : "/state", number);
    return err_trace(folder_join(ret_path, dir, name));
}

/* "DIR: what" into the text; returns the verdict. */
__attribute__((format(printf, 4, 5)))
static int refuse(int verdict, const char *dir, char *ret_text, const char *format, ...)
{
    size_t len = strlen(dir);
    int n = snprintf(ret_text, OPENING_TEXT_MAX, "%s%s: ", len > DIR_SHOWN ? "..." : "",
                     len > DIR_SHOWN ? dir + len - DIR_SHOWN : dir);
    va_list args;
    va_start(args, format);
    vsnprintf(ret_text + n, OPENING_TEXT_MAX - (size_t)n, format, args);
    va_end(args);
    return verdict;
}

static int refuse_format(const char *dir, uint32_t found, int wanted, char *ret_text)
{
    return refuse(STORE_E_FORMAT, dir, ret_text,
                  "data format version %" PRIu32 ", this program reads %d; start the version that "
                  "wrote it, or restore a backup",
                  found, wanted);
}

int opening_refuse_damage(const char *dir, const char *what, char *ret_text)
{
    return refuse(STORE_E_DAMAGED, dir, ret_text,
                  "%s; move the directory aside and restore a backup", what);
}

static int refuse_cluster(const char *dir, const uint8_t found[16], const uint8_t wanted[16],
                          char *ret_text)
{
    char hex[2][33];
    for (int i = 0; i < 16; i++) {
        snprintf(hex[0] + 2 * i, 3, "%02x", found[i]);
        snprintf(hex[1] + 2 * i, 3, "%02x", wanted[i]);
    }
    return refuse(STORE_E_CLUSTER, dir, ret_text,
                  "belongs to cluster %s, not %s; name its own directory", hex[0], hex[1]);
}

/* Whole, but not for the LMDB that this program is linked with; nothing is repaired or fetched. */
static int check_lmdb(const struct store_options *options, const char *path, const char *name,
                      char *ret_text)
{
    uint32_t version;
    int r = env_other_lmdb(path, &version);
    if (r < 0 || version == 0) {
        return err_trace(r);
    }
    return refuse(STORE_E_FORMAT, options->dir, ret_text,
                  "%s/data.mdb is of another LMDB, data version %" PRIu32 ", this program's reads "
                  "1; start the one that wrote it, or restore a backup", name, version);
}

/* What lay closed must be what was closed. */
static int check_sums(const struct store_options *options, const char *path, const char *name,
                      char *ret_text)
{
    uint64_t page;
    int r = sums_check(path, &page);
    if (r == SUMS_E_DAMAGED && page == UINT64_MAX) {
        return refuse(STORE_E_DAMAGED, options->dir, ret_text,
                      "%s/ is not as it was closed; restore a backup (or remove %s/sums if you put "
                      "data.mdb there)", name, name);
    }
    if (r == SUMS_E_DAMAGED) {
        return refuse(STORE_E_DAMAGED, options->dir, ret_text,
                      "%s/data.mdb: page %" PRIu64 " changed since it was closed; move the "
                      "directory aside and restore a backup", name, page);
    }
    return err_trace(r);
}

static int open_state(const struct store_options *options, const char *path, struct opening *o,
                      char *ret_text)
{
    uint32_t format = 0;
    int r = check_lmdb(options, path, "state", ret_text);
    r = r ? r : check_sums(options, path, "state", ret_text);
    if (r) {
        return err_trace(r);
    }
    r = stateenv_open(path, options->state_map_bytes, &o->state, &format);
    if (r == 0) {
        r = stateenv_verify(o->state);
    }
    if (r == 0) {
        r = stateenv_undo(o->state, options->slice_pages);
    }
    switch (r) {
    case STATEENV_E_FORMAT:
        return refuse_format(options->dir, format, RECORD_FORMAT, ret_text);
    case STATEENV_E_DAMAGED:
        return opening_refuse_damage(options->dir, "state/ is damaged", ret_text);
    default:
        return err_fold(r);
    }
}

/* Peers can give back a state, but not what this replica has promised them; nor has a backup what
 * it has promised since. */
static int refuse_promised(const struct store_options *options, const char *what, char *ret_text)
{
    return options->repairs
               ? refuse(STORE_E_DAMAGED, options->dir, ret_text,
                        "%s; remove this node from its cluster, and add a new number with an empty "
                        "directory", what)
               : opening_refuse_damage(options->dir, what, ret_text);
}

static int refuse_log(const struct store_options *options, char *ret_text)
{
    return refuse_promised(options, "log/ is damaged", ret_text);
}

/* Its vote and its entries are what another replica has promised. */
static int check_disk(const struct store_options *options, const struct opening *o, char *ret_text)
{
    uint64_t found = logenv_meta(o->log)->disk;
    if (found == 0 || options->disk == 0 || found == options->disk) {
        return 0;
    }
    return refuse(STORE_E_CLUSTER, options->dir, ret_text,
                  "log/ is of disk %016" PRIx64 ", badge of disk %016" PRIx64 ": another node's "
                  "log; put its own back", found, options->disk);
}

static struct logenv_place log_place(const struct store_options *options, const char *path)
{
    return (struct logenv_place){path, options->log_map_bytes, options->log_tail_bytes};
}

static int open_log_whole(const struct store_options *options, const char *path,
                          struct opening *o, char *ret_text)
{
    uint32_t format = 0;
    int r = check_lmdb(options, path, "log", ret_text);
    r = r ? r : check_sums(options, path, "log", ret_text);
    if (r) {
        return r == STORE_E_DAMAGED && options->repairs ? refuse_log(options, ret_text)
                                                        : err_trace(r);
    }
    struct logenv_place place = log_place(options, path);
    r = logenv_open(&place, &o->log, &format);
    switch (r) {
    case 0:
        return check_disk(options, o, ret_text);
    case LOGENV_E_FORMAT:
        return refuse_format(options->dir, format, RECORD_LOG_FORMAT, ret_text);
    case LOGENV_E_DAMAGED:
        return refuse_log(options, ret_text);
    default:
        return err_fold(r);
    }
}

static int make_state(const struct store_options *options, const char *path)
{
    uint8_t id[16];
    memcpy(id, options->cluster_id, sizeof id);
    if (memcmp(id, no_id, sizeof id) == 0) {
        clock_random(id, sizeof id);
    }
    return err_trace(stateenv_make(path, options->state_map_bytes, id));
}

int opening_blank(const struct store_options *options, struct opening *o)
{
    uint32_t format;
    CHECK(!o->is_blank);
    stateenv_close(o->state);
    o->state = NULL;
    o->is_blank = true;
    o->is_ahead = false;
    memcpy(o->lost_path, o->state_path, sizeof o->lost_path);
    int r = folder_join(o->state_path, options->dir, BLANK);
    r = r ? r : folder_remove_env(o->state_path);
    r = r ? r : stateenv_make(o->state_path, options->state_map_bytes,
                              logenv_meta(o->log)->cluster_id);
    r = r ? r : stateenv_open(o->state_path, options->state_map_bytes, &o->state, &format);
    return err_fold(r);
}

/* The state that the log names; made when the directory is new. */
static int find_state(const struct store_options *options, bool is_new, struct opening *o,
                      char *ret_text)
{
    uint64_t number = is_new ? 0 : logenv_meta(o->log)->state_number;
    int r = opening_state_path(options->dir, number, o->state_path);
    if (r < 0) {
        return err_trace(r);
    }
    if (!folder_exists(o->state_path)) {
        if (!is_new) {
            return opening_refuse_damage(options->dir, "log/ is there, its state/ is missing",
                                         ret_text);
        }
        r = make_state(options, o->state_path);
    }
    return r ? err_trace(r) : err_trace(open_state(options, o->state_path, o, ret_text));
}

static int check_cluster(const struct store_options *options, const struct opening *o,
                         char *ret_text)
{
    if (memcmp(options->cluster_id, no_id, 16) == 0 ||
        memcmp(options->cluster_id, o->cluster_id, 16) == 0) {
        return 0;
    }
    return refuse_cluster(options->dir, o->cluster_id, options->cluster_id, ret_text);
}

/* With the log open as a damaged one: the state that it names, and what both allow. */
static int build_log(const struct store_options *options, const struct logenv_place *place,
                     struct opening *o)
{
    char text[OPENING_TEXT_MAX]; /* why not: for the caller the log is damaged, and that is it */
    int r = check_disk(options, o, text);
    r = r ? r : find_state(options, false, o, text);
    if (r == 0) {
        memcpy(o->cluster_id, logenv_meta(o->log)->cluster_id, sizeof o->cluster_id);
        r = check_cluster(options, o, text);
    }
    r = r ? r : log_repair_build(options->dir, place, o->log, stateenv_meta(o->state));
    stateenv_close(o->state);
    o->state = NULL;
    return err_trace(r);
}

static const char repaired[] =
    "log/ was damaged where state/ has it all, and was made anew; the old one is " LOG_REPAIR_ASIDE
    "/ until the next start";
static const char tail_renewed[] =
    "log/tail was damaged where nothing was in it, and was made anew; look at the disk";

static void note_repair(const char *dir, struct opening *o, const char *what, char *ret_text)
{
    o->is_log_repaired = true;
    METRIC_ADD(shard_damage_found_total, 1);
    refuse(0, dir, ret_text, "%s", what);
}

/* Nothing but entries that the state has is damaged: without them, as after a trimming.  Else the
 * text of open_log_whole() stays. */
static int repair_log(const struct store_options *options, const char *path, struct opening *o,
                      char *ret_text)
{
    uint32_t format;
    struct logenv_place place = log_place(options, path);
    int r = logenv_open_damaged(&place, &o->log, &format);
    r = r ? r : build_log(options, &place, o);
    logenv_close(o->log);
    o->log = NULL;
    if (r == 0) {
        r = log_repair_switch(options->dir);
    }
    if (r) {
        return r > 0 ? STORE_E_DAMAGED : err_trace(r);
    }
    r = open_log_whole(options, path, o, ret_text);
    if (r == 0) {
        note_repair(options->dir, o, repaired, ret_text);
    }
    return err_trace(r);
}

static int open_log(const struct store_options *options, const char *path, struct opening *o,
                    char *ret_text)
{
    bool was_cut_off = o->is_log_repaired;
    int r = open_log_whole(options, path, o, ret_text);
    if (r == 0 && was_cut_off) {
        note_repair(options->dir, o, repaired, ret_text);
    } else if (r == 0 && logenv_was_spoiled(o->log)) {
        note_repair(options->dir, o, tail_renewed, ret_text);
    }
    return r == STORE_E_DAMAGED && options->repairs ? err_trace(repair_log(options, path, o,
                                                                           ret_text))
                                                    : err_trace(r);
}

static int take_state(const struct store_options *options, bool is_new, struct opening *o,
                      char *ret_text)
{
    int r = find_state(options, is_new, o, ret_text);
    if (r == STORE_E_DAMAGED && !is_new && options->repairs) {
        r = opening_blank(options, o);
    }
    if (r == 0) {
        memcpy(o->cluster_id, stateenv_meta(o->state)->cluster_id, sizeof o->cluster_id);
    }
    return err_trace(r);
}

static int make_log(const struct store_options *options, const char *path, struct opening *o,
                    char *ret_text)
{
    if (stateenv_meta(o->state)->applied_index != 0) {
        return refuse_promised(options, "state/ is in use, log/ is missing", ret_text);
    }
    struct logenv_place place = log_place(options, path);
    int r = logenv_make(&place, o->cluster_id, options->disk);
    return r ? err_trace(r) : err_trace(open_log(options, path, o, ret_text));
}

/* A received state whose last entry is not the log's, for there is none or another one yet. */
int opening_note_ahead(struct opening *o)
{
    const struct record_state_meta *state = stateenv_meta(o->state);
    const struct record_log_meta *log = logenv_meta(o->log);
    struct span entry;
    uint64_t word = log->base_term;
    int r = 0;
    if (state->applied_index >= logenv_first(o->log) &&
        state->applied_index <= logenv_last(o->log)) {
        r = logenv_read(o->log, state->applied_index, &word, &entry);
    }
    o->is_ahead = log->state_number > 0 && (state->applied_index > logenv_last(o->log) ||
                                            record_term(word) != record_term(state->applied_term));
    return err_fold(r);
}

static int check_together(const struct store_options *options, struct opening *o, char *ret_text)
{
    uint64_t applied = stateenv_meta(o->state)->applied_index;
    if (memcmp(logenv_meta(o->log)->cluster_id, o->cluster_id, 16) != 0) {
        return refuse_promised(options, "log/ and state/ belong to two clusters", ret_text);
    }
    int r = o->is_blank ? 0 : opening_note_ahead(o);
    if (r < 0) {
        return err_trace(r);
    }
    if (o->is_blank) {
        return 0;
    }
    if ((applied > logenv_last(o->log) && !o->is_ahead) || applied + 1 < logenv_first(o->log)) {
        return refuse_promised(options, "log/ and state/ do not meet", ret_text);
    }
    return 0;
}

/* What nobody names any more.  A state that is being received stays, to be gone on with, and copies
 * are snapshot.c's. */
static int clear(const struct store_options *options, const struct opening *o)
{
    const char *named = strrchr(o->state_path, '/') + 1;
    char blank[FOLDER_PATH_MAX];
    int r = 0;
    if (!o->is_blank) { /* else the damaged one stays until another one is here */
        r = folder_remove_others(options->dir, "state", named);
        r = r ? r : folder_join(blank, options->dir, BLANK);
        r = r ? r : folder_remove_env(blank);
    }
    if (r == 0 && !o->is_log_repaired) {
        r = log_repair_clear(options->dir);
    }
    return err_trace(r);
}

static int take_both(const struct store_options *options, const char *log_path, struct opening *o,
                     char *ret_text)
{
    int r = log_repair_finish(options->dir, &o->is_log_repaired);
    bool is_new = !folder_exists(log_path);
    if (r == 0 && is_new && options->was_used) {
        return refuse_promised(options, "log/ is missing", ret_text);
    }
    r = r || is_new ? r : open_log(options, log_path, o, ret_text);
    r = r ? r : take_state(options, is_new, o, ret_text);
    r = r ? r : check_cluster(options, o, ret_text);
    if (r == 0 && is_new) {
        r = make_log(options, log_path, o, ret_text);
    }
    r = r ? r : check_together(options, o, ret_text);
    if (r == 0 && options->disk != 0 && logenv_meta(o->log)->disk == 0) {
        r = sums_forget(log_path); /* killed behind the commit, it would be as if damaged */
        r = r ? r : logenv_claim(o->log, options->disk);
    }
    return err_trace(r);
}

int opening_run(const struct store_options *options, struct opening *o, char *ret_text)
{
    char log_path[FOLDER_PATH_MAX];
    int r = folder_join(log_path, options->dir, "/log");
    if (r == 0) {
        r = folder_make(options->dir);
    }
    if (r < 0) {
        return err_trace(r);
    }
    r = folder_lock(options->dir, &o->lock_fd);
    if (r == FOLDER_E_LOCKED) {
        return refuse(STORE_E_LOCKED, options->dir, ret_text,
                      "another process has it open; stop that one, or name another directory");
    }
    r = r ? r : take_both(options, log_path, o, ret_text);
    r = r ? r : clear(options, o);
    r = r ? r : sums_forget(o->state_path);
    return r ? err_trace(r) : err_trace(sums_forget(log_path));
}

static int write_sums(const char *dir, const char *state_path)
{
    char log_path[FOLDER_PATH_MAX];
    int r = folder_join(log_path, dir, "/log");
    r = r ? r : sums_write(state_path);
    return r ? err_trace(r) : err_trace(sums_write(log_path));
}

void opening_end(struct opening *o, const char *clean_dir)
{
    logenv_close(o->log);
    stateenv_close(o->state);
    if (clean_dir && !o->is_blank) {
        /* Without them a start reads the records all the same. */
        (void)write_sums(clean_dir, o->state_path);
    }
    if (o->lock_fd >= 0) {
        close(o->lock_fd);
    }
    *o = (struct opening){.lock_fd = -1};
}
