/*
 * True faults for the built server: loaded into it with LD_PRELOAD, steered through a small shared file.
 * In: numbered places of COUNTERSIGN_FAULTS, which the drill writes while the server runs. Out: what the disk, the clock
 * or the socket then does.
 * Implements a power cut as the disks have it: what was not synced is lost, kept, or kept in part, sector by sector.
 * Never part of the product: the binary under test is the one that is shipped.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The places of the shared file; tests/faults/shim.rs has the same list. */
enum {
    LOADED,       /* set here */
    STEP,         /* which step is waited for */
    COUNTDOWN,    /* how often it has to come */
    ACTION,       /* what is done then */
    SEED,         /* what a power cut loses */
    WRITE_ERROR,  /* errno of writes to the database and its write-ahead log */
    SYNC_ERROR,   /* errno of their syncs */
    MARK_WRITE_ERROR,
    MARK_SYNC_ERROR,
    OPEN_ERROR,   /* errno of opening state for writing */
    SYNC_DELAY,   /* milliseconds */
    WALL,         /* milliseconds that the wall clock is ahead */
    MONOTONIC,    /* milliseconds that the monotonic clock is ahead */
    SYNCS,        /* counted here: syncs of the write-ahead log */
    ANSWERS,      /* counted here: answers with a token */
    UNSYNCED,     /* counted here: such answers while the log or the mark had bytes that no sync covers */
    STEPS,        /* counted here: every step that passed */
    PLACES
};

enum { KILL = 1, POWER_CUT = 2 };

enum step {
    ANY = 1,
    LOG_BEFORE_WRITE,
    LOG_HALF_WRITTEN,
    LOG_BEFORE_SYNC,
    LOG_AFTER_SYNC,
    MARK_BEFORE_WRITE,
    MARK_HALF_WRITTEN,
    MARK_BEFORE_SYNC,
    MARK_AFTER_SYNC,
    ANSWER_BEFORE,
    ANSWER_HALF,
    ANSWER_AFTER,
    CARRY_BEFORE_WRITE,
    CARRY_HALF_WRITTEN,
    CARRY_BEFORE_SYNC,
    CARRY_AFTER_SYNC
};

/* Files by what they hold. */
enum kind { NONE, LOG, DATABASE, MARK, KINDS };

#define SECTOR 512
#define DESCRIPTORS 65536

