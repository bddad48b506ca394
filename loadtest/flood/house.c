/* SPDX-License-Identifier: MIT */
/* The demo's own server: this very binary, started again.
 * Owns: the child (it dies with us, whatever ends us) and the folder.  Fails when the folder cannot
 * be made or the server does not become ready in 20 s; its log is shown then. */
#include "flood/house.h"

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "ctl/talk.h"
#include "verb.h"

#define HOUSE_READY_MS 20000
#define HOUSE_STOP_MS  10000

static void house_child(const struct house *h, int out)
{
    char log[320];
    snprintf(log, sizeof log, "%s/server.log", h->folder);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    setpgid(0, 0); /* ^C is for the demo, which then ends us */
    if (dup2(out, STDOUT_FILENO) < 0 || freopen(log, "w", stderr) == NULL) {
        _exit(127);
    }
    execl("/proc/self/exe", "fairslot", "serve", "--dev", "--data", h->data, "--listen",
          "127.0.0.1:0", (char *)NULL);
    _exit(127);
}

/* "ready grpc=HOST:PORT ..." from the pipe. */
static int house_ready(struct house *h, int in)
{
    char text[512];
    size_t len = 0;
    int64_t until_us = clock_mono_us() + HOUSE_READY_MS * 1000;
    while (len + 1 < sizeof text && clock_mono_us() < until_us) {
        struct pollfd p = {.fd = in, .events = POLLIN};
        if (poll(&p, 1, 200) <= 0) {
            continue;
        }
        ssize_t n = read(in, text + len, sizeof text - len - 1);
        if (n <= 0) {
            return VERB_FAILED;
        }
        len += (size_t)n;
        text[len] = 0;
        char *at = strstr(text, "ready grpc=");
        if (at && strchr(at, '\n')) {
            snprintf(h->target, sizeof h->target, "%.*s", (int)strcspn(at + 11, " \n"), at + 11);
            return 0;
        }
    }
    return VERB_FAILED;
}

static void house_show_log(const struct house *h)
{
    char path[320], line[512];
    snprintf(path, sizeof path, "%s/server.log", h->folder);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        fputs(line, stderr);
    }
    if (f) {
        fclose(f);
    }
}

int house_open(struct house *h)
{
    const char *tmp = getenv("TMPDIR");
    int pipes[2], r;
    int64_t began_us = clock_mono_us();
    *h = (struct house){.pid = 0};
    snprintf(h->folder, sizeof h->folder, "%.200s/fairslot-demo.XXXXXX",
             tmp && *tmp ? tmp : "/tmp");
    if (mkdtemp(h->folder) == NULL) {
        talk_error("cannot make a folder in %s: %s", tmp && *tmp ? tmp : "/tmp", strerror(errno));
        talk_next("set TMPDIR to a folder that may be written");
        h->folder[0] = 0;
        return VERB_FAILED;
    }
    snprintf(h->data, sizeof h->data, "%s/data", h->folder);
    snprintf(h->operator_token, sizeof h->operator_token, "%s/operator.token", h->data);
    if (pipe(pipes) < 0) {
        talk_error("no pipe: %s", strerror(errno));
        return VERB_FAILED;
    }
    fflush(NULL);
    h->pid = fork();
    CHECK(h->pid >= 0);
    if (h->pid == 0) {
        close(pipes[0]);
        house_child(h, pipes[1]);
    }
    close(pipes[1]);
    r = house_ready(h, pipes[0]);
    close(pipes[0]);
    h->ready_s = (double)(clock_mono_us() - began_us) / 1e6;
    if (r) {
        talk_error("the server did not start");
        house_show_log(h);
    }
    return r;
}

static int house_remove(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
    (void)stat;
    (void)flag;
    (void)ftw;
    remove(path);
    return 0;
}

void house_close(struct house *h)
{
    if (h->pid > 0) {
        kill(h->pid, SIGTERM);
        int64_t until_us = clock_mono_us() + HOUSE_STOP_MS * 1000;
        while (waitpid(h->pid, NULL, WNOHANG) == 0) {
            if (clock_mono_us() > until_us) {
                kill(h->pid, SIGKILL);
                until_us = INT64_MAX;
            }
            nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
        }
        h->pid = 0;
    }
    if (h->folder[0]) {
        nftw(h->folder, house_remove, 16, FTW_DEPTH | FTW_PHYS);
        h->folder[0] = 0;
    }
}
