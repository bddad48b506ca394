/* SPDX-License-Identifier: MIT */
/* Index of the API's own description.  Pure.  Owns: names and arrays in its arena; borrows the
 * descriptor set's bytes, so that a file is served exactly as protoc wrote it.
 *
 *   set -> file -> package . message . message ... | field | oneof | enum | extension
 *                  package . service . method
 *          an enum's values are beside it, as in C++, not in it
 *
 * Two walks over the same bytes by the same code: the first counts, the second fills.
 * Happy path of a look-up: binary search, bytes compared.
 * Fails: damaged bytes (SYMBOLS_E_DAMAGED), out of memory.  Nesting is limited, so that damage
 * cannot exhaust the stack.
 * Not descriptor.proto through protobuf-c: that is a thousand lines of generated code and a copy of
 * every descriptor, to find names that a walk finds in place. */
#include "gateway/symbols.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "gateway/pb.h"

#define SYMBOLS_BYTES_MAX (4 * 1024 * 1024) /* of the arena; our own set needs about 150 KiB */
#define SYMBOLS_PATH_MAX  256               /* bytes of a method's path; a longer one is none */
#define SYMBOLS_DEPTH_MAX 16                /* messages in messages */

/* Field numbers of google/protobuf/descriptor.proto. */
enum {
    SET_FILE = 1,
    FILE_NAME = 1, FILE_PACKAGE = 2, FILE_MESSAGE = 4, FILE_ENUM = 5, FILE_SERVICE = 6,
    FILE_EXTENSION = 7,
    ANY_NAME = 1,
    MESSAGE_FIELD = 2, MESSAGE_NESTED = 3, MESSAGE_ENUM = 4, MESSAGE_EXTENSION = 6,
    MESSAGE_ONEOF = 8,
    ENUM_VALUE = 2,
    SERVICE_METHOD = 2,
};

enum symbols_kind { KIND_LEAF, KIND_MESSAGE, KIND_ENUM, KIND_SERVICE };

/* One walk; without arrays it only counts. */
struct symbols_walk {
    struct symbols *s;
    bool filling;
    size_t files, names, services;
    bool failed; /* out of memory */
};

static bool symbols_field(struct span bytes, uint32_t number, struct span *ret_value)
{
    struct reader r = reader_of(bytes.ptr, bytes.len);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (f.number == number && f.wire == PB_BYTES) {
            *ret_value = f.bytes;
            return true;
        }
    }
    return false;
}

static struct span symbols_join(struct symbols_walk *w, struct span scope, struct span name)
{
    if (scope.len == 0) {
        return name;
    }
    uint8_t *p = arena_alloc(&w->s->arena, scope.len + 1 + name.len);
    if (p == NULL) {
        w->failed = true;
        return name;
    }
    memcpy(p, scope.ptr, scope.len);
    p[scope.len] = '.';
    memcpy(p + scope.len + 1, name.ptr, name.len);
    return (struct span){p, scope.len + 1 + name.len};
}

static enum symbols_kind symbols_child_kind(enum symbols_kind kind, uint32_t number, bool *ret_is)
{
    *ret_is = true;
    if (kind == KIND_MESSAGE && (number == MESSAGE_NESTED || number == MESSAGE_ENUM)) {
        return number == MESSAGE_NESTED ? KIND_MESSAGE : KIND_ENUM;
    }
    *ret_is = (kind == KIND_MESSAGE && (number == MESSAGE_FIELD || number == MESSAGE_ONEOF ||
                                        number == MESSAGE_EXTENSION)) ||
              (kind == KIND_ENUM && number == ENUM_VALUE) ||
              (kind == KIND_SERVICE && number == SERVICE_METHOD);
    return KIND_LEAF;
}

/* One definition with everything inside it. */
static int symbols_walk_item(struct symbols_walk *w, struct span scope, struct span item,
                             enum symbols_kind kind, unsigned depth)
{
    struct span name;
    if (depth > SYMBOLS_DEPTH_MAX || !symbols_field(item, ANY_NAME, &name)) {
        return SYMBOLS_E_DAMAGED;
    }
    struct span full = w->filling ? symbols_join(w, scope, name) : name;
    if (w->filling) {
        w->s->names[w->names] = (struct symbols_name){full, &w->s->files[w->files]};
        if (kind == KIND_SERVICE) {
            w->s->services[w->services] = full;
        }
    }
    w->names++;
    w->services += kind == KIND_SERVICE;
    struct reader r = reader_of(item.ptr, item.len);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        bool is_child;
        enum symbols_kind child = symbols_child_kind(kind, f.number, &is_child);
        if (is_child && f.wire == PB_BYTES) {
            int verdict = symbols_walk_item(w, kind == KIND_ENUM ? scope : full, f.bytes, child,
                                            depth + 1);
            if (verdict) {
                return verdict;
            }
        }
    }
    return r.bad ? SYMBOLS_E_DAMAGED : 0;
}

