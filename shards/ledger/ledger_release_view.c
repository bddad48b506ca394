/* SPDX-License-Identifier: MIT */
/* Releases as everybody sees them: one, and the list of a pool's.
 *
 *   record -> view; a read of one adds the manifest and the parts of the seed
 *
 * Secret until ranked: the operator's seed.  Secret for ever: the release key.  No view has them.
 * Owns nothing; a view stands in the step's arena.  Fails with POOL_UNKNOWN, RELEASE_UNKNOWN,
 * PAGE_TOKEN_INVALID. */
#include <errno.h>

#include "ledger/ledger_release.h"

/* -- views ------------------------------------------------------------------------------------- */

static enum release_state ledger_release_state(const struct ledger_release *r)
{
    static const enum release_state states[] = {
        [PHASE_LISTING] = RELEASE_ANNOUNCED, [PHASE_ANNOUNCED] = RELEASE_ANNOUNCED,
        [PHASE_ENTRY] = RELEASE_ENTRY,       [PHASE_SEALING] = RELEASE_SEALED,
        [PHASE_SEALED] = RELEASE_SEALED,     [PHASE_RANKING] = RELEASE_RANKED,
        [PHASE_SERVING] = RELEASE_SERVING,   [PHASE_STANDBY] = RELEASE_STANDBY,
        [PHASE_CLOSING] = RELEASE_CLOSED,    [PHASE_CLOSED] = RELEASE_CLOSED,
        [PHASE_CANCELLED] = RELEASE_CANCELLED};
    bool may_pause = r->phase < PHASE_CLOSING;
    return r->is_paused && may_pause ? RELEASE_PAUSED : states[r->phase];
}

static int ledger_release_policy(struct ledger_step *s, const struct ledger_release *r,
                                 struct release_policy *out)
{
    *out = (struct release_policy){.serving = r->serving,
                                   .entry_open_us = (int64_t)r->entry_open_us,
                                   .entry_close_us = (int64_t)r->entry_close_us,
                                   .entry_grace_us = (int64_t)r->entry_grace_us,
                                   .close_us = (int64_t)r->close_us,
                                   .cohort_us = (int64_t)r->cohort_us,
                                   .turn_us = (int64_t)r->turn_us,
                                   .accept_us = (int64_t)r->accept_us,
                                   .parts_wait_us = (int64_t)r->parts_wait_us,
                                   .slots_from_us = (int64_t)r->slots_from_us,
                                   .slots_to_us = (int64_t)r->slots_to_us};
    int status = ledger_keep(s->arena, (struct span){r->display, r->display_len},
                             &out->display_name);
    return status ? err_trace(status)
                  : err_trace(ledger_keep(s->arena, (struct span){r->beacon, r->beacon_len},
                                          &out->beacon));
}

/* The record as everybody may see it. */
static int ledger_release_fill(struct ledger_step *s, const struct ledger_release *r,
                               struct release_view *out)
{
    struct draw_hash commitment;
    draw_commit_operator(r->operator_seed, &commitment);
    *out = (struct release_view){.state = ledger_release_state(r),
                                 .slot_count = (uint32_t)r->slots_count,
                                 .is_sealed = r->seal_us != 0,
                                 .is_ranked = r->seal_us != 0 && r->phase >= PHASE_RANKING &&
                                              r->phase != PHASE_CANCELLED,
                                 .tickets_count = r->tickets_count,
                                 .rank_threshold = r->rank_threshold,
                                 .cut_off = r->cut_off,
                                 .cohort = (uint32_t)r->cohort,
                                 .served_count = r->served_count,
                                 .seal_us = (int64_t)r->seal_us,
                                 .version = r->version,
                                 .log_index = r->log_index};
    memcpy(out->manifest_hash, r->manifest_hash, 32);
    memcpy(out->operator_commitment, commitment.bytes, 32);
    if (out->is_sealed) {
        memcpy(out->ticket_root, r->root, 32);
    }
    if (out->is_ranked) {
        memcpy(out->operator_seed, r->operator_seed, 32);
        memcpy(out->seed, r->seed, 32);
    }
    int status = ledger_keep(s->arena, ledger_release_pool(r), &out->pool);
    if (status == 0) {
        status = ledger_keep(s->arena, ledger_release_id(r), &out->id);
    }
    return status ? err_trace(status) : err_trace(ledger_release_policy(s, r, &out->policy));
}

static int ledger_release_kept(struct ledger_step *s, const struct ledger_key *key,
                               struct span *ret_bytes)
{
    struct span bytes;
    int r = ledger_release_get_bytes(s, key, &bytes);
    if (r) {
        return r == LEDGER_NONE ? 0 : err_trace(r); /* not there yet: empty */
    }
    return err_trace(ledger_keep(s->arena, bytes, ret_bytes));
}

