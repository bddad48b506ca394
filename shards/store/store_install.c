/* SPDX-License-Identifier: MIT */
/* Another replica's state in the place of ours.
 *
 *   incoming/ checked -> members beside it -> renamed to state.N, durable
 *     -> our own state let go -> ONE COMMIT in the log: state N, base, base term, no entries
 *     -> state.N opened, overlays empty, flusher anew -> the old directory goes
 *
 * For: a replica whose leader's log begins behind its own.  Owns nothing of its own.
 * Until the commit a crash leaves our state and our log; from then on the other one and an empty
 * log, with the members that belong to it in its directory.  What nobody names any more goes when a
 * store opens.
 * Fails: a verdict before anything was touched, else < 0: the process must end. */
#include "store/store_parts.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"

/* Everything that follows from which state it is. */
int store_take_state(struct store *s)
{
    struct flusher_options flusher = {.state = s->opened.state,
                                      .slice_pages = s->options.slice_pages,
                                      .flushed = s->options.flushed,
                                      .user = s->options.user};
    int r = flusher_start(&flusher, &s->flusher);
    if (r < 0) {
        return err_trace(r);
    }
    view_init(&s->view, s->live, s->opened.state);
    s->applied = *stateenv_meta(s->opened.state);
    s->view.effects = s->applied.effects;
    s->applied_durable = s->applied.applied_index;
    s->durable_term = s->applied.applied_term;
    s->snapshot_at_us = clock_mono_us();
    s->waiting_since_us = 0;
    s->measure_at_us = 0;
    r = slip_read(s->opened.is_blank ? s->opened.lost_path : s->opened.state_path, "members",
                  s->members, &s->members_len);
    r = s->opened.is_blank && r == SLIP_E_DAMAGED ? 1 : r; /* the replica's own file is newer */
    s->members_len = r == 0 ? s->members_len : 0;
    return r == SLIP_E_DAMAGED ? STORE_E_DAMAGED : r < 0 ? err_trace(r) : 0;
}

int store_scrub(struct store *s)
{
    struct scrub_options scrub = {
        .dir = s->options.dir, .log = s->opened.log, .state = s->opened.state,
        .damage = &s->damage, .interval_us = s->options.scrub_interval_us,
        .bytes_per_s = s->options.scrub_bytes_per_s};
    return err_trace(scrub_start(&scrub, &s->scrub));
}

struct snapshots *store_snapshots(struct store *s)
{
    return s->snapshots;
}

const char *store_damaged(struct store *s)
{
    if (s->view.is_damaged && damage_text(&s->damage) == NULL) {
        damage_note(&s->damage, s->options.dir,
                    "state/ has a record that is not as it was written", false);
    }
    return damage_text(&s->damage);
}

bool store_installed_members(const struct store *s, uint64_t *ret_index, struct span *ret_members)
{
    struct reader r = reader_of(s->members, s->members_len);
    *ret_index = reader_u64(&r);
    *ret_members = (struct span){r.at, reader_left(&r)};
    return !r.bad;
}

/* Nobody looks at the state, and nothing is kept that was to go into it. */
static void let_state_go(struct store *s)
{
    snapshot_swap(s->snapshots);
    scrub_pause(s->scrub);
    flusher_stop(s->flusher);
    s->flusher = NULL;
    if (s->frozen) {
        s->spare = s->frozen;
        s->frozen = NULL;
    }
    overlay_reset(s->spare);
    overlay_reset(s->live);
    stateenv_close(s->opened.state);
    s->opened.state = NULL;
}

/* What was the state until now, and what stood in for it. */
static int forget_old(struct store *s, char ret_garbage[FOLDER_PATH_MAX])
{
    bool is_blank = s->opened.is_blank;
    memcpy(ret_garbage, is_blank ? s->opened.lost_path : s->opened.state_path, FOLDER_PATH_MAX);
    s->opened.is_blank = false;
    return is_blank ? err_trace(folder_remove_env(s->opened.state_path)) : 0;
}

