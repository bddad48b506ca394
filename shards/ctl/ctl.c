/* SPDX-License-Identifier: MIT */
/* The operator's verbs with their help: one row a verb, read by main.c for lists, help and "did you
 * mean".  Owns the texts, does nothing itself.
 * Invariant: every help names each option's unit and default, and ends with an example that works
 * as it stands after README's first steps. */
#include "ctl/ctl.h"

#include "ctl/cmd.h"
#include "ctl/cmd_cluster.h"
#include "ctl/cmd_release.h"
#include "ctl/options.h"
#include "ctl/policy.h"

#define CTL_NAME_HELP                                                                             \
    "  --pool POOL         when NAME is an id alone\n"                                            \
    "  --request-id UUID   to repeat a call that ended without an answer (a new one)\n"

static const char ctl_token_help[] =
    "usage: fairslot token --data DIR --subject NAME [options]\n"
    "Signs tokens with the development issuer in DIR; prints one a line.\n"
    "  --data DIR          data directory of the server (made when missing)\n"
    "  --subject NAME      whom the token is for; with --count NAME-0, NAME-1, ...\n"
    "  --assurance LEVEL   low, substantial or high (substantial: a citizen's online ID)\n"
    "  --role operator     may create pools and slots (no role)\n"
    "  --ttl TIME          how long it is good: 90s, 10m, 1h, 30d (1h)\n"
    "  --count N           as many tokens, 1 to 2000000 (one, for NAME itself)\n"
    "  --alg ES256|RS256   signature (ES256)\n"
    "example:\n"
    "  fairslot token --data demo --subject ada > ada.token\n";

static const char ctl_pool_create_help[] =
    "usage: fairslot pool create ID [options]\n"
    "Makes a pool: slots released under one policy.  ID: up to 63 of a-z, 0-9 and -.\n"
    "  --display-name TEXT   as people read it (ID)\n"
    "  --office TEXT         where (empty)\n"
    "  --service TEXT        what for (empty)\n"
    "  --service-class NAME  pools in which an identity's holds and reservations count together\n"
    "                        (ID: this pool alone)\n"
    "  --time-zone ZONE      IANA name (Europe/Berlin)\n"
    "  --min-assurance LEVEL low, substantial or high (low)\n"
    "  --hold-ttl TIME       how long a hold waits to be confirmed: 90s, 10m, 1h (10m)\n"
    "  --max-live N          holds and reservations of an identity in the class, 1 to 16 (1)\n"
    "  --scarce              slots leave only through releases\n" POLICY_LIMITS_HELP
    OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot pool create passports --display-name 'Passports, City Hall' --hold-ttl 10m\n";

static const char ctl_pool_update_help[] =
    "usage: fairslot pool update ID [options]\n"
    "Changes what is named of a pool's policy, for what comes.  (default: it stays as it is)\n"
    "  --display-name TEXT   as people read it\n"
    "  --office TEXT         where\n"
    "  --service TEXT        what for\n"
    "  --time-zone ZONE      IANA name\n"
    "  --min-assurance LEVEL none, low, substantial or high\n"
    "  --hold-ttl TIME       how long a hold waits to be confirmed: 90s, 10m, 1h\n"
    "  --max-live N          holds and reservations of an identity in the class, 1 to 16\n"
    "  --scarce yes|no       slots leave only through releases\n" POLICY_LIMITS_HELP
    "  --etag ETAG           only while it is as it was read (any)\n"
    "  --request-id UUID     to repeat a call that ended without an answer (a new one)\n"
    OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot pool update passports --max-changes 1 --reconfirm-open 72h --reconfirm-by 24h\n";

static const char ctl_pool_restock_help[] =
    "usage: fairslot pool restock ID [options]\n"
    "Frees a pool's returned slots, without a release.  Waits until it is done (10 minutes).\n"
    "  --reason TEXT       for the audit (empty)\n"
    "  --request-id UUID   to repeat a call that ended without an answer (a new one)\n"
    OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot pool restock passports --reason 'the release was cancelled'\n";

static const char ctl_identity_erase_help[] =
    "usage: fairslot identity erase IDENTITY [options]\n"
    "Gives back what the identity has and forgets it; releases still verify.  Waits until it is\n"
    "done (10 minutes): a release that is sealed and not served yet delays it.\n"
    "  IDENTITY            the pseudonym, 32 hex digits\n"
    "  --request-id UUID   to repeat a call that ended without an answer (a new one)\n"
    OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot identity erase 3f0c5b1e9a7d4c2286e1f0a9b8c7d6e5\n";