static volatile int64_t *places;
static volatile unsigned char kind_of[DESCRIPTORS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* A write that no sync has covered yet. */
struct pending {
    int fd;
    off_t at;
    size_t length, old_length;
    unsigned char *bytes, *old;
};
static struct {
    struct pending *writes;
    size_t count, room;
    off_t size; /* of the file, before the first of them */
} unsynced[KINDS];

#define REAL(name, type, ...)                                            \
    static type (*real)(__VA_ARGS__);                                    \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

__attribute__((constructor)) static void load(void) {
    const char *path = getenv("COUNTERSIGN_FAULTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *map = mmap(NULL, PLACES * sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED) return;
    places = map;
    places[LOADED] = 1;
}

static int64_t place(int which) { return places ? places[which] : 0; }
static void count(int which) {
    if (places) __atomic_add_fetch(&places[which], 1, __ATOMIC_SEQ_CST);
}
static enum kind kind(int fd) { return places && fd >= 0 && fd < DESCRIPTORS ? kind_of[fd] : NONE; }

/* ---- the end --------------------------------------------------------------------------------------------------- */

static uint64_t chance(void) { /* splitmix64, Steele and others 2014 */
    static uint64_t state;
    if (!state) state = (uint64_t)place(SEED);
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void put(int fd, const unsigned char *bytes, size_t length, off_t at) {
    if (syscall(SYS_pwrite64, fd, bytes, length, at) < 0) abort();
}

/* How much of a write reached the disk: nothing, all, or the sectors up to some one. */
static size_t kept(const struct pending *write) {
    uint64_t draw = chance();
    if (draw % 3 == 0) return 0;
    if (draw % 3 == 1) return write->length;
    off_t end = (write->at + (off_t)((draw >> 8) % (write->length + 1))) / SECTOR * SECTOR;
    return end > write->at ? (size_t)(end - write->at) : 0;
}

static void lose(void) {
    for (int k = LOG; k < KINDS; k++) {
        size_t count = unsynced[k].count;
        if (count == 0) continue;
        for (size_t n = count; n-- > 0;) {
            struct pending *write = &unsynced[k].writes[n];
            put(write->fd, write->old, write->old_length, write->at);
        }
        if (syscall(SYS_ftruncate, unsynced[k].writes[0].fd, unsynced[k].size) < 0) abort();
        for (size_t n = 0; n < count; n++) {
            struct pending *write = &unsynced[k].writes[n];
            put(write->fd, write->bytes, kept(write), write->at);
        }
    }
}

/* The lock is held, and stays so: nobody writes any more. */
static void end(void) {
    if (place(ACTION) == POWER_CUT) lose();
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Whether this is the moment; counts down. The lock is held. */
static int is_now(enum step step) {
    if (!places) return 0;
    places[STEPS]++;
    if (places[STEP] != (int64_t)step && places[STEP] != ANY) return 0;
    return --places[COUNTDOWN] == 0;
}

static void reach(enum step step) {
    pthread_mutex_lock(&lock);
    if (is_now(step)) end();
    pthread_mutex_unlock(&lock);
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static int ends(const char *path, const char *with) {
    size_t length = strlen(path), tail = strlen(with);
    return length >= tail && strcmp(path + length - tail, with) == 0;
}

static int refused(const char *path, int flags) {
    int error = (int)place(OPEN_ERROR);
    int state = strstr(path, "countersign.db") || ends(path, "countersign.lock") || ends(path, "high-water-mark");
    if (!error || !state || (flags & O_ACCMODE) == O_RDONLY) return 0;
    errno = error;
    return 1;
}

static int opened(int fd, const char *path) {
    if (fd >= 0 && fd < DESCRIPTORS) {
        kind_of[fd] = ends(path, "countersign.db-wal") ? LOG
                      : ends(path, "countersign.db")   ? DATABASE
                      : ends(path, "high-water-mark")  ? MARK
                                                       : NONE;
    }
    return fd;
}

#define OPEN(name)                                                           \
    int name(const char *path, int flags, ...) {                             \
        REAL(#name, int, const char *, int, ...);                            \
        va_list more;                                                        \
        va_start(more, flags);                                               \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                                        \
        return refused(path, flags) ? -1 : opened(real(path, flags, mode), path); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                         \
    int name(int folder, const char *path, int flags, ...) {                 \
        REAL(#name, int, int, const char *, int, ...);                       \
        va_list more;                                                        \
        va_start(more, flags);                                               \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                                        \
        return refused(path, flags) ? -1 : opened(real(folder, path, flags, mode), path); \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
    REAL("close", int, int);
    if (fd >= 0 && fd < DESCRIPTORS) kind_of[fd] = NONE;
    return real(fd);
}

/* Keeps what a power cut may take back. The lock is held. */
static void remember(enum kind k, int fd, const void *bytes, size_t length, off_t at) {
    if (unsynced[k].count == unsynced[k].room) {
        unsynced[k].room = unsynced[k].room ? 2 * unsynced[k].room : 64;
        unsynced[k].writes = realloc(unsynced[k].writes, unsynced[k].room * sizeof(struct pending));
    }
    struct stat now;
    if (!unsynced[k].writes || fstat(fd, &now) < 0) abort();
    if (unsynced[k].count == 0) unsynced[k].size = now.st_size;
    struct pending write = {.fd = fd, .at = at, .length = length};
    write.bytes = malloc(length);
    write.old = malloc(length);
    if (!write.bytes || !write.old) abort();
    memcpy(write.bytes, bytes, length);
    ssize_t old = syscall(SYS_pread64, fd, write.old, length, at);
    write.old_length = old > 0 ? (size_t)old : 0;
    unsynced[k].writes[unsynced[k].count++] = write;
}

static void forget(enum kind k) {
    for (size_t n = 0; n < unsynced[k].count; n++) {
        free(unsynced[k].writes[n].bytes);
        free(unsynced[k].writes[n].old);
    }
    unsynced[k].count = 0;
}

/* A write: the step before it, the step in its middle, its error; whether the write is still to be made. */
static int before_write(int fd, const void *bytes, size_t length, off_t at) {
    enum kind k = kind(fd);
    if (k == NONE) return 1;
    int error = (int)place(k == MARK ? MARK_WRITE_ERROR : WRITE_ERROR);
    if (error) {
        errno = error;
        return 0;
    }
    enum step before = k == LOG ? LOG_BEFORE_WRITE : k == MARK ? MARK_BEFORE_WRITE : CARRY_BEFORE_WRITE;
    enum step half = k == LOG ? LOG_HALF_WRITTEN : k == MARK ? MARK_HALF_WRITTEN : CARRY_HALF_WRITTEN;
    pthread_mutex_lock(&lock);
    if (is_now(before)) end();
    if (is_now(half)) {
        remember(k, fd, bytes, length / 2, at);
        put(fd, bytes, length / 2, at);
        end();
    }
    remember(k, fd, bytes, length, at);
    pthread_mutex_unlock(&lock);
    return 1;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    REAL("write", ssize_t, int, const void *, size_t);
    if (kind(fd) != NONE && !before_write(fd, bytes, length, lseek(fd, 0, SEEK_CUR))) return -1;
    return real(fd, bytes, length);
}

#define PWRITE(name, offset)                                                 \
    ssize_t name(int fd, const void *bytes, size_t length, offset at) {      \
        REAL(#name, ssize_t, int, const void *, size_t, offset);             \
        return before_write(fd, bytes, length, at) ? real(fd, bytes, length, at) : -1; \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

static int synced(int fd, int (*real)(int)) {
    enum kind k = kind(fd);
    if (k == NONE) return real(fd);
    reach(k == LOG ? LOG_BEFORE_SYNC : k == MARK ? MARK_BEFORE_SYNC : CARRY_BEFORE_SYNC);
    int64_t delay = place(SYNC_DELAY);
    struct timespec span = {.tv_sec = delay / 1000, .tv_nsec = delay % 1000 * 1000000};
    while (delay > 0 && nanosleep(&span, &span) < 0) {
    }
    int error = (int)place(k == MARK ? MARK_SYNC_ERROR : SYNC_ERROR);
    if (error) {
        errno = error;
        return -1;
    }
    int result = real(fd);
    pthread_mutex_lock(&lock);
    if (result == 0) forget(k);
    if (k == LOG) count(SYNCS);
    if (is_now(k == LOG ? LOG_AFTER_SYNC : k == MARK ? MARK_AFTER_SYNC : CARRY_AFTER_SYNC)) end();
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) {
    REAL("fsync", int, int);
    return synced(fd, real);
}

int fdatasync(int fd) {
    REAL("fdatasync", int, int);
    return synced(fd, real);
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

ssize_t send(int fd, const void *bytes, size_t length, int flags) {
    REAL("send", ssize_t, int, const void *, size_t, int);
    static const char word[] = "\"access_token\"";
    if (!places || !memmem(bytes, length, word, sizeof word - 1)) return real(fd, bytes, length, flags);
    count(ANSWERS);
    pthread_mutex_lock(&lock);
    if (unsynced[LOG].count > 0 || unsynced[MARK].count > 0) count(UNSYNCED);
    if (is_now(ANSWER_BEFORE)) end();
    if (is_now(ANSWER_HALF)) {
        real(fd, bytes, length / 2, flags);
        end();
    }
    pthread_mutex_unlock(&lock);
    ssize_t sent = real(fd, bytes, length, flags);
    reach(ANSWER_AFTER);
    return sent;
}

/* ---- clocks ------------------------------------------------------------------------------------------------------- */

int clock_gettime(clockid_t which, struct timespec *now) {
    REAL("clock_gettime", int, clockid_t, struct timespec *);
    int result = real(which, now);
    int64_t ahead = which == CLOCK_REALTIME ? place(WALL) : which == CLOCK_MONOTONIC ? place(MONOTONIC) : 0;
    if (result == 0 && ahead != 0) {
        int64_t nanoseconds = now->tv_nsec + ahead % 1000 * 1000000;
        now->tv_sec += ahead / 1000 + (nanoseconds < 0 ? -1 : nanoseconds / 1000000000);
        now->tv_nsec = nanoseconds < 0 ? nanoseconds + 1000000000 : nanoseconds % 1000000000;
    }
    return result;
}
