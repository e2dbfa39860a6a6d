/* SPDX-License-Identifier: MIT */
/*
 * status: the one table from a status to its names on every face.
 *
 * The numbers are those of winerror.h and of the hosting interface, written out because neither
 * header exists here. Two statuses may share a code; what is never allowed is a second table.
 */
#include <moat/status.h>

/* Win32 errors. */
enum {
    NOT_ENOUGH_MEMORY = 8,
    BAD_LENGTH = 24,
    GEN_FAILURE = 31,
    NOT_SUPPORTED = 50,
    INVALID_PARAMETER = 87,
    NOT_LOCKED = 158,
    NOT_OWNER = 288,
    INVALID_ADDRESS = 487,
    ABANDONED_WAIT = 735,
    NOACCESS = 998,
    PRIVILEGE_NOT_HELD = 1314,
    INTERNAL_ERROR = 1359,
    NO_SYSTEM_RESOURCES = 1450,
    WORKING_SET_QUOTA = 1453,
    COMMITMENT_LIMIT = 1455,
    TIMED_OUT = 1460,
    DYNAMIC_CODE_BLOCKED = 1655,
};

/* An NT status that has no Win32 error is its own, and its own HRESULT. */
#define GUARD_PAGE_VIOLATION 0x80000001u

/* HRESULTs; FROM_WIN32 is the rule for those that have no name of their own. */
#define FROM_WIN32(error)       (0x80070000u | (error))
#define E_INVALIDARG            FROM_WIN32(INVALID_PARAMETER)
#define E_OUTOFMEMORY           0x8007000Eu
#define E_POINTER               0x80004003u
#define E_FAIL                  0x80004005u
#define HOST_E_INVALIDOPERATION 0x80131022u
#define HOST_E_CLRNOTAVAILABLE  0x80131023u
#define HOST_E_TIMEOUT          0x80131024u
#define HOST_E_NOT_OWNER        0x80131025u
#define HOST_E_ABANDONED        0x80131026u

#define ROW(status, text, win32, hresult) [status] = {#status, text, win32, hresult}

/* clang-format off */
static const struct moat_status_info rows[MOAT_STATUS_COUNT] = {
    ROW(MOAT_OK, "the call succeeded", 0, 0),
    ROW(MOAT_INVALID_ARGUMENT, "an argument that no state could make right",
        INVALID_PARAMETER, E_INVALIDARG),
    ROW(MOAT_INVALID_ADDRESS, "the wrong place, or pages in the wrong state",
        INVALID_ADDRESS, FROM_WIN32(INVALID_ADDRESS)),
    ROW(MOAT_NOT_OURS, "the address is in no region of this manager, or not its base",
        INVALID_ADDRESS, HOST_E_INVALIDOPERATION),
    ROW(MOAT_LEAVES_REGION, "the range runs past the end of its region",
        INVALID_PARAMETER, E_INVALIDARG),
    ROW(MOAT_NO_ACCESS, "a pointer is NULL, or pages have no access", NOACCESS, E_POINTER),
    ROW(MOAT_BAD_LENGTH, "the buffer is too short", BAD_LENGTH, FROM_WIN32(BAD_LENGTH)),
    ROW(MOAT_NO_MEMORY, "no address range, or no memory for one",
        NOT_ENOUGH_MEMORY, E_OUTOFMEMORY),
    ROW(MOAT_COMMIT_LIMIT, "the kernel or a quota refused to back the pages",
        COMMITMENT_LIMIT, E_OUTOFMEMORY),
    ROW(MOAT_MAP_LIMIT, "the kernel has no mapping left to split (vm.max_map_count)",
        NOT_ENOUGH_MEMORY, E_OUTOFMEMORY),
    ROW(MOAT_NOT_SUPPORTED, "this build, kernel or machine cannot do that",
        NOT_SUPPORTED, FROM_WIN32(NOT_SUPPORTED)),
    ROW(MOAT_NO_PRIVILEGE, "no large pages are set aside on this machine",
        PRIVILEGE_NOT_HELD, FROM_WIN32(PRIVILEGE_NOT_HELD)),
    ROW(MOAT_TIMEOUT, "the region or its pages stayed busy past the deadline",
        TIMED_OUT, HOST_E_TIMEOUT),
    ROW(MOAT_NOT_OWNER, "another thread holds the region lock", NOT_OWNER, HOST_E_NOT_OWNER),
    ROW(MOAT_ABANDONED, "the wait was called off, or the thread that held the lock ended",
        ABANDONED_WAIT, HOST_E_ABANDONED),
    ROW(MOAT_UNAVAILABLE, "the runtime was declared unloaded, or corruption was found before",
        INTERNAL_ERROR, HOST_E_CLRNOTAVAILABLE),
    ROW(MOAT_CORRUPT, "the books or the kernel contradict themselves", INTERNAL_ERROR, E_FAIL),
    ROW(MOAT_CONTENT_LOST, "the content of some pages is gone",
        GEN_FAILURE, FROM_WIN32(GEN_FAILURE)),
    ROW(MOAT_NOT_LOCKED, "what is to be unlocked is not locked",
        NOT_LOCKED, FROM_WIN32(NOT_LOCKED)),
    ROW(MOAT_LOCK_LIMIT, "no more pages may be locked in memory (RLIMIT_MEMLOCK)",
        WORKING_SET_QUOTA, FROM_WIN32(WORKING_SET_QUOTA)),
    ROW(MOAT_NO_LARGE_PAGES, "all large pages that were set aside are in use",
        NO_SYSTEM_RESOURCES, E_OUTOFMEMORY),
    ROW(MOAT_GUARD_TOUCHED, "a guard page was in the way, and is none any more",
        GUARD_PAGE_VIOLATION, GUARD_PAGE_VIOLATION),
    ROW(MOAT_CODE_BLOCKED, "the execute policy lets no written memory be executed",
        DYNAMIC_CODE_BLOCKED, FROM_WIN32(DYNAMIC_CODE_BLOCKED)),
};
/* clang-format on */

const struct moat_status_info *moat_status_describe(enum moat_status status) {
    return &rows[(unsigned)status < MOAT_STATUS_COUNT ? status : MOAT_CORRUPT];
}
