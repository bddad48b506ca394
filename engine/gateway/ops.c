/* SPDX-License-Identifier: MIT */
/* The operations listener.
 *   accept -> read -> wire/page -> /metrics: base/metrics, this process | /livez | /readyz -> write
 * Owns: a loop, a thread, the listening socket, at most OPS_CONNS_MAX connections.
 * Happy path: Prometheus keeps one connection and asks every few seconds.
 * Fails: a connection that is one too many is closed at once (the scraper tells "connection
 * reset"); one that takes longer than OPS_REQUEST_MS for a request, or does not read its answer, is
 * closed; nobody waits for anybody.
 * Invariant: this thread touches nothing of a gateway or node but atomics. */
#include "gateway/ops.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "base/check.h"
#include "base/err.h"
#include "base/limit.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/metrics.h"
#include "wire/page.h"

#define OPS_TEXT       256

enum { OPS_END_FULL, OPS_END_LATE, OPS_END_LONG }; /* as in metrics_table.h */

#define OPS_REQUEST_MS 5000  /* for one whole request, and for its answer to be read */
#define OPS_IDLE_MS    90000 /* between two requests: scrapes come every minute at least */

struct ops {
    const atomic_int *state;
    uv_loop_t loop;
    uv_thread_t thread;
    uv_tcp_t listener;
    uv_async_t stop;
    struct list conns;
    size_t conns_count;
    int port;
    uint8_t read_buf[4096]; /* one for all: bytes are consumed at once */
};

struct ops_conn {
    struct list link;
    struct ops *ops;
    struct wire_page *page;
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_write_t write;
    unsigned handles;  /* that did not say that they are closed */
    bool is_writing;
};

static void ops_close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

/* -- connections ------------------------------------------------------------------------------- */

static void ops_conn_closed(uv_handle_t *handle)
{
    struct ops_conn *conn = handle->data;
    if (--conn->handles == 0) {
        wire_page_free(conn->page);
        free(conn);
    }
}

static void ops_conn_close(struct ops_conn *conn)
{
    if (uv_is_closing((uv_handle_t *)&conn->tcp)) {
        return;
    }
    list_remove(&conn->link);
    conn->ops->conns_count--;
    uv_close((uv_handle_t *)&conn->tcp, ops_conn_closed);
    uv_close((uv_handle_t *)&conn->timer, ops_conn_closed);
}

static void ops_conn_late(uv_timer_t *timer)
{
    if (limit_is_on("ops_late")) {
        METRIC_ADD1(ops_connections_ended_total, ops_end, OPS_END_LATE, 1);
        ops_conn_close(timer->data);
    }
}

static void ops_conn_flush(struct ops_conn *conn);

static void ops_conn_written(uv_write_t *write, int status)
{
    struct ops_conn *conn = CONTAINER_OF(write, struct ops_conn, write);
    conn->is_writing = false;
    if (status < 0) {
        ops_conn_close(conn);
        return;
    }
    wire_page_sent(conn->page, wire_page_output(conn->page).len);
    uv_timer_start(&conn->timer, ops_conn_late, OPS_IDLE_MS, 0);
    ops_conn_flush(conn);
}

static void ops_conn_flush(struct ops_conn *conn)
{
    if (conn->is_writing) {
        return;
    }
    struct span out = wire_page_output(conn->page);
    if (out.len) {
        uv_buf_t buf = uv_buf_init((char *)(uintptr_t)out.ptr, (unsigned)out.len);
        conn->is_writing = true;
        uv_timer_start(&conn->timer, ops_conn_late, OPS_REQUEST_MS, 0);
        if (uv_write(&conn->write, (uv_stream_t *)&conn->tcp, &buf, 1, ops_conn_written) < 0) {
            conn->is_writing = false;
            ops_conn_close(conn);
        }
    } else if (wire_page_done(conn->page)) {
        ops_conn_close(conn);
    }
}

static void ops_conn_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct ops_conn *conn = handle->data;
    *ret_buf = uv_buf_init((char *)conn->ops->read_buf, sizeof(conn->ops->read_buf));
}

static void ops_conn_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct ops_conn *conn = stream->data;
    if (n < 0) {
        ops_conn_close(conn);
        return;
    }
    if (n > 0 && !conn->is_writing && uv_timer_get_due_in(&conn->timer) > OPS_REQUEST_MS) {
        uv_timer_start(&conn->timer, ops_conn_late, OPS_REQUEST_MS, 0); /* a request begins */
    }
    bool was_long = wire_page_is_long(conn->page);
    wire_page_receive(conn->page, (const uint8_t *)buf->base, (size_t)n);
    if (!was_long && wire_page_is_long(conn->page)) {
        METRIC_ADD1(ops_connections_ended_total, ops_end, OPS_END_LONG, 1);
    }
    ops_conn_flush(conn);
}

