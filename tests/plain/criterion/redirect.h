/* SPDX-License-Identifier: MIT */
/* redirect: all of it is in criterion.h here. */
#include <criterion/criterion.h>
