/* SPDX-License-Identifier: MIT */
/* The world of sim.c: nodes, messages, the truth, and the log in memory with its two copies. */
#ifndef FAIRSLOT_TESTS_SIM_WORLD_H
#define FAIRSLOT_TESTS_SIM_WORLD_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/prng.h"
#include "node/replica.h"

#define NODES_MAX 7
#define TERMS_MAX 4096
#define TABLE     (1u << 20)

struct rec {
    uint64_t word;
    const uint8_t *bytes;
    size_t len;
    uint64_t hash; /* of word and bytes */
};

struct mem_log {
    uint64_t base, base_term, count; /* entries base+1 .. base+count */
    uint64_t term, vote;
    struct rec *recs; /* by index - 1, whatever base is */
    size_t cap;
};

struct node {
    uint64_t id;
    bool is_up;
    struct replica *replica;
    struct mem_log live, disk;
    uint64_t clean;            /* live and disk are the same up to here */
    uint8_t members[4096];
    size_t members_len;
    uint64_t members_index;
    uint64_t applied, applied_term;  /* of the state in memory */
    uint64_t state;            /* hash chain over what was applied */
    uint64_t durable, durable_term, durable_state;
    uint64_t seen;             /* most that replica_committed() said in this life */
    uint64_t led_term;
    int64_t want_ms;           /* since when nobody has the state that it wants; 0: somebody */
    int64_t back_ms;           /* when a crashed one comes back */
    bool is_ahead;             /* its state, of another one, says nothing of its log's entries */
    uint64_t floor;            /* entries from there on stay for who lags; 0: no such wish */
    uint64_t hold;             /* and for who fetches a state, twice as many; 0: no such wish */
    int drift_ppm;             /* of its clock: thousandths of a per cent ... of 1,000,000 */
    enum { DISK_GOOD, DISK_FAILS, DISK_FAILS_LATE } disk_state; /* LATE: but it is durable */
};

/* What the city does instead; NULL in the others. */
struct hooks {
    int (*start)(struct node *n);    /* from its disk; 0 or not */
    void (*commits)(struct node *n); /* its log now: may let the disk fail */
};

struct message {
    int64_t at_ms;
    uint64_t order;
    uint64_t from, to;
    uint8_t *bytes;
    size_t len;
    unsigned kind;             /* the city's; 0: between replicas */
};

struct truth {
    uint64_t hash, term, state;
};

struct entry_seen {
    uint64_t index, term, hash, before; /* before: term of the entry before it */
};

struct mix {
    unsigned loss, delay_ms, crash, cut, propose, trail, members, transfer, doubt, early, keep;
    unsigned lag; /* entries at most that stay for who lags */
    bool is_ordered;
};

static struct world {
    uint64_t seed;
    struct prng prng;
    struct mix mix;
    int64_t now_ms;
    const struct hooks *hooks;
    uint64_t steps, faults, order, excused;
    size_t nodes_count, first_count;
    struct node nodes[NODES_MAX];
    struct message *heap;
    size_t heap_count, heap_cap;
    int64_t link_ms[NODES_MAX + 1][NODES_MAX + 1]; /* last arrival: one ordered stream a peer */
    bool is_cut[NODES_MAX + 1][NODES_MAX + 1];
    struct truth *truths;
    size_t truths_count, truths_cap;
    uint64_t leaders[TERMS_MAX];
    uint64_t votes[TERMS_MAX][NODES_MAX + 1];
    struct entry_seen table[TABLE];
    uint64_t table_used;       /* places from the first on that may be taken */
    uint64_t trace;
    uint64_t number;           /* of the next command */
    bool is_healed;
    bool had_members;          /* this seed changed them */
    const char *violation;
    uint8_t **pool;            /* bytes of entries, until the seed is over */
    size_t pool_count, pool_cap;
} w;

static void violate(const char *what)
{
    if (w.violation == NULL) {
        w.violation = what;
    }
}

static uint64_t mix64(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 29);
}

static uint64_t hash_bytes(uint64_t h, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return mix64(h, len);
}

static bool chance(unsigned per_mille)
{
    return prng_below(&w.prng, 1000) < per_mille;
}

static const uint8_t *keep_bytes(struct span s)
{
    if (w.pool_count == w.pool_cap) {
        w.pool_cap = w.pool_cap ? w.pool_cap * 2 : 1024;
        w.pool = realloc(w.pool, w.pool_cap * sizeof *w.pool);
    }
    uint8_t *bytes = malloc(s.len + 1);
    memcpy(bytes, s.ptr, s.len);
    return w.pool[w.pool_count++] = bytes;
}

/* -- a log in memory --------------------------------------------------------------------------- */

static uint64_t term_of(uint64_t word)
{
    return word & ((UINT64_C(1) << 56) - 1);
}

static uint64_t log_first(void *user)
{
    struct node *n = user;
    return n->live.base + 1;
}

static uint64_t log_last(void *user)
{
    struct node *n = user;
    return n->live.base + n->live.count;
}

