/* SPDX-License-Identifier: MIT */
/*
 * machine: what a face tells of the machine and no allocation depends on.
 */
#ifndef MOAT_OS_MACHINE_H
#define MOAT_OS_MACHINE_H

/* Processors that are online, at least 1. May read /sys: for information, not for hot paths. */
unsigned moat_os_processor_count(void);

#endif
