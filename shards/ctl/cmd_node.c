/* SPDX-License-Identifier: MIT */
/* fairslot node add|remove|drain and shard leader: what an operator does to the replicas.
 *   options -> session -> one call -> what was accepted; with --watch until it is so
 *   --dry-run: the server checks everything and changes nothing; the plan is printed
 * Asking again is safe: each of these says what shall be, and one that is so already is done.
 * Owns one session; fails by telling. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "ctl/cmd_cluster.h"
#include "ctl/refusal.h"
#include "ctl/render.h"
#include "ctl/session.h"
#include "ctl/talk.h"
#include "ctl/value.h"
#include "google/longrunning/operations.pb-c.h"

#define WATCH_S_DEFAULT "10m"
#define AGAIN_US        (2 * SECOND_US) /* a hand-over that is not done by then has timed out */
#define PATIENCE_US     SECOND_US       /* for one answer while we wait */
#define CANNOT_MAX      3               /* refusals in a row until it is believed */

#define NODE_CHANGE_HELP                                                                          \
    "  --dry-run           check everything, say what would be done, change nothing\n"            \
    "  --watch             show how far it is, and wait until it is done; with -o json the\n"     \
    "                      answer is one line then\n"                                             \
    "  --timeout TIME      with --watch: give up waiting (10m).  A change of members goes on\n"    \
    "                      by itself; a hand-over is asked for again until then\n"

const char cmd_node_add_help[] =
    "usage: fairslot node add NODE --peer URL [options]\n"
    "Makes a node a member that was started with --join: it is sent the state and the log, and\n"
    "votes when it has caught up.\n"
    "  NODE                its number: 1 and up, never used before\n"
    "  --peer URL          where other nodes reach it, as tcp://10.0.0.4:17703\n"
    NODE_CHANGE_HELP OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot node add 4 --peer tcp://10.0.0.4:17703 --dry-run\n";

const char cmd_node_remove_help[] =
    "usage: fairslot node remove NODE [options]\n"
    "Makes a node a member no more.  Its number is never used again; its directory is of no use.\n"
    "Refused for the leader, and where one voter would be left of several.\n"
    "  NODE                its number, or nodes/NUMBER\n"
    NODE_CHANGE_HELP OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot node remove 3 --dry-run\n";

const char cmd_node_drain_help[] =
    "usage: fairslot node drain NODE [options]\n"
    "Hands over what the node leads, so that it can be stopped without a gap: the next leader is\n"
    "the node that is furthest.  It may be elected again later, when another one fails.\n"
    "  NODE                its number, or nodes/NUMBER\n"
    NODE_CHANGE_HELP OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot node drain 1 --watch && systemctl restart fairslot-shard\n";

const char cmd_node_cordon_help[] =
    "usage: fairslot node cordon NODE [options]\n"
    "Lets a node lead only where nobody else can, until it is uncordoned: it hands over what it\n"
    "leads.  It still votes and has everything.\n"
    "  NODE                its number, or nodes/NUMBER\n" NODE_CHANGE_HELP OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot node cordon 1 --watch\n";

const char cmd_node_uncordon_help[] =
    "usage: fairslot node uncordon NODE [options]\n"
    "Lets a cordoned node lead again.\n"
    "  NODE                its number, or nodes/NUMBER\n" NODE_CHANGE_HELP OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot node uncordon 1\n";

const char cmd_shard_leader_help[] =
    "usage: fairslot shard leader SHARD --to NODE [options]\n"
    "Hands leadership of the shard to a node.\n"
    "  SHARD               its number, or shards/NUMBER: 1\n"
    "  --to NODE           a node that votes and is not behind\n"
    NODE_CHANGE_HELP OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot shard leader 1 --to 2 --watch\n";

