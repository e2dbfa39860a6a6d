/* SPDX-License-Identifier: MIT */
/* export: which names leave the library, and which results must not be dropped. */
#ifndef MOAT_EXPORT_H
#define MOAT_EXPORT_H

#if defined(__GNUC__)
#define MOAT_API __attribute__((visibility("default")))
#define MOAT_CHECKED __attribute__((warn_unused_result))
#else
#define MOAT_API
#define MOAT_CHECKED
#endif

#endif
