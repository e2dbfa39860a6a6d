/* SPDX-License-Identifier: MIT */
/*
 * win32_types: the Win32 types that win32.h and mscoree.h speak, where there is no <windows.h>.
 *
 * On Windows this is <windows.h> itself. Elsewhere the sizes are those of 64-bit Windows, not those
 * that the names suggest to a Unix compiler: DWORD, LONG and ULONG have 32 bits, WINAPI is empty.
 */
#ifndef MOAT_WIN32_TYPES_H
#define MOAT_WIN32_TYPES_H

#ifdef _WIN32
#include <windows.h>
#else

#include <stddef.h>
#include <stdint.h>

/* clang-format off */
typedef uint8_t   BYTE;
typedef uint16_t  WORD;
typedef uint32_t  DWORD;
typedef int       BOOL;
typedef int       INT;
typedef unsigned  UINT;
typedef int32_t   LONG;
typedef uint32_t  ULONG;
typedef uint32_t *PULONG;
typedef uint64_t  DWORD64;
typedef size_t    SIZE_T;
typedef uintptr_t ULONG_PTR;
typedef uintptr_t DWORD_PTR;
typedef LONG      HRESULT;

typedef void       *HANDLE;
typedef void       *PVOID;
typedef void       *LPVOID;
typedef const void *LPCVOID;
typedef BYTE       *PBYTE;
typedef BYTE       *LPBYTE;
typedef DWORD      *PDWORD;
typedef DWORD      *LPDWORD;
typedef SIZE_T     *PSIZE_T;
/* clang-format on */

#ifndef VOID
#define VOID void
#endif
#ifndef TRUE
#define TRUE 1
#endif
#ifndef FALSE
#define FALSE 0
#endif

/* One calling convention only, as on 64-bit Windows. */
#define WINAPI
#define STDMETHODCALLTYPE

/* The name and the guard are those of <guiddef.h>, which other ports of Windows headers share. */
#ifndef GUID_DEFINED
#define GUID_DEFINED
typedef struct _GUID {
    DWORD Data1;
    WORD Data2;
    WORD Data3;
    BYTE Data4[8];
} GUID;
#endif
typedef GUID IID;
#ifdef __cplusplus
typedef const IID &REFIID;
#else
typedef const IID *REFIID;
#endif

#endif /* _WIN32 */

/* A check of the compiler's layout in both languages. */
#ifdef __cplusplus
#define MOAT_LAYOUT(condition, text) static_assert(condition, text)
#else
#define MOAT_LAYOUT(condition, text) _Static_assert(condition, text)
#endif

MOAT_LAYOUT(sizeof(DWORD) == 4 && sizeof(BOOL) == 4 && sizeof(HRESULT) == 4, "32-bit types");
MOAT_LAYOUT(sizeof(SIZE_T) == sizeof(void *) && sizeof(ULONG_PTR) == sizeof(void *), "pointers");
MOAT_LAYOUT(sizeof(GUID) == 16, "GUID has no padding");

#endif