static const char ctl_slot_block_help[] =
    "usage: fairslot slot block SLOT... | --file FILE [options]\n"
    "Takes slots out of use, all or nothing: none of them may be held or reserved.\n"
    "  SLOT...             1 to 256 pools/POOL/slots/ID, or ID with --pool\n"
    "  --file FILE         any number of them, 256 a call, each all or nothing: said again it\n"
    "                      goes on where one was refused\n"
    "  --pool POOL         when SLOT is an id alone\n"
    "  --reason TEXT       for the audit (empty)\n"
    "  --request-id UUID   to repeat a call that ended without an answer (a new one)\n"
    OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot slot block --pool passports s20310303t0800-desk-1 --reason 'water damage'\n";

static const char ctl_slot_unblock_help[] =
    "usage: fairslot slot unblock SLOT... | --file FILE [options]\n"
    "Gives blocked slots back to what they were: free, or returned.\n"
    "  SLOT...             1 to 256 pools/POOL/slots/ID, or ID with --pool\n"
    "  --file FILE         any number of them, 256 a call, each all or nothing: said again it\n"
    "                      goes on where one was refused\n"
    "  --pool POOL         when SLOT is an id alone\n"
    "  --reason TEXT       for the audit (empty)\n"
    "  --request-id UUID   to repeat a call that ended without an answer (a new one)\n"
    OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot slot unblock --pool passports s20310303t0800-desk-1\n";

static const char ctl_slot_watch_help[] =
    "usage: fairslot slot watch --pool ID [options]\n"
    "A pool's coming slots, and every change of them, a line each, until it is stopped.  There is\n"
    "one snapshot a second, the same for everybody.\n"
    "  --pool ID           the pool\n"
    "  --limit N           end after N snapshots in which something changed (no end)\n"
    OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot slot watch --pool passports --limit 1\n";

static const char ctl_pool_list_help[] =
    "usage: fairslot pool list [options]\n"
    "Every pool.\n" OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot pool list -o json | jq -r '.pools[].name'\n";

static const char ctl_pool_show_help[] =
    "usage: fairslot pool show ID [options]\n"
    "One pool's policy.\n" OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot pool show passports\n";

static const char ctl_slot_import_help[] =
    "usage: fairslot slot import FILE.csv [options]\n"
    "Creates the slots of a CSV file.  The whole file is checked first: one wrong line, and\n"
    "nothing is imported.  What is there already is left as it is, so a file may be imported\n"
    "again, also with lines added.\n"
    "Columns, by name in the first line (any order):\n"
    "  pool                id of a pool that exists (may be left out with --pool)\n"
    "  date                YYYY-MM-DD\n"
    "  start               local HH:MM, or with its offset: 09:00+01:00\n"
    "  duration_minutes    1 to 1440\n"
    "  desk                up to 64 bytes; one desk, one slot at a time\n"
    "  time_zone           IANA name, as Europe/Berlin\n"
    "options:\n"
    "  --pool ID           every slot's pool\n"
    "  --dry-run           check everything, change nothing\n" OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot slot import slots.csv --dry-run && fairslot slot import slots.csv\n";

static const char ctl_slot_list_help[] =
    "usage: fairslot slot list --pool ID [options]\n"
    "A pool's slots in the order of time, every page.\n"
    "  --pool ID           the pool\n"
    "  --from TIME         first start: 2026-12-01 (midnight UTC) or 2026-12-01T09:00:00+01:00\n"
    "  --to TIME           first start that is left out\n"
    "  --free              only free ones\n"
    "  --page-size N       slots a call, 1 to 1000 (1000)\n"
    "  --limit N           slots in all (every one)\n" OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot slot list --pool passports --free --limit 10\n";

