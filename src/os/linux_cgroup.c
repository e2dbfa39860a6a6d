/* SPDX-License-Identifier: MIT */
/*
 * linux_cgroup: which control group are we in, and where is it to be seen?
 *
 * /proc/self/cgroup names it from the root of its hierarchy, /proc/self/mountinfo tells which part
 * of the hierarchy is mounted where. The two need not agree: a container may see its own group as
 * the root of the mount and still be told its full path, and with a namespace the path may lead out
 * of it ("/../x"). Mount points are escaped ("\040" is a space), paths of groups are not.
 */
#define _GNU_SOURCE
#include "os/linux_memory.h"

#include "base/format.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* A line that is longer is passed over: no mount of ours can have one, see PATH_MAX. */
enum { LINE_SIZE = 8192 };

struct lines {
    int file;
    bool ended;   /* nothing more to read */
    size_t start; /* of the next line */
    size_t length;
    char buffer[LINE_SIZE + 1];
};

int moat_linux_open(const char *root, const char *path, int flags) {
    char full[MOAT_LINUX_PATH_SIZE];

    if (moat_format(full, sizeof full, "%s%s", root, path) >= sizeof full)
        return -ENAMETOOLONG;
    int file = open(full, flags | O_CLOEXEC);
    return file >= 0 ? file : -errno;
}

static ssize_t read_some(int file, char *buffer, size_t size) {
    ssize_t length;

    do
        length = read(file, buffer, size);
    while (length < 0 && errno == EINTR);
    return length;
}

int moat_linux_read_text(const char *directory, const char *name, char *text, size_t size) {
    size_t length = 0;
    ssize_t got = 1;

    int file = moat_linux_open(directory, name, O_RDONLY);
    if (file < 0)
        return -file;
    while (length < size - 1 && got > 0) {
        got = read_some(file, text + length, size - 1 - length);
        if (got > 0)
            length += (size_t)got;
    }
    int error = got < 0 ? errno : 0;
    text[length] = '\0';
    close(file);
    return error;
}

/* Once its first thread has exited, /proc/self of a living process is empty: /proc/thread-self is
 * not. Older kernels and sandboxes may have only the former. */
static bool lines_open(struct lines *lines, const char *root, const char *name) {
    static const char *const directories[] = {"/proc/thread-self", "/proc/self"};
    char path[64];

    *lines = (struct lines){.file = -1};
    for (unsigned i = 0; i < 2 && lines->file < 0; i++) {
        moat_format(path, sizeof path, "%s/%s", directories[i], name);
        lines->file = moat_linux_open(root, path, O_RDONLY);
    }
    return lines->file >= 0;
}

/* The next line without its end; NULL when there is none. What cannot be read is not there. */
static char *lines_next(struct lines *lines) {
    bool too_long = false;

    for (;;) {
        char *line = lines->buffer + lines->start;
        char *end = memchr(line, '\n', lines->length - lines->start);
        if (end) {
            *end = '\0';
            lines->start = (size_t)(end - lines->buffer) + 1;
            if (!too_long)
                return line;
            too_long = false;
            continue;
        }
        if (lines->ended)
            return NULL;
        memmove(lines->buffer, line, lines->length - lines->start);
        lines->length -= lines->start;
        lines->start = 0;
        if (lines->length == LINE_SIZE) {
            too_long = true;
            lines->length = 0;
        }
        ssize_t got =
            read_some(lines->file, lines->buffer + lines->length, LINE_SIZE - lines->length);
        if (got > 0)
            lines->length += (size_t)got;
        else
            lines->ended = true;
    }
}

static void lines_close(struct lines *lines) {
    close(lines->file);
}

/* The text up to `mark`, which is replaced by its end; *rest is what follows. NULL: no mark. */
static char *cut(char **rest, char mark) {
    char *field = *rest;
    char *end = strchr(field, mark);

    if (!end)
        return NULL;
    *end = '\0';
    *rest = end + 1;
    return field;
}

/* Whether a list with commas has a word. */
static bool lists(const char *list, const char *word) {
    size_t length = strlen(word);

    for (;; list++) {
        if (strncmp(list, word, length) == 0 && (list[length] == ',' || list[length] == '\0'))
            return true;
        list = strchr(list, ',');
        if (!list)
            return false;
    }
}

