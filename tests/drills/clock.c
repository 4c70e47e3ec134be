/* The clock on the wall as Python sees it, off by CLOCK_OFF seconds: LD_PRELOAD=clock.so CLOCK_OFF=86400 python ...
   Only calls by the interpreter are answered so: what native libraries wait for by that clock is not to be drilled, and
   time that only passes is left alone. (libfaketime cannot do this: Python sleeps forever under it, or not at all.) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/syscall.h>
#include <unistd.h>

static long off_for(void *caller) {
    Dl_info who;
    const char *off = getenv("CLOCK_OFF");
    if (!off || !dladdr(caller, &who) || !who.dli_fname) return 0;
    const char *slash = strrchr(who.dli_fname, '/');
    const char *name = slash ? slash + 1 : who.dli_fname;
    return strncmp(name, "python", 6) == 0 || strncmp(name, "libpython", 9) == 0 ? atol(off) : 0;
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
