/* SPDX-License-Identifier: MIT */
/* fairslot cluster status|problems, node list|show: what the replicas are.
 *   options -> session -> GetCluster -> one view, of one moment -> table, lines, or JSON
 * Every verb shows parts of the same answer, so that what they say fits together.  --watch asks
 * again each second and goes on through a time without an answer.
 * Owns one session and one answer; fails by telling. */
#include "ctl/cmd_cluster.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/limits.h"
#include "ctl/grid.h"
#include "ctl/refusal.h"
#include "ctl/render.h"
#include "ctl/session.h"
#include "ctl/talk.h"
#include "ctl/value.h"



#define WATCH_HELP                                                                                \
    "  --watch             again every second, until it is stopped\n"                             \
    "  --limit N           with --watch: end after N times (no end)\n"

const char cmd_cluster_status_help[] =
    "usage: fairslot cluster status [options]\n"
    "The shard's replicas as the one that answers sees them: who leads, who votes, how far each\n"
    "is behind, and what is wrong.  Answered also when nobody leads.\n"
    WATCH_HELP OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot cluster status --token-file demo/operator.token\n";

const char cmd_cluster_problems_help[] =
    "usage: fairslot cluster problems [options]\n"
    "What is wrong, in words, with what to do next; exit code 1 while there is something.\n"
    WATCH_HELP OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot cluster problems --token-file demo/operator.token\n";

const char cmd_node_list_help[] =
    "usage: fairslot node list [options]\n"
    "Every node, a line each.\n"
    WATCH_HELP OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot node list -o json --token-file demo/operator.token\n";

const char cmd_node_show_help[] =
    "usage: fairslot node show NODE [options]\n"
    "One node, a line a field.\n"
    "  NODE                its number, or nodes/NUMBER\n"
    WATCH_HELP OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot node show 1 --token-file demo/operator.token\n";

int cmd_cluster_try(struct session *session, Fairslot__Admin__V1__Cluster **ret_cluster,
                    struct refusal *ret_refusal)
{
    Fairslot__Admin__V1__GetClusterRequest request = FAIRSLOT__ADMIN__V1__GET_CLUSTER_REQUEST__INIT;
    const struct session_call get = {CMD_CLUSTER_ADMIN "GetCluster", &request.base,
                                     &fairslot__admin__v1__cluster__descriptor};
    return session_try(session, &get, ret_cluster, ret_refusal);
}

int cmd_cluster_get(struct session *session, Fairslot__Admin__V1__Cluster **ret_cluster)
{
    struct refusal refusal;
    int r = cmd_cluster_try(session, ret_cluster, &refusal);
    return r == VERB_OK ? r : (int)refusal_tell(&refusal);
}

bool cmd_cluster_node(const char *typed, char out[CMD_NODE_MAX])
{
    const char *number = strncmp(typed, "nodes/", 6) == 0 ? typed + 6 : typed;
    size_t len = strlen(number);
    if (len == 0 || len > 18 || number[0] == '0' || strspn(number, "0123456789") != len) {
        talk_error("'%s' is no node", typed);
        talk_next("write its number, as 3 or nodes/3; see them: fairslot node list");
        return false;
    }
    snprintf(out, CMD_NODE_MAX, "nodes/%s", number);
    return true;
}

const Fairslot__Admin__V1__Node *cmd_cluster_find(const Fairslot__Admin__V1__Cluster *cluster,
                                                  const char *node)
{
    for (size_t i = 0; i < cluster->n_nodes; i++) {
        if (strcmp(cluster->nodes[i]->name, node) == 0) {
            return cluster->nodes[i];
        }
    }
    return NULL;
}

const Fairslot__Admin__V1__Replica *cmd_cluster_replica(const Fairslot__Admin__V1__Cluster *cluster,
                                                        const char *node)
{
    for (size_t i = 0; cluster->n_shards && i < cluster->shards[0]->n_members; i++) {
        if (strcmp(cluster->shards[0]->members[i]->node, node) == 0) {
            return cluster->shards[0]->members[i];
        }
    }
    return NULL;
}

/* -- words ------------------------------------------------------------------------------------- */

static const char *state_word(int state)
{
    static const char *const words[] = {"unknown", "up", "cordoned", "draining", "drained", "down"};
    return state >= 0 && (size_t)state < ARRAY_COUNT(words) ? words[state] : "unknown";
}

static const char *check_word(int check)
{
    static const char *const words[] = {"-", "same", "DIFFERS"};
    return check >= 0 && (size_t)check < ARRAY_COUNT(words) ? words[check] : "-";
}

static const char *role_word(const Fairslot__Admin__V1__Replica *r)
{
    return r == NULL ? "-" : r->leader ? "leader" : r->voter ? "voter" : "learner";
}

