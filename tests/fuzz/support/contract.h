/* SPDX-License-Identifier: MIT */
/*
 * contract: which code each outcome has on the two foreign faces, as <moat/win32.h> and the hosting
 * interface document it; written down here once more, and not taken from the library.
 */
#ifndef MOAT_TESTS_FUZZ_CONTRACT_H
#define MOAT_TESTS_FUZZ_CONTRACT_H

#include <moat/status.h>

#include <stdint.h>

struct contract_codes {
    uint32_t error;  /* GetLastError */
    uint32_t result; /* HRESULT */
};

struct contract_codes contract_of(enum moat_status status);

/* A status with this error and, if `result` is not 0, this result; MOAT_STATUS_COUNT: none has. */
enum moat_status contract_find(uint32_t error, uint32_t result);

#endif
