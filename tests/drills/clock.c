/* The clock on the wall as Python sees it, off by CLOCK_OFF seconds: LD_PRELOAD=clock.so CLOCK_OFF=86400 python ...
   With CLOCK_FILE instead, by what its first eight bytes hold now: it moves for processes that run.
   Only calls by the interpreter and by SQLite (its `now`, which Airflow's scheduler asks) are answered so: what native
   libraries wait for by that clock is not to be drilled, and time that only passes is left alone. (libfaketime cannot do this: Python sleeps forever under it, or not at all.) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static volatile long *shared;

__attribute__((constructor)) static void open_shared(void) {
    const char *path = getenv("CLOCK_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *found = mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
    if (found != MAP_FAILED) shared = found;
    close(file);
}

static long off_for(void *caller) {
    Dl_info who;
    const char *off = getenv("CLOCK_OFF");
    if ((!shared && !off) || !dladdr(caller, &who) || !who.dli_fname) return 0;
    const char *slash = strrchr(who.dli_fname, '/');
    const char *name = slash ? slash + 1 : who.dli_fname;
    static const char *const whose[] = {"python", "libpython", "libsqlite3", "_sqlite3"};
    for (size_t i = 0; i < sizeof whose / sizeof *whose; i++)
        if (!strncmp(name, whose[i], strlen(whose[i]))) return shared ? *shared : atol(off);
    return 0;
}

int clock_gettime(clockid_t which, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, which, now);
    if (!failed && which == CLOCK_REALTIME) now->tv_sec += off_for(__builtin_return_address(0));
    return failed;
}

time_t time(time_t *into) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    now.tv_sec += off_for(__builtin_return_address(0));
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec found;
    int failed = (int)syscall(SYS_clock_gettime, CLOCK_REALTIME, &found);
    if (!failed) {
        now->tv_sec = found.tv_sec + off_for(__builtin_return_address(0));
        now->tv_usec = found.tv_nsec / 1000;
    }
    return failed;
}
