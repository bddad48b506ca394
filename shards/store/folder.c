/* SPDX-License-Identifier: MIT */
/* Directories: a file is only as durable as the directory entry that names it, so whatever is made
 * here is synced up to the first directory that was already there.  Owns nothing.
 * Fails: < 0, and a half-made chain of empty directories may stay, which the next try takes up.
 * The lock is flock() and not a pid file: it ends with the process, also by kill -9. */
#include "store/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"

int folder_join(char ret_path[FOLDER_PATH_MAX], const char *a, const char *b)
{
    int n = snprintf(ret_path, FOLDER_PATH_MAX, "%s%s", a, b);
    return n < FOLDER_PATH_MAX ? 0 : err_origin(-ENAMETOOLONG);
}

bool folder_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

int folder_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return err_origin(-errno);
    }
    int r = fsync(fd) < 0 ? err_origin(-errno) : 0;
    close(fd);
    return r;
}

int folder_sync_parent(const char *path)
{
    char parent[FOLDER_PATH_MAX];
    int r = folder_join(parent, path, "");
    if (r < 0) {
        return err_trace(r);
    }
    char *end = parent + strlen(parent);
    while (end > parent + 1 && end[-1] == '/') {
        *--end = 0;
    }
    char *slash = strrchr(parent, '/');
    if (!slash) {
        return err_trace(folder_sync("."));
    }
    slash[slash == parent] = 0; /* the root keeps its slash */
    return err_trace(folder_sync(parent));
}

/* One level; its entry is synced. */
static int make_one(const char *path)
{
    if (folder_exists(path)) {
        return 0;
    }
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        return err_origin(-errno);
    }
    return err_trace(folder_sync_parent(path));
}

int folder_make(const char *path)
{
    char part[FOLDER_PATH_MAX];
    int r = folder_join(part, path, "");
    if (r < 0) {
        return err_trace(r);
    }
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        r = make_one(part);
        *slash = '/';
        if (r < 0) {
            return err_trace(r);
        }
    }
    return err_trace(make_one(part));
}

static int write_beside(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_origin(-errno);
    }
    ssize_t n = write(fd, bytes, len);
    int r = n < 0 ? err_origin(-errno) : (size_t)n != len ? err_origin(-ENOSPC) : 0;
    if (r == 0 && fsync(fd) != 0) {
        r = err_origin(-errno);
    }
    close(fd);
    return r;
}

int folder_write(const char *dir, const char *name, const void *bytes, size_t len)
{
    char base[FOLDER_PATH_MAX], path[FOLDER_PATH_MAX], next[FOLDER_PATH_MAX];
    int r = folder_join(base, dir, "/");
    r = r ? r : folder_join(path, base, name);
    r = r ? r : folder_join(next, path, ".next");
    r = r ? r : write_beside(next, bytes, len);
    if (r == 0 && rename(next, path) != 0) {
        r = err_origin(-errno);
    }
    return r ? err_trace(r) : err_trace(folder_sync(dir));
}

int folder_read(const char *dir, const char *name, void *bytes, size_t room, size_t *ret_len)
{
    char base[FOLDER_PATH_MAX], path[FOLDER_PATH_MAX];
    *ret_len = 0;
    int r = folder_join(base, dir, "/");
    r = r ? r : folder_join(path, base, name);
    if (r) {
        return err_trace(r);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : err_origin(-errno);
    }
    ssize_t n = read(fd, bytes, room);
    r = n < 0 ? err_origin(-errno) : 0;
    close(fd);
    *ret_len = r ? 0 : (size_t)n;
    return r;
}

int folder_remove_env(const char *path)
{
    static const char *const names[] = {"/data.mdb", "/lock.mdb", "/sums",        "/sums.new",
                                        "/about",    "/about.next", "/members", "/members.next",
                                        "/tail",     "/tail.next"};
    char file[FOLDER_PATH_MAX];
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        int r = folder_join(file, path, names[i]);
        if (r < 0) {
            return err_trace(r);
        }
        if (unlink(file) < 0 && errno != ENOENT) {
            return err_origin(-errno);
        }
    }
    return rmdir(path) < 0 && errno != ENOENT ? err_origin(-errno) : 0;
}

static bool is_numbered(const char *found, const char *name)
{
    size_t len = strlen(name);
    if (strncmp(found, name, len) != 0) {
        return false;
    }
    const char *tail = found + len;
    return *tail == 0 || (*tail == '.' && tail[1] && strspn(tail + 1, "0123456789") ==
                                                        strlen(tail + 1));
}

int folder_remove_others(const char *path, const char *name, const char *keep)
{
    struct dirent *entry;
    int r = 0;
    DIR *dir = opendir(path);
    if (!dir) {
        return err_origin(-errno);
    }
    while (r == 0 && (entry = readdir(dir)) != NULL) {
        char tail[300], one[FOLDER_PATH_MAX];
        if (!is_numbered(entry->d_name, name) || strcmp(entry->d_name, keep) == 0) {
            continue;
        }
        snprintf(tail, sizeof tail, "/%s", entry->d_name);
        r = folder_join(one, path, tail);
        r = r ? r : folder_remove_env(one);
    }
    closedir(dir);
    return err_trace(r);
}

/* The number behind the name; 0: none. */
static uint64_t number_of(const char *found, const char *name)
{
    return is_numbered(found, name) && found[strlen(name)] ? strtoull(found + strlen(name) + 1,
                                                                      NULL, 10) : 0;
}

int folder_keep_newest(const char *path, const char *name, uint64_t *ret_numbers, size_t max,
                       size_t *ret_count)
{
    struct dirent *entry;
    size_t count = 0;
    int r = 0;
    DIR *dir = opendir(path);
    if (!dir) {
        return err_origin(-errno);
    }
    while (r == 0 && (entry = readdir(dir)) != NULL) {
        char tail[300], one[FOLDER_PATH_MAX];
        uint64_t number = number_of(entry->d_name, name);
        size_t lowest = 0;
        if (number == 0) {
            continue;
        }
        if (count < max) {
            ret_numbers[count++] = number;
            continue;
        }
        for (size_t i = 1; i < count; i++) {
            lowest = ret_numbers[i] < ret_numbers[lowest] ? i : lowest;
        }
        uint64_t goes = ret_numbers[lowest] < number ? ret_numbers[lowest] : number;
        ret_numbers[lowest] = ret_numbers[lowest] < number ? number : ret_numbers[lowest];
        snprintf(tail, sizeof tail, "/%s.%" PRIu64, name, goes);
        r = folder_join(one, path, tail);
        r = r ? r : folder_remove_env(one);
    }
    closedir(dir);
    *ret_count = count;
    return err_trace(r);
}

int folder_lock(const char *path, int *ret_fd)
{
    char file[FOLDER_PATH_MAX];
    int r = folder_join(file, path, "/lock");
    if (r < 0) {
        return err_trace(r);
    }
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_origin(-errno);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        r = errno == EWOULDBLOCK ? FOLDER_E_LOCKED : err_origin(-errno);
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}
