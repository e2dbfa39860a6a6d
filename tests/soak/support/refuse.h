/* SPDX-License-Identifier: MIT */
/*
 * refuse: system calls that fail as chance has it.
 *
 * The program is linked with --wrap for them, so that every use in the library comes here. Only
 * calls between refuse_begin and refuse_end of the same thread are refused: those of Moat, not
 * those of the program; and a signal handler is spared by refuse_hold.
 */
#ifndef MOAT_TESTS_SOAK_REFUSE_H
#define MOAT_TESTS_SOAK_REFUSE_H

#include <moat/status.h>

#include <stdint.h>

/* From now on so many calls in a million fail, in all threads. */
void refuse_rate(uint32_t in_a_million);

void refuse_begin(uint64_t *random);
enum moat_status refuse_end(enum moat_status status);

/* Refuse nothing in this thread until it is put back; returns what to put back. */
uint64_t *refuse_hold(void);
void refuse_resume(uint64_t *held);

/* A Moat call of a thread: Moat's system calls in it may be refused. */
#define CALL(thread, expression) (refuse_begin(&(thread)->random), refuse_end(expression))

#endif
