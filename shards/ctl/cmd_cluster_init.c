/* SPDX-License-Identifier: MIT */
/* fairslot cluster init: the first members of a new cluster, as one configuration file a node.
 *   --peer ID=URL ... -> checked against each other -> OUT/node-ID.conf, OUT/release.key
 * Offline: nothing runs yet.  The files are copied to their machines; the same members on all of
 * them make the same cluster, so nobody hands an id around.
 * Fails by telling: a number or an address twice, no address, files that are there already (nothing
 * is overwritten, nothing half made is left under another cluster's name). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "config/config.h"
#include "ctl/cmd_cluster.h"
#include "ctl/keyfile.h"
#include "ctl/render.h"
#include "ctl/signkey.h"
#include "ctl/talk.h"
#include "ctl/value.h"

#define MEMBERS_MAX   15
#define INIT_TEXT_MAX 8192

const char cmd_cluster_init_help[] =
    "usage: fairslot cluster init --peer ID=URL... --out DIR [options]\n"
    "Writes a configuration file for each first member of a new cluster, and the signing key that\n"
    "they share.  Nothing is started and nothing overwritten.\n"
    "  --peer ID=URL       a member: its number, and where the others reach it, as\n"
    "                      1=tcp://10.0.0.1:17703; once for each: 2 to 15, best 3 or 5\n"
    "  --out DIR           where the files go (made when missing)\n"
    "  --data DIR          each node's data directory (/var/lib/fairslot)\n"
    "  --port N            where gateways reach each node, beside its peers' port (17701)\n"
    "Nodes of one machine get a folder in DIR and a port from N on of their own.\n"
    "  --dry-run           print the files, write nothing\n"
    "  -o table|json       how the answer is printed (table)\n"
    "example:\n"
    "  fairslot cluster init --peer 1=tcp://10.0.0.1:17703 --peer 2=tcp://10.0.0.2:17703 \\\n"
    "      --peer 3=tcp://10.0.0.3:17703 --out cluster --dry-run\n";

struct member {
    long id;
    const char *url;               /* borrowed from argv */
    char host[VALUE_HOST_MAX + 1]; /* as it stands in the URL, without brackets */
    int port;
};

struct init {
    const struct verb *verb;
    struct options_many peers;
    const char *out, *data, *port, *output;
    bool dry_run;
    struct member members[MEMBERS_MAX];
    size_t count;
};

static int init_member(const struct init *n, const char *text, struct member *ret_member)
{
    static const char right[] = "write ID=URL, as 1=tcp://10.0.0.1:17703";
    char id[20];
    size_t len = strcspn(text, "=");
    struct member *m = ret_member;
    if (len >= sizeof(id) || text[len] != '=' || strncmp(text + len + 1, "tcp://", 6) != 0) {
        return options_wrong(n->verb, "peer", text, right);
    }
    memcpy(id, text, len);
    id[len] = '\0';
    m->url = text + len + 1;
    if (!value_count(id, 1, __LONG_MAX__, &m->id) || strlen(m->url) > 127 ||
        strpbrk(m->url, ", \t\n#;") || !value_target(m->url + 6, m->host, &m->port) ||
        m->port == 0) {
        return options_wrong(n->verb, "peer", text, right);
    }
    if (value_any(m->host)) {
        return options_wrong(n->verb, "peer", text,
                             "write an address at which the others reach it");
    }
    return VERB_OK;
}

static int init_members(struct init *n)
{
    if (n->peers.count == 0 || n->peers.count > MEMBERS_MAX) {
        return options_wrong(n->verb, "peer", "ID=URL", "is needed, 2 to 15 times");
    }
    for (size_t i = 0; i < n->peers.count; i++) {
        struct member *m = &n->members[i];
        int r = init_member(n, n->peers.at[i], m);
        if (r != VERB_OK) {
            return r;
        }
        for (size_t k = 0; k < i; k++) {
            if (n->members[k].id == m->id || strcmp(n->members[k].url, m->url) == 0) {
                return options_wrong(n->verb, "peer", n->peers.at[i],
                                     n->members[k].id == m->id
                                         ? "two nodes have that number"
                                         : "two nodes have that address");
            }
        }
        n->count++;
    }
    return VERB_OK;
}

