/* SPDX-License-Identifier: MIT */
/*
 * misused: a child process misuses one call, and its parent compares everything that it could
 * notice: the code, the error text, the report, what the host's function is told, how the process
 * ends, and that nothing else has changed.
 *
 * A deed is played under misuse=fail, report and abort, on each face that it names. It says in
 * `struct expected` what has to come of it. In expected texts `#` stands for any decimal number,
 * and `@` for whatever is left of the line.
 */
#ifndef MOAT_TESTS_MISUSE_MISUSED_H
#define MOAT_TESTS_MISUSE_MISUSED_H

#include <moat/moat.h>
#include <moat/report.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGE = MOAT_PAGE_BYTES, GRANULE = 65536 };

#define RW MOAT_PAGE_READWRITE

/* The faces of Moat, as a set. */
enum { NATIVE = 1, WIN32 = 2, COM = 4, ALL = NATIVE | WIN32 | COM };

/* A face in use. Its calls return what the face calls a failure: a status, the last error, or an
 * HRESULT; 0 is success on all of them. */
struct face {
    struct moat_manager *manager;
    uint32_t (*release)(void *address);
    uint32_t (*decommit)(void *address, size_t size);
    uint32_t (*protect)(void *address, size_t size, uint32_t protection);
    uint32_t (*free_type)(void *address, size_t size, uint32_t type); /* NULL: there is none */
    uint32_t (*heap_free)(void *block);                               /* NULL: there is none */
    void *(*heap_alloc)(size_t size);
};

/* Facts that a report has besides what every report has. */
enum { RESERVED = 1, RELEASED = 2, DECOMMITTED = 4 };

/* What has to come of the deed. */
struct expected {
    enum moat_finding_kind kind;
    enum moat_status status;
    uint32_t win32;
    uint32_t hresult;
    const char *call;
    const void *address;
    size_t size; /* as the report has it; NO_SIZE: it has none */
    unsigned facts;
    const void *base; /* of the region in the report; NULL: none */
    size_t length;
    const char *text;   /* as another thread read it; NULL: it is the caller's */
    char sentence[512]; /* behind "<call> at <address>: " */
};

#define NO_SIZE SIZE_MAX

/* Say what has to come: the finding and its codes, the call, the region, and the words (a format).
 */
void expect(struct expected *expected, enum moat_finding_kind kind, enum moat_status status,
            uint32_t win32, uint32_t hresult, const char *call, const void *address, size_t size);
void about(struct expected *expected, unsigned facts, const void *base, size_t length);
void say(struct expected *expected, const char *sentence, ...)
    __attribute__((format(printf, 2, 3)));

/* The codes of a failure: native, Win32, COM. */
#define NOT_OURS      MOAT_NOT_OURS, 487, 0x80131022u
#define INVALID       MOAT_INVALID_ARGUMENT, 87, 0x80070057u
#define WRONG_ADDRESS MOAT_INVALID_ADDRESS, 487, 0x800701E7u
#define LEAVES        MOAT_LEAVES_REGION, 87, 0x80070057u
#define NOT_OWNER     MOAT_NOT_OWNER, 288, 0x80131025u
#define SUCCESS       MOAT_OK, 0, 0

static inline unsigned long number(const void *address) {
    return (unsigned long)(uintptr_t)address;
}

/* Set a scene, say in *expected what has to come, do the deed; returns what the call returned. */
struct deed {
    const char *name;
    unsigned faces;
    uint32_t (*act)(const struct face *face, struct expected *expected);
    bool in_thread;    /* not in the first one of the process */
    const char *words; /* more options, behind a comma; NULL: none */
};

#define DEED(function, faces)                                                                      \
    { #function, faces, function, false, NULL }

/* Play all deeds; the exit status of a test. */
int play(struct deed *deeds, size_t count);

/* --- For deeds --- */

/* Three pages or more of a region, committed and filled; what it has to be after the deed. */
unsigned char *region(const struct face *face, size_t size);

/* The same, not committed, at `at` unless that is NULL. */
unsigned char *reserved(const struct face *face, void *at, size_t size);

/* What must hold of a scene; else the deed has failed. */
void must(bool holds, const char *what);

/* Whether text is as expected, `#` and `@` as above. */
bool is_like(const char *text, const char *expected);

#endif
