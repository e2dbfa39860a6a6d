/* SPDX-License-Identifier: MIT */
/*
 * face: the acts by the two foreign faces: manager 0 is that of <moat/win32.h>, manager 1 that of a
 * hosting interface. What a face has no call for goes by the native one.
 */
#ifndef MOAT_TESTS_FUZZ_FACE_H
#define MOAT_TESTS_FUZZ_FACE_H

#include "calls.h"

#include <moat/mscoree.h>

enum { FACE_WIN32, FACE_COM };

extern const struct calls calls_foreign;

/* The last error before each call: no call has this code. */
#define FACE_UNTOUCHED 0x5EED5EEDu

/* The manager behind face 1. */
extern IHostMemoryManager *face_host;

/* Before each call, and after it: a call that succeeds leaves the last error alone. The status that
 * the codes stand for. */
void face_before(void);
enum moat_status face_after_win32(bool good);
enum moat_status face_after_com(HRESULT result);

/* The codes of the call before are those of a status. */
void face_expect(enum moat_status should);

#endif
