/* SPDX-License-Identifier: MIT */
/* Names as clients spell them: slot ids, hold and reservation ids, desks, etags, method paths.
 * What parses is written the same way again. */
#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "proto/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span id = {data, size};
    struct slot_key key;
    uint64_t owner, number;
    char text[64];
    if (codec_slot_id_parse(id, &key)) {
        size_t len = codec_slot_id(&key, text);
        struct slot_key again;
        CHECK(len <= 48);
        CHECK(codec_slot_id_parse((struct span){(uint8_t *)text, len}, &again));
        CHECK(again.start_us == key.start_us);
        CHECK(span_equal(again.slug, key.slug));
    }
    if (codec_owned_id_parse(id, 'h', &owner, &number)) {
        size_t len = codec_owned_id('h', owner, number, text);
        CHECK(span_equal((struct span){(uint8_t *)text, len}, id));
    }
    size_t len = codec_desk_slug(id, text);
    CHECK(len > 0 && len <= SLOT_DESK_MAX);
    codec_etag_matches(id, 12);
    codec_method_find(id);
    return 0;
}
