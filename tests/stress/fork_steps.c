/* SPDX-License-Identifier: MIT */
/*
 * fork_steps: one thread is stopped before or after each system call of each operation, another one
 * forks, and the child must find everything in order. Then the first thread goes on, and so must
 * the parent.
 *
 * Between system calls a thread is caught by fork_anywhere.
 */
#define _GNU_SOURCE
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

#define RW  MOAT_PAGE_READWRITE
#define BIG ((size_t)300 << 20)

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

static struct moat_manager *manager;
static struct moat_heap *heap;
static unsigned kind;
static uintptr_t calm[CALM]; /* regions that nobody works on */
static void *block;          /* of the heap */

/* What is worked on. */
static uintptr_t base;
static size_t size;

static void ok(enum moat_status status) {
    CHECK(status == MOAT_OK, "%d: %s", status, moat_last_error_text());
}

static void reserve(size_t bytes, bool commit) {
    void *at;
    size = bytes;
    ok(moat_reserve(manager, NULL, bytes, RW, commit ? MOAT_RESERVE_COMMIT : 0, &at));
    base = (uintptr_t)at;
}

static void stamp(uintptr_t at, size_t bytes, unsigned char value) {
    memset((void *)at, value, bytes);
}

static bool is_stamped(uintptr_t at, size_t bytes, unsigned char value) {
    for (size_t i = 0; i < bytes; i++)
        if (((volatile unsigned char *)at)[i] != value)
            return false;
    return true;
}

/* --- The operations: how the scene is set, what is stepped through, what the child checks besides,
 * and how the parent cleans up --- */

static void set_small(void) {
    reserve(16 * PAGE, false);
    ok(moat_commit(manager, (void *)base, 4 * PAGE, RW, NULL));
    stamp(base, 4 * PAGE, 's');
}
static void set_large(void) {
    reserve(3 * BLOCK + 5 * PAGE, false);
    ok(moat_commit(manager, (void *)base, 4 * PAGE, RW, NULL));
    stamp(base, 4 * PAGE, 's');
}
static void set_full(void) {
    reserve(3 * BLOCK + 5 * PAGE, true);
    stamp(base, 4 * PAGE, 's');
}
static void set_alone(void) {
    reserve(BIG, false);
    ok(moat_commit(manager, (void *)base, 4 * PAGE, RW, NULL));
    stamp(base, 4 * PAGE, 's');
}
static void set_free(void) {
    reserve(16 * PAGE, false);
    ok(moat_release(manager, (void *)base));
}
static void set_free_large(void) {
    reserve(3 * BLOCK, false);
    ok(moat_release(manager, (void *)base));
}
static void set_nothing(void) {
    base = 0;
}

/* An arena in which nothing is: of another kind than those in use. */
static void set_empty_arena(void) {
    struct moat_options options;
    struct moat_manager *other;
    void *at;

    base = 0;
    moat_options_init(&options);
    ok(moat_options_parse(&options, "dump=none,quarantine=0", NULL, 0));
    ok(moat_manager_create(&options, &other));
    ok(moat_reserve(other, NULL, PAGE, RW, MOAT_RESERVE_COMMIT, &at));
    ok(moat_release(other, at));
    moat_manager_destroy(other);
}

