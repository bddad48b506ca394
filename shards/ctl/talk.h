/* SPDX-License-Identifier: MIT */
/* What a command says to the person at the terminal: always on stderr, so that stdout is data.
 * Colour only on a terminal, and never with NO_COLOR (no-color.org) or TERM=dumb. */
#ifndef FAIRSLOT_CTL_TALK_H
#define FAIRSLOT_CTL_TALK_H

#include <stdbool.h>

/* "error: ..." */
void talk_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "next: ...": what to do about it. */
void talk_next(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line as it is. */
void talk_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line that replaces itself on a terminal; elsewhere only the last one (done) is written. */
void talk_progress(bool done, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* 51240 as "51,240"; `out` takes 32 bytes; returns it. */
const char *talk_number(unsigned long long n, char *out);

#endif
