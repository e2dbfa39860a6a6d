/* SPDX-License-Identifier: MIT */
/*
 * linux_memory: what the files that ask about memory share, and what their tests force.
 *
 * Every path is read below a `root`, which is "" but in tests. Nothing outside src/os and its tests
 * includes this. Everything here may change errno.
 */
#ifndef MOAT_OS_LINUX_MEMORY_H
#define MOAT_OS_LINUX_MEMORY_H

#include "os/linux_internal.h"

enum { MOAT_LINUX_PATH_SIZE = 4096 };

/* Open `root`/`path` to read it. A descriptor, or a negative errno value. */
int moat_linux_open(const char *root, const char *path, int flags);

/* Read what there is, at most size - 1 bytes, and end it with a NUL. 0 or errno. */
int moat_linux_read_text(const char *directory, const char *name, char *text, size_t size);

/* A decimal number at the start of a text, followed by its end or white space; "max" is UINT64_MAX,
 * as is what does not fit. False: neither. */
bool moat_linux_parse_number(const char *text, uint64_t *number);

/* The number that follows `key` and blanks at the start of a line. False: no such line. */
bool moat_linux_parse_key(const char *text, const char *key, uint64_t *number);

/* A line of /proc/self/cgroup: "4:cpu,memory:/path", "0::/path". Cut up where it stands. */
struct moat_linux_membership {
    bool unified;     /* version 2 */
    bool memory;      /* version 1, and the memory controller is there */
    const char *path; /* may hold anything but a line's end */
};
bool moat_linux_parse_membership(char *line, struct moat_linux_membership *membership);

/* A line of /proc/self/mountinfo, as far as control groups need it. Cut up where it stands. */
struct moat_linux_mount {
    bool unified;
    bool memory;
    const char *root;  /* what of the hierarchy is mounted */
    const char *point; /* where */
};
bool moat_linux_parse_mount(char *line, struct moat_linux_mount *mount);

/* What is left of `path` below `root`, "" or beginning with '/'. NULL: it is not below it. */
const char *moat_linux_below(const char *root, const char *path);

/* The directory of our own control group. Its parents end at the mount point. */
struct moat_linux_cgroup {
    bool unified;
    size_t mount_length; /* of the mount point in `path` */
    char path[MOAT_LINUX_PATH_SIZE];
};

/* Find the group that limits our memory or, with `unified`, that of version 2. False: none, or it
 * is not to be seen from here. */
bool moat_linux_cgroup_find(const char *root, bool unified, struct moat_linux_cgroup *cgroup);

/* The levels below a root; see moat_os_memory. */
void moat_linux_memory(const char *root, struct moat_load *load);

/* Of those, the control groups. */
void moat_linux_groups(const char *root, struct moat_load *load);

/* Decode base64. The number of bytes, or SIZE_MAX when it is none or too long. */
size_t moat_linux_base64(const char *text, unsigned char *bytes, size_t size);

/* As moat_os_pressure_open, with the values of MEMORY_PRESSURE_WATCH and MEMORY_PRESSURE_WRITE or
 * NULL for each. The former is not below the root. */
void moat_linux_pressure_open(const char *root, const char *watch, const char *write,
                              struct moat_os_pressure *source);

#endif
