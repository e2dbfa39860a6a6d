/* SPDX-License-Identifier: MIT */
/*
 * win32: VirtualAlloc and its family, for sources that were written against <windows.h>.
 *
 * On Windows this is <windows.h>. Elsewhere it declares the same names with the same types and
 * meanings over one manager of the whole process, created on first use (moat_manager_default).
 *
 * Every function may fail with ERROR_INTERNAL_ERROR once corruption was found in the process; where
 * ERROR_TIMEOUT is listed, a wait that is called off ends with ERROR_ABANDONED_WAIT_0 (lock.h).
 * Where MOAT_OPTIONS of the environment is wrong, there is no manager: what needs one fails with
 * ERROR_INVALID_PARAMETER, or ERROR_NOT_SUPPORTED for what this machine does not have. The reason
 * of every failure in words is moat_last_error_text of <moat/moat.h>.
 *
 * Last error: a call that fails sets the thread's last error; a call that succeeds leaves it alone.
 * Output pointers: NULL is answered with ERROR_NOACCESS; a pointer that is wrong in another way
 * faults in the caller, where Windows would answer ERROR_NOACCESS as well.
 * Threads: every function, in any thread, at once. Signals: VirtualQuery, GetLastError and
 * SetLastError are async-signal-safe.
 */
#ifndef MOAT_WIN32_H
#define MOAT_WIN32_H

#include <moat/win32_alloc2.h>
#include <moat/win32_memory.h>
#include <moat/win32_numa.h>
#include <moat/win32_types.h>
#include <moat/win32_watch.h>

/* Parts of the family that came later, for sources that ask by the preprocessor. */
#define MOAT_HAVE_WRITEWATCH    1
#define MOAT_HAVE_VIRTUALALLOC2 1
#define MOAT_HAVE_NUMA          1

#ifndef _WIN32

#include <moat/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Types of allocation and free, states and kinds of pages. */
#define MEM_COMMIT                0x00001000u
#define MEM_RESERVE               0x00002000u
#define MEM_DECOMMIT              0x00004000u
#define MEM_RELEASE               0x00008000u
#define MEM_FREE                  0x00010000u
#define MEM_PRIVATE               0x00020000u
#define MEM_MAPPED                0x00040000u
#define MEM_IMAGE                 0x01000000u
#define MEM_RESET                 0x00080000u
#define MEM_TOP_DOWN              0x00100000u
#define MEM_WRITE_WATCH           0x00200000u
#define MEM_PHYSICAL              0x00400000u
#define MEM_RESET_UNDO            0x01000000u
#define MEM_LARGE_PAGES           0x20000000u
#define MEM_COALESCE_PLACEHOLDERS 0x00000001u
#define MEM_PRESERVE_PLACEHOLDER  0x00000002u

/* Protection of pages. */
#define PAGE_NOACCESS          0x001u
#define PAGE_READONLY          0x002u
#define PAGE_READWRITE         0x004u
#define PAGE_WRITECOPY         0x008u
#define PAGE_EXECUTE           0x010u
#define PAGE_EXECUTE_READ      0x020u
#define PAGE_EXECUTE_READWRITE 0x040u
#define PAGE_EXECUTE_WRITECOPY 0x080u
#define PAGE_GUARD             0x100u
#define PAGE_NOCACHE           0x200u
#define PAGE_WRITECOMBINE      0x400u

/* Last errors that Moat sets. */
#define ERROR_SUCCESS              0u
#define ERROR_NOT_ENOUGH_MEMORY    8u
#define ERROR_BAD_LENGTH           24u
#define ERROR_GEN_FAILURE          31u
#define ERROR_NOT_SUPPORTED        50u
#define ERROR_INVALID_PARAMETER    87u
#define ERROR_NOT_LOCKED           158u
#define ERROR_NOT_OWNER            288u
#define ERROR_INVALID_ADDRESS      487u
#define ERROR_ABANDONED_WAIT_0     735u
#define ERROR_NOACCESS             998u
#define ERROR_PRIVILEGE_NOT_HELD   1314u
#define ERROR_INTERNAL_ERROR       1359u
#define ERROR_NO_SYSTEM_RESOURCES  1450u
#define ERROR_WORKING_SET_QUOTA    1453u
#define ERROR_COMMITMENT_LIMIT     1455u
#define ERROR_TIMEOUT              1460u
#define ERROR_DYNAMIC_CODE_BLOCKED 1655u

