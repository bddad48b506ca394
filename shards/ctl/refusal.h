/* SPDX-License-Identifier: MIT */
/* A call's bad end as words for a person, an exit code, and a time to come back.
 * Reads google.rpc.Status with ErrorInfo, RetryInfo and BadRequest. */
#ifndef FAIRSLOT_CTL_REFUSAL_H
#define FAIRSLOT_CTL_REFUSAL_H

#include "base/types.h"
#include "verb.h"

#define REFUSAL_REASON_MAX 64
#define REFUSAL_LINES_MAX  8

struct refusal {
    int status;                      /* gRPC */
    char text[512];                  /* what the server said */
    char reason[REFUSAL_REASON_MAX]; /* ErrorInfo, "" when there was none */
    int64_t retry_ms;                /* RetryInfo; 0: none */
    char lines[REFUSAL_LINES_MAX][256]; /* fields and metadata, "name: what" */
    size_t lines_count;
};

/* Never fails: damaged details are left out. */
void refusal_read(struct refusal *r, int status, struct span text, struct span details);
/* By gRPC status: 3 precondition, 4 unreachable, 5 denied, else 1. */
enum verb_exit refusal_exit(int status);
/* What helps against it; static text, or NULL. */
const char *refusal_next(const struct refusal *r);
/* "error: text (REASON)", the lines, "next: ..." on stderr; returns the exit code. */
enum verb_exit refusal_tell(const struct refusal *r);

#endif