/* -- pages ------------------------------------------------------------------------------------- */

/* A whole file of /proc, or "". */
static void ops_proc(const char *path, char *out, size_t size)
{
    FILE *in = fopen(path, "re");
    size_t n = in ? fread(out, 1, size - 1, in) : 0;
    out[n] = '\0';
    if (in) {
        fclose(in);
    }
}

static size_t ops_count_files(void)
{
    size_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir)) {
        count++;
    }
    if (dir) {
        closedir(dir);
    }
    return count > 3 ? count - 3 : 0; /* without ".", ".." and the one that reads */
}

/* When this process started, in seconds since the epoch: ticks after boot, and boot's instant. */
static unsigned long long ops_started_s(const char *stat)
{
    static char system[16384]; /* this thread's: its "btime" line stands behind those of the CPUs */
    unsigned long long ticks = 0, boot = 0;
    const char *at = strrchr(stat, ')');
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    ops_proc("/proc/stat", system, sizeof(system));
    const char *line = strstr(system, "\nbtime ");
    if (!at || !line || sscanf(at, "%llu", &ticks) != 1 ||
        sscanf(line, "\nbtime %llu", &boot) != 1) {
        return 0;
    }
    return boot + ticks / (unsigned long long)sysconf(_SC_CLK_TCK);
}

/* The names that every Prometheus client has. */
static void ops_process(FILE *out)
{
    char statm[128], stat[1024];
    struct rusage used;
    struct rlimit files;
    unsigned long long virtual_pages = 0, resident_pages = 0;
    unsigned long long page = (unsigned long long)sysconf(_SC_PAGESIZE);
    ops_proc("/proc/self/statm", statm, sizeof(statm));
    ops_proc("/proc/self/stat", stat, sizeof(stat));
    (void)sscanf(statm, "%llu %llu", &virtual_pages, &resident_pages);
    getrusage(RUSAGE_SELF, &used);
    getrlimit(RLIMIT_NOFILE, &files);
    long long cpu_us = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000LL +
                       used.ru_utime.tv_usec + used.ru_stime.tv_usec;
    fprintf(out,
            "# HELP process_cpu_seconds_total User and system time.\n"
            "# TYPE process_cpu_seconds_total counter\n"
            "process_cpu_seconds_total %lld.%06lld\n"
            "# HELP process_resident_memory_bytes Resident memory.\n"
            "# TYPE process_resident_memory_bytes gauge\n"
            "process_resident_memory_bytes %llu\n"
            "# HELP process_virtual_memory_bytes Virtual memory.\n"
            "# TYPE process_virtual_memory_bytes gauge\n"
            "process_virtual_memory_bytes %llu\n",
            cpu_us / 1000000, cpu_us % 1000000, resident_pages * page, virtual_pages * page);
    fprintf(out,
            "# HELP process_open_fds Open file descriptors.\n"
            "# TYPE process_open_fds gauge\n"
            "process_open_fds %zu\n"
            "# HELP process_max_fds Most that may be open.\n"
            "# TYPE process_max_fds gauge\n"
            "process_max_fds %llu\n"
            "# HELP process_start_time_seconds Start, since the epoch.\n"
            "# TYPE process_start_time_seconds gauge\n"
            "process_start_time_seconds %llu\n",
            ops_count_files(), (unsigned long long)files.rlim_cur, ops_started_s(stat));
}

static void ops_answer_text(struct wire_page *page, int status, const char *text)
{
    wire_page_answer(page, status, "text/plain; charset=utf-8",
                     (struct span){(const uint8_t *)text, strlen(text)});
}

static void ops_metrics(struct wire_page *page)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out) {
        metrics_write(out);
        ops_process(out);
    }
    if (!out || fclose(out) != 0) {
        free(text);
        ops_answer_text(page, 503, "out of memory\n");
        return;
    }
    wire_page_answer(page, 200, "text/plain; version=0.0.4; charset=utf-8",
                     (struct span){(const uint8_t *)text, len});
    free(text);
}

static void ops_readyz(const struct ops *ops, struct wire_page *page)
{
    switch (atomic_load(ops->state)) {
    case OPS_READY:
        ops_answer_text(page, 200, "ready\n");
        break;
    case OPS_SHARD_AWAY:
        ops_answer_text(page, 503, "the shard is not connected\n");
        break;
    case OPS_DRAINING:
        ops_answer_text(page, 503, "draining\n");
        break;
    default:
        ops_answer_text(page, 503, "starting\n");
    }
}

