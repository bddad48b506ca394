/* SPDX-License-Identifier: MIT */
/* The tenant key: made once, known again, and never replaced behind people's backs. */
#include "ctl/tenant.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/keyfile.h"
#include "tests/lib/tap.h"

static char dir[64];
static char text[TENANT_TEXT];
static uint8_t key[TENANT_KEY_BYTES];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void fresh(void)
{
    strcpy(dir, "/tmp/fairslot-tenant-XXXXXX");
    OK(mkdtemp(dir) != NULL);
}

static void gone(void)
{
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *in(const char *name)
{
    static char path[KEYFILE_PATH_MAX];
    OK(keyfile_path(path, dir, name));
    return path;
}

static void put(const char *name, const char *what)
{
    EQ(keyfile_replace(in(name), (struct span){(const uint8_t *)what, strlen(what)}, 0600), 0);
}

static void read_key(void)
{
    char *bytes;
    size_t len;
    EQ(keyfile_read(in("tenant.key"), 4096, &bytes, &len), 0);
    EQ(len, TENANT_KEY_BYTES);
    memcpy(key, bytes, sizeof(key));
    free(bytes);
}

static void test_made_once(void)
{
    struct stat st;
    fresh();
    EQ(tenant_ensure(dir, text), 0);
    read_key();
    EQ(tenant_check(dir, key, text), 0);
    uint8_t before[TENANT_KEY_BYTES];
    memcpy(before, key, sizeof(key));
    EQ(tenant_ensure(dir, text), 0);
    read_key();
    OK(memcmp(before, key, sizeof(key)) == 0);
    EQ(tenant_check(dir, key, text), 0);
    EQ(stat(in("tenant.key"), &st), 0);
    EQ(st.st_mode & 0777, 0600);
    EQ(stat(in("tenant.check"), &st), 0);
    EQ(st.st_mode & 0777, 0600);
    EQ(st.st_size, 65);
    gone();
}

static void test_known_value(void)
{
    char *kept;
    fresh();
    memset(key, 7, sizeof(key));
    EQ(tenant_check(dir, key, text), 0);
    EQ(keyfile_read(in("tenant.check"), 4096, &kept, NULL), 0);
    EQS(kept, "a74090578118006fbd05e27baa32936b11782bd083ab7bd09eaa136520548238"
             "\n");
    free(kept);
    gone();
}

static void test_another_key(void)
{
    fresh();
    memset(key, 7, sizeof(key));
    EQ(tenant_check(dir, key, text), 0);
    key[31] ^= 1;
    EQ(tenant_check(dir, key, text), TENANT_E_REFUSED);
    OK(strstr(text, dir) != NULL);
    key[31] ^= 1;
    EQ(tenant_check(dir, key, text), 0);
    put("tenant.check", "");
    EQ(tenant_check(dir, key, text), TENANT_E_REFUSED);
    gone();
}

static void test_lost_key(void)
{
    fresh();
    EQ(tenant_ensure(dir, text), 0);
    read_key();
    EQ(tenant_check(dir, key, text), 0);
    EQ(unlink(in("tenant.key")), 0);
    EQ(tenant_ensure(dir, text), TENANT_E_REFUSED);
    OK(strstr(text, "tenant.key") != NULL);
    OK(access(in("tenant.key"), F_OK) < 0);
    gone();
}

/* Directories older than the check file, and a shard that was there before any gateway. */
static void test_lost_key_without_check(void)
{
    fresh();
    EQ(mkdir(in("shard"), 0700), 0);
    EQ(mkdir(in("issuer"), 0700), 0);
    put("issuer/es256.jwk", "{}");
    EQ(tenant_ensure(dir, text), TENANT_E_REFUSED);
    EQ(unlink(in("issuer/es256.jwk")), 0);
    EQ(tenant_ensure(dir, text), 0);
    gone();
}

int main(void)
{
    TAP_RUN(test_made_once);
    TAP_RUN(test_known_value);
    TAP_RUN(test_another_key);
    TAP_RUN(test_lost_key);
    TAP_RUN(test_lost_key_without_check);
    return tap_done();
}
