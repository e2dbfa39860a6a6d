/* SPDX-License-Identifier: MIT */
/*
 * kernel_text: any text in the place of the kernel's own is read as its format says, or not at all:
 * numbers, keys, control groups, mounts, paths and base64 as another reader has them, and all files
 * below a root together, where no answer may contradict itself.
 *
 * The first byte of an input says which, the second is a choice, the rest is the text. It ends at a
 * NUL where it is a string. Where files are read, ESC ends the text of each.
 */
#define _GNU_SOURCE
#include "os/linux_limits.h"
#include "os/linux_memory.h"
#include "support/plant.h"
#include "support/verify.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const plant_names[] = {"number-wraps",
                                   "key-anywhere",
                                   "list-by-prefix",
                                   "escape-of-two",
                                   "below-by-name",
                                   "base64-unpadded",
                                   NULL};

enum { TEXT_MAX = 1 << 15 };

static char *text; /* of the input, with a NUL behind it: a block of its own */
static size_t text_size;
static unsigned choice;

/* --- Numbers and keys --- */

static bool other_number(const char *at, uint64_t *number) {
    size_t digits = strspn(at, "0123456789");
    __extension__ unsigned __int128 value = 0;

    if (strncmp(at, "max", 3) == 0) {
        *number = UINT64_MAX;
        return at[3] == '\0' || at[3] == '\n' || at[3] == ' ';
    }
    for (size_t i = 0; i < digits; i++) {
        value = value * 10 + (unsigned)(at[i] - '0');
        if (value > UINT64_MAX && !plant_is("number-wraps"))
            value = UINT64_MAX;
    }
    *number = (uint64_t)value;
    return digits && (at[digits] == '\0' || at[digits] == '\n' || at[digits] == ' ');
}

static bool other_key(const char *key, uint64_t *number) {
    size_t length = strlen(key);

    for (const char *at = text;; at++) {
        bool first = at == text || at[-1] == '\n' || plant_is("key-anywhere");
        if (first && strncmp(at, key, length) == 0 && at[length] == ' ')
            return other_number(at + length + strspn(at + length, " "), number);
        if (!*at)
            return false;
    }
}

static void run_numbers(void) {
    static const char *const keys[] = {"MemTotal:", "inactive_file", "a"};
    uint64_t is = 4711, should = 4711;

    bool good = moat_linux_parse_number(text, &is), other = other_number(text, &should);
    if (good != other || is != (good ? should : 4711))
        verify_fail("\"%s\" is read as %llu: %d", text, (unsigned long long)is, good);
    is = 4711;
    const char *key = keys[choice % 3];
    good = moat_linux_parse_key(text, key, &is);
    other = other_key(key, &should);
    if (good != other || is != (good ? should : 4711))
        verify_fail("%s of \"%s\" is %llu: %d, not %llu: %d", key, text, (unsigned long long)is,
                    good, (unsigned long long)should, other);
}

/* --- Control groups and mounts --- */

/* Whether "a,b,c" has a word. */
static bool other_lists(const char *list, const char *word) {
    char all[TEXT_MAX + 3], one[64];

    snprintf(all, sizeof(all), ",%s,", list);
    snprintf(one, sizeof(one), plant_is("list-by-prefix") ? ",%s" : ",%s,", word);
    return strstr(all, one) != NULL;
}

static void run_membership(void) {
    struct moat_linux_membership is;
    static char copy[TEXT_MAX + 1];
    bool should = false, unified = false, memory = false;
    const char *path = NULL;

    strcpy(copy, text);
    char *first = strchr(copy, ':'), *second = first ? strchr(first + 1, ':') : NULL;
    if (second) {
        *first = *second = '\0';
        should = copy[0] >= '0' && copy[0] <= '9' && second[1] == '/';
        unified = strcmp(copy, "0") == 0 && first[1] == '\0';
        memory = other_lists(first + 1, "memory");
        path = second + 1;
    }
    bool good = moat_linux_parse_membership(text, &is);
    if (good != should ||
        (good && (is.unified != unified || is.memory != memory || strcmp(is.path, path) != 0)))
        verify_fail("a membership is read otherwise: %d", good);
}

