/* SPDX-License-Identifier: MIT */
/* The audit's active part: winners ask again, and the bundle is recomputed.
 * Owns: a temporary folder (a winner's token, the bundle), gone afterwards.
 * Fails when the folder cannot be made; what the server answers wrongly is counted. */
#include "flood/check.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "ctl/refusal.h"
#include "ctl/session.h"
#include "ctl/talk.h"
#include "fairslot/v1/services.pb-c.h"

#define CHECK_AGAIN_MAX 10 /* winners that are tried */

static int check_remove(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
    (void)stat;
    (void)flag;
    (void)ftw;
    remove(path);
    return 0;
}

static int check_folder(char *ret_folder, size_t size)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(ret_folder, size, "%.200s/fairslot-audit.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (mkdtemp(ret_folder) == NULL) {
        talk_error("cannot make a folder in %s: %s", tmp && *tmp ? tmp : "/tmp", strerror(errno));
        return VERB_FAILED;
    }
    return 0;
}

/* The winner's own token in a file, as ctl/session wants it. */
static int check_token(const struct plan *plan, const struct client *who, const char *path)
{
    size_t len = (size_t)(plan->token_at[who->identity + 1] - plan->token_at[who->identity]);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t n = fd < 0 ? -1 : write(fd, plan->tokens + plan->token_at[who->identity], len);
    if (fd >= 0) {
        close(fd);
    }
    return n == (ssize_t)len ? 0 : VERB_FAILED;
}

static int check_one(const struct plan *plan, const struct client *who, const char *path,
                     struct audit *audit)
{
    Fairslot__V1__ConfirmHoldRequest q = FAIRSLOT__V1__CONFIRM_HOLD_REQUEST__INIT;
    Fairslot__V1__Reservation *made;
    struct options_call options;
    struct session *session;
    struct refusal refusal;
    char name[160], request_id[VALUE_UUID_MAX];
    options_call_init(&options);
    options.target = plan->target;
    options.ca = plan->ca;
    options.certificate = plan->certificate;
    options.key = plan->key;
    options.token_file = path;
    int r = check_token(plan, who, path);
    r = r ? r : session_open(&options, &session);
    if (r) {
        return r;
    }
    /* A hold and the reservation that it became are hNAME and rNAME. */
    snprintf(name, sizeof name, "%s/holds/h%s", plan->pool, *who->paper ? who->paper + 1 : "");
    session_request_id(request_id);
    q.name = name;
    q.request_id = request_id;
    struct session_call call = {"/fairslot.v1.ReservationService/ConfirmHold", &q.base,
                                &fairslot__v1__reservation__descriptor};
    if (session_try(session, &call, &made, &refusal) == 0) {
        audit->double_confirmed++;
        session_free(made);
    } else {
        audit->asked_again += strcmp(refusal.reason, "HOLD_ENDED") == 0;
    }
    session_close(session);
    return 0;
}

int check_again(const struct plan *plan, struct audit *audit)
{
    char folder[256], path[300];
    uint32_t tried = 0;
    int r = check_folder(folder, sizeof folder);
    snprintf(path, sizeof path, "%s/token", folder);
    for (uint32_t i = 0; i < plan->scenario.clients_count && r == 0; i++) {
        if (plan->clients[i].state == CROWD_WON && tried++ < CHECK_AGAIN_MAX) {
            r = check_one(plan, &plan->clients[i], path, audit);
        }
    }
    nftw(folder, check_remove, 8, FTW_DEPTH | FTW_PHYS);
    return r;
}

/* `fairslot release WORD FIRST [--bundle FOLDER]`, quietly; its exit code. */
static int check_release(const char *word, const char *first, const char *bundle)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int quiet = open("/dev/null", O_WRONLY);
        if (quiet < 0 || dup2(quiet, STDOUT_FILENO) < 0 || dup2(quiet, STDERR_FILENO) < 0) {
            _exit(127);
        }
        execl("/proc/self/exe", "fairslot", "release", word, first, bundle ? "--bundle" : NULL,
              bundle, (char *)NULL);
        _exit(127);
    }
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

/* To the verb that is started, as everybody may say it. */
static void check_say(const char *name, const char *value)
{
    if (value) {
        setenv(name, value, 1);
    }
}

int check_order(const struct plan *plan, const char *operator_token, struct audit *audit)
{
    char folder[256], bundle[300];
    if (plan->scenario.mode == CROWD_FCFS) {
        return 0; /* has no order that could be wrong */
    }
    int r = check_folder(folder, sizeof folder);
    if (r) {
        return r;
    }
    snprintf(bundle, sizeof bundle, "%s/bundle", folder);
    check_say("FAIRSLOT_TARGET", plan->target);
    check_say("FAIRSLOT_CA", plan->ca);
    check_say("FAIRSLOT_CERT", plan->certificate);
    check_say("FAIRSLOT_KEY", plan->key);
    check_say("FAIRSLOT_TOKEN_FILE", operator_token);
    fflush(NULL);
    audit->order_wrong = check_release("report", plan->release, bundle) != 0 ||
                         check_release("verify", bundle, NULL) != 0;
    nftw(folder, check_remove, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}
