/* SPDX-License-Identifier: MIT */
/*
 * fault_report_host: the fault reporter beside handlers and functions of the host, beside guards
 * that go off, and after it was removed. A violation is told once, and then the signal goes on.
 */
#define _GNU_SOURCE
#include "support/expect_text.h"

#include <moat/fault.h>
#include <moat/report.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RW MOAT_PAGE_READWRITE

#define BY       "  by thread # at death_fault_report_host+# (touch_byte), pc #\n"
#define RESERVED "  reserved #.# s ago by thread # at death_fault_report_host+# (must_reserve)\n"

static void past_the_end(const struct scene *scene) {
    touch_byte(must_reserve(scene->manager, GRANULE, true) + GRANULE + 15, TOUCH_WRITE);
}

static const char past_the_end_text[] =
    "moat: trap: write 16 bytes past the end of a region\n" BY
    "  # is 16 bytes past the end of a region of 65536 bytes [#, #)\n" RESERVED
    "  hint: an index or a length is too large, by that much or more\n";

static unsigned char *protected(const struct scene *scene, uint32_t protection) {
    unsigned char *base = must_reserve(scene->manager, GRANULE, true);
    uint32_t old;
    must(moat_protect(scene->manager, base, PAGE, protection, &old) == MOAT_OK, "protect");
    return base;
}

static void host_handler(int number, siginfo_t *info, void *context) {
    static const char word[] = "host\n";
    (void)number;
    (void)info;
    (void)context;
    if (write(STDERR_FILENO, word, sizeof word - 1) < 0)
        _exit(1);
    _exit(HANDLED);
}

static void handle(void (*handler)(int, siginfo_t *, void *)) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    must(sigaction(SIGSEGV, &action, NULL) == 0, "sigaction");
}

static struct moat_manager *reporting_manager(void) {
    struct moat_options options;
    struct moat_manager *manager;
    moat_options_init(&options);
    options.faults = MOAT_FAULTS_REPORT;
    must(moat_manager_create(&options, &manager) == MOAT_OK, "manager");
    return manager;
}

static void before_the_host(const struct scene *scene) {
    (void)scene;
    handle(host_handler);
    const struct scene own = {.manager = reporting_manager()};
    past_the_end(&own);
}

#define PAST_THE_END_AND_HOST                                                                      \
    "moat: trap: write 16 bytes past the end of a region\n" BY                                     \
    "  # is 16 bytes past the end of a region of 65536 bytes [#, #)\n" RESERVED                    \
    "  hint: an index or a length is too large, by that much or more\nhost\n"

/* A handler of the host that asks, without Moat's. Then of the same access there is no more. */
static void asking_handler(int number, siginfo_t *info, void *context) {
    if (!moat_fault_report(number, info, context) || moat_fault_report(number, info, context))
        _exit(2);
    host_handler(number, info, context);
}

static void asked_by_the_host(const struct scene *scene) {
    handle(asking_handler);
    past_the_end(scene);
}

/* A handler that comes back has the access repeated, for ever: three times here. */
static void patient_handler(int number, siginfo_t *info, void *context) {
    static unsigned times;
    if (++times == 3)
        host_handler(number, info, context);
}

static void told_once(const struct scene *scene) {
    (void)scene;
    handle(patient_handler);
    const struct scene own = {.manager = reporting_manager()};
    past_the_end(&own);
}

/* Guards go off beside the reporter, whichever of the two was there first. */
static void beside_guards(const struct scene *scene) {
    must(moat_fault_handler_install(NULL, NULL) == MOAT_OK, "handler");
    touch_byte(protected(scene, RW | MOAT_PAGE_GUARD) + 3, TOUCH_WRITE);
    past_the_end(scene);
}

