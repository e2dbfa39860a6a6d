/* SPDX-License-Identifier: MIT */
/*
 * Every system call under memory load and pressure fails once: there is an answer from what is
 * left, or a precise no, and nothing stays open.
 */
#define _GNU_SOURCE
#include "os/linux_memory.h"
#include "support/inject.h"
#include "unit/support/fake_root.h"

#include <moat/pressure.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

/* The calls that only this program replaces. */
enum call { EVENTFD, POLL, WRITE, PREAD, FSTAT, SYSINFO, CREATE, SIGMASK, STACKSIZE, CALLS };

static const char *const names[] = {"eventfd", "poll",           "write",   "pread",    "fstat",
                                    "sysinfo", "pthread_create", "sigmask", "stacksize"};
static atomic_int counts[CALLS], nths[CALLS], errors[CALLS];

static void fail(enum call call, int nth, int error) {
    atomic_store(&counts[call], 0);
    atomic_store(&errors[call], error);
    atomic_store(&nths[call], nth);
}

static void clear(void) {
    inject_clear();
    for (int call = 0; call < CALLS; call++)
        fail((enum call)call, 0, 0);
}

/* The error of this call, 0 if it is to be made. A negative nth: from that one on. */
static int fails(enum call call) {
    int count = atomic_fetch_add(&counts[call], 1) + 1, nth = atomic_load(&nths[call]);
    return nth != 0 && (count == nth || (nth < 0 && count >= -nth)) ? atomic_load(&errors[call])
                                                                    : 0;
}

static bool refused(enum call call) {
    int error = fails(call);
    if (error != 0)
        errno = error;
    return error != 0;
}

int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
int __real_poll(struct pollfd *files, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *files, nfds_t count, int timeout);
ssize_t __real_write(int file, const void *bytes, size_t size);
ssize_t __wrap_write(int file, const void *bytes, size_t size);
ssize_t __real_pread(int file, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread(int file, void *bytes, size_t size, off_t offset);
int __real_fstat(int file, struct stat *status);
int __wrap_fstat(int file, struct stat *status);
int __real_sysinfo(struct sysinfo *info);
int __wrap_sysinfo(struct sysinfo *info);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __real_pthread_sigmask(int how, const sigset_t *set, sigset_t *before);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *before);
int __real_pthread_attr_setstacksize(pthread_attr_t *attributes, size_t size);
int __wrap_pthread_attr_setstacksize(pthread_attr_t *attributes, size_t size);

int __wrap_eventfd(unsigned value, int flags) {
    return refused(EVENTFD) ? -1 : __real_eventfd(value, flags);
}

int __wrap_poll(struct pollfd *files, nfds_t count, int timeout) {
    return refused(POLL) ? -1 : __real_poll(files, count, timeout);
}

ssize_t __wrap_write(int file, const void *bytes, size_t size) {
    return refused(WRITE) ? -1 : __real_write(file, bytes, size);
}

ssize_t __wrap_pread(int file, void *bytes, size_t size, off_t offset) {
    return refused(PREAD) ? -1 : __real_pread(file, bytes, size, offset);
}

int __wrap_fstat(int file, struct stat *status) {
    return refused(FSTAT) ? -1 : __real_fstat(file, status);
}

int __wrap_sysinfo(struct sysinfo *info) {
    return refused(SYSINFO) ? -1 : __real_sysinfo(info);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument) {
    int error = fails(CREATE);
    return error != 0 ? error : __real_pthread_create(thread, attributes, run, argument);
}

int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *before) {
    int error = fails(SIGMASK);
    return error != 0 ? error : __real_pthread_sigmask(how, set, before);
}

int __wrap_pthread_attr_setstacksize(pthread_attr_t *attributes, size_t size) {
    int error = fails(STACKSIZE);
    return error != 0 ? error : __real_pthread_attr_setstacksize(attributes, size);
}

static unsigned open_files(void) {
    unsigned count = 0;
    for (int file = 0; file < 256; file++)
        count += fcntl(file, F_GETFD) >= 0;
    return count;
}

/* Some answer that makes sense, and nothing left behind. */
static void assert_answer(const char *what, int nth, int error) {
    struct moat_load load;
    unsigned files = open_files();
    memset(&load, 0x55, sizeof load);
    errno = 4711;
    int outcome = moat_os_memory(&load);
    int saved = errno;
    clear();
    cr_assert_eq(outcome, 0, "%s %d, %d", what, nth, error);
    cr_assert_eq(saved, 4711, "%s %d, %d", what, nth, error);
    cr_assert(moat_load_known(&load));
    cr_assert_leq(load.percent, 100);
    cr_assert_leq(load.available, load.limit);
    cr_assert_eq(open_files(), files, "%s %d, %d", what, nth, error);
}

