/* SPDX-License-Identifier: MIT */
/* What is wrong with a shard's replicas, in plain words, each with its next step.
 * Pure: a view in, sentences out; the worst first.  A sentence says what is seen, the step what to
 * type or to look at.  Owns nothing; fails over the arena's cap. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "node/cluster.h"
#include "node/logtime.h"

#define CLOCK_US_MAX (SECOND_US) /* off: more is told */
#define DISK_BYTES   (UINT64_C(1) << 30)

struct list_of {
    struct arena *arena;
    struct cluster_problem_view *items;
    size_t count;
    bool is_short; /* of memory */
};

__attribute__((format(printf, 2, 0)))
static struct span text_in(struct list_of *l, const char *format, va_list args)
{
    char text[400];
    int n = vsnprintf(text, sizeof text, format, args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    uint8_t *copy = arena_alloc(l->arena, len + 1);
    l->is_short = l->is_short || copy == NULL;
    if (copy) {
        memcpy(copy, text, len);
        copy[len] = 0;
    }
    return (struct span){copy, copy ? len : 0};
}

/* A step with the node's number in it, so that it can be typed as it stands. */
__attribute__((format(printf, 2, 3)))
static const char *step(struct list_of *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct span text = text_in(l, format, args);
    va_end(args);
    return text.ptr ? (const char *)text.ptr : "";
}

/* The step stands in `next_step`, the sentence is formatted. */
static void say(struct list_of *l, enum cluster_problem_kind kind, uint64_t node,
                const char *next_step, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
static void say(struct list_of *l, enum cluster_problem_kind kind, uint64_t node,
                const char *next_step, const char *format, ...)
{
    va_list args;
    if (l->count == CLUSTER_PROBLEMS_MAX) {
        return;
    }
    va_start(args, format);
    l->items[l->count++] = (struct cluster_problem_view){
        kind, node, text_in(l, format, args), span_of(next_step)};
    va_end(args);
}

static unsigned long long llu(uint64_t number)
{
    return (unsigned long long)number;
}

static void say_quorum(struct list_of *l, const struct cluster_view *v)
{
    size_t voters = 0, heard = 0;
    for (size_t i = 0; i < v->nodes_count; i++) {
        const struct cluster_node_view *n = &v->nodes[i];
        voters += n->is_voter;
        heard += n->is_voter && n->state != NODE_DOWN && n->state != NODE_UNKNOWN;
    }
    if (v->nodes_count == 0) {
        say(l, PROBLEM_NO_LEADER, v->self, "on the cluster: fairslot node add NODE --peer URL",
            "node %llu has joined no cluster yet", llu(v->self));
    } else if (heard <= voters / 2) {
        say(l, PROBLEM_NO_QUORUM, 0, "start the nodes that are down, or mend the network between "
            "them: systemctl status fairslot-shard on each",
            "no quorum: %zu of %zu voters are heard and %zu are needed; nothing can be written",
            heard, voters, voters / 2 + 1);
    } else if (v->leader == 0) {
        say(l, PROBLEM_NO_LEADER, 0, "wait a second and ask again; if it stays, read the logs of "
            "the nodes", "no leader: node %llu knows of none", llu(v->self));
    }
    if (voters > 0 && voters % 2 == 0) {
        say(l, PROBLEM_TWO_VOTERS, 0, "add a node: fairslot node add NODE --peer URL",
            "%zu voters survive the loss of no more nodes than %zu would", voters, voters - 1);
    }
}

static const char *step_down(struct list_of *l, uint64_t id)
{
    return step(l, "start it, or look at its log, its certificate and the network between them; "
                "for good: fairslot node remove %llu", llu(id));
}

static void say_node(struct list_of *l, const struct cluster_view *v,
                     const struct cluster_node_view *n)
{
    if (n->is_disk_foreign) {
        say(l, PROBLEM_TWO_DISKS, n->id,
            step(l, "if its disk was lost: fairslot node remove %llu, and add a new number with an "
                 "empty directory; if two nodes have that --id, correct one", llu(n->id)),
            "node %llu came with another disk than before: it is not heard", llu(n->id));
    } else if (n->state == NODE_DOWN && n->silent_us < 0) {
        say(l, PROBLEM_NODE_DOWN, n->id, step_down(l, n->id),
            "node %llu at %.*s was not heard since this one started", llu(n->id),
            (int)n->address.len, (const char *)n->address.ptr);
    } else if (n->state == NODE_DOWN) {
        say(l, PROBLEM_NODE_DOWN, n->id, step_down(l, n->id),
            "node %llu at %.*s was last heard %lld s ago", llu(n->id), (int)n->address.len,
            (const char *)n->address.ptr, (long long)(n->silent_us / SECOND_US));
    }
    if (n->is_twice) {
        say(l, PROBLEM_TWO_DISKS, n->id,
            step(l, "stop the one that does not run at %.*s: only one may ever have had that "
                 "directory", (int)n->address.len, (const char *)n->address.ptr),
            "two processes speak as node %llu: its directory was copied", llu(n->id));
    }
    if (n->check == STATE_DIFFERS) {
        say(l, PROBLEM_STATE_DIFFERS, n->id,
            step(l, "stop it, keep its directory for us to look at, fairslot node remove %llu, and "
                 "add a new number with an empty directory", llu(n->id)),
            "node %llu has another state than node %llu at the same entry", llu(n->id),
            llu(v->self));
    }
    if (n->repairs && n->state != NODE_DOWN) {
        say(l, PROBLEM_REPAIR, n->id, "wait: it fetches another one's state by itself; and look "
            "at its disk: smartctl -a", "the state of node %llu is damaged: it answers nothing",
            llu(n->id));
    }
    if (n->behind > v->lag_max && n->state != NODE_DOWN) {
        say(l, PROBLEM_NODE_LAGS, n->id,
            step(l, "look at its disk and its load: fairslot node show %llu", llu(n->id)),
            "node %llu is %llu entries behind", llu(n->id), llu(n->behind));
    }
    if (!n->is_voter && n->state != NODE_DOWN) {
        say(l, PROBLEM_CATCHING_UP, n->id,
            step(l, "wait: it votes when it has caught up; until then no other node is added or "
                 "removed; to give it up: fairslot node remove %llu", llu(n->id)),
            "node %llu has no vote yet: %llu entries behind", llu(n->id), llu(n->behind));
    }
}

/* Against the one in the middle: whoever answers may be the one that is off.  Two tell nothing of
 * which of them it is. */
static void say_clocks(struct list_of *l, const struct cluster_view *v)
{
    int64_t clocks[CLUSTER_PROBLEMS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < v->nodes_count && count < ARRAY_COUNT(clocks); i++) {
        if (v->nodes[i].has_clock) {
            clocks[count++] = v->nodes[i].clock_us;
        }
    }
    int64_t middle_us = count > 2 ? logtime_majority(clocks, count, count) : 0;
    for (size_t i = 0; i < v->nodes_count; i++) {
        const struct cluster_node_view *n = &v->nodes[i];
        int64_t off_us = n->has_clock ? n->clock_us - middle_us : 0;
        if (llabs(off_us) <= CLOCK_US_MAX) {
            continue;
        }
        if (count > 2) {
            say(l, PROBLEM_CLOCK, n->id, "set it by NTP, there: timedatectl status",
                "the clock of node %llu is %lld s %s most others", llu(n->id),
                (long long)(llabs(off_us) / SECOND_US), off_us > 0 ? "ahead of" : "behind");
        } else {
            say(l, PROBLEM_CLOCK, n->id, "set the clocks of both by NTP: timedatectl status",
                "the clock of node %llu is %lld s %s that of node %llu", llu(n->id),
                (long long)(llabs(off_us) / SECOND_US), off_us > 0 ? "ahead of" : "behind",
                llu(v->self));
        }
    }
}

static void say_health(struct list_of *l, const struct cluster_view *v,
                       const struct cluster_node_view *n)
{
    if (n->is_short_of_room) {
        say(l, PROBLEM_DISK, n->id, "make room on its disk, or raise shard.state_map: until then "
            "new holds are refused (STORAGE_FULL) while it leads",
            "node %llu is nearly full: %llu MiB are free on its disk", llu(n->id),
            llu(n->disk_free_bytes >> 20));
    } else if (n->disk_free_bytes > 0 && n->disk_free_bytes < DISK_BYTES) {
        say(l, PROBLEM_DISK, n->id, "make room on its disk before it refuses new holds",
            "node %llu has %llu MiB free on its disk", llu(n->id),
            llu(n->disk_free_bytes >> 20));
    }
    if (n->version.len && v->version.len && !span_equal(n->version, v->version)) {
        say(l, PROBLEM_VERSIONS, n->id, "upgrade the older one; both work together meanwhile",
            "node %llu runs version %.*s, node %llu %.*s", llu(n->id), (int)n->version.len,
            (const char *)n->version.ptr, llu(v->self), (int)v->version.len,
            (const char *)v->version.ptr);
    }
    if (n->signs && v->signs && n->signs != v->signs) {
        say(l, PROBLEM_SIGNING_KEY, n->id, "give all nodes one shard.signing_key, the one that is "
            "published, and restart whichever has another: what that one signs is not believed",
            "node %llu signs receipts with another key than node %llu", llu(n->id), llu(v->self));
    }
}

int cluster_problems(struct cluster_view *view, struct arena *arena)
{
    struct list_of l = {arena, arena_alloc(arena, CLUSTER_PROBLEMS_MAX * sizeof *l.items), 0,
                        false};
    if (l.items == NULL) {
        return err_origin(-ENOMEM);
    }
    say_quorum(&l, view);
    for (size_t i = 0; i < view->nodes_count; i++) {
        say_node(&l, view, &view->nodes[i]);
    }
    say_clocks(&l, view);
    for (size_t i = 0; i < view->nodes_count; i++) {
        say_health(&l, view, &view->nodes[i]);
    }
    view->problems = l.items;
    view->problems_count = l.count;
    return l.is_short ? err_origin(-ENOMEM) : 0;
}
