/* SPDX-License-Identifier: MIT */
/*
 * linux_pressure: to be woken when memory may be getting scarce.
 *
 * An event says when to look, never what is found. The ways, in order: the file that systemd names,
 * a stall trigger on our own control group, one on the machine, the count of a control group's
 * limits being hit, and nothing at all, where the deadline of the wait is what wakes. A trigger
 * belongs to its descriptor and ends with it; a window that is a multiple of two seconds is what
 * processes without privileges may ask for (Linux 6.5).
 */
#define _GNU_SOURCE
#include "os/linux_memory.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* Some thread stalled for 150 ms within 2 s: what systemd takes as well. */
static const char trigger[] = "some 150000 2000000";

enum { COMMAND_SIZE = 256, EVENTS_SIZE = 512 };

static int digit_of(char character) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = character != '\0' ? strchr(digits, character) : NULL;

    return found ? (int)(found - digits) : -1;
}

size_t moat_linux_base64(const char *text, unsigned char *bytes, size_t size) {
    size_t length = strlen(text), count = 0;
    unsigned held = 0;

    if (length % 4 != 0)
        return SIZE_MAX;
    for (unsigned i = 0; i < 2 && length > 0 && text[length - 1] == '='; i++)
        length--;
    for (size_t i = 0; i < length; i++) {
        int digit = digit_of(text[i]);
        if (digit < 0)
            return SIZE_MAX;
        held = held << 6 | (unsigned)digit;
        if (i % 4 == 0)
            continue;
        if (count == size)
            return SIZE_MAX;
        bytes[count++] = (unsigned char)(held >> (6 - i % 4 * 2));
    }
    return count;
}

/* Open a file of stalls and set a trigger. A descriptor, or -1. */
static int open_stalls(const char *root, const char *path, const void *command, size_t size) {
    struct stat status;

    int file = moat_linux_open(root, path, O_RDWR | O_NONBLOCK);
    if (file < 0)
        return -1;
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) &&
        write(file, command, size) == (ssize_t)size)
        return file;
    close(file);
    return -1;
}

/* What systemd asks for. True: it has decided, also when that is to watch nothing. */
static bool open_named(const char *watch, const char *write, int *file) {
    unsigned char command[COMMAND_SIZE];
    size_t size = 0;

    *file = -1;
    if (!watch || watch[0] != '/')
        return false;
    if (strcmp(watch, "/dev/null") == 0)
        return true;
    if (write)
        size = moat_linux_base64(write, command, sizeof command);
    if (size == SIZE_MAX)
        return false;
    *file = open_stalls("", watch, command, size);
    return *file >= 0;
}

/* Have read the counts once: from then on the kernel tells of a change. */
static bool read_counts(int file) {
    char text[EVENTS_SIZE];
    return pread(file, text, sizeof text, 0) >= 0;
}

static int open_counts(const char *directory) {
    int file = moat_linux_open(directory, "/memory.events", O_RDONLY);

    if (file >= 0 && read_counts(file))
        return file;
    if (file >= 0)
        close(file);
    return -1;
}

static void open_event(const char *root, const char *watch, const char *write,
                       struct moat_os_pressure *source) {
    struct moat_linux_cgroup group;
    int file;

    source->counts = false;
    if (!open_named(watch, write, &file)) {
        bool found = moat_linux_cgroup_find(root, true, &group);
        if (found)
            file = open_stalls(group.path, "/memory.pressure", trigger, sizeof trigger);
        if (file < 0)
            file = open_stalls(root, "/proc/pressure/memory", trigger, sizeof trigger);
        if (file < 0 && found) {
            file = open_counts(group.path);
            source->counts = file >= 0;
        }
    }
    source->event = file;
}

static void close_event(struct moat_os_pressure *source) {
    close(source->event);
    source->event = -1;
}

void moat_linux_pressure_open(const char *root, const char *watch, const char *write,
                              struct moat_os_pressure *source) {
    source->wake = -1;
    open_event(root, watch, write, source);
    if (source->event < 0)
        return;
    source->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (source->wake < 0)
        close_event(source);
}

void moat_os_pressure_open(struct moat_os_pressure *source) {
    int saved = errno;
    bool trusted = moat_os_environment_trusted();

    moat_linux_pressure_open("", trusted ? getenv("MEMORY_PRESSURE_WATCH") : NULL,
                             trusted ? getenv("MEMORY_PRESSURE_WRITE") : NULL, source);
    errno = saved;
}

static int milliseconds_until(uint64_t deadline) {
    uint64_t now = moat_os_clock();
    uint64_t left = deadline > now ? (deadline - now + MOAT_OS_MS - 1) / MOAT_OS_MS : 0;
    return left < 60000 ? (int)left : 60000;
}

void moat_os_pressure_wait(struct moat_os_pressure *source, const void *word, uint32_t value,
                           uint64_t deadline) {
    int saved = errno;

    if (source->event < 0) {
        (void)moat_os_wait(word, value, deadline);
        return;
    }
    struct pollfd files[] = {
        {.fd = source->event, .events = POLLPRI},
        {.fd = source->wake, .events = POLLIN},
    };
    int ready = poll(files, 2, milliseconds_until(deadline));
    bool dead = false;
    if (ready < 0)
        dead = errno != EINTR;
    else if (source->counts)
        /* Any change is an error to poll as well; a group that is gone cannot be read. */
        dead = files[0].revents != 0 && !read_counts(source->event);
    else
        dead = (files[0].revents & (POLLERR | POLLNVAL)) != 0;
    /* What can no longer be waited for must not be asked again and again. */
    if (dead)
        close_event(source);
    errno = saved;
}

bool moat_os_pressure_tells(const struct moat_os_pressure *source) {
    return source->event >= 0;
}

void moat_os_pressure_wake(const struct moat_os_pressure *source, const void *word) {
    static const uint64_t one = 1;
    int saved = errno;

    moat_os_wake(word);
    if (source->wake >= 0)
        /* Can fail only when it has been written to before, and then it is awake. */
        (void)!write(source->wake, &one, sizeof one);
    errno = saved;
}

void moat_os_pressure_close(struct moat_os_pressure *source) {
    int saved = errno;

    if (source->event >= 0)
        close_event(source);
    if (source->wake >= 0)
        close(source->wake);
    source->wake = -1;
    errno = saved;
}
