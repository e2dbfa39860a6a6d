/* SPDX-License-Identifier: MIT */
/*
 * fork_steps: one thread is stopped before or after each system call of each operation, another one
 * forks, and the child must find everything in order. Then the first thread goes on, and so must
 * the parent.
 *
 * Between system calls a thread is caught by fork_anywhere.
 */
#define _GNU_SOURCE
#include "fork/operations.h"
#include "support/core.h"
#include "support/fork_child.h"

#include "vm/quota.h"

#include <moat/heap.h>
#include <moat/lock.h>
#include <moat/placeholder.h>
#include <moat/space.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define RW MOAT_PAGE_READWRITE

#ifdef __SANITIZE_THREAD__
enum { TSAN = true };
#else
enum { TSAN = false };
#endif

enum { BLOCK = 2097152, KINDS = 4, MIMALLOC = 3, CALM = 3, STEPS_MAX = 4000 };

/* --- The thread that is stopped --- */

static _Thread_local int steps_left; /* until this thread stops; 0: it does not */
static int fails_left;               /* in a child: until a call fails; 0: none does */
static sem_t stopped, go_on;
static _Atomic bool done;

/* In the child nobody else is there to be woken. */
static void step(void) {
    if (steps_left == 0 || --steps_left != 0)
        return;
    sem_post(&stopped);
    while (sem_wait(&go_on) != 0)
        continue;
}

void *__real_mmap(void *start, size_t size, int protection, int flags, int file, off_t offset);
int __real_munmap(void *start, size_t size);
int __real_mprotect(void *start, size_t size, int protection);
int __real_madvise(void *start, size_t size, int advice);
long __real_syscall(long number, ...);
void *__wrap_mmap(void *start, size_t size, int protection, int flags, int file, off_t offset);
int __wrap_munmap(void *start, size_t size);
int __wrap_mprotect(void *start, size_t size, int protection);
int __wrap_madvise(void *start, size_t size, int advice);
long __wrap_syscall(long number, ...);

/* Whether this call is to fail. */
static bool fails(void) {
    if (fails_left == 0 || --fails_left != 0)
        return false;
    errno = ENOMEM;
    return true;
}

#define STEPPED(type, call)                                                                        \
    if (fails())                                                                                   \
        return (type)-1;                                                                           \
    step();                                                                                        \
    type result = (call);                                                                          \
    step();                                                                                        \
    return result

void *__wrap_mmap(void *start, size_t size, int protection, int flags, int file, off_t offset) {
    STEPPED(void *, __real_mmap(start, size, protection, flags, file, offset));
}

int __wrap_munmap(void *start, size_t size) {
    STEPPED(int, __real_munmap(start, size));
}

int __wrap_mprotect(void *start, size_t size, int protection) {
    STEPPED(int, __real_mprotect(start, size, protection));
}

int __wrap_madvise(void *start, size_t size, int advice) {
    STEPPED(int, __real_madvise(start, size, advice));
}

