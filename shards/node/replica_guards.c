/* SPDX-License-Identifier: MIT */
/* What Raft 0.22.1 gets wrong, and what is done about it here, outside of it.
 * Owns nothing.  Each guard carries its reason; tests/sim switches each off (PLANT_NO_Gn, never
 * defined but there) and must then see what it is for.
 * Fails: not.  Invariant: with all of them on a message changes nothing that a correct Raft would
 * not change.  The binary library has no asserts, so what it would assert is checked before. */
#include "node/replica_parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

static uint64_t term_of(struct replica *r, uint64_t index)
{
    uint64_t word;
    struct span entry;
    if (index == r->base_index) {
        return r->base_term;
    }
    return r->log.read(r->log.user, index, &word, &entry) == 0 ? replica_word_term(word) : 0;
}

/* G5.  A follower that has compacted its log rejects entries that begin before it; the leader then
 * walks back below what it knows to match, for ever.  What is committed here is the same there, so
 * the message may as well begin behind it. */
static void guard_trim(struct replica *r, struct raft_append_entries *a)
{
#ifndef PLANT_NO_G5
    uint64_t commit = raft_commit_index(&r->raft);
    if (r->is_wanting || a->term < raft_current_term(&r->raft) || a->prev_log_index >= commit) {
        return;
    }
    uint64_t term = term_of(r, commit);
    if (term == 0) {
        return;
    }
    uint64_t known = commit - a->prev_log_index;
    unsigned drop = known < a->n_entries ? (unsigned)known : a->n_entries;
    a->n_entries -= drop;
    if (a->n_entries == 0 && drop > 0) {
        raft_free(a->entries[0].batch); /* nobody else will: the core sees no entries */
    }
    for (unsigned i = 0; i < a->n_entries; i++) {
        a->entries[i] = a->entries[i + drop];
    }
    a->prev_log_index = commit;
    a->prev_log_term = term;
#endif
}

/* G7.  Who has no vote in its own newest configuration denies votes and never forgets its leader;
 * after an interrupted change the majority may stand with exactly such a one.  Whether a vote
 * counts is for the candidate's configuration to say. */
__attribute__((unused)) static bool is_without_vote(struct replica *r)
{
    return raft_role(&r->raft) != RAFT_VOTER;
}

static void guard_forget_leader(struct replica *r)
{
#ifndef PLANT_NO_G7
    if (is_without_vote(r) && r->raft.state == RAFT_FOLLOWER &&
        r->now_ms - r->leader_ms >= (int64_t)r->raft.election_timeout) {
        r->raft.follower_state.current_leader.id = 0;
    }
#endif
}

__attribute__((unused)) /* without G7 */
static bool is_up_to_date(struct replica *r, const struct raft_request_vote *v)
{
    uint64_t last = raft_last_index(&r->raft);
    uint64_t term = last ? term_of(r, last) : 0;
    return v->last_log_term > term || (v->last_log_term == term && v->last_log_index >= last);
}

static bool guard_vote(struct replica *r, const struct replica_seen *seen,
                       struct raft_request_vote_result *result)
{
#ifndef PLANT_NO_G7
    const struct raft_request_vote *v = &seen->vote;
    bool leads = r->raft.state != RAFT_FOLLOWER || r->raft.follower_state.current_leader.id != 0;
    if (result->vote_granted || !is_without_vote(r) || r->is_wanting || seen->is_stale ||
        (leads && !v->disrupt_leader) || !is_up_to_date(r, v)) {
        return false;
    }
    if (v->pre_vote) {
        result->vote_granted = true;
        return false;
    }
    if (v->term != r->raft.current_term ||
        (r->raft.voted_for != 0 && r->raft.voted_for != v->candidate_id)) {
        return false;
    }
    r->raft.voted_for = v->candidate_id;
    result->vote_granted = true;
    return true;
#else
    return false;
#endif
}

/* G8.  The core looks whether it is in a pre-vote before it looks whether it is a candidate: in a
 * follower these bytes belong to the leader's address, and a late answer to a pre-vote may raise
 * the term, so that a leader whom nobody doubted must go; which, depends on an address.  Only a
 * candidate has a use for it, so nobody else is told. */
bool replica_guards_wanted(struct replica *r, const struct raft_message *m)
{
    if (m->type != RAFT_REQUEST_VOTE_RESULT || raft_state(&r->raft) == RAFT_CANDIDATE) {
        return true;
    }
#ifdef PLANT_NO_G8
    /* The unlucky address: here always, there one in 256. */
    char **address = &r->raft.follower_state.current_leader.address;
    char *unlucky = aligned_alloc(1 << 16, 1 << 16);
    if (raft_state(&r->raft) == RAFT_FOLLOWER && *address && unlucky) {
        snprintf(unlucky, 1 << 16, "%s", *address);
        raft_free(*address);
        *address = unlucky;
    }
    return true;
#else
    return false;
#endif
}

