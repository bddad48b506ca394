/* SPDX-License-Identifier: MIT */
/* fairslot release verify BUNDLE: recomputes a release from what was published.  Offline: no
 * server, no key, no trust in whoever wrote the bundle.
 *   files -> shards/draw/bundle -> what holds, or the first place that does not
 * Owns the mappings of the files while it runs.  Fails with the file and line that do not fit
 * (exit 1), or that a file cannot be read (exit 3). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "ctl/cmd.h"
#include "ctl/keyfile.h"
#include "ctl/options.h"
#include "ctl/proof.h"
#include "ctl/talk.h"
#include "draw/bundle.h"

const char cmd_release_verify_help[] =
    "usage: fairslot release verify BUNDLE [options]\n"
    "Recomputes a whole release from its published bundle, offline: slots, commitments, trustees'\n"
    "signatures, the root of all tickets, the seed, everybody's rank, and who got what.\n"
    "  BUNDLE              the folder with manifest, slots, parts, signatures, tickets, late,\n"
    "                      returns (not in bundles of before) and outcome\n"
    "  --receipt FILE      the answer of 'fairslot ticket create': is it in, and what came?\n"
    "  --key KEY           the operator's key as published: 64 hex digits, or a PEM file\n"
    "  -o json             the result as JSON\n"
    "Exit: 0 everything holds; 1 something does not, and where; 3 a file is missing.\n"
    "example:\n"
    "  fairslot release verify bundle/\n";

static void verify_unmap(struct span file)
{
    if (file.len) {
        munmap((void *)file.ptr, file.len);
    }
}

/* An empty file is an empty span.  An exit code; one that may be missing is then left alone. */
static int verify_map(const char *dir, const char *name, bool *ret_is_there, struct span *ret_file)
{
    char path[KEYFILE_PATH_MAX];
    struct stat st;
    if (!keyfile_path(path, dir, name)) {
        talk_error("the path %s is too long", dir);
        return VERB_USAGE;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && ret_is_there) {
        return VERB_OK;
    }
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        talk_error("%s: %s", path, fd < 0 ? strerror(errno) : "not a plain file");
        talk_next("a bundle is the folder that 'fairslot release report' writes");
        if (fd >= 0) {
            close(fd);
        }
        return VERB_PRECONDITION;
    }
    void *at = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close(fd);
    if (at == MAP_FAILED) {
        talk_error("%s: %s", path, strerror(errno));
        return VERB_FAILED;
    }
    *ret_file = (struct span){at, (size_t)st.st_size};
    if (ret_is_there) {
        *ret_is_there = true;
    }
    return VERB_OK;
}

static void verify_hex(const struct draw_hash *hash, char out[65])
{
    for (int i = 0; i < 32; i++) {
        snprintf(out + 2 * i, 3, "%02x", hash->bytes[i]);
    }
}

static void verify_key(const struct draw_summary *s)
{
    printf("key      ");
    for (size_t i = 0; i < sizeof s->key.bytes; i++) {
        printf("%02x", s->key.bytes[i]);
    }
    printf("\n");
}

/* What became of the receipt's ticket. */
static void verify_say_receipt(const struct draw_summary *s)
{
    if (s->receipt_version == 0) {
        return;
    }
    printf("receipt  %s: the bundle has version %" PRIu64 "\n",
           s->is_receipt_replaced ? "replaced" : "included", s->receipt_version);
    if (s->receipt_wish > 0) {
        printf("         rank %016" PRIx64 ", got wish %u\n", s->receipt_rank, s->receipt_wish);
    } else if (s->receipt_rank > 0) {
        printf("         rank %016" PRIx64 "%s\n", s->receipt_rank,
               s->is_receipt_lost ? ", lost" : "");
    }
}

static void verify_say_returns(const struct draw_summary *s)
{
    if (s->is_journaled) {
        printf("returns  %u slots came back, %u tickets got some out of standby%s\n", s->returned,
               s->standby, s->is_open ? "; as of an instant: the release is open" : "");
    } else {
        printf("returns  no journal: where slots came back, of later cohorts the order alone was "
               "checked\n");
    }
}

static void verify_say(const struct draw_summary *s)
{
    char root[65], seed[65];
    verify_hex(&s->root, root);
    verify_hex(&s->seed, seed);
    printf("everything holds: %u tickets (%u withdrawn, %u late), %u slots, %u served\n",
           s->tickets + s->late, s->withdrawn, s->late, s->slots, s->winners);
    printf("root     %s\nseed     %s\ncut-off  %016" PRIx64 "\n", root, seed, s->cut_off);
    verify_key(s);
    printf("parts    the operator's, %u of %u trustees'%s\n",
           s->trustees - s->parts_missing, s->trustees, s->has_beacon ? ", a beacon's" : "");
    if (s->parts_missing || s->beacon_is_missing) {
        printf("missing  %u trustees'%s: empty, by the manifest's rule\n", s->parts_missing,
               s->beacon_is_missing ? ", the beacon's" : "");
    }
    verify_say_returns(s);
    if (s->rests_on_operator) {
        printf("order rests on the operator's word: no trustee and no beacon took part\n");
    }
    if (s->is_withheld) {
        printf("preferences are withheld: the order was checked, not which slot each one got\n");
    }
    verify_say_receipt(s);
}

