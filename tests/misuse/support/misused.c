/* SPDX-License-Identifier: MIT */
/* misused: one process a deed, policy and face; what it noticed comes back in shared memory. */
#define _GNU_SOURCE
#include "misused.h"

#include "faces.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REGIONS_MAX = 4 };

/* What the child noticed. */
struct outcome {
    struct expected expected;
    bool returned; /* from the call */
    bool intact;   /* and everything was as before */
    uint32_t code;
    unsigned findings;
    enum moat_finding_kind kind;
    enum moat_status status;
    const void *address;
    char text[512];
    char report[MOAT_REPORT_SIZE];
    char abort_text[MOAT_REPORT_SIZE];
    char broken[128]; /* why the scene could not be set */
};

static struct outcome *outcome;
static unsigned played, failed;

static struct {
    unsigned char *base;
    size_t size;
} regions[REGIONS_MAX];
static unsigned region_count;

void must(bool holds, const char *what) {
    if (holds)
        return;
    snprintf(outcome->broken, sizeof outcome->broken, "%s: %.80s", what, moat_last_error_text());
    _exit(3);
}

void expect(struct expected *expected, enum moat_finding_kind kind, enum moat_status status,
            uint32_t win32, uint32_t hresult, const char *call, const void *address, size_t size) {
    expected->kind = kind;
    expected->status = status;
    expected->win32 = win32;
    expected->hresult = hresult;
    expected->call = call;
    expected->address = address;
    expected->size = size;
}

void about(struct expected *expected, unsigned facts, const void *base, size_t length) {
    expected->facts = facts;
    expected->base = base;
    expected->length = length;
}

void say(struct expected *expected, const char *sentence, ...) {
    va_list list;
    va_start(list, sentence);
    vsnprintf(expected->sentence, sizeof expected->sentence, sentence, list);
    va_end(list);
}

unsigned char *reserved(const struct face *face, void *at, size_t size) {
    void *base;
    must(moat_reserve(face->manager, at, size, RW, 0, &base) == MOAT_OK, "reserve");
    return base;
}

unsigned char *region(const struct face *face, size_t size) {
    void *base;
    must(region_count < REGIONS_MAX, "too many regions");
    must(moat_reserve(face->manager, NULL, size, RW, MOAT_RESERVE_COMMIT, &base) == MOAT_OK,
         "reserve");
    memset(base, 0x5A, size);
    regions[region_count].base = base;
    regions[region_count++].size = size;
    return base;
}

/* Every region that lives is what it was, and can still be used. */
static bool is_intact(const struct face *of, bool call_succeeded) {
    struct moat_page_info info;

    for (unsigned i = 0; i < region_count && !call_succeeded; i++) {
        if (moat_query(regions[i].base, &info) != MOAT_OK || info.state == MOAT_STATE_FREE)
            continue;
        if (info.state != MOAT_STATE_COMMITTED || info.size != regions[i].size ||
            info.protection != RW)
            return false;
        for (size_t at = 0; at < regions[i].size; at++)
            if (regions[i].base[at] != 0x5A)
                return false;
    }
    void *fresh;
    if (moat_reserve(of->manager, NULL, GRANULE, RW, MOAT_RESERVE_COMMIT, &fresh) != MOAT_OK)
        return false;
    *(char *)fresh = 1;
    return moat_release(of->manager, fresh) == MOAT_OK;
}

/* The host's function does what a host may do, and must leave no trace of it. */
static void on_finding(const struct moat_finding *finding, void *context) {
    struct outcome *told = context;

    told->findings++;
    told->kind = finding->kind;
    told->status = finding->status;
    told->address = finding->address;
    if (finding->length == strlen(finding->text))
        memcpy(told->report, finding->text, finding->length + 1);
    (void)!moat_commit(NULL, NULL, 0, 0, NULL);
}

static void on_abort(int number) {
    memcpy(outcome->abort_text, moat_abort_text, sizeof outcome->abort_text);
    signal(number, SIG_DFL);
    raise(number);
}

static struct face face;

static void *act(void *deed) {
    outcome->code = ((const struct deed *)deed)->act(&face, &outcome->expected);
    outcome->returned = true;
    const char *text = outcome->expected.text;
    snprintf(outcome->text, sizeof outcome->text, "%s", text ? text : moat_last_error_text());
    outcome->intact = is_intact(&face, outcome->code == 0);
    return NULL;
}

static void perform(struct deed *deed, unsigned which, const char *policy, int said) {
    struct rlimit none = {0, 0};
    bool own_function = which != WIN32;
    pthread_t thread;

    setrlimit(RLIMIT_CORE, &none);
    dup2(said, STDERR_FILENO);
    signal(SIGABRT, on_abort);
    face_open(&face, which, policy, deed->words, own_function ? on_finding : NULL, outcome);
    if (deed->in_thread) {
        must(pthread_create(&thread, NULL, act, deed) == 0, "thread");
        pthread_join(thread, NULL);
    } else {
        act(deed);
    }
    _exit(0);
}

bool is_like(const char *text, const char *expected) {
    for (; *expected; expected++) {
        if (*expected == '#') {
            if (*text < '0' || *text > '9')
                return false;
            text += strspn(text, "0123456789");
        } else if (*expected == '@') {
            if (*text == '\n' || !*text)
                return false;
            text += strcspn(text, "\n");
        } else if (*text++ != *expected) {
            return false;
        }
    }
    return !*text;
}

