/* SPDX-License-Identifier: MIT */
/* Small documents over HTTPS, several at once, on the one thread that owns the fetcher.  Bounded in
 * bytes and time; follows nobody anywhere; the only file that names libcurl. */
#ifndef FAIRSLOT_GATEWAY_FETCH_H
#define FAIRSLOT_GATEWAY_FETCH_H

#include "base/types.h"

struct fetcher;

struct fetch_answer {
    struct span body;     /* valid inside the callback */
    int64_t max_age_s;    /* of Cache-Control; -1: not said */
    const char *trouble;  /* NULL: it came whole, with status 200 and a type that may be JSON */
};

/* On the fetcher's thread, once for every fetch_get() that returned 0, unless it is closed first.
 * May call fetch_get(). */
typedef void (*fetch_done)(void *user, const struct fetch_answer *answer);

struct fetch_request {
    const char *url;     /* issuer_url_wrong() has no objection */
    const char *ca_file; /* NULL: the system's */
    fetch_done done;
    void *user;
};

int fetch_open(struct fetcher **ret_fetcher);
/* Forgets what is under way. */
void fetch_close(struct fetcher *f);
/* Starts one; 0 or < 0. */
int fetch_get(struct fetcher *f, const struct fetch_request *request);
/* Works for at most that long, or until fetch_wake(). */
void fetch_work(struct fetcher *f, int wait_ms);
/* Ends fetch_work().  Any thread. */
void fetch_wake(struct fetcher *f);

#endif
