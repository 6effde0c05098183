/* What goes wrong, in front of the C library (LD_PRELOAD): the k-th call that reaches the file system fails, or the process dies there.
 * The calls are those that CPython and cw-apply's own system calls go through, so that the program under test is the real one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_int counted;
static int armed, strike_at, error_number, full_disk, old_kernel;

/* From here on call number `at` (from 0) fails once with `error`, or kills the process where that is 0; with `full`, only calls that need
 * space are counted, and all from that one on fail. */
void faults_arm(int at, int error, int full)
{
    strike_at = at;
    error_number = error;
    full_disk = full;
    counted = 0;
    armed = 1;
}

/* Ends that; the number of calls counted. */
int faults_disarm(void)
{
    armed = 0;
    return counted;
}

/* Whether openat2, renameat2 and Landlock are missing. */
void faults_old_kernel(int missing)
{
    old_kernel = missing;
}

static int strike(int needs_space)
{
    if (!armed || (full_disk && !needs_space))
        return 0;
    int number = counted++;
    if (number != strike_at && !(full_disk && number > strike_at))
        return 0;
    if (!error_number) {
        kill(getpid(), SIGKILL);
        for (;;)
            pause();
    }
    errno = error_number;
    return 1;
}

#define WRAP(type, name, parameters, arguments, needs_space)            \
    type name parameters                                                \
    {                                                                   \
        static type(*real) parameters;                                  \
        if (!real)                                                      \
            real = (type(*) parameters)dlsym(RTLD_NEXT, #name);         \
        return strike(needs_space) ? -1 : real arguments;               \
    }

WRAP(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size), 0)
WRAP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), 1)
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode), 0)
WRAP(int, fchown, (int fd, uid_t user, gid_t group), (fd, user, group), 0)
WRAP(int, futimens, (int fd, const struct timespec times[2]), (fd, times), 0)
WRAP(int, fsetxattr, (int fd, const char *name, const void *value, size_t size, int flags), (fd, name, value, size, flags), 1)
WRAP(int, rename, (const char *old, const char *new), (old, new), 0)
WRAP(int, renameat, (int from, const char *old, int to, const char *new), (from, old, to, new), 0)
WRAP(int, linkat, (int from, const char *old, int to, const char *new, int flags), (from, old, to, new, flags), 1)
WRAP(int, symlinkat, (const char *target, int folder, const char *path), (target, folder, path), 1)
WRAP(ssize_t, readlinkat, (int folder, const char *path, char *into, size_t size), (folder, path, into, size), 0)
WRAP(int, fchownat, (int folder, const char *path, uid_t user, gid_t group, int flags), (folder, path, user, group, flags), 0)
WRAP(int, utimensat, (int folder, const char *path, const struct timespec times[2], int flags), (folder, path, times, flags), 0)
WRAP(int, unlink, (const char *path), (path), 0)
WRAP(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags), 0)
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), 1)
WRAP(int, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode), 1)
WRAP(int, fstat, (int fd, struct stat *status), (fd, status), 0)
WRAP(int, fstat64, (int fd, struct stat64 *status), (fd, status), 0)
WRAP(int, fstatat, (int folder, const char *path, struct stat *status, int flags), (folder, path, status, flags), 0)
WRAP(int, fstatat64, (int folder, const char *path, struct stat64 *status, int flags), (folder, path, status, flags), 0)
WRAP(int, flock, (int fd, int operation), (fd, operation), 0)

/* A file's data may find no space when they are put on disk, a folder's names do not. */
int fsync(int fd)
{
    static int (*real)(int);
    struct stat status;
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    int was = armed;
    armed = 0;
    int folder = fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
    armed = was;
    return strike(!folder) ? -1 : real(fd);
}

#define WRAP_OPEN(name, parameters, arguments)                                  \
    int name parameters                                                         \
    {                                                                           \
        static int (*real)parameters;                                           \
        va_list more;                                                           \
        va_start(more, flags);                                                  \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                                           \
        if (!real)                                                              \
            real = (int (*)parameters)dlsym(RTLD_NEXT, #name);                  \
        return strike((flags & O_CREAT) != 0) ? -1 : real arguments;            \
    }

WRAP_OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
WRAP_OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
WRAP_OPEN(openat, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))
WRAP_OPEN(openat64, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))

/* openat2 (437), renameat2 (316) and Landlock (444 to 446), which cw-apply calls by number. */
long syscall(long number, ...)
{
    static long (*real)(long, ...);
    long a[6];
    va_list more;
    va_start(more, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(more, long);
    va_end(more);
    if (!real)
        real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    int ours = number == 437 || number == 316 || (number >= 444 && number <= 446);
    if (ours && (old_kernel || getenv("FAULTS_OLD_KERNEL"))) {
        errno = ENOSYS;
        return -1;
    }
    return ours && strike(0) ? -1 : real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