static void do_reserve_there(void) {
    void *at;
    ok(moat_reserve(manager, (void *)base, size, RW, 0, &at));
}
static void do_reserve_commit_there(void) {
    void *at;
    ok(moat_reserve(manager, (void *)base, size, RW, MOAT_RESERVE_COMMIT, &at));
}
static void do_reserve_many(void) {
    static void *at[3];
    ok(moat_reserve(manager, NULL, 16 * PAGE, RW, MOAT_RESERVE_COMMIT, &at[0]));
    ok(moat_reserve(manager, NULL, 3 * BLOCK, RW, MOAT_RESERVE_COMMIT, &at[1]));
    ok(moat_reserve(manager, NULL, BIG, RW, 0, &at[2]));
    for (unsigned i = 0; i < 3; i++)
        ok(moat_release(manager, at[i]));
}
static void do_commit_part(void) {
    ok(moat_commit(manager, (void *)(base + 6 * PAGE), 5 * PAGE, RW, NULL));
}
static void do_commit_all(void) {
    ok(moat_commit(manager, (void *)base, size, RW, NULL));
}
static void do_decommit_part(void) {
    ok(moat_decommit(manager, (void *)(base + 6 * PAGE), 5 * PAGE));
}
static void do_decommit_blocks(void) {
    uintptr_t first = (base + BLOCK) / BLOCK * BLOCK;
    ok(moat_decommit(manager, (void *)first, BLOCK + 3 * PAGE));
}
static void do_protect(void) {
    uint32_t old;
    ok(moat_protect(manager, (void *)base, 2 * PAGE, MOAT_PAGE_READONLY, &old));
    ok(moat_protect(manager, (void *)base, 2 * PAGE, MOAT_PAGE_READWRITE | MOAT_PAGE_GUARD, &old));
    ok(moat_protect(manager, (void *)base, 2 * PAGE, MOAT_PAGE_READWRITE, &old));
}
static void do_release(void) {
    ok(moat_release(manager, (void *)base));
}
static void do_lock(void) {
    ok(moat_lock(manager, (void *)base));
    ok(moat_commit(manager, (void *)(base + 6 * PAGE), 5 * PAGE, RW, NULL));
    ok(moat_decommit(manager, (void *)(base + 6 * PAGE), 5 * PAGE));
    ok(moat_unlock(manager, (void *)base));
}
static void do_trim(void) {
    size_t given;
    enum moat_status status = moat_trim(NULL, (size_t)100 << 40, &given);
    CHECK(status == MOAT_OK && given > 0, "%d, %zu bytes given", status, given);
}
static void do_heap(void) {
    void *many[8];
    for (unsigned i = 0; i < 8; i++)
        ok(moat_heap_alloc(heap, 30000, &many[i]));
    for (unsigned i = 0; i < 8; i++)
        ok(moat_heap_free(heap, many[i]));
}
static void do_heap_large(void) {
    void *many[2];
    for (unsigned i = 0; i < 2; i++)
        ok(moat_heap_alloc(heap, 3 << 20, &many[i]));
    for (unsigned i = 0; i < 2; i++)
        ok(moat_heap_free(heap, many[i]));
}
static void do_placeholder(void) {
    void *at, *in = NULL;
    ok(moat_placeholder_reserve(manager, NULL, 8 * GRANULE, 0, NULL, &at));
    ok(moat_placeholder_preserve(manager, (char *)at + GRANULE, 2 * GRANULE));
    ok(moat_placeholder_replace(manager, (char *)at + GRANULE, 2 * GRANULE, RW, MOAT_RESERVE_COMMIT,
                                &in));
    ok(moat_placeholder_preserve(manager, in, 2 * GRANULE));
    ok(moat_placeholder_coalesce(manager, at, 8 * GRANULE));
    ok(moat_release(manager, at));
}

static void first_pages_are_kept(void) {
    EXPECT(is_stamped(base, 4 * PAGE, 's'), "what nobody worked on has changed");
}

static void undo_release(void) {
    ok(moat_release(manager, (void *)base));
}
static void undo_nothing(void) {
}

struct operation {
    const char *name;
    void (*set)(void);
    void (*run)(void);
    void (*check)(void); /* NULL: nothing besides */
    void (*undo)(void);
};

static const struct operation operations[] = {
    {"reserve there", set_free, do_reserve_there, NULL, undo_release},
    {"reserve and commit there", set_free, do_reserve_commit_there, NULL, undo_release},
    {"reserve and commit blocks there", set_free_large, do_reserve_commit_there, NULL,
     undo_release},
    {"reserve anywhere", set_nothing, do_reserve_many, NULL, undo_nothing},
    {"commit", set_small, do_commit_part, first_pages_are_kept, undo_release},
    {"commit all", set_small, do_commit_all, first_pages_are_kept, undo_release},
    {"commit blocks", set_large, do_commit_all, first_pages_are_kept, undo_release},
    {"commit alone", set_alone, do_commit_part, first_pages_are_kept, undo_release},
    {"commit all alone", set_alone, do_commit_all, first_pages_are_kept, undo_release},
    {"decommit", set_full, do_decommit_part, first_pages_are_kept, undo_release},
    {"decommit blocks", set_full, do_decommit_blocks, first_pages_are_kept, undo_release},
    {"protect", set_small, do_protect, NULL, undo_release},
    {"release", set_small, do_release, NULL, undo_nothing},
    {"release blocks", set_full, do_release, NULL, undo_nothing},
    {"release alone", set_alone, do_release, NULL, undo_nothing},
    {"lock", set_small, do_lock, first_pages_are_kept, undo_release},
    {"trim", set_empty_arena, do_trim, NULL, undo_nothing},
    {"blocks", set_nothing, do_heap, NULL, undo_nothing},
    {"large blocks", set_nothing, do_heap_large, NULL, undo_nothing},
    {"placeholders", set_nothing, do_placeholder, NULL, undo_nothing},
};
#define OPERATIONS (sizeof operations / sizeof operations[0])

/* --- The child --- */

/* The kernel refuses a call while the child is mended: what was being worked on may be left as it
 * is, and nothing else. */
static _Noreturn void be_refused(int call) {
    void *at;

    alarm(60);
    fails_left = call;
    enum moat_status status = moat_reserve(manager, NULL, PAGE, RW, 0, &at);
    fails_left = 0;
    EXPECT(status != MOAT_TIMEOUT && status != MOAT_CORRUPT, "%s", moat_last_error_text());
    for (unsigned i = 0; i < CALM; i++) {
        EXPECT(is_stamped(calm[i], 2 * PAGE, 'c'), "a region that nobody worked on has changed");
        child_use_up(manager, calm[i], 16 * PAGE, kind != MIMALLOC);
    }
    if (base) {
        status = moat_release(manager, (void *)base);
        EXPECT(status != MOAT_TIMEOUT && status != MOAT_CORRUPT, "%s", moat_last_error_text());
    }
    _exit(0);
}

