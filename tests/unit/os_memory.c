/* SPDX-License-Identifier: MIT */
/*
 * what the machine and its control groups leave: recorded files, laid out below a folder.
 *
 * Could fail by looking in the wrong place, which then looks like no limit at all; by a limit
 * higher up that is not seen; or by text that is not as expected.
 */
#define _GNU_SOURCE
#include "os/linux_memory.h"
#include "support/fake_root.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/sysinfo.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* 8 GiB, of which 6 are available. */
#define MEMINFO                                                                                    \
    {                                                                                              \
        "/proc/meminfo", "MemTotal:        8388608 kB\nMemFree:         1024000 kB\n"              \
                         "MemAvailable:    6291456 kB\nBuffers:             708 kB\n"              \
    }
#define CGROUP(text)                                                                               \
    { "/proc/thread-self/cgroup", text }
#define MOUNTS(text)                                                                               \
    {                                                                                              \
        "/proc/thread-self/mountinfo",                                                             \
            "22 27 0:21 / /proc rw,relatime - proc proc rw\n"                                      \
            "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n" text                         \
    }
#define END                                                                                        \
    { NULL, NULL }
#define UNIFIED_MOUNT                                                                              \
    "35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 "      \
    "rw,nsdelegate,memory_recursiveprot\n"

static struct moat_load load_of(const struct fake_file *files) {
    struct moat_load load;
    moat_linux_memory(fake_root(files), &load);
    return load;
}

#define ASSERT_LOAD(load, from, full, left, whole)                                                 \
    do {                                                                                           \
        struct moat_load it = (load);                                                              \
        cr_expect_eq(it.source, from, "source %d", (int)it.source);                                \
        cr_expect_eq(it.percent, full, "%u percent", it.percent);                                  \
        cr_expect_eq(it.available, left, "%llu available", (unsigned long long)it.available);      \
        cr_expect_eq(it.limit, whole, "limit %llu", (unsigned long long)it.limit);                 \
    } while (0)
#define ASSERT_MACHINE_ALONE(load) ASSERT_LOAD(load, MOAT_MEMORY_MACHINE, 25, 6 * GIB, 8 * GIB)

Test(os_memory, a_machine_without_control_groups) {
    ASSERT_MACHINE_ALONE(load_of((struct fake_file[]){MEMINFO, END}));
    ASSERT_MACHINE_ALONE(load_of((struct fake_file[]){MEMINFO, CGROUP("0::/\n"), END}));
    ASSERT_MACHINE_ALONE(load_of((struct fake_file[]){MEMINFO, MOUNTS(UNIFIED_MOUNT), END}));
}

/* A Debian desktop: the group's own name holds a backslash, and only its parents have limits. */
Test(os_memory, version_2_under_systemd) {
#define SESSION "/sys/fs/cgroup/user.slice/user-1000.slice"
#define SCOPE   SESSION "/user@1000.service/app.slice/app-gnome\\x2dterminal.scope"
    ASSERT_LOAD(load_of((struct fake_file[]){
                    MEMINFO,
                    CGROUP("0::/user.slice/user-1000.slice/user@1000.service/app.slice/"
                           "app-gnome\\x2dterminal.scope\n"),
                    MOUNTS(UNIFIED_MOUNT),
                    {SCOPE "/memory.max", "max\n"},
                    {SCOPE "/memory.high", "max\n"},
                    {SCOPE "/memory.current", "104857600\n"},
                    {SCOPE "/memory.stat", "anon 1\ninactive_file 1\n"},
                    {SESSION "/memory.max", "2147483648\n"},
                    {SESSION "/memory.high", "1073741824\n"},
                    {SESSION "/memory.current", "943718400\n"},
                    {SESSION "/memory.stat", "anon 524288000\nfile 419430400\nkernel_stack 49152\n"
                                             "active_file 104857600\ninactive_file 314572800\n"},
                    END,
                }),
                MOAT_MEMORY_CGROUP, 58, 424 * MIB, GIB);
}

Test(os_memory, version_2_nested_limits_all_count) {
    struct fake_file files[] = {
        MEMINFO,
        CGROUP("0::/a/b/c\n"),
        MOUNTS(UNIFIED_MOUNT),
        {"/sys/fs/cgroup/a/b/c/memory.max", "1073741824\n"},
        {"/sys/fs/cgroup/a/b/c/memory.current", "104857600\n"},
        {"/sys/fs/cgroup/a/b/memory.max", "max\n"},
        {"/sys/fs/cgroup/a/b/memory.current", "900000000\n"},
        {"/sys/fs/cgroup/a/memory.max", "2147483648\n"},
        {"/sys/fs/cgroup/a/memory.current", "1932735283\n"},
        END,
    };
    /* a is fullest and leaves least; c has the least limit. */
    ASSERT_LOAD(load_of(files), MOAT_MEMORY_CGROUP, 89, 214748365, GIB);
}

