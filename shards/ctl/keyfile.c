/* SPDX-License-Identifier: MIT */
/* Whole files, written in one step.
 *   temporary file beside the target -> write -> fsync -> rename (or link) -> fsync of the folder
 * Owns nothing between calls.  Fails with -errno of the step; the temporary file is removed then.
 * link() in place of rename() is what makes keyfile_create() safe between two processes that
 * start at once on a new data directory: the second one finds EEXIST and reads the first one's
 * key.  Not taken: O_EXCL on the target itself, because a crash would leave half a key there. */
#include "ctl/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

bool keyfile_path(char *out, const char *dir, const char *name)
{
    int n = snprintf(out, KEYFILE_PATH_MAX, "%s/%s", dir, name);
    return n > 0 && n < KEYFILE_PATH_MAX;
}

int keyfile_make_dir(const char *dir)
{
    char path[KEYFILE_PATH_MAX];
    size_t len = strlen(dir);
    if (len == 0 || len >= sizeof(path)) {
        return err_origin(-ENAMETOOLONG);
    }
    memcpy(path, dir, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        char cut = path[i];
        path[i] = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST) {
            return err_origin(-errno);
        }
        path[i] = cut;
    }
    struct stat st;
    if (stat(dir, &st) < 0) {
        return err_origin(-errno);
    }
    return S_ISDIR(st.st_mode) ? 0 : err_origin(-ENOTDIR);
}

static int keyfile_write_all(int fd, struct span bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_origin(-errno);
        }
        bytes.ptr += n;
        bytes.len -= (size_t)n;
    }
    return fsync(fd) < 0 ? err_origin(-errno) : 0;
}

/* The name in its folder is only durable once the folder is. */
static int keyfile_sync_folder(const char *path)
{
    char folder[KEYFILE_PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (len == 0) {
        strcpy(folder, slash ? "/" : ".");
    } else {
        memcpy(folder, path, len);
        folder[len] = '\0';
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return err_origin(-errno);
    }
    int r = fsync(fd) < 0 ? err_origin(-errno) : 0;
    close(fd);
    return r;
}

static int keyfile_put(const char *path, struct span bytes, unsigned mode, bool replace)
{
    char temporary[KEYFILE_PATH_MAX];
    int n = snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
    if (n <= 0 || (size_t)n >= sizeof(temporary)) {
        return err_origin(-ENAMETOOLONG);
    }
    int fd = mkstemp(temporary); /* 0600 from its first moment */
    if (fd < 0) {
        return err_origin(-errno);
    }
    int r = fchmod(fd, mode) < 0 ? err_origin(-errno) : keyfile_write_all(fd, bytes);
    close(fd);
    if (r == 0 && replace && rename(temporary, path) < 0) {
        r = err_origin(-errno);
    }
    if (r == 0 && !replace && link(temporary, path) < 0) {
        r = errno == EEXIST ? KEYFILE_E_EXISTS : err_origin(-errno);
    }
    if (r != 0 || !replace) {
        unlink(temporary);
    }
    return r == 0 ? err_trace(keyfile_sync_folder(path)) : r;
}

int keyfile_replace(const char *path, struct span bytes, unsigned mode)
{
    return err_fold(keyfile_put(path, bytes, mode, true));
}

int keyfile_create(const char *path, struct span bytes, unsigned mode)
{
    return keyfile_put(path, bytes, mode, false);
}

int keyfile_read(const char *path, size_t max, char **ret_bytes, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? KEYFILE_E_MISSING : err_origin(-errno);
    }
    int r;
    size_t len = 0, size = 4096;
    char *bytes = malloc(size);
    for (;;) {
        if (!bytes) {
            r = err_origin(-ENOMEM);
            goto close_file;
        }
        ssize_t n = read(fd, bytes + len, size - len - 1);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            r = err_origin(-errno);
            goto free_bytes;
        }
        len += (size_t)n;
        if (len > max) {
            r = KEYFILE_E_LARGE;
            goto free_bytes;
        }
        if (n == 0) {
            break;
        }
        if (len + 1 == size) {
            char *larger = realloc(bytes, size * 2);
            if (!larger) {
                r = err_origin(-ENOMEM);
                goto free_bytes;
            }
            bytes = larger;
            size *= 2;
        }
    }
    bytes[len] = '\0';
    *ret_bytes = bytes;
    if (ret_len) {
        *ret_len = len;
    }
    close(fd);
    return 0;
free_bytes:
    free(bytes);
close_file:
    close(fd);
    return r;
}
