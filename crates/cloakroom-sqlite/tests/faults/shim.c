/*
 * A file layer that fails on demand, to be preloaded into a process.
 *
 * CLOAKROOM_FAULTS is a directory. While a file of one of these names is in it, calls on files whose names contain
 * ".db" fail:
 *
 *   full         writing beyond the end of a file: no space left on the device
 *   flush        flushing the log: I/O error
 *   flush-once   the same, once: the name is removed
 *   write        writing to the log: I/O error
 *   read         reading from the database or the log: I/O error
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *faults;

__attribute__((constructor)) static void start(void) { faults = getenv("CLOAKROOM_FAULTS"); }

static int on(const char *fault, int once) {
    char path[PATH_MAX];
    if (!faults) return 0;
    snprintf(path, sizeof path, "%s/%s", faults, fault);
    if (once) return syscall(SYS_unlinkat, -100, path, 0) == 0;
    return syscall(SYS_faccessat, -100, path, F_OK) == 0;
}

/* Whether the file's name contains this. */
static int is(int fd, const char *part) {
    char link[64], name[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, name, sizeof name - 1);
    if (len < 0) return 0;
    name[len] = 0;
    const char *base = strrchr(name, '/');
    return base && strstr(base, ".db") && strstr(base, part);
}

static int fail(int error) {
    errno = error;
    return -1;
}

static int refused(int fd, size_t len, off_t at) {
    struct stat st;
    if (on("full", 0) && is(fd, "") && fstat(fd, &st) == 0 && at + (off_t)len > st.st_size) return ENOSPC;
    if (on("write", 0) && is(fd, "-wal")) return EIO;
    return 0;
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) {
    int error = refused(fd, len, at);
    return error ? fail(error) : syscall(SYS_pwrite64, fd, data, len, at);
}
ssize_t pwrite(int fd, const void *data, size_t len, off_t at) { return pwrite64(fd, data, len, at); }

ssize_t write(int fd, const void *data, size_t len) {
    int error = refused(fd, len, (off_t)syscall(SYS_lseek, fd, (off_t)0, SEEK_CUR));
    return error ? fail(error) : syscall(SYS_write, fd, data, len);
}

ssize_t pread64(int fd, void *data, size_t len, off64_t at) {
    if (on("read", 0) && is(fd, "") && !is(fd, "-shm")) return fail(EIO);
    return syscall(SYS_pread64, fd, data, len, at);
}
ssize_t pread(int fd, void *data, size_t len, off_t at) { return pread64(fd, data, len, at); }

static int flush(int fd, long call) {
    if (is(fd, "-wal") && (on("flush", 0) || on("flush-once", 1))) return fail(EIO);
    return (int)syscall(call, fd);
}
int fsync(int fd) { return flush(fd, SYS_fsync); }
int fdatasync(int fd) { return flush(fd, SYS_fdatasync); }
