/* SPDX-License-Identifier: MIT */
/* From a directory to two open environments that belong together, or a refusal that says why. */
#ifndef FAIRSLOT_STORE_OPENING_H
#define FAIRSLOT_STORE_OPENING_H

#include "store/folder.h"
#include "store/logenv.h"
#include "store/stateenv.h"
#include "store/store.h"

#define OPENING_TEXT_MAX 200 /* bytes of a refusal with its end */

/* Embedded in the store; opening_end() it whatever came out. */
struct opening {
    int lock_fd; /* -1: none */
    struct logenv *log;
    struct stateenv *state;
    uint8_t cluster_id[16];
    char state_path[FOLDER_PATH_MAX]; /* the directory that the log environment names */
    bool is_blank; /* the named state is damaged, and an empty one stands in for it */
    char lost_path[FOLDER_PATH_MAX]; /* is_blank: the directory that the log names */
    bool is_log_repaired; /* the log was damaged, and is a new one: the text says so */
    bool is_ahead; /* the state is a received one, and the log has not caught up with it */
};

/* The directory of state `number`: "state", "state.1", ...  0 or < 0. */
int opening_state_path(const char *dir, uint64_t number, char ret_path[FOLDER_PATH_MAX]);
/* Options with their defaults filled in.  Verdicts and `ret_text` as store_open(). */
int opening_run(const struct store_options *options, struct opening *o, char *ret_text);
/* An empty state instead of the one that is named, which is closed and left where it is.  0 or
 * < 0. */
int opening_blank(const struct store_options *options, struct opening *o);
/* Is the state ahead of its log?  0 or < 0. */
int opening_note_ahead(struct opening *o);
/* STORE_E_DAMAGED with its text. */
int opening_refuse_damage(const char *dir, const char *what, char *ret_text);
/* `clean_dir`: the directory when all went well and what lies in it may be summed up; else NULL. */
void opening_end(struct opening *o, const char *clean_dir);

#endif
