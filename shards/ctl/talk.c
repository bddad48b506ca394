/* SPDX-License-Identifier: MIT */
/* The voice of the command line: one form for errors, one for what to do next.
 * Owns nothing; fails never (a closed stderr is nobody's loss).
 * Only stderr's own terminal decides on colour: stdout may well go into a pipe. */
#include "ctl/talk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool talk_colour(void)
{
    const char *off = getenv("NO_COLOR"), *term = getenv("TERM");
    return (!off || !*off) && isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

__attribute__((format(printf, 3, 0)))
static void talk_line(const char *colour, const char *word, const char *format, va_list args)
{
    bool coloured = talk_colour();
    flockfile(stderr);
    fprintf(stderr, "%s%s%s ", coloured ? colour : "", word, coloured ? "\033[0m" : "");
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    funlockfile(stderr);
}

void talk_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    talk_line("\033[1;31m", "error:", format, args);
    va_end(args);
}

void talk_next(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    talk_line("\033[1;34m", "next:", format, args);
    va_end(args);
}

void talk_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

void talk_progress(bool done, const char *format, ...)
{
    bool terminal = isatty(STDERR_FILENO);
    if (!terminal && !done) {
        return;
    }
    va_list args;
    va_start(args, format);
    if (terminal) {
        fputs("\r\033[K", stderr);
    }
    vfprintf(stderr, format, args);
    if (done) {
        fputc('\n', stderr);
    }
    fflush(stderr);
    va_end(args);
}

const char *talk_number(unsigned long long n, char *out)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%llu", n);
    char *to = out;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            *to++ = ',';
        }
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}