static int symbols_walk_file(struct symbols_walk *w, struct span file)
{
    struct span name, package = {0};
    if (!symbols_field(file, FILE_NAME, &name)) {
        return SYMBOLS_E_DAMAGED;
    }
    symbols_field(file, FILE_PACKAGE, &package);
    if (w->filling) {
        w->s->files[w->files] = (struct symbols_file){name, file};
    }
    struct reader r = reader_of(file.ptr, file.len);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        enum symbols_kind kind = f.number == FILE_MESSAGE   ? KIND_MESSAGE
                                 : f.number == FILE_ENUM    ? KIND_ENUM
                                 : f.number == FILE_SERVICE ? KIND_SERVICE
                                                            : KIND_LEAF;
        bool is_item = f.number == FILE_MESSAGE || f.number == FILE_ENUM ||
                       f.number == FILE_SERVICE || f.number == FILE_EXTENSION;
        if (is_item && f.wire == PB_BYTES) {
            int verdict = symbols_walk_item(w, package, f.bytes, kind, 0);
            if (verdict) {
                return verdict;
            }
        }
    }
    w->files++;
    return r.bad ? SYMBOLS_E_DAMAGED : 0;
}

static int symbols_walk_set(struct symbols_walk *w, struct span set)
{
    struct reader r = reader_of(set.ptr, set.len);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (f.number != SET_FILE || f.wire != PB_BYTES) {
            continue;
        }
        int verdict = symbols_walk_file(w, f.bytes);
        if (verdict) {
            return verdict;
        }
    }
    return r.bad ? SYMBOLS_E_DAMAGED : 0;
}

static int symbols_compare(struct span a, struct span b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int symbols_compare_names(const void *a, const void *b)
{
    return symbols_compare(((const struct symbols_name *)a)->name,
                           ((const struct symbols_name *)b)->name);
}

int symbols_init(struct symbols *s, struct span descriptor_set)
{
    *s = (struct symbols){0};
    arena_init(&s->arena, SYMBOLS_BYTES_MAX);
    struct symbols_walk count = {.s = s};
    int verdict = symbols_walk_set(&count, descriptor_set);
    if (verdict) {
        return verdict;
    }
    s->files = arena_zalloc(&s->arena, count.files * sizeof *s->files);
    s->names = arena_zalloc(&s->arena, count.names * sizeof *s->names);
    s->services = arena_zalloc(&s->arena, count.services * sizeof *s->services);
    if (s->files == NULL || s->names == NULL || s->services == NULL) {
        return err_origin(-ENOMEM);
    }
    struct symbols_walk fill = {.s = s, .filling = true};
    verdict = symbols_walk_set(&fill, descriptor_set);
    CHECK(verdict == 0);
    CHECK(fill.names == count.names);
    if (fill.failed) {
        return err_origin(-ENOMEM);
    }
    s->files_count = count.files;
    s->names_count = count.names;
    s->services_count = count.services;
    qsort(s->names, s->names_count, sizeof *s->names, symbols_compare_names);
    return 0;
}

/* "pkg.Service.Method" as "/pkg.Service/Method"; empty: it is no method of the service. */
static struct span symbols_path(struct span service, struct span name, uint8_t *out, size_t size)
{
    if (name.len <= service.len + 1 || name.len + 1 > size ||
        memcmp(name.ptr, service.ptr, service.len) != 0 || name.ptr[service.len] != '.') {
        return (struct span){0};
    }
    out[0] = '/';
    memcpy(out + 1, name.ptr, name.len);
    out[1 + service.len] = '/';
    return (struct span){out, name.len + 1};
}

static bool symbols_serves(const struct symbols *s, struct span service,
                           bool (*is_served)(struct span path))
{
    uint8_t out[SYMBOLS_PATH_MAX];
    for (size_t i = 0; i < s->names_count; i++) {
        struct span path = symbols_path(service, s->names[i].name, out, sizeof out);
        if (path.len && is_served(path)) {
            return true;
        }
    }
    return false;
}

void symbols_keep_served(struct symbols *s, bool (*is_served)(struct span path))
{
    size_t kept = 0;
    for (size_t i = 0; i < s->services_count; i++) {
        if (symbols_serves(s, s->services[i], is_served)) {
            s->services[kept++] = s->services[i];
        }
    }
    s->services_count = kept;
}

void symbols_fini(struct symbols *s)
{
    arena_fini(&s->arena);
    *s = (struct symbols){0};
}

const struct symbols_file *symbols_file_by_name(const struct symbols *s, struct span name)
{
    for (size_t i = 0; i < s->files_count; i++) {
        if (span_equal(s->files[i].name, name)) {
            return &s->files[i];
        }
    }
    return NULL;
}

const struct symbols_file *symbols_file_of(const struct symbols *s, struct span name)
{
    if (name.len && name.ptr[0] == '.') {
        name = (struct span){name.ptr + 1, name.len - 1};
    }
    struct symbols_name key = {.name = name};
    const struct symbols_name *found =
        s->names_count ? bsearch(&key, s->names, s->names_count, sizeof key, symbols_compare_names)
                       : NULL;
    return found ? found->file : NULL;
}

int symbols_service_index(const struct symbols *s, struct span name)
{
    for (size_t i = 0; i < s->services_count; i++) {
        if (span_equal(s->services[i], name)) {
            return (int)i;
        }
    }
    return -1;
}