/* "+1.204s", or "-". */
static void clock_text(const Google__Protobuf__Duration *d, char out[32])
{
    if (d == NULL) {
        strcpy(out, "-");
        return;
    }
    int64_t ms = d->seconds * 1000 + d->nanos / 1000000;
    snprintf(out, 32, "%c%lld.%03ds", ms < 0 ? '-' : '+', llabs(ms) / 1000,
             (int)(llabs(ms) % 1000));
}

static void size_text(int64_t bytes, char out[32])
{
    if (bytes <= 0) {
        strcpy(out, "-");
    } else {
        snprintf(out, 32, "%" PRId64 " MiB", bytes >> 20);
    }
}

void cmd_cluster_progress(const Fairslot__Admin__V1__Cluster *cluster, const char *node,
                          unsigned asked, bool done)
{
    const Fairslot__Admin__V1__Replica *r = cmd_cluster_replica(cluster, node);
    char behind[32], times[32] = "";
    if (asked > 1) {
        snprintf(times, sizeof(times), ", asked %u times", asked);
    }
    if (r == NULL) {
        talk_progress(done, "%s is no member", node);
        return;
    }
    talk_progress(done, "%s: %s, %s entries behind%s", node, role_word(r),
                  talk_number((unsigned long long)r->entries_behind, behind), times);
}

/* -- what is shown ----------------------------------------------------------------------------- */

static int say_nodes(const Fairslot__Admin__V1__Cluster *c)
{
    static const char *const titles[] = {"NODE",  "STATE", "ROLE",      "BEHIND",  "APPLIED",
                                         "CLOCK", "CHECK", "DISK FREE", "VERSION", "PEERS"};
    struct grid *grid = grid_new(ARRAY_COUNT(titles), titles);
    for (size_t i = 0; grid && i < c->n_nodes; i++) {
        const Fairslot__Admin__V1__Node *n = c->nodes[i];
        const Fairslot__Admin__V1__Replica *r = cmd_cluster_replica(c, n->name);
        char behind[32] = "-", applied[32] = "-", clock[32], disk[32];
        if (r) {
            talk_number((unsigned long long)r->entries_behind, behind);
            talk_number((unsigned long long)r->applied_index, applied);
        }
        clock_text(n->clock_ahead, clock);
        size_text(n->disk_bytes_free, disk);
        const char *const cells[] = {render_last(n->name), state_word(n->state), role_word(r),
                                     behind, applied, clock, check_word(r ? r->state_check : 0),
                                     disk, n->version, n->peer_address};
        grid_row(grid, cells);
    }
    return grid_print(grid);
}

static int say_problems(const Fairslot__Admin__V1__Cluster *c)
{
    for (size_t i = 0; i < c->n_problem_list; i++) {
        printf("problem: %s\n  next: %s\n", c->problem_list[i]->text,
               c->problem_list[i]->next_step);
    }
    return render_flush();
}

static int say_status(const Fairslot__Admin__V1__Cluster *c)
{
    char time[VALUE_TIME_MAX] = "-", commit[32];
    const Fairslot__Admin__V1__Shard *s = c->n_shards ? c->shards[0] : NULL;
    if (s && s->log_time) {
        value_rfc3339(s->log_time->seconds, s->log_time->nanos, time);
    }
    printf("cluster    %s\nleader     %s\nterm       %" PRId64 "\ncommitted  %s\nlog time   %s\n"
           "seen by    %s\n\n", render_last(c->name), s && s->leader[0] ? s->leader : "none",
           s ? s->term : 0, talk_number(s ? (unsigned long long)s->commit_index : 0, commit), time,
           c->answered_by);
    int r = say_nodes(c);
    if (r == VERB_OK && c->n_problem_list) {
        puts("");
        r = say_problems(c);
    }
    return r;
}

static int say_node(const Fairslot__Admin__V1__Cluster *c, const Fairslot__Admin__V1__Node *n)
{
    const Fairslot__Admin__V1__Replica *r = cmd_cluster_replica(c, n->name);
    char clock[32], disk[32], silence[32], behind[32] = "-";
    clock_text(n->clock_ahead, clock);
    clock_text(n->silence, silence);
    size_text(n->disk_bytes_free, disk);
    if (r) {
        talk_number((unsigned long long)r->entries_behind, behind);
    }
    printf("node       %s\nstate      %s\nrole       %s\nbehind     %s\nclock      %s\n"
           "silent     %s\ncheck      %s\ndisk free  %s\nversion    %s\npeers      %s\n"
           "gateways   %s\n", n->name, state_word(n->state), role_word(r), behind, clock,
           silence[0] == '-' ? "-" : silence + 1, check_word(r ? r->state_check : 0), disk,
           n->version, n->peer_address, n->address);
    return render_flush();
}

/* -- the verbs --------------------------------------------------------------------------------- */

