/* SPDX-License-Identifier: MIT */
/* Which file of the API defines a name: the index behind reflection and health.  PURE.
 * Built once from a serialized google.protobuf.FileDescriptorSet, which must outlive it. */
#ifndef FAIRSLOT_GATEWAY_SYMBOLS_H
#define FAIRSLOT_GATEWAY_SYMBOLS_H

#include "base/arena.h"
#include "base/types.h"

struct symbols_file {
    struct span name;  /* "fairslot/v1/services.proto" */
    struct span bytes; /* its FileDescriptorProto, as it stands in the set */
};

struct symbols_name {
    struct span name;                /* fully qualified, no leading dot */
    const struct symbols_file *file; /* where it is defined */
};

struct symbols {
    struct arena arena; /* the arrays and the qualified names */
    struct symbols_file *files;
    size_t files_count;
    struct symbols_name *names; /* sorted by name */
    size_t names_count;
    struct span *services; /* in the order of the set, as far as symbols_keep_served() left them */
    size_t services_count;
};

/* 0, SYMBOLS_E_DAMAGED (not a descriptor set), or -ENOMEM.  Fini is safe after any outcome. */
enum { SYMBOLS_E_DAMAGED = 1 };
int symbols_init(struct symbols *s, struct span descriptor_set);
/* Strikes services of which no method is served from `services`; their names stay.  `is_served` is
 * asked with a method's path, "/pkg.Service/Method", during the call only. */
void symbols_keep_served(struct symbols *s, bool (*is_served)(struct span path));
void symbols_fini(struct symbols *s);
/* NULL: no such file. */
const struct symbols_file *symbols_file_by_name(const struct symbols *s, struct span name);
/* Of a message, enum, extension, service or method; a leading dot is allowed.  NULL: none. */
const struct symbols_file *symbols_file_of(const struct symbols *s, struct span name);
/* Place of a service in `services`, or -1. */
int symbols_service_index(const struct symbols *s, struct span name);

#endif
