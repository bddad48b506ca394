/* SPDX-License-Identifier: MIT */
/* Metrics: counts of many threads add up, and the text is Prometheus'. */
#include <pthread.h>

#include "base/metrics.h"
#include "tests/lib/tap.h"

static char *text;
static size_t text_len;

static const char *scrape(void)
{
    free(text);
    text = NULL;
    FILE *out = open_memstream(&text, &text_len);
    metrics_write(out);
    fclose(out);
    return text;
}

static void test_counter_and_gauge(void)
{
    METRIC_ADD(connections_accepted_total, 2);
    METRIC_ADD(connections_accepted_total, 1);
    METRIC_SET(queue_calls, 7);
    METRIC_SET(queue_calls, 5);
    METRIC_ADD(connections, 3);
    METRIC_ADD(connections, -1);
    scrape();
    OK(strstr(text, "# HELP fairslot_connections_accepted_total Connections accepted.\n"
                    "# TYPE fairslot_connections_accepted_total counter\n"
                    "fairslot_connections_accepted_total 3\n"));
    OK(strstr(text, "# TYPE fairslot_queue_calls gauge\nfairslot_queue_calls 5\n"));
    OK(strstr(text, "\nfairslot_connections 2\n"));
    OK(strstr(text, "\nfairslot_connections_refused_total 0\n")); /* there from the start */
}

static void test_labels(void)
{
    metrics_label_name(METRICS_LABEL_reason, 3, "EVEN \"THIS\"\\\n");
    METRIC_ADD1(token_cache_lookups_total, cache, 1, 4);
    METRIC_ADD3(rpc_requests_total, class, 2, protocol, 3, reason, 3, 1);
    METRIC_ADD3(rpc_requests_total, class, 99, protocol, 99, reason, 4, 1); /* the last of each */
    METRIC_ADD1(refusals_total, reason, 4, 1);
    scrape();
    OK(strstr(text, "\nfairslot_token_cache_lookups_total{cache=\"hit\"} 0\n"
                    "fairslot_token_cache_lookups_total{cache=\"miss\"} 4\n"));
    OK(strstr(text, "\nfairslot_rpc_requests_total{class=\"read\",protocol=\"connect\","
                    "reason=\"EVEN \\\"THIS\\\"\\\\\\n\"} 1\n"));
    OK(strstr(text, "{class=\"open\",protocol=\"http1\",reason=\"4\"} 1\n"));
    OK(strstr(text, "\nfairslot_refusals_total{reason=\"4\"} 1\n"));
    OK(!strstr(text, "reason=\"5\"")); /* many values: zeros are left out */
}

static void test_histogram(void)
{
    METRIC_TIME(hop_round_trip_seconds, -5);
    METRIC_TIME(hop_round_trip_seconds, 100);
    METRIC_TIME(hop_round_trip_seconds, 101);
    METRIC_TIME(hop_round_trip_seconds, 2000000);
    METRIC_TIME(hop_round_trip_seconds, INT64_C(3600) * 1000000);
    METRIC_TIME1(rpc_duration_seconds, class, 1, 1500);
    METRIC_SIZE(hop_batch_calls, 1);
    METRIC_SIZE(hop_batch_calls, 3);
    METRIC_SIZE(hop_batch_calls, 100000);
    scrape();
    OK(strstr(text, "# TYPE fairslot_hop_round_trip_seconds histogram\n"
                    "fairslot_hop_round_trip_seconds_bucket{le=\"0.0001\"} 2\n"
                    "fairslot_hop_round_trip_seconds_bucket{le=\"0.00025\"} 3\n"));
    OK(strstr(text, "_seconds_bucket{le=\"1\"} 3\n"
                    "fairslot_hop_round_trip_seconds_bucket{le=\"2.5\"} 4\n"));
    OK(strstr(text, "fairslot_hop_round_trip_seconds_bucket{le=\"60\"} 4\n"
                    "fairslot_hop_round_trip_seconds_bucket{le=\"+Inf\"} 5\n"
                    "fairslot_hop_round_trip_seconds_sum 3602.000201\n"
                    "fairslot_hop_round_trip_seconds_count 5\n"));
    OK(strstr(text, "fairslot_rpc_duration_seconds_bucket{class=\"reserve\",le=\"0.001\"} 0\n"
                    "fairslot_rpc_duration_seconds_bucket{class=\"reserve\",le=\"0.0025\"} 1\n"));
    OK(strstr(text, "fairslot_rpc_duration_seconds_sum{class=\"reserve\"} 0.0015\n"));
    OK(strstr(text, "fairslot_rpc_duration_seconds_sum{class=\"read\"} 0\n"));
    OK(strstr(text, "fairslot_hop_batch_calls_bucket{le=\"2\"} 1\n"
                    "fairslot_hop_batch_calls_bucket{le=\"4\"} 2\n"));
    OK(strstr(text, "fairslot_hop_batch_calls_sum 100004\nfairslot_hop_batch_calls_count 3\n"));
}

static void *count(void *user)
{
    for (int i = 0; i < 100000; i++) {
        METRIC_ADD(connections_refused_total, 1);
    }
    METRIC_SET(rpc_inflight, 50);
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[8];
    int64_t last = 0;
    for (int i = 0; i < 8; i++) {
        OK(pthread_create(&threads[i], NULL, count, NULL) == 0);
    }
    for (int i = 0; i < 8; i++) {
        int64_t now = metrics_sum(METRICS_AT_connections_refused_total);
        OK(now >= last); /* never back, also while threads end */
        last = now;
        pthread_join(threads[i], NULL);
    }
    EQ(metrics_sum(METRICS_AT_connections_refused_total), 800000);
    EQ(metrics_sum(METRICS_AT_rpc_inflight), 0); /* a gauge goes with its thread */
}

/* All that can ever be written. */
static void test_bounded(void)
{
    for (size_t i = 0; i < METRICS_CELLS; i++) {
        metrics_add(i, INT64_C(1) << 40);
    }
    scrape();
    OK(text_len < METRICS_TEXT_MAX);
    printf("# %zu cells, at most %zu bytes of text\n", (size_t)METRICS_CELLS, text_len);
    free(text);
}

int main(void)
{
    metrics_build("test");
    TAP_RUN(test_counter_and_gauge);
    TAP_RUN(test_labels);
    TAP_RUN(test_histogram);
    TAP_RUN(test_threads);
    TAP_RUN(test_bounded);
    return tap_done();
}