static const char ctl_hold_create_help[] =
    "usage: fairslot hold create SLOT [options]\n"
    "       fairslot hold create POOL --at TIME [--count N] [options]\n"
    "Keeps a slot, or neighbours at any desk at a time, for the token's person until it is\n"
    "confirmed or expires.\n"
    "  SLOT                pools/POOL/slots/ID, or ID with --pool\n"
    "  --at TIME           any free desk then: 2026-12-01T09:00:00+01:00\n"
    "  --count N           neighbours at one desk, 1 to 8, all or nothing (1)\n"
    "  --ticket RELEASE    when one's turn has come in it: pools/POOL/releases/ID, or ID\n"
    CTL_NAME_HELP
    OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot hold create pools/passports/slots/s20310303t0800-desk-1 --token-file ada.token\n";

static const char ctl_hold_show_help[] =
    "usage: fairslot hold show NAME [options]\n"
    "One of the token's person's holds.\n"
    "  NAME                pools/POOL/holds/ID, or ID with --pool\n"
    "  --pool POOL         when NAME is an id alone\n" OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot hold show pools/passports/holds/h0123456789abcdef-1 --token-file ada.token\n";

static const char ctl_hold_confirm_help[] =
    "usage: fairslot hold confirm NAME [options]\n"
    "Makes a hold a reservation.\n"
    "  NAME                pools/POOL/holds/ID, or ID with --pool\n" CTL_NAME_HELP
    "  --etag ETAG         only while the hold is as it was read (any)\n" OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot hold confirm pools/passports/holds/h0123456789abcdef-1 --token-file ada.token\n";

static const char ctl_hold_drop_help[] =
    "usage: fairslot hold drop NAME [options]\n"
    "Gives a hold back early; its slot waits as returned.\n"
    "  NAME                pools/POOL/holds/ID, or ID with --pool\n" CTL_NAME_HELP
    OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot hold drop pools/passports/holds/h0123456789abcdef-1 --token-file ada.token\n";

static const char ctl_reservation_list_help[] =
    "usage: fairslot reservation list [options]\n"
    "The token's person's reservations.\n"
    "  --pool POOL         of one pool (all)\n" OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot reservation list --token-file ada.token\n";

static const char ctl_reservation_show_help[] =
    "usage: fairslot reservation show NAME [options]\n"
    "One reservation.\n"
    "  NAME                pools/POOL/reservations/ID, or ID with --pool\n"
    "  --pool POOL         when NAME is an id alone\n" OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot reservation show pools/passports/reservations/r0123456789abcdef-1 "
    "--token-file ada.token\n";

static const char ctl_reservation_reschedule_help[] =
    "usage: fairslot reservation reschedule NAME --at TIME|--slot SLOT [options]\n"
    "Moves a reservation in one step; its old slots wait as returned.  Counts as a change.\n"
    "  NAME                pools/POOL/reservations/ID, or ID with --pool\n"
    "  --at TIME           any free desk then: 2026-12-01T09:00:00+01:00\n"
    "  --count N           neighbours, 1 to 8 (as many as it has)\n"
    "  --slot SLOT         this slot of the same pool, and its neighbours\n" CTL_NAME_HELP
    "  --etag ETAG         only while it is as it was read (any)\n" OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot reservation reschedule pools/passports/reservations/r0123456789abcdef-1 "
    "--at 2031-03-03T09:00:00+01:00 --token-file ada.token\n";

static const char ctl_reservation_reconfirm_help[] =
    "usage: fairslot reservation reconfirm NAME [options]\n"
    "Says again that the token's person will come.\n"
    "  NAME                pools/POOL/reservations/ID, or ID with --pool\n" CTL_NAME_HELP
    "  --etag ETAG         only while it is as it was read (any)\n" OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot reservation reconfirm pools/passports/reservations/r0123456789abcdef-1 "
    "--token-file ada.token\n";

static const char ctl_reservation_cancel_help[] =
    "usage: fairslot reservation cancel NAME [options]\n"
    "Cancels a reservation; its slot waits as returned, nobody gets it by being fast.\n"
    "  NAME                pools/POOL/reservations/ID, or ID with --pool\n" CTL_NAME_HELP
    "  --etag ETAG         only while it is as it was read (any)\n" OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot reservation cancel pools/passports/reservations/r0123456789abcdef-1 "
    "--token-file ada.token\n";