static void other_unescape(char *at) {
    unsigned digits = plant_is("escape-of-two") ? 2 : 3;
    char *out = at;

    while (*at)
        if (*at == '\\' && strspn(at + 1, "01234567") >= digits) {
            unsigned value = 0;
            for (unsigned i = 0; i < digits; i++)
                value = value * 8 + (unsigned)(at[1 + i] - '0');
            *out++ = (char)value;
            at += 1 + digits;
        } else {
            *out++ = *at++;
        }
    *out = '\0';
}

/* "1 2 3:4 ROOT POINT OPTIONS... - TYPE SOURCE OPTIONS" */
static void run_mount(void) {
    struct moat_linux_mount is;
    static char copy[TEXT_MAX + 1];
    char *fields[5], *at = copy;
    unsigned count = 0;
    bool should = false;
    char *type = NULL, *rest = NULL;

    strcpy(copy, text);
    for (char *blank; count < 5 && (blank = strchr(at, ' ')); at = blank + 1) {
        *blank = '\0';
        fields[count++] = at;
    }
    char *dash = count == 5 ? strstr(at, " - ") : NULL;
    if (dash && fields[3][0] == '/' && fields[4][0] == '/') {
        type = dash + 3;
        char *source = strchr(type, ' ');
        rest = source ? strchr(source + 1, ' ') : NULL;
        should = rest != NULL;
        if (should)
            *source = *rest++ = '\0';
    }
    bool good = moat_linux_parse_mount(text, &is);
    if (good != should)
        verify_fail("a mount is%s one", good ? "" : " not");
    if (!good)
        return;
    other_unescape(fields[3]);
    other_unescape(fields[4]);
    if (strcmp(is.root, fields[3]) != 0 || strcmp(is.point, fields[4]) != 0 ||
        is.unified != (strcmp(type, "cgroup2") == 0) ||
        is.memory != (strcmp(type, "cgroup") == 0 && other_lists(rest, "memory")))
        verify_fail("a mount of %s at %s is read otherwise", is.root, is.point);
}

/* Two paths, the first as long as the choice says. */
static void run_below(void) {
    size_t length = choice < strlen(text) ? choice : strlen(text);
    static char root[TEXT_MAX + 1], slashed[TEXT_MAX + 2];
    const char *path = text + length, *should = NULL;

    memcpy(root, text, length);
    root[length] = '\0';
    const char *is = moat_linux_below(root, path);
    while (length > 0 && root[length - 1] == '/')
        root[--length] = '\0';
    if (strncmp(path, root, length) == 0 &&
        (path[length] == '\0' || path[length] == '/' || plant_is("below-by-name"))) {
        should = path + length;
        snprintf(slashed, sizeof(slashed), "%s/", should);
        if (strstr(slashed, "/../"))
            should = NULL;
        else if (strcmp(should, "/") == 0)
            should = "";
    }
    if ((is == NULL) != (should == NULL) || (is && strcmp(is, should) != 0))
        verify_fail("\"%s\" below \"%s\" is \"%s\", not \"%s\"", path, root, is ? is : "(none)",
                    should ? should : "(none)");
}

static void run_base64(void) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = strlen(text), room = choice, count = 0, marks = 0;
    unsigned char *bytes = malloc(room ? room : 1);
    uint64_t bits = 0;
    unsigned held = 0;

    if (!bytes)
        abort();
    size_t is = moat_linux_base64(text, bytes, room);
    bool good = length % 4 == 0 || plant_is("base64-unpadded");
    while (good && marks < 2 && marks < length && text[length - 1 - marks] == '=')
        marks++;
    for (size_t i = 0; good && i < length - marks; i++) {
        const char *digit = strchr(digits, text[i]);
        good = digit != NULL;
        if (!good)
            break;
        bits = bits << 6 | (unsigned)(digit - digits);
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        if (count < room && is != SIZE_MAX && bytes[count] != (unsigned char)(bits >> held))
            verify_fail("byte %zu is %#x", count, bytes[count]);
        count++;
    }
    if (is != (good && count <= room ? count : SIZE_MAX))
        verify_fail("\"%s\" in room for %zu is %zu bytes, not %zu: %d", text, room, is, count,
                    good);
    free(bytes);
}