static bool init_is_neighbour(const struct member *a, const struct member *b)
{
    return strcmp(a->host, b->host) == 0;
}

/* Do several run on its machine? */
static bool init_has_neighbours(const struct init *n, const struct member *m)
{
    size_t count = 0;
    for (size_t i = 0; i < n->count; i++) {
        count += init_is_neighbour(&n->members[i], m);
    }
    return count > 1;
}

static bool init_is_peer_port(const struct init *n, const struct member *m, long port)
{
    for (size_t i = 0; i < n->count; i++) {
        if (init_is_neighbour(&n->members[i], m) && n->members[i].port == port) {
            return true;
        }
    }
    return false;
}

/* Its own among those of its machine: the n-th one from --port on that is no peers' port. */
static long init_port(const struct init *n, const struct member *m)
{
    long port = strtol(n->port, NULL, 10);
    for (const struct member *k = n->members;; k++) {
        while (init_is_peer_port(n, m, port)) {
            port++;
        }
        if (k == m) {
            return port;
        }
        port += init_is_neighbour(k, m);
    }
}

/* The file of one member; false: it does not fit. */
static bool init_text(const struct init *n, const struct member *m, char *out, size_t size)
{
    bool is_v6 = strchr(m->host, ':') != NULL;
    char own[32] = "";
    if (init_has_neighbours(n, m)) {
        snprintf(own, sizeof(own), "/node-%ld", m->id);
    }
    int w = snprintf(out, size,
                     "; node %ld of a cluster of %zu; made by fairslot cluster init\n"
                     "[data]\nfolder = %s%s\n\n[shard]\nid = %ld\n"
                     "listen = tcp://%s%s%s:%ld\n%s"
                     "signing_key = release.key\npeers = ",
                     m->id, n->count, n->data, own, m->id, is_v6 ? "[" : "", m->host,
                     is_v6 ? "]" : "", init_port(n, m),
                     value_loopback(m->host) ? "" : "insecure = yes\n");
    size_t len = w < 0 ? size : (size_t)w;
    for (size_t i = 0; i < n->count && len < size; i++) {
        len += (size_t)snprintf(out + len, size - len, "%s%ld=%s", i ? "," : "",
                                n->members[i].id, n->members[i].url);
    }
    if (len < size) {
        len += (size_t)snprintf(out + len, size - len, "\n");
    }
    return len < size;
}

static int init_failed(const char *path, int r)
{
    talk_error("cannot write %s: %s", path, r < 0 ? strerror(-r) : "it is there already");
    talk_next("choose another --out, or move what is there away");
    return r < 0 ? VERB_FAILED : VERB_PRECONDITION;
}

/* The path of a file in --out; false: too long (told). */
static bool init_path(const struct init *n, long id, char path[KEYFILE_PATH_MAX])
{
    char name[40] = "release.key";
    if (id) {
        snprintf(name, sizeof(name), "node-%ld.conf", id);
    }
    if (!keyfile_path(path, n->out, name)) {
        talk_error("the path %s is too long", n->out);
        talk_next("choose a shorter --out");
        return false;
    }
    return true;
}

/* Before anything is written: is anything of it there? */
static int init_is_clear(const struct init *n)
{
    char path[KEYFILE_PATH_MAX];
    for (size_t i = 0; i <= n->count; i++) {
        if (!init_path(n, i < n->count ? n->members[i].id : 0, path)) {
            return VERB_USAGE;
        }
        if (access(path, F_OK) == 0) {
            return init_failed(path, KEYFILE_E_EXISTS);
        }
    }
    return VERB_OK;
}

