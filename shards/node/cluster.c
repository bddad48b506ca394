/* SPDX-License-Identifier: MIT */
/* Operators' commands about the replicas.
 *
 *   add:     learner -> catches up -> cluster_turn() gives it a vote -> done
 *            never under a number that was removed: the state has those among the cordoned ones
 *   remove:  never the leader, never so many that one voter is left of several (replica_guards.c)
 *            while a learner catches up no other node is added or removed; removing it ends that
 *   leader:  to a voter that is heard and has nearly all of the log
 *
 * Owns nothing.  A change is one log entry; the answer says what it is now, and the same command
 * sent again tells how far it is: nothing is remembered but the members themselves.
 * Fails by refusal, with the node named; < 0 from memory and the replica. */
#include "node/cluster.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"

#define CAUGHT_UP   64            /* entries behind that do not keep a learner from its vote */
#define HEARD_US    (2 * SECOND_US) /* a node that is to lead was heard within */

static int refuse(struct verdict *v, enum reason reason, const char *field)
{
    v->reason = reason;
    v->field = field;
    return 0;
}

/* The members' numbers, as metadata: who is there. */
static int name_nodes(const struct cluster_view *view, struct arena *arena, struct verdict *v)
{
    size_t size = view->nodes_count * 28 + 1, len = 0;
    char *text = arena_alloc(arena, size);
    if (text == NULL) {
        return err_origin(-ENOMEM);
    }
    text[0] = '\0';
    for (size_t i = 0; i < view->nodes_count; i++) {
        len += (size_t)snprintf(text + len, size - len, "%snodes/%llu", i ? "," : "",
                                (unsigned long long)view->nodes[i].id);
    }
    v->meta[v->meta_count++] = (struct verdict_meta){"nodes", {(const uint8_t *)text, len}};
    return 0;
}

static int refuse_unknown(const struct cluster_view *view, struct arena *arena, struct verdict *v)
{
    refuse(v, REASON_NODE_UNKNOWN, NULL);
    return err_trace(name_nodes(view, arena, v));
}

/* What the replica said of a change. */
static int change_verdict(int said, struct verdict *v)
{
    switch (said) {
    case 0:
        return 0;
    case REPLICA_E_NOT_LEADER: /* or on the way to hand leadership over */
    case REPLICA_E_BUSY:
        return refuse(v, REASON_CHANGE_RUNNING, NULL);
    case REPLICA_E_MEMBER:
        return refuse(v, REASON_VOTER_NEEDED, NULL);
    default:
        return err_fold(said);
    }
}

/* A node other than `id` is on its way to its vote: that change comes first. */
static int refuse_second_change(const struct cluster_view *view, uint64_t id, struct arena *arena,
                                struct verdict *v)
{
    uint64_t learner = cluster_view_learner(view, id);
    if (learner == 0) {
        return 0;
    }
    char *text = arena_alloc(arena, 28);
    if (text == NULL) {
        return err_origin(-ENOMEM);
    }
    int len = snprintf(text, 28, "nodes/%llu", (unsigned long long)learner);
    v->meta[v->meta_count++] =
        (struct verdict_meta){"node", {(const uint8_t *)text, (size_t)len}};
    return refuse(v, REASON_CHANGE_RUNNING, NULL);
}

static bool has_address(const struct cluster_view *view, struct span address)
{
    for (size_t i = 0; i < view->nodes_count; i++) {
        if (span_equal(view->nodes[i].address, address)) {
            return true;
        }
    }
    return false;
}

static int add(const struct cluster *c, const struct command *command,
               const struct cluster_view *view, struct arena *arena, struct verdict *v)
{
    const struct cluster_node_view *n = cluster_view_node(view, command->number);
    struct replica_member member = {.id = command->number, .role = REPLICA_LEARNER};
    v->result = RESULT_NODE_CHANGE;
    v->change = NODE_CHANGE_ADD;
    v->node = command->number;
    if (c->peering == NULL) {
        return refuse(v, REASON_CHANGE_REFUSED, NULL);
    }
    if (n && !n->is_voter && span_equal(n->address, command->note)) {
        return 0; /* asked before: under way */
    }
    if (n || has_address(view, command->note)) {
        return refuse(v, REASON_NODE_EXISTS, NULL);
    }
    bool was_member = false;
    int r = ledger_is_cordoned(c->ledger, command->number, &was_member);
    if (r || was_member) {
        return r ? err_fold(r) : refuse(v, REASON_NODE_REMOVED, NULL);
    }
    if (view->nodes_count == REPLICA_MEMBERS_MAX) {
        return refuse(v, REASON_FIELD_INVALID, "node");
    }
    r = refuse_second_change(view, command->number, arena, v);
    if (r || v->reason != REASON_OK || command->validate_only) {
        return err_trace(r);
    }
    CHECK(command->note.len < sizeof member.address);
    memcpy(member.address, command->note.ptr, command->note.len);
    r = change_verdict(replica_add(c->replica, &member), v);
    v->reason = v->reason == REASON_VOTER_NEEDED ? REASON_NODE_EXISTS : v->reason;
    return err_trace(r);
}

