/* SPDX-License-Identifier: MIT */
/* Metrics and the log line about a release that was counted (docs/report.md).
 * The shard that proposed the last step says it, so that it is said once; a replica is silent.
 * Its name is no secret: it stands in the catalogue.  Counts below 5 stay hidden here, too.
 * Owns nothing, cannot fail. */
#include "node/alarm.h"

#include "base/log.h"
#include "base/metrics.h"

#define ALARM_PERCENT 10000 /* a hundredth, in millionths */

void alarm_report(const struct report_view *v)
{
    const struct report_population *suspected = &v->populations[REPORT_POPULATIONS - 1];
    METRIC_ADD(release_reports_total, 1);
    if (suspected->is_known && !suspected->is_hidden) {
        METRIC_SET(release_bot_advantage_percent, (int64_t)(suspected->advantage / ALARM_PERCENT));
    }
    if (v->is_alarm) {
        METRIC_ADD(release_alarms_total, 1);
        log_event(LOG_RELEASE_ALARM,
                  LOG_FIELDS(LOG_NUMBER("advantage_percent", suspected->advantage / ALARM_PERCENT)),
                  "release %.*s of pool %.*s: being fast bought slots: at least %llu.%02u times "
                  "their share for %s", (int)v->release.len, (const char *)v->release.ptr,
                  (int)v->pool.len, (const char *)v->pool.ptr,
                  (unsigned long long)(suspected->low / 1000000),
                  (unsigned)(suspected->low / ALARM_PERCENT % 100), suspected->label);
    }
}
