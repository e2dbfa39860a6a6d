/* SPDX-License-Identifier: MIT */
/* linux_limits: what tests force of the limits. Nothing outside src/os and its tests includes
 * this. */
#ifndef MOAT_OS_LINUX_LIMITS_H
#define MOAT_OS_LINUX_LIMITS_H

#include "os/os.h"

/* As moat_os_limits, from files below `root`. Changes errno. */
void moat_linux_limits(const char *root, struct moat_os_limits *limits);

#endif
