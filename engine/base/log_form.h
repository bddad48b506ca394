/* SPDX-License-Identifier: MIT */
/* A log line in its three forms.  Pure: text in, bytes out.  For log.c and its tests. */
#ifndef FAIRSLOT_BASE_LOG_FORM_H
#define FAIRSLOT_BASE_LOG_FORM_H

#include "base/log.h"
#include "base/types.h"

#define LOG_FORM_BYTES   4096        /* of a line, with its end: what a pipe takes in one piece */
#define LOG_FORM_MESSAGE 1024        /* of a message; more is cut */
#define LOG_FORM_FIELD   256         /* of a field's text; more is cut */

struct log_form {
    const char *level;  /* "warn" */
    const char *name;   /* "SHARD_AWAY" */
    const char *message;
    const struct log_field *fields; /* or NULL */
    int64_t time_us;    /* wall clock */
    int64_t dropped;    /* lines of this event that were not written before it */
    int number;         /* of the event */
    int priority;       /* syslog's: 3 to 7 */
};

/* Bytes written to `out` (LOG_FORM_BYTES), never more; no 0 at the end.  Control characters are
 * escaped and what is no UTF-8 is replaced, so a line stays one line whatever is in it. */
size_t log_form_text(const struct log_form *form, char *out);
size_t log_form_json(const struct log_form *form, char *out);
/* As a datagram of the journal's native protocol. */
size_t log_form_journal(const struct log_form *form, char *out);

#endif
