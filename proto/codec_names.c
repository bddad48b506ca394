/* SPDX-License-Identifier: MIT */
/* Resource names and ids, both ways: pools/{pool}/slots/s20261201t0900-c3.
 * Every id has exactly one spelling: what codec_*_parse() takes is what the maker makes.
 * Slot ids sort in time order ('-' sorts before digits, so 0900-c3 before 090030-c3).
 * Owns nothing; fails by false, or by NULL when the arena is full. */
#include <xxhash.h>

#include "base/check.h"
#include "proto/codec_parts.h"

#define DAY_SECONDS INT64_C(86400)
#define DESK_DIGITS 6 /* hex digits behind a slug that does not say the whole desk */

static bool codec_names_is_low(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool codec_names_label_ok(struct span s, size_t max)
{
    if (s.len == 0 || s.len > max || !codec_names_is_low(s.ptr[0]) ||
        !codec_names_is_low(s.ptr[s.len - 1])) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (!codec_names_is_low(s.ptr[i]) && s.ptr[i] != '-') {
            return false;
        }
    }
    return true;
}

bool codec_pool_id_ok(struct span id)
{
    return codec_names_label_ok(id, POOL_ID_MAX);
}

bool codec_slug_ok(struct span slug)
{
    return codec_names_label_ok(slug, SLOT_DESK_MAX);
}

bool codec_name_pool(struct span name, struct span *ret_pool)
{
    if (name.len <= 6 || memcmp(name.ptr, "pools/", 6) != 0) {
        return false;
    }
    struct span id = {name.ptr + 6, name.len - 6};
    if (!codec_pool_id_ok(id)) {
        return false;
    }
    *ret_pool = id;
    return true;
}

bool codec_name_child(struct span name, const char *part, struct span *ret_pool,
                      struct span *ret_id)
{
    if (name.len <= 6) {
        return false;
    }
    const uint8_t *slash = memchr(name.ptr + 6, '/', name.len - 6);
    if (slash == NULL) {
        return false;
    }
    size_t part_len = strlen(part);
    size_t before = (size_t)(slash - name.ptr);
    if (name.len - before <= part_len || memcmp(slash, part, part_len) != 0) {
        return false;
    }
    *ret_id = (struct span){slash + part_len, name.len - before - part_len};
    return codec_name_pool((struct span){name.ptr, before}, ret_pool);
}

char *codec_name_make(struct arena *arena, struct span pool, const char *part, struct span id)
{
    size_t len = 6 + pool.len + strlen(part) + id.len + 1;
    char *out = arena_alloc(arena, len);
    if (out == NULL) {
        return NULL;
    }
    struct scribe w = scribe_of(out, len);
    scribe_bytes(&w, "pools/", 6);
    scribe_bytes(&w, pool.ptr, pool.len);
    scribe_bytes(&w, part, strlen(part));
    scribe_bytes(&w, id.ptr, id.len);
    scribe_u8(&w, 0);
    CHECK(!w.bad);
    return out;
}

char *codec_name_slot(struct arena *arena, struct span pool, const struct slot_key *key)
{
    char id[CODEC_ID_BYTES];
    size_t n = codec_slot_id(key, id);
    return codec_name_make(arena, pool, "/slots/", (struct span){(uint8_t *)id, n});
}

char *codec_name_owned(struct arena *arena, struct span pool, char letter, uint64_t owner,
                       uint64_t number)
{
    char id[CODEC_ID_BYTES];
    size_t n = codec_owned_id(letter, owner, number, id);
    return codec_name_make(arena, pool, letter == 'h' ? "/holds/" : "/reservations/",
                           (struct span){(uint8_t *)id, n});
}

static char *codec_names_digits(char *out, int64_t value, int width)
{
    for (int i = width; i-- > 0; value /= 10) {
        out[i] = (char)('0' + value % 10);
    }
    return out + width;
}

uint64_t codec_release_hash(struct span pool, struct span id)
{
    uint8_t bytes[1 + POOL_ID_MAX + RELEASE_ID_MAX];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    scribe_u8(&w, (uint8_t)pool.len);
    scribe_bytes(&w, pool.ptr, pool.len);
    scribe_bytes(&w, id.ptr, id.len);
    CHECK(!w.bad);
    return XXH3_64bits_withSeed(bytes, scribe_len(&w), 0x72656c65617365) &
           ((UINT64_C(1) << 61) - 1);
}

size_t codec_slot_id(const struct slot_key *key, char *out)
{
    int64_t second = key->start_us / SECOND_US;
    CHECK(key->start_us >= 0 && second <= CODEC_SECOND_MAX);
    CHECK(key->slug.len <= SLOT_DESK_MAX);
    struct codec_date date = codec_date_of(second / DAY_SECONDS);
    int64_t in_day = second % DAY_SECONDS;
    char *p = out;
    *p++ = 's';
    p = codec_names_digits(p, date.year, 4);
    p = codec_names_digits(p, date.month, 2);
    p = codec_names_digits(p, date.day, 2);
    *p++ = 't';
    p = codec_names_digits(p, in_day / 3600, 2);
    p = codec_names_digits(p, in_day / 60 % 60, 2);
    if (in_day % 60 != 0) {
        p = codec_names_digits(p, in_day % 60, 2);
    }
    *p++ = '-';
    if (key->slug.len > 0) {
        memcpy(p, key->slug.ptr, key->slug.len);
    }
    return (size_t)(p - out) + key->slug.len;
}

