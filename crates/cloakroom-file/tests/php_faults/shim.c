/*
 * A file layer that fails, or dies, on demand, to be preloaded into a process.
 *
 * CLOAKROOM_FAULTS is a directory. While a file of one of these names is in it, calls on files with "/sessions" in their paths fail:
 *
 *   full        making files longer: no space left on the device, after half of what was asked
 *   full-value  the same, for PHP's files alone and what is to take the place of one
 *   stuck       removing a file: operation not permitted
 *   flush       flushing a file: I/O error
 *   read-only   opening a file to write to it, making and removing one: read-only file system
 *   armed       nothing fails; but the call of number CLOAKROOM_DIE_AT that changes anything, counted from when this was there, is the last:
 *               a write is made by half, anything else is not made, and the process is killed
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *faults;
static long die_at;
static atomic_long calls;

__attribute__((constructor)) static void start(void) {
    faults = getenv("CLOAKROOM_FAULTS");
    const char *at = getenv("CLOAKROOM_DIE_AT");
    die_at = at ? atol(at) : 0;
}

static int on(const char *fault) {
    char path[PATH_MAX];
    if (!faults) return 0;
    snprintf(path, sizeof path, "%s/%s", faults, fault);
    return syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
}

static int is_ours(const char *name) { return strstr(name, "/sessions") != NULL; }

static int is_below(int fd, const char *part) {
    char link[64], name[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, name, sizeof name - 1);
    if (len < 0) return 0;
    name[len] = 0;
    return strstr(name, part) != NULL;
}

static int ours(int fd) { return is_below(fd, "/sessions"); }

static int fail(int error) {
    errno = error;
    return -1;
}

static int is_last(void) { return die_at && on("armed") && atomic_fetch_add(&calls, 1) + 1 == die_at; }

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

static int longer(int fd, off64_t end) {
    struct stat st;
    return fstat(fd, &st) == 0 && end > st.st_size;
}

ssize_t write(int fd, const void *data, size_t len) {
    if (!ours(fd)) return syscall(SYS_write, fd, data, len);
    if (is_last()) {
        syscall(SYS_write, fd, data, len / 2);
        die();
    }
    if (on("full") || (on("full-value") && is_below(fd, "/.cloakroom-new-"))) return len < 2 ? fail(ENOSPC) : syscall(SYS_write, fd, data, len / 2);
    return syscall(SYS_write, fd, data, len);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) {
    if (!ours(fd)) return syscall(SYS_pwrite64, fd, data, len, at);
    if (is_last()) {
        syscall(SYS_pwrite64, fd, data, len / 2, at);
        die();
    }
    if ((on("full") || (on("full-value") && is_below(fd, "/sess_"))) && longer(fd, at + (off64_t)len))
        return len < 2 ? fail(ENOSPC) : syscall(SYS_pwrite64, fd, data, len / 2, at);
    return syscall(SYS_pwrite64, fd, data, len, at);
}

int ftruncate64(int fd, off64_t len) {
    if (ours(fd) && is_last()) die();
    return (int)syscall(SYS_ftruncate, fd, len);
}

/* A file system that cannot set space aside: what is written over then fails in the middle. */
int fallocate64(int fd, int mode, off64_t at, off64_t len) {
    (void)fd, (void)mode, (void)at, (void)len;
    return fail(EOPNOTSUPP);
}
int fallocate(int fd, int mode, off_t at, off_t len) { return fallocate64(fd, mode, at, len); }

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (is_ours(path) && (flags & O_CREAT || (flags & O_ACCMODE) != O_RDONLY)) {
        if (on("read-only")) return fail(EROFS);
        if (flags & O_CREAT && is_last()) die();
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int unlink(const char *path) {
    if (is_ours(path)) {
        if (on("read-only")) return fail(EROFS);
        if (on("stuck")) return fail(EPERM);
        if (is_last()) die();
    }
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int rename(const char *from, const char *to) {
    if (is_ours(to)) {
        if (on("read-only")) return fail(EROFS);
        if (is_last()) die();
    }
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static int flush(int fd, long call) {
    if (ours(fd)) {
        if (is_last()) die();
        if (on("flush")) return fail(EIO);
    }
    return (int)syscall(call, fd);
}
int fsync(int fd) { return flush(fd, SYS_fsync); }
int fdatasync(int fd) { return flush(fd, SYS_fdatasync); }