void replica_guards_before(struct replica *r, struct raft_message *m,
                           struct replica_seen *ret_seen)
{
    *ret_seen = (struct replica_seen){0};
    uint64_t term = raft_current_term(&r->raft);
    switch (m->type) {
    case RAFT_APPEND_ENTRIES:
        ret_seen->is_stale = m->append_entries.term < term;
        guard_trim(r, &m->append_entries);
        break;
    case RAFT_INSTALL_SNAPSHOT:
        ret_seen->is_stale = m->install_snapshot.term < term;
        break;
    case RAFT_REQUEST_VOTE:
        ret_seen->is_request = true;
        ret_seen->is_stale = m->request_vote.term < term;
        ret_seen->vote = m->request_vote;
        guard_forget_leader(r);
        return;
    default:
        return;
    }
    if (!ret_seen->is_stale) {
        r->leader_ms = r->now_ms;
        replica_undoubt(r);
    }
}

bool replica_guards_after(struct replica *r, const struct replica_seen *seen,
                          struct raft_message *m)
{
    if (m->type == RAFT_APPEND_ENTRIES_RESULT && seen->is_stale) {
        /* G1.  The reply to a leader of an older term has an uninitialised last_log_index; if that
         * leader is elected again it takes it for an acknowledgement and commits what is on no
         * majority.  An equal-term leader learns nothing from zeros, an older one still learns the
         * term and steps down. */
#ifndef PLANT_NO_G1
        m->append_entries_result.rejected = 0;
        m->append_entries_result.last_log_index = 0;
#else
        /* What an unlucky stack holds: here always, there sometimes. */
        m->append_entries_result.rejected = 0;
        m->append_entries_result.last_log_index = UINT32_MAX;
#endif
        return false;
    }
    if (m->type != RAFT_REQUEST_VOTE_RESULT || !seen->is_request) {
        return false;
    }
    struct raft_request_vote_result *result = &m->request_vote_result;
    bool changed = guard_vote(r, seen, result);
#ifndef PLANT_NO_G6
    /* G6.  A denied pre-vote echoes the candidate's own term, so a node that lags behind in terms
     * never learns the newer one, and with the longer log it stops every other, too. */
    if (seen->vote.pre_vote && !result->vote_granted &&
        result->term < raft_current_term(&r->raft)) {
        result->term = raft_current_term(&r->raft);
    }
#endif
    return changed;
}

/* G4.  A follower notes a change under the index of the first entry of its message; truncated
 * later, the change is then not rolled back.  So a change is the first entry of its message.
 * The same cut keeps messages short. */
uint64_t replica_guards_split(struct replica *r, uint64_t first, uint64_t last)
{
    uint64_t bytes = 0;
    for (uint64_t i = first; i <= last; i++) {
        uint64_t word;
        struct span entry;
        if (r->log.read(r->log.user, i, &word, &entry) != 0) {
            return i - 1;
        }
        bytes += entry.len;
        bool full = bytes > REPLICA_MESSAGE_BYTES || i - first >= REPLICA_ENTRIES_MAX;
#ifndef PLANT_NO_G4
        full = full || replica_word_type(word) == RAFT_CHANGE;
#endif
        if (i > first && full) {
            return i - 1;
        }
    }
    return last;
}

__attribute__((unused)) static size_t voters(const struct raft_configuration *c)
{
    size_t count = 0;
    for (unsigned i = 0; i < c->n; i++) {
        count += c->servers[i].role == RAFT_VOTER;
    }
    return count;
}

/* G2 has two halves.  A voter alone becomes leader without a new term: at each start it may lead
 * the same term a second time, and beside another leader of it.  So its start persists a new term
 * first (replica_start.c), and no change leaves one voter of several.
 * G3.  The core lets a change be the first entry of a term; two leaders may then each commit one
 * with majorities that do not meet.  A barrier comes first, and a change only behind it. */
bool replica_guards_alone(uint64_t id, const struct raft_configuration *c)
{
#ifndef PLANT_NO_G2
    if (voters(c) != 1) {
        return false;
    }
    for (unsigned i = 0; i < c->n; i++) {
        if (c->servers[i].id == id && c->servers[i].role == RAFT_VOTER) {
            return true;
        }
    }
#endif
    return false;
}

bool replica_guards_change_allowed(struct replica *r, const struct raft_configuration *next)
{
#ifndef PLANT_NO_G2
    if (voters(next) == 0 || (voters(next) == 1 && voters(&r->raft.configuration) > 1)) {
        return false;
    }
#endif
    return true;
}
