/* SPDX-License-Identifier: MIT */
/* Options by one table a verb: parsing, checking and "did you mean" from the same rows.
 *   word -> "--": positional from here | "-x..." or "--x...": looked up | else positional
 * Owns nothing.  Fails by telling the person and returning OPTIONS_E_USAGE; nothing is half done
 * then, because no verb has begun.  --help anywhere before "--" wins over every mistake.
 * Not taken: getopt_long(), which reorders argv, keeps global state, accepts abbreviations (a new
 * option would change what an old script means) and cannot suggest the option that was meant. */
#include "ctl/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/guess.h"
#include "ctl/client.h"
#include "ctl/talk.h"
#include "ctl/value.h"

const char *options_verb_name(const struct verb *verb)
{
    static char name[64];
    snprintf(name, sizeof(name), "fairslot %s%s%s", verb->noun, verb->name ? " " : "",
             verb->name ? verb->name : "");
    return name;
}

static int options_usage(const struct verb *verb)
{
    talk_next("%s --help", options_verb_name(verb));
    return OPTIONS_E_USAGE;
}

int options_exit(int parsed)
{
    CHECK(parsed != 0);
    return parsed == OPTIONS_E_HELP ? VERB_OK : VERB_USAGE;
}

int options_wrong(const struct verb *verb, const char *name, const char *value, const char *right)
{
    talk_error("--%s %s: %s", name, value, right);
    options_usage(verb);
    return VERB_USAGE;
}

static bool options_wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return argc == 1 && strcmp(argv[0], "help") == 0;
}

static const struct options_spec *options_find(const struct options_spec *specs, const char *word,
                                               size_t len)
{
    for (const struct options_spec *s = specs; s->name; s++) {
        if (strlen(s->name) == len && memcmp(s->name, word, len) == 0) {
            return s;
        }
    }
    return NULL;
}

static int options_unknown(const struct verb *verb, const struct options_spec *specs,
                           const char *word)
{
    struct guess g;
    char bare[32];
    snprintf(bare, sizeof(bare), "%.*s", (int)strcspn(word, "="), word);
    const char *typed = bare + strspn(bare, "-");
    guess_init(&g, typed);
    for (const struct options_spec *s = specs; s->name; s++) {
        guess_offer(&g, s->name);
    }
    if (g.best) {
        talk_error("unknown option %s: did you mean --%s?", bare, g.best);
    } else {
        talk_error("unknown option %s", bare);
    }
    return options_usage(verb);
}

/* One option at argv[*at]; moves *at to its last word. */
static int options_one(const struct verb *verb, const struct options_spec *specs, int argc,
                       char **argv, int *at)
{
    const char *word = argv[*at], *value = NULL;
    const struct options_spec *found = NULL;
    if (word[1] == '-') {
        size_t len = strcspn(word + 2, "=");
        found = options_find(specs, word + 2, len);
        value = word[2 + len] == '=' ? word + 3 + len : NULL;
    } else {
        for (const struct options_spec *s = specs; s->name && !found; s++) {
            found = s->letter == word[1] ? s : NULL;
        }
        value = word[2] ? word + 2 : NULL;
    }
    if (!found) {
        return options_unknown(verb, specs, word);
    }
    if (found->flag && value) {
        talk_error("--%s takes no value", found->name);
        return options_usage(verb);
    }
    if (found->flag) {
        *found->flag = true;
        return 0;
    }
    if (!value && *at + 1 == argc) {
        talk_error("--%s needs a value", found->name);
        return options_usage(verb);
    }
    value = value ? value : argv[++*at];
    if (!found->many) {
        *found->text = value;
        return 0;
    }
    if (found->many->count == OPTIONS_MANY_MAX) {
        talk_error("--%s stands here more than %d times", found->name, OPTIONS_MANY_MAX);
        return options_usage(verb);
    }
    found->many->at[found->many->count++] = value;
    return 0;
}

static int options_count(const struct verb *verb, const struct options_rule *rule,
                         const struct options_words *words)
{
    if (words->count < rule->words_min) {
        talk_error("%s needs %s", options_verb_name(verb), rule->words_name);
        return options_usage(verb);
    }
    return 0;
}

int options_parse(const struct verb *verb, const struct options_rule *rule, int argc, char **argv,
                  struct options_words *ret_words)
{
    CHECK(rule->words_max <= OPTIONS_WORDS_MAX);
    bool positional_only = false;
    ret_words->count = 0;
    if (options_wants_help(argc, argv)) {
        fputs(verb->help, stdout);
        return OPTIONS_E_HELP;
    }
    for (int i = 0; i < argc; i++) {
        if (!positional_only && strcmp(argv[i], "--") == 0) {
            positional_only = true;
            continue;
        }
        if (!positional_only && argv[i][0] == '-' && argv[i][1]) {
            int r = options_one(verb, rule->specs, argc, argv, &i);
            if (r != 0) {
                return r;
            }
            continue;
        }
        if (ret_words->count == rule->words_max) {
            talk_error("%s does not take the word '%s'", options_verb_name(verb), argv[i]);
            return options_usage(verb);
        }
        ret_words->at[ret_words->count++] = argv[i];
    }
    return options_count(verb, rule, ret_words);
}

/* A variable that is set to nothing is not set. */
static const char *options_env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

void options_call_init(struct options_call *call)
{
    const char *target = options_env("FAIRSLOT_TARGET");
    call->target = target ? target : "127.0.0.1:17700";
    call->token_file = options_env("FAIRSLOT_TOKEN_FILE");
    call->ca = options_env("FAIRSLOT_CA");
    call->certificate = options_env("FAIRSLOT_CERT");
    call->key = options_env("FAIRSLOT_KEY");
    call->output = "table";
}

int options_call_check(const struct verb *verb, const struct options_call *call)
{
    char host[VALUE_HOST_MAX + 1];
    int port;
    bool is_tls;
    if (!client_target(call->target, host, &port, &is_tls) || port == 0) {
        return options_wrong(verb, "target", call->target, "write HOST:PORT, as 127.0.0.1:17700, "
                             "or https://HOST:PORT");
    }
    if (!call->certificate != !call->key) {
        return options_wrong(verb, call->key ? "key" : "cert",
                             call->key ? call->key : call->certificate,
                             "--cert and --key go together");
    }
    if (strcmp(call->output, "table") != 0 && strcmp(call->output, "json") != 0) {
        return options_wrong(verb, "output", call->output, "table or json");
    }
    return VERB_OK;
}

bool options_json(const struct options_call *call)
{
    return strcmp(call->output, "json") == 0;
}