Test(os_pressure, memory_is_told_from_what_can_be_read) {
    static const struct {
        enum inject_kind kind;
        const char *name;
        int error;
    } faults[] = {
        {INJECT_OPEN, "open", ENOENT}, {INJECT_OPEN, "open", EMFILE},
        {INJECT_OPEN, "open", EACCES}, {INJECT_READ, "read", EIO},
        {INJECT_READ, "read", ENODEV}, {INJECT_READ, "read", EINTR},
        {INJECT_READ, "read", 0},      {INJECT_CLOSE, "close", EINTR},
    };
    struct moat_load load;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        inject_fail(faults[i].kind, 0, 0);
        cr_assert_eq(moat_os_memory(&load), 0);
        int calls = inject_count(faults[i].kind);
        cr_assert_gt(calls, 0);
        for (int nth = 1; nth <= calls; nth++) {
            inject_fail(faults[i].kind, nth, faults[i].error);
            assert_answer(faults[i].name, nth, faults[i].error);
            if (faults[i].error != EINTR || faults[i].kind != INJECT_READ) {
                inject_fail_from(faults[i].kind, nth, faults[i].error);
                assert_answer(faults[i].name, -nth, faults[i].error);
            }
        }
    }
}

Test(os_pressure, without_files_the_kernel_is_asked_and_then_nobody) {
    struct sysinfo info;
    struct moat_load load;
    struct moat_memory_load told;
    cr_assert_eq(sysinfo(&info), 0);
    inject_fail_from(INJECT_OPEN, 1, EMFILE);
    cr_assert_eq(moat_os_memory(&load), 0);
    cr_assert_eq(load.limit, (uint64_t)info.totalram * info.mem_unit);
    fail(SYSINFO, -1, EPERM);
    cr_assert_eq(moat_os_memory(&load), ENOSYS);
    cr_assert_eq(moat_memory_load_read(NULL, &told), MOAT_NOT_SUPPORTED);
    clear();
    cr_assert_eq(moat_memory_load_read(NULL, &told), MOAT_OK);
}

Test(os_pressure, reading_goes_on_after_a_signal) {
    struct moat_load load;
    clear();
    inject_fail(INJECT_READ, 1, EINTR);
    cr_assert_eq(moat_os_memory(&load), 0);
    cr_assert_gt(inject_count(INJECT_READ), 1);
    cr_assert_eq(atomic_load(&counts[SYSINFO]), 0, "nobody else need be asked");
    inject_fail(INJECT_READ, 1, EIO);
    cr_assert_eq(moat_os_memory(&load), 0);
    cr_assert_eq(atomic_load(&counts[SYSINFO]), 1);
    clear();
}

static void ignore(enum moat_memory_level level, void *context) {
    (void)level;
    atomic_fetch_add((atomic_uint *)context, 1);
}

/* A watch comes about or does not, and in either case leaves nothing when it is ended. */
static enum moat_status watched(const char *what, int nth) {
    static struct moat_manager *manager;
    struct moat_memory_load load;
    atomic_uint calls = 0;
    sigset_t before, after;

    if (!manager)
        cr_assert_eq(moat_manager_create(NULL, &manager), MOAT_OK);
    cr_assert_eq(moat_memory_load_read(NULL, &load), MOAT_OK);
    unsigned files = open_files();
    sigprocmask(SIG_SETMASK, NULL, &before);
    enum moat_status status = moat_pressure_watch(manager, ignore, &calls);
    sigprocmask(SIG_SETMASK, NULL, &after);
    for (int signal = 1; signal < 32; signal++)
        cr_assert_eq(sigismember(&before, signal), sigismember(&after, signal), "%s %d", what, nth);
    if (status)
        cr_assert_neq(moat_last_error_text()[0], '\0');
    moat_pressure_stop(manager);
    clear();
    cr_assert_eq(open_files(), files, "%s %d: files", what, nth);
    return status;
}

