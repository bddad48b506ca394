/* SPDX-License-Identifier: MIT */
/* The front door: one binary, a table of verbs.
 *   fairslot NOUN [NAME] ... -> the row of the rooms' tables -> its run(), whose exit code is ours,
 *   but 1 when stdout could not be written; call options may stand before NOUN or NAME
 *   help, --help at every level and "did you mean" are read off the same rows
 * Owns nothing.  Unknown words are told with the nearest known one and end with 2. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/check.h"
#include "ctl/ctl.h"
#include "base/guess.h"
#include "ctl/render.h"
#include "ctl/talk.h"
#include "flood/flood.h"
#include "serve.h"
#include "simulate/simulate.h"

static const struct verb *const main_tables[] = {serve_verbs, ctl_verbs, simulate_verbs,
                                                 flood_verbs};

/* The next row behind `verb` over all tables; NULL begins and ends. */
static const struct verb *main_next(const struct verb *verb)
{
    static size_t table; /* of the row given out last */
    if (!verb) {
        table = 0;
        verb = main_tables[0];
    } else {
        verb++;
    }
    while (!verb->noun && ++table < ARRAY_COUNT(main_tables)) {
        verb = main_tables[table];
    }
    return verb->noun ? verb : NULL;
}

static bool main_is_help(const char *word)
{
    return strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* Rows of one noun, or of all. */
static void main_list(FILE *out, const char *noun)
{
    for (const struct verb *v = main_next(NULL); v; v = main_next(v)) {
        if (!noun || strcmp(v->noun, noun) == 0) {
            char words[48];
            snprintf(words, sizeof(words), "%s%s%s", v->noun, v->name ? " " : "",
                     v->name ? v->name : "");
            fprintf(out, "  %-22s %s\n", words, v->summary);
        }
    }
}

static int main_overview(FILE *out)
{
    fputs("fairslot " FAIRSLOT_VERSION
          ": a slot reservation engine in which being fast buys nothing\n"
          "usage: fairslot NOUN [NAME] [options]\n", out);
    main_list(out, NULL);
    fputs("every verb explains itself with --help.  example:\n"
          "  fairslot serve --dev --data demo &\n"
          "  fairslot pool create passports --token-file demo/operator.token\n", out);
    return out == stdout ? VERB_OK : VERB_USAGE;
}

static int main_noun_help(FILE *out, const char *noun)
{
    fprintf(out, "usage: fairslot %s NAME [options]\n", noun);
    main_list(out, noun);
    fprintf(out, "example:\n  fairslot %s", noun);
    for (const struct verb *v = main_next(NULL); v; v = main_next(v)) {
        if (strcmp(v->noun, noun) == 0) {
            fprintf(out, " %s --help\n", v->name);
            break;
        }
    }
    return out == stdout ? VERB_OK : VERB_USAGE;
}

/* The row for these words, one of both words first: "shard leader" is not "shard".  NULL: none.
 * *ret_words is how many it took. */
static const struct verb *main_find(int argc, char **argv, int *ret_words)
{
    const struct verb *alone = NULL;
    for (const struct verb *v = main_next(NULL); v; v = main_next(v)) {
        if (strcmp(v->noun, argv[0]) != 0) {
            continue;
        }
        if (v->name && argc > 1 && strcmp(v->name, argv[1]) == 0) {
            *ret_words = 2;
            return v;
        }
        alone = v->name ? alone : v;
    }
    *ret_words = 1;
    return alone;
}

static bool main_is_noun(const char *word)
{
    for (const struct verb *v = main_next(NULL); v; v = main_next(v)) {
        if (strcmp(v->noun, word) == 0) {
            return true;
        }
    }
    return false;
}

/* No row fits: say which word is wrong, and what it might have been. */
static int main_unknown(int argc, char **argv)
{
    bool known = main_is_noun(argv[0]);
    const char *word = known ? argv[1] : argv[0];
    if (known && (argc == 1 || main_is_help(word))) {
        return main_noun_help(argc == 1 ? stderr : stdout, argv[0]);
    }
    if (known && word[0] == '-') {
        talk_error("%s stands where the verb's name should: options go behind it", word);
        talk_next("fairslot %s help", argv[0]);
        return VERB_USAGE;
    }
    struct guess g;
    guess_init(&g, word);
    for (const struct verb *v = main_next(NULL); v; v = main_next(v)) {
        if (!known) {
            guess_offer(&g, v->noun);
        } else if (strcmp(v->noun, argv[0]) == 0) {
            guess_offer(&g, v->name);
        }
    }
    const char *noun = known ? argv[0] : "", *blank = known ? " " : "";
    if (g.best) {
        talk_error("unknown verb '%s%s%s': did you mean '%s%s%s'?", noun, blank, word, noun, blank,
                   g.best);
    } else {
        talk_error("unknown verb '%s%s%s'", noun, blank, word);
    }
    talk_next("fairslot %s%shelp", noun, blank);
    return VERB_USAGE;
}

/* --help wins over every mistake, whatever the verb's own parser thinks of it. */
static bool main_asks_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

/* As many descriptors as we may have: connections are what a peak is made of. */
static void main_raise_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* What verbs take that call a server; may stand before the verb, too. */
static bool main_is_call_option(const char *word, bool *ret_has_value_behind)
{
    static const char *const names[] = {"--target", "--token-file", "--output"};
    if (strncmp(word, "-o", 2) == 0) {
        *ret_has_value_behind = word[2] == '\0';
        return true;
    }
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        size_t len = strlen(names[i]);
        if (strncmp(word, names[i], len) == 0 && (word[len] == '\0' || word[len] == '=')) {
            *ret_has_value_behind = word[len] == '\0';
            return true;
        }
    }
    return false;
}