/* `width` digits at `at`; -1 when there are not. */
static int codec_names_number(struct span id, size_t at, size_t width)
{
    int value = 0;
    for (size_t i = at; i < at + width; i++) {
        if (i >= id.len || id.ptr[i] < '0' || id.ptr[i] > '9') {
            return -1;
        }
        value = value * 10 + (id.ptr[i] - '0');
    }
    return value;
}

bool codec_slot_id_parse(struct span id, struct slot_key *ret_key)
{
    if (id.len < 16 || id.ptr[0] != 's' || id.ptr[9] != 't') {
        return false;
    }
    int year = codec_names_number(id, 1, 4);
    int month = codec_names_number(id, 5, 2);
    int day = codec_names_number(id, 7, 2);
    int hour = codec_names_number(id, 10, 2);
    int minute = codec_names_number(id, 12, 2);
    bool with_second = id.ptr[14] != '-';
    int second = with_second ? codec_names_number(id, 14, 2) : 0;
    size_t dash = with_second ? 16 : 14;
    int64_t days;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second > 59 ||
        second < (with_second ? 1 : 0) || id.len <= dash || id.ptr[dash] != '-' ||
        !codec_date_days((struct codec_date){year, month, day}, &days)) {
        return false;
    }
    struct span slug = {id.ptr + dash + 1, id.len - dash - 1};
    if (!codec_slug_ok(slug)) {
        return false;
    }
    ret_key->start_us =
        (days * DAY_SECONDS + hour * 3600 + minute * 60 + second) * SECOND_US;
    ret_key->slug = slug;
    return true;
}

size_t codec_owned_id(char letter, uint64_t owner, uint64_t number, char *out)
{
    static const char hex[] = "0123456789abcdef";
    char *p = out;
    *p++ = letter;
    for (int shift = 60; shift >= 0; shift -= 4) {
        *p++ = hex[owner >> shift & 15];
    }
    *p++ = '-';
    int shift = 60;
    while (shift > 0 && number >> shift == 0) {
        shift -= 4;
    }
    for (; shift >= 0; shift -= 4) {
        *p++ = hex[number >> shift & 15];
    }
    return (size_t)(p - out);
}

static bool codec_names_hex(struct span s, uint64_t *ret_value)
{
    uint64_t v = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && (c < 'a' || c > 'f')) {
            return false;
        }
        v = v << 4 | (uint64_t)(is_digit ? c - '0' : c - 'a' + 10);
    }
    *ret_value = v;
    return true;
}

bool codec_owned_id_parse(struct span id, char letter, uint64_t *ret_owner, uint64_t *ret_number)
{
    if (id.len < 19 || id.len > 34 || id.ptr[0] != (uint8_t)letter || id.ptr[17] != '-' ||
        (id.len > 19 && id.ptr[18] == '0')) {
        return false;
    }
    uint64_t owner, number;
    if (!codec_names_hex((struct span){id.ptr + 1, 16}, &owner) ||
        !codec_names_hex((struct span){id.ptr + 18, id.len - 18}, &number)) {
        return false;
    }
    *ret_owner = owner;
    *ret_number = number;
    return true;
}

/* The slug says everything that the desk's text says, but for capitals and "a b" beside "a-b". */
static bool codec_names_is_plain(struct span desk)
{
    bool is_gap = true; /* before the first one */
    for (size_t i = 0; i < desk.len; i++) {
        uint8_t c = desk.ptr[i];
        bool was_gap = is_gap;
        is_gap = c == ' ' || c == '-';
        if (is_gap ? was_gap : !codec_names_is_low(c) && (c < 'A' || c > 'Z')) {
            return false;
        }
    }
    return !is_gap && desk.len <= SLOT_DESK_MAX;
}

/* Letters and digits in lower case, every run of anything else between them one '-', at most `max`
 * bytes; the length. */
static size_t codec_names_base(struct span desk, char *out, size_t max)
{
    size_t n = 0;
    bool is_gap = false; /* something that is no letter or digit came since the last one */
    for (size_t i = 0; i < desk.len && n < max; i++) {
        uint8_t c = desk.ptr[i];
        if (c >= 'A' && c <= 'Z') {
            c = (uint8_t)(c - 'A' + 'a');
        }
        if (!codec_names_is_low(c)) {
            is_gap = true;
            continue;
        }
        if (is_gap && n > 0) {
            if (n + 2 > max) {
                break;
            }
            out[n++] = '-';
        }
        is_gap = false;
        out[n++] = (char)c;
    }
    return n;
}

size_t codec_desk_slug(struct span desk, char *out)
{
    static const char hex[] = "0123456789abcdef";
    bool is_plain = codec_names_is_plain(desk);
    size_t max = is_plain ? SLOT_DESK_MAX : SLOT_DESK_MAX - 1 - DESK_DIGITS;
    size_t n = codec_names_base(desk, out, max);
    if (n == 0) {
        out[n++] = 'x';
    }
    if (!is_plain && desk.len > 0) {
        uint64_t hash = XXH3_64bits(desk.ptr, desk.len);
        out[n++] = '-';
        for (int i = DESK_DIGITS; i-- > 0;) {
            out[n++] = hex[hash >> 4 * i & 15];
        }
    }
    out[n] = 0;
    return n;
}

size_t codec_etag(uint64_t version, char *out)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + version % 10);
        version /= 10;
    } while (version > 0);
    size_t n = 0;
    out[n++] = '"';
    out[n++] = 'v';
    while (count > 0) {
        out[n++] = digits[--count];
    }
    out[n++] = '"';
    out[n] = 0;
    return n;
}

bool codec_etag_matches(struct span etag, uint64_t version)
{
    char own[ETAG_MAX];
    size_t n = codec_etag(version, own);
    return etag.len == 0 || span_equal(etag, (struct span){(uint8_t *)own, n});
}
