/* SPDX-License-Identifier: MIT */
/*
 * alloc2: VirtualAlloc2 by whatever name this machine has it, if it has it.
 */
#ifndef MOAT_TESTS_WIN32_ALLOC2_H
#define MOAT_TESTS_WIN32_ALLOC2_H

#include "contract.h"

#ifdef _WIN32
#ifndef MEM_REPLACE_PLACEHOLDER
#define MEM_REPLACE_PLACEHOLDER 0x00004000
#endif
#ifndef MEM_RESERVE_PLACEHOLDER
#define MEM_RESERVE_PLACEHOLDER 0x00040000
#endif
#ifndef MEM_COALESCE_PLACEHOLDERS
#define MEM_COALESCE_PLACEHOLDERS 0x00000001
#endif
#ifndef MEM_PRESERVE_PLACEHOLDER
#define MEM_PRESERVE_PLACEHOLDER 0x00000002
#endif
#endif

/* Whether there is a VirtualAlloc2 at all, and whether it knows placeholders. */
bool has_alloc2(void);
bool has_placeholders(void);

/* VirtualAlloc2 in this process; `requirements` may be NULL. */
BYTE *alloc2(const void *address, SIZE_T size, DWORD type, DWORD protection,
             const MEM_ADDRESS_REQUIREMENTS *requirements);

/* The same with any parameters. */
BYTE *alloc2_with(const void *address, SIZE_T size, DWORD type, DWORD protection,
                  MEM_EXTENDED_PARAMETER *parameters, ULONG count);

/* The last error, or 0 when it succeeded; what was reserved anew is released. */
DWORD alloc2_error(const void *address, SIZE_T size, DWORD type, DWORD protection,
                   const MEM_ADDRESS_REQUIREMENTS *requirements);

#endif
