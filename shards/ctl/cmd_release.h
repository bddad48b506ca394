/* SPDX-License-Identifier: MIT */
/* What the verbs about releases and tickets share; their help stands in cmd_release_help.c. */
#ifndef FAIRSLOT_CTL_CMD_RELEASE_H
#define FAIRSLOT_CTL_CMD_RELEASE_H

#include "ctl/cmd.h"
#include "ctl/names.h"
#include "ctl/options.h"
#include "ctl/render.h"
#include "ctl/session.h"
#include "fairslot/admin/v1/cluster.pb-c.h"
#include "fairslot/v1/services.pb-c.h"

#define CMD_RELEASE_ADMIN "/fairslot.admin.v1.ReleaseAdminService/"

/* "pools/P/releases/R" of what was typed.  VERB_OK, or VERB_USAGE (told). */
int cmd_release_name(const char *typed, const char *pool, char out[NAMES_MAX]);
/* On stdout, as the call's output wants it.  An exit code. */
int cmd_release_say(const struct options_call *call, const Fairslot__V1__Release *release);

int cmd_release_create(const struct verb *verb, int argc, char **argv);
int cmd_release_list(const struct verb *verb, int argc, char **argv);
int cmd_release_show(const struct verb *verb, int argc, char **argv);
int cmd_release_open(const struct verb *verb, int argc, char **argv);
int cmd_release_close(const struct verb *verb, int argc, char **argv);
int cmd_release_cancel(const struct verb *verb, int argc, char **argv);
int cmd_release_pause(const struct verb *verb, int argc, char **argv);
int cmd_release_resume(const struct verb *verb, int argc, char **argv);
int cmd_release_drain(const struct verb *verb, int argc, char **argv);
/* What came of the release, by its report; `suspected` (NULL: none): a list of one's own. */
int cmd_release_summary(const struct options_call *call, const char *name, const char *suspected);
int cmd_release_beacon(const struct verb *verb, int argc, char **argv);
int cmd_release_key(const struct verb *verb, int argc, char **argv);
int cmd_release_report(const struct verb *verb, int argc, char **argv);
int cmd_cosign(const struct verb *verb, int argc, char **argv);
int cmd_ticket_create(const struct verb *verb, int argc, char **argv);
int cmd_ticket_show(const struct verb *verb, int argc, char **argv);
int cmd_ticket_watch(const struct verb *verb, int argc, char **argv);
int cmd_ticket_delete(const struct verb *verb, int argc, char **argv);
int cmd_ticket_verify(const struct verb *verb, int argc, char **argv);
int cmd_ticket_proof(const struct verb *verb, int argc, char **argv);

extern const char cmd_release_create_help[], cmd_release_list_help[], cmd_release_show_help[],
    cmd_release_open_help[], cmd_release_close_help[], cmd_release_cancel_help[],
    cmd_release_pause_help[], cmd_release_resume_help[], cmd_release_drain_help[],
    cmd_release_key_help[], cmd_release_report_help[], cmd_cosign_help[], cmd_ticket_create_help[],
    cmd_ticket_show_help[], cmd_ticket_delete_help[], cmd_ticket_proof_help[],
    cmd_ticket_verify_help[], cmd_ticket_watch_help[], cmd_release_beacon_help[];

#endif
