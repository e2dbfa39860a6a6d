/* SPDX-License-Identifier: MIT */
/*
 * check: assertions among ourselves, compiled in by MOAT_DEBUG.
 *
 * Never for what a caller, the kernel or a wild write can bring about: those get a status. When
 * off, the condition is still compiled, so that it stays right and leaves no unused variable.
 */
#ifndef MOAT_BASE_CHECK_H
#define MOAT_BASE_CHECK_H

#ifdef MOAT_DEBUG
#undef NDEBUG /* a release build with MOAT_DEBUG still wants them */
#include <assert.h>
#define MOAT_ASSERT(condition) assert(condition)
#else
#define MOAT_ASSERT(condition) ((void)sizeof(!(condition)))
#endif

#endif
