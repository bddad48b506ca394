/* SPDX-License-Identifier: MIT */
/* The key of the pseudonyms: made once, and never a second time.
 *   tenant_ensure   the key is there: done | something was kept under one: refuse | make it
 *   tenant_check    DIR/tenant.check is there: compare | make it
 * Owns nothing.  Fails with a sentence that names the file.
 * What says that a key was lost: the check file, or (in directories older than it) a shard's data
 * beside an issuer's keys.  A shard's data alone do not: a shard may be started before the first
 * gateway makes the keys.
 * Invariant: nothing is written when all files are there, so a full disk does not stop a start.
 * Not taken: the check inside the shard's store: the shard never sees the key, and the gateway may
 * be another process. */
#include "ctl/tenant.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "ctl/keyfile.h"
#include "ctl/talk.h"
#include "verb.h"

#define TENANT_DIGEST 32
#define TENANT_HEX    (2 * TENANT_DIGEST)

static int tenant_fail(int r, char *ret_text, const char *what, const char *path)
{
    snprintf(ret_text, TENANT_TEXT, "%s %.160s: %s", what, path, strerror(-r));
    return err_trace(r);
}

static bool tenant_has(const char *dir, const char *name)
{
    char path[KEYFILE_PATH_MAX];
    return keyfile_path(path, dir, name) && access(path, F_OK) == 0;
}

int tenant_ensure(const char *dir, char *ret_text)
{
    char path[KEYFILE_PATH_MAX];
    uint8_t key[TENANT_KEY_BYTES];
    ret_text[0] = '\0';
    if (!keyfile_path(path, dir, "tenant.key")) {
        return tenant_fail(err_origin(-ENAMETOOLONG), ret_text, "cannot make", dir);
    }
    /* In this order: who sees another process's keys sees its tenant key, too. */
    bool used = tenant_has(dir, "tenant.check") ||
                (tenant_has(dir, "shard") && tenant_has(dir, "issuer/es256.jwk"));
    if (tenant_has(dir, "tenant.key")) {
        return 0;
    }
    if (used) {
        snprintf(ret_text, TENANT_TEXT, "%.160s is missing, and the data beside it were kept "
                 "under it", path);
        return TENANT_E_REFUSED;
    }
    clock_random(key, sizeof(key));
    int r = keyfile_create(path, (struct span){key, sizeof(key)}, 0600);
    explicit_bzero(key, sizeof(key));
    r = r == KEYFILE_E_EXISTS ? 0 : err_fold(r);
    return r < 0 ? tenant_fail(r, ret_text, "cannot make", path) : 0;
}

/* The check value as text with its line end; `out` takes TENANT_HEX + 2 bytes. */
static int tenant_value(const uint8_t *key, char *out)
{
    static const char label[] = "fairslot/tenant/v1";
    uint8_t digest[TENANT_DIGEST];
    unsigned len = 0;
    if (!HMAC(EVP_sha256(), key, TENANT_KEY_BYTES, (const uint8_t *)label, sizeof(label) - 1,
              digest, &len)) {
        return err_origin(-ENOMEM);
    }
    CHECK(len == TENANT_DIGEST);
    for (size_t i = 0; i < TENANT_DIGEST; i++) {
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    }
    strcpy(out + TENANT_HEX, "\n");
    return 0;
}

int tenant_check(const char *dir, const uint8_t key[TENANT_KEY_BYTES], char *ret_text)
{
    char path[KEYFILE_PATH_MAX], value[TENANT_HEX + 2], *kept;
    size_t len;
    ret_text[0] = '\0';
    int r = keyfile_path(path, dir, "tenant.check") ? tenant_value(key, value)
                                                    : err_origin(-ENAMETOOLONG);
    if (r < 0) {
        return tenant_fail(r, ret_text, "cannot check the tenant key of", dir);
    }
    r = keyfile_read(path, 4096, &kept, &len);
    if (r == KEYFILE_E_MISSING) {
        r = keyfile_create(path, (struct span){(const uint8_t *)value, TENANT_HEX + 1}, 0600);
        if (r == 0) {
            return 0;
        }
        r = r == KEYFILE_E_EXISTS ? keyfile_read(path, 4096, &kept, &len) : r;
    }
    if (r != 0) {
        return tenant_fail(err_fold(r), ret_text, "cannot read or make", path);
    }
    bool same = len >= TENANT_HEX && CRYPTO_memcmp(kept, value, TENANT_HEX) == 0;
    free(kept);
    if (!same) {
        snprintf(ret_text, TENANT_TEXT, "the tenant key is not the one that %.160s was first used "
                 "with", dir);
        return TENANT_E_REFUSED;
    }
    return 0;
}

int tenant_tell_next(void)
{
    talk_next("put the old key file back: with another key nobody finds their reservations, and "
              "limits per person begin anew (to start over, name a new --data DIR)");
    return VERB_PRECONDITION;
}
