/* SPDX-License-Identifier: MIT */
/* The help of the verbs about releases and tickets: texts and nothing else.
 * Invariant, as for ctl.c's: every help names each option's unit and default, and ends with an
 * example.  Owns the texts. */
#include "ctl/cmd_release.h"

#define RELEASE_NAME                                                                              \
    "  NAME                pools/POOL/releases/ID, or ID with --pool\n"                            \
    "  --pool POOL         when NAME is an id alone\n"

#define RELEASE_CHANGE                                                                            \
    RELEASE_NAME                                                                                  \
    "  --etag ETAG         only while it is as it was read (any)\n"                                \
    "  --reason TEXT       for the audit\n"                                                        \
    "  --request-id UUID   to repeat a call that ended without an answer (a new one)\n"            \
    OPTIONS_CALL_HELP

/* What the verbs about tickets print is nested, and is kept: JSON, whatever -o says. */
#define TICKET_JSON                                                                               \
    OPTIONS_SERVER_HELP                                                                           \
    "  -o table|json       JSON either way: keep the answer, it is your receipt\n"

const char cmd_release_create_help[] =
    "usage: fairslot release create NAME --entry-open TIME --window TIME --slots-from TIME\n"
    "       --slots-to TIME [options]\n"
    "Announces a release: the pool's free and returned slots between two times, in drawn order.\n"
    RELEASE_NAME
    "  --serving HOW       preference (a draw over ranked wishes), turn (people choose when it is\n"
    "                      their turn) or first-come (preference)\n"
    "  --display-name TEXT as people read it (empty)\n"
    "  --entry-open TIME   2026-12-01T09:00:00+01:00, or now\n"
    "  --entry-close TIME  when the window ends, or\n"
    "  --window TIME       how long it is: 60s, 10m, 7d\n"
    "  --grace TIME        sealed this long after the window, so that nothing in a queue is\n"
    "                      lost (10s)\n"
    "  --slots-from TIME   first start; behind the window\n"
    "  --slots-to TIME     first start that is left out\n"
    "  --accept TIME       by preference: how long a winner has to accept (the pool's hold TTL)\n"
    "  --turn TIME         by turn: how long a turn lasts (90s)\n"
    "  --cohort TIME       later windows, served after everybody before (none)\n"
    "  --close TIME        when what is left goes to the return pool (with 'release close')\n"
    "  --trustee FILE      PEM of a trustee's RSA public key; up to 5 times, in their order\n"
    "  --beacon TEXT       in words, what the last part of the seed will be (none); its value\n"
    "                      comes with 'release beacon', within --parts-wait\n"
    "  --parts-wait TIME   how long parts are waited for after sealing; then a missing one stands\n"
    "                      as empty (10m with --trustee or --beacon, else 0s)\n"
    "  --dry-run           check everything, change nothing\n"
    "  --request-id UUID   to repeat a call that ended without an answer (a new one)\n"
    OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot release create pools/passports/releases/march --entry-open now --window 60s \\\n"
    "      --slots-from 2031-03-01 --slots-to 2031-04-01\n";

const char cmd_release_list_help[] =
    "usage: fairslot release list --pool POOL [options]\n"
    "A pool's releases, by name.\n"
    "  --pool POOL         the pool\n" OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot release list --pool passports -o json\n";

const char cmd_release_show_help[] =
    "usage: fairslot release show NAME [options]\n"
    "One release.\n" RELEASE_NAME OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot release show pools/passports/releases/march\n";

const char cmd_release_open_help[] =
    "usage: fairslot release open NAME [options]\n"
    "Entry opens now instead of at its time.\n" RELEASE_CHANGE
    "example:\n"
    "  fairslot release open pools/passports/releases/march\n";

const char cmd_release_close_help[] =
    "usage: fairslot release close NAME [options]\n"
    "Ends a release that is served: what nobody took goes to the return pool.\n" RELEASE_CHANGE
    "example:\n"
    "  fairslot release close pools/passports/releases/march\n";

const char cmd_release_cancel_help[] =
    "usage: fairslot release cancel NAME [options]\n"
    "Ends a release before it is served: nobody gets anything.\n" RELEASE_CHANGE
    "example:\n"
    "  fairslot release cancel pools/passports/releases/march --reason 'wrong slots'\n";

const char cmd_release_pause_help[] =
    "usage: fairslot release pause NAME [options]\n"
    "Nobody is served and no turn ends until it is resumed.\n" RELEASE_CHANGE
    "example:\n"
    "  fairslot release pause pools/passports/releases/march\n";

const char cmd_release_resume_help[] =
    "usage: fairslot release resume NAME [options]\n"
    "Goes on; turns under way begin anew.\n" RELEASE_CHANGE
    "example:\n"
    "  fairslot release resume pools/passports/releases/march\n";

const char cmd_release_drain_help[] =
    "usage: fairslot release drain NAME [options]\n"
    "No further tickets; whoever has one is served.\n" RELEASE_CHANGE
    "example:\n"
    "  fairslot release drain pools/passports/releases/march\n";

const char cmd_release_beacon_help[] =
    "usage: fairslot release beacon NAME --value HEX [options]\n"
    "Gives the value of the beacon that the manifest names to the seed, once the release is\n"
    "sealed and before --parts-wait has passed; it is published with the seed.\n"
    RELEASE_NAME
    "  --value HEX         what the beacon said, 1 to 512 bytes in hex digits\n"
    "  --request-id UUID   to repeat a call that ended without an answer (a new one)\n"
    OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot release beacon pools/passports/releases/march --value 83d6a1f2c04b9e57\n";

