/* SPDX-License-Identifier: MIT */
/* The replicas' addresses, and who is asked.
 * Owns: copies of the addresses.  They are only ever added to, so a number and its text stay good.
 * Whoever finds that the one asked does not lead says who does (hop.c); news and board follow.
 * Fails by verdict only.  What a replica names is believed as far as an address goes: replicas are
 * the house's own, and LEADS_MAX bounds what a wrong one can make of it. */
#include "gateway/leads.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"

#define LEADS_URL_MAX 300

struct leads {
    pthread_mutex_t lock; /* everything below */
    char *urls[LEADS_MAX];
    size_t count;
    size_t current;
    uint64_t cluster; /* whose replicas they are; 0: none that leads has said */
};

/* Under the lock, or before anybody else has it.  LEADS_MAX: no room. */
static size_t leads_add(struct leads *l, struct span url)
{
    for (size_t i = 0; i < l->count; i++) {
        if (span_equal(span_of(l->urls[i]), url)) {
            return i;
        }
    }
    char *copy = l->count < LEADS_MAX ? strndup((const char *)url.ptr, url.len) : NULL;
    if (copy == NULL) {
        return LEADS_MAX;
    }
    l->urls[l->count] = copy;
    return l->count++;
}

int leads_new(const char *urls, struct leads **ret_leads)
{
    CHECK(urls != NULL);
    struct leads *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return err_origin(-ENOMEM);
    }
    pthread_mutex_init(&l->lock, NULL);
    for (const char *at = urls + strspn(urls, " "); *at; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        leads_add(l, (struct span){(const uint8_t *)at, len});
        at += len;
    }
    if (l->count == 0) {
        leads_free(l);
        return err_origin(-ENOMEM);
    }
    *ret_leads = l;
    return 0;
}

void leads_free(struct leads *l)
{
    if (l) {
        for (size_t i = 0; i < l->count; i++) {
            free(l->urls[i]);
        }
        pthread_mutex_destroy(&l->lock);
        free(l);
    }
}

size_t leads_count(struct leads *l)
{
    pthread_mutex_lock(&l->lock);
    size_t count = l->count;
    pthread_mutex_unlock(&l->lock);
    return count;
}

const char *leads_url(struct leads *l, size_t at)
{
    pthread_mutex_lock(&l->lock);
    CHECK(at < l->count);
    const char *url = l->urls[at];
    pthread_mutex_unlock(&l->lock);
    return url;
}

size_t leads_current(struct leads *l)
{
    pthread_mutex_lock(&l->lock);
    size_t current = l->current;
    pthread_mutex_unlock(&l->lock);
    return current;
}

void leads_take(struct leads *l, size_t at)
{
    pthread_mutex_lock(&l->lock);
    CHECK(at < l->count);
    l->current = at;
    pthread_mutex_unlock(&l->lock);
}

size_t leads_named(struct leads *l, struct span url)
{
    if (url.len <= 6 || url.len > LEADS_URL_MAX || memcmp(url.ptr, "tcp://", 6) != 0 ||
        memchr(url.ptr, '\0', url.len)) {
        return LEADS_MAX;
    }
    pthread_mutex_lock(&l->lock);
    size_t at = leads_add(l, url);
    pthread_mutex_unlock(&l->lock);
    return at;
}

uint64_t leads_cluster(struct leads *l)
{
    pthread_mutex_lock(&l->lock);
    uint64_t cluster = l->cluster;
    pthread_mutex_unlock(&l->lock);
    return cluster;
}

bool leads_are(struct leads *l, uint64_t cluster, bool leads)
{
    pthread_mutex_lock(&l->lock);
    if (l->cluster == 0 && leads) {
        l->cluster = cluster;
    }
    bool are = cluster == 0 || l->cluster == 0 || l->cluster == cluster;
    pthread_mutex_unlock(&l->lock);
    return are;
}
