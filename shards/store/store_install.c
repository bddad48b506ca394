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
    r = slip_read(s->opened.state_path, "members", s->members, &s->members_len);
    s->members_len = r == 0 ? s->members_len : 0;
    return r == SLIP_E_DAMAGED ? STORE_E_DAMAGED : r < 0 ? err_trace(r) : 0;
}

struct snapshots *store_snapshots(struct store *s)
{
    return s->snapshots;
}

const char *store_damaged(struct store *s)
{
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

/* The directory is there and durable: the commit that names it, and from then it is the state. */
static int switch_state(struct store *s, const char *path, uint64_t number,
                        const struct store_place *place)
{
    char old[FOLDER_PATH_MAX];
    uint32_t format;
    let_state_go(s);
    int r = logenv_install(s->opened.log, place->base, place->base_term, number);
    r = r ? r : stateenv_open(path, s->options.state_map_bytes, &s->opened.state, &format);
    r = r ? r : stateenv_undo(s->opened.state); /* it was checked, so there is nothing to undo */
    if (r != 0) {
        return err_fold(r > 0 ? -EBADMSG : r); /* it was read whole a moment ago */
    }
    memcpy(old, s->opened.state_path, sizeof old);
    memcpy(s->opened.state_path, path, sizeof old);
    r = store_take_state(s);
    if (r != 0) {
        return err_fold(r > 0 ? -EBADMSG : r);
    }
    s->opened.is_ahead = s->applied.applied_index > place->base;
    s->failed = false;
    scrub_go_on(s->scrub, s->opened.state);
    snapshot_swap_end(s->snapshots, s->opened.state, old);
    return 0;
}

int store_install(struct store *s, const struct store_place *place)
{
    char path[FOLDER_PATH_MAX];
    uint8_t members[SLIP_MAX];
    struct writer w = writer_of(members, sizeof members);
    uint64_t number = logenv_meta(s->opened.log)->state_number + 1;
    CHECK(place->members.len <= STORE_MEMBERS_MAX);
    writer_u64(&w, place->members_index);
    writer_bytes(&w, place->members.ptr, place->members.len);
    CHECK(!w.bad);
    int r = opening_state_path(s->options.dir, number, path);
    r = r ? r : snapshot_take(s->snapshots, path, place->base,
                              (struct span){members, writer_len(&w)});
    if (r != 0) {
        return r > 0 ? STORE_E_MISSING : err_trace(r);
    }
    return err_trace(switch_state(s, path, number, place));
}
