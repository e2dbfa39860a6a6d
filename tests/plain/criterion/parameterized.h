/* SPDX-License-Identifier: MIT */
/* parameterized: all of it is in criterion.h here. */
#include <criterion/criterion.h>
