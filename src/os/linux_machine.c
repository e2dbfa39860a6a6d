/* SPDX-License-Identifier: MIT */
/*
 * linux_machine: counting processors as the C library does.
 */
#define _DEFAULT_SOURCE

#include "os/machine.h"

#include <unistd.h>

unsigned moat_os_processor_count(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (unsigned)count : 1;
}
