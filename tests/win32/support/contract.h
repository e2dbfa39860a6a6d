/* SPDX-License-Identifier: MIT */
/*
 * contract: rows of the Win32 contract, as named checks that run on Moat, on Windows and on Wine.
 *
 * A row is one claim: a name, what Windows does, what happened here. A program is a list of rows
 * and ends with contract_end. Under Wine the rows that Wine is known to miss are told apart from
 * failures; on Windows and with Moat nothing is excused.
 */
#ifndef MOAT_TESTS_WIN32_CONTRACT_H
#define MOAT_TESTS_WIN32_CONTRACT_H

#ifdef _WIN32
#include <windows.h>
#else
#include <moat/win32.h>
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE    ((SIZE_T)0x1000)
#define GRANULE ((SIZE_T)0x10000)
#define MIB     ((SIZE_T)0x100000)

/* The claim `name`: expected and got are errors, sizes, flags, offsets or truths. */
void row(const char *name, uintmax_t expected, uintmax_t got);

/* A part of the contract that this implementation does not have yet. */
void row_skip(const char *name, const char *reason);

/* Print the sums. Returns the exit code of the program. */
int contract_end(void);

/* The last error of a call, or 0 when it succeeded (and what it allocated is released). */
DWORD alloc_error(const void *address, SIZE_T size, DWORD type, DWORD protection);
DWORD free_error(const void *address, SIZE_T size, DWORD type);
DWORD protect_error(const void *address, SIZE_T size, DWORD protection);
DWORD query_error(const void *address);

/* VirtualAlloc that the row in question takes for granted: ends the program when it fails. */
BYTE *reserve(const void *address, SIZE_T size);     /* NOACCESS */
BYTE *reserve_commit(SIZE_T size, DWORD protection); /* anywhere */
BYTE *commit(const void *address, SIZE_T size, DWORD protection);
void release(const void *base);

/* Free address space of at least `size` bytes, on a granule. Nobody else in these programs takes
 * address space, so it stays free until it is used. */
BYTE *hole(SIZE_T size);

/* One field of what VirtualQuery says of an address. */
MEMORY_BASIC_INFORMATION query(const void *address);
DWORD state_of(const void *address);
DWORD protect_of(const void *address);
SIZE_T run_of(const void *address);

/* Offset from `base`; SIZE_MAX for NULL. */
uintmax_t offset_of(const void *base, const void *address);

bool can_read(const BYTE *address);
bool can_write(BYTE *address); /* keeps the byte */
bool is_zero(const BYTE *start, SIZE_T size);

/* Run `work(argument + i * stride)` in `count` threads that start together. `prepare`, if any, runs
 * when all of them exist: from then on a hole stays one, because no stack can land in it. */
#define THREADS_MAX 8
void run_threads(unsigned count, void (*prepare)(void), void (*work)(void *), void *argument,
                 size_t stride);

#endif
