/* SPDX-License-Identifier: MIT */
/* What may stand in a google.protobuf.Any: the details of a refusal, and what an operation says of
 * itself.  No request has an Any, so nothing from outside chooses a type.
 * Owns nothing; an unknown type is NULL. */
#include "base/check.h"
#include "proto/codec_json_parts.h"

#include "fairslot/admin/v1/cluster.pb-c.h"
#include "google/rpc/error_details.pb-c.h"

static const ProtobufCMessageDescriptor *const types[] = {
    &google__rpc__error_info__descriptor,
    &google__rpc__retry_info__descriptor,
    &google__rpc__quota_failure__descriptor,
    &google__rpc__bad_request__descriptor,
    &google__rpc__precondition_failure__descriptor,
    &google__rpc__resource_info__descriptor,
    &google__rpc__help__descriptor,
    &google__rpc__localized_message__descriptor,
    &fairslot__admin__v1__range_move_metadata__descriptor,
    &fairslot__admin__v1__node__descriptor,
    &fairslot__admin__v1__shard__descriptor,
    &fairslot__admin__v1__backup__descriptor,
};

const ProtobufCMessageDescriptor *codec_json_any_type(struct span full_name)
{
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        if (span_equal(full_name, span_of(types[i]->name))) {
            return types[i];
        }
    }
    return NULL;
}

struct span codec_json_any_name(const char *type_url)
{
    struct span url = span_of(type_url);
    size_t start = url.len;
    while (start > 0 && url.ptr[start - 1] != '/') {
        start--;
    }
    return (struct span){url.ptr + start, url.len - start};
}
