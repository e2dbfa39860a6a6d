/* SPDX-License-Identifier: MIT */
/*
 * existing_source: pieces as they stand in sources written for Windows, unchanged but for the
 * include. They fail by not compiling, or by one of the assertions they carry.
 */
#ifdef _WIN32
#include <windows.h>
#else
#include <moat/win32.h>
#endif

#include <stdio.h>
#include <stdlib.h>

/* A growing stack: reserve once, commit as it is used. */
typedef struct _GROW_STACK {
    PVOID Base;
    SIZE_T Reserved;
    SIZE_T Committed;
    DWORD PageSize;
} GROW_STACK, *PGROW_STACK;

static BOOL GrowStackInit(PGROW_STACK Stack, SIZE_T Maximum) {
    SYSTEM_INFO si;

    GetSystemInfo(&si);
    Stack->PageSize = si.dwPageSize;
    Stack->Reserved =
        (Maximum + si.dwAllocationGranularity - 1) & ~((SIZE_T)si.dwAllocationGranularity - 1);
    Stack->Committed = 0;
    Stack->Base = VirtualAlloc(NULL, Stack->Reserved, MEM_RESERVE, PAGE_NOACCESS);
    return Stack->Base != NULL;
}

static BOOL GrowStackCommit(PGROW_STACK Stack, SIZE_T Bytes) {
    if (Bytes <= Stack->Committed)
        return TRUE;
    if (Bytes > Stack->Reserved) {
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
        return FALSE;
    }
    if (!VirtualAlloc((LPBYTE)Stack->Base + Stack->Committed, Bytes - Stack->Committed, MEM_COMMIT,
                      PAGE_READWRITE))
        return FALSE;
    Stack->Committed = (Bytes + Stack->PageSize - 1) / Stack->PageSize * Stack->PageSize;
    return TRUE;
}

/* Function pointers with the calling convention spelled out. */
typedef LPVOID(WINAPI *PFN_VIRTUALALLOC)(LPVOID, SIZE_T, DWORD, DWORD);
typedef BOOL(WINAPI *PFN_VIRTUALFREE)(LPVOID, SIZE_T, DWORD);
typedef BOOL(WINAPI *PFN_VIRTUALPROTECT)(LPVOID, SIZE_T, DWORD, PDWORD);
typedef SIZE_T(WINAPI *PFN_VIRTUALQUERY)(LPCVOID, PMEMORY_BASIC_INFORMATION, SIZE_T);

static const struct {
    PFN_VIRTUALALLOC Alloc;
    PFN_VIRTUALFREE Free;
    PFN_VIRTUALPROTECT Protect;
    PFN_VIRTUALQUERY Query;
} Api = {VirtualAlloc, VirtualFree, VirtualProtect, VirtualQuery};

/* A JIT: write, then make executable. */
static PVOID EmitReturn(VOID) {
    static const BYTE Code[] = {0xB8, 0x2A, 0x00, 0x00, 0x00, 0xC3}; /* mov eax, 42; ret */
    DWORD OldProtect;
    SIZE_T i;
    PBYTE Page = (PBYTE)Api.Alloc(NULL, sizeof(Code), MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

    if (Page == NULL)
        return NULL;
    for (i = 0; i < sizeof(Code); i++)
        Page[i] = Code[i];
    if (!Api.Protect(Page, sizeof(Code), PAGE_EXECUTE_READ, &OldProtect) ||
        OldProtect != PAGE_READWRITE) {
        Api.Free(Page, 0, MEM_RELEASE);
        return NULL;
    }
    return Page;
}

/* How large is the allocation at an address? */
static SIZE_T AllocationSize(LPCVOID Address) {
    MEMORY_BASIC_INFORMATION mbi;
    SIZE_T Size = 0;
    PVOID Base;

    if (!Api.Query(Address, &mbi, sizeof(mbi)))
        return 0;
    Base = mbi.AllocationBase;
    while (mbi.State != MEM_FREE && mbi.AllocationBase == Base) {
        Size += mbi.RegionSize;
        if (!Api.Query((PVOID)((ULONG_PTR)mbi.BaseAddress + mbi.RegionSize), &mbi, sizeof(mbi)))
            break;
    }
    return Size;
}

static const char *StateName(DWORD State) {
    switch (State) {
    case MEM_COMMIT:
        return "commit";
    case MEM_RESERVE:
        return "reserve";
    case MEM_FREE:
        return "free";
    default:
        return "?";
    }
}

#define CHECK(Condition)                                                                           \
    do {                                                                                           \
        if (!(Condition)) {                                                                        \
            printf("FAIL: line %d: %s, error %lu\n", __LINE__, #Condition,                         \
                   (unsigned long)GetLastError());                                                 \
            return EXIT_FAILURE;                                                                   \
        }                                                                                          \
    } while (0)

int main(void) {
    GROW_STACK Stack;
    MEMORY_BASIC_INFORMATION mbi = {0};
    PVOID Page;

    CHECK(GrowStackInit(&Stack, 1000000));
    CHECK(Stack.Reserved == 0x100000);
    CHECK(GrowStackCommit(&Stack, 10));
    ((LPBYTE)Stack.Base)[9] = 1;
    CHECK(GrowStackCommit(&Stack, 5000) && Stack.Committed == 0x2000);
    CHECK(((LPBYTE)Stack.Base)[9] == 1 && ((LPBYTE)Stack.Base)[4999] == 0);
    CHECK(!GrowStackCommit(&Stack, 0x100001) && GetLastError() == ERROR_NOT_ENOUGH_MEMORY);
    CHECK(AllocationSize(Stack.Base) == 0x100000);
    CHECK(VirtualQuery((LPCVOID)Stack.Base, &mbi, sizeof(mbi)) == sizeof(mbi));
    CHECK(StateName(mbi.State)[0] == 'c' && mbi.Protect == PAGE_READWRITE);
    CHECK(VirtualFree(Stack.Base, 0, MEM_RELEASE));

    Page = EmitReturn();
    CHECK(Page != NULL);
#if defined(__x86_64__)
    CHECK(((int (*)(void))(ULONG_PTR)Page)() == 42);
#endif
    CHECK(VirtualFree(Page, 0, MEM_RELEASE));
    printf("1 passed, 0 failed\n");
    return EXIT_SUCCESS;
}
