/* SPDX-License-Identifier: MIT */
/*
 * host_malloc: IHostMalloc over a heap.
 */
#ifndef MOAT_FACE_HOST_MALLOC_H
#define MOAT_FACE_HOST_MALLOC_H

#include <moat/moat.h>
#include <moat/mscoree.h>

/*
 * CreateMalloc: a heap in `manager`, which `host` keeps alive and is therefore referenced.
 *
 *   type   MALLOC_TYPE bits
 *   out    receives the object with one reference; NULL after a failure
 */
enum moat_status moat_host_malloc_create(IHostMemoryManager *host, struct moat_manager *manager,
                                         DWORD type, IHostMalloc **out);

#endif