static int ledger_release_fill_parts(struct ledger_step *s, const struct ledger_release *r,
                                     struct release_view *out)
{
    struct ledger_key key = ledger_release_key(r->space, 'M');
    int status = ledger_release_kept(s, &key, &out->manifest);
    out->policy.trustees_count = r->trustees_count;
    for (uint32_t i = 0; i < r->trustees_count && status == 0; i++) {
        key = ledger_release_key_number(r->space, 'P', i);
        status = ledger_release_kept(s, &key, &out->policy.trustee_keys[i]);
        key = ledger_release_key_number(r->space, 'P', RELEASE_PART_RECORD + i);
        status = status ? status : ledger_release_kept(s, &key, &out->parts[i]);
    }
    key = ledger_release_key_number(r->space, 'P', RELEASE_PART_BEACON);
    return status ? err_trace(status) : err_trace(ledger_release_kept(s, &key, &out->beacon_value));
}

int ledger_release_answer(struct ledger_step *s, const struct ledger_release *r)
{
    struct release_view *out = arena_alloc(s->arena, sizeof *out);
    if (out == NULL) {
        return err_origin(-ENOMEM);
    }
    s->v->result = RESULT_RELEASE;
    s->v->releases = out;
    s->v->releases_count = 1;
    return err_trace(ledger_release_fill(s, r, out));
}

/* -- read -------------------------------------------------------------------------------------- */

/* The pool must exist: 0, LEDGER_ANSWERED, < 0. */
static int ledger_release_see_pool(struct ledger_step *s, const struct ledger_pool **ret_pool)
{
    int r = ledger_pool_find(s->l, s->c->pool, ret_pool);
    if (r == LEDGER_NONE) {
        ledger_refuse(s, REASON_POOL_UNKNOWN);
        return LEDGER_ANSWERED;
    }
    return err_trace(r);
}

int ledger_release_get(struct ledger_step *s)
{
    const struct ledger_pool *pool;
    struct ledger_release release;
    int r = ledger_release_see_pool(s, &pool);
    if (r) {
        return r == LEDGER_ANSWERED ? 0 : err_trace(r);
    }
    r = ledger_release_find(s, &release);
    if (r) {
        return r == LEDGER_NONE ? ledger_refuse(s, REASON_RELEASE_UNKNOWN) : err_trace(r);
    }
    r = ledger_release_answer(s, &release);
    struct release_view *view = (struct release_view *)s->v->releases;
    return r ? err_trace(r) : err_trace(ledger_release_fill_parts(s, &release, view));
}

/* The next id of the pool's catalogue after `after`, borrowed. 0, LEDGER_NONE, < 0. */
static int ledger_release_next(struct ledger_step *s, uint64_t pool_space, struct span after,
                               struct span *ret_id)
{
    struct ledger_key from = ledger_release_key_named(pool_space, after);
    struct ledger_key_parts parts;
    struct span key, value;
    int r = ledger_next(s->l, ledger_key_span(&from), true, &key, &value);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    if (!ledger_key_parse(key, &parts)) {
        return err_origin(-EBADMSG);
    }
    if (parts.at.space != pool_space || parts.at.position != 1 || parts.tag != 'L') {
        return LEDGER_NONE;
    }
    *ret_id = parts.suffix;
    return 0;
}

/* The view of one in the list. */
static int ledger_release_row(struct ledger_step *s, struct span id, struct release_view *out)
{
    struct ledger_release release;
    int r = ledger_release_load(s->l, ledger_release_space(s->c->pool, id), &release);
    if (r) {
        return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
    }
    return err_trace(ledger_release_fill(s, &release, out));
}

int ledger_release_list(struct ledger_step *s)
{
    const struct ledger_pool *pool;
    struct span last = {0}, id;
    int r = ledger_release_see_pool(s, &pool);
    if (r) {
        return r == LEDGER_ANSWERED ? 0 : err_trace(r);
    }
    uint64_t space = pool->space;
    r = ledger_page_read(s, &last);
    if (r == REASON_PAGE_TOKEN_INVALID || last.len > RELEASE_ID_MAX) {
        return ledger_refuse(s, REASON_PAGE_TOKEN_INVALID);
    }
    size_t max = s->c->page_size < 100 ? s->c->page_size : 100;
    struct release_view *views = arena_alloc(s->arena, max * sizeof *views);
    if (views == NULL) {
        return err_origin(-ENOMEM);
    }
    s->v->result = RESULT_RELEASES;
    s->v->releases = views;
    while ((r = ledger_release_next(s, space, last, &id)) == 0) {
        if (s->v->releases_count == max) {
            return err_trace(ledger_page_write(s, last));
        }
        r = ledger_release_row(s, id, &views[s->v->releases_count]);
        if (r) {
            return err_trace(r);
        }
        last = views[s->v->releases_count++].id;
    }
    return r == LEDGER_NONE ? 0 : err_trace(r);
}
