/*
 * Preloaded into the subject: writes down, in their true order, the calls that change files below one
 * directory, and the marks that the subject sets between them.
 *
 * Owns the format of the log, which src/log.rs reads. Owns no judgement: what a power cut leaves of these
 * calls is src/disk.rs's. Always holds: a call and its record are one step under one lock, so the order of
 * the log is the order in which things happened. Only a sync has two records, begin and end, because others
 * write while it waits: it covers what came before its begin, from its end on.
 *
 * A record is a head of 48 bytes in the machine's byte order, then two paths and data, as long as it says.
 *
 * What is not wrapped (shared mappings, dup, copy_file_range, ...) goes unnoticed here. The test compares
 * the directory that the whole log makes with the real one, which notices.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPEN = 1, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, RENAME, LINK, UNLINK, MAKE_DIRECTORY, MARK, UNKNOWN };

struct head {
    uint32_t kind, path_length, second_length, flags;
    uint64_t inode, first, second, data_length;
};

enum whose { NOBODYS = 0, WATCHED, MARKS };

enum { MOST_FDS = 65536, IS_DIRECTORY = 1 };

static unsigned char fds[MOST_FDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *root, *marks;
static size_t root_length;
static int log_fd = -1;
static uint64_t syncs;

#define REAL(name)                                                                 \
    static __typeof__(&name) real;                                                 \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void start(void) {
    REAL(open);
    const char *path = getenv("TEAL_RECORDER_LOG");
    marks = getenv("TEAL_RECORDER_MARKS");
    const char *watched = getenv("TEAL_RECORDER_ROOT");
    if (!path || !marks || !watched) return;
    log_fd = real(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) abort();
    root_length = strlen(watched);
    root = watched;
}

static int is_watched(const char *path) {
    return root && path && strncmp(path, root, root_length) == 0 &&
           (path[root_length] == '/' || path[root_length] == 0);
}

static enum whose whose(int fd) {
    return fd >= 0 && fd < MOST_FDS ? fds[fd] : NOBODYS;
}

static uint64_t inode(int fd) {
    struct stat stat;
    return fstat(fd, &stat) == 0 ? stat.st_ino : 0;
}

/* Called under the lock. A log with a hole is worse than none. */
static void record(struct head head, const char *path, const char *second, const struct iovec *data, int parts) {
    REAL(writev);
    int error = errno;
    struct iovec all[3 + 64];
    if (parts > 64) abort();
    head.path_length = path ? strlen(path) : 0;
    head.second_length = second ? strlen(second) : 0;
    size_t left = sizeof head + head.path_length + head.second_length + head.data_length;
    all[0] = (struct iovec){&head, sizeof head};
    all[1] = (struct iovec){(void *)path, head.path_length};
    all[2] = (struct iovec){(void *)second, head.second_length};
    int count = 3;
    size_t data_left = head.data_length;
    for (int i = 0; i < parts && data_left > 0; i++) {
        size_t length = data[i].iov_len < data_left ? data[i].iov_len : data_left;
        all[count++] = (struct iovec){data[i].iov_base, length};
        data_left -= length;
    }
    ssize_t written = real(log_fd, all, count);
    if (written < 0 || (size_t)written != left) abort();
    errno = error;
}

static void record_data(int fd, enum kind kind, uint64_t offset, const struct iovec *data, int parts, size_t length) {
    struct head head = {.kind = kind, .inode = inode(fd), .first = offset, .data_length = length};
    record(head, 0, 0, data, parts);
}

static void record_paths(enum kind kind, const char *path, const char *second) {
    record((struct head){.kind = kind}, path, second, 0, 0);
}

/* ---- opening and closing ---- */

static void opened(int fd, const char *path, int flags) {
    if (fd < 0 || fd >= MOST_FDS || !root) return;
    fds[fd] = NOBODYS;
    if (strcmp(path, marks) == 0) {
        fds[fd] = MARKS;
    } else if (is_watched(path)) {
        struct stat stat;
        int is_directory = fstat(fd, &stat) == 0 && S_ISDIR(stat.st_mode);
        fds[fd] = WATCHED;
        record((struct head){.kind = OPEN, .inode = stat.st_ino, .flags = is_directory ? IS_DIRECTORY : 0}, path, 0, 0, 0);
        if (flags & O_TRUNC) record((struct head){.kind = TRUNCATE, .inode = stat.st_ino}, 0, 0, 0, 0);
    }
}

#define MODE(flags, mode)                                                          \
    mode_t mode = 0;                                                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                         \
        va_list more;                                                              \
        va_start(more, flags);                                                     \
        mode = va_arg(more, mode_t);                                               \
        va_end(more);                                                              \
    }

#define WRAP_OPEN(name)                                                            \
    int name(const char *path, int flags, ...) {                                   \
        MODE(flags, mode)                                                          \
        REAL(name);                                                                \
        pthread_mutex_lock(&lock);                                                 \
        int fd = real(path, flags, mode);                                          \
        opened(fd, path, flags);                                                   \
        pthread_mutex_unlock(&lock);                                               \
        return fd;                                                                 \
    }
WRAP_OPEN(open)
WRAP_OPEN(open64)

#define WRAP_OPENAT(name)                                                          \
    int name(int directory, const char *path, int flags, ...) {                    \
        MODE(flags, mode)                                                          \
        REAL(name);                                                                \
        pthread_mutex_lock(&lock);                                                 \
        int fd = real(directory, path, flags, mode);                               \
        opened(fd, path, flags);                                                   \
        pthread_mutex_unlock(&lock);                                               \
        return fd;                                                                 \
    }
