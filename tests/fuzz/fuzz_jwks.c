/* SPDX-License-Identifier: MIT */
/* Key sets: any bytes where an issuer's JWKS should stand.  A set that is taken has a key. */
#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "gateway/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t tenant[VERIFY_TENANT_KEY] = {1};
    struct verify_options options = {.jwks = {data, size}, .issuer = "https://issuer.test",
                                     .audience = "fairslot", .tenant_key = tenant};
    struct verify *verify = NULL;
    struct verified verified;
    char text[256] = "";
    int r = verify_new(&options, &verify, text);
    CHECK(r == 0 || r == VERIFY_E_KEYS);
    CHECK(memchr(text, 0, sizeof(text)));
    if (r == 0) {
        CHECK(verify_keys_count(verify) > 0);
        CHECK(verify_token(verify, span_of("eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIn0.e30.AAAA"), 1,
                           &verified) > 0);
    }
    verify_free(verify);
    return 0;
}
