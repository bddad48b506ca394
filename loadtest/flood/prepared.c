/* SPDX-License-Identifier: MIT */
/* Tokens in a file: minted once, used by many runs of one crowd.
 *   head (what they are for, until when, how many) | tokens, one behind the other | their offsets
 * Owns: the mapping, which goes over to the plan.
 * Fails when the file is another crowd's, another issuer's or too old, and says what to do; a file
 * that is not there is no failure: it is made, whole or not at all, mode 0600.
 * Trusted is nothing that it says of its own size. */
#include "flood/prepared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "ctl/keyfile.h"
#include "ctl/talk.h"
#include "verb.h"

#define PREPARED_MAGIC  "fairslot tokens 1"
#define PREPARED_LEFT_S 900 /* they must last this much longer */

static uint64_t prepared_mix(uint64_t x, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < len; i++) {
        x = (x ^ at[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    }
    return x;
}

int prepared_key(const char *issuer_dir, const struct plan *plan, uint64_t *ret_key)
{
    char path[KEYFILE_PATH_MAX], *keys;
    size_t len;
    if (!keyfile_path(path, issuer_dir, "issuer/jwks.json") ||
        keyfile_read(path, 1 << 20, &keys, &len) != 0) {
        talk_error("there are no issuer's keys in %s", issuer_dir);
        talk_next("give --issuer the data directory of `fairslot serve --dev`");
        return VERB_FAILED;
    }
    uint64_t x = prepared_mix(UINT64_C(0xcbf29ce484222325), keys, len);
    free(keys);
    for (uint32_t k = 0; k < plan->scenario.populations_count; k++) {
        const struct crowd_population *p = &plan->scenario.populations[k];
        uint64_t numbers[3] = {p->victims >= 0 ? 0 : p->identities, (uint64_t)p->assurance,
                               p->first_identity};
        x = prepared_mix(x, p->name, strlen(p->name) + 1);
        x = prepared_mix(x, numbers, sizeof numbers);
    }
    *ret_key = x;
    return 0;
}

/* Do its sizes hold together?  The offsets, to be freed; NULL: no. */
static uint64_t *prepared_offsets(const uint8_t *map, size_t bytes, uint64_t count)
{
    struct prepared_head head;
    memcpy(&head, map, sizeof head);
    size_t size = ((size_t)count + 1) * sizeof(uint64_t);
    if (head.count != count || head.tokens_len > bytes ||
        bytes != sizeof head + head.tokens_len + size) {
        return NULL;
    }
    uint64_t *offsets = malloc(size);
    CHECK(offsets != NULL);
    memcpy(offsets, map + sizeof head + head.tokens_len, size);
    bool is_right = offsets[0] == sizeof head &&
                    offsets[count] == sizeof head + head.tokens_len;
    for (uint64_t i = 0; i < count && is_right; i++) {
        is_right = offsets[i] <= offsets[i + 1] && offsets[i + 1] - offsets[i] < PREPARED_TOKEN_MAX;
    }
    if (!is_right) {
        free(offsets);
        return NULL;
    }
    return offsets;
}

static int prepared_wrong(const char *path, const char *what)
{
    talk_error("the tokens in %s are %s", path, what);
    talk_next("remove the file: the next run makes it anew");
    return VERB_FAILED;
}

/* The mapping becomes the plan's; 0 or an exit code. */
static int prepared_take(const char *path, uint64_t key, const uint8_t *map, size_t bytes,
                         struct plan *plan)
{
    struct prepared_head head = {.magic = ""};
    memcpy(&head, map, bytes < sizeof head ? bytes : sizeof head);
    if (memcmp(head.magic, PREPARED_MAGIC, sizeof PREPARED_MAGIC) != 0) {
        return prepared_wrong(path, "no tokens that `flood --prepared` made");
    }
    if (head.key != key) {
        return prepared_wrong(path, "another crowd's, or another issuer's");
    }
    if (head.until_s < clock_wall_us() / SECOND_US + PREPARED_LEFT_S) {
        return prepared_wrong(path, "too old: they end within 15 minutes");
    }
    uint64_t *offsets = prepared_offsets(map, bytes, plan->scenario.identities_count);
    if (offsets == NULL) {
        return prepared_wrong(path, "damaged");
    }
    plan->tokens = (const char *)map;
    plan->token_bytes = bytes;
    plan->token_at = offsets;
    return 0;
}

int prepared_load(const char *path, uint64_t key, struct plan *plan)
{
    struct stat stat;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        return PREPARED_E_MISSING;
    }
    if (fd < 0 || fstat(fd, &stat) < 0) {
        talk_error("cannot read %s: %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return VERB_FAILED;
    }
    size_t bytes = (size_t)stat.st_size;
    void *map = bytes < sizeof(struct prepared_head)
                    ? MAP_FAILED : mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED) {
        return prepared_wrong(path, "damaged");
    }
    int r = prepared_take(path, key, map, bytes, plan);
    if (r) {
        munmap(map, bytes);
    }
    return r;
}

int prepared_save(const char *path, uint64_t key, int64_t until_s, const struct plan *plan)
{
    char made[KEYFILE_PATH_MAX];
    uint64_t count = plan->scenario.identities_count, shift = sizeof(struct prepared_head);
    struct prepared_head head = {.magic = PREPARED_MAGIC, .key = key, .until_s = until_s,
                                 .count = count, .tokens_len = plan->token_at[count]};
    int n = snprintf(made, sizeof made, "%s.%d", path, (int)getpid());
    int fd = n < (int)sizeof made ? open(made, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    bool is_well = out != NULL && fwrite(&head, sizeof head, 1, out) == 1 &&
                   fwrite(plan->tokens, 1, head.tokens_len, out) == head.tokens_len;
    for (uint64_t i = 0; i <= count && is_well; i++) {
        uint64_t at = plan->token_at[i] + shift;
        is_well = fwrite(&at, sizeof at, 1, out) == 1;
    }
    is_well = out != NULL && fclose(out) == 0 && is_well && rename(made, path) == 0;
    if (!is_well) {
        talk_error("cannot write the tokens to %s: %s", path, strerror(errno));
        unlink(made);
    }
    return is_well ? 0 : VERB_FAILED;
}