WRAP_OPENAT(openat)
WRAP_OPENAT(openat64)

int close(int fd) {
    REAL(close);
    pthread_mutex_lock(&lock);
    if (fd >= 0 && fd < MOST_FDS) fds[fd] = NOBODYS;
    int result = real(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

/* ---- contents ---- */

/* Where a write that names no offset goes. */
static off_t position(int fd) {
    int flags = fcntl(fd, F_GETFL);
    struct stat stat;
    if (flags >= 0 && (flags & O_APPEND) && fstat(fd, &stat) == 0) return stat.st_size;
    return lseek(fd, 0, SEEK_CUR);
}

static void written(int fd, off_t offset, const struct iovec *data, int parts, ssize_t length) {
    if (length <= 0) return;
    record_data(fd, whose(fd) == MARKS ? MARK : WRITE, offset, data, parts, length);
}

ssize_t write(int fd, const void *data, size_t length) {
    REAL(write);
    if (whose(fd) == NOBODYS) return real(fd, data, length);
    pthread_mutex_lock(&lock);
    off_t offset = position(fd);
    ssize_t result = real(fd, data, length);
    written(fd, offset, &(struct iovec){(void *)data, length}, 1, result);
    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t writev(int fd, const struct iovec *data, int parts) {
    REAL(writev);
    if (whose(fd) == NOBODYS) return real(fd, data, parts);
    pthread_mutex_lock(&lock);
    off_t offset = position(fd);
    ssize_t result = real(fd, data, parts);
    written(fd, offset, data, parts, result);
    pthread_mutex_unlock(&lock);
    return result;
}

#define WRAP_PWRITE(name, offset_type)                                             \
    ssize_t name(int fd, const void *data, size_t length, offset_type offset) {    \
        REAL(name);                                                                \
        if (whose(fd) == NOBODYS) return real(fd, data, length, offset);           \
        pthread_mutex_lock(&lock);                                                 \
        ssize_t result = real(fd, data, length, offset);                           \
        written(fd, offset, &(struct iovec){(void *)data, length}, 1, result);     \
        pthread_mutex_unlock(&lock);                                               \
        return result;                                                             \
    }
WRAP_PWRITE(pwrite, off_t)
WRAP_PWRITE(pwrite64, off64_t)

#define WRAP_FTRUNCATE(name, length_type)                                          \
    int name(int fd, length_type length) {                                         \
        REAL(name);                                                                \
        if (whose(fd) == NOBODYS) return real(fd, length);                         \
        pthread_mutex_lock(&lock);                                                 \
        int result = real(fd, length);                                             \
        if (result == 0) record_data(fd, TRUNCATE, length, 0, 0, 0);               \
        pthread_mutex_unlock(&lock);                                               \
        return result;                                                             \
    }
WRAP_FTRUNCATE(ftruncate, off_t)
WRAP_FTRUNCATE(ftruncate64, off64_t)

/* ---- syncing ---- */

#define WRAP_SYNC(name)                                                            \
    int name(int fd) {                                                             \
        REAL(name);                                                                \
        if (whose(fd) != WATCHED) return real(fd);                                 \
        pthread_mutex_lock(&lock);                                                 \
        uint64_t number = ++syncs;                                                 \
        record((struct head){.kind = SYNC_BEGIN, .inode = inode(fd), .first = number}, 0, 0, 0, 0); \
        pthread_mutex_unlock(&lock);                                               \
        int result = real(fd);                                                     \
        pthread_mutex_lock(&lock);                                                 \
        if (result == 0) record((struct head){.kind = SYNC_END, .first = number}, 0, 0, 0, 0); \
        pthread_mutex_unlock(&lock);                                               \
        return result;                                                             \
    }
WRAP_SYNC(fsync)
WRAP_SYNC(fdatasync)

/* ---- names ---- */

#define WRAP_PATHS(kind, type, path, second, parameters, call)                     \
    int type parameters {                                                          \
        REAL(type);                                                                \
        if (!is_watched(path) && !is_watched(second)) return real call;            \
        pthread_mutex_lock(&lock);                                                 \
        int result = real call;                                                    \
        if (result == 0) record_paths(kind, path, second);                         \
        pthread_mutex_unlock(&lock);                                               \
        return result;                                                             \
    }
WRAP_PATHS(RENAME, rename, from, to, (const char *from, const char *to), (from, to))
WRAP_PATHS(RENAME, renameat, from, to, (int a, const char *from, int b, const char *to), (a, from, b, to))
WRAP_PATHS(UNKNOWN, renameat2, from, to, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags))
WRAP_PATHS(LINK, link, from, to, (const char *from, const char *to), (from, to))
WRAP_PATHS(LINK, linkat, from, to, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
WRAP_PATHS(UNLINK, unlink, path, (const char *)0, (const char *path), (path))
WRAP_PATHS(UNLINK, unlinkat, path, (const char *)0, (int a, const char *path, int flags), (a, path, flags))
WRAP_PATHS(UNLINK, rmdir, path, (const char *)0, (const char *path), (path))
WRAP_PATHS(MAKE_DIRECTORY, mkdir, path, (const char *)0, (const char *path, mode_t mode), (path, mode))
WRAP_PATHS(MAKE_DIRECTORY, mkdirat, path, (const char *)0, (int a, const char *path, mode_t mode), (a, path, mode))
WRAP_PATHS(UNKNOWN, truncate, path, (const char *)0, (const char *path, off_t length), (path, length))
WRAP_PATHS(UNKNOWN, symlink, from, to, (const char *from, const char *to), (from, to))
