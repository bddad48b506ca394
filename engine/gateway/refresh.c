/* SPDX-License-Identifier: MIT */
/* The keys' keeper: one thread that reads every issuer's keys, again and again.
 * Owns: the thread, the fetcher, the schedule.
 *
 *   due -> file: changed? read -------------------------------+
 *       -> discovery: {issuer, jwks_uri} -> URL: fetch -> body -+-> same as before? nothing
 *                                                               +-> keyring_put: in force or not
 *   good: next in max-age, but not under REFRESH_MIN_S nor over the issuer's `refresh`
 *   bad:  old keys stay, alarm, again after 1, 2, 4 ... 60 s; after `stale` they are given up
 *
 * Happy path: a fetch in five minutes that brings the same bytes.
 * Fails: never as a whole.  What an issuer does wrong is said in the log once and then once in
 * SAY_AGAIN_US, and shown as its state.
 * Invariants: at most one fetch of an issuer at a time; unknown kids cause one in `refetch` at
 * most, whoever sends them; a set that is broken, empty or too large never replaces a good one; at
 * any time no key is believed longer than `stale` after its issuer last published it.
 * Roads not taken: fetching on the loop (an issuer that hangs would need a state in every call),
 * a thread for each issuer (one is enough: curl's multi interface waits for all of them). */
#include "gateway/refresh.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "gateway/fetch.h"

#define TEXT_SIZE     256
#define FILE_LOOK_US  SECOND_US        /* how often a file is looked at; reading is for changes */
#define BACKOFF_MAX   6                /* doublings of a second: 64 */
#define SAY_AGAIN_US  (60 * SECOND_US) /* of what goes on going wrong */
#define IDLE_MS       1000             /* the thread looks at its clock at least that often */
#define WAIT_MS_MAX   30000            /* told to clients */
#define DIGEST_BYTES  32

/* What told one version of a file from the next. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
};

struct source {
    struct refresh *refresh;
    const struct issuer_rules *issuer;
    size_t number;
    /* under the lock */
    int64_t due_us;
    int64_t kid_us;      /* when an unknown kid last caused a look; 0: never */
    int64_t good_us;     /* when its keys were last confirmed; 0: never */
    uint64_t read_count;
    uint64_t failed_count;
    unsigned failures;   /* in a row */
    uint32_t keys_count;
    bool is_busy;        /* asked for, or under way */
    bool is_started;     /* under way */
    bool is_forced;      /* a file is read even if it looks the same */
    bool was_tried;
    /* of the thread alone */
    int64_t said_us;
    struct stamp stamp;
    uint8_t digest[DIGEST_BYTES]; /* of the JWKS in force */
};

struct refresh {
    struct keyring *ring;
    struct fetcher *fetcher;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t tried; /* on the monotonic clock */
    bool is_ending;       /* under the lock */
    size_t count;
    struct source sources[ISSUERS_MAX];
};

/* -- how a look ended -------------------------------------------------------------------------- */

static int64_t shortened_us(int64_t us)
{
    uint16_t random; /* up to a tenth earlier, so that gateways do not ask all at once */
    clock_random(&random, sizeof random);
    return us - us / 10 * random / UINT16_MAX;
}

static int64_t next_us(const struct source *s, int64_t max_age_s)
{
    int64_t longest = s->issuer->refresh_us, least = REFRESH_MIN_S * SECOND_US;
    if (s->issuer->source == ISSUER_FILE) {
        return FILE_LOOK_US;
    }
    int64_t us = max_age_s < 0 || max_age_s > longest / SECOND_US ? longest : max_age_s * SECOND_US;
    us = us < least ? least : us;
    return shortened_us(us > longest ? longest : us);
}

static void source_end(struct source *s, int64_t due_us)
{
    s->due_us = due_us;
    s->is_busy = s->is_started = false;
    s->was_tried = true;
    pthread_cond_broadcast(&s->refresh->tried);
}