long __wrap_syscall(long number, ...) {
    long of[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        of[i] = va_arg(list, long);
    va_end(list);
    STEPPED(long, __real_syscall(number, of[0], of[1], of[2], of[3], of[4], of[5]));
}

/* --- The scene --- */

static const char *const kinds[KINDS] = {
    "trap=auto,quarantine=0,timeout=30000,quota=4G",
    "trap=protect,quarantine=0,timeout=30000,quota=4G",
    "trap=auto,quarantine=8,timeout=30000",
    "trap=auto,backend=mimalloc,quarantine=0,timeout=30000",
};

static unsigned kind;
static uintptr_t calm[CALM]; /* regions that nobody works on */
static void *block;          /* of the heap */

/* --- The child --- */

/* The kernel refuses a call while the child is mended: what was being worked on may be left as it
 * is, and nothing else. */
static _Noreturn void be_refused(int call) {
    void *at;

    alarm(60);
    fails_left = call;
    enum moat_status status = moat_reserve(fork_scene.manager, NULL, PAGE, RW, 0, &at);
    fails_left = 0;
    EXPECT(status != MOAT_TIMEOUT && status != MOAT_CORRUPT, "%s", moat_last_error_text());
    for (unsigned i = 0; i < CALM; i++) {
        EXPECT(fork_is_stamped(calm[i], 2 * PAGE, 'c'),
               "a region that nobody worked on has changed");
        child_use_up(fork_scene.manager, calm[i], 16 * PAGE, kind != MIMALLOC);
    }
    if (fork_scene.base) {
        status = moat_release(fork_scene.manager, (void *)fork_scene.base);
        EXPECT(status != MOAT_TIMEOUT && status != MOAT_CORRUPT, "%s", moat_last_error_text());
    }
    _exit(0);
}

static void use_calm(void) {
    for (unsigned i = 0; i < CALM; i++) {
        EXPECT(fork_is_stamped(calm[i], 2 * PAGE, 'c'),
               "a region that nobody worked on has changed");
        EXPECT(!child_reads(calm[i] + 8 * PAGE), "an uncommitted page does not trap");
        child_use_up(fork_scene.manager, calm[i], 16 * PAGE, kind != MIMALLOC);
    }
}

static void use_heap(void) {
    void *many[40];
    EXPECT(fork_is_stamped((uintptr_t)block, 1000, 'h'), "a block has changed");
    for (unsigned i = 0; i < 40; i++) {
        size_t bytes = i % 8 == 7 ? (size_t)3 << 20 : i * 997 + 1;
        EXPECT(moat_heap_alloc(fork_scene.heap, bytes, &many[i]) == MOAT_OK, "%s",
               moat_last_error_text());
        fork_stamp((uintptr_t)many[i], bytes, 'n');
    }
    for (unsigned i = 0; i < 40; i++)
        EXPECT(moat_heap_free(fork_scene.heap, many[i]) == MOAT_OK, "%s", moat_last_error_text());
    EXPECT(moat_heap_free(fork_scene.heap, block) == MOAT_OK, "%s", moat_last_error_text());
    EXPECT(moat_heap_free(fork_scene.heap, block) == MOAT_NOT_OURS, "freed twice");
}

/* Around the calm regions: whatever is not committed traps. */
static void check_around(uintptr_t at) {
    uintptr_t start = at / BLOCK * BLOCK;
    child_check_books(start, start + BLOCK);
}

static _Noreturn void be_child(const struct fork_operation *operation) {
    void *at;

    alarm(60);
    /* The first call mends; what it mends must be right before anything else is changed. */
    EXPECT(moat_reserve(fork_scene.manager, NULL, PAGE, RW, 0, &at) == MOAT_OK, "%s",
           moat_last_error_text());
    EXPECT(moat_release(fork_scene.manager, at) == MOAT_OK, "%s", moat_last_error_text());
    check_around(calm[0]);
    if (fork_scene.base) {
        struct moat_page_info info;
        EXPECT(moat_query((void *)fork_scene.base, &info) == MOAT_OK, "%#lx",
               (unsigned long)fork_scene.base);
        child_check_books(fork_scene.base,
                          fork_scene.base +
                              (fork_scene.size < 4 * BLOCK ? fork_scene.size : 4 * BLOCK));
        if (operation->check && info.allocation_base == (void *)fork_scene.base)
            operation->check();
        child_use_up(fork_scene.manager, fork_scene.base, fork_scene.size, kind != MIMALLOC);
    }
    use_calm();
    use_heap();
    moat_heap_destroy(fork_scene.heap);
    struct moat_stats stats;
    EXPECT(moat_stats_read(fork_scene.manager, &stats) == MOAT_OK, "no statistics");
    if (!operation->makes_own)
        EXPECT(stats.regions_live == 0 && stats.bytes_committed == 0 && stats.bytes_reserved == 0,
               "%lu regions, %lu and %lu bytes are left", (unsigned long)stats.regions_live,
               (unsigned long)stats.bytes_reserved, (unsigned long)stats.bytes_committed);
    uint64_t limit, used;
    if (!operation->makes_own && moat_quota_level(fork_scene.manager, &limit, &used))
        EXPECT(used == 0, "%lu bytes of the quota are left charged", (unsigned long)used);
    moat_manager_destroy(fork_scene.manager);
    _exit(0);
}

/* --- The parent --- */

struct job {
    const struct fork_operation *operation;
    int steps;
};

static void *run_job(void *argument) {
    const struct job *job = argument;
    steps_left = job->steps;
    job->operation->run();
    bool in_time = steps_left > 0 || job->steps == 0;
    steps_left = 0;
    atomic_store(&done, in_time);
    sem_post(&stopped);
    return NULL;
}

/* False: the operation has no such step. */
static bool stop_at(const struct fork_operation *operation, int steps) {
    struct job job = {operation, steps};
    pthread_t thread;

    operation->set();
    atomic_store(&done, false);
    CHECK(pthread_create(&thread, NULL, run_job, &job) == 0, "no thread");
    sem_wait(&stopped);
    bool reached = !atomic_load(&done);
    if (reached) {
        fflush(NULL);
        int child = child_make((steps / 2) % 2 != 0);
        if (child == 0)
            be_child(operation);
        child_reap(child, operation->name, (unsigned)steps);
        child = child_make(false);
        if (child == 0)
            be_refused(1 + steps % 4);
        child_reap(child, "refused", (unsigned)steps);
        sem_post(&go_on);
        sem_wait(&stopped);
    }
    pthread_join(thread, NULL);
    operation->undo();
    for (unsigned i = 0; i < CALM; i++)
        CHECK(fork_is_stamped(calm[i], 2 * PAGE, 'c'), "the parent's memory has changed");
    return reached;
}

static bool set_scene(void) {
    struct moat_options options;

    moat_options_init(&options);
    fork_ok(moat_options_parse(&options, kinds[kind], NULL, 0));
    enum moat_status status = moat_manager_create(&options, &fork_scene.manager);
    if (status == MOAT_NOT_SUPPORTED)
        return false;
    fork_ok(status);
    fork_ok(moat_heap_create(fork_scene.manager, 0, &fork_scene.heap));
    fork_ok(moat_heap_alloc(fork_scene.heap, 1000, &block));
    fork_stamp((uintptr_t)block, 1000, 'h');
    for (unsigned i = 0; i < CALM; i++) {
        fork_reserve(16 * PAGE, false);
        calm[i] = fork_scene.base;
        fork_ok(moat_commit(fork_scene.manager, (void *)fork_scene.base, 2 * PAGE, RW, NULL));
        fork_stamp(fork_scene.base, 2 * PAGE, 'c');
    }
    return true;
}

int main(int argc, char **argv) {
    const char *only = argc > 2 ? argv[2] : NULL;
    unsigned forks = 0;

    if (TSAN) {
        puts("a fork takes ThreadSanitizer so long that a thousand are too many");
        return 77;
    }

    sem_init(&stopped, 0, 0);
    sem_init(&go_on, 0, 0);
    for (kind = 0; kind < KINDS; kind++) {
        if (!set_scene()) {
            printf("%s: not to be had here\n", kinds[kind]);
            continue;
        }
        for (unsigned i = 0; i < fork_operation_count; i++) {
            int steps = 1;
            if (only && strcmp(only, fork_operations[i].name) != 0)
                continue;
            /* mimalloc keeps what was freed mapped: nobody else can have it. */
            if (kind == MIMALLOC && fork_operations[i].takes_place)
                continue;
            while (steps < STEPS_MAX && stop_at(&fork_operations[i], steps))
                steps++;
            forks += (unsigned)steps - 1;
            printf("%-52s %-32s %4d steps\n", kinds[kind], fork_operations[i].name, steps - 1);
        }
        moat_heap_destroy(fork_scene.heap);
        moat_manager_destroy(fork_scene.manager);
    }
    printf("%u forks\n", forks);
    return 0;
}
