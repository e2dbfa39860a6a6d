/* SPDX-License-Identifier: MIT */
/*
 * fault_report: what trapped, where, and whose fault it may be.
 *
 * Everything here runs in signal handlers, perhaps on a small stack, perhaps while this very thread
 * stands anywhere in Moat: no lock, no wait, no allocation, one text on the stack.
 *
 * Easy to get wrong: a handler that returns has the access repeated, and the fault comes again; so
 * a thread tells of the same access once. What is not Moat's is not told: a report that blames Moat
 * for a null pointer, or for a stack that ran over, would send people the wrong way.
 */
#include "vm/fault_report.h"

#include "base/error_text.h"
#include "vm/describe.h"
#include "vm/manager.h"
#include "vm/report.h"

#include <moat/fault.h>

#include <stdatomic.h>

enum { PLACE_SIZE = 192 };

/* Whose options say where to, when there is no live region; NULL: standard error. */
static _Atomic(struct moat_manager *) speaker;

/* What this thread told of last. */
static _Thread_local struct {
    uintptr_t code;
    uintptr_t address;
    bool within; /* it is finding words now */
} last;

void moat_fault_tell_through(struct moat_manager *manager) {
    struct moat_manager *nobody = NULL;
    /* relaxed: the manager was made by this thread, or handed to it. */
    (void)atomic_compare_exchange_strong_explicit(&speaker, &nobody, manager, memory_order_relaxed,
                                                  memory_order_relaxed);
}

void moat_fault_tell_no_longer(struct moat_manager *manager) {
    /* relaxed: its memory stays books. */
    (void)atomic_compare_exchange_strong_explicit(&speaker, &manager, NULL, memory_order_relaxed,
                                                  memory_order_relaxed);
}

static const char *verb_of(unsigned access) {
    switch (access) {
    case MOAT_OS_READ:
        return "read";
    case MOAT_OS_WRITE:
        return "write";
    case MOAT_OS_EXECUTE:
        return "execution";
    default:
        return "access";
    }
}

/* What is said of an access, and what may be done about it. */
struct sentence {
    const char *what; /* follows the verb */
    const char *hint;
};

/* Pages of heaps are given and taken by the heap alone, and those of a code heap are two views.
 * NULL: there is nothing special about it. */
static const char *hint_in_heap(const struct moat_description *told, unsigned access) {
    if (told->kind != MOAT_ADDRESS_COMMITTED)
        return "no block is there, or one that was freed; of a code heap, or one that is sealed";
    if (access == MOAT_OS_EXECUTE || told->protection == MOAT_PAGE_NOACCESS)
        return "a bad pointer, or a block of a code heap before moat_code_publish";
    if (access == MOAT_OS_WRITE && told->protection == MOAT_PAGE_EXECUTE_READ)
        return "code is written through the write view of its block, not where it is executed";
    return NULL;
}

/* The page is committed, but not for this. */
static struct sentence refused_by(uint32_t protection, unsigned access) {
    const uint32_t writable = MOAT_PAGE_READWRITE | MOAT_PAGE_EXECUTE_READWRITE;
    const uint32_t executable =
        MOAT_PAGE_EXECUTE | MOAT_PAGE_EXECUTE_READ | MOAT_PAGE_EXECUTE_READWRITE;
    const uint32_t readable =
        MOAT_PAGE_READONLY | MOAT_PAGE_EXECUTE | MOAT_PAGE_EXECUTE_READ | writable;

    if (access == MOAT_OS_EXECUTE && !(protection & executable))
        return (struct sentence){"of memory that is not executable (NX)",
                                 "a jump through a bad pointer; or the page wants PAGE_EXECUTE"};
    if (!(protection & readable))
        return (struct sentence){"of a page without access rights",
                                 "it was reserved, committed or protected with PAGE_NOACCESS"};
    if (access == MOAT_OS_WRITE && !(protection & writable))
        return (struct sentence){"to read-only memory",
                                 "the page wants PAGE_READWRITE before it is written"};
    return (struct sentence){"that the page allows",
                             "somebody changed its rights past Moat, or another thread by now"};
}

