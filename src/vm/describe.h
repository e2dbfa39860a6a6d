/* SPDX-License-Identifier: MIT */
/* describe: what the reports of others need of descriptions. */
#ifndef MOAT_VM_DESCRIBE_H
#define MOAT_VM_DESCRIBE_H

#include "region/history.h"

#include <moat/describe.h>

/* How long ago that was. */
struct moat_event moat_event_of(const struct moat_moment *moment);

/*
 * Word an event, "released 0.512 s ago by thread 4711 at host+0x1234 (main)", without an end of
 * line; nothing if it is not known who it was. The place is that of the call, not the one behind.
 *
 * Returns   the length of the whole text, which was cut if it is not below `size`
 */
size_t moat_event_print(const char *deed, const struct moat_event *event, char *text, size_t size);

/* The name of a protection, "PAGE_READWRITE"; modifiers are left out. */
const char *moat_protection_name(uint32_t protection);

#endif
