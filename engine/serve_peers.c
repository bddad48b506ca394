/* SPDX-License-Identifier: MIT */
/* A replica among others, as the command line and the configuration say it.
 *   shard.id, shard.peers (ID=URL each, our own too), or shard.join (the cluster's id)
 * Owns nothing.  happy path: nothing of it is given, the shard is alone; or all first members are,
 * the same on every node, and the first start of each makes the cluster; or a cluster's id is, and
 * the node waits with its empty directory until an operator adds it.
 * Fails: VERB_USAGE with the key, where it came from, and what to write. */
#include "serve_peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/talk.h"
#include "serve_check.h"
#include "serve_node.h"

static int wrong(const struct serve_config *sc, const struct verb *verb, const char *text,
                 const char *why)
{
    return serve_config_wrong(sc, verb, "shard.peers", text, why);
}

/* A URL that peers may dial: loopback, or --insecure. */
static int check_url(const struct serve_config *sc, const struct verb *verb, const char *name,
                     const char *url)
{
    struct serve_address address = {.name = name, .text = url,
                                    .insecure = serve_node_may_listen(sc->now)};
    if (strncmp(url, "tcp://", 6) != 0 || strlen(url) >= 128) {
        return serve_config_wrong(sc, verb, name, url, "write tcp://HOST:PORT");
    }
    return serve_check_address(sc, verb, &address);
}

static int read_peer(struct serve_peers *peers, const struct serve_config *sc,
                     const struct verb *verb, const char *text)
{
    char *end, *cut = peers->texts[peers->count];
    struct node_member *m = &peers->members[peers->count];
    snprintf(cut, sizeof peers->texts[0], "%s", text);
    unsigned long long id = strtoull(cut, &end, 10);
    if (cut[0] < '1' || cut[0] > '9' || *end != '=' || id > INT64_MAX) {
        return wrong(sc, verb, text, "write ID=URL, as 1=tcp://10.0.0.1:17703, with an ID above 0");
    }
    *m = (struct node_member){.id = id, .address = end + 1};
    for (size_t i = 0; i < peers->count; i++) {
        if (peers->members[i].id == m->id || !strcmp(peers->members[i].address, m->address)) {
            return wrong(sc, verb, text, "another peer has that ID or URL");
        }
    }
    peers->count++;
    return check_url(sc, verb, "shard.peers", m->address);
}

static int by_id(const void *a, const void *b)
{
    const struct node_member *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static bool read_cluster(const char *text, uint8_t ret_id[16])
{
    if (strlen(text) != 32 || strspn(text, "0123456789abcdef") != 32) {
        return false;
    }
    for (size_t i = 0; i < 16; i++) {
        char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};
        ret_id[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return true;
}

static int check_together(const struct serve_peers *peers, const struct serve_config *sc,
                          const struct verb *verb)
{
    const struct config *c = sc->now;
    bool joins = c->shard_join[0] != '\0', is_in = false;
    for (size_t i = 0; i < peers->count; i++) {
        is_in = is_in || peers->members[i].id == (uint64_t)c->shard_id;
    }
    if (c->shard_id == 0) {
        return serve_config_wrong(sc, verb, "shard.id", "0",
                                  "needed with peers: which of them this node is");
    }
    if (joins == (peers->count > 0)) {
        return serve_config_wrong(sc, verb, joins ? "shard.join" : "shard.peers", "",
                                  "give either all first members (--peer for each), or the id of "
                                  "the cluster to join (--join)");
    }
    if (!joins && (!is_in || peers->count < 2)) {
        return wrong(sc, verb, "", is_in ? "a cluster begins with two members at least, three are "
                                           "usual; leave --id and --peer away for a shard alone"
                                         : "our own ID and URL must be among them");
    }
    if (joins && !c->shard_peers_listen[0]) {
        return serve_config_wrong(sc, verb, "shard.peers_listen", "",
                                  "needed with shard.join: where peers connect");
    }
    if (!c->shard_signing_key[0]) {
        return serve_config_wrong(sc, verb, "shard.signing_key", "",
                                  "needed with peers: all replicas sign with one key; make it with "
                                  "fairslot release key FILE");
    }
    return VERB_OK;
}

int serve_peers_fill(struct serve_peers *peers, const struct serve_config *sc,
                     const struct verb *verb, struct node_options *options)
{
    const struct config *c = sc->now;
    int r = VERB_OK;
    peers->count = 0;
    if (c->shard_id == 0 && c->shard_peers.count == 0 && !c->shard_join[0]) {
        return VERB_OK;
    }
    for (size_t i = 0; i < c->shard_peers.count && r == VERB_OK; i++) {
        r = read_peer(peers, sc, verb, c->shard_peers.at[i]);
    }
    /* The cluster's id and its first entry are made of them: the same in whichever order. */
    qsort(peers->members, peers->count, sizeof peers->members[0], by_id);
    r = r == VERB_OK ? check_together(peers, sc, verb) : r;
    if (r == VERB_OK && c->shard_peers_listen[0]) {
        r = check_url(sc, verb, "shard.peers_listen", c->shard_peers_listen);
        options->peers_url = c->shard_peers_listen;
    }
    if (r == VERB_OK && c->shard_join[0] && !read_cluster(c->shard_join, options->cluster_id)) {
        r = serve_config_wrong(sc, verb, "shard.join", c->shard_join,
                               "write the 32 hex digits that fairslot cluster status shows");
    }
    options->address = c->shard_peers_address[0] ? c->shard_peers_address : NULL;
    options->door = c->shard_address[0] ? c->shard_address : NULL;
    options->id = (uint64_t)c->shard_id;
    options->members = peers->members;
    options->members_count = peers->count;
    options->joins = c->shard_join[0] != '\0';
    return r;
}
