/* SPDX-License-Identifier: MIT */
/*
 * linux_memory: how much of what may be used is in use?
 *
 * The machine and each control group from our own to the mount point are a level each. Whatever
 * cannot be read is no level: a group's files may be missing (the root has none), hidden or gone
 * when the process has just been moved, and the machine remains.
 */
#define _GNU_SOURCE
#include "os/linux_memory.h"

#include <string.h>
#include <sys/sysinfo.h>

/* Of a file: memory.stat has about 2 KiB, and what is wanted of it comes early. */
enum { TEXT_SIZE = 4096 };

/* Limits from here on mean none: version 1 rounds the greatest number down to a page. */
#define NO_LIMIT (UINT64_C(1) << 60)

bool moat_linux_parse_number(const char *text, uint64_t *number) {
    const char *end = text;
    uint64_t value = 0;

    if (strncmp(text, "max", 3) == 0) {
        value = UINT64_MAX;
        end += 3;
    } else {
        for (; *end >= '0' && *end <= '9'; end++) {
            uint64_t digit = (uint64_t)(*end - '0');
            value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
        }
    }
    if (end == text || (*end != '\0' && *end != '\n' && *end != ' '))
        return false;
    *number = value;
    return true;
}

bool moat_linux_parse_key(const char *text, const char *key, uint64_t *number) {
    size_t length = strlen(key);

    while (text) {
        if (strncmp(text, key, length) == 0 && text[length] == ' ') {
            text += length;
            while (*text == ' ')
                text++;
            return moat_linux_parse_number(text, number);
        }
        text = strchr(text, '\n');
        if (text)
            text++;
    }
    return false;
}

/* The number in a file of a group. */
static bool read_number(const char *directory, const char *name, uint64_t *number) {
    char text[64];

    return moat_linux_read_text(directory, name, text, sizeof text) == 0 &&
           moat_linux_parse_number(text, number);
}

/* What a group uses, less the file pages that are dropped before anything is refused. */
static bool read_used(const char *directory, const char *usage, const char *key, uint64_t *used) {
    char text[TEXT_SIZE];
    uint64_t droppable;

    if (!read_number(directory, usage, used))
        return false;
    if (moat_linux_read_text(directory, "/memory.stat", text, sizeof text) == 0 &&
        moat_linux_parse_key(text, key, &droppable))
        *used -= droppable < *used ? droppable : *used;
    return true;
}

static void add_unified(const char *directory, struct moat_load *load) {
    uint64_t limit = UINT64_MAX, high, used;

    (void)read_number(directory, "/memory.max", &limit);
    if (read_number(directory, "/memory.high", &high) && high < limit)
        limit = high;
    if (limit < NO_LIMIT && read_used(directory, "/memory.current", "inactive_file", &used))
        moat_load_add(load, MOAT_MEMORY_CGROUP, limit, used);
}

/* `above`: not our own group. Before Linux 5.11 such a group counts us only if it is told to. */
static void add_legacy(const char *directory, bool above, struct moat_load *load) {
    uint64_t limit, used, counts_us;

    if (!read_number(directory, "/memory.limit_in_bytes", &limit) || limit >= NO_LIMIT)
        return;
    if (above && read_number(directory, "/memory.use_hierarchy", &counts_us) && counts_us == 0)
        return;
    if (read_used(directory, "/memory.usage_in_bytes", "total_inactive_file", &used))
        moat_load_add(load, MOAT_MEMORY_CGROUP, limit, used);
}

void moat_linux_groups(const char *root, struct moat_load *load) {
    struct moat_linux_cgroup cgroup;
    bool above = false;

    if (!moat_linux_cgroup_find(root, false, &cgroup))
        return;
    for (size_t length = strlen(cgroup.path);; above = true) {
        if (cgroup.unified)
            add_unified(cgroup.path, load);
        else
            add_legacy(cgroup.path, above, load);
        if (length <= cgroup.mount_length)
            return;
        while (length > cgroup.mount_length && cgroup.path[length - 1] != '/')
            length--;
        while (length > cgroup.mount_length && cgroup.path[length - 1] == '/')
            length--;
        cgroup.path[length] = '\0';
    }
}

static void add_machine(const char *root, struct moat_load *load) {
    char text[TEXT_SIZE];
    uint64_t total, available;
    struct sysinfo info;

    if (moat_linux_read_text(root, "/proc/meminfo", text, sizeof text) == 0 &&
        moat_linux_parse_key(text, "MemTotal:", &total) &&
        moat_linux_parse_key(text, "MemAvailable:", &available) && total > 0 &&
        total < NO_LIMIT / 1024) {
        moat_load_add(load, MOAT_MEMORY_MACHINE, total * 1024,
                      (available < total ? total - available : 0) * 1024);
    } else if (sysinfo(&info) == 0) {
        /* Pages that hold files are not counted as free here: a figure on the careful side. */
        uint64_t unit = info.mem_unit;
        moat_load_add(load, MOAT_MEMORY_MACHINE, info.totalram * unit,
                      (info.totalram - info.freeram - info.bufferram) * unit);
    }
}

void moat_linux_memory(const char *root, struct moat_load *load) {
    moat_load_init(load);
    add_machine(root, load);
    moat_linux_groups(root, load);
}

int moat_os_memory(struct moat_load *load) {
    int saved = errno;

    moat_linux_memory("", load);
    errno = saved;
    return moat_load_known(load) ? 0 : ENOSYS;
}