const char cmd_release_key_help[] =
    "usage: fairslot release key FILE [options]\n"
    "Makes the key that signs manifests and receipts (Ed25519, PEM, mode 0600), and prints its\n"
    "public half.  A file that exists is never overwritten.\n"
    "  --show              only print the public half of FILE\n"
    "example:\n"
    "  fairslot release key /etc/fairslot/release.key\n";

const char cmd_release_report_help[] =
    "usage: fairslot release report NAME [options]\n"
    "What came of a closed release: the bot advantage, who got how much, whether being early was\n"
    "worth anything.  With --out instead what anybody can verify: manifest, slots, parts of the\n"
    "seed, signatures, tickets and outcome.\n"
    RELEASE_NAME
    "  --out DIR           write the bundle there (made when missing); --bundle is the same\n"
    "  --withhold          leave the preferences out: the order can be verified, not the slots\n"
    "  --summary           the summary, beside the bundle (alone it is what is printed anyway)\n"
    "  --suspected FILE    count these tickets as the suspected: 32 hex digits a line\n"
    OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot release report pools/passports/releases/march --out march/ &&\n"
    "      fairslot release verify march/\n";

const char cmd_cosign_help[] =
    "usage: fairslot cosign NAME --key-file FILE --trustee N [options]\n"
    "A trustee's part of the seed: waits until the release is sealed, signs manifest, root and\n"
    "count, and sends the signature.  Nobody knows it before, and there is only one.\n"
    RELEASE_NAME
    "  --key-file FILE     PEM of the trustee's RSA private key, 2,048 to 4,096 bits\n"
    "  --trustee N         its number in the manifest, from 1 (1)\n"
    "  --wait TIME         how long sealing is waited for (1s)\n" OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot cosign pools/passports/releases/march --key-file trustee.pem --trustee 1 "
    "--wait 1h\n";

const char cmd_ticket_create_help[] =
    "usage: fairslot ticket create RELEASE [options]\n"
    "Takes the token's person's place in a release, or changes its wishes until sealing.\n"
    "  RELEASE             pools/POOL/releases/ID, or ID with --pool\n"
    "  --pool POOL         when RELEASE is an id alone\n"
    "  --slot SLOT         a wish: pools/POOL/slots/ID, or ID\n"
    "  --between FROM/TO   a wish: any slot that starts from FROM on and before TO, each as\n"
    "                      2031-03-03 (midnight UTC) or 2031-03-03T09:00:00+01:00\n"
    "                      up to 8 wishes of both kinds, best first\n"
    "  --any               the last wish: whatever is left (also when there is no other)\n"
    "  --count N           neighbouring slots, 1 to 8 (1)\n"
    "  --request-id UUID   to repeat a call that ended without an answer (a new one)\n"
    TICKET_JSON
    "example:\n"
    "  fairslot ticket create pools/passports/releases/march --any --token-file ada.token\n";

#define TICKET_OWN                                                                                \
    "  RELEASE             pools/POOL/releases/ID, or ID with --pool\n"                            \
    "  --pool POOL         when RELEASE is an id alone\n"

const char cmd_ticket_show_help[] =
    "usage: fairslot ticket show RELEASE [options]\n"
    "The token's person's ticket.\n" TICKET_OWN OPTIONS_SERVER_HELP
    "  -o table|json       JSON either way\n"
    "example:\n"
    "  fairslot ticket show pools/passports/releases/march --token-file ada.token\n";

const char cmd_ticket_watch_help[] =
    "usage: fairslot ticket watch RELEASE [options]\n"
    "The token's person's ticket now, and again with every change, a line each, until it can\n"
    "change no more.\n" TICKET_OWN
    "  --limit N           end after N lines (no end)\n" OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot ticket watch pools/passports/releases/march --token-file ada.token\n";

const char cmd_ticket_delete_help[] =
    "usage: fairslot ticket delete RELEASE [options]\n"
    "Leaves the release.\n" TICKET_OWN
    "  --request-id UUID   to repeat a call that ended without an answer (a new one)\n"
    OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot ticket delete pools/passports/releases/march --token-file ada.token\n";

const char cmd_ticket_proof_help[] =
    "usage: fairslot ticket proof RELEASE [options]\n"
    "That the ticket was in, its rank, the cut-off, and the wishes that were tried: on one page,\n"
    "or with -o json as the file that 'fairslot ticket verify' recomputes.\n"
    TICKET_OWN OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot ticket proof pools/passports/releases/march --token-file ada.token\n";

const char cmd_ticket_verify_help[] =
    "usage: fairslot ticket verify FILE [options]\n"
    "Recomputes a proof offline: leaf, path to the root, rank, and what the operator signed.\n"
    "  FILE                what 'fairslot ticket proof RELEASE -o json' printed\n"
    "  --key KEY           the operator's key as published: 64 hex digits, or a PEM file\n"
    "  -o json             the result as JSON\n"
    "Exit: 0 everything holds; 1 something does not, and what; 3 the file is missing.\n"
    "example:\n"
    "  fairslot ticket verify proof.json\n";
