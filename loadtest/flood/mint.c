/* SPDX-License-Identifier: MIT */
/* Minting: about 20,000 ES256 signatures a second, so a million identities take under a minute.
 * Owns: an unlinked temporary file and its mapping.  Fails when the disk is full or the issuer's
 * keys cannot be read; nothing is left behind either way. */
#include "flood/mint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/clock.h"
#include "ctl/issuer.h"
#include "ctl/talk.h"
#include "flood/prepared.h"
#include "verb.h"

#define MINT_TTL_S (6 * 3600)

static int mint_one(struct issuer *issuer, const struct crowd_population *p, uint64_t number,
                    FILE *out, uint64_t *at)
{
    static const char *const levels[] = {"low", "low", "substantial", "high"};
    char subject[CROWD_NAME_MAX + 24];
    char *token;
    CHECK(p->assurance <= CROWD_HIGH);
    struct issuer_claims claims = {.subject = subject, .assurance = levels[p->assurance],
                                   .ttl_s = MINT_TTL_S};
    snprintf(subject, sizeof subject, "%s-%llu", p->name, (unsigned long long)number);
    if (issuer_mint(issuer, &claims, &token) < 0) {
        talk_error("cannot sign a token");
        return VERB_FAILED;
    }
    size_t len = strlen(token);
    size_t written = fwrite(token, 1, len, out);
    free(token);
    *at += len;
    if (written != len) {
        talk_error("the tokens do not fit: %s", strerror(errno));
        talk_next("set TMPDIR to a folder on a larger disk");
        return VERB_FAILED;
    }
    return 0;
}

static int mint_all(struct issuer *issuer, struct plan *plan, FILE *out, uint64_t *offsets)
{
    uint64_t at = 0;
    int r = 0;
    for (uint32_t k = 0; k < plan->scenario.populations_count && r == 0; k++) {
        const struct crowd_population *p = &plan->scenario.populations[k];
        for (uint64_t i = 0; p->victims < 0 && i < p->identities && r == 0; i++) {
            offsets[p->first_identity + i] = at;
            r = mint_one(issuer, p, i, out, &at);
        }
    }
    offsets[plan->scenario.identities_count] = at;
    if (r == 0 && fflush(out) != 0) {
        talk_error("the tokens do not fit: %s", strerror(errno));
        r = VERB_FAILED;
    }
    return r;
}

int mint_tokens(const char *issuer_dir, struct plan *plan)
{
    char text[ISSUER_TEXT];
    struct issuer *issuer = NULL;
    uint32_t count = plan->scenario.identities_count;
    CHECK(count > 0);
    FILE *out = tmpfile();
    uint64_t *offsets = calloc((size_t)count + 1, sizeof *offsets);
    int r = VERB_FAILED;
    if (out == NULL || offsets == NULL) {
        talk_error("no room for tokens: %s", strerror(errno));
    } else if (issuer_open(issuer_dir, &issuer, text) != 0) {
        talk_error("%s", text);
        talk_next("give --issuer the data directory of `fairslot serve --dev`");
    } else {
        r = mint_all(issuer, plan, out, offsets);
    }
    issuer_close(issuer);
    if (r == 0) {
        void *map = mmap(NULL, offsets[count], PROT_READ, MAP_SHARED, fileno(out), 0);
        r = map == MAP_FAILED ? VERB_FAILED : 0;
        plan->tokens = r ? NULL : map;
        plan->token_bytes = offsets[count];
    }
    plan->token_at = r ? NULL : offsets;
    if (r) {
        free(offsets);
    }
    if (out) {
        fclose(out);
    }
    return r;
}

int mint_prepared(const char *issuer_dir, const char *path, struct plan *plan)
{
    uint64_t key;
    int r = prepared_key(issuer_dir, plan, &key);
    if (r) {
        return r;
    }
    r = prepared_load(path, key, plan);
    if (r != PREPARED_E_MISSING) {
        if (r == 0) {
            talk_say("%u tokens out of %s", plan->scenario.identities_count, path);
        }
        return r;
    }
    talk_say("minting %u tokens into %s", plan->scenario.identities_count, path);
    int64_t until_s = clock_wall_us() / SECOND_US + MINT_TTL_S;
    r = mint_tokens(issuer_dir, plan);
    return r ? r : prepared_save(path, key, until_s, plan);
}

void mint_free(struct plan *plan)
{
    if (plan->tokens) {
        munmap((void *)(uintptr_t)plan->tokens, plan->token_bytes);
        free((void *)(uintptr_t)plan->token_at);
        plan->tokens = NULL;
        plan->token_at = NULL;
    }
}
