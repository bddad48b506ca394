/* SPDX-License-Identifier: MIT */
/* The words behind a verb: every form, and every way to get them wrong. */
#include <stdint.h>

#include "ctl/options.h"
#include "tests/lib/tap.h"

static const struct verb verb = {"pool", "create", "", "# the help\n", NULL};
static const char *zone, *output;
static bool scarce;
static struct options_words words;

static int parse_words(int argc, const char *const *argv)
{
    static const struct options_spec specs[] = {
        {"time-zone", 0, &zone, NULL}, {"output", 'o', &output, NULL},
        {"scarce", 's', NULL, &scarce}, {NULL}};
    static const struct options_rule rule = {specs, 1, 2, "an ID"};
    zone = output = NULL;
    scarce = false;
    return options_parse(&verb, &rule, argc, (char **)(uintptr_t)argv, &words);
}

#define PARSE(...)                                                      \
    parse_words((int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), \
                (const char *[]){__VA_ARGS__})

static void test_forms(void)
{
    EQ(PARSE("id", "--time-zone", "Europe/Berlin", "-o", "json", "--scarce"), 0);
    EQS(zone, "Europe/Berlin");
    EQS(output, "json");
    OK(scarce);
    EQ(words.count, 1);
    EQ(PARSE("--time-zone=a=b", "-ojson", "id", "-s", "two"), 0);
    EQS(zone, "a=b");
    EQS(output, "json");
    EQ(words.count, 2);
    EQS(words.at[1], "two");
    EQ(PARSE("--time-zone=", "id"), 0);
    EQS(zone, "");
    EQ(PARSE("--", "--scarce", "-o"), 0);
    OK(!scarce);
    EQ(words.count, 2);
    EQ(PARSE("-"), 0); /* a dash alone is a word */
    EQ(PARSE("id", "--time-zone", "--scarce"), 0); /* a value may look like an option */
    EQS(zone, "--scarce");
}

static void test_wrong(void)
{
    EQ(PARSE("id", "--tme-zone", "x"), OPTIONS_E_USAGE);
    EQ(PARSE("id", "--time-zon=x"), OPTIONS_E_USAGE); /* no abbreviations */
    EQ(PARSE("id", "-x"), OPTIONS_E_USAGE);
    EQ(PARSE("id", "--time-zone"), OPTIONS_E_USAGE);
    EQ(PARSE("id", "--scarce=yes"), OPTIONS_E_USAGE);
    EQ(PARSE("id", "-sx"), OPTIONS_E_USAGE);
    EQ(PARSE("a", "b", "c"), OPTIONS_E_USAGE);
    EQ(PARSE("--scarce"), OPTIONS_E_USAGE);
    EQ(parse_words(0, NULL), OPTIONS_E_USAGE);
    EQ(options_exit(OPTIONS_E_USAGE), VERB_USAGE);
}

static void test_help(void)
{
    EQ(PARSE("--nonsense", "--help"), OPTIONS_E_HELP);
    EQ(PARSE("-h"), OPTIONS_E_HELP);
    EQ(PARSE("help"), OPTIONS_E_HELP);
    EQ(PARSE("--", "--help"), 0);
    EQ(options_exit(OPTIONS_E_HELP), VERB_OK);
}

static void test_call(void)
{
    struct options_call call;
    unsetenv("FAIRSLOT_TARGET");
    setenv("FAIRSLOT_TOKEN_FILE", "", 1);
    options_call_init(&call);
    EQS(call.target, "127.0.0.1:17700");
    OK(call.token_file == NULL);
    EQ(options_call_check(&verb, &call), VERB_OK);
    setenv("FAIRSLOT_TARGET", "[::1]:1", 1);
    setenv("FAIRSLOT_TOKEN_FILE", "t", 1);
    options_call_init(&call);
    EQS(call.target, "[::1]:1");
    EQS(call.token_file, "t");
    EQ(options_call_check(&verb, &call), VERB_OK);
    call.target = "host:0";
    EQ(options_call_check(&verb, &call), VERB_USAGE);
    call.target = "host:1";
    call.output = "xml";
    EQ(options_call_check(&verb, &call), VERB_USAGE);
}

int main(void)
{
    TAP_RUN(test_forms);
    TAP_RUN(test_wrong);
    TAP_RUN(test_help);
    TAP_RUN(test_call);
    return tap_done();
}