/* `what` NULL: it is no affair of Moat's. */
static struct sentence sentence_of(const struct moat_description *told, unsigned access) {
    switch (told->kind) {
    case MOAT_ADDRESS_COMMITTED:
        return refused_by(told->protection, access);
    case MOAT_ADDRESS_GUARD_PAGE:
        return (struct sentence){"of a page with its guard armed",
                                 "it goes off once the host installs moat_fault_handler_install"};
    case MOAT_ADDRESS_RESERVED:
        return (struct sentence){"of a page that is not committed",
                                 "commit it before use; or the offset is wrong"};
    case MOAT_ADDRESS_DECOMMITTED:
        return (struct sentence){"after decommit",
                                 "the pages were given back while something still used them"};
    case MOAT_ADDRESS_PLACEHOLDER:
        return (struct sentence){"of a placeholder", "replace it with memory before use"};
    case MOAT_ADDRESS_RELEASED:
        return (struct sentence){"after release", "the pointer outlived its region: who kept it?"};
    case MOAT_ADDRESS_PAST_END:
        return (struct sentence){"past the end of a region",
                                 "an index or a length is too large, by that much or more"};
    case MOAT_ADDRESS_BEFORE_START:
        return (struct sentence){"before the start of a region",
                                 "an index is negative, or the pointer of another region"};
    case MOAT_ADDRESS_HELD:
        return (struct sentence){"far from any region", "the pointer is wild"};
    case MOAT_ADDRESS_BOOKS:
        return (struct sentence){"of Moat's own books", "the pointer is wild"};
    case MOAT_ADDRESS_FOREIGN:
        if (told->earlier_base)
            return (struct sentence){"of a mapping where a region was before",
                                     "the pointer may have outlived that region"};
        break;
    case MOAT_ADDRESS_FREE:
        break;
    }
    return (struct sentence){NULL, NULL};
}

static bool has_live_region(const struct moat_description *told) {
    switch (told->kind) {
    case MOAT_ADDRESS_COMMITTED:
    case MOAT_ADDRESS_GUARD_PAGE:
    case MOAT_ADDRESS_RESERVED:
    case MOAT_ADDRESS_DECOMMITTED:
    case MOAT_ADDRESS_PLACEHOLDER:
    case MOAT_ADDRESS_PAST_END:
    case MOAT_ADDRESS_BEFORE_START:
        return true;
    default:
        return false;
    }
}

static void add_code(struct moat_report_text *report, uintptr_t code) {
    char place[PLACE_SIZE];

    moat_report_add(report, "  by thread %u", moat_os_thread());
    if (code) {
        (void)moat_os_symbol(code, place, sizeof(place));
        moat_report_add(report, " at %s, pc %#lx", place, (unsigned long)code);
    }
    moat_report_add(report, "\n");
}

static void add_description(struct moat_report_text *report, const struct moat_description *told) {
    size_t room = sizeof(report->text) - report->length;
    size_t length = moat_description_print(told, report->text + report->length, room);
    report->length += length < room ? length : room - 1;
}

static void write_report(const struct moat_os_fault *found, const struct moat_description *told,
                         const struct sentence *sentence, struct moat_report_text *report) {
    moat_report_add(report, "moat: trap: %s ", verb_of(found->access));
    if (told->distance)
        moat_report_add(report, "%zu byte%s ", told->distance, told->distance == 1 ? "" : "s");
    moat_report_add(report, "%s\n", sentence->what);
    add_code(report, found->code);
    add_description(report, told);
    moat_report_add(report, "  hint: %s\n", sentence->hint);
}

/* Find out what there is to say. False: nothing. */
static bool explain(const struct moat_os_fault *found, struct moat_description *told,
                    struct moat_report_text *report) {
    if (moat_describe_address((const void *)found->address, told))
        return false;
    struct sentence sentence = sentence_of(told, found->access);
    const char *better = NULL;
    if (told->heap && (told->kind == MOAT_ADDRESS_RESERVED || told->kind == MOAT_ADDRESS_COMMITTED))
        better = hint_in_heap(told, found->access);
    else if (told->earlier_base && told->distance != 0)
        better = "an index or a length is wrong; or the pointer outlived the region before";
    if (better)
        sentence.hint = better;
    if (sentence.what)
        write_report(found, told, &sentence, report);
    return sentence.what != NULL;
}

static bool tell(const struct moat_os_fault *found, const struct moat_description *told,
                 const struct moat_report_text *report) {
    struct moat_options usual;
    /* relaxed: as in moat_fault_tell_through. */
    const struct moat_manager *manager = atomic_load_explicit(&speaker, memory_order_relaxed);

    moat_options_init(&usual);
    if (has_live_region(told))
        manager = told->owner;
    const struct moat_options *options = manager ? moat_manager_options(manager) : &usual;
    if (!moat_report_wanted(options, MOAT_FOUND_TRAP))
        return false;
    moat_report_tell(options, MOAT_FOUND_TRAP, MOAT_OK, found->address, report);
    return true;
}

bool moat_fault_tell(const struct moat_os_fault *found) {
    struct moat_report_text report = {0};
    struct moat_description told;

    if (last.within || (last.code == found->code && last.address == found->address))
        return false;
    last.code = found->code;
    last.address = found->address;
    last.within = true;
    bool known = explain(found, &told, &report);
    /* Before the host's function is called, which may leave by siglongjmp. */
    last.within = false;
    return known && tell(found, &told, &report);
}

bool moat_fault_report(int signal, const void *siginfo, const void *context) {
    struct moat_os_fault found;
    return moat_os_fault_read(signal, siginfo, context, &found) && moat_fault_tell(&found);
}
