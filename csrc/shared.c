#include "shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#endif

#define SIZE 4096

_Static_assert(sizeof(ltx_shared) <= SIZE, "the shared state fits its page");

/* Give the file its page for real: in a hole, the first store would kill the process on a full
 * disk. */
static int allocate(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return errno;
    if (st.st_size >= SIZE)
        return 0;
#ifdef __linux__
    return posix_fallocate(fd, 0, SIZE);
#else
    return ftruncate(fd, SIZE) == 0 ? 0 : errno;
#endif
}

/* Open the file and map it at `at`, or anywhere when that is NULL. */
static int open_mapped(const char *path, int mode, void *at, int *fd, ltx_shared **out)
{
    int f = open(path, O_RDWR | O_CREAT | O_CLOEXEC, mode);
    if (f < 0)
        return errno;
    int rc = allocate(f);
    if (rc) {
        close(f);
        return rc;
    }
    int flags = at ? MAP_SHARED | MAP_FIXED : MAP_SHARED;
    void *map = mmap(at, SIZE, PROT_READ | PROT_WRITE, flags, f, 0);
    if (map == MAP_FAILED) {
        int error = errno;
        close(f);
        return error;
    }
    *fd = f;
    *out = map;
    return 0;
}

int ltx_shared_open(const char *path, int mode, int *fd, ltx_shared **out)
{
    return open_mapped(path, mode, NULL, fd, out);
}

/* Who sleeps on an old word is woken and finds the new one, which goes on counting: one that equals
   what was seen before would be slept on. */
static void move_sleepers(_Atomic uint32_t *from, _Atomic uint32_t *to)
{
    atomic_fetch_add(to, atomic_load(from) + 2);
    ltx_wake(from, 1);
}

int ltx_shared_replace(const char *path, int mode, int fd, ltx_shared *shared)
{
    int f = -1;
    ltx_shared *old = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (old == MAP_FAILED)
        return errno;
    int rc = open_mapped(path, mode, shared, &f, &shared);
    if (!rc) {
        move_sleepers(&old->sealed, &shared->sealed);
        move_sleepers(&old->uploaded, &shared->uploaded);
        rc = dup2(f, fd) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? errno : 0;
        close(f);
    }
    munmap(old, SIZE);
    return rc;
}

void ltx_shared_close(int fd, ltx_shared *shared)
{
    if (shared)
        munmap(shared, SIZE);
    if (fd >= 0)
        close(fd);
}

static void sleep_us(long us)
{
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&t, NULL);
}

int ltx_lock(int fd, int byte, int timeout_ms)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int64_t deadline = ltx_monotonic_ms() + timeout_ms;
    /* Polled and not F_SETLKW, so that a stopped process cannot hold this one up for ever. */
    for (long pause = 20;; pause = pause < 1000 ? pause * 2 : 1000) {
        if (fcntl(fd, F_SETLK, &lock) == 0)
            return 0;
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return errno;
        if (ltx_monotonic_ms() >= deadline)
            return EAGAIN;
        sleep_us(pause);
    }
}

void ltx_unlock(int fd, int byte)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    fcntl(fd, F_SETLK, &lock);
}

#ifdef __linux__

void ltx_wait(_Atomic uint32_t *word, uint32_t seen, int64_t timeout_ms, int across)
{
    struct timespec t = {timeout_ms / 1000, timeout_ms % 1000 * 1000000};
    syscall(SYS_futex, word, across ? FUTEX_WAIT : FUTEX_WAIT_PRIVATE, seen, &t, NULL, 0);
}

void ltx_wake(_Atomic uint32_t *word, int across)
{
    atomic_fetch_add(word, 1);
    syscall(SYS_futex, word, across ? FUTEX_WAKE : FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

#else

void ltx_wait(_Atomic uint32_t *word, uint32_t seen, int64_t timeout_ms, int across)
{
    (void)across;
    int64_t deadline = ltx_monotonic_ms() + timeout_ms;
    while (atomic_load(word) == seen && ltx_monotonic_ms() < deadline)
        sleep_us(5000);
}

void ltx_wake(_Atomic uint32_t *word, int across)
{
    (void)across;
    atomic_fetch_add(word, 1);
}

#endif

static int64_t clock_ms(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t ltx_now_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

int64_t ltx_monotonic_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

void ltx_boot_id(uint8_t out[16])
{
    char text[64] = {0};
    memset(out, 0, 16);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    int digits = 0;
    for (ssize_t i = 0; i < n && digits < 32; i++) {
        char c = text[i];
        int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (v < 0)
            continue;
        out[digits / 2] = (uint8_t)(out[digits / 2] << 4 | v);
        digits++;
    }
}
