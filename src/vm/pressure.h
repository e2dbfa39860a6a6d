/* SPDX-License-Identifier: MIT */
/*
 * pressure: the thread that watches how full memory is.
 */
#ifndef MOAT_VM_PRESSURE_H
#define MOAT_VM_PRESSURE_H

#include <moat/pressure.h>

/*
 * As moat_pressure_watch. After success, `ended` (unless NULL) is called once with the context when
 * the callback will never be called again: by the call that ends the watch or, where that is the
 * callback itself, by the watching thread.
 */
enum moat_status moat_watcher_start(struct moat_manager *manager,
                                    void (*callback)(enum moat_memory_level level, void *context),
                                    void (*ended)(void *context), void *context);

#endif