static const char ctl_call_help[] =
    "usage: fairslot call METHOD [JSON] [options]\n"
    "Calls any method of the API; prints its answer as JSON, a stream's answers one a line.\n"
    "  METHOD              CatalogService/ListPools, or any end of the name that is one method's\n"
    "  JSON                the request, or @FILE, or - for stdin ({}); a requestId that is left\n"
    "                      out is made\n"
    "  --list              every method, with its messages\n"
    "  --describe METHOD   the fields of its messages\n"
    "  --timeout TIME      the call's deadline: 90s, 10m, 1h (10s)\n"
    "  --limit N           end after N answers (all)\n" OPTIONS_SERVER_HELP
    "example:\n"
    "  fairslot call CatalogService/ListSlots '{\"parent\": \"pools/passports\"}'\n";

static const char ctl_config_show_help[] =
    "usage: fairslot config show [FILE] [options]\n"
    "Effective values: defaults, FILE, its drop-ins, --set.  Secrets are paths, never values.\n"
    "  --config FILE             the same as FILE (none: the defaults alone)\n"
    "  --set SECTION.KEY=VALUE   over the files (none)\n"
    "  --origin                  say where each value came from (off)\n"
    "example:\n"
    "  fairslot config show fairslot.conf --origin\n";

static const char ctl_config_explain_help[] =
    "usage: fairslot config explain [KEY]\n"
    "What a key is for, what it takes, its default, and whether SIGHUP applies it.\n"
    "  KEY                 SECTION.KEY or SECTION (all of them)\n"
    "example:\n"
    "  fairslot config explain gateway.listen\n";

static const char ctl_config_default_help[] =
    "usage: fairslot config default\n"
    "A configuration file with every key, commented, at its default.\n"
    "example:\n"
    "  fairslot config default > fairslot.conf\n";

static const char ctl_config_manual_help[] =
    "usage: fairslot config manual\n"
    "The manual page fairslot.conf(5), for man(1).\n"
    "example:\n"
    "  fairslot config manual > fairslot.conf.5 && man ./fairslot.conf.5\n";

static const char ctl_config_metrics_help[] =
    "usage: fairslot config metrics\n"
    "Every metric of /metrics (ops.listen), as the table in docs/metrics.md.\n"
    "example:\n"
    "  fairslot config metrics | grep queue\n";

static const char ctl_config_events_help[] =
    "usage: fairslot config events\n"
    "Every event of the log with its id, as the table in docs/events.md.\n"
    "example:\n"
    "  fairslot config events | grep FS-2101\n";

