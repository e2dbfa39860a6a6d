/* SPDX-License-Identifier: MIT */
/*
 * host_result: how every method of the hosting interfaces begins and ends.
 *
 * It begins with a look whether the runtime can be served, and ends with exactly S_OK or with a
 * failure whose Win32 error is the thread's last one.
 */
#ifndef MOAT_FACE_HOST_RESULT_H
#define MOAT_FACE_HOST_RESULT_H

#include <moat/moat.h>
#include <moat/mscoree.h>
#include <moat/quota.h>
#include <moat/win32.h>

#include <stdbool.h>

/* MOAT_OK, or MOAT_UNAVAILABLE with a text: the runtime of this manager was declared gone, or
 * corruption was found in the process. `method` lives for ever. */
enum moat_status moat_host_gate(const struct moat_manager *manager, const char *method);

/* The result of a call with this status. */
HRESULT moat_host_conclude(enum moat_status status);

/* A result that has no status of its own, with the Win32 error that goes with it. */
HRESULT moat_host_refuse(HRESULT result, DWORD error);

/* Set the level of this thread's requests; false, and nothing is set, if it is none of the three.
 * What *before receives is to be set again by moat_set_critical_level after the call. */
bool moat_host_level(EMemoryCriticalLevel level, enum moat_critical_level *before);

#endif