static void use_calm(void) {
    for (unsigned i = 0; i < CALM; i++) {
        EXPECT(is_stamped(calm[i], 2 * PAGE, 'c'), "a region that nobody worked on has changed");
        EXPECT(!child_reads(calm[i] + 8 * PAGE), "an uncommitted page does not trap");
        child_use_up(manager, calm[i], 16 * PAGE, kind != MIMALLOC);
    }
}

static void use_heap(void) {
    void *many[40];
    EXPECT(is_stamped((uintptr_t)block, 1000, 'h'), "a block has changed");
    for (unsigned i = 0; i < 40; i++) {
        size_t bytes = i % 8 == 7 ? (size_t)3 << 20 : i * 997 + 1;
        EXPECT(moat_heap_alloc(heap, bytes, &many[i]) == MOAT_OK, "%s", moat_last_error_text());
        stamp((uintptr_t)many[i], bytes, 'n');
    }
    for (unsigned i = 0; i < 40; i++)
        EXPECT(moat_heap_free(heap, many[i]) == MOAT_OK, "%s", moat_last_error_text());
    EXPECT(moat_heap_free(heap, block) == MOAT_OK, "%s", moat_last_error_text());
    EXPECT(moat_heap_free(heap, block) == MOAT_NOT_OURS, "freed twice");
}

/* Around the calm regions: whatever is not committed traps. */
static void check_around(uintptr_t at) {
    uintptr_t start = at / BLOCK * BLOCK;
    child_check_books(start, start + BLOCK);
}

static _Noreturn void be_child(const struct operation *operation) {
    void *at;

    alarm(60);
    /* The first call mends; what it mends must be right before anything else is changed. */
    EXPECT(moat_reserve(manager, NULL, PAGE, RW, 0, &at) == MOAT_OK, "%s", moat_last_error_text());
    EXPECT(moat_release(manager, at) == MOAT_OK, "%s", moat_last_error_text());
    check_around(calm[0]);
    if (base) {
        struct moat_page_info info;
        EXPECT(moat_query((void *)base, &info) == MOAT_OK, "%#lx", (unsigned long)base);
        child_check_books(base, base + (size < 4 * BLOCK ? size : 4 * BLOCK));
        if (operation->check && info.allocation_base == (void *)base)
            operation->check();
        child_use_up(manager, base, size, kind != MIMALLOC);
    }
    use_calm();
    use_heap();
    moat_heap_destroy(heap);
    struct moat_stats stats;
    EXPECT(moat_stats_read(manager, &stats) == MOAT_OK, "no statistics");
    if (operation->run != do_placeholder && operation->run != do_reserve_many)
        EXPECT(stats.regions_live == 0 && stats.bytes_committed == 0 && stats.bytes_reserved == 0,
               "%lu regions, %lu and %lu bytes are left", (unsigned long)stats.regions_live,
               (unsigned long)stats.bytes_reserved, (unsigned long)stats.bytes_committed);
    uint64_t limit, used;
    if (operation->run != do_placeholder && operation->run != do_reserve_many &&
        moat_quota_level(manager, &limit, &used))
        EXPECT(used == 0, "%lu bytes of the quota are left charged", (unsigned long)used);
    moat_manager_destroy(manager);
    _exit(0);
}

/* --- The parent --- */

struct job {
    const struct operation *operation;
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
static bool stop_at(const struct operation *operation, int steps) {
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
        CHECK(is_stamped(calm[i], 2 * PAGE, 'c'), "the parent's memory has changed");
    return reached;
}

static bool set_scene(void) {
    struct moat_options options;

    moat_options_init(&options);
    ok(moat_options_parse(&options, kinds[kind], NULL, 0));
    enum moat_status status = moat_manager_create(&options, &manager);
    if (status == MOAT_NOT_SUPPORTED)
        return false;
    ok(status);
    ok(moat_heap_create(manager, 0, &heap));
    ok(moat_heap_alloc(heap, 1000, &block));
    stamp((uintptr_t)block, 1000, 'h');
    for (unsigned i = 0; i < CALM; i++) {
        reserve(16 * PAGE, false);
        calm[i] = base;
        ok(moat_commit(manager, (void *)base, 2 * PAGE, RW, NULL));
        stamp(base, 2 * PAGE, 'c');
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
        for (unsigned i = 0; i < OPERATIONS; i++) {
            int steps = 1;
            if (only && strcmp(only, operations[i].name) != 0)
                continue;
            /* mimalloc keeps what was freed mapped: nobody else can have it. */
            if (kind == MIMALLOC &&
                (operations[i].set == set_free || operations[i].set == set_free_large))
                continue;
            while (steps < STEPS_MAX && stop_at(&operations[i], steps))
                steps++;
            forks += (unsigned)steps - 1;
            printf("%-52s %-32s %4d steps\n", kinds[kind], operations[i].name, steps - 1);
        }
        moat_heap_destroy(heap);
        moat_manager_destroy(manager);
    }
    printf("%u forks\n", forks);
    return 0;
}
