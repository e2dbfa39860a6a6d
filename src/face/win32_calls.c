/* SPDX-License-Identifier: MIT */
/*
 * win32_calls: decode, then the native call. The order of checks is Win32's: flags, then pointers,
 * then ranges (here only where no native call follows), then the state of pages (native).
 */
#include "face/win32_calls.h"

#include "face/win32_flags.h"
#include "os/os.h"
#include "vm/execute.h"
#include "vm/misuse.h"
#include "vm/numa.h"
#include "vm/range.h"

#include <moat/placeholder.h>
#include <moat/residency.h>
#include <moat/win32.h>

#include <string.h>

/* What the native layer never sees is refused, and explained, here. */
static enum moat_status refuse(enum moat_status status, const char *call, const void *address,
                               const char *why) {
    return moat_fail(status, call, (uintptr_t)address, why);
}

static enum moat_status reserve(struct moat_manager *manager, void *address, size_t size,
                                uint32_t protection, uint32_t flags, uint32_t node, void **start) {
    if (node == MOAT_WIN32_NO_NODE)
        return moat_reserve(manager, address, size, protection, flags, start);
    return moat_reserve_near(manager, address, size, protection, flags, node, start);
}

enum moat_status moat_win32_alloc_near(struct moat_manager *manager, void *address, size_t size,
                                       uint32_t type, uint32_t protection, uint32_t node,
                                       void **start) {
    struct moat_win32_request request;

    *start = NULL;
    if (node != MOAT_WIN32_NO_NODE && !moat_numa_exists(node))
        return refuse(MOAT_INVALID_ARGUMENT, "VirtualAlloc", address, "no such node");
    enum moat_status status = moat_win32_decode_alloc(address != NULL, type, protection, &request);
    if (status != MOAT_OK)
        return refuse(status, "VirtualAlloc", address, "no such type or protection");

    switch (request.action) {
    case MOAT_WIN32_RESERVE:
        status = reserve(manager, address, size, protection, request.reserve_flags, node, start);
        /* A flag that means nothing here: so says a Windows that is older than the flag. */
        return status == MOAT_NOT_SUPPORTED ? MOAT_INVALID_ARGUMENT : status;
    case MOAT_WIN32_COMMIT:
        return moat_commit(manager, address, size, protection, start);
    case MOAT_WIN32_RESET:
        return moat_reset(manager, address, size, protection, start);
    case MOAT_WIN32_RESET_UNDO:
        return moat_reset_undo(manager, address, size, protection, start);
    default:
        return refuse(MOAT_INVALID_ARGUMENT, "VirtualAlloc", address, "no such type");
    }
}

enum moat_status moat_win32_alloc(struct moat_manager *manager, void *address, size_t size,
                                  uint32_t type, uint32_t protection, void **start) {
    return moat_win32_alloc_near(manager, address, size, type, protection, MOAT_WIN32_NO_NODE,
                                 start);
}

static enum moat_status refuse_type(const struct moat_manager *manager, const void *address,
                                    size_t size, uint32_t type) {
    struct moat_refusal refusal = {
        .call = "VirtualFree",
        .address = (uintptr_t)address,
        .size = size,
        .manager = manager,
        .status = MOAT_INVALID_ARGUMENT,
        .kind = type == MEM_RELEASE ? MOAT_FOUND_RELEASE_WITH_SIZE : MOAT_FOUND_UNKNOWN_TYPE,
        .detail = type,
    };
    return moat_misuse_refuse(moat_manager_options(manager), &refusal);
}

enum moat_status moat_win32_free(struct moat_manager *manager, void *address, size_t size,
                                 uint32_t type) {
    struct moat_win32_request request;

    if (moat_win32_decode_free(size, type, &request) != MOAT_OK)
        return refuse_type(manager, address, size, type);

    switch (request.action) {
    case MOAT_WIN32_DECOMMIT:
        return moat_decommit(manager, address, size);
    case MOAT_WIN32_RELEASE:
        return moat_release(manager, address);
    case MOAT_WIN32_PRESERVE:
        return moat_placeholder_preserve(manager, address, size);
    case MOAT_WIN32_COALESCE:
        return moat_placeholder_coalesce(manager, address, size);
    default:
        return refuse_type(manager, address, size, type);
    }
}

static DWORD state_of(const struct moat_page_info *info) {
    switch (info->state) {
    case MOAT_STATE_RESERVED:
        return MEM_RESERVE;
    case MOAT_STATE_COMMITTED:
        return MEM_COMMIT;
    case MOAT_STATE_FREE:
    default:
        return MEM_FREE;
    }
}

static DWORD type_of(const struct moat_page_info *info) {
    switch (info->kind) {
    case MOAT_KIND_PRIVATE:
        return MEM_PRIVATE;
    case MOAT_KIND_MAPPED:
        return MEM_MAPPED;
    case MOAT_KIND_IMAGE:
        return MEM_IMAGE;
    case MOAT_KIND_NONE:
    default:
        return 0;
    }
}

enum moat_status moat_win32_query(const void *address, void *buffer, size_t length,
                                  size_t *written) {
    MEMORY_BASIC_INFORMATION *out = buffer;
    struct moat_page_info info;

    *written = 0;
    if (length < sizeof *out)
        return refuse(MOAT_BAD_LENGTH, "VirtualQuery", address, "the buffer is too short");
    if (out == NULL)
        return refuse(MOAT_NO_ACCESS, "VirtualQuery", address, "the buffer is NULL");
    enum moat_status status = moat_query(address, &info);
    if (status != MOAT_OK)
        return refuse(status, "VirtualQuery", address, moat_status_describe(status)->text);

    /* Padding too: a caller may compare or store the bytes, and it must not show our stack. */
    memset(out, 0, sizeof *out);
    out->BaseAddress = info.base;
    out->AllocationBase = info.allocation_base;
    out->AllocationProtect = info.allocation_protection;
    out->RegionSize = info.size;
    out->State = state_of(&info);
    out->Protect = info.protection;
    out->Type = type_of(&info);
    *written = sizeof *out;
    return MOAT_OK;
}

enum moat_status moat_win32_protect(const struct moat_manager *manager, void *address, size_t size,
                                    uint32_t protection, uint32_t *old) {
    return moat_protect_any(manager, address, size, protection, old);
}
