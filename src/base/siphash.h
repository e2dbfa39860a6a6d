/* SPDX-License-Identifier: MIT */
/* siphash: a keyed function of one word that nobody without the key can tell from chance. */
#ifndef MOAT_BASE_SIPHASH_H
#define MOAT_BASE_SIPHASH_H

#include <stdint.h>

/* SipHash-2-4 (Aumasson and Bernstein, 2012) of the eight bytes of `word`, the lowest first. */
uint64_t moat_siphash(const uint64_t key[static 2], uint64_t word);

#endif