static void verify_json(const struct draw_summary *s)
{
    char root[65], seed[65];
    verify_hex(&s->root, root);
    verify_hex(&s->seed, seed);
    printf("{\"valid\":true,\"tickets\":%u,\"withdrawn\":%u,\"late\":%u,\"slots\":%u,\"served\":%u,"
           "\"root\":\"%s\",\"seed\":\"%s\",\"cutOff\":\"%016" PRIx64 "\",\"trustees\":%u,"
           "\"partsMissing\":%u,\"returned\":%u,\"standby\":%u",
           s->tickets, s->withdrawn, s->late, s->slots, s->winners, root, seed, s->cut_off,
           s->trustees, s->parts_missing, s->returned, s->standby);
    const struct {
        const char *name;
        bool value;
    } facts[] = {{"hasBeacon", s->has_beacon},
                 {"beaconMissing", s->beacon_is_missing},
                 {"restsOnOperator", s->rests_on_operator},
                 {"journal", s->is_journaled},
                 {"open", s->is_open},
                 {"withheld", s->is_withheld}};
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
        printf(",\"%s\":%s", facts[i].name, facts[i].value ? "true" : "false");
    }
    if (s->receipt_version) {
        printf(",\"receipt\":{\"status\":\"%s\",\"version\":%" PRIu64 ",\"rank\":\"%" PRIu64
               "\",\"wish\":%u,\"lost\":%s}",
               s->is_receipt_replaced ? "replaced" : "included", s->receipt_version,
               s->receipt_rank, s->receipt_wish, s->is_receipt_lost ? "true" : "false");
    }
    printf("}\n");
}

static int verify_bundle(const struct draw_bundle *b, bool json)
{
    struct draw_summary summary;
    struct draw_finding finding;
    int r = draw_bundle_verify(b, &summary, &finding);
    if (r < 0) {
        err_print(stderr);
        return VERB_FAILED;
    }
    if (r == 0) {
        json ? verify_json(&summary) : verify_say(&summary);
        return VERB_OK;
    }
    if (json) {
        printf("{\"valid\":false,\"file\":\"%s\",\"line\":%lu,\"what\":\"%s\"}\n", finding.file,
               finding.line, finding.what);
    }
    if (finding.line) {
        talk_error("%s:%lu: %s", finding.file, finding.line, finding.what);
    } else {
        talk_error("%s: %s", finding.file, finding.what);
    }
    talk_next("compare the file with the one that others have; do not rely on this outcome");
    return VERB_FAILED;
}

static int verify_receipt(const char *path, struct draw_bundle_receipt *ret_receipt)
{
    char *bytes;
    size_t len;
    const char *what = "";
    int r = keyfile_read(path, 64 * 1024, &bytes, &len);
    if (r != 0) {
        talk_error("%s: %s", path, r == KEYFILE_E_MISSING ? "no such file" : "cannot be read");
        talk_next("a receipt is the JSON that 'fairslot ticket create' prints");
        return VERB_PRECONDITION;
    }
    bool ok = proof_read_receipt((struct span){(uint8_t *)bytes, len}, ret_receipt, &what);
    free(bytes);
    if (!ok) {
        talk_error("%s: %s is missing or wrong", path, what);
        talk_next("a receipt is the JSON that 'fairslot ticket create' prints");
        return VERB_FAILED;
    }
    return VERB_OK;
}

int cmd_release_verify(const struct verb *verb, int argc, char **argv)
{
    struct options_words words;
    const char *output = "", *key_text = NULL, *receipt_path = NULL;
    struct draw_key key;
    struct draw_bundle_receipt receipt;
    const struct options_spec specs[] = {{"output", 'o', &output, NULL},
                                         {"key", 0, &key_text, NULL},
                                         {"receipt", 0, &receipt_path, NULL}, {NULL}};
    const struct options_rule rule = {specs, 1, 1, "BUNDLE"};
    struct draw_bundle b = {{0}};
    const struct {
        const char *name;
        struct span *file;
    } files[] = {{"manifest", &b.manifest}, {"slots", &b.slots}, {"parts", &b.parts},
                 {"signatures", &b.signatures}, {"tickets", &b.tickets}, {"late", &b.late},
                 {"outcome", &b.outcome}, {"returns", &b.returns}};
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    if (output[0] && strcmp(output, "json") != 0) {
        return options_wrong(verb, "output", output, "json, or leave it out");
    }
    if (key_text && !proof_key(key_text, &key)) {
        return options_wrong(verb, "key", key_text, "64 hex digits, or a PEM file");
    }
    b.key = key_text ? &key : NULL;
    b.receipt = receipt_path ? &receipt : NULL;
    int code = receipt_path ? verify_receipt(receipt_path, &receipt) : VERB_OK;
    for (size_t i = 0; i < sizeof files / sizeof files[0] && code == VERB_OK; i++) {
        bool may_lack = files[i].file == &b.returns; /* of before */
        code = verify_map(words.at[0], files[i].name, may_lack ? &b.has_returns : NULL,
                          files[i].file);
    }
    if (code == VERB_OK) {
        code = verify_bundle(&b, output[0] != '\0');
    }
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        verify_unmap(*files[i].file);
    }
    return code;
}