/* --- All files --- */

static const char *const paths[] = {
    "/proc/meminfo",
    "/proc/thread-self/cgroup",
    "/proc/thread-self/mountinfo",
    "/g/memory.max",
    "/g/memory.high",
    "/g/memory.current",
    "/g/memory.stat",
    "/g/a/memory.max",
    "/g/a/memory.current",
    "/g/memory.limit_in_bytes",
    "/g/memory.usage_in_bytes",
    "/g/memory.use_hierarchy",
    "/proc/thread-self/status",
    "/proc/sys/vm/overcommit_memory",
};
enum { PATHS = sizeof(paths) / sizeof(paths[0]) };

static const char root[] = "/fuzz";

/* Files in memory, of which those are there that hold something. */
static int files[PATHS];
static size_t sizes[PATHS];

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

int __wrap_open(const char *path, int flags, ...) {
    char link[64];

    if (strncmp(path, root, strlen(root)) != 0)
        return __real_open(path, flags, 0600);
    for (size_t i = 0; i < PATHS; i++)
        if (sizes[i] && strcmp(path + strlen(root), paths[i]) == 0) {
            snprintf(link, sizeof(link), "/proc/self/fd/%d", files[i]);
            return __real_open(link, flags);
        }
    errno = ENOENT;
    return -1;
}

static void write_files(void) {
    const char *at = text, *end = text + text_size;

    for (size_t i = 0; i < PATHS; i++) {
        const char *stop = memchr(at, '\x1b', (size_t)(end - at));
        sizes[i] = (size_t)((stop ? stop : end) - at);
        if (!files[i])
            files[i] = memfd_create("file", 0);
        if (files[i] < 0 || ftruncate(files[i], 0) != 0 ||
            pwrite(files[i], at, sizes[i], 0) != (ssize_t)sizes[i])
            abort();
        at = stop ? stop + 1 : end;
    }
}

static void run_files(void) {
    struct moat_load load;
    struct moat_os_limits limits;
    static struct moat_linux_cgroup group;

    write_files();
    moat_linux_memory(root, &load);
    if (!moat_load_known(&load) || load.percent > 100 || load.available > load.limit)
        verify_fail("%u percent, %llu of %llu available", load.percent,
                    (unsigned long long)load.available, (unsigned long long)load.limit);
    moat_linux_limits(root, &limits);
    if (limits.group.max != UINT64_MAX && limits.group.used > limits.group.max)
        verify_fail("a group uses more than it may");
    for (unsigned unified = 0; unified < 2; unified++)
        if (moat_linux_cgroup_find(root, unified, &group) &&
            (strlen(group.path) < group.mount_length ||
             strncmp(group.path, root, strlen(root)) != 0 || (unified && !group.unified)))
            verify_fail("the group is at \"%s\", mounted in %zu", group.path, group.mount_length);
}

/* --- An input --- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const runs[])(void) = {run_numbers, run_membership, run_mount,
                                         run_below,   run_base64,     run_files};

    if (size < 2 || size > TEXT_MAX)
        return 0;
    void (*run)(void) = runs[data[0] % (sizeof(runs) / sizeof(runs[0]))];
    choice = data[1];
    text_size = size - 2;
    text = malloc(text_size + 1);
    if (!text)
        abort();
    memcpy(text, data + 2, text_size);
    text[text_size] = '\0';
    run();
    free(text);
    return 0;
}