static void source_good(struct source *s, int64_t max_age_s)
{
    int64_t now = clock_mono_us();
    struct keyset *set = keyring_take(s->refresh->ring, s->number);
    pthread_mutex_lock(&s->refresh->lock);
    bool was_failing = s->failures > 0;
    s->failures = 0;
    s->read_count++;
    METRIC_ADD3(issuer_key_reads_total, issuer, s->number, verdict, 0, none, 0, 1);
    s->good_us = now;
    s->keys_count = set ? (uint32_t)set->count : 0;
    source_end(s, now + next_us(s, max_age_s));
    pthread_mutex_unlock(&s->refresh->lock);
    keyset_drop(set);
    if (was_failing) {
        s->said_us = 0;
        log_event(LOG_KEYS_BACK, LOG_FIELDS(LOG_TEXT("issuer", s->issuer->name)),
                  "gateway: issuer %s: its keys can be read again", s->issuer->name);
    }
}

static void source_bad(struct source *s, const char *trouble)
{
    int64_t now = clock_mono_us();
    pthread_mutex_lock(&s->refresh->lock);
    unsigned doublings = s->failures < BACKOFF_MAX ? s->failures : BACKOFF_MAX;
    s->failures++;
    s->failed_count++;
    METRIC_ADD3(issuer_key_reads_total, issuer, s->number, verdict, 1, none, 0, 1);
    bool has_keys = s->keys_count > 0;
    source_end(s, now + (s->issuer->source == ISSUER_FILE ? FILE_LOOK_US
                                                          : shortened_us(SECOND_US << doublings)));
    pthread_mutex_unlock(&s->refresh->lock);
    if (s->said_us == 0 || now - s->said_us >= SAY_AGAIN_US) {
        s->said_us = now;
        log_event(LOG_KEYS_STALE, LOG_FIELDS(LOG_TEXT("issuer", s->issuer->name)),
                  "gateway: issuer %s: its keys cannot be read, %s: %s", s->issuer->name,
                  has_keys ? "those known before stay in use" : "its tokens are refused until then",
                  trouble);
    }
}

/* A body that should be a key set. */
static void source_take(struct source *s, struct span jwks, int64_t max_age_s)
{
    char text[TEXT_SIZE] = "";
    uint8_t digest[DIGEST_BYTES];
    bool known = EVP_Digest(jwks.ptr, jwks.len, digest, NULL, EVP_sha256(), NULL) == 1 &&
                 s->keys_count > 0 && memcmp(digest, s->digest, sizeof digest) == 0;
    int r = known ? 0 : keyring_put(s->refresh->ring, s->number, jwks, text);
    if (r) {
        source_bad(s, r > 0 ? text : "out of memory");
        return;
    }
    memcpy(s->digest, digest, sizeof digest);
    source_good(s, max_age_s);
    if (!known) {
        log_event(LOG_KEYS_READ, LOG_FIELDS(LOG_TEXT("issuer", s->issuer->name)),
                  "gateway: issuer %s: %u keys in use%s%s", s->issuer->name, s->keys_count,
                  text[0] ? "; " : "", text);
    }
}

/* Keys that nobody confirmed for too long. */
static void source_expire(struct source *s, int64_t now)
{
    pthread_mutex_lock(&s->refresh->lock);
    bool over = s->keys_count > 0 && now - s->good_us > s->issuer->stale_us;
    if (over) {
        s->keys_count = 0;
    }
    pthread_mutex_unlock(&s->refresh->lock);
    if (over) {
        keyring_clear(s->refresh->ring, s->number);
        log_event(LOG_KEYS_GIVEN_UP, LOG_FIELDS(LOG_TEXT("issuer", s->issuer->name)),
                  "gateway: issuer %s: its keys were not confirmed for %lld s: given up, its "
                  "tokens are refused", s->issuer->name,
                  (long long)(s->issuer->stale_us / SECOND_US));
    }
}

