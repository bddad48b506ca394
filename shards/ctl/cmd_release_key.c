/* SPDX-License-Identifier: MIT */
/* fairslot release key FILE: makes the operator's signing key, or shows the public half of one.
 *   FILE missing -> made, 0600; its public half on stdout, PEM-free: 64 hex digits
 * The public half is what an office prints beside its address: with it, anybody can tell that a
 * bundle or a receipt is the office's.  Owns nothing.  Fails by telling. */
#include <stdio.h>
#include <string.h>

#include "ctl/cmd_release.h"
#include "ctl/keyfile.h"
#include "ctl/signkey.h"
#include "ctl/talk.h"

int cmd_release_key(const struct verb *verb, int argc, char **argv)
{
    struct options_words words;
    struct draw_key key;
    bool show = false;
    const struct options_spec specs[] = {{"show", 0, NULL, &show}, {NULL}};
    const struct options_rule rule = {specs, 1, 1, "a FILE"};
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    const char *path = words.at[0];
    r = show ? 0 : signkey_create(path);
    if (r == KEYFILE_E_EXISTS) {
        talk_error("%s exists, and is left as it is", path);
        talk_next("see its public half with --show; receipts that people hold speak by that key");
        return VERB_PRECONDITION;
    }
    if (r != 0) {
        talk_error("cannot write %s: %s", path, strerror(-r));
        talk_next("choose a file in a folder that you own");
        return VERB_FAILED;
    }
    if (!signkey_public(path, &key)) {
        talk_error("%s holds no Ed25519 key in PEM", path);
        talk_next("make one: fairslot release key FILE");
        return VERB_FAILED;
    }
    for (size_t i = 0; i < sizeof key.bytes; i++) {
        printf("%02x", key.bytes[i]);
    }
    printf("\n");
    if (!show) {
        talk_next("set shard.signing_key = %s, and publish the line above", path);
    }
    return render_flush();
}
