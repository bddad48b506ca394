/* SPDX-License-Identifier: MIT */
/* fairslot config: what a configuration says, before a server reads it (check: engine/serve_check).
 *   show     effective values, with --origin where each came from; a file that reads back
 *   explain  one key, one section, everything     default  a commented file of every key
 *   manual   fairslot.conf(5)         metrics, events: tables of docs/
 * Owns a loaded configuration while it prints.  Fails by telling; stdout has nothing then. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "config/config.h"
#include "ctl/cmd.h"
#include "ctl/options.h"
#include "ctl/render.h"
#include "ctl/talk.h"

static void cmd_config_tell(void *user, const char *line)
{
    talk_say("%s", line);
}

/* Loads what the words name.  VERB_OK, or told. */
static int cmd_config_load(const char *file, const struct options_many *sets,
                           struct config **ret_config)
{
    struct config_report report = {.tell = cmd_config_tell};
    const struct config_source source = {.file = file, .sets = sets->at, .sets_count = sets->count,
                                         .who = CONFIG_ALL};
    int r = config_load(&source, &report, ret_config);
    if (r == 0) {
        return VERB_OK;
    }
    if (r < 0) {
        talk_error("the configuration cannot be read");
        err_print(stderr);
        return VERB_FAILED;
    }
    talk_error("%zu %s in %s", report.count, report.count == 1 ? "mistake" : "mistakes",
               file ? file : "--set");
    talk_next("correct each line above; fairslot config explain KEY says what a key takes");
    return VERB_USAGE;
}

int cmd_config_show(const struct verb *verb, int argc, char **argv)
{
    struct options_many sets = {0};
    struct options_words words;
    struct config *config;
    const char *file = NULL;
    bool origin = false;
    const struct options_spec specs[] = {{"set", 0, .many = &sets}, {"config", 0, .text = &file},
                                         {"origin", 0, .flag = &origin}, {NULL}};
    const struct options_rule rule = {specs, 0, 1, "FILE"};
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    r = cmd_config_load(words.count ? words.at[0] : file, &sets, &config);
    if (r == VERB_OK) {
        config_show(config, origin, stdout);
        config_free(config);
        r = render_flush();
    }
    return r;
}

int cmd_config_explain(const struct verb *verb, int argc, char **argv)
{
    struct options_words words;
    const char *guess = NULL;
    const struct options_spec specs[] = {{NULL}};
    const struct options_rule rule = {specs, 0, 1, "KEY"};
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    if (!config_explain(words.count ? words.at[0] : NULL, stdout, &guess)) {
        talk_error("there is no key '%s'%s%s%s", words.at[0], guess ? ": did you mean " : "",
                   guess ? guess : "", guess ? "?" : "");
        talk_next("fairslot config explain");
        return VERB_USAGE;
    }
    return render_flush();
}

/* A verb that prints the table in one form. */
static int cmd_config_print(const struct verb *verb, int argc, char **argv,
                            void (*print)(FILE *out))
{
    struct options_words words;
    const struct options_spec specs[] = {{NULL}};
    const struct options_rule rule = {specs, 0, 0, ""};
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    print(stdout);
    return render_flush();
}

int cmd_config_default(const struct verb *verb, int argc, char **argv)
{
    return cmd_config_print(verb, argc, argv, config_default);
}

int cmd_config_manual(const struct verb *verb, int argc, char **argv)
{
    return cmd_config_print(verb, argc, argv, config_manual);
}

int cmd_config_metrics(const struct verb *verb, int argc, char **argv)
{
    return cmd_config_print(verb, argc, argv, metrics_describe);
}

int cmd_config_events(const struct verb *verb, int argc, char **argv)
{
    return cmd_config_print(verb, argc, argv, log_describe);
}