Test(os_pressure, a_watch_does_with_what_it_gets, .timeout = 900) {
    static const struct {
        enum call call;
        int error;
        enum moat_status status;
    } faults[] = {
        {EVENTFD, EMFILE, MOAT_OK},       {WRITE, EINVAL, MOAT_OK},
        {WRITE, EBUSY, MOAT_OK},          {FSTAT, EIO, MOAT_OK},
        {CREATE, EAGAIN, MOAT_NO_MEMORY}, {CREATE, ENOMEM, MOAT_NO_MEMORY},
        {CREATE, EPERM, MOAT_NO_MEMORY},  {SIGMASK, EINVAL, MOAT_NO_MEMORY},
        {STACKSIZE, EINVAL, MOAT_OK},
    };
    clear();
    cr_assert_eq(watched("nothing", 0), MOAT_OK);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        fail(faults[i].call, 1, faults[i].error);
        cr_assert_eq(watched(names[faults[i].call], 1), faults[i].status, "%s: %d",
                     names[faults[i].call], faults[i].error);
    }
    /* Where the stack is too small the usual one is taken; a thread that is refused for another
     * reason is not asked for again. */
    fail(CREATE, 1, EINVAL);
    cr_assert_eq(watched("create", 1), MOAT_OK);
    fail(CREATE, -1, EINVAL);
    cr_assert_eq(watched("create", -1), MOAT_NO_MEMORY);
    fail(CREATE, -1, EAGAIN);
    cr_assert_eq(watched("create", -1), MOAT_NO_MEMORY);
    cr_assert_eq(watched("nothing", 0), MOAT_OK);
}

Test(os_pressure, a_watch_without_files_looks_by_itself, .timeout = 900) {
    clear();
    inject_fail(INJECT_OPEN, 0, 0);
    cr_assert_eq(watched("nothing", 0), MOAT_OK);
    for (int nth = 1; nth < 16; nth++) {
        inject_fail(INJECT_OPEN, nth, EMFILE);
        cr_assert_eq(watched("open", nth), MOAT_OK);
        inject_fail_from(INJECT_OPEN, nth, EACCES);
        cr_assert_eq(watched("open", -nth), MOAT_OK);
        inject_fail(INJECT_READ, nth, EIO);
        cr_assert_eq(watched("read", nth), MOAT_OK);
    }
}

/* The trigger of stalls is refused everywhere, as where PSI is for the privileged only. */
Test(os_pressure, refused_triggers_are_done_without) {
    struct moat_os_pressure source;
    unsigned files = open_files();
    clear();
    fail(WRITE, -1, EPERM);
    moat_os_pressure_open(&source);
    clear();
    cr_assert(!moat_os_pressure_tells(&source) || source.counts);
    moat_os_pressure_close(&source);
    cr_assert_eq(open_files(), files);
}

/* What cannot be woken must not sleep on events. */
Test(os_pressure, without_a_way_to_wake_there_are_no_events) {
    struct moat_os_pressure source;
    unsigned files = open_files();
    clear();
    fail(EVENTFD, 1, EMFILE);
    moat_os_pressure_open(&source);
    clear();
    cr_assert_not(moat_os_pressure_tells(&source));
    cr_assert_eq(open_files(), files);
    moat_os_pressure_close(&source);
}

/* A file of counts that cannot be read would never be waited for rightly. */
Test(os_pressure, counts_that_cannot_be_read_are_no_source) {
    const char *root = fake_root((struct fake_file[]){
        {"/proc/thread-self/cgroup", "0::/\n"},
        {"/proc/thread-self/mountinfo", "35 24 0:30 / /cg rw - cgroup2 x rw\n"},
        {"/cg/memory.events", "low 0\nhigh 0\n"},
        {NULL, NULL},
    });
    struct moat_os_pressure source;
    unsigned files = open_files();
    clear();
    moat_linux_pressure_open(root, NULL, NULL, &source);
    cr_assert(source.counts);
    moat_os_pressure_close(&source);
    fail(PREAD, 1, ENODEV);
    moat_linux_pressure_open(root, NULL, NULL, &source);
    clear();
    cr_assert_not(moat_os_pressure_tells(&source));
    cr_assert_not(source.counts);
    moat_os_pressure_close(&source);
    cr_assert_eq(open_files(), files);
}

/* A poll that fails for good would otherwise be asked without a pause. */
Test(os_pressure, a_poll_that_fails_is_the_last) {
    struct moat_os_pressure source;
    uint32_t word = 0;
    moat_os_pressure_open(&source);
    if (!moat_os_pressure_tells(&source)) {
        moat_os_pressure_close(&source);
        cr_skip_test("this kernel tells nobody of pressure");
    }
    fail(POLL, 1, EINTR);
    errno = 4711;
    moat_os_pressure_wait(&source, &word, 0, 0);
    cr_assert_eq(errno, 4711);
    cr_assert(moat_os_pressure_tells(&source));
    fail(POLL, 1, ENOMEM);
    moat_os_pressure_wait(&source, &word, 0, 0);
    cr_assert_not(moat_os_pressure_tells(&source));
    clear();
    moat_os_pressure_close(&source);
}
