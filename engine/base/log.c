/* SPDX-License-Identifier: MIT */
/* Logging: which lines are written, and where to.
 *   event -> level? -> its burst? -> form (text, JSON, journal) -> one write() or one datagram
 * Owns: the level, the form, a counter an event, the journal's socket.
 * Fails silently: a process that cannot log still serves.  Without the journal's socket its lines
 * go to stderr as JSON, which the journal takes as well.
 * A stderr that takes nothing (a pipe whose reader stopped) loses lines, and nobody waits for it.
 * Invariants: a line is written by one system call, so lines of threads never mix; an event that
 * comes too often costs two atomic additions, and is told with the next line of its kind. */
#include "base/log.h"

#include <errno.h>
#include <linux/limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log_form.h"
#include "base/metrics.h"

_Static_assert(LOG_FORM_BYTES <= PIPE_BUF, "a line goes into a pipe in one piece");

static const struct {
    const char *name;
    const char *text;
    int number;
    enum log_level level;
    unsigned burst; /* lines in an interval; 0: all */
} log_rows[] = {
#define LOG_ROW(name, number, level, burst, text) {#name, text, number, LOG_LEVEL_##level, burst},
    LOG_EVENTS(LOG_ROW)
};

static const char *const log_levels[] = {"error", "warn", "info", "debug"};
static const int log_priorities[] = {3, 4, 6, 7};

static struct {
    _Atomic int64_t window; /* number of the interval that `count` is of */
    _Atomic unsigned count;
    _Atomic int64_t dropped;
} log_counts[LOG_EVENT_COUNT];

static _Atomic enum log_level log_level_max = LOG_LEVEL_INFO;
static _Atomic enum log_format log_format_now = LOG_FORMAT_AUTO;
static const char *_Atomic log_journal_path = "/run/systemd/journal/socket";
static _Atomic int log_journal_fd = -1;

void log_set_level(enum log_level level)
{
    log_level_max = level;
}

void log_set_format(enum log_format format)
{
    log_format_now = format;
}

void log_set_journal(const char *socket_path)
{
    log_journal_path = socket_path;
    int fd = atomic_exchange(&log_journal_fd, -1);
    if (fd >= 0) {
        close(fd);
    }
}

/* systemd sets JOURNAL_STREAM to the device and inode of the stderr that it made. */
static bool log_is_journal(void)
{
    struct stat st;
    unsigned long long device, inode;
    const char *stream = getenv("JOURNAL_STREAM");
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && (unsigned long long)st.st_dev == device &&
           (unsigned long long)st.st_ino == inode;
}

/* Decided once: a process's stderr does not change. */
static enum log_format log_form_now(void)
{
    enum log_format format = log_format_now;
    if (format == LOG_FORMAT_AUTO) {
        format = log_is_journal()           ? LOG_FORMAT_JOURNAL
                 : isatty(STDERR_FILENO) ? LOG_FORMAT_TEXT
                                         : LOG_FORMAT_JSON;
        log_format_now = format;
    }
    return format;
}

/* May this line be written?  *ret_dropped: how many were not before it. */
static bool log_admit(enum log_event event, int64_t *ret_dropped)
{
    *ret_dropped = 0;
    if (log_rows[event].burst == 0) {
        *ret_dropped = log_counts[event].dropped ? atomic_exchange(&log_counts[event].dropped, 0)
                                                 : 0;
        return true;
    }
    int64_t window = clock_mono_us() / (LOG_INTERVAL_S * SECOND_US) + 1;
    if (atomic_exchange(&log_counts[event].window, window) != window) {
        log_counts[event].count = 0; /* of two threads one may gain a line: that is all right */
    }
    if (atomic_fetch_add(&log_counts[event].count, 1) >= log_rows[event].burst) {
        atomic_fetch_add(&log_counts[event].dropped, 1);
        METRIC_ADD1(log_lines_dropped_total, level, log_rows[event].level, 1);
        return false;
    }
    *ret_dropped = atomic_exchange(&log_counts[event].dropped, 0);
    return true;
}

/* The journal's socket; -1: there is none. */
static int log_journal(void)
{
    int fd = log_journal_fd, none = -1;
    if (fd >= 0) {
        return fd;
    }
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof(to.sun_path), "%s", log_journal_path);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
        close(fd);
        fd = -1;
    }
    if (fd >= 0 && !atomic_compare_exchange_strong(&log_journal_fd, &none, fd)) {
        close(fd); /* another thread was first */
        fd = none;
    }
    return fd;
}

/* False: it could not be written now. */
static bool log_write(const struct log_form *form)
{
    char line[LOG_FORM_BYTES];
    enum log_format format = log_form_now();
    if (format == LOG_FORMAT_JOURNAL) {
        int fd = log_journal();
        size_t n = log_form_journal(form, line);
        if (fd >= 0 && send(fd, line, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n) {
            return true;
        }
    }
    size_t n = format == LOG_FORMAT_TEXT ? log_form_text(form, line) : log_form_json(form, line);
    /* A pipe that says so takes PIPE_BUF bytes: nobody who does not read our lines holds us up. */
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) &&
           write(STDERR_FILENO, line, n) == (ssize_t)n;
}

void log_event(enum log_event event, const struct log_field *fields, const char *format, ...)
{
    CHECK((unsigned)event < LOG_EVENT_COUNT);
    int64_t dropped;
    enum log_level level = log_rows[event].level;
    if (level > log_level_max || !log_admit(event, &dropped)) {
        return;
    }
    char message[LOG_FORM_MESSAGE];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    const struct log_form form = {.level = log_levels[level],
                                  .name = log_rows[event].name,
                                  .message = message,
                                  .fields = fields,
                                  .time_us = clock_wall_us(),
                                  .dropped = dropped,
                                  .number = log_rows[event].number,
                                  .priority = log_priorities[level]};
    if (log_write(&form)) {
        METRIC_ADD1(log_lines_total, level, level, 1);
    } else {
        atomic_fetch_add(&log_counts[event].dropped, 1 + dropped);
        METRIC_ADD1(log_lines_dropped_total, level, level, 1);
    }
}

void log_describe(FILE *out)
{
    for (size_t i = 0; i < ARRAY_COUNT(log_rows); i++) {
        fprintf(out, "| FS-%04d | %s | %s | %s |\n", log_rows[i].number, log_rows[i].name,
                log_levels[log_rows[i].level], log_rows[i].text);
    }
}
