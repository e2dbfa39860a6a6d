/* SPDX-License-Identifier: MIT */
/* trial: the run, the comparison, the repetition, a life, the end. */
#define _GNU_SOURCE
#include "trial.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS_MAX = 60, NO_ERRNO = 7777, RW = MOAT_PAGE_READWRITE };

struct moat_manager *the_manager;

/* Shared with the children. */
static struct shared {
    struct verdict verdict;
    struct snapshot before, after; /* of the undisturbed run */
} * shared;

static int quiet;
static struct mappings strangers;
static struct snapshot before, after, later;
static const struct trial *the_trial;

static _Noreturn void end(bool good) {
    shared->verdict.good = good;
    _exit(good ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void found(const char *when) {
    snprintf(shared->verdict.text, sizeof shared->verdict.text, "%s: %s", when, compare_finding());
    end(false);
}

void wrong(const char *format, ...) {
    steps_disarm();
    va_list list;
    va_start(list, format);
    vsnprintf(shared->verdict.text, sizeof shared->verdict.text, format, list);
    va_end(list);
    end(false);
}

void must(enum moat_status status) {
    if (status)
        wrong("%s, though nothing is disturbed: %s", moat_status_describe(status)->name,
              moat_last_error_text());
}

struct moat_manager *manager_of(const char *text) {
    struct moat_options options;
    struct moat_manager *manager;

    moat_options_init(&options);
    must(moat_options_parse(&options, text, NULL, 0));
    must(moat_manager_create(&options, &manager));
    return manager;
}

void trial_start(void) {
    steps_start();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        abort();
    /* What is kept for each processor is to be one thing. */
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    (void)sched_setaffinity(0, sizeof one, &one);
    /* Reports of what the kernel refuses are made, and are many. */
    quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
}

static bool disturbed(void) {
    return the_trial->plans[0].step != 0;
}

/* The call that a plan is about. */
static const struct call_row *row_of(unsigned plan) {
    unsigned step = the_trial->plans[plan].step;
    unsigned row = step && step < STEPS_MAX ? steps->row[step] : 0;
    return row ? &call_rows[row - 1] : NULL;
}

/* Whether such a call is one of those that were made to fail. */
static bool failed(enum call call, bool of_memory) {
    for (unsigned i = 0; i < PLANS_MAX; i++) {
        const struct call_row *row = row_of(i);
        if (row && (row->call == call || (of_memory && the_trial->plans[i].scope == SCOPE_MEMORY)))
            return true;
    }
    return false;
}

/* Whether the kernel refuses all that would make a page trap: rights and markers. */
static bool all_refused(void) {
    for (unsigned i = 0; i < PLANS_MAX; i++)
        if (the_trial->plans[i].step != 0 && the_trial->plans[i].scope == SCOPE_MEMORY)
            return true;
    return failed(CALL_mprotect, false) && failed(CALL_madvise, false);
}

/* What no refusal of those calls could leave otherwise. */
static unsigned unavoidable(void) {
    return (failed(CALL_munmap, true) || all_refused() ? MAY_STRAND : 0) |
           (failed(CALL_pthread_sigmask, false) ? MAY_BLOCK : 0) |
           (failed(CALL_fstat, false) ? MAY_OPEN : 0);
}

/* Whether the kernel goes on refusing, so that to undo what was begun may be refused as well. */
static bool goes_on(void) {
    return the_trial->plans[0].times != 1 || the_trial->plans[1].step != 0;
}

static void look(struct snapshot *now, const struct moat_manager *manager) {
    snapshot_take(now, manager, disturbed() ? &strangers : NULL);
}

/* What cannot be made to trap is counted, by the manager that it belonged to if there was one. */
static bool open_counted;

static void compare_moment(struct snapshot *now, const char *when) {
    open_counted |= all_refused() && (!now->manager || now->stats.guard_failures != 0 ||
                                      now->stats.stranded_bytes != 0);
    /* What is put off by option does not trap yet. */
    bool may_be_open = open_counted || now->stats.deferred_bytes != 0;
    if (!compare_books_with_kernel(now, may_be_open))
        found(when);
    bool may_strand = (unavoidable() & MAY_STRAND) != 0;
    if (!(the_trial->operation->is & OP_THREAD) &&
        !compare_with_strangers(&strangers, now, may_strand))
        found(when);
}

/* The sentence names the call, the address and what the kernel said. */
static void check_text(enum moat_status status) {
    const char *text = moat_last_error_text();
    char number[32];

    if (text[0] == '\0')
        wrong("%s, and no word about it", moat_status_describe(status)->name);
    if (status != MOAT_NO_MEMORY && status != MOAT_COMMIT_LIMIT)
        return;
    const char *says = strstr(text, "(errno ");
    for (unsigned i = 0; says && i < PLANS_MAX; i++) {
        snprintf(number, sizeof number, "(errno %d)", the_trial->plans[i].error);
        if (the_trial->plans[i].step && strstr(text, number))
            return;
    }
    if (says && !strstr(text, "(errno 12)")) /* where it was not told upwards, it is ENOMEM */
        wrong("the text tells another errno: %s", text);
    if (!strstr(text, " at "))
        wrong("the text names no address: %s", text);
}

static void check_refusal(enum moat_status status) {
    const struct operation *operation = the_trial->operation;
    uint64_t may = operation->says | SAYS(MOAT_NO_MEMORY) | SAYS(MOAT_COMMIT_LIMIT);
    unsigned differ = operation->is & OP_TRAPS ? MAY_TRAP : 0;

    if (operation->is & OP_TRAPS && operation->is & OP_EMPTIES)
        differ |= MAY_EMPTY;

    if (goes_on())
        differ |= MAY_PROTECT | (operation->is & OP_OPENS ? MAY_COMMIT : 0u);

    if (operation->is & OP_SUCCEEDS || !(may & SAYS(status)))
        wrong("refused with %s: %s", moat_status_describe(status)->name, moat_last_error_text());
    check_text(status);
    if (operation->is & OP_STEPS)
        return;
    if (!compare_same(&before, &after, differ | unavoidable()))
        found("refused, but");
}

/* What was done is what is done undisturbed. */
static void check_done(const struct snapshot *now) {
    unsigned is = the_trial->operation->is, differ = unavoidable();

    if (!compare_fresh(&before, now))
        found("done, but");
    if (is & (OP_STEPS | OP_WEAKER))
        return;
    differ |= is & OP_ANYWHERE ? MAY_MOVE : 0;
    differ |= is & OP_EMPTIES ? MAY_EMPTY : 0;
    if (!compare_same(&shared->after, now, differ))
        found("done, but not as ever");
}

void end_child(void) {
    steps_disarm();
    look(&later, the_manager);
    compare_moment(&later, "in the child");
    _exit(EXIT_SUCCESS);
}

void await_child(int child) {
    int state;
    while (waitpid(child, &state, 0) < 0 && errno == EINTR)
        continue;
    if (!WIFEXITED(state))
        wrong("the child ended with signal %d", WTERMSIG(state));
    if (WEXITSTATUS(state) != EXIT_SUCCESS)
        end(false); /* it has said why */
    errno = NO_ERRNO;
}

static enum moat_status act(void) {
    steps_arm(the_trial->plans);
    errno = NO_ERRNO;
    enum moat_status status = the_trial->operation->act();
    int error = errno;
    steps_disarm();
    if (error != NO_ERRNO)
        wrong("errno of the caller is %s now", errno_name(error));
    if (steps->unknown)
        wrong("%s with %#lx has no row in calls.c", steps->unknown,
              (unsigned long)steps->unknown_argument);
    return status;
}

/* A region from birth to end, with content. */
static void live(struct moat_manager *manager, size_t pages) {
    size_t size = pages * PAGE;
    void *base;
    uint32_t old;

    must(moat_reserve(manager, NULL, size, RW, 0, &base));
    must(moat_commit(manager, base, size, RW, NULL));
    for (size_t at = 0; at < size; at += PAGE) {
        if (*(volatile uint64_t *)((char *)base + at) != 0)
            wrong("in the life after it, a fresh page is not zero");
        memset((char *)base + at, 'l', PAGE);
    }
    must(moat_protect(manager, base, 2 * PAGE, MOAT_PAGE_READONLY, &old));
    must(moat_decommit(manager, (char *)base + PAGE, (pages - 2) * PAGE));
    must(moat_commit(manager, (char *)base + PAGE, (pages - 1) * PAGE, RW, NULL));
    if (*((volatile char *)base + PAGE) != 0 || *(volatile char *)base != 'l')
        wrong("in the life after it, content is wrong");
    must(moat_release(manager, base));
}

/* The end: the manager goes, a new one comes and goes, and nothing is left of either. */
static void end_all(void) {
    if (the_trial->operation->finish)
        the_trial->operation->finish();
    if (the_manager) {
        live(the_manager, 7);
        moat_manager_destroy(the_manager);
    }
    for (unsigned i = 0; i < 2; i++) {
        struct moat_manager *manager = manager_of(the_trial->options);
        live(manager, 7);
        if (i == 0) {
            live(manager, 80);
            look(&later, manager);
            compare_moment(&later, "in the next manager's life");
        }
        moat_manager_destroy(manager);
    }
    look(&later, NULL);
    compare_moment(&later, "at the end");
    if (later.record_count != 0 && !(disturbed() && (the_trial->operation->is & OP_LEAVES)))
        wrong("%zu regions are left, at %#lx first", later.record_count,
              (unsigned long)later.records[0].base);
}

/* What could not be unmapped stands in the way of who wants exactly that place. */
static void repeat(void) {
    const struct operation *operation = the_trial->operation;
    bool stranded = after.stats.stranded_bytes > before.stats.stranded_bytes;

    if (operation->is & OP_ONCE)
        return;
    enum moat_status status = operation->act();
    if (stranded && status == MOAT_INVALID_ADDRESS) {
        end_all();
        end(true);
    }
    must(status);
}

static void run(void) {
    const struct operation *operation = the_trial->operation;

    (void)dup2(quiet, STDERR_FILENO);
    kernel_mappings(&strangers, false);
    if (!(operation->is & OP_BARE))
        the_manager = manager_of(the_trial->options);
    if (operation->prepare)
        operation->prepare();
    look(&before, the_manager);
    if (!disturbed())
        compare_moment(&before, "before it");
    enum moat_status status = act();
    look(&after, the_manager);
    shared->verdict.refused = status != MOAT_OK;
    compare_moment(&after, status ? "refused" : "done");
    if (!disturbed()) {
        must(status);
        memcpy(&shared->before, &before, sizeof before);
        memcpy(&shared->after, &after, sizeof after);
    } else if (status) {
        check_refusal(status);
        repeat();
        look(&after, the_manager);
        compare_moment(&after, "repeated");
    }
    if (!(status && (operation->is & OP_ONCE)))
        check_done(&after);
    end_all();
    end(true);
}

const struct verdict *trial_run(const struct trial *trial) {
    struct verdict *verdict = &shared->verdict;
    int state;

    *verdict = (struct verdict){0};
    pid_t child = fork();
    if (child == 0) {
        alarm(SECONDS_MAX);
        the_trial = trial;
        run();
    }
    while (waitpid(child, &state, 0) < 0 && errno == EINTR)
        continue;
    if (!WIFEXITED(state) || (!verdict->good && verdict->text[0] == '\0')) {
        verdict->good = false;
        snprintf(verdict->text, sizeof verdict->text, "the process ended with %s %d",
                 WIFSIGNALED(state) ? "signal" : "code",
                 WIFSIGNALED(state) ? WTERMSIG(state) : WEXITSTATUS(state));
    }
    return verdict;
}