/* A private namespace, as Docker and Kubernetes make it: our group is the root of what we see. */
Test(os_memory, version_2_in_a_namespace) {
    struct fake_file files[] = {
        MEMINFO,
        CGROUP("0::/\n"),
        MOUNTS("560 559 0:30 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup "
               "rw,nsdelegate\n"),
        {"/sys/fs/cgroup/memory.max", "536870912\n"},
        {"/sys/fs/cgroup/memory.high", "max\n"},
        {"/sys/fs/cgroup/memory.current", "268435456\n"},
        END,
    };
    ASSERT_LOAD(load_of(files), MOAT_MEMORY_CGROUP, 50, 256 * MIB, 512 * MIB);
}

#define ID  "3f4c7d1e0b5a49d2a7c1e8f60d9b3a5c7e1f2d4b6a8c0e9f1a3b5c7d9e0f1a2b"
#define POD "/kubepods/burstable/pod6ac0e1d2-7b1f-4a7e-9a55-0a4c1f1f6c11/" ID

/* Docker with version 1: the path is that of the host, the mount shows our group as its root. */
Test(os_memory, version_1_in_docker) {
    struct fake_file files[] = {
        MEMINFO,
        CGROUP("12:pids:/docker/" ID "\n11:memory:/docker/" ID "\n1:name=systemd:/docker/" ID
               "\n0::/system.slice/containerd.service\n"),
        MOUNTS("605 604 0:56 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs "
               "rw,mode=755\n"
               "613 605 0:34 /docker/" ID " /sys/fs/cgroup/cpu,cpuacct ro,relatime master:18 - "
               "cgroup cgroup rw,cpu,cpuacct\n"
               "614 605 0:35 /docker/" ID " /sys/fs/cgroup/memory ro,relatime master:19 - "
               "cgroup cgroup rw,memory\n"),
        {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n"},
        {"/sys/fs/cgroup/memory/memory.usage_in_bytes", "209715200\n"},
        {"/sys/fs/cgroup/memory/memory.stat",
         "cache 1\ninactive_file 7\ntotal_cache 1\ntotal_inactive_file 104857600\n"},
        /* Somebody else's, were the path of the host taken for one of ours. */
        {"/sys/fs/cgroup/memory/docker/" ID "/memory.limit_in_bytes", "4096\n"},
        {"/sys/fs/cgroup/memory/docker/" ID "/memory.usage_in_bytes", "4096\n"},
        END,
    };
    ASSERT_LOAD(load_of(files), MOAT_MEMORY_CGROUP, 39, 156 * MIB, 256 * MIB);
}

/* A pod on a host with version 1, seen with the mounts of the host. */
Test(os_memory, version_1_nested_in_kubernetes) {
#define PODS "/sys/fs/cgroup/memory/kubepods"
    struct fake_file files[] = {
        MEMINFO,
        CGROUP("9:memory:" POD "\n"),
        MOUNTS("36 31 0:33 / /sys/fs/cgroup/memory rw,relatime shared:17 - cgroup cgroup "
               "rw,memory\n"),
        {"/sys/fs/cgroup/memory" POD "/memory.limit_in_bytes", "9223372036854771712\n"},
        {"/sys/fs/cgroup/memory" POD "/memory.usage_in_bytes", "1048576\n"},
        {PODS "/burstable/memory.limit_in_bytes", "9223372036854771712\n"},
        {PODS "/memory.limit_in_bytes", "4294967296\n"},
        {PODS "/memory.usage_in_bytes", "3221225472\n"},
        {PODS "/memory.use_hierarchy", "1\n"},
        {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"},
        END,
    };
    const char *root = fake_root(files);
    struct moat_load load;
    moat_linux_memory(root, &load);
    ASSERT_LOAD(load, MOAT_MEMORY_CGROUP, 75, GIB, 4 * GIB);

    /* Before Linux 5.11 a group need not count those below it. */
    fake_write(root, PODS "/memory.use_hierarchy", "0\n");
    moat_linux_memory(root, &load);
    ASSERT_MACHINE_ALONE(load);
}

/* Version 1 beside an unused version 2, as recorded: memory is where it is listed. */
static const struct fake_file hybrid[] = {
    MEMINFO,
    CGROUP("9:name=systemd:/\n8:pids:/\n7:blkio:/\n6:freezer:/\n5:devices:/\n"
           "4:memory:/jobs/734422640f5f4d47da38e41a546f1f60\n"
           "3:cpuset:/\n2:cpuacct:/\n1:cpu:/\n0::/\n"),
    MOUNTS("31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
           "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
           "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
           "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
           "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"),
    {"/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes", "1073741824\n"},
    {"/sys/fs/cgroup/memory/jobs/memory.usage_in_bytes", "536870912\n"},
    {"/sys/fs/cgroup/unified/memory.max", "4096\n"},
    {"/sys/fs/cgroup/unified/memory.current", "4096\n"},
    END,
};

Test(os_memory, hybrid_takes_the_version_that_lists_memory) {
    struct moat_linux_cgroup group;
    const char *root = fake_root(hybrid);
    struct moat_load load;
    moat_linux_memory(root, &load);
    ASSERT_LOAD(load, MOAT_MEMORY_CGROUP, 50, 512 * MIB, GIB);

    cr_assert(moat_linux_cgroup_find(root, true, &group));
    cr_assert(group.unified);
    cr_assert_str_eq(group.path + strlen(root), "/sys/fs/cgroup/unified");
    cr_assert(moat_linux_cgroup_find(root, false, &group));
    cr_assert_not(group.unified);
    cr_assert_str_eq(group.path + strlen(root),
                     "/sys/fs/cgroup/memory/jobs/734422640f5f4d47da38e41a546f1f60");
    cr_assert_eq(group.mount_length, strlen(root) + strlen("/sys/fs/cgroup/memory"));
}

Test(os_memory, mount_points_are_escaped_and_groups_are_not) {
    struct fake_file files[] = {
        MEMINFO,
        CGROUP("0::/with space/and:colon/a\\040b\n"),
        MOUNTS("35 24 0:30 /with\\040space /mnt/control\\040groups\\134 rw - cgroup2 x rw\n"),
        {"/mnt/control groups\\/and:colon/a\\040b/memory.max", "1048576\n"},
        {"/mnt/control groups\\/and:colon/a\\040b/memory.current", "524288\n"},
        END,
    };
    ASSERT_LOAD(load_of(files), MOAT_MEMORY_CGROUP, 50, MIB / 2, MIB);
}

/* A path that the mount does not show: what it shows is above us. */
Test(os_memory, another_root_of_the_mount) {
    struct fake_file files[] = {
        MEMINFO,
        CGROUP("0::/lxc/web\n"),
        MOUNTS("35 24 0:30 /lxc/webmail /sys/fs/cgroup rw - cgroup2 x rw\n"
               "36 24 0:30 / /cg rw - cgroup2 x rw\n"),
        {"/sys/fs/cgroup/memory.max", "1048576\n"},
        {"/sys/fs/cgroup/memory.current", "1048576\n"},
        {"/cg/lxc/web/memory.max", "1073741824\n"},
        {"/cg/lxc/web/memory.current", "0\n"},
        END,
    };
    ASSERT_LOAD(load_of(files), MOAT_MEMORY_MACHINE, 25, GIB, GIB);
    files[2] = (struct fake_file)MOUNTS("35 24 0:30 /lxc/webmail /sys/fs/cgroup rw - "
                                        "cgroup2 x rw\n");
    ASSERT_LOAD(load_of(files), MOAT_MEMORY_CGROUP, 100, 0, MIB);
}

/* Outside of our namespace: what the mount shows is a stranger's. */
Test(os_memory, a_path_that_leads_out_is_not_followed) {
    struct fake_file files[] = {
        MEMINFO,
        CGROUP("0::/../neighbour\n"),
        MOUNTS(UNIFIED_MOUNT),
        {"/sys/fs/cgroup/memory.max", "1048576\n"},
        {"/sys/fs/cgroup/memory.current", "1048576\n"},
        {"/sys/fs/neighbour/memory.max", "1048576\n"},
        {"/sys/fs/neighbour/memory.current", "1048576\n"},
        END,
    };
    ASSERT_MACHINE_ALONE(load_of(files));
}

/* A group that was removed under us, or whose files are hidden: its parents still hold. */
Test(os_memory, what_is_missing_is_no_limit_and_stops_nothing) {
    struct fake_file files[] = {
        MEMINFO,
        CGROUP("0::/a/gone (deleted)\n"),
        MOUNTS(UNIFIED_MOUNT),
        {"/sys/fs/cgroup/a/memory.max", "1073741824\n"},
        {"/sys/fs/cgroup/a/memory.current", "1073741824\n"},
        {"/sys/fs/cgroup/memory.max", "1048576\n"}, /* and no memory.current */
        END,
    };
    ASSERT_LOAD(load_of(files), MOAT_MEMORY_CGROUP, 100, 0, GIB);
}

Test(os_memory, more_droppable_pages_than_pages_is_an_empty_group) {
    struct fake_file files[] = {
        MEMINFO,
        CGROUP("0::/\n"),
        MOUNTS(UNIFIED_MOUNT),
        {"/sys/fs/cgroup/memory.max", "1048576\n"},
        {"/sys/fs/cgroup/memory.current", "4096\n"},
        {"/sys/fs/cgroup/memory.stat", "inactive_file 8192\n"},
        END,
    };
    ASSERT_LOAD(load_of(files), MOAT_MEMORY_MACHINE, 25, MIB, MIB);
}

Test(os_memory, without_meminfo_the_kernel_is_asked) {
    static const char *const texts[] = {
        "",
        "MemTotal: 100 kB\n",
        "MemTotal: x kB\nMemAvailable: 5 kB\n",
        "MemTotal: 0 kB\nMemAvailable: 0 kB\n",
        "\n\n\n",
        "MemTotal:",
        "MemTotal: 99999999999999999999999 kB\nMemAvailable: 1 kB\n",
    };
    struct sysinfo info;
    cr_assert_eq(sysinfo(&info), 0);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct moat_load load = load_of((struct fake_file[]){{"/proc/meminfo", texts[i]}, END});
        cr_expect_eq(load.source, MOAT_MEMORY_MACHINE);
        cr_expect_eq(load.limit, (uint64_t)info.totalram * info.mem_unit, "text %zu", i);
        cr_expect_leq(load.percent, 100);
    }
    struct moat_load load = load_of((struct fake_file[]){END});
    cr_assert_eq(load.limit, (uint64_t)info.totalram * info.mem_unit);
}

/* An older kernel has only /proc/self. */
Test(os_memory, the_older_names_are_tried) {
    struct fake_file files[] = {
        MEMINFO,
        {"/proc/self/cgroup", "0::/\n"},
        {"/proc/self/mountinfo", UNIFIED_MOUNT},
        {"/sys/fs/cgroup/memory.max", "1048576"},
        {"/sys/fs/cgroup/memory.current", "1048576"},
        END,
    };
    ASSERT_LOAD(load_of(files), MOAT_MEMORY_CGROUP, 100, 0, MIB);
}

/* Lines longer than the buffer, in front and behind, and a last line without an end. */
Test(os_memory, long_texts_are_read_line_by_line) {
    enum { LENGTH = 30000 };
    static char mounts[LENGTH * 2 + 1000];
    struct fake_file files[] = {
        MEMINFO,
        CGROUP("0::/\n"),
        {"/proc/thread-self/mountinfo", mounts},
        {"/sys/fs/cgroup/memory.max", "1048576\n"},
        {"/sys/fs/cgroup/memory.current", "1048576\n"},
        END,
    };
    for (int length = 8185; length < 8197; length++) {
        memset(mounts, 'x', (size_t)length);
        strcpy(mounts + length, "\n" UNIFIED_MOUNT);
        ASSERT_LOAD(load_of(files), MOAT_MEMORY_CGROUP, 100, 0, MIB);
    }
    memset(mounts, 'x', LENGTH);
    strcpy(mounts + LENGTH, "\n" UNIFIED_MOUNT);
    memset(mounts + strlen(mounts), 'x', LENGTH);
    ASSERT_LOAD(load_of(files), MOAT_MEMORY_CGROUP, 100, 0, MIB);
    /* The rest of a line that is too long is no line. */
    memset(mounts, 'x', 8192);
    strcpy(mounts + 8192, "35 24 0:30 / /elsewhere rw - cgroup2 cgroup2 rw\n" UNIFIED_MOUNT);
    ASSERT_LOAD(load_of(files), MOAT_MEMORY_CGROUP, 100, 0, MIB);
    static const char other[] = "1 2 3:4 / /some/place rw,relatime - ext4 /dev/sda1 rw,discard\n";
    for (size_t i = 0; i < 400; i++)
        memcpy(mounts + i * (sizeof other - 1), other, sizeof other - 1);
    strcpy(mounts + 400 * (sizeof other - 1),
           "35 24 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    ASSERT_LOAD(load_of(files), MOAT_MEMORY_CGROUP, 100, 0, MIB);
}

/* This very machine: some answer, and the caller's errno. */
Test(os_memory, this_machine_answers) {
    struct moat_load load;
    errno = 4711;
    cr_assert_eq(moat_os_memory(&load), 0);
    cr_assert_eq(errno, 4711);
    cr_assert(moat_load_known(&load));
    cr_assert_gt(load.limit, 0);
    cr_assert_leq(load.available, load.limit);
    cr_assert_leq(load.percent, 100);
}
