/* SPDX-License-Identifier: MIT */
/* model_execute: what execute=wx refuses. */
#include "model.h"

enum {
    ANY_EXECUTE = MOAT_PAGE_EXECUTE | MOAT_PAGE_EXECUTE_READ | MOAT_PAGE_EXECUTE_READWRITE,
};

bool model_may_execute(const struct model *model, unsigned owner, uint32_t protection) {
    return owner == MODEL_OWNERS || !model->strict[owner] ||
           !(protection & MOAT_PAGE_EXECUTE_READWRITE);
}

bool model_may_execute_pages(const struct model *model, const struct model_run *run,
                             uint32_t protection) {
    unsigned owner = run->region->owner;

    if (!model->strict[owner] || !(protection & ANY_EXECUTE))
        return true;
    if (!model_may_execute(model, owner, protection))
        return false;
    for (size_t i = 0; i < run->count; i++)
        if (run->first[i].protection && !(run->first[i].protection & ANY_EXECUTE))
            return false;
    return true;
}
