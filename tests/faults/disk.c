/* What a disk may do to a program that dies: loaded into it (LD_PRELOAD), below its every write and sync.
 *
 * Of each file below DISK_FOLDER it writes down, in DISK_JOURNAL, what stood in a sector before it was written to and
 * when a sync came back: what was not synced may then be taken back, in part, as a power cut would. And it has syncs
 * fail, as DISK_CONTROL says. `tests/support/brittle_disk.py` has the other half: the words of the journal are the same.
 *
 * It does not see what is written through a mapping, which no database that is tested here does to what must last. A
 * file that is cut shorter or removed stays so.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SECTOR 512
#define MARK 0x6469736b2d6a6e6cULL /* a record begins: who is killed within one leaves half of it */

enum kind { WRITTEN = 1, SYNCED, NOT_SYNCED, CUT, REMOVED, RENAMED, CREATED };

struct record {
    uint64_t mark;
    uint32_t kind;
    uint32_t length; /* of what follows */
    uint64_t inode;
    int64_t offset; /* WRITTEN: of the first sector. SYNCED, NOT_SYNCED: where the journal ended when it began */
    int64_t until;  /* WRITTEN: the end of what is written */
    int64_t size;   /* of the file before; CUT: after */
};

struct control {
    int32_t is_watching;
    int32_t syncs_left; /* that go well before some fail */
    int32_t failures;   /* how many do */
    int32_t error;      /* with what */
    int32_t failed;     /* how many did */
    int32_t synced;     /* how many went well */
    int32_t kept;       /* names that were replaced, and are kept beside the journal */
};

static struct control *control;
static int journal = -1;
static const char *folder;
static const char *journal_name;
static size_t folder_length;

__attribute__((constructor)) static void begin(void) {
    const char *control_name = getenv("DISK_CONTROL");
    folder = getenv("DISK_FOLDER");
    journal_name = getenv("DISK_JOURNAL");
    if (!control_name || !folder || !journal_name)
        return;
    folder = strdup(folder); /* PostgreSQL writes its title over its environment */
    journal_name = strdup(journal_name);
    folder_length = strlen(folder);
    int opened = syscall(SYS_openat, AT_FDCWD, control_name, O_RDWR | O_CLOEXEC, 0);
    int low = syscall(SYS_openat, AT_FDCWD, journal_name, O_RDWR | O_APPEND | O_CLOEXEC, 0);
    if (opened < 0 || low < 0) {
        perror("the disk of the tests");
        _exit(70);
    }
    journal = fcntl(low, F_DUPFD_CLOEXEC, 500); /* away from where a program looks for its own */
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, opened, 0);
    if (journal < 0 || mapped == MAP_FAILED) {
        perror("the disk of the tests");
        _exit(70);
    }
    close(low);
    close(opened);
    control = mapped;
}

static int is_below(const char *path) {
    return strncmp(path, folder, folder_length) == 0 && path[folder_length] == '/';
}

/* Whether the file that is open as `fd` is watched, and what it is like now. */
static int is_watched(int fd, struct stat *like) {
    char link[40], path[PATH_MAX];
    int before = errno, found = 0;
    if (control && control->is_watching && fd != journal && fstat(fd, like) == 0 &&
        (S_ISREG(like->st_mode) || S_ISDIR(like->st_mode))) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, sizeof path - 1);
        if (length > 0) {
            path[length] = 0;
            found = is_below(path) || (S_ISDIR(like->st_mode) && strcmp(path, folder) == 0);
        }
    }
    errno = before;
    return found;
}

static void note(struct record record, const void *data) {
    struct iovec parts[2] = {{&record, sizeof record}, {(void *)data, record.length}};
    ssize_t all = sizeof record + record.length;
    /* One call, and appended: of several processes none writes into another's record. */
    if (syscall(SYS_writev, journal, parts, 2) != all) {
        perror("the disk of the tests cannot write its journal");
        _exit(70);
    }
}

/* Before they are written: what stands in the sectors that `length` bytes at `offset` touch. */
static void note_write(int fd, const struct stat *like, int64_t offset, size_t length) {
    if (length == 0)
        return;
    int64_t first = offset / SECTOR * SECTOR, until = offset + (int64_t)length;
    size_t room = (until + SECTOR - 1) / SECTOR * SECTOR - first;
    struct record record = {MARK, WRITTEN, 0, like->st_ino, first, until, like->st_size};
    char *old = NULL;
    if (first < like->st_size) {
        old = malloc(room);
        ssize_t found = old ? syscall(SYS_pread64, fd, old, room, first) : -1;
        if (found < 0 && old) { /* it is open for writing alone */
            char link[40];
            snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
            int readable = syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
            found = syscall(SYS_pread64, readable, old, room, first);
            close(readable);
        }
        if (found < 0) {
            perror("the disk of the tests cannot read");
            _exit(70);
        }
        record.length = found;
    }
    note(record, old);
    free(old);
}

static int64_t total(const struct iovec *parts, int count) {
    int64_t sum = 0;
    for (int at = 0; at < count; at++)
        sum += parts[at].iov_len;
    return sum;
}

