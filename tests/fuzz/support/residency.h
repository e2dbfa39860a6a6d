/* SPDX-License-Identifier: MIT */
/* residency: locks, guards that go off, discards and undone resets, on Moat and on the model. */
#ifndef MOAT_TESTS_FUZZ_RESIDENCY_H
#define MOAT_TESTS_FUZZ_RESIDENCY_H

#include "model.h"

/* Do one of them to both and compare what they answer; any `which` means one. */
void residency_try(struct model *model, struct moat_manager *manager, unsigned owner,
                   unsigned which, uintptr_t address, size_t size);

#endif
