/* SPDX-License-Identifier: MIT */
/* Directories of a store: making them durable, locking them.  All return 0 or < 0. */
#ifndef FAIRSLOT_STORE_FOLDER_H
#define FAIRSLOT_STORE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FOLDER_PATH_MAX 4096 /* bytes with the end */

/* a and b in a row; -ENAMETOOLONG. */
int folder_join(char ret_path[FOLDER_PATH_MAX], const char *a, const char *b);
bool folder_exists(const char *path);
/* Makes `path` and what is missing above it, 0700, each entry synced. */
int folder_make(const char *path);
/* fsync of the directory itself. */
int folder_sync(const char *path);
int folder_sync_parent(const char *path);
/* Writes a small file whole or not at all: beside it, fsync, rename, fsync of the directory. */
int folder_write(const char *dir, const char *name, const void *bytes, size_t len);
/* Reads it, at most `room` bytes; *ret_len 0 when there is none. */
int folder_read(const char *dir, const char *name, void *bytes, size_t room, size_t *ret_len);
/* Removes an environment's directory that was never finished.  Fine when there is none. */
int folder_remove_env(const char *path);
/* Removes the environments' directories `name` and `name`.NUMBER in `path`, but not `keep`.  What
 * an operator moved aside has another name. */
int folder_remove_others(const char *path, const char *name, const char *keep);
/* The directories name.N in `path` with the `max` highest N, in no order; all others of that name
 * are removed, as by folder_remove_env(). */
int folder_keep_newest(const char *path, const char *name, uint64_t *ret_numbers, size_t max,
                       size_t *ret_count);
/* Takes `path`/lock for this open descriptor; the kernel gives it back however the process ends.
 * 0, FOLDER_E_LOCKED, or < 0. */
enum { FOLDER_E_LOCKED = 1 };
int folder_lock(const char *path, int *ret_fd);

#endif