/* One of these verbs at work. */
struct change {
    struct options_call call;
    bool dry_run, watch;
    const char *timeout, *peer, *to;
    int64_t timeout_s;
    char node[CMD_NODE_MAX]; /* that it is about */
    bool is_hand_over;       /* nothing remembers it: it may time out */
    /* Is it so? */
    bool (*is_done)(const Fairslot__Admin__V1__Cluster *cluster, const char *node);
};

/* The words; OPTIONS_E_USAGE and the like become exit codes.  *ret_word: the positional one. */
static int change_open(const struct verb *verb, int argc, char **argv, struct change *c,
                       const char **ret_word)
{
    struct options_words words;
    bool is_add = strcmp(verb->name, "add") == 0, is_leader = strcmp(verb->name, "leader") == 0;
    const struct options_spec common[] = {
        {"dry-run", 0, .flag = &c->dry_run},
        {"watch", 0, .flag = &c->watch},
        {"timeout", 0, &c->timeout},
        OPTIONS_CALL(&c->call),
        {is_add ? "peer" : is_leader ? "to" : NULL, 0, is_add ? &c->peer : &c->to},
        {NULL},
    };
    const struct options_rule rule = {common, 1, 1, is_leader ? "a SHARD, its number"
                                                              : "a NODE, its number"};
    options_call_init(&c->call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return r;
    }
    *ret_word = words.at[0];
    r = options_call_check(verb, &c->call);
    if (r == VERB_OK && c->timeout && !c->watch) {
        r = options_wrong(verb, "timeout", c->timeout,
                          "goes with --watch: nobody waits without it");
    }
    c->timeout = c->timeout ? c->timeout : WATCH_S_DEFAULT;
    if (r == VERB_OK && !value_duration(c->timeout, &c->timeout_s)) {
        r = options_wrong(verb, "timeout", c->timeout, "write a time: 90s, 10m, 1h");
    }
    return r == VERB_OK ? 0 : OPTIONS_E_USAGE;
}

/* The same for verbs about a NODE, which c->node is then; false: *ret_exit. */
static bool change_of_node(const struct verb *verb, int argc, char **argv, struct change *c,
                           int *ret_exit)
{
    const char *word;
    int r = change_open(verb, argc, argv, c, &word);
    *ret_exit = r != 0 ? options_exit(r) : VERB_USAGE;
    return r == 0 && cmd_cluster_node(word, c->node);
}

/* One wait. */
struct wait {
    struct session *session;
    const struct change *c;
    const struct session_call *ask; /* to be repeated */
    int64_t again_us, until_us;     /* monotonic */
    unsigned asked, cannot;         /* how often; refused in a row */
    struct refusal refusal;         /* the last one, of whatever */
};

/* Asks for the hand-over again where it is time.  VERB_OK, or an exit code where it cannot be. */
static int wait_again(struct wait *w)
{
    void *answer = NULL;
    if (!w->c->is_hand_over || clock_mono_us() < w->again_us) {
        return VERB_OK;
    }
    int r = session_try(w->session, w->ask, &answer, &w->refusal);
    session_free(answer);
    w->asked++;
    w->again_us = clock_mono_us() + AGAIN_US;
    /* Who has only just begun to lead has not heard everybody yet; who leads changes meanwhile. */
    w->cannot = r == VERB_PRECONDITION ? w->cannot + 1 : 0;
    return r == VERB_OK || r == VERB_UNREACHABLE || (w->cannot > 0 && w->cannot < CANNOT_MAX)
               ? VERB_OK
               : (int)refusal_tell(&w->refusal);
}

static int wait_over(const struct wait *w)
{
    talk_error("it is not done after %s%s", w->c->timeout,
               w->refusal.reason[0] ? ", and was refused last:" : "");
    if (w->refusal.reason[0]) {
        talk_say("  %s (%s)", w->refusal.text, w->refusal.reason);
    }
    if (w->c->is_hand_over) {
        talk_say("  asked %u times", w->asked);
        talk_next("see what keeps it: fairslot cluster problems; then send the same command again");
    } else {
        talk_next("it goes on by itself; look again: fairslot cluster status");
    }
    return VERB_UNREACHABLE;
}

