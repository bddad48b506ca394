/* SPDX-License-Identifier: MIT */
/* The words of serve, gateway and shard, and the configuration they stand over.
 *   argv -> words -> flags (key by key) -> config_load(--config FILE, --set, flags)
 * Owns the loaded configuration; one that a reload replaced is kept until the end, because its
 * texts may be borrowed (a reload is rare, and a configuration small).
 * Fails by telling every mistake with its place and how to look further: exit code 2.
 * Invariant: a reload that finds any mistake changes nothing. */
#include "serve_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "ctl/talk.h"
#include "ctl/value.h"
#include "serve_check.h"

#define SERVE_CONFIG_MIB_MIN 16         /* less has no room for one full round and its reserve */
#define SERVE_CONFIG_MIB_MAX (16 << 20) /* 16 TiB, of the 128 that a process can address */

static int serve_config_parse(const struct verb *verb, int argc, char **argv,
                              struct serve_words *w)
{
    struct options_words words;
    bool is_serve = strcmp(verb->noun, "serve") == 0, is_shard = strcmp(verb->noun, "shard") == 0;
    const struct options_spec all[] = {
        {"data", 0, &w->data},         {"listen", 0, &w->listen},
        {"insecure", 0, .flag = &w->insecure},
        {"config", 0, &w->file},       {"set", 0, .many = &w->sets},
        {"jwks", 0, &w->jwks},         {"issuer", 0, &w->issuer},
        {"audience", 0, &w->audience}, {"tenant-key", 0, &w->tenant_key},
        {"state-map-mib", 0, &w->state_map},
        {"log-map-mib", 0, &w->log_map},
        {"dev", 0, .flag = &w->dev},   {NULL},
    };
    const struct options_spec gateway[] = {
        all[0], all[1], all[2], all[3], all[4], all[5], all[6], all[7], all[8],
        {"shard", 0, .many = &w->shards}, {NULL},
    };
    const struct options_spec shard[] = {
        all[0], all[1], all[2], all[3], all[4], all[9], all[10],
        {"id", 0, &w->id}, {"peer", 0, .many = &w->peers}, {"join", 0, &w->join},
        {"peers-listen", 0, &w->peers_listen}, {NULL},
    };
    const struct options_rule rule = {is_serve ? all : is_shard ? shard : gateway, 0, 0, ""};
    return options_parse(verb, &rule, argc, argv, &words);
}

/* MiB as a size with its unit; `text` NULL: NULL.  False: told. */
static bool serve_config_mib(const struct verb *verb, const char *name, const char *text,
                             char *out, const char **ret_size)
{
    long mib;
    *ret_size = NULL;
    if (!text) {
        return true;
    }
    if (!value_count(text, SERVE_CONFIG_MIB_MIN, SERVE_CONFIG_MIB_MAX, &mib)) {
        options_wrong(verb, name, text, "write 16 to 16777216, in MiB");
        return false;
    }
    snprintf(out, 32, "%ldMiB", mib);
    *ret_size = out;
    return true;
}

/* The issuer's options go together. */
static bool serve_config_issuer(const struct verb *verb, const struct serve_words *w)
{
    const char *const names[] = {"jwks", "issuer", "audience", "tenant-key"};
    const char *const values[] = {w->jwks, w->issuer, w->audience, w->tenant_key};
    bool any = w->jwks || w->issuer || w->audience;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (any && !values[i] && !(i == 3 && w->file)) {
            talk_error("--%s is needed", names[i]);
            talk_next("name the issuer with --jwks, --issuer, --audience and --tenant-key, or use "
                      "the development issuer: %s",
                      strcmp(verb->noun, "serve") == 0 ? "--dev" : "--data DIR");
            return false;
        }
        if (any && w->dev) {
            options_wrong(verb, names[i], values[i],
                          "not together with the development issuer");
            return false;
        }
    }
    return true;
}

/* Values of an option, by commas as the file has them; NULL: it was not given.  False: told. */
static bool serve_config_list(const struct verb *verb, const char *name,
                              const struct options_many *many, char out[SERVE_CONFIG_LIST],
                              const char **ret_list)
{
    size_t len = 0;
    *ret_list = many->count ? out : NULL;
    for (size_t i = 0; i < many->count; i++) {
        int n = snprintf(out + len, SERVE_CONFIG_LIST - len, "%s%s", i ? "," : "", many->at[i]);
        len += (size_t)n;
        if (len >= SERVE_CONFIG_LIST) {
            options_wrong(verb, name, many->at[i], "this is too much for one option");
            return false;
        }
    }
    return true;
}

/* Each option as the key that it stands for. */
static bool serve_config_flags(struct serve_config *sc, const struct verb *verb)
{
    struct serve_words *w = &sc->words;
    const char *state_map, *log_map, *shards, *peers;
    bool is_shard = strcmp(verb->noun, "shard") == 0;
    if (!serve_config_issuer(verb, w) ||
        !serve_config_mib(verb, "state-map-mib", w->state_map, w->state_map_size, &state_map) ||
        !serve_config_mib(verb, "log-map-mib", w->log_map, w->log_map_size, &log_map) ||
        !serve_config_list(verb, "shard", &w->shards, w->shards_list, &shards) ||
        !serve_config_list(verb, "peer", &w->peers, w->peers_list, &peers)) {
        return false;
    }
    const struct config_flag flags[SERVE_CONFIG_FLAGS] = {
        {"--data", "data.folder", w->data},
        {"--listen", is_shard ? "shard.listen" : "gateway.listen", w->listen},
        {"--insecure", is_shard ? "shard.insecure" : "gateway.insecure",
         w->insecure ? "yes" : NULL},
        {"--shard", "gateway.shard", shards},
        {"--jwks", "issuer.options.jwks_file", w->jwks},
        {"--issuer", "issuer.options.url", w->issuer},
        {"--audience", "issuer.options.audience", w->audience},
        {"--tenant-key", "auth.tenant_key", w->tenant_key},
        {"--state-map-mib", "shard.state_map", state_map},
        {"--log-map-mib", "shard.log_map", log_map},
        {"--id", "shard.id", w->id},
        {"--peer", "shard.peers", peers},
        {"--join", "shard.join", w->join},
        {"--peers-listen", "shard.peers_listen", w->peers_listen},
    };
    memcpy(sc->flags, flags, sizeof(flags));
    return true;
}

