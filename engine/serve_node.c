/* SPDX-License-Identifier: MIT */
/* A node as the configuration has it.
 * Owns nothing.  happy path: the signing key (made where none is configured), its place among
 * peers, the room on its disk, then node_start().
 * Fails with a sentence and a next step: 1 failed, 2 usage, 3 the directory cannot be used. */
#include "serve_node.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/err.h"
#include "base/log.h"
#include "ctl/keyfile.h"
#include "ctl/signkey.h"
#include "ctl/talk.h"
#include "rpc/rpc.h"
#include "serve_peers.h"

#define NODE_TEXT 512

void serve_node_warn_mode(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && (st.st_mode & 077)) {
        log_event(LOG_FILE_OPEN_TO_OTHERS, NULL, "%s can be read by others: chmod 600", path);
    }
}

/* Little room is no reason not to start (reads, confirm and cancel work), but it must be said: the
 * first refusal would be a client's. */
static void warn_room(const char *dir, uint64_t reserve)
{
    struct statvfs disk;
    if (statvfs(dir, &disk) < 0) {
        return;
    }
    uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (free_bytes < reserve) {
        log_event(LOG_DISK_LOW, LOG_FIELDS(LOG_NUMBER("free_bytes", free_bytes)),
                  "only %llu MiB are free on the disk of %s and %llu MiB are kept in reserve: %s "
                  "refused (STORAGE_FULL) until there is room",
                  (unsigned long long)(free_bytes >> 20), dir, (unsigned long long)(reserve >> 20),
                  free_bytes < reserve / 4 ? "everything that writes is"
                                           : "new pools, slots and holds are");
    }
}

bool serve_node_may_listen(const struct config *config)
{
    return config->shard_insecure || config->inside_authority[0] != '\0';
}

int serve_node_secure(const struct serve_config *sc, const struct verb *verb)
{
    const struct config *c = sc->now;
    char text[NODE_TEXT] = "";
    const struct rpc_secure_files files = {c->inside_authority, c->inside_certificate,
                                           c->inside_key, c->inside_name};
    bool any = files.authority[0] || files.certificate[0] || files.key[0];
    if (!any) {
        return VERB_OK;
    }
    if (!files.authority[0] || !files.certificate[0] || !files.key[0]) {
        return serve_config_wrong(sc, verb, "inside.authority", files.authority,
                                  "inside.authority, inside.certificate and inside.key go "
                                  "together");
    }
    serve_node_warn_mode(files.key);
    int r = RPC_E_CERTIFICATE;
    if (signkey_matches(files.certificate, files.key)) {
        r = signkey_belongs(files.certificate, files.authority, files.name, text)
                ? rpc_secure(&files, text) : RPC_E_CERTIFICATE;
    } else {
        snprintf(text, sizeof text, "%s and %s are no certificate with its private key",
                 files.certificate, files.key);
    }
    if (r == 0) {
        return VERB_OK;
    }
    talk_error("%s", text[0] ? text : "TLS inside the house cannot be set up");
    talk_next("fairslot config explain inside");
    return VERB_FAILED;
}

int serve_node_start(const struct serve_config *sc, const struct verb *verb, const char *url,
                     struct node **ret_node)
{
    const struct config *c = sc->now;
    const char *data = c->data_folder;
    char text[NODE_TEXT] = "", dir[KEYFILE_PATH_MAX], own[KEYFILE_PATH_MAX];
    if (!keyfile_path(dir, data, "shard")) {
        talk_error("the path %s is too long", data);
        return VERB_FAILED;
    }
    const char *signing = c->shard_signing_key;
    if (!signing[0]) {
        if (!keyfile_path(own, data, "release.key") || signkey_ensure(own) < 0) {
            talk_error("cannot make the signing key %s/release.key", data);
            talk_next("correct the owner and mode of the data directory");
            return VERB_FAILED;
        }
        signing = own;
    }
    serve_node_warn_mode(signing);
    struct serve_peers peers;
    struct node_options options = {.data_dir = dir, .listen_url = url,
                                   .program = FAIRSLOT_VERSION,
                                   .signing_key = signing,
                                   .state_map_bytes = (size_t)c->shard_state_map,
                                   .log_map_bytes = (size_t)c->shard_log_map,
                                   .warm_bytes = (size_t)c->shard_warm_memory,
                                   .log_keep_entries = (uint64_t)c->shard_log_keep,
                                   .lag_alarm_entries = (uint64_t)c->shard_lag_alarm,
                                   .election_ms = (uint32_t)c->shard_election_timeout,
                                   .disk_reserve_bytes = (uint64_t)c->shard_disk_reserve,
                                   .scarce_reads = c->shard_scarce_reads,
                                   .scarce_burst = c->shard_scarce_burst,
                                   .ticket_burst = c->shard_ticket_burst,
                                   .slow_round_us = c->shard_slow_round * 1000,
                                   .scrub_interval_us = c->shard_scrub_interval
                                                            ? c->shard_scrub_interval * 1000
                                                            : -1};
    warn_room(data, (uint64_t)c->shard_disk_reserve);
    int r = serve_peers_fill(&peers, sc, verb, &options);
    if (r != VERB_OK) {
        return r;
    }
    r = node_start(&options, ret_node, text);
    if (r == 0) {
        return VERB_OK;
    }
    if (r < 0 && !text[0]) {
        talk_error("the shard cannot start in %s: %s", dir, strerror(-r));
        talk_next(r == -ENOSPC ? "make room on its disk, and start it again"
                               : "correct what is there: its kind, owner and mode");
    } else {
        talk_error("%s", text[0] ? text : "the shard cannot start");
    }
    if (r == NODE_E_ADDRESS) {
        talk_next("choose another port with --listen tcp://HOST:PORT (0: any free one)");
    }
    if (r < 0) {
        err_print(stderr);
    }
    bool is_condition = r == NODE_E_STORE || r == NODE_E_VERSION || r == NODE_E_KEY;
    return is_condition ? VERB_PRECONDITION : VERB_FAILED;
}
