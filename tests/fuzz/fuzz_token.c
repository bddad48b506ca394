/* SPDX-License-Identifier: MIT */
/* Bearer tokens.  First byte 0: the rest is a token as it came.  Else: a header and claims (parted
 * by a NUL) that our own key signs, so that everything behind the signature is reached.  Whatever
 * is accepted must have been ours, with a subject, and valid now. */
#include "tests/unit/engine/gateway/forge.h"

#include "tests/fuzz/fuzz.h"

#include "gateway/verify.h"

static struct keyring *ring;
static EVP_PKEY *key;

static void token_setup(void)
{
    static const uint8_t tenant[KEYRING_TENANT_KEY] = {1};
    char text[256];
    if (ring) {
        return;
    }
    key = EVP_EC_gen("P-256");
    CHECK(key);
    char *jwks = forge_text("{\"keys\":[%s]}", forge_jwk(key, "k1", ""));
    struct issuer_options options = {.name = "fuzz", .jwks_file = "unread", .issuer = FORGE_ISSUER,
                                     .audience = FORGE_AUDIENCE};
    CHECK(keyring_new(&options, 1, tenant, &ring, text) == 0);
    CHECK(keyring_put(ring, 0, forge_span(jwks), text) == 0);
}

static char *token_part(struct span text)
{
    return forge_text("%.*s", (int)(text.len < 4000 ? text.len : 4000), (const char *)text.ptr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    token_setup();
    struct fuzz_cut in = fuzz_cut_of(data, size);
    bool is_signed = fuzz_byte(&in) != 0;
    struct span token = {in.at, in.left};
    if (is_signed) {
        char *header = token_part(fuzz_text(&in));
        char *claims = token_part(fuzz_text(&in));
        token = forge_span(forge_token(key, header, claims));
    }
    struct verified verified = {0};
    static const struct identity nobody;
    size_t number;
    int r = verify_token(ring, token, FORGE_NOW_US, &verified, &number);
    CHECK(r >= 0);
    if (r == 0) {
        CHECK(is_signed);
        CHECK(verified.exp_us > FORGE_NOW_US);
        CHECK(verified.assurance <= ASSURANCE_HIGH);
        CHECK(memcmp(&verified.identity, &nobody, sizeof(nobody)) != 0);
    } else {
        CHECK(r == VERIFY_E_KID || reason_status((enum reason)r) == 16);
    }
    return 0;
}
