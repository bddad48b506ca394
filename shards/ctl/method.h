/* SPDX-License-Identifier: MIT */
/* Methods of the API, by the names that people type, and what goes in and out of them. */
#ifndef FAIRSLOT_CTL_METHOD_H
#define FAIRSLOT_CTL_METHOD_H

#include "base/types.h"

#define METHOD_PATH_MAX 96 /* bytes of a path, with its end */

enum { METHOD_E_UNKNOWN = 1, METHOD_E_SEVERAL = 2 };

/* "/fairslot.v1.CatalogService/ListPools" from that, or from any end of it that begins behind a dot
 * or a slash: "CatalogService/ListPools", "ListPools".  `ret_path` has METHOD_PATH_MAX bytes.
 * 0, or METHOD_E_UNKNOWN, METHOD_E_SEVERAL: told, with what might have been meant. */
int method_find(const char *word, char *ret_path);
/* Every method with its messages, a line each, on stdout. */
void method_list(void);
/* The fields of the method's messages, and of those in them, on stdout. */
void method_describe(const char *path);
/* Adds a request id to a packed request that wants one and has none; `out` has room for 64 bytes
 * more than the request.  Returns the new length. */
size_t method_add_request_id(const char *path, struct span request, uint8_t *out);

#endif
