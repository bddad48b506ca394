/* SPDX-License-Identifier: MIT */
/* A verb of the command line: "fairslot NOUN [NAME] ...".  Rooms offer tables of these, main.c
 * finds the one that was typed and prints help from the same table. */
#ifndef FAIRSLOT_VERB_H
#define FAIRSLOT_VERB_H

/* Exit codes of every verb. */
enum verb_exit {
    VERB_OK = 0,
    VERB_FAILED = 1,
    VERB_USAGE = 2,
    VERB_PRECONDITION = 3,
    VERB_UNREACHABLE = 4,
    VERB_DENIED = 5,
};

struct verb {
    const char *noun;    /* "pool" */
    const char *name;    /* "create"; NULL: the noun alone is the verb ("serve") */
    const char *summary; /* one line, for the list */
    const char *help;    /* usage line, every option with unit and default, and an example */
    /* argv[0] is the first word after the verb.  Returns enum verb_exit. */
    int (*run)(const struct verb *verb, int argc, char **argv);
};

#endif