/* Looks until it is so, also through a time without an answer.  *ret_cluster is what is then. */
static int change_wait(struct wait *w, Fairslot__Admin__V1__Cluster **ret_cluster)
{
    const struct timespec pause = {0, 250000000};
    w->until_us = clock_mono_us() + w->c->timeout_s * SECOND_US;
    w->again_us = clock_mono_us() + AGAIN_US;
    session_set_patience(w->session, PATIENCE_US);
    for (;;) {
        Fairslot__Admin__V1__Cluster *cluster = NULL;
        w->refusal.reason[0] = '\0';
        int r = cmd_cluster_try(w->session, &cluster, &w->refusal);
        bool done = r == VERB_OK && w->c->is_done(cluster, w->c->node);
        if (r == VERB_OK) {
            cmd_cluster_progress(cluster, w->c->node, w->asked, done);
        }
        if (done) {
            *ret_cluster = cluster;
            return VERB_OK;
        }
        session_free(cluster);
        if (r != VERB_OK && r != VERB_UNREACHABLE) {
            return refusal_tell(&w->refusal);
        }
        r = wait_again(w);
        if (r != VERB_OK || clock_mono_us() > w->until_us) {
            return r != VERB_OK ? r : wait_over(w);
        }
        nanosleep(&pause, NULL);
    }
}

static int change_say(const struct change *c, const ProtobufCMessage *answer, const char *what)
{
    if (options_json(&c->call)) {
        json_t *value = render_json(answer);
        return c->watch ? render_print_line(value) : render_print_json(value);
    }
    printf("%s%s\n", c->dry_run ? "would be done: " : "", what);
    return render_flush();
}

/* What was answered, as it is now that it is done. */
static const ProtobufCMessage *change_done(ProtobufCMessage *answer,
                                           Fairslot__Admin__V1__Cluster *cluster,
                                           const struct change *c)
{
    if (answer->descriptor == &google__longrunning__operation__descriptor) {
        Google__Longrunning__Operation *operation = (Google__Longrunning__Operation *)answer;
        operation->done = true;
        return answer;
    }
    if (answer->descriptor == &fairslot__admin__v1__shard__descriptor) {
        return cluster->n_shards ? &cluster->shards[0]->base : answer;
    }
    const Fairslot__Admin__V1__Node *n = cmd_cluster_find(cluster, c->node);
    return n ? &n->base : answer;
}

/* The call, its words, and the wait; as JSON what is in the end. */
static int change_run(const struct change *c, const struct session_call *ask, const char *what)
{
    struct session *session;
    ProtobufCMessage *answer;
    int r = session_open(&c->call, &session);
    if (r != VERB_OK) {
        return r;
    }
    r = session_call(session, ask, &answer);
    if (r == VERB_OK) {
        bool waits = c->watch && !c->dry_run, is_early = !waits || !options_json(&c->call);
        Fairslot__Admin__V1__Cluster *cluster = NULL;
        r = is_early ? change_say(c, answer, what) : VERB_OK;
        struct wait wait = {.session = session, .c = c, .ask = ask, .asked = 1};
        r = r == VERB_OK && waits ? change_wait(&wait, &cluster) : r;
        r = r == VERB_OK && !is_early ? change_say(c, change_done(answer, cluster, c), what) : r;
        session_free(cluster);
        session_free(answer);
    }
    session_close(session);
    return r;
}

