/* SPDX-License-Identifier: MIT */
/* The manifest's text: one "key: value" a line, in one order, each once.
 * There is one way to write a manifest and the reader takes nothing else: it writes again what it
 * understood and compares, so two texts never mean the same and a changed byte is always found.
 * Pure.  Owns nothing.  Fails by verdict: it does not fit, or is no manifest. */
#include "draw/manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

static const char *const manifest_servings[] = {
    [DRAW_BY_PREFERENCE] = "by-preference",
    [DRAW_BY_TURN] = "by-turn",
    [DRAW_FIRST_COME] = "first-come",
};

/* -- writing ----------------------------------------------------------------------------------- */

static void manifest_text(struct scribe *w, const char *key, struct span value)
{
    for (size_t i = 0; i < value.len; i++) {
        w->bad = w->bad || value.ptr[i] < 0x20 || value.ptr[i] > 0x7e;
    }
    scribe_bytes(w, key, strlen(key));
    scribe_bytes(w, ": ", 2);
    scribe_bytes(w, value.ptr, value.len);
    scribe_u8(w, '\n');
}

static void manifest_number(struct scribe *w, const char *key, int64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRId64, value);
    manifest_text(w, key, span_of(digits));
}

static void manifest_hash(struct scribe *w, const char *key, const struct draw_hash *hash)
{
    static const char hex[] = "0123456789abcdef";
    char text[65];
    for (int i = 0; i < 32; i++) {
        text[2 * i] = hex[hash->bytes[i] >> 4];
        text[2 * i + 1] = hex[hash->bytes[i] & 15];
    }
    manifest_text(w, key, (struct span){(const uint8_t *)text, 64});
}

static void manifest_name(struct scribe *w, const struct draw_manifest *m)
{
    char name[256];
    int n = snprintf(name, sizeof name, "pools/%.*s/releases/%.*s", (int)m->pool.len,
                     (const char *)m->pool.ptr, (int)m->release.len,
                     (const char *)m->release.ptr);
    w->bad = w->bad || n < 0 || (size_t)n >= sizeof name;
    manifest_text(w, "release", span_of(w->bad ? "" : name));
}

size_t draw_manifest_text(const struct draw_manifest *m, char out[DRAW_MANIFEST_MAX])
{
    struct scribe w = scribe_of(out, DRAW_MANIFEST_MAX);
    CHECK(m->trustees_count <= DRAW_TRUSTEES_MAX);
    CHECK(m->serving >= DRAW_BY_PREFERENCE && m->serving <= DRAW_FIRST_COME);
    manifest_text(&w, "fairslot-manifest", span_of("1"));
    manifest_name(&w, m);
    manifest_text(&w, "serving", span_of(manifest_servings[m->serving]));
    manifest_number(&w, "entry-open-us", m->entry_open_us);
    manifest_number(&w, "entry-close-us", m->entry_close_us);
    manifest_number(&w, "entry-grace-us", m->entry_grace_us);
    manifest_number(&w, "close-us", m->close_us);
    manifest_number(&w, "cohort-us", m->cohort_us);
    manifest_number(&w, "turn-us", m->turn_us);
    manifest_number(&w, "accept-us", m->accept_us);
    manifest_number(&w, "parts-wait-us", m->parts_wait_us);
    manifest_number(&w, "slots-count", m->slots_count);
    manifest_hash(&w, "slots-hash", &m->slots_hash);
    manifest_number(&w, "max-live", m->max_live);
    manifest_number(&w, "min-assurance", m->min_assurance);
    manifest_hash(&w, "release-key-commitment", &m->release_key_commitment);
    manifest_hash(&w, "operator-commitment", &m->operator_commitment);
    for (uint32_t i = 0; i < m->trustees_count; i++) {
        manifest_hash(&w, "trustee", &m->trustees[i]);
    }
    manifest_text(&w, "beacon", m->beacon.len ? m->beacon : span_of("-"));
    return w.bad ? 0 : scribe_len(&w);
}

/* -- reading ----------------------------------------------------------------------------------- */

struct manifest_reader {
    struct span rest;
    unsigned line; /* number of the one that was read last */
    bool bad;
};

/* Is the next line this key's?  Nothing is read. */
static bool manifest_is(const struct manifest_reader *r, const char *key)
{
    size_t n = strlen(key);
    return !r->bad && r->rest.len > n + 2 && memcmp(r->rest.ptr, key, n) == 0 &&
           memcmp(r->rest.ptr + n, ": ", 2) == 0;
}

static struct span manifest_value(struct manifest_reader *r, const char *key)
{
    r->line += !r->bad;
    if (!manifest_is(r, key)) {
        r->bad = true;
        return (struct span){0};
    }
    const uint8_t *from = r->rest.ptr + strlen(key) + 2;
    const uint8_t *end = memchr(r->rest.ptr, '\n', r->rest.len);
    if (end == NULL || end < from) {
        r->bad = true;
        return (struct span){0};
    }
    r->rest.len -= (size_t)(end + 1 - r->rest.ptr);
    r->rest.ptr = end + 1;
    return (struct span){from, (size_t)(end - from)};
}

