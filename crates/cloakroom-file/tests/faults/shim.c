/*
 * A file layer that fails on demand, to be preloaded into a process.
 *
 * CLOAKROOM_FAULTS is a directory. While a file of one of these names is in it, calls on files and directories with
 * "/sessions" in their paths fail:
 *
 *   full        writing: no space left on the device, after half of what was asked
 *   flush       flushing a file: I/O error
 *   flush-dir   flushing a directory: I/O error
 *   read        reading: I/O error
 *   rename      renaming: I/O error
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *faults;

__attribute__((constructor)) static void start(void) { faults = getenv("CLOAKROOM_FAULTS"); }

static int on(const char *fault) {
    char path[PATH_MAX];
    if (!faults) return 0;
    snprintf(path, sizeof path, "%s/%s", faults, fault);
    return syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
}

static int ours(int fd) {
    char link[64], name[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, name, sizeof name - 1);
    if (len < 0) return 0;
    name[len] = 0;
    return strstr(name, "/sessions") != NULL;
}

static int fail(int error) {
    errno = error;
    return -1;
}

ssize_t write(int fd, const void *data, size_t len) {
    if (on("full") && ours(fd)) {
        if (len < 2) return fail(ENOSPC);
        return syscall(SYS_write, fd, data, len / 2);
    }
    return syscall(SYS_write, fd, data, len);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) {
    if (on("full") && ours(fd)) return fail(ENOSPC);
    return syscall(SYS_pwrite64, fd, data, len, at);
}

ssize_t read(int fd, void *data, size_t len) {
    if (on("read") && ours(fd)) return fail(EIO);
    return syscall(SYS_read, fd, data, len);
}

int rename(const char *from, const char *to) {
    if (on("rename") && strstr(to, "/sessions")) return fail(EIO);
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static int flush(int fd, long call) {
    struct stat st;
    if ((on("flush") || on("flush-dir")) && ours(fd) && fstat(fd, &st) == 0
        && on(S_ISDIR(st.st_mode) ? "flush-dir" : "flush"))
        return fail(EIO);
    return (int)syscall(call, fd);
}
int fsync(int fd) { return flush(fd, SYS_fsync); }
int fdatasync(int fd) { return flush(fd, SYS_fdatasync); }
