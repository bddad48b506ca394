/* SPDX-License-Identifier: MIT */
/* Processes of the generator.  Each runs a crew on its part of the clients and writes into shared
 * memory; the parent draws, waits, and adds up.
 * Owns: the shared memory, the children.  A child dies with its parent.  Fails with what the first
 * child fails with; the others are stopped, and their counts are kept. */
#include "flood/run.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "ctl/talk.h"
#include "flood/crew.h"
#include "verb.h"

#define RUN_PROCESSES_MAX 64
#define RUN_FRAME_MS      250

/* Seen by parent and children. */
struct run_shared {
    volatile sig_atomic_t stop;
    int codes[RUN_PROCESSES_MAX];
    struct result results[]; /* one a process */
};

static struct run_shared *run_shared; /* for the signal handler */

static void run_stop(int number)
{
    (void)number;
    if (run_shared) {
        run_shared->stop = 1;
    }
}

static void *run_map(size_t bytes)
{
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return map == MAP_FAILED ? NULL : map;
}

bool run_clients(struct plan *plan)
{
    plan->clients = run_map(((size_t)plan->scenario.clients_count + 1) * sizeof(struct client));
    plan->told = run_map((size_t)plan->scenario.identities_count + 1);
    return plan->clients != NULL && plan->told != NULL;
}

void run_clients_free(struct plan *plan)
{
    if (plan->clients) {
        munmap(plan->clients,
               ((size_t)plan->scenario.clients_count + 1) * sizeof(struct client));
    }
    if (plan->told) {
        munmap(plan->told, (size_t)plan->scenario.identities_count + 1);
    }
    plan->clients = NULL;
    plan->told = NULL;
}

static void run_child(const struct plan *plan, uint32_t number)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN); /* the parent tells us */
    signal(SIGTERM, SIG_IGN);
    int r = crew_run(plan, number, &run_shared->stop, &run_shared->results[number]);
    if (r < 0) {
        err_print(stderr);
    }
    run_shared->codes[number] = r;
    _exit(0);
}

static void run_sum(const struct plan *plan, struct result *ret)
{
    result_init(ret);
    for (uint32_t i = 0; i < plan->processes; i++) {
        result_merge(ret, &run_shared->results[i]);
    }
}

/* Says what the first child that failed failed with; its exit code. */
static int run_tell(const struct plan *plan, const struct result *all)
{
    struct rlimit files;
    for (uint32_t i = 0; i < plan->processes; i++) {
        switch (run_shared->codes[i]) {
        case 0:
            continue;
        case CREW_E_FILES:
            getrlimit(RLIMIT_NOFILE, &files);
            talk_error("out of file descriptors: this process may open %llu",
                       (unsigned long long)files.rlim_cur);
            talk_next("raise the limit (ulimit -n 100000), give the populations fewer "
                      "connections, or spread them with --processes");
            return VERB_FAILED;
        case CREW_E_CONNECT:
            talk_error("cannot connect to %s: %s", plan->target, strerror(all->failure));
            talk_next("is the server up?  `fairslot serve --dev --data demo` starts one");
            return VERB_UNREACHABLE;
        default:
            talk_error("the generator failed");
            return VERB_FAILED;
        }
    }
    if (all->is_lost) {
        talk_error("the target %s went away: no connection could be made for 3 s", plan->target);
        talk_next("what was measured until then stands in the report");
        return VERB_FAILED;
    }
    return VERB_OK;
}

static int run_wait(const struct plan *plan, const pid_t *children, struct result *sum)
{
    struct live live;
    uint32_t left = plan->processes;
    bool is_gone[RUN_PROCESSES_MAX] = {false};
    live_init(&live, stderr);
    while (left > 0) {
        nanosleep(&(struct timespec){.tv_nsec = RUN_FRAME_MS * 1000000}, NULL);
        for (uint32_t i = 0; i < plan->processes; i++) {
            int status;
            if (!is_gone[i] && waitpid(children[i], &status, WNOHANG) == children[i]) {
                is_gone[i] = true;
                left--;
                bool is_well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
                run_shared->codes[i] = is_well ? run_shared->codes[i] : -ECHILD;
                if (run_shared->codes[i] != 0) {
                    run_shared->stop = 1;
                }
            }
        }
        run_sum(plan, sum);
        live_show(&live, plan, sum, clock_mono_us() - plan->opens_mono_us, left == 0);
    }
    return run_tell(plan, sum);
}

int run_flood(const struct plan *plan, struct result *ret_result)
{
    pid_t children[RUN_PROCESSES_MAX];
    size_t bytes = sizeof *run_shared + plan->processes * sizeof(struct result);
    struct sigaction stop = {.sa_handler = run_stop}, old_int, old_term;
    CHECK(plan->processes > 0);
    CHECK(plan->processes <= RUN_PROCESSES_MAX);
    run_shared = run_map(bytes);
    if (run_shared == NULL) {
        talk_error("no memory for %u processes", plan->processes);
        return VERB_FAILED;
    }
    sigaction(SIGINT, &stop, &old_int);
    sigaction(SIGTERM, &stop, &old_term);
    fflush(NULL);
    for (uint32_t i = 0; i < plan->processes; i++) {
        run_shared->codes[i] = -ECHILD;
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            run_child(plan, i);
        }
    }
    int r = run_wait(plan, children, ret_result);
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    plan_mark_echoes(plan);
    munmap(run_shared, bytes);
    run_shared = NULL;
    return r;
}