#define PROCESSOR_ARCHITECTURE_AMD64   9
#define PROCESSOR_ARCHITECTURE_ARM64   12
#define PROCESSOR_ARCHITECTURE_UNKNOWN 0xFFFF

/* What VirtualQuery tells of a run of equal pages. */
typedef struct _MEMORY_BASIC_INFORMATION {
    PVOID BaseAddress;       /* the queried address, rounded down to a page */
    PVOID AllocationBase;    /* of the reservation; NULL when free */
    DWORD AllocationProtect; /* PAGE_* of the call that reserved; 0 when free */
    SIZE_T RegionSize;       /* bytes from BaseAddress to the end of the run */
    DWORD State;             /* MEM_COMMIT, MEM_RESERVE or MEM_FREE */
    DWORD Protect;           /* PAGE_*; 0 when reserved, PAGE_NOACCESS when free */
    DWORD Type;              /* MEM_PRIVATE, MEM_MAPPED or MEM_IMAGE; 0 when free */
} MEMORY_BASIC_INFORMATION, *PMEMORY_BASIC_INFORMATION;

MOAT_LAYOUT(sizeof(void *) != 8 || sizeof(MEMORY_BASIC_INFORMATION) == 48, "as on Windows x64");
MOAT_LAYOUT(sizeof(void *) != 8 || offsetof(MEMORY_BASIC_INFORMATION, RegionSize) == 24, "padding");
MOAT_LAYOUT(sizeof(void *) != 8 || offsetof(MEMORY_BASIC_INFORMATION, Type) == 40, "order");

/* What GetSystemInfo tells of the machine. */
typedef struct _SYSTEM_INFO {
    __extension__ union {
        DWORD dwOemId; /* obsolete */
        __extension__ struct {
            WORD wProcessorArchitecture; /* PROCESSOR_ARCHITECTURE_* */
            WORD wReserved;
        };
    };
    DWORD dwPageSize;                   /* 4096, as a rule */
    LPVOID lpMinimumApplicationAddress; /* 0x10000 */
    LPVOID lpMaximumApplicationAddress; /* 0x7FFFFFFEFFFF */
    DWORD_PTR dwActiveProcessorMask;    /* one bit a processor, 64 at most */
    DWORD dwNumberOfProcessors;         /* that are online, at least 1 */
    DWORD dwProcessorType;              /* obsolete; 8664 on x86-64, else 0 */
    DWORD dwAllocationGranularity;      /* 65536 */
    WORD wProcessorLevel;               /* not told: 0 */
    WORD wProcessorRevision;            /* not told: 0 */
} SYSTEM_INFO, *LPSYSTEM_INFO;

MOAT_LAYOUT(sizeof(void *) != 8 || sizeof(SYSTEM_INFO) == 48, "as on Windows x64");
MOAT_LAYOUT(sizeof(void *) != 8 || offsetof(SYSTEM_INFO, dwAllocationGranularity) == 40, "order");