enum part { PART_STATUS, PART_PROBLEMS, PART_NODES, PART_NODE };

struct ask {
    const struct options_call *call;
    enum part part;
    const char *node; /* of PART_NODE */
    bool is_watch;
};

static int print_json(const struct ask *ask, json_t *value)
{
    return ask->is_watch ? render_print_line(value) : render_print_json(value);
}

static json_t *problems_json(const Fairslot__Admin__V1__Cluster *c)
{
    json_t *all = json_array();
    for (size_t i = 0; i < c->n_problem_list; i++) {
        json_array_append_new(all, render_json(&c->problem_list[i]->base));
    }
    return json_pack("{s:o}", "problems", all);
}

static json_t *nodes_json(const Fairslot__Admin__V1__Cluster *c)
{
    json_t *all = json_array();
    for (size_t i = 0; i < c->n_nodes; i++) {
        json_array_append_new(all, render_json(&c->nodes[i]->base));
    }
    return json_pack("{s:o}", "nodes", all);
}

static int show_unknown(const Fairslot__Admin__V1__Cluster *c, const char *node)
{
    talk_error("%s is no member of this cluster", node);
    talk_next("see them: fairslot node list%s", c->n_nodes == 0 ? " (there is none yet)" : "");
    return VERB_PRECONDITION;
}

static int show_part(const struct ask *ask, const Fairslot__Admin__V1__Cluster *c)
{
    bool json = options_json(ask->call);
    const Fairslot__Admin__V1__Node *n = ask->node ? cmd_cluster_find(c, ask->node) : NULL;
    int r;
    switch (ask->part) {
    case PART_STATUS:
        return json ? print_json(ask, render_json(&c->base)) : say_status(c);
    case PART_PROBLEMS:
        r = json ? print_json(ask, problems_json(c)) : say_problems(c);
        if (!json && c->n_problem_list == 0) {
            puts("no problems");
        }
        return r == VERB_OK && c->n_problem_list ? VERB_FAILED : r;
    case PART_NODES:
        return json ? print_json(ask, nodes_json(c)) : say_nodes(c);
    case PART_NODE:
        break;
    }
    if (n == NULL) {
        return show_unknown(c, ask->node);
    }
    return json ? print_json(ask, render_json(&n->base)) : say_node(c, n);
}

static int show_once(struct session *session, const struct ask *ask)
{
    Fairslot__Admin__V1__Cluster *cluster;
    int r = cmd_cluster_get(session, &cluster);
    if (r == VERB_OK) {
        r = show_part(ask, cluster);
        session_free(cluster);
    }
    return r;
}

static int show(const struct verb *verb, int argc, char **argv, enum part part)
{
    struct options_call call;
    struct options_words words;
    struct session *session;
    struct ask ask = {.call = &call, .part = part};
    const char *limit = NULL;
    char node[CMD_NODE_MAX];
    long times = 0;
    const struct options_spec specs[] = {
        {"watch", 0, NULL, &ask.is_watch}, {"limit", 0, &limit, NULL}, OPTIONS_CALL(&call), {NULL}};
    const struct options_rule rule = {specs, part == PART_NODE, part == PART_NODE,
                                      "a NODE, its number"};
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    r = options_call_check(verb, &call);
    if (r == VERB_OK && limit && !ask.is_watch) {
        r = options_wrong(verb, "limit", limit, "goes with --watch: all are shown at once");
    } else if (r == VERB_OK && limit && !value_count(limit, 1, 1000000, &times)) {
        r = options_wrong(verb, "limit", limit, "write 1 to 1000000, or leave it away");
    }
    if (r == VERB_OK && part == PART_NODE) {
        r = cmd_cluster_node(words.at[0], node) ? VERB_OK : VERB_USAGE;
        ask.node = node;
    }
    r = r == VERB_OK ? session_open(&call, &session) : r;
    if (r != VERB_OK) {
        return r;
    }
    r = show_once(session, &ask);
    for (long i = 1; ask.is_watch && (times == 0 || i < times) && r != VERB_DENIED; i++) {
        const struct timespec second = {1, 0};
        nanosleep(&second, NULL);
        if (!options_json(&call)) {
            puts("");
        }
        r = show_once(session, &ask); /* what failed was told; it may come back */
    }
    session_close(session);
    return r;
}

int cmd_cluster_status(const struct verb *verb, int argc, char **argv)
{
    return show(verb, argc, argv, PART_STATUS);
}

int cmd_cluster_problems(const struct verb *verb, int argc, char **argv)
{
    return show(verb, argc, argv, PART_PROBLEMS);
}

int cmd_node_list(const struct verb *verb, int argc, char **argv)
{
    return show(verb, argc, argv, PART_NODES);
}

int cmd_node_show(const struct verb *verb, int argc, char **argv)
{
    return show(verb, argc, argv, PART_NODE);
}
