/* SPDX-License-Identifier: MIT */
/* What the verbs that stay are told: their words, --config and --set as one configuration. */
#ifndef FAIRSLOT_SERVE_CONFIG_H
#define FAIRSLOT_SERVE_CONFIG_H

#include "config/config.h"
#include "ctl/options.h"
#include "verb.h"

#define SERVE_CONFIG_LIST 4096 /* bytes of an option's values in one text */

/* The words of serve, gateway and shard; which of them apply differs.  Borrowed from argv. */
struct serve_words {
    const char *file;         /* --config */
    struct options_many sets; /* --set */
    const char *data, *listen, *jwks, *issuer, *audience, *tenant_key;
    struct options_many shards; /* --shard */
    char shards_list[SERVE_CONFIG_LIST]; /* the same, as the key wants it */
    const char *state_map, *log_map; /* MiB */
    const char *id, *join, *peers_listen;
    struct options_many peers; /* --peer */
    char peers_list[SERVE_CONFIG_LIST];  /* the same */
    char state_map_size[32], log_map_size[32]; /* the same, as the keys want them */
    bool dev;                 /* --dev */
    bool insecure;            /* --insecure */
};

enum { SERVE_CONFIG_FLAGS = 14 };

/* Where a running server's configuration comes from, so that it can be read again. */
struct serve_config {
    struct serve_words words;
    struct config_flag flags[SERVE_CONFIG_FLAGS];
    struct config_source source;
    struct config *start;  /* what it began with: its texts are borrowed all the time */
    struct config *before; /* what held before `now`, which a loop may still be reading; or NULL */
    void (*tell)(void *user, const char *line); /* who hears of mistakes; NULL: the terminal */
    struct config *now;    /* what holds; at first `start` */
    size_t changed;        /* keys that the last reload applied */
    bool has_other_issuers; /* the last reload changed an [issuer NAME] */
};

/* Reads the words and everything they name.  VERB_OK; else told, and `ret_exit` is the exit code;
 * serve_config_close() either way. */
bool serve_config_open(struct serve_config *sc, const struct verb *verb, int argc, char **argv,
                       int *ret_exit);
void serve_config_close(struct serve_config *sc);

/* Tells that a value is wrong, by where it came from; returns VERB_USAGE. */
int serve_config_wrong(const struct serve_config *sc, const struct verb *verb, const char *name,
                       const char *value, const char *why);

/* SIGHUP: reads everything again.  True: sc->now is new, and what needs a restart was logged.
 * Else the log says what is wrong, and everything stays as it was. */
bool serve_config_reload(struct serve_config *sc);

/* What the log takes from a configuration. */
void serve_config_log(const struct config *config);

#endif
