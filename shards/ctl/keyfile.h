/* SPDX-License-Identifier: MIT */
/* Small files that hold secrets or must never be seen half-written.  Blocking; any thread. */
#ifndef FAIRSLOT_CTL_KEYFILE_H
#define FAIRSLOT_CTL_KEYFILE_H

#include "base/types.h"

#define KEYFILE_PATH_MAX 4096 /* bytes of a path, with its end */

/* Joins with '/'; false when it does not fit KEYFILE_PATH_MAX. */
bool keyfile_path(char *out, const char *dir, const char *name);

/* Makes `dir` and its missing parents, each with mode 0700; one that exists is left as it is. */
int keyfile_make_dir(const char *dir);

/* Replaces `path` by `bytes` in one step: readers see the old file or the new one, whole, also
 * after a crash.  0 or < 0. */
int keyfile_replace(const char *path, struct span bytes, unsigned mode);

/* As keyfile_replace(), but one who came first wins: KEYFILE_E_EXISTS, and nothing is changed. */
enum { KEYFILE_E_EXISTS = 1, KEYFILE_E_MISSING = 2, KEYFILE_E_LARGE = 3 };
int keyfile_create(const char *path, struct span bytes, unsigned mode);

/* The whole file, with a 0 behind it, to be freed with free().
 * 0, KEYFILE_E_MISSING, KEYFILE_E_LARGE (over `max` bytes), or < 0. */
int keyfile_read(const char *path, size_t max, char **ret_bytes, size_t *ret_len);

#endif