/* For whoever watches: once a turn of the thread. */
static void source_publish(const struct source *s)
{
    struct refresh_state state;
    refresh_state(s->refresh, s->number, &state);
    METRIC_SET1(issuer_keys, issuer, s->number, state.keys_count);
    METRIC_SET1(issuer_keys_stale, issuer, s->number, state.is_stale);
    METRIC_SET1(issuer_keys_age_seconds, issuer, s->number,
                state.age_us < 0 ? 0 : state.age_us / SECOND_US);
}

/* -- files ------------------------------------------------------------------------------------- */

/* The whole file, to be freed; false with the reason in `text`. */
static bool file_bytes(const char *path, struct span *ret_bytes, char *text)
{
    FILE *f = fopen(path, "rbe");
    uint8_t *bytes = malloc(JWKS_BYTES_MAX + 1);
    errno = bytes ? errno : ENOMEM;
    size_t n = f && bytes ? fread(bytes, 1, JWKS_BYTES_MAX + 1, f) : 0;
    bool done = false;
    if (f == NULL || bytes == NULL || ferror(f)) {
        snprintf(text, TEXT_SIZE, "key set %.120s: %s", path, strerror(errno));
    } else if (n > JWKS_BYTES_MAX) {
        snprintf(text, TEXT_SIZE, "key set %.120s: larger than %d bytes", path, JWKS_BYTES_MAX);
    } else {
        done = true;
    }
    if (f) {
        fclose(f);
    }
    if (!done) {
        free(bytes);
        return false;
    }
    *ret_bytes = (struct span){bytes, n};
    return true;
}

/* Is it another file than the one read last?  Also when there is none. */
static bool file_changed(struct source *s)
{
    struct stat st;
    struct stamp now;
    memset(&now, 0, sizeof now); /* also between the fields: stamps are compared as bytes */
    if (stat(s->issuer->jwks, &st) == 0) {
        now.device = st.st_dev;
        now.inode = st.st_ino;
        now.size = st.st_size;
        now.modified = st.st_mtim;
    }
    bool changed = now.inode == 0 || memcmp(&now, &s->stamp, sizeof now) != 0;
    s->stamp = now;
    pthread_mutex_lock(&s->refresh->lock);
    changed = changed || s->is_forced;
    s->is_forced = false;
    pthread_mutex_unlock(&s->refresh->lock);
    return changed;
}

static void file_look(struct source *s)
{
    char text[TEXT_SIZE];
    struct span jwks;
    if (!file_changed(s) && s->failures == 0) { /* half a file is read again until it is whole */
        source_good(s, -1);
    } else if (!file_bytes(s->issuer->jwks, &jwks, text)) {
        source_bad(s, text);
    } else {
        source_take(s, jwks, -1);
        free((void *)jwks.ptr);
    }
}

/* -- URLs -------------------------------------------------------------------------------------- */

static void keys_came(void *user, const struct fetch_answer *answer)
{
    if (answer->trouble) {
        source_bad(user, answer->trouble);
    } else {
        source_take(user, answer->body, answer->max_age_s);
    }
}

static void source_fetch(struct source *s, const char *url, fetch_done done)
{
    const struct fetch_request request = {
        .url = url, .ca_file = s->issuer->ca_file, .done = done, .user = s};
    if (fetch_get(s->refresh->fetcher, &request) < 0) {
        source_bad(s, "out of memory");
    }
}

