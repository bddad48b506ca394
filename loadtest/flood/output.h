/* SPDX-License-Identifier: MIT */
/* Where reports go: a file, or stdout ("-", or the option without a value). */
#ifndef FAIRSLOT_FLOOD_OUTPUT_H
#define FAIRSLOT_FLOOD_OUTPUT_H

#include "flood/report.h"

struct output {
    const char *path; /* NULL: not wanted */
    bool is_stdout;
};

void output_init(struct output *o, const char *path);
/* Before hours of work: could it be written?  0 or VERB_USAGE (told).  NULL and "-" can. */
int output_check(const char *path);
/* NULL: it cannot be written (told). */
FILE *output_open(const struct output *o);
/* 0 or VERB_FAILED (told): not everything was written. */
int output_close(const struct output *o, FILE *out);
/* Options that may stand without a value (--json, --csv, --hgrm) get "-".  Returns how many words
 * `ret_args` has; what does not fit `max` is left to the option parser to refuse. */
int output_words(int argc, char **argv, char **ret_args, size_t max);
/* kind: "page", "json", "csv", "hgrm". */
int output_write(const char *path, const char *kind, struct report *const *runs, size_t count);

#endif
