/* SPDX-License-Identifier: MIT */
/*
 * win32_alloc2: VirtualAlloc2 on the manager of the process. Extended parameters are read first,
 * then the types of allocation that VirtualAlloc does not know; all else goes the way that it goes.
 */
#include "face/win32_calls.h"
#include "face/win32_flags.h"

#include "base/error_text.h"
#include "base/site.h"
#include "vm/numa.h"
#include "vm/range.h"
#include "vm/reserve.h"

#include <moat/placeholder.h>
#include <moat/win32.h>

static const char call[] = "VirtualAlloc2";

/* What a call asks for. */
struct ask {
    void *address;
    size_t size;
    uint32_t type;
    uint32_t protection;
    uint32_t node; /* MOAT_WIN32_NO_NODE */
    struct moat_address_limits limits;
};

static bool has_limits(const struct ask *ask) {
    return (ask->limits.lowest | ask->limits.highest | ask->limits.alignment) != 0;
}

static enum moat_status refuse(enum moat_status status, const struct ask *ask, const char *why) {
    return moat_fail(status, call, (uintptr_t)ask->address, why);
}

/* One extended parameter; `seen` has a bit for each type that came before. */
static const char *read_parameter(const MEM_EXTENDED_PARAMETER *parameter, uint32_t *seen,
                                  struct ask *ask) {
    uint32_t bit = UINT32_C(1) << (parameter->Type & 31);

    if (parameter->Reserved != 0 || parameter->Type >= MemExtendedParameterMax)
        return "no such extended parameter";
    if (*seen & bit)
        return "an extended parameter is given twice";
    *seen |= bit;
    if (parameter->Type == MemExtendedParameterNumaNode) {
        ask->node = parameter->ULong;
        return moat_numa_exists(ask->node) ? NULL : "no such node";
    }
    if (parameter->Type != MemExtendedParameterAddressRequirements)
        return "an extended parameter of this type is not supported";
    const MEM_ADDRESS_REQUIREMENTS *requirements = parameter->Pointer;
    if (!requirements)
        return "the address requirements are NULL";
    ask->limits = (struct moat_address_limits){
        .lowest = (uintptr_t)requirements->LowestStartingAddress,
        .highest = (uintptr_t)requirements->HighestEndingAddress,
        .alignment = requirements->Alignment,
    };
    return NULL;
}

static enum moat_status read_parameters(const MEM_EXTENDED_PARAMETER *parameters, ULONG count,
                                        struct ask *ask) {
    const char *fault = count != 0 && !parameters ? "the extended parameters are NULL" : NULL;
    uint32_t seen = 0;

    for (ULONG i = 0; i < count && !fault; i++)
        fault = read_parameter(&parameters[i], &seen, ask);
    if (!fault && has_limits(ask) && ask->address)
        fault = "address requirements are for places that are chosen";
    return fault ? refuse(MOAT_INVALID_ARGUMENT, ask, fault) : MOAT_OK;
}

static enum moat_status reserve_placeholder(struct moat_manager *manager, const struct ask *ask,
                                            void **start) {
    uint32_t rest = ask->type & ~(MEM_RESERVE | MEM_RESERVE_PLACEHOLDER | MEM_TOP_DOWN);
    uint32_t flags = ask->type & MEM_TOP_DOWN ? MOAT_RESERVE_TOP_DOWN : 0;

    if (rest != 0 || !(ask->type & MEM_RESERVE))
        return refuse(MOAT_INVALID_ARGUMENT, ask, "MEM_RESERVE goes with a placeholder, alone");
    if (ask->protection != PAGE_NOACCESS)
        return refuse(MOAT_INVALID_ARGUMENT, ask, "a placeholder is PAGE_NOACCESS");
    return moat_placeholder_reserve(manager, ask->address, ask->size, flags, &ask->limits, start);
}

static enum moat_status replace_placeholder(struct moat_manager *manager, const struct ask *ask,
                                            void **start) {
    uint32_t rest = ask->type & ~(MEM_RESERVE | MEM_REPLACE_PLACEHOLDER | MEM_COMMIT);
    uint32_t flags = ask->type & MEM_COMMIT ? MOAT_RESERVE_COMMIT : 0;

    if (rest != 0 || !(ask->type & MEM_RESERVE) || has_limits(ask))
        return refuse(MOAT_INVALID_ARGUMENT, ask,
                      "MEM_RESERVE and MEM_COMMIT alone replace a placeholder");
    return moat_placeholder_replace(manager, ask->address, ask->size, ask->protection, flags,
                                    start);
}

/* What VirtualAlloc does as well, at a place that has to meet requirements. */
static enum moat_status reserve_within(struct moat_manager *manager, const struct ask *ask,
                                       void **start) {
    struct moat_win32_request request;
    enum moat_status status = moat_win32_decode_alloc(false, ask->type, ask->protection, &request);

    if (status != MOAT_OK || request.action != MOAT_WIN32_RESERVE)
        return refuse(MOAT_INVALID_ARGUMENT, ask, "no such type or protection");
    const struct moat_reserve_terms terms = {
        .protection = ask->protection,
        .flags = request.reserve_flags,
        .near = ask->node + 1, /* none is 0 */
        .limits = &ask->limits,
    };
    status = moat_reserve_as(manager, NULL, ask->size, &terms, start);
    /* As VirtualAlloc answers to what it does not know. */
    if (status == MOAT_NOT_SUPPORTED && request.reserve_flags & MOAT_RESERVE_WRITE_WATCH)
        return MOAT_INVALID_ARGUMENT;
    return status;
}

static enum moat_status allocate(const struct ask *ask, void **start) {
    struct moat_manager *manager;
    enum moat_status status = moat_manager_default(&manager);

    if (status != MOAT_OK)
        return status;
    if (ask->type & MEM_RESERVE_PLACEHOLDER)
        return reserve_placeholder(manager, ask, start);
    if (ask->type & MEM_REPLACE_PLACEHOLDER)
        return replace_placeholder(manager, ask, start);
    if (has_limits(ask))
        return reserve_within(manager, ask, start);
    return moat_win32_alloc_near(manager, ask->address, ask->size, ask->type, ask->protection,
                                 ask->node, start);
}

PVOID WINAPI VirtualAlloc2(HANDLE Process, PVOID BaseAddress, SIZE_T Size, ULONG AllocationType,
                           ULONG PageProtection, MEM_EXTENDED_PARAMETER *ExtendedParameters,
                           ULONG ParameterCount) {
    struct ask ask = {
        .address = BaseAddress,
        .size = Size,
        .type = AllocationType,
        .protection = PageProtection,
        .node = MOAT_WIN32_NO_NODE,
    };
    void *start = NULL;

    if (Process != NULL && Process != GetCurrentProcess()) {
        moat_error_note(call, (uintptr_t)BaseAddress, "another process");
        moat_error_code_set(ERROR_INVALID_HANDLE);
        return NULL;
    }
    enum moat_status status = read_parameters(ExtendedParameters, ParameterCount, &ask);
    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    if (status == MOAT_OK)
        status = allocate(&ask, &start);
    moat_site_leave(frame);
    if (status != MOAT_OK) {
        moat_error_code_set(moat_status_describe(status)->win32_error);
        return NULL;
    }
    return start;
}