/* The directory is there and durable: the commit that names it, and from then it is the state.
 * `place` NULL: the log stays. */
static int switch_state(struct store *s, const char *path, uint64_t number,
                        const struct store_place *place)
{
    char old[FOLDER_PATH_MAX];
    uint32_t format;
    int r = logenv_write_begin(s->opened.log); /* before the scrubber's lock, as always */
    if (r < 0) {
        return err_trace(r);
    }
    let_state_go(s);
    r = place ? logenv_install(s->opened.log, place->base, place->base_term, number)
                  : logenv_name_state(s->opened.log, number);
    r = r ? r : stateenv_open(path, s->options.state_map_bytes, &s->opened.state, &format);
    r = r ? r : stateenv_undo(s->opened.state, 0); /* it was checked: there is none */
    if (r != 0) {
        return err_fold(r > 0 ? -EBADMSG : r); /* it was read whole a moment ago */
    }
    r = forget_old(s, old);
    memcpy(s->opened.state_path, path, sizeof old);
    r = r ? r : store_take_state(s);
    r = r ? r : opening_note_ahead(&s->opened);
    if (r != 0) {
        return err_fold(r > 0 ? -EBADMSG : r);
    }
    s->failed = false;
    scrub_go_on(s->scrub, s->opened.state);
    snapshot_swap_end(s->snapshots, s->opened.state, old);
    return 0;
}

int store_install(struct store *s, const struct store_place *place)
{
    char path[FOLDER_PATH_MAX];
    uint8_t members[SLIP_MAX];
    struct scribe w = scribe_of(members, sizeof members);
    uint64_t number = logenv_meta(s->opened.log)->state_number + 1;
    CHECK(place->members.len <= STORE_MEMBERS_MAX);
    scribe_u64(&w, place->members_index);
    scribe_bytes(&w, place->members.ptr, place->members.len);
    CHECK(!w.bad);
    int r = opening_state_path(s->options.dir, number, path);
    r = r ? r : snapshot_take(s->snapshots, path, place->base,
                              (struct span){members, scribe_len(&w)});
    if (r != 0) {
        return r > 0 ? STORE_E_MISSING : err_trace(r);
    }
    return err_trace(switch_state(s, path, number, place));
}

bool store_log_repaired(const struct store *s)
{
    return s->opened.is_log_repaired;
}

/* -- a damaged state --------------------------------------------------------------------------- */

bool store_wants_state(const struct store *s, uint64_t *ret_index)
{
    uint64_t first = logenv_first(s->opened.log);
    *ret_index = first > 1 ? first - 1 : 1;
    return s->opened.is_blank;
}

int store_lose_state(struct store *s)
{
    if (s->opened.is_blank || !damage_spares_log(&s->damage)) {
        return STORE_E_DAMAGED;
    }
    scrub_stop(s->scrub); /* it has told, and reads no more */
    s->scrub = NULL;
    let_state_go(s);
    int r = opening_blank(&s->options, &s->opened);
    r = r ? r : store_take_state(s);
    if (r) {
        return err_fold(r);
    }
    s->failed = false;
    snapshot_swap_end(s->snapshots, s->opened.state, "");
    damage_forget(&s->damage);
    return err_trace(store_scrub(s));
}

int store_repair(struct store *s)
{
    static const uint8_t none[8];
    char path[FOLDER_PATH_MAX];
    uint64_t index, number = logenv_meta(s->opened.log)->state_number + 1;
    CHECK(s->opened.is_blank);
    struct span members = {s->members, s->members_len};
    (void)store_wants_state(s, &index);
    int r = opening_state_path(s->options.dir, number, path);
    r = r ? r : snapshot_take(s->snapshots, path, index,
                              members.len ? members : (struct span){none, sizeof none});
    if (r != 0) {
        return r > 0 ? STORE_E_MISSING : err_trace(r);
    }
    return err_trace(switch_state(s, path, number, NULL));
}