static void after_guards(const struct scene *scene) {
    must(moat_fault_handler_install(NULL, NULL) == MOAT_OK, "handler");
    must(moat_fault_reporter_install(NULL) == MOAT_OK, "reporter");
    touch_byte(protected(scene, RW | MOAT_PAGE_GUARD) + 3, TOUCH_WRITE);
    must(moat_fault_handler_remove() == MOAT_OK, "remove");
    past_the_end(scene);
}

/* A handler of the host's lies between two of Moat's, and each passes on: one report. */
static struct sigaction beneath;

static void passes_on(int number, siginfo_t *info, void *context) {
    beneath.sa_sigaction(number, info, context);
}

static void between(const struct scene *scene) {
    must(sigaction(SIGSEGV, NULL, &beneath) == 0 && (beneath.sa_flags & SA_SIGINFO) != 0,
         "the reporter's handler");
    handle(passes_on);
    must(moat_fault_handler_install(NULL, NULL) == MOAT_OK, "handler");
    touch_byte(protected(scene, RW | MOAT_PAGE_GUARD) + 3, TOUCH_WRITE);
    past_the_end(scene);
}

static void removed(const struct scene *scene) {
    must(moat_fault_reporter_remove() == MOAT_OK, "remove");
    must(moat_fault_reporter_remove() == MOAT_INVALID_ARGUMENT, "twice");
    past_the_end(scene);
}

static int own_context;

static void told(const struct moat_finding *finding, void *context) {
    static const char word[] = "told: ";
    if (finding->kind != MOAT_FOUND_TRAP || finding->status != MOAT_OK ||
        finding->length != strlen(finding->text) || context != &own_context ||
        write(STDERR_FILENO, word, sizeof word - 1) < 0 ||
        write(STDERR_FILENO, finding->text, strcspn(finding->text, "\n") + 1) < 0)
        _exit(1);
}

static void told_to_a_function(const struct scene *scene) {
    struct moat_options options;
    struct moat_manager *manager;
    (void)scene;
    moat_options_init(&options);
    options.faults = MOAT_FAULTS_REPORT;
    options.report_function = told;
    options.report_context = &own_context;
    must(moat_manager_create(&options, &manager) == MOAT_OK, "manager");
    const struct scene own = {.manager = manager};
    past_the_end(&own);
}

/* Who was to be told is gone, and so may be his function. */
static void told_to_nobody_s_function(const struct scene *scene) {
    struct moat_options options;
    struct moat_manager *manager;
    (void)scene;
    moat_options_init(&options);
    options.faults = MOAT_FAULTS_REPORT;
    options.report_function = told;
    must(moat_manager_create(&options, &manager) == MOAT_OK, "manager");
    unsigned char *base = must_reserve(manager, GRANULE, true);
    moat_manager_destroy(manager);
    touch_byte(base, TOUCH_READ);
}

static const char released_with_its_manager_text[] =
    "moat: trap: read after release\n" BY
    "  # is at offset 0 of a region of 65536 bytes [#, #), which was released\n" RESERVED
    "  released #.# s ago by thread # at death_fault_report_host+# (*)\n"
    "  hint: the pointer outlived its region: who kept it?\n";

int main(void) {
    expect_text("faults=report", beside_guards, past_the_end_text, KILLED);
    expect_text("faults=report", after_guards, past_the_end_text, KILLED);
    expect_text("faults=report", between, past_the_end_text, KILLED);
    expect_text("faults=report", removed, "", KILLED);
    expect_text("faults=silent", past_the_end, "", KILLED);
    expect_text("faults=report,report=off", past_the_end, "", KILLED);
    expect_text("", before_the_host, PAST_THE_END_AND_HOST, HANDLED);
    expect_text("", asked_by_the_host, PAST_THE_END_AND_HOST, HANDLED);
    expect_text("", told_once, PAST_THE_END_AND_HOST, HANDLED);
    expect_text("", told_to_a_function,
                "told: moat: trap: write 16 bytes past the end of a region\n", KILLED);
    expect_text("", told_to_nobody_s_function, released_with_its_manager_text, KILLED);
    return end_texts();
}
