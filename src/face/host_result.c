/* SPDX-License-Identifier: MIT */
/* host_result: the gate, and results. */
#include "face/host_result.h"

#include "base/error_text.h"
#include "vm/manager.h"
#include "vm/range.h"

enum moat_status moat_host_gate(const struct moat_manager *manager, const char *method) {
    if (moat_latched())
        return moat_fail_latched(method, 0);
    if (moat_manager_available(manager))
        return MOAT_OK;
    return moat_fail(MOAT_UNAVAILABLE, method, 0,
                     "the host declared the runtime unable to run or unloaded");
}

HRESULT moat_host_conclude(enum moat_status status) {
    const struct moat_status_info *info = moat_status_describe(status);

    if (status != MOAT_OK)
        SetLastError(info->win32_error);
    return (HRESULT)info->hresult;
}

HRESULT moat_host_refuse(HRESULT result, DWORD error) {
    moat_error_set("a pointer to write through is NULL");
    SetLastError(error);
    return result;
}

bool moat_host_level(EMemoryCriticalLevel level, enum moat_critical_level *before) {
    if ((unsigned)level > eProcessCritical) {
        moat_error_set("%u is no critical level", (unsigned)level);
        return false;
    }
    *before = moat_set_critical_level((enum moat_critical_level)level);
    return true;
}
