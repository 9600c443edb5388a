/*
 * A file layer that writes down what a process does to the files of one directory, to be preloaded into it.
 *
 * Every change goes to a journal in the order in which it took effect: creations, writes with their data, truncations,
 * removals, renames, and the beginning and the end of every flush. From a prefix of the journal one can tell what
 * a disk is bound to hold at that instant, and what it may hold or not: whatever was not flushed.
 *
 * A flush is not carried out but takes a little time, so that others write meanwhile, as with a real disk: what is
 * written between its beginning and its end is not covered by it.
 *
 * CLOAKROOM_SHIM_DIR      the directory, as an absolute path without symbolic links
 * CLOAKROOM_SHIM_JOURNAL  the journal, outside that directory
 * CLOAKROOM_SHIM_LIE      optional: flushes of files whose names end like this are acknowledged and left out of the
 *                         journal, as by a disk that lies
 *
 * Only system calls are used underneath, never the C library's functions of the same name. SQLite's shared memory
 * file is left out: it is mapped, and never trusted after a crash.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define DESCRIPTORS 4096
#define FILES 65536
#define DIRECTORY 1 /* the number of the directory itself; files follow */
#define FLUSH_NANOSECONDS 400000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;
static const char *dir, *lie;
static size_t dir_len;

/* What each descriptor is open on: a file's number, or 0 for what is not ours; and whether its flushes are lies. */
static uint64_t files[DESCRIPTORS];
static char lying[DESCRIPTORS];
/* The number of the file behind each inode. Inodes are used again after a removal, numbers never. */
static struct { ino_t ino; uint64_t file; } known[FILES];
static size_t known_count;
static uint64_t next_file = DIRECTORY + 1, next_flush = 1;

static void die(const char *why) {
    syscall(SYS_write, 2, why, strlen(why));
    syscall(SYS_exit_group, 99);
}

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("CLOAKROOM_SHIM_JOURNAL");
    dir = getenv("CLOAKROOM_SHIM_DIR");
    lie = getenv("CLOAKROOM_SHIM_LIE");
    if (!path || !dir) die("the file layer was not told where\n");
    dir_len = strlen(dir);
    journal = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal < 0) die("the journal of the file layer cannot be written\n");
}

/* Appends to the journal. The lock is held. */
static void note(char kind, uint64_t file, uint64_t at, const void *data, uint64_t len) {
    unsigned char head[25];
    head[0] = (unsigned char)kind;
    memcpy(head + 1, &file, 8);
    memcpy(head + 9, &at, 8);
    memcpy(head + 17, &len, 8);
    struct iovec parts[2] = {{head, sizeof head}, {(void *)data, len}};
    if (syscall(SYS_writev, journal, parts, 2) != (long)(sizeof head + len)) die("the journal is full\n");
}

