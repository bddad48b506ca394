/* SPDX-License-Identifier: MIT */
/* An operator's file of slots, whatever is in it: errors with their lines, or slots that keep their
 * bounds, in order. */
#include "tests/fuzz/fuzz.h"

#include "base/limits.h"
#include "ctl/csv.h"
#include "ctl/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size + 1);
    struct import import;
    CHECK(bytes);
    memcpy(bytes, data, size);
    CHECK(import_read(&import, bytes, size, size & 1 ? "pool" : NULL) == 0);
    for (size_t i = 0; i < import.count && import.errors_count == 0; i++) {
        CHECK(strlen(import.slots[i].pool) <= POOL_ID_MAX);
        CHECK(import.slots[i].duration_s > 0);
        CHECK(i == 0 || strcmp(import.slots[i - 1].pool, import.slots[i].pool) <= 0);
    }
    for (size_t i = 0; i < import.errors_count && i < IMPORT_ERRORS_SHOWN; i++) {
        CHECK(memchr(import.errors[i].text, 0, sizeof(import.errors[i].text)));
    }
    import_fini(&import);
    free(bytes);
    return 0;
}
