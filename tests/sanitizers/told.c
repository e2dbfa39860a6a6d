/* SPDX-License-Identifier: MIT */
/*
 * told: MemorySanitizer is told what the kernel wrote.
 *
 * It knows the functions of the C library, and not what syscall() and the newer requests of ioctl()
 * leave behind their pointers; all of that would count as never written. So these two stand before
 * the library's and say so, for exactly the calls that src/os makes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sanitizer/msan_interface.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ARGUMENTS = 6, MASK_SIZE = 8, NODES_PER_BYTE = 8 };

/* PAGEMAP_SCAN and PROCMAP_QUERY: where their arguments say that results go. */
enum { SCAN = 16, QUERY = 17, STRETCH_SIZE = 24 };
struct scan {
    uint64_t size, flags, start, end, walk_end, vector;
};
struct query {
    uint64_t size, flags, address, result[7];
    uint32_t name_size, build_id_size;
    uint64_t name;
};

static struct {
    long (*syscall)(long number, ...);
    int (*ioctl)(int file, unsigned long request, ...);
} library;

static void look_up(const char *name, void *function, size_t size) {
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(function, &found, size);
}

__attribute__((constructor(101))) static void find_library(void) {
    look_up("syscall", &library.syscall, sizeof library.syscall);
    look_up("ioctl", &library.ioctl, sizeof library.ioctl);
}

static void is_written(uintptr_t start, size_t size) {
    if (start)
        __msan_unpoison((void *)start, size);
}

/* Callers pass as many arguments as the call has; the rest is whatever the registers hold. */
__attribute__((no_sanitize("memory"))) long syscall(long number, ...) {
    uintptr_t argument[ARGUMENTS];
    va_list list;

    va_start(list, number);
    for (unsigned i = 0; i < ARGUMENTS; i++)
        argument[i] = va_arg(list, uintptr_t);
    va_end(list);
    long outcome = library.syscall(number, argument[0], argument[1], argument[2], argument[3],
                                   argument[4], argument[5]);
    if (outcome < 0)
        return outcome;
    if (number == SYS_getrandom)
        is_written(argument[0], (size_t)outcome);
    else if (number == SYS_rt_sigprocmask)
        is_written(argument[2], MASK_SIZE);
    else if (number == SYS_clock_gettime)
        is_written(argument[1], sizeof(struct timespec));
    else if (number == SYS_get_mempolicy)
        is_written(argument[1], argument[2] / NODES_PER_BYTE);
    return outcome;
}

int ioctl(int file, unsigned long request, ...) {
    va_list list;

    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    int outcome = library.ioctl(file, request, argument);
    if (outcome < 0 || !argument)
        return outcome;
    is_written((uintptr_t)argument, _IOC_SIZE(request));
    if (_IOC_TYPE(request) == 'f' && _IOC_NR(request) == SCAN) {
        struct scan *scan = argument;
        is_written(scan->vector, (size_t)outcome * STRETCH_SIZE);
    } else if (_IOC_TYPE(request) == 'f' && _IOC_NR(request) == QUERY) {
        struct query *query = argument;
        is_written(query->name, query->name_size);
    }
    return outcome;
}
