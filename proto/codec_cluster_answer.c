/* SPDX-License-Identifier: MIT */
/* What a replica says of the cluster -> the public messages.
 * Pure, owns nothing, -ENOMEM over the arena's cap.  Sixteen nodes at most, so a message is small.
 * What is not known is left out, never 0 with a meaning. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/err.h"
#include "fairslot/admin/v1/cluster.pb-c.h"
#include "google/longrunning/operations.pb-c.h"
#include "proto/codec_parts.h"

/* In the arena; NULL over the cap. */
static char *text_of(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static char *text_of(struct arena *arena, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    return codec_text(arena, (struct span){(const uint8_t *)text, len});
}

static char *node_name(struct arena *arena, uint64_t id)
{
    return id ? text_of(arena, "nodes/%llu", (unsigned long long)id)
              : codec_text(arena, (struct span){0});
}

static bool put_node(struct arena *arena, const struct cluster_view *c,
                     const struct cluster_node_view *v, Fairslot__Admin__V1__Node *m)
{
    fairslot__admin__v1__node__init(m);
    m->name = node_name(arena, v->id);
    m->role = FAIRSLOT__ADMIN__V1__NODE__ROLE__ROLE_SHARD;
    m->state = (Fairslot__Admin__V1__Node__State)v->state;
    m->address = codec_text(arena, v->gateways);
    m->peer_address = codec_text(arena, v->address);
    m->version = codec_text(arena, v->version);
    m->leader_count = v->id == c->leader;
    m->replica_count = 1;
    m->map_bytes_used = (int64_t)v->map_used_bytes;
    m->map_bytes_limit = (int64_t)v->map_limit_bytes;
    m->disk_bytes_free = (int64_t)v->disk_free_bytes;
    m->clock_ahead = v->has_clock ? codec_duration(arena, v->clock_us) : NULL;
    m->silence = v->silent_us >= 0 && !v->is_self ? codec_duration(arena, v->silent_us) : NULL;
    return m->name && m->address && m->peer_address && m->version &&
           (m->clock_ahead || !v->has_clock) && (m->silence || v->silent_us < 0 || v->is_self);
}

static bool put_replica(struct arena *arena, const struct cluster_view *c,
                        const struct cluster_node_view *v, Fairslot__Admin__V1__Replica *m)
{
    fairslot__admin__v1__replica__init(m);
    m->node = node_name(arena, v->id);
    m->voter = v->is_voter;
    m->leader = v->id == c->leader;
    m->match_index = (int64_t)v->match_index;
    m->applied_index = (int64_t)v->applied_index;
    m->entries_behind = (int64_t)v->behind;
    m->state_check = (Fairslot__Admin__V1__Replica__StateCheck)v->check;
    return m->node != NULL;
}

/* NULL over the cap. */
static Fairslot__Admin__V1__Node **nodes_of(struct arena *arena, const struct cluster_view *c)
{
    Fairslot__Admin__V1__Node **out = arena_alloc(arena, c->nodes_count * sizeof *out);
    Fairslot__Admin__V1__Node *items = arena_alloc(arena, c->nodes_count * sizeof *items);
    for (size_t i = 0; out && items && i < c->nodes_count; i++) {
        out[i] = &items[i];
        if (!put_node(arena, c, &c->nodes[i], &items[i])) {
            return NULL;
        }
    }
    return items ? out : NULL;
}

static Fairslot__Admin__V1__Shard *shard_of(struct arena *arena, const struct cluster_view *c)
{
    size_t count = c->nodes_count;
    Fairslot__Admin__V1__Shard *m = arena_alloc(arena, sizeof *m);
    char **names = arena_alloc(arena, count * sizeof *names);
    Fairslot__Admin__V1__Replica **members = arena_alloc(arena, count * sizeof *members);
    Fairslot__Admin__V1__Replica *items = arena_alloc(arena, count * sizeof *items);
    if (m == NULL || names == NULL || members == NULL || items == NULL) {
        return NULL;
    }
    fairslot__admin__v1__shard__init(m);
    for (size_t i = 0; i < count; i++) {
        names[i] = node_name(arena, c->nodes[i].id);
        members[i] = &items[i];
        if (names[i] == NULL || !put_replica(arena, c, &c->nodes[i], &items[i])) {
            return NULL;
        }
    }
    m->name = (char *)"shards/1";
    m->n_replicas = count;
    m->replicas = names;
    m->n_members = count;
    m->members = members;
    m->leader = node_name(arena, c->leader);
    m->commit_index = (int64_t)c->commit_index;
    m->applied_index = (int64_t)c->applied_index;
    m->term = (int64_t)c->term;
    m->log_time = c->log_time_us ? codec_timestamp(arena, c->log_time_us) : NULL;
    return m->leader && (m->log_time || c->log_time_us == 0) ? m : NULL;
}

/* A problem as one line: what is wrong, and what to do. */
static char *problem_line(struct arena *arena, const struct cluster_problem_view *p)
{
    return text_of(arena, "%.*s; next: %.*s", (int)p->text.len, (const char *)p->text.ptr,
                   (int)p->next_step.len, (const char *)p->next_step.ptr);
}

static bool put_problems(struct arena *arena, const struct cluster_view *c,
                         Fairslot__Admin__V1__Cluster *m)
{
    size_t count = c->problems_count;
    Fairslot__Admin__V1__Problem *items = arena_alloc(arena, count * sizeof *items);
    m->problem_list = arena_alloc(arena, count * sizeof *m->problem_list);
    m->problems = arena_alloc(arena, count * sizeof *m->problems);
    m->n_problem_list = m->n_problems = count;
    bool ok = items && m->problem_list && m->problems;
    for (size_t i = 0; ok && i < count; i++) {
        const struct cluster_problem_view *p = &c->problems[i];
        fairslot__admin__v1__problem__init(&items[i]);
        m->problem_list[i] = &items[i];
        m->problems[i] = problem_line(arena, p);
        items[i].kind = (Fairslot__Admin__V1__Problem__Kind)p->kind;
        items[i].node = node_name(arena, p->node);
        items[i].text = codec_text(arena, p->text);
        items[i].next_step = codec_text(arena, p->next_step);
        ok = m->problems[i] && items[i].node && items[i].text && items[i].next_step;
    }
    return ok;
}

static int answer_cluster(const struct cluster_view *c, struct arena *arena,
                          struct span *ret_message)
{
    Fairslot__Admin__V1__Cluster m = FAIRSLOT__ADMIN__V1__CLUSTER__INIT;
    Fairslot__Admin__V1__Shard *shard = shard_of(arena, c);
    char hex[2 * sizeof c->cluster_id + 1];
    for (size_t i = 0; i < sizeof c->cluster_id; i++) {
        snprintf(hex + 2 * i, 3, "%02x", c->cluster_id[i]);
    }
    m.name = text_of(arena, "clusters/%s", hex);
    m.version = codec_text(arena, c->version);
    m.answered_by = node_name(arena, c->self);
    m.n_nodes = c->nodes_count;
    m.nodes = nodes_of(arena, c);
    m.n_shards = 1;
    m.shards = &shard;
    if (!put_problems(arena, c, &m) || shard == NULL || m.nodes == NULL || m.name == NULL ||
        m.version == NULL || m.answered_by == NULL) {
        return err_origin(-ENOMEM);
    }
    return err_trace(codec_pack(&m.base, arena, ret_message));
}

static int answer_nodes(const struct cluster_view *c, struct arena *arena,
                        struct span *ret_message)
{
    Fairslot__Admin__V1__ListNodesResponse m = FAIRSLOT__ADMIN__V1__LIST_NODES_RESPONSE__INIT;
    m.n_nodes = c->nodes_count;
    m.nodes = nodes_of(arena, c);
    m.next_page_token = codec_text(arena, c->next_page_token);
    return m.nodes && m.next_page_token ? err_trace(codec_pack(&m.base, arena, ret_message))
                                        : err_origin(-ENOMEM);
}

static int answer_shards(const struct cluster_view *c, bool is_list, struct arena *arena,
                         struct span *ret_message)
{
    Fairslot__Admin__V1__ListShardsResponse m = FAIRSLOT__ADMIN__V1__LIST_SHARDS_RESPONSE__INIT;
    Fairslot__Admin__V1__Shard *shard = shard_of(arena, c);
    if (shard == NULL) {
        return err_origin(-ENOMEM);
    }
    m.n_shards = 1;
    m.shards = &shard;
    return err_trace(codec_pack(is_list ? &m.base : &shard->base, arena, ret_message));
}

static int answer_node(const struct verdict *v, struct arena *arena, struct span *ret_message)
{
    Fairslot__Admin__V1__Node m = FAIRSLOT__ADMIN__V1__NODE__INIT;
    for (size_t i = 0; i < v->cluster->nodes_count; i++) {
        const struct cluster_node_view *n = &v->cluster->nodes[i];
        if (n->id == v->node && !put_node(arena, v->cluster, n, &m)) {
            return err_origin(-ENOMEM);
        }
    }
    return err_trace(codec_pack(&m.base, arena, ret_message));
}

static int answer_change(const struct verdict *v, struct arena *arena, struct span *ret_message)
{
    Google__Longrunning__Operation m = GOOGLE__LONGRUNNING__OPERATION__INIT;
    m.name = text_of(arena, "operations/%s-node-%llu", codec_cluster_change(v->change),
                     (unsigned long long)v->node);
    m.done = v->is_done;
    return m.name ? err_trace(codec_pack(&m.base, arena, ret_message)) : err_origin(-ENOMEM);
}

int codec_answer_cluster(const struct verdict *v, struct arena *arena, struct span *ret_message)
{
    IMPLY(v->result != RESULT_NODE_CHANGE, v->cluster != NULL);
    switch (v->result) {
    case RESULT_CLUSTER:
        return err_trace(answer_cluster(v->cluster, arena, ret_message));
    case RESULT_NODES:
        return err_trace(answer_nodes(v->cluster, arena, ret_message));
    case RESULT_SHARDS:
        return err_trace(answer_shards(v->cluster, true, arena, ret_message));
    case RESULT_NODE:
        return err_trace(answer_node(v, arena, ret_message));
    case RESULT_SHARD:
        return err_trace(answer_shards(v->cluster, false, arena, ret_message));
    default:
        return err_trace(answer_change(v, arena, ret_message));
    }
}
