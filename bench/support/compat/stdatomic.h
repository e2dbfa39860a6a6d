/* SPDX-License-Identifier: MIT */
/* Empty: lockfree_cxx.h has defined what src/lockfree needs of it. */
