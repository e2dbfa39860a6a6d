/* SPDX-License-Identifier: MIT */
/*
 * Whether a sanitizer keeps a shadow of the memory of this process: its pages would be counted with
 * those of Moat, as would the faults that bring them.
 */
#ifndef MOAT_TESTS_UNIT_SHADOW_H
#define MOAT_TESTS_UNIT_SHADOW_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SHADOWED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHADOWED 1
#endif
#ifndef SHADOWED
#define SHADOWED 0
#endif

#endif