/* OpenID Connect Discovery 4.3: the document must be that very issuer's. */
static void discovery_came(void *user, const struct fetch_answer *answer)
{
    struct source *s = user;
    const char *why = answer->trouble;
    json_t *found = why ? NULL
                        : json_loadb((const char *)answer->body.ptr, answer->body.len,
                                     JSON_REJECT_DUPLICATES, NULL);
    const char *iss = json_string_value(json_object_get(found, "issuer"));
    const char *url = json_string_value(json_object_get(found, "jwks_uri"));
    if (why == NULL && found == NULL) {
        why = "discovery: the document is not JSON";
    } else if (why == NULL && (iss == NULL || strcmp(iss, s->issuer->iss) != 0)) {
        why = "discovery: the document is another issuer's";
    } else if (why == NULL && (url == NULL || issuer_url_wrong(url))) {
        why = "discovery: no jwks_uri that may be fetched (https, or this machine)";
    }
    if (why) {
        source_bad(s, why);
    } else {
        source_fetch(s, url, keys_came);
    }
    json_decref(found);
}

/* -- the thread -------------------------------------------------------------------------------- */

static void source_start(struct source *s)
{
    if (s->issuer->source == ISSUER_FILE) {
        file_look(s);
    } else {
        bool discovers = s->issuer->source == ISSUER_DISCOVERY;
        source_fetch(s, s->issuer->jwks, discovers ? discovery_came : keys_came);
    }
}

/* Is the source due?  Then it is under way from here on.  *ret_wait_ms is when, at most. */
static bool source_due(struct source *s, int64_t now, int *ret_wait_ms)
{
    bool due = !s->is_started && (s->is_busy || s->due_us <= now);
    if (due) {
        s->is_busy = s->is_started = true;
    } else if (!s->is_started && (s->due_us - now) / 1000 < *ret_wait_ms) {
        *ret_wait_ms = (int)((s->due_us - now) / 1000) + 1;
    }
    return due;
}

static void *refresh_run(void *arg)
{
    struct refresh *r = arg;
    for (;;) {
        int wait_ms = IDLE_MS;
        for (size_t i = 0; i < r->count; i++) {
            pthread_mutex_lock(&r->lock);
            int64_t now = clock_mono_us();
            bool due = source_due(&r->sources[i], now, &wait_ms);
            pthread_mutex_unlock(&r->lock);
            if (due) {
                source_start(&r->sources[i]);
            }
            source_expire(&r->sources[i], now);
            source_publish(&r->sources[i]);
        }
        pthread_mutex_lock(&r->lock);
        bool is_ending = r->is_ending;
        pthread_mutex_unlock(&r->lock);
        if (is_ending) {
            return NULL;
        }
        fetch_work(r->fetcher, wait_ms);
    }
}

/* Signals are for the loops. */
static int thread_start(struct refresh *r)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&r->thread, NULL, refresh_run, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    r->has_thread = error == 0;
    return error ? err_origin(-error) : 0;
}

static bool all_tried(const struct refresh *r)
{
    bool all = true;
    for (size_t i = 0; i < r->count; i++) {
        all = all && r->sources[i].was_tried;
    }
    return all;
}

static void wait_tried(struct refresh *r)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += REFRESH_START_MS / 1000;
    pthread_mutex_lock(&r->lock);
    while (!all_tried(r) && pthread_cond_timedwait(&r->tried, &r->lock, &until) == 0) {
    }
    pthread_mutex_unlock(&r->lock);
}

/* A file that cannot be used at the start is a mistake of the configuration. */
static int files_read(struct refresh *r, char *ret_text)
{
    for (size_t i = 0; i < r->count; i++) {
        struct source *s = &r->sources[i];
        struct span jwks;
        if (s->issuer->source != ISSUER_FILE) {
            continue;
        }
        file_changed(s);
        if (!file_bytes(s->issuer->jwks, &jwks, ret_text)) {
            return REFRESH_E_KEYS;
        }
        int verdict = keyring_put(r->ring, i, jwks, ret_text);
        bool done = EVP_Digest(jwks.ptr, jwks.len, s->digest, NULL, EVP_sha256(), NULL) == 1;
        free((void *)jwks.ptr);
        if (verdict || !done) {
            return verdict > 0 ? REFRESH_E_KEYS : err_trace(verdict ? verdict : -EIO);
        }
        source_good(s, -1);
    }
    return 0;
}

