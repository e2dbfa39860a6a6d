/* SPDX-License-Identifier: MIT */
/* contract: numbers of winerror.h and corerror.h, with their names beside them. */
#include "contract.h"

#include "plant.h"

#include <stddef.h>

#define FROM_WIN32(error) (0x80070000u | (error))

static const struct {
    enum moat_status status;
    struct contract_codes codes;
} rows[] = {
    {MOAT_OK, {0, 0}},
    {MOAT_INVALID_ARGUMENT, {87, 0x80070057u}},       /* INVALID_PARAMETER, E_INVALIDARG */
    {MOAT_INVALID_ADDRESS, {487, FROM_WIN32(487)}},   /* INVALID_ADDRESS */
    {MOAT_NOT_OURS, {487, 0x80131022u}},              /* HOST_E_INVALIDOPERATION */
    {MOAT_LEAVES_REGION, {87, 0x80070057u}},          /* decommit past the end */
    {MOAT_NO_ACCESS, {998, 0x80004003u}},             /* NOACCESS, E_POINTER */
    {MOAT_BAD_LENGTH, {24, FROM_WIN32(24)}},          /* BAD_LENGTH */
    {MOAT_NO_MEMORY, {8, 0x8007000Eu}},               /* NOT_ENOUGH_MEMORY, E_OUTOFMEMORY */
    {MOAT_COMMIT_LIMIT, {1455, 0x8007000Eu}},         /* COMMITMENT_LIMIT */
    {MOAT_NOT_SUPPORTED, {50, FROM_WIN32(50)}},       /* NOT_SUPPORTED */
    {MOAT_NO_PRIVILEGE, {1314, FROM_WIN32(1314)}},    /* PRIVILEGE_NOT_HELD */
    {MOAT_TIMEOUT, {1460, 0x80131024u}},              /* TIMEOUT, HOST_E_TIMEOUT */
    {MOAT_NOT_OWNER, {288, 0x80131025u}},             /* NOT_OWNER, HOST_E_NOT_OWNER */
    {MOAT_CONTENT_LOST, {31, FROM_WIN32(31)}},        /* GEN_FAILURE */
    {MOAT_NOT_LOCKED, {158, FROM_WIN32(158)}},        /* NOT_LOCKED */
    {MOAT_LOCK_LIMIT, {1453, FROM_WIN32(1453)}},      /* WORKING_SET_QUOTA */
    {MOAT_NO_LARGE_PAGES, {1450, 0x8007000Eu}},       /* NO_SYSTEM_RESOURCES */
    {MOAT_GUARD_TOUCHED, {0x80000001u, 0x80000001u}}, /* STATUS_GUARD_PAGE_VIOLATION */
    {MOAT_CODE_BLOCKED, {1655, FROM_WIN32(1655)}},    /* DYNAMIC_CODE_BLOCKED */
};

struct contract_codes contract_of(enum moat_status status) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].status == status) {
            struct contract_codes codes = rows[i].codes;
            if (status == MOAT_LEAVES_REGION && plant_is("decommit-past-the-end-is-487"))
                codes.error = 487;
            if (status == MOAT_NOT_OURS && plant_is("not-ours-is-invalid-address"))
                codes.result = FROM_WIN32(487);
            return codes;
        }
    return (struct contract_codes){UINT32_MAX, UINT32_MAX};
}

enum moat_status contract_find(uint32_t error, uint32_t result) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].codes.error == error && (result == 0 || rows[i].codes.result == result))
            return rows[i].status;
    return MOAT_STATUS_COUNT;
}