/* "-o json pool list" and "pool -o json list" become "pool list -o json". */
static void main_words_first(int argc, char **argv)
{
    int words = 0;
    for (int i = 0; i < argc && words < 2;) {
        bool pair = false;
        if (argv[i][0] != '-') {
            char *word = argv[i];
            memmove(argv + words + 1, argv + words, (size_t)(i - words) * sizeof(*argv));
            argv[words++] = word;
            i++;
        } else if (main_is_call_option(argv[i], &pair)) {
            i += pair ? 2 : 1;
        } else {
            return;
        }
    }
}

/* A standard stream that was closed must not become a socket or a database: what is opened in its
 * place fails where the stream would be used. */
static void main_keep_streams(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        }
    }
}

/* The exit code of what was typed. */
static int main_run(int argc, char **argv)
{
    int words;
    if (argc == 0) {
        return main_overview(stderr);
    }
    if (strcmp(argv[0], "--version") == 0) {
        puts("fairslot " FAIRSLOT_VERSION);
        return VERB_OK;
    }
    bool wants_help = main_is_help(argv[0]);
    if (wants_help && argc == 1) {
        return main_overview(stdout);
    }
    if (wants_help) {
        argc--;
        argv++;
    }
    main_words_first(argc, argv);
    if (argv[0][0] == '-') {
        talk_error("%s stands before the verb: options go behind it", argv[0]);
        talk_next("fairslot NOUN NAME %s ... (fairslot --help lists the verbs)", argv[0]);
        return VERB_USAGE;
    }
    const struct verb *verb = main_find(argc, argv, &words);
    if (!verb) {
        return wants_help && argc == 1 && main_is_noun(argv[0]) ? main_noun_help(stdout, argv[0])
                                                                : main_unknown(argc, argv);
    }
    argc -= words;
    argv += words;
    if (wants_help || main_asks_help(argc, argv)) {
        fputs(verb->help, stdout);
        return VERB_OK;
    }
    main_raise_files();
    return verb->run(verb, argc, argv);
}

int main(int argc, char **argv)
{
    main_keep_streams();
    int code = main_run(argc - 1, argv + 1);
    /* What nobody got was not done; a verb that noticed has told already. */
    return code == VERB_OK ? render_flush() : code;
}