/*
 * Reserve pages, commit pages, do both, or say that the content of pages is not needed.
 *
 *   lpAddress          NULL: Moat chooses, and MEM_COMMIT alone reserves as well. Else, to reserve,
 *                      the start rounded down to 64 KiB; to commit or reset, an address of one
 *                      reservation, rounded down to a page
 *   dwSize             bytes, > 0; the end lpAddress + dwSize is rounded up to a page
 *   flAllocationType   MEM_RESERVE, MEM_COMMIT or both; with MEM_RESERVE also MEM_WRITE_WATCH, for
 *                      GetWriteWatch, and MEM_TOP_DOWN, for the highest room there is, which takes
 *                      longer to find (<moat/placement.h>); with both also MEM_LARGE_PAGES, when
 *                      lpAddress and dwSize are multiples of GetLargePageMinimum() and
 *                      MEM_WRITE_WATCH is not there; or MEM_RESET or MEM_RESET_UNDO alone
 *   flProtect          exactly one of PAGE_NOACCESS, READONLY, READWRITE, EXECUTE, EXECUTE_READ and
 *                      EXECUTE_READWRITE, and with any but the first at most one of PAGE_GUARD,
 *                      NOCACHE and WRITECOMBINE; must be valid for MEM_RESET and MEM_RESET_UNDO
 *                      too, which ignore it
 *
 * Committing pages that are committed already keeps their content and changes their protection.
 * Pages that become committed read as zero. After MEM_RESET a page reads as before or as zero until
 * it is written. What large pages allow is told at moat_reserve of <moat/moat.h>.
 *
 * Returns   the start of the reservation, or the page where the commit or reset starts
 *           NULL, with the last error
 *             ERROR_INVALID_PARAMETER    a type, protection or size that no state makes right; a
 *                                        range outside user space or, to reserve, below 64 KiB
 *             ERROR_INVALID_ADDRESS      to reserve: a page in the way; to commit or reset: not
 *                                        inside one reservation
 *             ERROR_NOT_ENOUGH_MEMORY    no room, or the kernel would not split another mapping
 *             ERROR_COMMITMENT_LIMIT     the kernel refused to back the pages, or the quota did
 *             ERROR_PRIVILEGE_NOT_HELD   MEM_LARGE_PAGES, and no large pages are set aside here
 *             ERROR_NO_SYSTEM_RESOURCES  MEM_LARGE_PAGES, and all of them are in use
 *             ERROR_GEN_FAILURE          MEM_RESET_UNDO: some pages have lost their content, or
 *                                        were never written; the others are kept
 *             ERROR_NOACCESS             MEM_RESET_UNDO: a page has no access
 *             ERROR_DYNAMIC_CODE_BLOCKED the option execute=wx, and PAGE_EXECUTE_READWRITE, or a
 *                                        right to execute for a committed page that has none
 *             ERROR_TIMEOUT              the pages stayed busy past the manager's deadline
 * After any other failure nothing has changed.
 *
 * MEM_PHYSICAL is answered with ERROR_INVALID_PARAMETER, as by a Windows that does not know it, and
 * so is MEM_WRITE_WATCH where nothing records writes (<moat/watch.h>): what uses write watch probes
 * for it and does without.
 *
 * Threads   any, at once
 * Since     0.1
 * Contract  learn.microsoft.com, memoryapi.h, VirtualAlloc
 */
MOAT_API LPVOID WINAPI VirtualAlloc(LPVOID lpAddress, SIZE_T dwSize, DWORD flAllocationType,
                                    DWORD flProtect);

/*
 * Give pages back, or a whole reservation.
 *
 *   lpAddress    MEM_DECOMMIT: in a reservation; MEM_RELEASE: in its first page. Never read
 *   dwSize       MEM_DECOMMIT: bytes, the range is rounded out to pages; 0 with an address in the
 *                first page means all. MEM_RELEASE: 0, but for placeholders
 *   dwFreeType   exactly MEM_DECOMMIT or MEM_RELEASE; or MEM_RELEASE with one of
 *                MEM_PRESERVE_PLACEHOLDER: make a placeholder of what replaced one, lpAddress and
 *                dwSize being all of it, or of a proper part of a larger one
 *                MEM_COALESCE_PLACEHOLDERS: join the placeholders, two or more, that are exactly
 *                this range; dwSize is in bytes and rounded out to pages for both
 *
 * When this returns TRUE every access to those pages traps. Only memory from VirtualAlloc of this
 * header is accepted: not what a hosting manager or the native API reserved elsewhere.
 *
 * Returns   TRUE
 *           FALSE, with the last error
 *             ERROR_INVALID_PARAMETER   another type, whatever the address; MEM_RELEASE with a
 *                                       size, or for placeholders without; a decommit that runs
 *                                       past its reservation; an address above user space
 *             ERROR_INVALID_ADDRESS     an address in no reservation (NULL, or released before);
 *                                       not the first page where that is asked for; to decommit,
 *                                       a placeholder or large pages; not the placeholders that
 *                                       are asked for; or the calling thread runs on these pages,
 *                                       as its stack
 *             ERROR_NOT_ENOUGH_MEMORY   the kernel would not make the pages trap: the reservation
 *                                       is still owned, pages that trap already are decommitted
 *             ERROR_NOT_OWNER           MEM_RELEASE while another thread holds the lock of the
 *                                       reservation (lock.h)
 *             ERROR_TIMEOUT             the pages stayed busy past the manager's deadline
 * After any other failure nothing has changed.
 *
 * Threads   any, at once; of several releases of one reservation exactly one returns TRUE
 * Since     0.1
 * Contract  learn.microsoft.com, memoryapi.h, VirtualFree
 */
