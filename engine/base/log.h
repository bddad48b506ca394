/* SPDX-License-Identifier: MIT */
/* Log lines of the shells, to stderr.  Any thread; one write() a line, so lines never mix.
 * Never a token, a key or a subject: pseudonyms only.  Library rooms do not log.
 * Every line has an event of the catalogue (log_events.h says how to add one) and may have fields.
 * Written as the journal's fields when stderr is the journal, as text on a terminal, else as JSON
 * lines: {"time":..., "level":..., "event":"FS-2101", "name":..., "message":..., FIELD:...}. */
#ifndef FAIRSLOT_BASE_LOG_H
#define FAIRSLOT_BASE_LOG_H

#include <stdint.h>
#include <stdio.h>

#include "base/log_events.h"

#define LOG_INTERVAL_S 10 /* a burst of an event may come in each of these */

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JSON, LOG_FORMAT_JOURNAL };
enum log_event {
#define LOG_EVENT_ENUM(name, number, level, burst, text) LOG_##name,
    LOG_EVENTS(LOG_EVENT_ENUM)
    LOG_EVENT_COUNT
};

/* One field; the list ends with key NULL. */
struct log_field {
    const char *key;  /* [a-z_]+ */
    const char *text; /* NULL: it is a number */
    int64_t number;
};
#define LOG_TEXT(k, t)   {.key = (k), .text = (t)}
#define LOG_NUMBER(k, n) {.key = (k), .number = (int64_t)(n)}
#define LOG_FIELDS(...)  (const struct log_field[]){__VA_ARGS__, {.key = NULL}}

/* Lines above `level` are dropped.  Default: LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);
void log_set_format(enum log_format format);
/* Where the journal listens; for tests.  Borrowed for ever. */
void log_set_journal(const char *socket_path);

/* `fields` may be NULL. */
void log_event(enum log_event event, const struct log_field *fields, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A line for each event, as docs/events.md has them. */
void log_describe(FILE *out);

/* What has no event of its own yet. */
#define log_error(...) log_event(LOG_OTHER_ERROR, NULL, __VA_ARGS__)
#define log_warn(...)  log_event(LOG_OTHER_WARN, NULL, __VA_ARGS__)
#define log_info(...)  log_event(LOG_OTHER_INFO, NULL, __VA_ARGS__)
#define log_debug(...) log_event(LOG_OTHER_DEBUG, NULL, __VA_ARGS__)

#endif
