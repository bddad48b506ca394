/* SPDX-License-Identifier: MIT */
/* The replicas of a shard as one of them sees them.
 * Owns nothing: reads the replica, the store and what peers last said (peering.h).
 * What is not known stays empty: a replica that does not lead knows no match index, and of a peer
 * that it never heard it knows the address alone.  Fails over the arena's cap. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "node/cluster.h"

static const struct peering_view *peer_of(const struct peering_view *views, size_t count,
                                          uint64_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (views[i].id == id) {
            return &views[i];
        }
    }
    return NULL;
}

static struct span copy_of(struct arena *arena, const char *text)
{
    size_t len = strlen(text);
    uint8_t *copy = arena_alloc(arena, len + 1);
    if (copy) {
        memcpy(copy, text, len);
    }
    return (struct span){copy, copy ? len : 0};
}

static void put_self(const struct cluster *c, struct arena *arena, struct cluster_node_view *n)
{
    struct store_stats stats;
    store_stats(c->store, &stats);
    n->is_self = true;
    n->state = NODE_UP;
    bool is_inside = c->door == NULL || strncmp(c->door, "inproc:", 7) == 0;
    n->gateways = copy_of(arena, is_inside ? "" : c->door);
    n->version = copy_of(arena, c->program ? c->program : "");
    n->signs = c->signs;
    n->applied_index = store_applied_index(c->store);
    n->match_index = store_log_last(c->store);
    n->has_clock = true;
    n->disk_free_bytes = stats.disk_free_bytes;
    n->map_used_bytes = stats.state_bytes;
    n->map_limit_bytes = stats.state_map_bytes;
    n->is_short_of_room = store_room(c->store) != STORE_ROOM_OK;
    uint64_t index;
    n->repairs = store_wants_state(c->store, &index);
    n->check = STATE_SAME;
}

static void put_peer(const struct cluster *c, struct arena *arena, const struct peering_view *p,
                     struct cluster_node_view *n)
{
    int64_t now_us = clock_mono_us();
    n->match_index = replica_is_leader(c->replica) ? replica_match(c->replica, n->id) : 0;
    n->silent_us = p->heard_us ? now_us - p->heard_us : -1;
    int64_t bearable_us = p->is_connected ? CLUSTER_DOWN_US : CLUSTER_CUT_US;
    bool is_down = p->heard_us == 0 || n->silent_us > bearable_us;
    n->state = is_down ? NODE_DOWN : NODE_UP;
    n->gateways = copy_of(arena, p->status.door);
    n->version = copy_of(arena, p->status.program);
    n->signs = p->status.signs;
    n->applied_index = p->status.applied;
    n->has_clock = p->heard_us > 0 && !is_down;
    n->clock_us = n->has_clock ? p->ahead_us : 0;
    n->disk_free_bytes = p->status.disk_free_bytes;
    n->is_short_of_room = p->status.room != STORE_ROOM_OK;
    n->repairs = p->status.repairs;
    n->is_disk_foreign = p->is_other_disk;
    n->is_twice = p->is_twice;
    n->check = p->differs ? STATE_DIFFERS : p->has_same ? STATE_SAME : STATE_UNCHECKED;
}

static int by_id(const void *a, const void *b)
{
    const struct cluster_node_view *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

int cluster_view(const struct cluster *c, struct arena *arena, struct cluster_view *ret_view)
{
    struct replica_member members[REPLICA_MEMBERS_MAX];
    struct peering_view views[REPLICA_MEMBERS_MAX];
    size_t count = replica_members(c->replica, members);
    size_t peers = c->peering ? peering_views(c->peering, views) : 0;
    struct cluster_node_view *nodes = arena_zalloc(arena, count * sizeof *nodes);
    if (nodes == NULL) {
        return err_origin(-ENOMEM);
    }
    struct cluster_view v = {.self = c->id,
                             .leader = replica_leader(c->replica),
                             .term = replica_term(c->replica),
                             .commit_index = replica_committed(c->replica),
                             .applied_index = store_applied_index(c->store),
                             .log_time_us = store_applied_time_us(c->store),
                             .nodes = nodes,
                             .nodes_count = count,
                             .lag_max = c->lag_max ? c->lag_max : CLUSTER_LAG_MAX,
                             .version = copy_of(arena, c->program ? c->program : ""),
                             .signs = c->signs};
    memcpy(v.cluster_id, c->cluster_id, sizeof v.cluster_id);
    for (size_t i = 0; i < count; i++) {
        struct cluster_node_view *n = &nodes[i];
        const struct peering_view *p = peer_of(views, peers, members[i].id);
        n->id = members[i].id;
        n->is_voter = members[i].role == REPLICA_VOTER;
        n->address = c->peering ? copy_of(arena, members[i].address) : (struct span){0};
        n->silent_us = -1;
        if (n->id == c->id) {
            put_self(c, arena, n);
        } else if (p) {
            put_peer(c, arena, p, n);
        }
        bool is_cordoned = false;
        int r = ledger_is_cordoned(c->ledger, n->id, &is_cordoned);
        if (r) {
            return err_fold(r);
        }
        if (is_cordoned && n->state == NODE_UP) {
            n->state = n->id == v.leader ? NODE_DRAINING : NODE_CORDONED;
        }
        uint64_t known = n->match_index > n->applied_index ? n->match_index : n->applied_index;
        bool has_nothing = !n->is_voter && replica_is_leader(c->replica); /* a new learner */
        n->behind = (known || has_nothing) && known < v.commit_index ? v.commit_index - known : 0;
    }
    qsort(nodes, count, sizeof *nodes, by_id);
    *ret_view = v;
    return 0;
}

const struct cluster_node_view *cluster_view_node(const struct cluster_view *view, uint64_t id)
{
    for (size_t i = 0; i < view->nodes_count; i++) {
        if (view->nodes[i].id == id) {
            return &view->nodes[i];
        }
    }
    return NULL;
}

uint64_t cluster_view_learner(const struct cluster_view *view, uint64_t but)
{
    for (size_t i = 0; i < view->nodes_count; i++) {
        if (!view->nodes[i].is_voter && view->nodes[i].id != but) {
            return view->nodes[i].id;
        }
    }
    return 0;
}
