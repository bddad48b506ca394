/* SPDX-License-Identifier: MIT */
/* An operator's configuration file, whatever is in it: mistakes with their places, or a
 * configuration that reads back as the same. */
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"

static size_t told;

static void tell(void *user, const char *line)
{
    CHECK(strchr(line, '\n') == NULL);
    told++;
}

static void changed(void *user, const char *name, bool reloads)
{
    fprintf(stderr, "%s reads back as something else\n", name);
    abort();
}

/* Of a file that is nowhere; NULL: mistakes were told. */
static struct config *load(const void *bytes, size_t size)
{
    char path[64];
    struct config *config = NULL;
    struct config_report report = {.tell = tell};
    int fd = memfd_create("config", MFD_CLOEXEC);
    CHECK(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    const struct config_source source = {.file = path}; /* nobody: files need not be there */
    told = 0;
    int r = config_load(&source, &report, &config);
    CHECK(r == 0 || (r == CONFIG_E_WRONG && told > 0 && report.count >= told - 1));
    close(fd);
    return config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = NULL;
    size_t len = 0;
    struct config *config = load(data, size);
    if (config == NULL) {
        return 0;
    }
    FILE *out = open_memstream(&text, &len);
    CHECK(out);
    config_show(config, size & 1, out);
    CHECK(fclose(out) == 0);
    struct config *again = load(text, len);
    if (again == NULL) {
        fprintf(stderr, "what is shown does not read back:\n%s\n", text);
        abort();
    }
    config_compare(config, again, changed, NULL);
    config_free(again);
    config_free(config);
    free(text);
    return 0;
}
