/* SPDX-License-Identifier: MIT */
/*
 * win32_alloc2: VirtualAlloc2, address requirements and placeholders, a part of <moat/win32.h>.
 *
 * Placeholders are split, joined and given back by VirtualFree, with MEM_PRESERVE_PLACEHOLDER and
 * MEM_COALESCE_PLACEHOLDERS. What they are, and where guards stand, is told in
 * <moat/placeholder.h>; how room is found within limits, in <moat/placement.h>.
 */
#ifndef MOAT_WIN32_ALLOC2_H
#define MOAT_WIN32_ALLOC2_H

#include <moat/win32_types.h>

#ifndef _WIN32

#include <moat/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Types of allocation, of VirtualAlloc2 alone. */
#define MEM_REPLACE_PLACEHOLDER 0x00004000u
#define MEM_RESERVE_PLACEHOLDER 0x00040000u

/* Where a place may be chosen. All zero is as none. */
typedef struct _MEM_ADDRESS_REQUIREMENTS {
    PVOID LowestStartingAddress; /* a multiple of 64 KiB; NULL: any */
    PVOID HighestEndingAddress;  /* the last byte of a page; NULL: any */
    SIZE_T Alignment;            /* a power of two, at least 64 KiB; 0: 64 KiB */
} MEM_ADDRESS_REQUIREMENTS, *PMEM_ADDRESS_REQUIREMENTS;

typedef enum MEM_EXTENDED_PARAMETER_TYPE {
    MemExtendedParameterInvalidType = 0,
    MemExtendedParameterAddressRequirements = 1, /* Pointer: MEM_ADDRESS_REQUIREMENTS */
    MemExtendedParameterNumaNode = 2,            /* ULong: as for VirtualAllocExNuma */
    MemExtendedParameterPartitionHandle = 3,     /* this one and the others are refused */
    MemExtendedParameterUserPhysicalHandle = 4,
    MemExtendedParameterAttributeFlags = 5,
    MemExtendedParameterImageMachine = 6,
    MemExtendedParameterMax = 7
} MEM_EXTENDED_PARAMETER_TYPE,
    *PMEM_EXTENDED_PARAMETER_TYPE;

#define MEM_EXTENDED_PARAMETER_TYPE_BITS 8

typedef struct MEM_EXTENDED_PARAMETER {
    __extension__ struct {
        __extension__ DWORD64 Type : MEM_EXTENDED_PARAMETER_TYPE_BITS;
        __extension__ DWORD64 Reserved : 64 - MEM_EXTENDED_PARAMETER_TYPE_BITS; /* 0 */
    };
    __extension__ union {
        DWORD64 ULong64;
        PVOID Pointer;
        SIZE_T Size;
        HANDLE Handle;
        DWORD ULong;
    };
} MEM_EXTENDED_PARAMETER, *PMEM_EXTENDED_PARAMETER;

MOAT_LAYOUT(sizeof(MEM_EXTENDED_PARAMETER) == 16, "as on Windows");
MOAT_LAYOUT(sizeof(void *) != 8 || sizeof(MEM_ADDRESS_REQUIREMENTS) == 24, "as on Windows x64");

/*
 * VirtualAlloc, with a say in where; and placeholders.
 *
 *   Process              NULL or GetCurrentProcess()
 *   BaseAddress          as VirtualAlloc has it; with MEM_REPLACE_PLACEHOLDER in the first page of
 *                        the placeholder. NULL where address requirements are not all zero
 *   Size                 bytes, > 0; with MEM_REPLACE_PLACEHOLDER as large as the placeholder
 *   AllocationType       as VirtualAlloc has it; or MEM_RESERVE | MEM_RESERVE_PLACEHOLDER, with
 *                        MEM_TOP_DOWN or not; or MEM_RESERVE | MEM_REPLACE_PLACEHOLDER, with
 *                        MEM_COMMIT or not
 *   PageProtection       as VirtualAlloc has it; PAGE_NOACCESS for a placeholder
 *   ExtendedParameters   MemExtendedParameterAddressRequirements and MemExtendedParameterNumaNode,
 *                        each once at most; NULL if there are none. A node counts for what is
 *                        reserved now, but for placeholders (<moat/win32_numa.h>)
 *   ParameterCount       how many
 *
 * Returns   the start of the reservation, or the page where the commit or reset starts
 *           NULL, with the last error: that of VirtualAlloc, and
 *             ERROR_INVALID_HANDLE      another process
 *             ERROR_INVALID_PARAMETER   a parameter of another type or twice, requirements that are
 *                                       not as above, or with a BaseAddress; no such node; another
 *                                       combination of types; a placeholder with another protection
 *             ERROR_INVALID_ADDRESS     to replace: not exactly a placeholder. For a placeholder
 *                                       also an address in space that Moat holds for its small
 *                                       regions, though VirtualQuery calls it free
 *             ERROR_NOT_ENOUGH_MEMORY   no room that meets the requirements
 *             ERROR_NOT_SUPPORTED       bounds, and no /proc to find room by
 * After a failure nothing has changed.
 *
 * Threads   any, at once
 * Since     0.2
 * Contract  learn.microsoft.com, memoryapi.h, VirtualAlloc2
 */
MOAT_API PVOID WINAPI VirtualAlloc2(HANDLE Process, PVOID BaseAddress, SIZE_T Size,
                                    ULONG AllocationType, ULONG PageProtection,
                                    MEM_EXTENDED_PARAMETER *ExtendedParameters,
                                    ULONG ParameterCount);

#ifdef __cplusplus
}
#endif

#endif /* _WIN32 */

#endif