static int ends_like(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* The name within the directory, "" for the directory itself, NULL for what is not ours. */
static const char *inside(const char *path) {
    if (journal < 0 || strncmp(path, dir, dir_len) != 0) return NULL;
    if (path[dir_len] == 0) return path + dir_len;
    if (path[dir_len] != '/' || ends_like(path, "-shm")) return NULL;
    return path + dir_len + 1;
}

static uint64_t file_of(int fd) {
    if (fd < 0 || fd >= DESCRIPTORS) return 0;
    return __atomic_load_n(&files[fd], __ATOMIC_ACQUIRE);
}

/* The number of the file that `fd` was just opened on. The lock is held. */
static uint64_t number(int fd, int created) {
    struct stat st;
    if (fstat(fd, &st) != 0) die("fstat failed\n");
    size_t i = 0;
    while (i < known_count && known[i].ino != st.st_ino) i++;
    if (i == FILES) die("too many files\n");
    if (i == known_count && !created) die("a file that nobody created\n");
    if (i == known_count) known_count++;
    if (created) {
        known[i].ino = st.st_ino;
        known[i].file = next_file++;
    }
    return known[i].file;
}

static int open_at(int at, const char *path, int flags, mode_t mode) {
    const char *name = inside(path);
    if (!name) return (int)syscall(SYS_openat, at, path, flags, mode);
    pthread_mutex_lock(&lock);
    int existed = syscall(SYS_faccessat, at, path, F_OK) == 0;
    int fd = (int)syscall(SYS_openat, at, path, flags, mode);
    int error = errno;
    if (fd >= DESCRIPTORS) die("too many descriptors\n");
    if (fd >= 0) {
        uint64_t file = *name ? number(fd, !existed) : DIRECTORY;
        if (!existed) note('C', file, 0, name, strlen(name));
        else if (flags & O_TRUNC) note('T', file, 0, NULL, 0);
        lying[fd] = lie && ends_like(name, lie);
        __atomic_store_n(&files[fd], file, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define WITH_MODE(call)                                                                            \
    mode_t mode = 0;                                                                               \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                           \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode = va_arg(rest, mode_t);                                                               \
        va_end(rest);                                                                              \
    }                                                                                              \
    return call

int open(const char *path, int flags, ...) { WITH_MODE(open_at(AT_FDCWD, path, flags, mode)); }
int open64(const char *path, int flags, ...) { WITH_MODE(open_at(AT_FDCWD, path, flags, mode)); }
int openat(int at, const char *path, int flags, ...) { WITH_MODE(open_at(at, path, flags, mode)); }
int openat64(int at, const char *path, int flags, ...) { WITH_MODE(open_at(at, path, flags, mode)); }

int close(int fd) {
    if (file_of(fd)) {
        pthread_mutex_lock(&lock);
        __atomic_store_n(&files[fd], 0, __ATOMIC_RELEASE);
        pthread_mutex_unlock(&lock);
    }
    return (int)syscall(SYS_close, fd);
}

/* Where the next `write` goes. The lock is held. */
static off_t position(int fd) {
    struct stat st;
    if (!(fcntl(fd, F_GETFL) & O_APPEND)) return (off_t)syscall(SYS_lseek, fd, (off_t)0, SEEK_CUR);
    return fstat(fd, &st) == 0 ? st.st_size : -1;
}

static ssize_t write_at(int fd, const void *data, size_t len, off_t at, int positioned) {
    uint64_t file = file_of(fd);
    if (!file) return positioned ? syscall(SYS_pwrite64, fd, data, len, at) : syscall(SYS_write, fd, data, len);
    pthread_mutex_lock(&lock);
    if (!positioned) at = position(fd);
    ssize_t wrote = positioned ? syscall(SYS_pwrite64, fd, data, len, at) : syscall(SYS_write, fd, data, len);
    int error = errno;
    if (wrote > 0) note('W', file, (uint64_t)at, data, (uint64_t)wrote);
    pthread_mutex_unlock(&lock);
    errno = error;
    return wrote;
}

ssize_t write(int fd, const void *data, size_t len) { return write_at(fd, data, len, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t len, off_t at) { return write_at(fd, data, len, at, 1); }
ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) { return write_at(fd, data, len, at, 1); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!file_of(fd)) return syscall(SYS_writev, fd, parts, count);
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        ssize_t wrote = write(fd, parts[i].iov_base, parts[i].iov_len);
        if (wrote < 0) return total ? total : wrote;
        total += wrote;
        if ((size_t)wrote < parts[i].iov_len) break;
    }
    return total;
}

int ftruncate(int fd, off_t len) {
    uint64_t file = file_of(fd);
    if (!file) return (int)syscall(SYS_ftruncate, fd, len);
    pthread_mutex_lock(&lock);
    int failed = (int)syscall(SYS_ftruncate, fd, len), error = errno;
    if (!failed) note('T', file, (uint64_t)len, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return failed;
}

int ftruncate64(int fd, off64_t len) { return ftruncate(fd, len); }

static int flush(int fd, long call) {
    uint64_t file = file_of(fd);
    if (!file) return (int)syscall(call, fd);
    struct timespec pause = {0, FLUSH_NANOSECONDS};
    pthread_mutex_lock(&lock);
    int lies = lying[fd];
    uint64_t this = next_flush++;
    if (!lies) note('S', file, this, NULL, 0);
    pthread_mutex_unlock(&lock);
    nanosleep(&pause, NULL);
    pthread_mutex_lock(&lock);
    if (!lies) note('E', file, this, NULL, 0);
    pthread_mutex_unlock(&lock);
    return 0;
}

int fsync(int fd) { return flush(fd, SYS_fsync); }
int fdatasync(int fd) { return flush(fd, SYS_fdatasync); }

static int remove_at(int at, const char *path, int flags) {
    const char *name = inside(path);
    if (!name) return (int)syscall(SYS_unlinkat, at, path, flags);
    pthread_mutex_lock(&lock);
    int failed = (int)syscall(SYS_unlinkat, at, path, flags), error = errno;
    if (!failed) note('U', DIRECTORY, 0, name, strlen(name));
    pthread_mutex_unlock(&lock);
    errno = error;
    return failed;
}

int unlink(const char *path) { return remove_at(AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return remove_at(at, path, flags); }

int rename(const char *from, const char *to) {
    const char *old = inside(from), *new = inside(to);
    if (!old && !new) return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (!old || !new) die("a file is moved across the directory's border\n");
    char names[1024];
    size_t n = strlen(old), m = strlen(new);
    if (n + 1 + m > sizeof names) die("a long name\n");
    memcpy(names, old, n);
    names[n] = '/';
    memcpy(names + n + 1, new, m);
    pthread_mutex_lock(&lock);
    int failed = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0), error = errno;
    if (!failed) note('R', DIRECTORY, 0, names, n + 1 + m);
    pthread_mutex_unlock(&lock);
    errno = error;
    return failed;
}
