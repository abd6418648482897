#include "descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* SQLite's lock bytes (os.h): pending, reserved, and the 510 shared ones. */
#define LOCKS_FIRST 0x40000000
#define LOCKS_COUNT 512

/* Descriptors that wait to be closed; guarded by `mutex`. */
static struct {
    pthread_mutex_t mutex;
    pthread_once_t once;
    int *fds;
    size_t count, max;
} waiting = {.mutex = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

static void lock(void)
{
    pthread_mutex_lock(&waiting.mutex);
}

static void unlock(void)
{
    pthread_mutex_unlock(&waiting.mutex);
}

static void watch_fork(void)
{
    pthread_atfork(lock, unlock, unlock);
}

static int same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

int ltx_descriptor_is(int fd, const char *path)
{
    struct stat open_file, named;
    return fd >= 0 && fstat(fd, &open_file) == 0 && stat(path, &named) == 0 &&
           same_file(&open_file, &named);
}

/* An open file description conflicts with the POSIX locks of its own process: so they show. */
static int may_close(int fd)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && st.st_nlink == 0)
        return 1;
#ifdef F_OFD_GETLK
    struct flock query = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    query.l_start = LOCKS_FIRST;
    query.l_len = LOCKS_COUNT;
    return fcntl(fd, F_OFD_GETLK, &query) == 0 && query.l_type == F_UNLCK;
#else
    return 0;
#endif
}

static void close_free_ones(void)
{
    size_t kept = 0;
    for (size_t i = 0; i < waiting.count; i++) {
        if (may_close(waiting.fds[i]))
            close(waiting.fds[i]);
        else
            waiting.fds[kept++] = waiting.fds[i];
    }
    waiting.count = kept;
}

/* A waiting descriptor of the file at `path`, taken out; -1 if there is none. */
static int take(const char *path)
{
    for (size_t i = 0; i < waiting.count; i++) {
        int fd = waiting.fds[i];
        if (!ltx_descriptor_is(fd, path))
            continue;
        waiting.fds[i] = waiting.fds[--waiting.count];
        return fd;
    }
    return -1;
}

int ltx_descriptor_open(const char *path, int *fd)
{
    pthread_once(&waiting.once, watch_fork);
    lock();
    *fd = take(path);
    close_free_ones();
    unlock();
    if (*fd < 0)
        *fd = open(path, O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? errno : 0;
}

/* Without memory for the list the descriptor stays open for good, which is the lesser evil. */
static void keep(int fd)
{
    if (waiting.count == waiting.max) {
        size_t max = waiting.max ? 2 * waiting.max : 16;
        int *grown = realloc(waiting.fds, max * sizeof *grown);
        if (!grown)
            return;
        waiting.fds = grown;
        waiting.max = max;
    }
    waiting.fds[waiting.count++] = fd;
}

void ltx_descriptor_close(int fd)
{
    if (fd < 0)
        return;
    pthread_once(&waiting.once, watch_fork);
    lock();
    close_free_ones();
    if (may_close(fd))
        close(fd);
    else
        keep(fd);
    unlock();
}