static void serve_config_tell(void *user, const char *line)
{
    talk_error("%s", line);
}

bool serve_config_open(struct serve_config *sc, const struct verb *verb, int argc, char **argv,
                       int *ret_exit)
{
    struct config_report report = {.tell = serve_config_tell};
    *sc = (struct serve_config){0};
    int r = serve_config_parse(verb, argc, argv, &sc->words);
    if (r != 0) {
        *ret_exit = options_exit(r);
        return false;
    }
    *ret_exit = VERB_USAGE;
    if (!serve_config_flags(sc, verb)) {
        return false;
    }
    sc->source = (struct config_source){
        .file = sc->words.file,
        .sets = sc->words.sets.at,
        .sets_count = sc->words.sets.count,
        .flags = sc->flags,
        .flags_count = SERVE_CONFIG_FLAGS,
        .who = strcmp(verb->noun, "serve") == 0   ? CONFIG_ALL
               : strcmp(verb->noun, "shard") == 0 ? CONFIG_SHARD
                                                  : CONFIG_GATEWAY,
    };
    r = config_load(&sc->source, &report, &sc->now);
    sc->start = sc->now;
    if (r == CONFIG_E_WRONG) {
        talk_next(sc->words.file ? "fairslot config check %s" : "%s --help",
                  sc->words.file ? sc->words.file : options_verb_name(verb));
    } else if (r < 0) {
        err_print(stderr);
        *ret_exit = VERB_FAILED;
    }
    if (r == 0) {
        serve_config_log(sc->now);
    }
    return r == 0;
}

void serve_config_close(struct serve_config *sc)
{
    if (sc->before != sc->start) {
        config_free(sc->before);
    }
    if (sc->now != sc->start) {
        config_free(sc->now);
    }
    config_free(sc->start);
    *sc = (struct serve_config){0};
}

/* -- reload ------------------------------------------------------------------------------------ */

static void serve_config_log_wrong(void *user, const char *line)
{
    log_event(LOG_CONFIG_WRONG, NULL, "configuration: %s", line);
}

static void serve_config_changed(void *user, const char *name, bool reloads)
{
    struct serve_config *sc = user;
    sc->changed += reloads;
    sc->has_other_issuers = sc->has_other_issuers || strncmp(name, "issuer.", 7) == 0;
    if (!reloads) {
        log_event(LOG_CONFIG_NEEDS_RESTART, LOG_FIELDS(LOG_TEXT("key", name)),
                  "configuration: %s changed: it needs a restart", name);
    }
}

bool serve_config_reload(struct serve_config *sc)
{
    struct config_report report = {.tell = serve_config_log_wrong};
    struct config *fresh = NULL;
    int r = config_load(&sc->source, &report, &fresh);
    const struct serve_config probe = {.now = fresh, .tell = serve_config_log_wrong};
    size_t wrong = r == 0 ? serve_check_all(&probe, NULL) : 0;
    if (r == 0 && !wrong && !fresh->issuers_count != !sc->now->issuers_count) {
        serve_config_log_wrong(NULL, "the first [issuer NAME] came, or the last went: the data "
                               "directory's own issuer is another way to start, restart for it");
        wrong++;
    }
    if (wrong) {
        config_free(fresh);
    }
    METRIC_ADD1(config_reloads_total, verdict, r || wrong ? 1 : 0, 1);
    if (r || wrong) {
        log_event(LOG_CONFIG_WRONG, NULL, "configuration: nothing was changed; run fairslot config "
                  "check %s", sc->source.file ? sc->source.file : "");
        return false;
    }
    sc->changed = 0;
    sc->has_other_issuers = false;
    config_compare(sc->now, fresh, serve_config_changed, sc);
    if (sc->before && sc->before != sc->start) {
        config_free(sc->before);
    }
    sc->before = sc->now;
    sc->now = fresh;
    serve_config_log(fresh);
    log_event(LOG_CONFIG_READ, LOG_FIELDS(LOG_NUMBER("changed", sc->changed)),
              "configuration: read again, %zu %s changed", sc->changed,
              sc->changed == 1 ? "key" : "keys");
    return true;
}

void serve_config_log(const struct config *config)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    static const char *const formats[] = {"auto", "text", "json", "journal"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(config->log_level, levels[i]) == 0) {
            log_set_level((enum log_level)i);
        }
        if (strcmp(config->log_format, formats[i]) == 0) {
            log_set_format((enum log_format)i);
        }
    }
}

int serve_config_wrong(const struct serve_config *sc, const struct verb *verb, const char *name,
                       const char *value, const char *why)
{
    char origin[512];
    config_origin(sc->now, name, origin, sizeof(origin));
    if (sc->tell) {
        char line[1200];
        snprintf(line, sizeof(line), "%s: %s %.300s: %s", origin, name, value, why);
        sc->tell(NULL, line);
        return VERB_USAGE;
    }
    talk_error("%s: %s %s: %s", origin, name, value, why);
    talk_next("%s --help, or fairslot config explain %s", options_verb_name(verb), name);
    return VERB_USAGE;
}
