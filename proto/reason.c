/* SPDX-License-Identifier: MIT */
/* The table of reasons as functions.  Owns nothing, fails never. */
#include "proto/reason.h"

static const struct {
    const char *name;
    const char *text;
    int status;
    unsigned retry_ms;
} reasons[] = {
#define REASON_ROW(name, status, retry_ms, text) {#name, text, status, retry_ms},
    REASONS(REASON_ROW)
#undef REASON_ROW
};

static unsigned reason_index(enum reason reason)
{
    return (unsigned)reason < REASON_COUNT ? (unsigned)reason : REASON_INTERNAL;
}

const char *reason_name(enum reason reason)
{
    return reasons[reason_index(reason)].name;
}

const char *reason_text(enum reason reason)
{
    return reasons[reason_index(reason)].text;
}

int reason_status(enum reason reason)
{
    return reasons[reason_index(reason)].status;
}

unsigned reason_retry_ms(enum reason reason)
{
    return reasons[reason_index(reason)].retry_ms;
}