MOAT_API BOOL WINAPI VirtualFree(LPVOID lpAddress, SIZE_T dwSize, DWORD dwFreeType);

/*
 * Describe the run of equal pages from the page of an address on, anywhere in the process.
 *
 *   lpAddress   any address
 *   lpBuffer    receives the description
 *   dwLength    bytes at lpBuffer, at least sizeof(MEMORY_BASIC_INFORMATION)
 *
 * Returns   sizeof(MEMORY_BASIC_INFORMATION)
 *           0, with the last error
 *             ERROR_BAD_LENGTH          dwLength is too small
 *             ERROR_NOACCESS            lpBuffer is NULL
 *             ERROR_INVALID_PARAMETER   lpAddress is above user space
 *             ERROR_NOT_SUPPORTED       memory that Moat does not own, and no /proc to ask
 * After a failure the buffer is as it was.
 *
 * Threads   any, at once; async-signal-safe; waits for nobody
 * Since     0.1
 * Contract  learn.microsoft.com, memoryapi.h, VirtualQuery
 */
MOAT_API SIZE_T WINAPI VirtualQuery(LPCVOID lpAddress, PMEMORY_BASIC_INFORMATION lpBuffer,
                                    SIZE_T dwLength);

/*
 * Change the protection of committed pages, anywhere in the process.
 *
 *   lpAddress        rounded down to a page
 *   dwSize           bytes, > 0; the end is rounded up to a page
 *   flNewProtect     as flProtect of VirtualAlloc
 *   lpflOldProtect   receives the protection of the first page
 *
 * In memory that is not Moat's modifiers have no effect, but that a PAGE_GUARD page has no access,
 * and no first access opens it.
 *
 * Returns   TRUE
 *           FALSE, with the last error, the first that applies of
 *             ERROR_INVALID_PARAMETER   flNewProtect
 *             ERROR_NOACCESS            lpflOldProtect is NULL
 *             ERROR_INVALID_PARAMETER   dwSize is 0, or the range is outside user space
 *             ERROR_INVALID_ADDRESS     a page is not committed, in another reservation, or
 *                                       Moat's own; more than 64 mappings of others
 *             ERROR_NOT_SUPPORTED       memory that Moat does not own, and no /proc to ask
 *             ERROR_NOT_ENOUGH_MEMORY   the kernel would not split another mapping, or no file
 *                                       descriptor is left to ask it about others' memory
 *             ERROR_DYNAMIC_CODE_BLOCKED   the option execute=wx, as for VirtualAlloc
 *             ERROR_TIMEOUT             the pages stayed busy past the manager's deadline
 * After a failure nothing has changed.
 *
 * Threads   any, at once; racing calls on one page see a chain of old values
 * Since     0.1
 * Contract  learn.microsoft.com, memoryapi.h, VirtualProtect
 */
MOAT_API BOOL WINAPI VirtualProtect(LPVOID lpAddress, SIZE_T dwSize, DWORD flNewProtect,
                                    PDWORD lpflOldProtect);

/*
 * The calling thread's last error.
 *
 * Returns   what its last failing call set, or SetLastError; 0 at first
 * Threads   any; async-signal-safe. A signal handler that calls Moat saves and restores it
 * Since     0.1
 * Contract  learn.microsoft.com, errhandlingapi.h, GetLastError
 */
MOAT_API DWORD WINAPI GetLastError(VOID);

/*
 * Set the calling thread's last error.
 *
 *   dwErrCode   any value
 *
 * Threads   any; async-signal-safe
 * Since     0.1
 * Contract  learn.microsoft.com, errhandlingapi.h, SetLastError
 */
MOAT_API VOID WINAPI SetLastError(DWORD dwErrCode);

/*
 * Describe the machine as 64-bit Windows counts: page size, granularity, addresses, processors.
 *
 *   lpSystemInfo   receives it; not NULL
 *
 * Threads   any, at once
 * Since     0.1
 * Contract  learn.microsoft.com, sysinfoapi.h, GetSystemInfo
 */
MOAT_API VOID WINAPI GetSystemInfo(LPSYSTEM_INFO lpSystemInfo);

#ifdef __cplusplus
}
#endif

#endif /* _WIN32 */

#endif