static size_t voters_of(const struct cluster_view *view)
{
    size_t count = 0;
    for (size_t i = 0; i < view->nodes_count; i++) {
        count += view->nodes[i].is_voter;
    }
    return count;
}

static int remove_node(const struct cluster *c, const struct command *command,
                       const struct cluster_view *view, struct arena *arena, struct verdict *v)
{
    const struct cluster_node_view *n = cluster_view_node(view, command->number);
    v->result = RESULT_NODE_CHANGE;
    v->change = NODE_CHANGE_REMOVE;
    v->node = command->number;
    v->is_done = !command->validate_only;
    if (n == NULL) {
        return err_trace(refuse_unknown(view, arena, v));
    }
    if (n->is_voter && voters_of(view) <= 2) {
        return refuse(v, REASON_VOTER_NEEDED, NULL);
    }
    if (n->id == view->leader) {
        return refuse(v, REASON_NODE_LEADS, NULL);
    }
    int r = refuse_second_change(view, n->id, arena, v);
    if (r || v->reason != REASON_OK || command->validate_only) {
        return err_trace(r);
    }
    return err_trace(change_verdict(replica_remove(c->replica, n->id), v));
}

static bool is_ready(const struct cluster_node_view *n)
{
    return n->is_voter && !n->is_self && n->state == NODE_UP && n->silent_us >= 0 &&
           n->silent_us < HEARD_US && n->behind <= CLUSTER_LAG_MAX && !n->is_disk_foreign &&
           !n->repairs && n->check != STATE_DIFFERS;
}

static int transfer(const struct cluster *c, const struct command *command,
                    const struct cluster_view *view, struct arena *arena, struct verdict *v)
{
    const struct cluster_node_view *n = cluster_view_node(view, command->number);
    v->result = RESULT_SHARD;
    v->cluster = view;
    if (n == NULL) {
        return err_trace(refuse_unknown(view, arena, v));
    }
    if (n->id == view->leader) {
        return 0; /* it does: the same command again tells so */
    }
    if (!is_ready(n)) {
        return refuse(v, REASON_NODE_NOT_READY, NULL);
    }
    if (command->validate_only) {
        return 0;
    }
    int r = replica_transfer(c->replica, n->id);
    return r == REPLICA_E_MEMBER ? refuse(v, REASON_NODE_NOT_READY, NULL)
                                 : err_trace(change_verdict(r, v));
}

/* The one that is to lead instead: ready, and furthest. */
static const struct cluster_node_view *successor(const struct cluster_view *view)
{
    const struct cluster_node_view *best = NULL;
    for (size_t i = 0; i < view->nodes_count; i++) {
        const struct cluster_node_view *n = &view->nodes[i];
        if (is_ready(n) && (best == NULL || n->match_index > best->match_index)) {
            best = n;
        }
    }
    return best;
}

static int drain(const struct cluster *c, const struct command *command,
                 const struct cluster_view *view, struct arena *arena, struct verdict *v)
{
    const struct cluster_node_view *n = cluster_view_node(view, command->number);
    const struct cluster_node_view *next = successor(view);
    v->result = RESULT_NODE_CHANGE;
    v->change = NODE_CHANGE_DRAIN;
    v->node = command->number;
    if (n == NULL) {
        return err_trace(refuse_unknown(view, arena, v));
    }
    if (n->id != view->leader) {
        v->is_done = true;
        return 0;
    }
    if (voters_of(view) == 1) {
        return refuse(v, REASON_VOTER_NEEDED, NULL);
    }
    if (next == NULL) {
        return refuse(v, REASON_NODE_NOT_READY, NULL);
    }
    return command->validate_only
               ? 0
               : err_trace(change_verdict(replica_transfer(c->replica, next->id), v));
}

/* How far it is: nothing is remembered but the members and who leads, which say it all. */
static int operation(const struct command *command, const struct cluster_view *view,
                     struct arena *arena, struct verdict *v)
{
    const struct cluster_node_view *n = cluster_view_node(view, command->number);
    v->result = RESULT_NODE_CHANGE;
    v->change = (enum node_change)command->version;
    v->node = command->number;
    switch (v->change) {
    case NODE_CHANGE_ADD:
        v->is_done = n && n->is_voter;
        return n ? 0 : err_trace(refuse_unknown(view, arena, v));
    case NODE_CHANGE_REMOVE:
        v->is_done = n == NULL;
        return 0;
    case NODE_CHANGE_DRAIN:
        v->is_done = n && n->id != view->leader;
        return n ? 0 : err_trace(refuse_unknown(view, arena, v));
    }
    return err_origin(-EINVAL);
}

/* -- what only reads --------------------------------------------------------------------------- */

