/* SPDX-License-Identifier: MIT */
/* execute: from the rights that pages have and are to have, whether that may be. */
#include "vm/execute.h"

#include "os/os.h"
#include "region/pages.h"
#include "vm/misuse.h"

#include <moat/moat.h>

static bool is_strict(const struct moat_manager *manager) {
    return manager && manager->options.execute == MOAT_EXECUTE_WX;
}

static bool is_executable(uint8_t state) {
    return (moat_code_access(state & MOAT_PAGE_CODE) & MOAT_OS_EXECUTE) != 0;
}

enum moat_status moat_execute_check(const struct moat_manager *manager, uint32_t protection,
                                    const char *what, uintptr_t address) {
    if (!is_strict(manager) || !(protection & MOAT_PAGE_EXECUTE_READWRITE))
        return MOAT_OK;
    return moat_fail(MOAT_CODE_BLOCKED, what, address,
                     "execute=wx: no page is writable and executable; use a code heap");
}

static enum moat_status refuse(const char *what, uintptr_t address) {
    return moat_fail(MOAT_CODE_BLOCKED, what, address,
                     "execute=wx: a page that was not executable from its commit on does not "
                     "become so; use a code heap");
}

enum moat_status moat_execute_check_pages(const struct moat_manager *manager,
                                          const struct moat_space *space,
                                          const struct moat_range *range, uint8_t state,
                                          const char *what) {
    if (!is_strict(manager) || !is_executable(state))
        return MOAT_OK;
    enum moat_status status =
        moat_execute_check(manager, moat_page_protection(state), what, range->start);
    for (uintptr_t at = range->start; !status && at < range->end;) {
        struct moat_run run = moat_pages_run(space, at, range->end);
        if ((run.state & MOAT_PAGE_COMMITTED) && !is_executable(run.state))
            status = refuse(what, at);
        at = run.end;
    }
    return status;
}

enum moat_status moat_execute_check_rights(const struct moat_manager *manager, unsigned access,
                                           uint32_t protection, const char *what,
                                           uintptr_t address) {
    if (!is_strict(manager) || !is_executable(moat_page_state(protection)))
        return MOAT_OK;
    enum moat_status status = moat_execute_check(manager, protection, what, address);
    return status || (access & MOAT_OS_EXECUTE) ? status : refuse(what, address);
}

enum moat_status moat_execute_report(const struct moat_manager *manager, enum moat_status status) {
    struct moat_error_state last;
    struct moat_region_ref ref;

    if (status != MOAT_CODE_BLOCKED || manager->options.misuse == MOAT_MISUSE_FAIL)
        return status;
    /* What was told while stripes were held names the page, and the reason. */
    moat_error_save(&last);
    if (!last.noted.call)
        return status;
    struct moat_refusal refusal = {
        .call = last.noted.call,
        .why = last.noted.why,
        .address = last.noted.address,
        .size = MOAT_MISUSE_NO_SIZE,
        .manager = manager,
        .status = status,
        .kind = MOAT_FOUND_EXECUTE,
    };
    if (moat_region_find(refusal.address, &ref)) {
        refusal.base = ref.base;
        refusal.length = ref.size;
    }
    return moat_misuse_refuse(&manager->options, &refusal);
}
