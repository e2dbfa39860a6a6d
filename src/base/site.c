/* SPDX-License-Identifier: MIT */
/* site: two words a thread. */
#include "base/site.h"

_Thread_local struct moat_site moat_site_of_thread;