static int64_t here(int fd, const struct stat *like) {
    int64_t at = fcntl(fd, F_GETFL) & O_APPEND ? like->st_size : lseek(fd, 0, SEEK_CUR);
    return at < 0 ? 0 : at;
}

#define BEFORE_WRITE(offset, length)                                                                                   \
    struct stat like;                                                                                                  \
    if (is_watched(fd, &like)) {                                                                                       \
        int before = errno;                                                                                            \
        note_write(fd, &like, offset, length);                                                                         \
        errno = before;                                                                                                \
    }

ssize_t write(int fd, const void *data, size_t length) {
    BEFORE_WRITE(here(fd, &like), length)
    return syscall(SYS_write, fd, data, length);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    BEFORE_WRITE(offset, length)
    return syscall(SYS_pwrite64, fd, data, length, offset);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite64(fd, data, length, offset); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    BEFORE_WRITE(here(fd, &like), total(parts, count))
    return syscall(SYS_writev, fd, parts, count);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    BEFORE_WRITE(offset, total(parts, count))
    return syscall(SYS_pwritev, fd, parts, count, (long)offset, 0L);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return pwritev64(fd, parts, count, offset);
}

int ftruncate64(int fd, off64_t size) {
    struct stat like;
    if (is_watched(fd, &like))
        note((struct record){MARK, CUT, 0, like.st_ino, 0, 0, size}, NULL);
    return syscall(SYS_ftruncate, fd, size);
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int is_to_fail(void) {
    if (control->failures <= 0 || __atomic_fetch_sub(&control->syncs_left, 1, __ATOMIC_SEQ_CST) > 0)
        return 0;
    return __atomic_fetch_sub(&control->failures, 1, __ATOMIC_SEQ_CST) > 0;
}

static int sync_or_fail(long call, int fd) {
    struct stat like;
    if (!is_watched(fd, &like))
        return syscall(call, fd);
    int64_t begun = lseek(journal, 0, SEEK_END);
    if (is_to_fail()) {
        note((struct record){MARK, NOT_SYNCED, 0, like.st_ino, begun, 0, like.st_size}, NULL);
        __atomic_fetch_add(&control->failed, 1, __ATOMIC_SEQ_CST);
        errno = control->error;
        return -1;
    }
    int answer = syscall(call, fd), why = errno;
    if (answer == 0) {
        note((struct record){MARK, SYNCED, 0, like.st_ino, begun, 0, like.st_size}, NULL);
        __atomic_fetch_add(&control->synced, 1, __ATOMIC_SEQ_CST);
    }
    errno = why;
    return answer;
}

int fsync(int fd) { return sync_or_fail(SYS_fsync, fd); }

int fdatasync(int fd) { return sync_or_fail(SYS_fdatasync, fd); }

static uint64_t inode_of(const char *path) {
    struct stat like;
    return lstat(path, &like) == 0 ? like.st_ino : 0;
}

int unlink(const char *path) {
    int before = errno;
    if (control && control->is_watching && is_below(path)) {
        uint64_t inode = inode_of(path);
        if (inode)
            note((struct record){MARK, REMOVED, 0, inode, 0, 0, 0}, NULL);
    }
    errno = before;
    return syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

/* What `to` was is kept under another name, so that the name may be given back to it. */
int rename(const char *from, const char *to) {
    int before = errno;
    if (control && control->is_watching && is_below(from) && is_below(to)) {
        char names[3 * PATH_MAX], kept[PATH_MAX];
        uint64_t replaced = inode_of(to);
        kept[0] = 0;
        if (replaced) {
            int number = __atomic_add_fetch(&control->kept, 1, __ATOMIC_SEQ_CST);
            snprintf(kept, sizeof kept, "%s.%d", journal_name, number);
            syscall(SYS_linkat, AT_FDCWD, to, AT_FDCWD, kept, 0);
        }
        int length = snprintf(names, sizeof names, "%s\n%s\n%s", from, to, kept);
        note((struct record){MARK, RENAMED, length, inode_of(from), 0, 0, 0}, names);
    }
    errno = before;
    return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static int open_as(int at, const char *path, int flags, mode_t mode) {
    int before = errno;
    int is_new = (flags & O_CREAT) && control && control->is_watching && is_below(path) && !inode_of(path);
    errno = before;
    int fd = syscall(SYS_openat, at, path, flags, mode);
    struct stat like;
    if (is_new && fd >= 0 && fstat(fd, &like) == 0)
        note((struct record){MARK, CREATED, strlen(path), like.st_ino, 0, 0, 0}, path);
    return fd;
}

#define MODE                                                                                                           \
    mode_t mode = 0;                                                                                                   \
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) {                                                      \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode = va_arg(rest, mode_t);                                                                                   \
        va_end(rest);                                                                                                  \
    }

int open(const char *path, int flags, ...) {
    MODE return open_as(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE return open_as(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

int openat(int at, const char *path, int flags, ...) {
    MODE return open_as(at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...) {
    MODE return open_as(at, path, flags | O_LARGEFILE, mode);
}
