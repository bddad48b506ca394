/* SPDX-License-Identifier: MIT */
/* GET of a small JSON document, by libcurl's multi interface.
 * Owns: the multi handle and what is under way.
 *
 *   fetch_get -> easy handle in multi -> fetch_work: bytes come -> judged -> callback -> freed
 *
 * Happy path: one TLS connection, one answer of a few KiB, closed again.
 * Fails: with one sentence: what curl says, a status that is not 200, a type that is no JSON, more
 * than JWKS_BYTES_MAX.  Redirects are not followed: an issuer that moved is the operator's to know,
 * and an open redirector could send us to anybody.
 * Invariants: https, or http where the URL says so (then it is this machine: issuer.c); certificate
 * and host name are always checked; nothing is unpacked (no Content-Encoding is asked for, so that
 * a small answer cannot become a large one); no cookie, no credential, no proxy for this
 * machine. */
#include "gateway/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/list.h"

struct fetch {
    struct list link;
    CURL *easy;
    struct curl_slist *headers;
    fetch_done done;
    void *user;
    int64_t max_age_s;
    bool is_too_large;
    size_t len;
    char trouble[CURL_ERROR_SIZE];
    uint8_t body[JWKS_BYTES_MAX];
};

struct fetcher {
    CURLM *multi;
    struct list fetches;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_begin(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT); /* for the life of the process */
}

int fetch_open(struct fetcher **ret_fetcher)
{
    pthread_once(&curl_once, curl_begin);
    struct fetcher *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return err_origin(-ENOMEM);
    }
    list_init(&f->fetches);
    f->multi = curl_multi_init();
    if (f->multi == NULL) {
        free(f);
        return err_origin(-ENOMEM);
    }
    *ret_fetcher = f;
    return 0;
}

static void fetch_free(struct fetcher *f, struct fetch *get)
{
    list_remove(&get->link);
    if (get->easy) {
        curl_multi_remove_handle(f->multi, get->easy);
        curl_easy_cleanup(get->easy);
    }
    curl_slist_free_all(get->headers);
    free(get);
}

void fetch_close(struct fetcher *f)
{
    if (f == NULL) {
        return;
    }
    while (!list_empty(&f->fetches)) {
        fetch_free(f, CONTAINER_OF(f->fetches.next, struct fetch, link));
    }
    curl_multi_cleanup(f->multi);
    free(f);
}

/* -- what comes -------------------------------------------------------------------------------- */

static size_t body_came(char *bytes, size_t one, size_t n, void *user)
{
    struct fetch *get = user;
    if (n > sizeof get->body - get->len) {
        get->is_too_large = true;
        return 0; /* ends the transfer */
    }
    memcpy(get->body + get->len, bytes, n);
    get->len += n;
    return n;
}

/* max-age of a Cache-Control line (RFC 9111 5.2.2.1); no-store and no-cache are an age of 0. */
static int64_t max_age_read(const char *line, size_t len)
{
    char text[256];
    snprintf(text, sizeof text, "%.*s", (int)(len < 255 ? len : 255), line);
    const char *age = strcasestr(text, "max-age=");
    if (strcasestr(text, "no-store") || strcasestr(text, "no-cache")) {
        return 0;
    }
    if (age == NULL || age[8] < '0' || age[8] > '9') {
        return -1;
    }
    errno = 0;
    long long seconds = strtoll(age + 8, NULL, 10);
    return errno ? -1 : seconds;
}

static size_t header_came(char *bytes, size_t one, size_t n, void *user)
{
    static const char name[] = "cache-control:";
    struct fetch *get = user;
    if (n >= sizeof name - 1 && strncasecmp(bytes, name, sizeof name - 1) == 0) {
        get->max_age_s = max_age_read(bytes + sizeof name - 1, n - (sizeof name - 1));
    }
    return n;
}

/* Servers of plain files often have no type for JSON; a page for people is none. */
static bool type_may_be_json(const char *type)
{
    char text[64];
    snprintf(text, sizeof text, "%.63s", type ? type : "");
    text[strcspn(text, "; \t")] = '\0';
    size_t n = strlen(text);
    return n == 0 || strcasecmp(text, "application/json") == 0 ||
           (n > 5 && strcasecmp(text + n - 5, "+json") == 0) ||
           strcasecmp(text, "application/octet-stream") == 0 || strcasecmp(text, "text/plain") == 0;
}