static int64_t manifest_value_number(struct manifest_reader *r, const char *key, int64_t max)
{
    struct span value = manifest_value(r, key);
    int64_t n = 0;
    r->bad = r->bad || value.len == 0 || value.len > 18;
    for (size_t i = 0; i < value.len && !r->bad; i++) {
        r->bad = value.ptr[i] < '0' || value.ptr[i] > '9';
        n = n * 10 + (value.ptr[i] - '0');
    }
    r->bad = r->bad || n > max;
    return r->bad ? 0 : n;
}

static int manifest_digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void manifest_value_hash(struct manifest_reader *r, const char *key,
                                struct draw_hash *ret_hash)
{
    struct span value = manifest_value(r, key);
    r->bad = r->bad || value.len != 64;
    for (int i = 0; i < 32 && !r->bad; i++) {
        int high = manifest_digit(value.ptr[2 * i]), low = manifest_digit(value.ptr[2 * i + 1]);
        r->bad = high < 0 || low < 0;
        ret_hash->bytes[i] = r->bad ? 0 : (uint8_t)(high << 4 | low);
    }
}

static void manifest_value_name(struct manifest_reader *r, struct draw_manifest *m)
{
    static const char head[] = "pools/", middle[] = "/releases/";
    struct span value = manifest_value(r, "release");
    size_t n = sizeof head - 1;
    const uint8_t *slash;
    if (r->bad || value.len <= n || memcmp(value.ptr, head, n) != 0 ||
        (slash = memchr(value.ptr + n, '/', value.len - n)) == NULL) {
        r->bad = true;
        return;
    }
    m->pool = (struct span){value.ptr + n, (size_t)(slash - value.ptr) - n};
    size_t left = value.len - n - m->pool.len;
    n = sizeof middle - 1;
    r->bad = left <= n || memcmp(slash, middle, n) != 0;
    m->release = (struct span){slash + n, r->bad ? 0 : left - n};
}

static void manifest_value_serving(struct manifest_reader *r, struct draw_manifest *m)
{
    struct span value = manifest_value(r, "serving");
    for (int i = DRAW_BY_PREFERENCE; i <= DRAW_FIRST_COME && !r->bad; i++) {
        if (span_equal(value, span_of(manifest_servings[i]))) {
            m->serving = (enum draw_serving)i;
            return;
        }
    }
    r->bad = true;
}

static void manifest_values(struct manifest_reader *r, struct draw_manifest *m)
{
    const int64_t max = INT64_C(253402300799) * SECOND_US; /* the end of the year 9999 */
    struct span version = manifest_value(r, "fairslot-manifest");
    r->bad = r->bad || !span_equal(version, span_of("1"));
    manifest_value_name(r, m);
    manifest_value_serving(r, m);
    m->entry_open_us = manifest_value_number(r, "entry-open-us", max);
    m->entry_close_us = manifest_value_number(r, "entry-close-us", max);
    m->entry_grace_us = manifest_value_number(r, "entry-grace-us", max);
    m->close_us = manifest_value_number(r, "close-us", max);
    m->cohort_us = manifest_value_number(r, "cohort-us", max);
    m->turn_us = manifest_value_number(r, "turn-us", max);
    m->accept_us = manifest_value_number(r, "accept-us", max);
    m->parts_wait_us = manifest_value_number(r, "parts-wait-us", max);
    m->slots_count = (uint32_t)manifest_value_number(r, "slots-count", UINT32_MAX);
    manifest_value_hash(r, "slots-hash", &m->slots_hash);
    m->max_live = (uint32_t)manifest_value_number(r, "max-live", UINT32_MAX);
    m->min_assurance = (uint32_t)manifest_value_number(r, "min-assurance", 3);
    manifest_value_hash(r, "release-key-commitment", &m->release_key_commitment);
    manifest_value_hash(r, "operator-commitment", &m->operator_commitment);
    while (m->trustees_count < DRAW_TRUSTEES_MAX && manifest_is(r, "trustee")) {
        manifest_value_hash(r, "trustee", &m->trustees[m->trustees_count++]);
    }
    m->beacon = manifest_value(r, "beacon");
    if (span_equal(m->beacon, span_of("-"))) {
        m->beacon.len = 0;
    }
}

/* The line in which two texts differ first. */
static unsigned manifest_line_of(struct span a, const char *b, size_t b_len)
{
    unsigned line = 1;
    for (size_t i = 0; i < a.len && i < b_len && a.ptr[i] == (uint8_t)b[i]; i++) {
        line += a.ptr[i] == '\n';
    }
    return line;
}

bool draw_manifest_read(struct span text, struct draw_manifest *ret_manifest, unsigned *ret_line)
{
    struct manifest_reader r = {.rest = text};
    struct draw_manifest m = {0};
    char again[DRAW_MANIFEST_MAX];
    manifest_values(&r, &m);
    if (r.bad) {
        *ret_line = r.line;
        return false;
    }
    size_t n = draw_manifest_text(&m, again);
    if (n == 0 || !span_equal(text, (struct span){(const uint8_t *)again, n})) {
        *ret_line = n == 0 ? r.line : manifest_line_of(text, again, n);
        return false;
    }
    *ret_manifest = m;
    return true;
}
