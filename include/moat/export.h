/* SPDX-License-Identifier: MIT */
/*
 * export: marks on public declarations.
 *
 * The library is built with hidden visibility, so a function without MOAT_API links inside the
 * static library and the tests but not against libmoat.so. The same mark serves both libraries.
 */
#ifndef MOAT_EXPORT_H
#define MOAT_EXPORT_H

/* MOAT_API      part of the interface of the shared library
 * MOAT_CHECKED  the caller must look at the result */
#if defined(__GNUC__)
#define MOAT_API     __attribute__((visibility("default")))
#define MOAT_CHECKED __attribute__((warn_unused_result))
#else
#define MOAT_API
#define MOAT_CHECKED
#endif

#endif