/* A plan of ours: is the node one, and what it is now. */
static int cmd_node_plan(const struct change *c, const char *what)
{
    struct session *session;
    Fairslot__Admin__V1__Cluster *cluster;
    int r = session_open(&c->call, &session);
    if (r != VERB_OK) {
        return r;
    }
    r = cmd_cluster_get(session, &cluster);
    if (r == VERB_OK) {
        const Fairslot__Admin__V1__Node *n = cmd_cluster_find(cluster, c->node);
        if (n) {
            r = change_say(c, &n->base, what);
        } else {
            talk_error("%s is no member of this cluster (NODE_UNKNOWN)", c->node);
            talk_next("see the nodes there are: fairslot node list");
            r = VERB_PRECONDITION;
        }
        session_free(cluster);
    }
    session_close(session);
    return r;
}

static bool is_voter(const Fairslot__Admin__V1__Cluster *cluster, const char *node)
{
    const Fairslot__Admin__V1__Replica *r = cmd_cluster_replica(cluster, node);
    return r && r->voter;
}

static bool is_gone(const Fairslot__Admin__V1__Cluster *cluster, const char *node)
{
    return cluster->n_nodes > 0 && cmd_cluster_find(cluster, node) == NULL;
}

static const char *leader_of(const Fairslot__Admin__V1__Cluster *cluster)
{
    return cluster->n_shards ? cluster->shards[0]->leader : "";
}

static bool is_leader(const Fairslot__Admin__V1__Cluster *cluster, const char *node)
{
    return strcmp(leader_of(cluster), node) == 0;
}

static bool is_drained(const Fairslot__Admin__V1__Cluster *cluster, const char *node)
{
    return leader_of(cluster)[0] && !is_leader(cluster, node);
}

int cmd_node_add(const struct verb *verb, int argc, char **argv)
{
    struct change c = {.is_done = is_voter};
    char what[256];
    int r;
    if (!change_of_node(verb, argc, argv, &c, &r)) {
        return r;
    }
    if (!c.peer) {
        return options_wrong(verb, "peer", "URL", "is needed: where other nodes reach the new one");
    }
    Fairslot__Admin__V1__AddNodeRequest request = FAIRSLOT__ADMIN__V1__ADD_NODE_REQUEST__INIT;
    long number = 0;
    if (!value_count(c.node + 6, 1, __LONG_MAX__, &number)) {
        return options_wrong(verb, "peer", c.node, "the number is too large");
    }
    char host[VALUE_HOST_MAX + 1];
    int port = 0;
    if (strncmp(c.peer, "tcp://", 6) != 0 || !value_target(c.peer + 6, host, &port) || port == 0) {
        return options_wrong(verb, "peer", c.peer, "write tcp://HOST:PORT");
    }
    if (value_any(host)) {
        return options_wrong(verb, "peer", c.peer, "write an address at which others reach it");
    }
    request.node = number;
    request.peer_address = (char *)c.peer;
    request.validate_only = c.dry_run;
    const struct session_call ask = {CMD_CLUSTER_ADMIN "AddNode", &request.base,
                                     &google__longrunning__operation__descriptor};
    snprintf(what, sizeof(what), "%s at %.150s is added: it catches up, then it votes", c.node,
             c.peer);
    return change_run(&c, &ask, what);
}

int cmd_node_remove(const struct verb *verb, int argc, char **argv)
{
    struct change c = {.is_done = is_gone};
    char what[128];
    int r;
    if (!change_of_node(verb, argc, argv, &c, &r)) {
        return r;
    }
    Fairslot__Admin__V1__RemoveNodeRequest request = FAIRSLOT__ADMIN__V1__REMOVE_NODE_REQUEST__INIT;
    request.name = c.node;
    request.validate_only = c.dry_run;
    const struct session_call ask = {CMD_CLUSTER_ADMIN "RemoveNode", &request.base,
                                     &google__longrunning__operation__descriptor};
    snprintf(what, sizeof(what), "%s is removed: stop it, its number is never used again", c.node);
    return change_run(&c, &ask, what);
}

