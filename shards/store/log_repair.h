/* SPDX-License-Identifier: MIT */
/* A damaged log, made anew where what is damaged is in the durable state.  Writer thread, before
 * anything else is done with the directory. */
#ifndef FAIRSLOT_STORE_LOG_REPAIR_H
#define FAIRSLOT_STORE_LOG_REPAIR_H

#include <stdbool.h>

#include "store/logenv.h"
#include "store/record.h"

#define LOG_REPAIR_ASIDE "log.damaged" /* kept until the next start that finds the log whole */

enum { LOG_REPAIR_E_REFUSED = 1 };

/* `log` lies in `dir`/log and was opened by logenv_open_damaged(); `state` is of the state that it
 * names, which was read whole.  Builds the new log beside, durable; the old one is not touched.
 * 0, LOG_REPAIR_E_REFUSED: what is damaged may be something that this replica has promised, < 0. */
int log_repair_build(const char *dir, const struct logenv_place *place, struct logenv *log,
                     const struct record_state_meta *state);
/* The new one takes the place of the old one, which is closed and put aside.  0 or < 0. */
int log_repair_switch(const char *dir);
/* The second half of a switch that was cut off in between.  *ret_done: there was one.  0 or < 0. */
int log_repair_finish(const char *dir, bool *ret_done);
/* The log is whole: what earlier repairs have left goes.  0 or < 0. */
int log_repair_clear(const char *dir);

#endif
