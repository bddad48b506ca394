/* SPDX-License-Identifier: MIT */
/* The gateway's side of the faces: which paths there are and may be asked by GET, whose pages may
 * call, and JSON on its way in and out.  Loop thread. */
#ifndef FAIRSLOT_GATEWAY_FACE_H
#define FAIRSLOT_GATEWAY_FACE_H

#include "base/arena.h"
#include "base/types.h"
#include "wire/wire.h"

struct call;

struct face_path {
    struct span path; /* "/pkg.Service/Method" */
    unsigned facts;   /* WIRE_PATH_* */
};

struct face {
    struct arena arena;      /* the table */
    struct face_path *paths; /* sorted by path */
    size_t paths_count;
    struct arena json;       /* one message at a time, reset by whoever used it */
};

/* Learns every method of a descriptor set.  0, FACE_E_DAMAGED, or -ENOMEM; fini is safe after any
 * outcome, and takes a zeroed face. */
enum { FACE_E_DAMAGED = 1 };
int face_init(struct face *face, struct span descriptor_set);
void face_fini(struct face *face);
/* WIRE_PATH_*; 0: no such method. */
unsigned face_facts(const struct face *face, struct span path);
/* Is the origin in the list ("*": everybody)?  Origins are compared byte by byte, as browsers send
 * them: "https://booking.example", no path. */
enum wire_origin face_origin_of(const char *const *origins, size_t count, struct span origin);

/* Of conn.c, for wire. */
unsigned face_path_facts(void *user, struct span path);
enum wire_origin face_origin(void *user, struct span origin);
bool face_error(void *user, struct span details, struct span *ret_json);

/* A message of a JSON call, packed; others pass as they are.  False: refused.  *ret_message is
 * valid until the next. */
bool face_request(struct call *call, struct span message, struct span *ret_message);
/* The other way.  0, or < 0. */
int face_answer(struct call *call, struct span message, struct span *ret_message);

#endif