/* Log matching: whoever has an entry of this index and term has the same one, behind the same. */
static void see_entry(struct node *n, uint64_t index, const struct rec *rec)
{
    uint64_t term = term_of(rec->word);
    uint64_t before = index == n->live.base + 1 ? 0 : term_of(n->live.recs[index - 2].word);
    for (uint64_t at = index * 4 + term % 4;; at++) {
        struct entry_seen *e = &w.table[at % TABLE];
        if (e->index == 0) {
            w.table_used = at % TABLE + 1 > w.table_used ? at % TABLE + 1 : w.table_used;
            *e = (struct entry_seen){index, term, rec->hash, before};
            return;
        }
        if (e->index == index && e->term == term) {
            if (e->hash != rec->hash || (before && e->before && before != e->before)) {
                violate("log matching: two entries with one index and term");
            }
            return;
        }
    }
}

static void log_room(struct mem_log *l, uint64_t last)
{
    if (last > l->cap) {
        l->cap = last * 2 + 64;
        l->recs = realloc(l->recs, l->cap * sizeof *l->recs);
    }
}

static int log_append(void *user, uint64_t word, struct span entry)
{
    struct node *n = user;
    uint64_t last = log_last(n) + 1;
    log_room(&n->live, last);
    struct rec *rec = &n->live.recs[last - 1];
    *rec = (struct rec){word, keep_bytes(entry), entry.len,
                        hash_bytes(mix64(7, word), entry.ptr, entry.len)};
    n->live.count++;
    see_entry(n, last, rec);
    return 0;
}

static int log_truncate(void *user, uint64_t index)
{
    struct node *n = user;
    if (index <= n->applied && !n->is_ahead) {
        violate("an applied entry was truncated");
    }
    if (index <= n->live.base) {
        violate("truncated below the log's beginning");
        return -EBADMSG;
    }
    n->live.count = index - 1 - n->live.base;
    n->clean = n->clean < index ? n->clean : index - 1;
    return 0;
}

static int log_set_vote(void *user, uint64_t term, uint64_t vote)
{
    struct node *n = user;
    n->live.term = term;
    n->live.vote = vote;
    return 0;
}

static void log_vote(void *user, uint64_t *ret_term, uint64_t *ret_vote)
{
    struct node *n = user;
    *ret_term = n->live.term;
    *ret_vote = n->live.vote;
}

static void log_copy(struct mem_log *to, const struct mem_log *from, uint64_t clean)
{
    uint64_t last = from->base + from->count;
    uint64_t start = clean > from->base ? clean : from->base;
    log_room(to, last + 1);
    if (last > start) {
        memcpy(to->recs + start, from->recs + start, (last - start) * sizeof *to->recs);
    }
    to->base = from->base;
    to->base_term = from->base_term;
    to->count = from->count;
    to->term = from->term;
    to->vote = from->vote;
}

static int log_commit(void *user)
{
    struct node *n = user;
    if (w.hooks) {
        w.hooks->commits(n);
    }
    if (n->disk_state == DISK_FAILS) {
        return -EIO;
    }
    uint64_t keep = n->durable > w.mix.trail ? n->durable - w.mix.trail : 0;
    uint64_t last = log_last(n);
    if (n->floor && keep >= n->floor && last - n->floor < w.mix.lag) {
        keep = n->floor - 1;
    }
    if (n->hold && keep >= n->hold && last - n->hold < 2 * w.mix.lag) {
        keep = n->hold - 1;
    }
    if (keep > n->live.base && keep < last && !n->is_ahead) { /* forget, but never the last one */
        n->live.base_term = term_of(n->live.recs[keep - 1].word);
        n->live.count = last - keep;
        n->live.base = keep;
    }
    log_copy(&n->disk, &n->live, n->clean);
    n->clean = last;
    return n->disk_state == DISK_FAILS_LATE ? -EIO : 0;
}

static int log_read(void *user, uint64_t index, uint64_t *ret_word, struct span *ret_entry)
{
    struct node *n = user;
    if (index <= n->live.base || index > log_last(n)) {
        return 1;
    }
    const struct rec *rec = &n->live.recs[index - 1];
    *ret_word = rec->word;
    *ret_entry = (struct span){rec->bytes, rec->len};
    return 0;
}

static void log_durable(void *user, uint64_t *ret_index, uint64_t *ret_term)
{
    struct node *n = user;
    bool ahead = n->is_ahead || n->durable > log_last(n) || n->durable < n->live.base;
    *ret_index = ahead ? n->live.base : n->durable;
    *ret_term = ahead ? n->live.base_term : n->durable_term;
}

static int log_keep(void *user, uint64_t index, struct span members)
{
    struct node *n = user;
    memcpy(n->members, members.ptr, members.len);
    n->members_len = members.len;
    n->members_index = index;
    return 0;
}

static int log_members(void *user, uint64_t *ret_index, struct span *ret_members)
{
    struct node *n = user;
    *ret_index = n->members_index;
    *ret_members = (struct span){n->members, n->members_len};
    return 0;
}

#endif