/* The page behind a token, which is the number of the last node that was shown. */
static int page(struct cluster_view *view, const struct command *command, struct arena *arena,
                struct verdict *v)
{
    uint64_t after = 0;
    for (size_t i = 0; i < command->page_token.len; i++) {
        uint8_t digit = (uint8_t)(command->page_token.ptr[i] - '0');
        if (digit > 9 || command->page_token.len > 18) {
            return refuse(v, REASON_PAGE_TOKEN_INVALID, NULL);
        }
        after = after * 10 + digit;
    }
    while (view->nodes_count > 0 && view->nodes[0].id <= after) {
        view->nodes++;
        view->nodes_count--;
    }
    if (view->nodes_count > command->page_size) {
        char *text = arena_alloc(arena, 24);
        if (text == NULL) {
            return err_origin(-ENOMEM);
        }
        view->nodes_count = command->page_size;
        int n = snprintf(text, 24, "%llu",
                         (unsigned long long)view->nodes[view->nodes_count - 1].id);
        view->next_page_token = (struct span){(const uint8_t *)text, (size_t)n};
    }
    return 0;
}

static int show(const struct command *command, struct cluster_view *view, struct arena *arena,
                struct verdict *v)
{
    char hex[2 * sizeof view->cluster_id + 1];
    for (size_t i = 0; i < sizeof view->cluster_id; i++) {
        snprintf(hex + 2 * i, 3, "%02x", view->cluster_id[i]);
    }
    if (command->note.len && !span_equal(command->note, span_of(hex))) {
        return refuse(v, REASON_CLUSTER_UNKNOWN, NULL);
    }
    v->result = RESULT_CLUSTER;
    return err_trace(cluster_problems(view, arena));
}

/* Who looks after the house may look; who changes it is an operator. */
static bool may_ask(const struct command *command)
{
    uint32_t roles = command_is_snapshot(command->kind) || command->kind == COMMAND_GET_OPERATION
                         ? ROLE_OPERATOR | ROLE_VIEWER | ROLE_AUDITOR
                         : ROLE_OPERATOR;
    return (command->roles & roles) != 0;
}

int cluster_answer(const struct cluster *c, const struct command *command, struct arena *arena,
                   struct verdict *ret_verdict)
{
    struct cluster_view *view = arena_alloc(arena, sizeof *view);
    struct verdict v = {.reason = REASON_OK, .cluster = view};
    if (!may_ask(command)) {
        *ret_verdict = (struct verdict){.reason = REASON_ROLE_MISSING};
        return 0;
    }
    int r = view ? cluster_view(c, arena, view) : err_origin(-ENOMEM);
    if (r) {
        return err_trace(r);
    }
    switch (command->kind) {
    case COMMAND_GET_CLUSTER:
        r = show(command, view, arena, &v);
        break;
    case COMMAND_LIST_NODES:
        v.result = RESULT_NODES;
        r = page(view, command, arena, &v);
        break;
    case COMMAND_LIST_SHARDS:
        v.result = RESULT_SHARDS;
        r = command->page_token.len ? refuse(&v, REASON_PAGE_TOKEN_INVALID, NULL) : 0;
        break;
    case COMMAND_ADD_NODE:
        r = add(c, command, view, arena, &v);
        break;
    case COMMAND_REMOVE_NODE:
        r = remove_node(c, command, view, arena, &v);
        break;
    case COMMAND_GET_OPERATION:
        r = operation(command, view, arena, &v);
        break;
    case COMMAND_DRAIN_NODE:
        r = drain(c, command, view, arena, &v);
        break;
    default:
        CHECK(command->kind == COMMAND_TRANSFER_LEADER);
        r = transfer(c, command, view, arena, &v);
        break;
    }
    *ret_verdict = v;
    return err_trace(r);
}

int cluster_marked(const struct cluster *c, uint64_t node, struct arena *arena,
                   struct verdict *ret_verdict)
{
    struct cluster_view *view = arena_alloc(arena, sizeof *view);
    int r = view ? cluster_view(c, arena, view) : err_origin(-ENOMEM);
    ret_verdict->result = RESULT_NODE;
    ret_verdict->cluster = view;
    ret_verdict->node = node;
    return err_trace(r);
}

/* A leader that is cordoned goes when somebody else can lead. */
static int leave(const struct cluster *c, struct arena *arena)
{
    bool is_cordoned = false;
    struct cluster_view view;
    int r = ledger_is_cordoned(c->ledger, c->id, &is_cordoned);
    if (r || !is_cordoned) {
        return err_fold(r);
    }
    r = cluster_view(c, arena, &view);
    const struct cluster_node_view *next = r ? NULL : successor(&view);
    int said = next ? replica_transfer(c->replica, next->id) : 0;
    return r ? err_trace(r) : said < 0 ? err_fold(said) : 0;
}

int cluster_turn(const struct cluster *c, struct arena *arena)
{
    struct replica_member members[REPLICA_MEMBERS_MAX];
    if (!replica_is_ready(c->replica)) {
        return 0;
    }
    int left = leave(c, arena);
    if (left) {
        return err_trace(left);
    }
    size_t count = replica_members(c->replica, members);
    for (size_t i = 0; i < count; i++) {
        uint64_t match = replica_match(c->replica, members[i].id);
        if (members[i].role == REPLICA_LEARNER && match > 0 &&
            match + CAUGHT_UP >= replica_committed(c->replica)) {
            int r = replica_promote(c->replica, members[i].id);
            return r < 0 ? err_trace(r) : 0; /* one change at a time: the next one later */
        }
    }
    return 0;
}
