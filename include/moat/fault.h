/* SPDX-License-Identifier: MIT */
/*
 * fault: PAGE_GUARD as Win32 has it, a one-shot alarm. The first access to a guard page drops the
 * guard of that page, is told to the host, and goes on.
 *
 * Linux has no such pages: the first access raises SIGSEGV. So somebody must handle that signal,
 * and Moat installs nothing unless it is asked to. Two ways:
 *
 *   moat_fault_handler_install   Moat's handler, in front of the one there is, and a callback
 *   moat_fault_resolve           for hosts with a handler of their own, called from it first;
 *                                moat_guard_fault is the short form of it
 *
 * Without either, an access to a guard page is an access violation. Guards are for pages of
 * regions: in memory that no manager reserved, moat_protect takes the access away, and only
 * another moat_protect gives it back.
 *
 * What does not drop a guard: VirtualQuery, VirtualProtect, MEM_DECOMMIT, and a system call that is
 * given the address (read(2) into a guard page fails with EFAULT and the guard stays armed; on
 * Windows it would be gone). VirtualLock drops it, as on Windows.
 */
#ifndef MOAT_FAULT_H
#define MOAT_FAULT_H

#include <moat/export.h>
#include <moat/status.h>

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct moat_manager;

/* What happened. */
enum moat_fault_kind {
    MOAT_FAULT_NONE,       /* nothing to tell: the access is allowed by now, or is a violation */
    MOAT_FAULT_GUARD_PAGE, /* an armed guard was touched, and is dropped */
};

/* What was tried. Known on x86-64 and AArch64. */
enum moat_fault_access {
    MOAT_FAULT_UNKNOWN,
    MOAT_FAULT_READ,
    MOAT_FAULT_WRITE,
    MOAT_FAULT_EXECUTE,
};

struct moat_fault {
    enum moat_fault_kind kind;
    enum moat_fault_access access;
    void *address;                    /* the byte that was touched */
    uint32_t protection;              /* of its page from now on: MOAT_PAGE_*, without the guard */
    const struct moat_manager *owner; /* of the region */
};

/*
 * Drop the armed guard of a page.
 *
 *   addr   any address; never read
 *
 * For a host that handles SIGSEGV itself: on 1 it returns from its handler and the access is
 * repeated. Of several threads that touch one guard page at once one is answered 1, and for the
 * others the address alone cannot tell a lost race from a violation: see moat_fault_resolve.
 *
 * Returns   1   the page was an armed guard, and this call dropped it
 *           0   it was not; or the kernel would not give the page its access rights (at
 *               vm.max_map_count, or at the commit limit of vm.overcommit_memory=2, which counts a
 *               page that was never writable only now), or it stayed busy past the deadline: the
 *               guard is still armed
 * Threads   any, at once; async-signal-safe; keeps errno, last error and error text
 * Since     0.2
 * Contract  PAGE_GUARD of VirtualAlloc and VirtualProtect
 */
MOAT_API int moat_guard_fault(void *addr);

/*
 * As moat_guard_fault, with all that a handler knows: enough to tell what to do in every case.
 *
 *   signal    the first argument of the handler
 *   siginfo   the second one, a siginfo_t *
 *   context   the third one, a ucontext_t *
 *   fault     receives what happened; may be NULL. Its kind is MOAT_FAULT_GUARD_PAGE when this call
 *             dropped a guard
 *
 * Returns   true    return from the handler, so that the access is repeated: a guard was dropped
 *                   here, or the page allows this access by now, because another thread dropped its
 *                   guard or changed its protection
 *           false   nothing of Moat's: a violation, or not a fault of memory at all. Also when the
 *                   guard cannot be dropped, as for moat_guard_fault
 * An access that goes on failing though Moat's books allow it (somebody else changed the rights) is
 * answered false after at most 1000 repeats in a row. Where the machine does not tell what was
 * tried, the loser of a race for one guard is answered true only on pages that allow everything.
 *
 * Waits for a call of another thread on the same stripe of the region, at most for the timeout of
 * its manager; not for a lock of the region (<moat/lock.h>), which keeps out calls and no accesses.
 * A handler that interrupted Moat while it worked on the very stripe that its own access needs is
 * answered false at once.
 *
 * Threads   any, at once; async-signal-safe; keeps errno, last error and error text
 * Since     0.2
 * Contract  PAGE_GUARD of VirtualAlloc and VirtualProtect
 */
MOAT_API bool moat_fault_resolve(int signal, const void *siginfo, const void *context,
                                 struct moat_fault *fault);

