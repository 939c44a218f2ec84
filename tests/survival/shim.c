/* Stands between the appliance and the C library: makes writes and fsyncs of the database fail, keeps what was surely on
   disk at each fsync as FILE.synced, and moves the clock. The test says what to do in a small file that both map. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

struct control {
    int32_t write_error; /* errno of writes, 0 for none */
    int32_t sync_error;  /* errno of fsyncs */
    int32_t spare;       /* writes and fsyncs that still succeed before that */
    int32_t keep;        /* whether to keep what was synced */
    int64_t clock;       /* seconds by which the clock is moved */
    int32_t moving;      /* whether those fsyncs fail that follow what was moved from the WAL, or all others */
};

static volatile struct control *control;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("SHIM_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *map = fd < 0 ? MAP_FAILED : mmap(0, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED) control = map;
}

/* The path of an open file of the database; none for any other. */
static const char *database(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "scimlite.db") ? path : 0;
}

static int fails(int fd, volatile int32_t *error) {
    char path[4096];
    if (!control || !*error || !database(fd, path, sizeof path)) return 0;
    if (__sync_fetch_and_sub(&control->spare, 1) > 0) return 0;
    errno = *error;
    return 1;
}

/* Whether this is the database's fsync by the thread that moves the WAL into it. */
static int moves(int fd) {
    char path[4096], thread[16] = "";
    prctl(PR_GET_NAME, thread);
    return !strcmp(thread, "wal") && database(fd, path, sizeof path) && !strstr(path, "-wal");
}

static int sync_fails(int fd) {
    return control && control->moving == moves(fd) && fails(fd, &control->sync_error);
}

static void keep(int fd) {
    char path[4096], kept[4200], part[4200], block[65536];
    ssize_t count;
    if (!control || !control->keep || !database(fd, path, sizeof path)) return;
    snprintf(kept, sizeof kept, "%s.synced", path);
    snprintf(part, sizeof part, "%s.part", path);
    int from = open(path, O_RDONLY | O_CLOEXEC);
    int to = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    while ((count = read(from, block, sizeof block)) > 0)
        if (REAL(write)(to, block, count) != count) abort();
    close(from);
    close(to);
    rename(part, kept);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    return control && fails(fd, &control->write_error) ? -1 : REAL(write)(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    return control && fails(fd, &control->write_error) ? -1 : REAL(pwrite)(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    return control && fails(fd, &control->write_error) ? -1 : REAL(pwrite64)(fd, bytes, count, at);
}

int ftruncate(int fd, off_t size) {
    return control && fails(fd, &control->write_error) ? -1 : REAL(ftruncate)(fd, size);
}

int ftruncate64(int fd, off64_t size) {
    return control && fails(fd, &control->write_error) ? -1 : REAL(ftruncate64)(fd, size);
}

int fsync(int fd) {
    if (sync_fails(fd)) return -1;
    int result = REAL(fsync)(fd);
    if (result == 0) keep(fd);
    return result;
}

int fdatasync(int fd) {
    if (sync_fails(fd)) return -1;
    int result = REAL(fdatasync)(fd);
    if (result == 0) keep(fd);
    return result;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = REAL(clock_gettime)(clock, now);
    if (result == 0 && control && clock == CLOCK_REALTIME) now->tv_sec += control->clock;
    return result;
}
