/* SPDX-License-Identifier: MIT */
/* The words behind a verb: options and positional words, one table a verb.
 *   --name VALUE, --name=VALUE, -o VALUE, -oVALUE, --flag, "--" ends the options
 * Everything returned is borrowed from argv or from the environment. */
#ifndef FAIRSLOT_CTL_OPTIONS_H
#define FAIRSLOT_CTL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "verb.h"

/* Values of an option that may be given several times, in order. */
#define OPTIONS_MANY_MAX 64
struct options_many {
    const char *at[OPTIONS_MANY_MAX];
    size_t count;
};

/* One option; exactly one of text, flag and many is set.  A table ends with name NULL. */
struct options_spec {
    const char *name;  /* without the dashes */
    char letter;       /* 0: no short form */
    const char **text; /* where its value goes; untouched when not given */
    bool *flag;        /* where true goes */
    struct options_many *many; /* where one more value goes */
};

/* Positional words, in their order. */
#define OPTIONS_WORDS_MAX 256 /* slots to be blocked */
struct options_words {
    const char *at[OPTIONS_WORDS_MAX];
    size_t count;
};

enum { OPTIONS_E_HELP = 1, OPTIONS_E_USAGE = 2 };

/* Fills what the specs point at, and `ret_words` (exactly min to max words).
 * 0; OPTIONS_E_HELP (the help is on stdout); OPTIONS_E_USAGE (told, with what to do next). */
struct options_rule {
    const struct options_spec *specs;
    size_t words_min, words_max;
    const char *words_name; /* for the message: "ID" */
};
int options_parse(const struct verb *verb, const struct options_rule *rule, int argc, char **argv,
                  struct options_words *ret_words);
/* The exit code of a verb whose options_parse() was not 0. */
int options_exit(int parsed);
/* Says that an option's value is wrong and what would be right; returns VERB_USAGE. */
int options_wrong(const struct verb *verb, const char *name, const char *value, const char *right);

/* What every verb that calls a server takes. */
struct options_call {
    const char *target;      /* HOST:PORT or https://HOST:PORT */
    const char *token_file;  /* NULL: none */
    const char *ca;          /* PEM files, NULL: none */
    const char *certificate;
    const char *key;
    const char *output;      /* "table" or "json" */
};
#define OPTIONS_SERVER(call)                                                                      \
    {"target", 0, &(call)->target, NULL}, {"token-file", 0, &(call)->token_file, NULL},           \
    {"ca", 0, &(call)->ca, NULL}, {"cert", 0, &(call)->certificate, NULL},                        \
    {                                                                                             \
        "key", 0, &(call)->key, NULL                                                              \
    }
#define OPTIONS_CALL(call)                                                                        \
    OPTIONS_SERVER(call),                                                                         \
    {                                                                                             \
        "output", 'o', &(call)->output, NULL                                                      \
    }
#define OPTIONS_SERVER_HELP                                                                       \
    "  --target HOST:PORT  server; https://HOST:PORT: over TLS (FAIRSLOT_TARGET, else\n"          \
    "                      127.0.0.1:17700)\n"                                                    \
    "  --token-file FILE   file with a bearer token (FAIRSLOT_TOKEN_FILE)\n"                      \
    "  --ca FILE           trust this authority's servers, and use TLS (FAIRSLOT_CA, else whom\n" \
    "                      the system trusts)\n"                                                  \
    "  --cert FILE         client certificate for an admin listener (FAIRSLOT_CERT)\n"            \
    "  --key FILE          its private key (FAIRSLOT_KEY)\n"
#define OPTIONS_CALL_HELP                                                                         \
    OPTIONS_SERVER_HELP                                                                           \
    "  -o table|json       how the answer is printed (table)\n"
/* From the environment, or the defaults. */
void options_call_init(struct options_call *call);
/* Checks target and output; 0 or VERB_USAGE (told). */
int options_call_check(const struct verb *verb, const struct options_call *call);
bool options_json(const struct options_call *call);

/* "fairslot pool create" for messages; a static buffer. */
const char *options_verb_name(const struct verb *verb);

#endif