/*
 * Handle SIGSEGV, in front of the handler that is installed now.
 *
 *   callback   called in the thread that touched a guard, on the stack of the handler, after the
 *              guard was dropped and before the access is repeated; NULL: nobody is told
 *   context    passed to it
 *
 * What is not an access to a guard page goes to the handler that was there before: with SA_SIGINFO
 * or without, and with its signal mask and SA_RESETHAND observed. Where that is SIG_DFL the default
 * is restored and the access repeated, so that a core dump shows the place where it happened.
 * SIG_IGN counts as SIG_DFL for faults, as it does to the kernel; a SIGSEGV sent by kill(2) it
 * ignores. The handler runs on the alternate signal stack of the thread, where there is one, and so
 * does the handler before it. It keeps errno, the thread's last error and its error text.
 *
 * The callback is called with nothing held: it may call Moat, on the same region too, if the code
 * that was interrupted was not itself inside Moat or another function that is not reentrant, which
 * the host knows. It may touch other guard pages, and may leave by siglongjmp. Another thread may
 * use the page before the callback returns.
 *
 * A handler installed over this one must pass on what it does not know, as usual; or it calls
 * moat_fault_resolve.
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   it is installed already
 *           MOAT_TIMEOUT            another thread is installing or removing it at this moment
 *           MOAT_NOT_SUPPORTED      signals cannot be handled here; or it lies beneath handlers of
 *                                   others four times over, and was removed each time
 * After a failure nothing has changed.
 * Threads   any
 * Since     0.2
 * Contract  STATUS_GUARD_PAGE_VIOLATION, as a vectored exception handler sees it
 */
MOAT_API MOAT_CHECKED enum moat_status moat_fault_handler_install(
    void (*callback)(const struct moat_fault *fault, void *context), void *context);

/*
 * Restore the handler that was there before.
 *
 * It stays if the fault reporter, below, wants it, and tells nobody of guards any more. If
 * another handler has been installed over Moat's, that one stays, and Moat's remains beneath it
 * and passes everything on. A callback that runs in another thread at this moment runs to its end.
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   it is not installed
 *           MOAT_TIMEOUT            another thread is installing or removing it at this moment
 * Threads   any
 * Since     0.2
 */
MOAT_API MOAT_CHECKED enum moat_status moat_fault_handler_remove(void);

/*
 * Report accesses that trap: one block of text (<moat/report.h>, MOAT_FOUND_TRAP) that says what
 * was tried, by which code, in which region and page (<moat/describe.h>), who reserved that, who
 * gave it back and when.
 *
 *   manager   whose options say where to, for what concerns no live region; of several that are
 *             given one after the other the first one counts, until it is destroyed. NULL: standard
 *             error. What concerns a live region is told where the options of its manager say
 *
 * The same as the option faults=report of a manager. Handles SIGSEGV as moat_fault_handler_install
 * does, with which it can be combined in any order: what a guard, or a page that allows the access
 * by now, explains is not reported. Installed already, it stays where it is. After the report the
 * signal goes on to the handler that was there before, so that
 * core dumps and crash reporters of others work as they did.
 *
 * Not reported are accesses that have nothing to do with regions, as of null pointers or by stacks
 * that ran over, and a second try of the same access by the same thread. Where the alternate signal
 * stack is used (sigaltstack), 8 KiB above what the kernel needs itself are enough.
 *
 * Returns   MOAT_OK
 *           MOAT_TIMEOUT         another thread is installing or removing a handler at this moment
 *           MOAT_NOT_SUPPORTED   as moat_fault_handler_install
 * After a failure nothing has changed.
 * Threads   any
 * Since     0.3
 */
MOAT_API MOAT_CHECKED enum moat_status moat_fault_reporter_install(struct moat_manager *manager);

/*
 * Report no longer. The handler stays if moat_fault_handler_install wants it.
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   it is not installed
 *           MOAT_TIMEOUT            as above
 * Threads   any
 * Since     0.3
 */
MOAT_API MOAT_CHECKED enum moat_status moat_fault_reporter_remove(void);

/*
 * Report an access that trapped, for hosts with a handler of their own; after moat_fault_resolve
 * answered false, where guards are used.
 *
 *   signal    the first argument of the handler
 *   siginfo   the second one, a siginfo_t *
 *   context   the third one, a ucontext_t *
 *
 * Nothing has to be installed. It goes where moat_fault_reporter_install says, or would.
 *
 * Returns   whether a report was made: see above for what is not reported, and report=off
 * Threads   any, at once; async-signal-safe; keeps errno, last error and error text; takes no lock,
 *           waits for nobody and allocates nothing
 * Since     0.3
 */
MOAT_API bool moat_fault_report(int signal, const void *siginfo, const void *context);

#ifdef __cplusplus
}
#endif

#endif