/* Why the answer is none; NULL: it is one. */
static const char *answer_wrong(struct fetch *get, CURLcode code)
{
    long status = 0;
    char *type = NULL;
    curl_easy_getinfo(get->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(get->easy, CURLINFO_CONTENT_TYPE, &type);
    if (get->is_too_large || code == CURLE_FILESIZE_EXCEEDED) {
        snprintf(get->trouble, sizeof get->trouble, "more than %d bytes", JWKS_BYTES_MAX);
    } else if (code != CURLE_OK) {
        if (get->trouble[0] == '\0') {
            snprintf(get->trouble, sizeof get->trouble, "%s", curl_easy_strerror(code));
        }
    } else if (status >= 300 && status < 400) {
        snprintf(get->trouble, sizeof get->trouble, "HTTP status %ld: redirects are not followed",
                 status);
    } else if (status != 200) {
        snprintf(get->trouble, sizeof get->trouble, "HTTP status %ld", status);
    } else if (!type_may_be_json(type)) {
        snprintf(get->trouble, sizeof get->trouble, "content type %.60s is no JSON", type);
    } else {
        return NULL;
    }
    return get->trouble;
}

static void fetch_finish(struct fetcher *f, struct fetch *get, CURLcode code)
{
    const struct fetch_answer answer = {
        .trouble = answer_wrong(get, code),
        .body = {get->body, get->len},
        .max_age_s = get->max_age_s,
    };
    get->done(get->user, &answer);
    fetch_free(f, get);
}

/* -- what goes --------------------------------------------------------------------------------- */

static bool fetch_options(struct fetch *get, const struct fetch_request *request)
{
    CURL *e = get->easy;
    bool is_tls = strncmp(request->url, "https:", 6) == 0;
    CURLcode bad = curl_easy_setopt(e, CURLOPT_URL, request->url);
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, is_tls ? "https" : "http");
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)FETCH_TIME_MS);
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)FETCH_TIME_MS / 2);
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_MAXFILESIZE, (long)JWKS_BYTES_MAX);
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_ERRORBUFFER, get->trouble);
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, body_came);
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_WRITEDATA, get);
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, header_came);
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_HEADERDATA, get);
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_PRIVATE, get);
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_USERAGENT, "fairslot");
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_HTTPHEADER, get->headers);
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L); /* minutes lie between two */
    bad = bad ? bad : curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
    if (!is_tls) {
        bad = bad ? bad : curl_easy_setopt(e, CURLOPT_PROXY, "");
    }
    if (request->ca_file) {
        bad = bad ? bad : curl_easy_setopt(e, CURLOPT_CAINFO, request->ca_file);
        bad = bad ? bad : curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    }
    return bad == CURLE_OK;
}

int fetch_get(struct fetcher *f, const struct fetch_request *request)
{
    struct fetch *get = malloc(sizeof *get);
    if (get == NULL) {
        return err_origin(-ENOMEM);
    }
    memset(get, 0, offsetof(struct fetch, body));
    get->done = request->done;
    get->user = request->user;
    get->max_age_s = -1;
    list_push(&f->fetches, &get->link);
    get->headers = curl_slist_append(NULL, "Accept: application/jwk-set+json, application/json");
    get->easy = curl_easy_init();
    if (get->headers == NULL || get->easy == NULL || !fetch_options(get, request) ||
        curl_multi_add_handle(f->multi, get->easy) != CURLM_OK) {
        fetch_free(f, get);
        return err_origin(-ENOMEM);
    }
    return 0;
}

void fetch_work(struct fetcher *f, int wait_ms)
{
    int running, left;
    CURLMsg *message;
    curl_multi_perform(f->multi, &running);
    curl_multi_poll(f->multi, NULL, 0, wait_ms, NULL);
    curl_multi_perform(f->multi, &running);
    while ((message = curl_multi_info_read(f->multi, &left))) {
        if (message->msg == CURLMSG_DONE) {
            char *get;
            CURLcode code = message->data.result; /* the message dies with its handle */
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &get);
            fetch_finish(f, (struct fetch *)get, code);
        }
    }
}

void fetch_wake(struct fetcher *f)
{
    curl_multi_wakeup(f->multi);
}