static bool is_uncordoned(const Fairslot__Admin__V1__Cluster *cluster, const char *node)
{
    const Fairslot__Admin__V1__Node *n = cmd_cluster_find(cluster, node);
    return n && n->state == FAIRSLOT__ADMIN__V1__NODE__STATE__STATE_UP;
}

/* No --dry-run at the server: nothing moves that another verb does not bring back. */
static int cmd_node_mark(const struct verb *verb, int argc, char **argv, struct change *c)
{
    char what[128];
    bool is_cordon = strcmp(verb->name, "cordon") == 0;
    int r;
    if (!change_of_node(verb, argc, argv, c, &r)) {
        return r;
    }
    snprintf(what, sizeof(what), "%s is %s", c->node,
             is_cordon ? "cordoned: it leads only where nobody else can" : "uncordoned");
    if (c->dry_run) {
        return cmd_node_plan(c, what);
    }
    Fairslot__Admin__V1__CordonNodeRequest request = FAIRSLOT__ADMIN__V1__CORDON_NODE_REQUEST__INIT;
    request.name = c->node;
    const struct session_call ask = {is_cordon ? CMD_CLUSTER_ADMIN "CordonNode"
                                               : CMD_CLUSTER_ADMIN "UncordonNode",
                                     &request.base, &fairslot__admin__v1__node__descriptor};
    return change_run(c, &ask, what);
}

int cmd_node_cordon(const struct verb *verb, int argc, char **argv)
{
    struct change c = {.is_done = is_drained};
    return cmd_node_mark(verb, argc, argv, &c);
}

int cmd_node_uncordon(const struct verb *verb, int argc, char **argv)
{
    struct change c = {.is_done = is_uncordoned};
    return cmd_node_mark(verb, argc, argv, &c);
}

int cmd_node_drain(const struct verb *verb, int argc, char **argv)
{
    struct change c = {.is_done = is_drained, .is_hand_over = true};
    char what[128];
    int r;
    if (!change_of_node(verb, argc, argv, &c, &r)) {
        return r;
    }
    Fairslot__Admin__V1__DrainNodeRequest request = FAIRSLOT__ADMIN__V1__DRAIN_NODE_REQUEST__INIT;
    request.name = c.node;
    request.validate_only = c.dry_run;
    const struct session_call ask = {CMD_CLUSTER_ADMIN "DrainNode", &request.base,
                                     &google__longrunning__operation__descriptor};
    snprintf(what, sizeof(what), "%s hands over what it leads", c.node);
    return change_run(&c, &ask, what);
}

int cmd_shard_leader(const struct verb *verb, int argc, char **argv)
{
    struct change c = {.is_done = is_leader, .is_hand_over = true};
    const char *word;
    char shard[64], what[128];
    int r = change_open(verb, argc, argv, &c, &word);
    if (r != 0) {
        return options_exit(r);
    }
    if (!c.to) {
        return options_wrong(verb, "to", "NODE", "is needed: who is to lead");
    }
    if (!cmd_cluster_node(c.to, c.node)) {
        return VERB_USAGE;
    }
    const char *number = strncmp(word, "shards/", 7) == 0 ? word + 7 : word;
    long value = 0;
    if (!value_count(number, 1, __LONG_MAX__, &value)) {
        talk_error("'%s' is no shard", word);
        talk_next("write its number, as 1 or shards/1");
        return VERB_USAGE;
    }
    snprintf(shard, sizeof(shard), "shards/%ld", value);
    Fairslot__Admin__V1__TransferLeaderRequest request =
        FAIRSLOT__ADMIN__V1__TRANSFER_LEADER_REQUEST__INIT;
    request.name = shard;
    request.to_node = c.node;
    request.validate_only = c.dry_run;
    const struct session_call ask = {CMD_CLUSTER_ADMIN "TransferLeader", &request.base,
                                     &fairslot__admin__v1__shard__descriptor};
    snprintf(what, sizeof(what), "%s is handed to %s", shard, c.node);
    return change_run(&c, &ask, what);
}
