/* SPDX-License-Identifier: MIT */
/* Key sets: any bytes where an issuer's JWKS should stand.  A set that is taken has a key. */
#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "gateway/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t tenant[KEYRING_TENANT_KEY] = {1};
    struct issuer_options options = {.name = "fuzz", .jwks_file = "unread",
                                     .issuer = "https://issuer.test", .audience = "fairslot",
                                     .algorithms = "ES256, ES384, RS256, PS256"};
    struct keyring *ring = NULL;
    struct verified verified;
    size_t number;
    char text[256] = "";
    CHECK(keyring_new(&options, 1, tenant, &ring, text) == 0);
    int r = keyring_put(ring, 0, (struct span){data, size}, text);
    CHECK(r == 0 || r == KEYRING_E_KEYS);
    CHECK(memchr(text, 0, sizeof(text)));
    struct keyset *set = keyring_take(ring, 0);
    CHECK((set != NULL) == (r == 0));
    if (set) {
        CHECK(set->count > 0);
        CHECK(keyring_is_live(ring, set->keys[set->count - 1].mark));
        CHECK(verify_token(ring, span_of("eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIn0.e30.AAAA"), 1,
                           &verified, &number) > 0);
    }
    keyset_drop(set);
    keyring_free(ring);
    return 0;
}
