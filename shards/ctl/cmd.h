/* SPDX-License-Identifier: MIT */
/* The verbs, one file a noun; ctl.c puts them into the table with their help. */
#ifndef FAIRSLOT_CTL_CMD_H
#define FAIRSLOT_CTL_CMD_H

#include "verb.h"

int cmd_call(const struct verb *verb, int argc, char **argv);
int cmd_config_show(const struct verb *verb, int argc, char **argv);
int cmd_config_explain(const struct verb *verb, int argc, char **argv);
int cmd_config_default(const struct verb *verb, int argc, char **argv);
int cmd_config_metrics(const struct verb *verb, int argc, char **argv);
int cmd_config_events(const struct verb *verb, int argc, char **argv);
int cmd_config_manual(const struct verb *verb, int argc, char **argv);
int cmd_token(const struct verb *verb, int argc, char **argv);
int cmd_pool_create(const struct verb *verb, int argc, char **argv);
int cmd_pool_update(const struct verb *verb, int argc, char **argv);
int cmd_pool_restock(const struct verb *verb, int argc, char **argv);
int cmd_identity_erase(const struct verb *verb, int argc, char **argv);
int cmd_pool_list(const struct verb *verb, int argc, char **argv);
int cmd_pool_show(const struct verb *verb, int argc, char **argv);
int cmd_slot_import(const struct verb *verb, int argc, char **argv);
int cmd_slot_list(const struct verb *verb, int argc, char **argv);
int cmd_slot_watch(const struct verb *verb, int argc, char **argv);
int cmd_event_list(const struct verb *verb, int argc, char **argv);
int cmd_event_watch(const struct verb *verb, int argc, char **argv);
extern const char cmd_event_list_help[], cmd_event_watch_help[];
int cmd_slot_block(const struct verb *verb, int argc, char **argv);
int cmd_slot_unblock(const struct verb *verb, int argc, char **argv);
int cmd_hold_create(const struct verb *verb, int argc, char **argv);
int cmd_hold_show(const struct verb *verb, int argc, char **argv);
int cmd_hold_confirm(const struct verb *verb, int argc, char **argv);
int cmd_hold_drop(const struct verb *verb, int argc, char **argv);
int cmd_reservation_list(const struct verb *verb, int argc, char **argv);
int cmd_reservation_show(const struct verb *verb, int argc, char **argv);
int cmd_reservation_reschedule(const struct verb *verb, int argc, char **argv);
int cmd_reservation_reconfirm(const struct verb *verb, int argc, char **argv);
int cmd_reservation_cancel(const struct verb *verb, int argc, char **argv);

/* Verbs whose help stands beside them. */
extern const char cmd_release_verify_help[];
int cmd_release_verify(const struct verb *verb, int argc, char **argv);

#endif