/* The report, from what was expected of the deed. */
static void compose(const struct expected *expected, char *report, size_t room) {
    size_t length =
        (size_t)snprintf(report, room, "moat: %s: %s at %#lx: %s\n  in %s, address %#lx, ",
                         moat_finding_name(expected->kind), expected->call,
                         (unsigned long)(uintptr_t)expected->address, expected->sentence,
                         expected->call, (unsigned long)(uintptr_t)expected->address);
    if (expected->size != NO_SIZE)
        length += (size_t)snprintf(report + length, room - length, "size %zu, ", expected->size);
    length += (size_t)snprintf(report + length, room - length, "by thread # at @\n  ");
    if (expected->status)
        length +=
            (size_t)snprintf(report + length, room - length,
                             "refused with %s, Win32 error %u, HRESULT %#x; nothing has changed\n",
                             moat_status_describe(expected->status)->name,
                             moat_status_describe(expected->status)->win32_error,
                             moat_status_describe(expected->status)->hresult);
    else
        length +=
            (size_t)snprintf(report + length, room - length, "not refused: the call goes on\n");
    if (expected->base)
        length +=
            (size_t)snprintf(report + length, room - length, "  the region of %zu bytes at %#lx\n",
                             expected->length, (unsigned long)(uintptr_t)expected->base);
    static const char *const lines[] = {"reserved", "released", "decommitted"};
    for (unsigned i = 0; i < 3; i++)
        if (expected->facts & 1u << i)
            length += (size_t)snprintf(report + length, room - length,
                                       "  %s #.# s ago by thread # at @\n", lines[i]);
}

static const char *face_name(unsigned which) {
    return which == NATIVE ? "native" : which == WIN32 ? "win32" : "com";
}

static void check(const struct deed *deed, unsigned which, const char *policy, bool holds,
                  const char *claim, const char *seen, const char *wanted) {
    if (holds)
        return;
    failed++;
    fprintf(stderr, "FAIL %s, %s, misuse=%s: %s\n--- seen\n%s\n--- wanted\n%s\n---\n", deed->name,
            face_name(which), policy, claim, seen, wanted);
}

static uint32_t code_of(const struct expected *expected, unsigned which) {
    return which == NATIVE  ? (uint32_t)expected->status
           : which == WIN32 ? expected->win32
                            : expected->hresult;
}

static void judge(const struct deed *deed, unsigned which, const char *policy, int status,
                  const char *said) {
    const struct expected *expected = &outcome->expected;
    char report[2 * MOAT_REPORT_SIZE], text[700], number[2][32];
    bool quiet = strcmp(policy, "fail") == 0, dies = strcmp(policy, "abort") == 0;
    bool told = which != WIN32; /* to the host's function; else to standard error */

#define CHECK(holds, claim, seen, wanted) check(deed, which, policy, holds, claim, seen, wanted)
    CHECK(!outcome->broken[0], "the scene is set", outcome->broken, "");
    compose(expected, report, sizeof report);
    snprintf(text, sizeof text, "%s at %#lx: %s", expected->call,
             (unsigned long)(uintptr_t)expected->address, expected->sentence);
    if (dies) {
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "dies by SIGABRT", said, "");
        CHECK(!outcome->returned, "the call does not return", "", "");
        CHECK(is_like(outcome->abort_text, report), "the report is kept", outcome->abort_text,
              report);
    } else {
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the process goes on", said, "");
        snprintf(number[0], sizeof number[0], "%#x", outcome->code);
        snprintf(number[1], sizeof number[1], "%#x", code_of(expected, which));
        CHECK(outcome->code == code_of(expected, which), "the code", number[0], number[1]);
        if (expected->status)
            CHECK(is_like(outcome->text, text), "the text", outcome->text, text);
        CHECK(outcome->intact, "nothing has changed", "", "");
    }
    if (quiet || !told)
        CHECK(outcome->findings == 0, "the host's function is not called", outcome->report, "");
    if (quiet || told)
        CHECK(!said[0], "nothing on standard error", said, "");
    if (!quiet && !told)
        CHECK(is_like(said, report), "the report on standard error", said, report);
    if (!quiet && told) {
        CHECK(outcome->findings == 1, "the host's function is called once", "", "");
        CHECK(is_like(outcome->report, report), "the report", outcome->report, report);
        CHECK(outcome->kind == expected->kind && outcome->status == expected->status &&
                  outcome->address == expected->address,
              "what is told besides", "", "");
    }
#undef CHECK
}

static void play_one(struct deed *deed, unsigned which, const char *policy) {
    char said[2 * MOAT_REPORT_SIZE];
    int status, file = memfd_create("stderr", 0);

    memset(outcome, 0, sizeof *outcome);
    fflush(stderr);
    pid_t child = fork();
    if (child < 0 || file < 0)
        abort();
    if (child == 0)
        perform(deed, which, policy, file);
    if (waitpid(child, &status, 0) != child)
        abort();
    ssize_t length = pread(file, said, sizeof said - 1, 0);
    said[length > 0 ? length : 0] = '\0';
    close(file);
    played++;
    judge(deed, which, policy, status, said);
}

int play(struct deed *deeds, size_t count) {
    static const char *const policies[] = {"fail", "report", "abort"};

    outcome =
        mmap(NULL, sizeof *outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (outcome == MAP_FAILED)
        abort();
    for (size_t i = 0; i < count; i++)
        for (unsigned which = NATIVE; which <= COM; which *= 2)
            for (unsigned policy = 0; policy < 3; policy++)
                if (deeds[i].faces & which)
                    play_one(&deeds[i], which, policies[policy]);
    printf("%u deeds played, %u claims not held\n", played, failed);
    return failed == 0 && played > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