const struct verb ctl_verbs[] = {
    {"call", NULL, "any method of the API, in JSON", ctl_call_help, cmd_call},
    {"config", "show", "effective values, and where they are from", ctl_config_show_help,
     cmd_config_show},
    {"config", "explain", "what a key is for and takes", ctl_config_explain_help,
     cmd_config_explain},
    {"config", "default", "a file with every key at its default", ctl_config_default_help,
     cmd_config_default},
    {"config", "manual", "the manual page fairslot.conf(5)", ctl_config_manual_help,
     cmd_config_manual},
    {"config", "metrics", "every metric", ctl_config_metrics_help, cmd_config_metrics},
    {"config", "events", "every event of the log", ctl_config_events_help, cmd_config_events},
    {"token", NULL, "sign tokens with the development issuer", ctl_token_help, cmd_token},
    {"pool", "create", "make a pool", ctl_pool_create_help, cmd_pool_create},
    {"pool", "update", "change a pool's policy", ctl_pool_update_help, cmd_pool_update},
    {"pool", "restock", "free a pool's returned slots", ctl_pool_restock_help, cmd_pool_restock},
    {"pool", "list", "every pool", ctl_pool_list_help, cmd_pool_list},
    {"pool", "show", "one pool's policy", ctl_pool_show_help, cmd_pool_show},
    {"identity", "erase", "forget everything of an identity", ctl_identity_erase_help,
     cmd_identity_erase},
    {"slot", "import", "create slots from a CSV file", ctl_slot_import_help, cmd_slot_import},
    {"slot", "watch", "a pool's slots as they change", ctl_slot_watch_help, cmd_slot_watch},
    {"slot", "block", "take slots out of use", ctl_slot_block_help, cmd_slot_block},
    {"slot", "unblock", "give blocked slots back", ctl_slot_unblock_help, cmd_slot_unblock},
    {"slot", "list", "a pool's slots", ctl_slot_list_help, cmd_slot_list},
    {"hold", "create", "keep a slot for the token's person", ctl_hold_create_help, cmd_hold_create},
    {"hold", "show", "one hold", ctl_hold_show_help, cmd_hold_show},
    {"hold", "confirm", "make a hold a reservation", ctl_hold_confirm_help, cmd_hold_confirm},
    {"hold", "drop", "give a hold back early", ctl_hold_drop_help, cmd_hold_drop},
    {"reservation", "list", "the token's person's reservations", ctl_reservation_list_help,
     cmd_reservation_list},
    {"reservation", "show", "one reservation", ctl_reservation_show_help, cmd_reservation_show},
    {"reservation", "reschedule", "move a reservation", ctl_reservation_reschedule_help,
     cmd_reservation_reschedule},
    {"reservation", "reconfirm", "say again that one will come", ctl_reservation_reconfirm_help,
     cmd_reservation_reconfirm},
    {"reservation", "cancel", "cancel a reservation", ctl_reservation_cancel_help,
     cmd_reservation_cancel},
    {"release", "create", "announce a release", cmd_release_create_help, cmd_release_create},
    {"release", "list", "a pool's releases", cmd_release_list_help, cmd_release_list},
    {"release", "show", "one release", cmd_release_show_help, cmd_release_show},
    {"release", "open", "open entry now", cmd_release_open_help, cmd_release_open},
    {"release", "close", "end a release that is served", cmd_release_close_help,
     cmd_release_close},
    {"release", "cancel", "end a release before it is served", cmd_release_cancel_help,
     cmd_release_cancel},
    {"release", "pause", "serve nobody for a while", cmd_release_pause_help, cmd_release_pause},
    {"release", "resume", "go on", cmd_release_resume_help, cmd_release_resume},
    {"release", "drain", "take no further tickets", cmd_release_drain_help, cmd_release_drain},
    {"release", "beacon", "give the beacon's value to the seed", cmd_release_beacon_help,
     cmd_release_beacon},
    {"release", "key", "make the operator's signing key", cmd_release_key_help, cmd_release_key},
    {"release", "report", "what came of a release; its bundle", cmd_release_report_help,
     cmd_release_report},
    {"release", "verify", "recompute a release from its bundle, offline", cmd_release_verify_help,
     cmd_release_verify},
    {"ticket", "create", "take a place in a release", cmd_ticket_create_help, cmd_ticket_create},
    {"ticket", "show", "the token's person's ticket", cmd_ticket_show_help, cmd_ticket_show},
    {"ticket", "watch", "the same, and every change of it", cmd_ticket_watch_help,
     cmd_ticket_watch},
    {"ticket", "delete", "leave a release", cmd_ticket_delete_help, cmd_ticket_delete},
    {"ticket", "proof", "that the ticket was in, and its rank", cmd_ticket_proof_help,
     cmd_ticket_proof},
    {"ticket", "verify", "recompute a proof, offline", cmd_ticket_verify_help, cmd_ticket_verify},
    {"event", "list", "what became of releases and tickets", cmd_event_list_help,
     cmd_event_list},
    {"event", "watch", "the same, and what comes", cmd_event_watch_help, cmd_event_watch},
    {"cluster", "init", "configure the first members of a cluster", cmd_cluster_init_help,
     cmd_cluster_init},
    {"cluster", "status", "the replicas, and who leads", cmd_cluster_status_help,
     cmd_cluster_status},
    {"cluster", "problems", "what is wrong, and what to do", cmd_cluster_problems_help,
     cmd_cluster_problems},
    {"node", "list", "every node", cmd_node_list_help, cmd_node_list},
    {"node", "show", "one node", cmd_node_show_help, cmd_node_show},
    {"node", "add", "make a node a member", cmd_node_add_help, cmd_node_add},
    {"node", "remove", "make a node a member no more", cmd_node_remove_help, cmd_node_remove},
    {"node", "cordon", "let a node lead only where nobody else can", cmd_node_cordon_help,
     cmd_node_cordon},
    {"node", "uncordon", "let a node lead again", cmd_node_uncordon_help, cmd_node_uncordon},
    {"node", "drain", "hand over what a node leads", cmd_node_drain_help, cmd_node_drain},
    {"shard", "leader", "hand over a shard's leadership", cmd_shard_leader_help,
     cmd_shard_leader},
    {"cosign", NULL, "a trustee's part of a release's seed", cmd_cosign_help, cmd_cosign},
    {0},
};