bool moat_linux_parse_membership(char *line, struct moat_linux_membership *membership) {
    const char *number = cut(&line, ':');
    const char *controllers = number ? cut(&line, ':') : NULL;

    if (!controllers || *number < '0' || *number > '9' || line[0] != '/')
        return false;
    membership->unified = strcmp(number, "0") == 0 && *controllers == '\0';
    membership->memory = lists(controllers, "memory");
    membership->path = line;
    return true;
}

static bool octal(char digit) {
    return digit >= '0' && digit <= '7';
}

/* Replace "\040" and its like by what they stand for. */
static void unescape(char *text) {
    char *out = text;

    while (*text) {
        if (text[0] == '\\' && octal(text[1]) && octal(text[2]) && octal(text[3])) {
            *out++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
            text += 4;
        } else {
            *out++ = *text++;
        }
    }
    *out = '\0';
}

/* 35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory */
bool moat_linux_parse_mount(char *line, struct moat_linux_mount *mount) {
    char *root, *point;

    for (unsigned field = 0; field < 3; field++)
        if (!cut(&line, ' '))
            return false;
    root = cut(&line, ' ');
    point = root ? cut(&line, ' ') : NULL;
    char *dash = point ? strstr(line, " - ") : NULL;
    if (!dash || root[0] != '/' || point[0] != '/')
        return false;
    line = dash + 3;
    const char *type = cut(&line, ' ');
    if (!type || !cut(&line, ' '))
        return false;
    unescape(root);
    unescape(point);
    mount->unified = strcmp(type, "cgroup2") == 0;
    mount->memory = strcmp(type, "cgroup") == 0 && lists(line, "memory");
    mount->root = root;
    mount->point = point;
    return true;
}

static bool leads_out(const char *path) {
    for (const char *at = path; (at = strstr(at, "/..")) != NULL; at += 3)
        if (at[3] == '/' || at[3] == '\0')
            return true;
    return false;
}

const char *moat_linux_below(const char *root, const char *path) {
    size_t length = strlen(root);

    while (length > 0 && root[length - 1] == '/')
        length--;
    if (strncmp(root, path, length) != 0 || (path[length] != '/' && path[length] != '\0'))
        return NULL;
    path += length;
    if (leads_out(path))
        return NULL;
    return strcmp(path, "/") == 0 ? "" : path;
}

/* Our own path in the hierarchy that counts, into `own`. */
static bool find_membership(const char *root, bool unified, char *own, bool *is_unified) {
    struct moat_linux_membership membership;
    struct lines lines;
    bool found = false;
    char *line;

    if (!lines_open(&lines, root, "cgroup"))
        return false;
    while ((line = lines_next(&lines)) != NULL) {
        if (!moat_linux_parse_membership(line, &membership))
            continue;
        bool fits = unified ? membership.unified : membership.unified || membership.memory;
        /* Where both exist, memory is managed by whichever lists it. */
        if (!fits || (found && !membership.memory))
            continue;
        if (moat_format(own, MOAT_LINUX_PATH_SIZE, "%s", membership.path) < MOAT_LINUX_PATH_SIZE) {
            *is_unified = membership.unified;
            found = true;
        }
    }
    lines_close(&lines);
    return found;
}

bool moat_linux_cgroup_find(const char *root, bool unified, struct moat_linux_cgroup *cgroup) {
    struct moat_linux_mount mount;
    char own[MOAT_LINUX_PATH_SIZE];
    struct lines lines;
    bool found = false;
    const char *below = NULL;
    char *line;

    if (!find_membership(root, unified, own, &cgroup->unified) ||
        !lines_open(&lines, root, "mountinfo"))
        return false;
    while (!below && (line = lines_next(&lines)) != NULL) {
        if (!moat_linux_parse_mount(line, &mount) ||
            !(cgroup->unified ? mount.unified : mount.memory))
            continue;
        below = moat_linux_below(mount.root, own);
        /* A mount that does not show our path shows a group above us, unless we are outside of what
         * is ours to see; a later mount may still fit. */
        if (!below && (found || leads_out(own)))
            continue;
        const char *point = strcmp(mount.point, "/") == 0 ? "" : mount.point;
        size_t length = moat_format(cgroup->path, sizeof cgroup->path, "%s%s", root, point);
        size_t whole = moat_format(cgroup->path, sizeof cgroup->path, "%s%s%s", root, point,
                                   below ? below : "");
        cgroup->mount_length = length;
        found = whole < sizeof cgroup->path;
        if (!found)
            below = NULL;
    }
    lines_close(&lines);
    return found;
}
