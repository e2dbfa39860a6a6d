/* SPDX-License-Identifier: MIT */
/* guard: two handlers that count, and let the access be repeated. */
#ifndef _WIN32
#define _POSIX_C_SOURCE 200809L
#endif
#include "guard.h"

#include <stdatomic.h>
#include <stdlib.h>

static atomic_uint guards;
static _Thread_local struct touched current;

static void note(unsigned access, uintptr_t address) {
    current.guards++;
    current.access = access;
    current.guard = address;
    atomic_fetch_add(&guards, 1);
}

unsigned guard_count(void) {
    return atomic_load(&guards);
}

#ifdef _WIN32

/* Not setjmp: it would have the jump unwind through the dispatcher of exceptions. */
static _Thread_local void *escape[5];
#define MARK()   __builtin_setjmp(escape)
#define ESCAPE() __builtin_longjmp(escape, 1)

static LONG CALLBACK on_exception(EXCEPTION_POINTERS *pointers) {
    const EXCEPTION_RECORD *record = pointers->ExceptionRecord;
    if (record->ExceptionCode == STATUS_GUARD_PAGE_VIOLATION) {
        note((unsigned)record->ExceptionInformation[0], record->ExceptionInformation[1]);
        return EXCEPTION_CONTINUE_EXECUTION;
    }
    if (record->ExceptionCode == STATUS_ACCESS_VIOLATION)
        ESCAPE();
    return EXCEPTION_CONTINUE_SEARCH;
}

void guard_start(void) {
    if (AddVectoredExceptionHandler(1, on_exception) == NULL)
        abort();
}

#else

#include <moat/fault.h>

#include <setjmp.h>
#include <signal.h>

static _Thread_local sigjmp_buf escape;
#define MARK()   sigsetjmp(escape, 1)
#define ESCAPE() siglongjmp(escape, 1)

static void on_guard(const struct moat_fault *fault, void *context) {
    (void)context;
    note(fault->access == MOAT_FAULT_WRITE     ? ACCESS_WRITE
         : fault->access == MOAT_FAULT_EXECUTE ? ACCESS_EXECUTE
                                               : ACCESS_READ,
         (uintptr_t)fault->address);
}

static void on_violation(int number) {
    (void)number;
    ESCAPE();
}

void guard_start(void) {
    struct sigaction action = {.sa_handler = on_violation};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGSEGV, &action, NULL) != 0 ||
        moat_fault_handler_install(on_guard, NULL) != MOAT_OK)
        abort();
}

#endif

static struct touched touch(volatile BYTE *address, bool write) {
    current = (struct touched){0};
    if (MARK() == 0) {
        if (write)
            *address = 0xA5;
        else
            (void)*address;
    } else {
        current.violated = true;
    }
    return current;
}

struct touched touch_read(const BYTE *address) {
    return touch((BYTE *)(uintptr_t)address, false);
}

struct touched touch_write(BYTE *address) {
    return touch(address, true);
}