static void ops_get(void *user, struct wire_page *page, const char *path)
{
    const struct ops_conn *conn = user;
    if (strcmp(path, "/metrics") == 0) {
        ops_metrics(page);
    } else if (strcmp(path, "/livez") == 0) {
        ops_answer_text(page, 200, "alive\n");
    } else if (strcmp(path, "/readyz") == 0) {
        ops_readyz(conn->ops, page);
    } else {
        ops_answer_text(page, 404, "/metrics, /livez and /readyz are here\n");
    }
}

static const struct wire_page_ops ops_pages = {.get = ops_get};

/* -- listening --------------------------------------------------------------------------------- */

static void ops_accept(uv_stream_t *listener, int status)
{
    struct ops *ops = listener->data;
    struct ops_conn *conn = status == 0 ? calloc(1, sizeof(*conn)) : NULL;
    if (conn == NULL) {
        return; /* libuv looks again at the next one */
    }
    conn->ops = ops;
    conn->handles = 2;
    uv_tcp_init(&ops->loop, &conn->tcp); /* neither can fail */
    uv_timer_init(&ops->loop, &conn->timer);
    conn->tcp.data = conn->timer.data = conn;
    list_push(&ops->conns, &conn->link);
    ops->conns_count++;
    conn->page = wire_page_new(&ops_pages, conn);
    bool is_full = ops->conns_count > OPS_CONNS_MAX && limit_is_on("ops_full");
    if (is_full) {
        METRIC_ADD1(ops_connections_ended_total, ops_end, OPS_END_FULL, 1);
    }
    if (uv_accept(listener, (uv_stream_t *)&conn->tcp) < 0 || conn->page == NULL || is_full ||
        uv_read_start((uv_stream_t *)&conn->tcp, ops_conn_buffer, ops_conn_read) < 0) {
        ops_conn_close(conn);
        return;
    }
    uv_timer_start(&conn->timer, ops_conn_late, OPS_REQUEST_MS, 0);
}

static void ops_stopped(uv_async_t *async)
{
    struct ops *ops = async->data;
    while (!list_empty(&ops->conns)) {
        ops_conn_close(CONTAINER_OF(ops->conns.next, struct ops_conn, link));
    }
    ops_close_handle((uv_handle_t *)&ops->listener);
    ops_close_handle((uv_handle_t *)&ops->stop);
}

static void ops_run(void *user)
{
    struct ops *ops = user;
    uv_run(&ops->loop, UV_RUN_DEFAULT);
}

static int ops_listen(struct ops *ops, const struct ops_options *o, char *ret_text)
{
    struct sockaddr_storage address = {0};
    int len = sizeof(address);
    int r = uv_ip4_addr(o->host, o->port, (struct sockaddr_in *)&address);
    r = r == 0 ? 0 : uv_ip6_addr(o->host, o->port, (struct sockaddr_in6 *)&address);
    r = r == 0 ? uv_tcp_bind(&ops->listener, (struct sockaddr *)&address, 0) : r;
    r = r == 0 ? uv_listen((uv_stream_t *)&ops->listener, OPS_CONNS_MAX, ops_accept) : r;
    r = r == 0 ? uv_tcp_getsockname(&ops->listener, (struct sockaddr *)&address, &len) : r;
    if (r < 0) {
        snprintf(ret_text, OPS_TEXT, "cannot listen on %s:%d for operations: %s", o->host, o->port,
                 uv_strerror(r));
        return OPS_E_LISTEN;
    }
    /* The port stands at the same place in both families. */
    ops->port = ntohs(((struct sockaddr_in *)&address)->sin_port);
    return 0;
}

int ops_start(const struct ops_options *options, struct ops **ret_ops, char *ret_text)
{
    struct ops *ops = calloc(1, sizeof(*ops));
    if (ops == NULL) {
        return err_origin(-ENOMEM);
    }
    ops->state = options->state;
    list_init(&ops->conns);
    int r = uv_loop_init(&ops->loop);
    if (r < 0) {
        free(ops);
        return err_origin(r);
    }
    uv_tcp_init(&ops->loop, &ops->listener); /* cannot fail */
    r = uv_async_init(&ops->loop, &ops->stop, ops_stopped);
    ops->listener.data = ops->stop.data = ops;
    if (r == 0) {
        r = ops_listen(ops, options, ret_text);
    }
    if (r == 0) {
        r = uv_thread_create(&ops->thread, ops_run, ops);
    }
    if (r == 0) {
        *ret_ops = ops;
        return 0;
    }
    ops_stopped(&ops->stop);
    uv_run(&ops->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&ops->loop) == 0);
    free(ops);
    return r < 0 ? err_origin(r) : r;
}

int ops_port(const struct ops *ops)
{
    return ops->port;
}

void ops_stop(struct ops *ops)
{
    if (ops) {
        uv_async_send(&ops->stop);
        uv_thread_join(&ops->thread);
        CHECK(uv_loop_close(&ops->loop) == 0);
        free(ops);
    }
}