static int init_write(const struct init *n)
{
    char path[KEYFILE_PATH_MAX], text[INIT_TEXT_MAX];
    int r = keyfile_make_dir(n->out);
    if (r < 0) {
        return init_failed(n->out, r);
    }
    if (!init_path(n, 0, path)) {
        return VERB_USAGE;
    }
    r = signkey_create(path);
    for (size_t i = 0; i < n->count && r == 0; i++) {
        if (!init_path(n, n->members[i].id, path) ||
            !init_text(n, &n->members[i], text, sizeof(text))) {
            return VERB_USAGE;
        }
        r = keyfile_create(path, (struct span){(const uint8_t *)text, strlen(text)}, 0644);
    }
    return r ? init_failed(path, r) : VERB_OK;
}

/* The files, as they are or would be. */
static int init_print(const struct init *n)
{
    char path[KEYFILE_PATH_MAX], text[INIT_TEXT_MAX];
    json_t *files = json_object();
    for (size_t i = 0; i < n->count; i++) {
        if (!init_path(n, n->members[i].id, path) ||
            !init_text(n, &n->members[i], text, sizeof(text))) {
            json_decref(files);
            return VERB_USAGE;
        }
        json_object_set_new(files, path, json_string(text));
        if (strcmp(n->output, "json") != 0) {
            printf("%s%s\n%s", i && n->dry_run ? "\n" : "", path, n->dry_run ? text : "");
        }
    }
    if (strcmp(n->output, "json") == 0) {
        return render_print_json(json_pack("{s:b,s:o}", "written", !n->dry_run, "files", files));
    }
    json_decref(files);
    return render_flush();
}

static int init_check(struct init *n)
{
    char text[INIT_TEXT_MAX];
    long port;
    int r = init_members(n);
    if (r == VERB_OK && n->count < 2) {
        r = options_wrong(n->verb, "peer", n->peers.at[0],
                          "a cluster begins with two members at least; a shard alone needs none "
                          "of this");
    }
    if (r == VERB_OK && !value_count(n->port, 1, 65535, &port)) {
        r = options_wrong(n->verb, "port", n->port, "write 1 to 65535");
    }
    if (r == VERB_OK && !n->out) {
        r = options_wrong(n->verb, "out", "DIR", "is needed");
    }
    if (r == VERB_OK && strcmp(n->output, "table") != 0 && strcmp(n->output, "json") != 0) {
        r = options_wrong(n->verb, "output", n->output, "table or json");
    }
    for (size_t i = 0; i < n->count && r == VERB_OK; i++) {
        if (init_port(n, &n->members[i]) > 65535) {
            r = options_wrong(n->verb, "port", n->port, "nodes of one machine get ports from there "
                              "on, and there are none above 65535: write a lower one");
        }
    }
    if (r == VERB_OK &&
        (!n->data[0] || strpbrk(n->data, "\r\n") || config_has_comment(n->data))) {
        r = options_wrong(n->verb, "data", n->data, "write a path that a configuration file can "
                          "have: no line ends, and no ; or # behind a blank or a comma");
    }
    if (r == VERB_OK && !init_text(n, &n->members[0], text, sizeof(text))) {
        r = options_wrong(n->verb, "data", n->data, "a shorter path");
    }
    return r;
}

int cmd_cluster_init(const struct verb *verb, int argc, char **argv)
{
    struct init n = {.verb = verb, .data = "/var/lib/fairslot", .port = "17701",
                     .output = "table"};
    struct options_words words;
    const struct options_spec specs[] = {
        {"peer", 0, .many = &n.peers},  {"out", 0, &n.out},         {"data", 0, &n.data},
        {"port", 0, &n.port},           {"output", 'o', &n.output},
        {"dry-run", 0, .flag = &n.dry_run}, {NULL},
    };
    const struct options_rule rule = {specs, 0, 0, ""};
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    r = init_check(&n);
    r = r == VERB_OK ? init_is_clear(&n) : r;
    r = r == VERB_OK && !n.dry_run ? init_write(&n) : r;
    r = r == VERB_OK ? init_print(&n) : r;
    if (r == VERB_OK && n.count % 2 == 0) {
        talk_say("note: %zu nodes survive the loss of no more than %zu would", n.count,
                 n.count - 1);
    }
    if (r == VERB_OK && !n.dry_run) {
        talk_next("copy release.key and each file to its machine, and start it there: fairslot "
                  "shard --config node-ID.conf");
    }
    return r;
}