int refresh_new(struct keyring *ring, struct refresh **ret_refresh, char *ret_text)
{
    struct refresh *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return err_origin(-ENOMEM);
    }
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->tried, &attributes);
    pthread_condattr_destroy(&attributes);
    r->ring = ring;
    r->count = keyring_count(ring);
    for (size_t i = 0; i < r->count; i++) {
        r->sources[i] = (struct source){
            .refresh = r, .issuer = keyring_issuer(ring, i), .number = i};
    }
    int verdict = files_read(r, ret_text);
    verdict = verdict ? verdict : fetch_open(&r->fetcher);
    verdict = verdict ? verdict : thread_start(r);
    if (verdict) {
        refresh_free(r);
        return err_trace(verdict);
    }
    wait_tried(r);
    *ret_refresh = r;
    return 0;
}

void refresh_free(struct refresh *r)
{
    if (r == NULL) {
        return;
    }
    if (r->has_thread) {
        pthread_mutex_lock(&r->lock);
        r->is_ending = true;
        pthread_mutex_unlock(&r->lock);
        fetch_wake(r->fetcher);
        pthread_join(r->thread, NULL);
    }
    fetch_close(r->fetcher);
    pthread_cond_destroy(&r->tried);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* -- asked by others --------------------------------------------------------------------------- */

void refresh_now(struct refresh *r)
{
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->count; i++) {
        r->sources[i].due_us = 0;
        r->sources[i].is_forced = true;
    }
    pthread_mutex_unlock(&r->lock);
    fetch_wake(r->fetcher);
}

enum refresh_answer refresh_ask(struct refresh *r, size_t number, uint32_t *ret_wait_ms)
{
    CHECK(number < r->count);
    struct source *s = &r->sources[number];
    if (s->issuer->source == ISSUER_FILE) {
        return REFRESH_NO;
    }
    enum refresh_answer answer = REFRESH_BUSY;
    bool starts = false;
    pthread_mutex_lock(&r->lock);
    int64_t now = clock_mono_us(), allowed = s->kid_us + s->issuer->refetch_us;
    if (!s->is_busy && s->kid_us && now < allowed) {
        answer = REFRESH_LATER;
        *ret_wait_ms = (uint32_t)((allowed - now) / 1000) + 1;
    } else if (!s->is_busy) {
        s->kid_us = now;
        s->is_busy = starts = true;
    }
    pthread_mutex_unlock(&r->lock);
    if (starts) {
        fetch_wake(r->fetcher);
    }
    return answer;
}

bool refresh_is_busy(struct refresh *r, size_t number)
{
    CHECK(number < r->count);
    pthread_mutex_lock(&r->lock);
    bool is_busy = r->sources[number].is_busy;
    pthread_mutex_unlock(&r->lock);
    return is_busy;
}

uint32_t refresh_wait_ms(struct refresh *r, size_t number)
{
    CHECK(number < r->count);
    pthread_mutex_lock(&r->lock);
    int64_t ms = (r->sources[number].due_us - clock_mono_us()) / 1000;
    ms = r->sources[number].is_busy || ms < 1000 ? 1000 : ms;
    pthread_mutex_unlock(&r->lock);
    return (uint32_t)(ms > WAIT_MS_MAX ? WAIT_MS_MAX : ms);
}

void refresh_state(struct refresh *r, size_t number, struct refresh_state *ret_state)
{
    CHECK(number < r->count);
    struct source *s = &r->sources[number];
    pthread_mutex_lock(&r->lock);
    *ret_state = (struct refresh_state){
        .name = s->issuer->name,
        .read_count = s->read_count,
        .failed_count = s->failed_count,
        .keys_count = s->keys_count,
        .age_us = s->good_us ? clock_mono_us() - s->good_us : -1,
        .is_stale = s->failures > 0,
    };
    pthread_mutex_unlock(&r->lock);
}
