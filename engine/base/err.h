/* SPDX-License-Identifier: MIT */
/* The error law (after dbus-broker).  Every function that can fail returns int:
 *   0    done
 *   < 0  fatal -errno: never matched, only passed up through err_trace()
 *   > 0  a verdict of that function group: its caller must handle or translate it.
 * err_origin() starts a trail of breadcrumbs, err_trace() adds the frame, err_fold() turns a
 * verdict that nobody planned for into a fatal error.  No cost on success.  The trail is per
 * thread and holds the newest ERR_TRAIL_MAX crumbs; a shell prints it once with err_print(). */
#ifndef FAIRSLOT_BASE_ERR_H
#define FAIRSLOT_BASE_ERR_H

#include <stdio.h>

#define ERR_TRAIL_MAX 16

int err_crumb(int r, const char *file, int line, const char *function, int is_origin);

#define err_origin(r) err_crumb((r), __FILE__, __LINE__, __func__, 1)
#define err_trace(r)  err_trace_at((r), __FILE__, __LINE__, __func__)
/* A verdict (> 0) becomes -ENOTRECOVERABLE; 0 and fatal errors pass. */
#define err_fold(r)   err_fold_at((r), __FILE__, __LINE__, __func__)

/* Functions, so that `r` is evaluated once: it is often a call. */
static inline int err_trace_at(int r, const char *file, int line, const char *function)
{
    return r ? err_crumb(r, file, line, function, 0) : 0;
}

static inline int err_fold_at(int r, const char *file, int line, const char *function)
{
    return r > 0 ? err_crumb(-131, file, line, function, 1)
                 : err_trace_at(r, file, line, function);
}

/* Writes the calling thread's trail to `out` and clears it. */
void err_print(FILE *out);

#endif
