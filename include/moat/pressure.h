/* SPDX-License-Identifier: MIT */
/*
 * pressure: how much memory this process may still use, and to be told when that changes.
 *
 * Several limits hold at once: the machine, each control group from our own up to the root of what
 * is mounted (version 2: memory.max and memory.high; version 1: memory.limit_in_bytes), and the
 * commit quota of a manager, if it has one. What counts as used is what would have to be written or
 * killed to get it back: MemTotal less MemAvailable of the machine, and the usage of a group less
 * its inactive file pages, which the kernel drops before it refuses anything. Limits above the root
 * of a container are not visible from inside, and swap is not counted.
 *
 * Low, neutral and high are judged at each limit, and the worst decides. Windows signals low below
 * 32 MB for each 4 GB, 64 MB at most, and high at three times that. A control group kills where
 * Windows pages, and the figures here are estimates, so low comes earlier: below a twentieth of the
 * limit, or below 1 GiB where that is less. High is three times that as well. A level is left only
 * when some way past the threshold, so that a figure that trembles is told once:
 *
 *     low      from below 1 low to 1.5 low     a twentieth of 4 GiB: from 205 MiB to 307 MiB
 *     high     from 3 low to below 2.5 low                           from 614 MiB to 512 MiB
 *     neutral  otherwise
 */
#ifndef MOAT_PRESSURE_H
#define MOAT_PRESSURE_H

#include <moat/export.h>
#include <moat/moat.h>
#include <moat/status.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which limit is meant. */
enum moat_memory_source {
    MOAT_MEMORY_MACHINE, /* /proc/meminfo, or sysinfo where that is not to be had */
    MOAT_MEMORY_CGROUP,  /* a control group, our own or one above it */
    MOAT_MEMORY_QUOTA,   /* the commit quota of the manager */
};

/* How much memory there is. The values are those of EMemoryAvailable. */
enum moat_memory_level {
    MOAT_MEMORY_LOW = 1,
    MOAT_MEMORY_NEUTRAL = 2,
    MOAT_MEMORY_HIGH = 3,
};

struct moat_memory_load {
    uint64_t available_bytes;       /* the least that any limit leaves */
    uint64_t limit_bytes;           /* the least limit */
    uint32_t percent;               /* in use, of the limit that is fullest; 0..100 */
    uint32_t age_ms;                /* of the figures; a quota is always as of now */
    enum moat_memory_source source; /* the limit that is fullest */
};

/*
 * How full is memory, for this process?
 *
 *   manager   its quota is one more limit; NULL is allowed: without
 *   load      receives the answer; all zero after a failure
 *
 * The figures are at most 100 ms old; while another thread is just reading newer ones, at most one
 * second. Reading them takes about a hundred microseconds, answering from them a tenth of one. No
 * file stays open.
 *
 * Returns   MOAT_OK
 *           MOAT_NOT_SUPPORTED   neither /proc nor the system call for it answers, and no quota
 *           MOAT_NO_ACCESS       load is NULL
 * Threads   any, at once; waits for nobody
 * Since     0.2
 * Contract  GlobalMemoryStatusEx (dwMemoryLoad, ullAvailPhys); IHostMemoryManager::GetMemoryLoad
 */
MOAT_API MOAT_CHECKED enum moat_status moat_memory_load_read(const struct moat_manager *manager,
                                                             struct moat_memory_load *load);

/*
 * Be told when the level changes. One watch a manager: a second replaces the first. The callback of
 * IHostMemoryManager::RegisterMemoryNotificationCallback is that watch, too.
 *
 *   manager    its quota is one more limit
 *   callback   is called by a thread of Moat's own, never twice at once for one watch: with the
 *              level found first unless that is neutral, then with each new level
 *   context    handed to the callback; must live until the watch has ended
 *
 * The thread looks when the kernel tells of stalls (a PSI trigger, which the variables
 * MEMORY_PRESSURE_WATCH and MEMORY_PRESSURE_WRITE of systemd may name, else that of our own control
 * group or of the machine) or of a control group at its limit (memory.events), and every 2 seconds
 * besides, because memory that fills up without a stall makes no event; where the kernel tells
 * nothing, and while memory is low, every second. A look costs some 100 microseconds. It is named
 * "moat-pressure", has a stack of 256 KiB, and blocks all signals but those that a fault raises. It
 * and at most two descriptors exist only while there is a watch.
 *
 * The callback may make every call, moat_pressure_stop and moat_pressure_watch included. After
 * fork, the child has no thread and so no watch: it can start one. Descriptors of its parent's
 * watch are closed when it does, or when it destroys the manager.
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   callback is NULL
 *           MOAT_NOT_SUPPORTED      moat_memory_load_read has no answer
 *           MOAT_NO_MEMORY          no memory for the books, or no thread to be had
 *           MOAT_NO_ACCESS          manager is NULL
 * After a failure the watch before this one, if any, goes on. After success that one has ended,
 * as by moat_pressure_stop.
 * Threads   any, at once
 * Since     0.2
 * Contract  CreateMemoryResourceNotification, ICLRMemoryNotificationCallback
 */
MOAT_API MOAT_CHECKED enum moat_status moat_pressure_watch(
    struct moat_manager *manager, void (*callback)(enum moat_memory_level level, void *context),
    void *context);

/*
 * End the watch of a manager; nothing happens when it has none.
 *
 * Waits until a callback that is running has returned: after this call none runs or follows, and
 * thread and descriptors are gone. Called by the callback itself it does not wait: that callback is
 * then the last one, and the thread ends when it returns. Of several calls at once only one waits.
 * moat_manager_destroy ends the watch in the same way.
 *
 *   manager   NULL is allowed and does nothing
 *
 * Threads   any, at once
 * Since     0.2
 */
MOAT_API void moat_pressure_stop(struct moat_manager *manager);

#ifdef __cplusplus
}
#endif

#endif
