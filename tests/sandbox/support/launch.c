/* SPDX-License-Identifier: MIT */
/*
 * launch: run a program under a filter that allows the calls of some lists, and kills on any other.
 *
 *     launch LIST... -- PROGRAM [ARGUMENT...]
 *
 * A list is a text with tables; a row that begins with `names` in its first cell is about these. A
 * number in brackets behind a name is for libraries that do not know the name yet.
 */
#define _GNU_SOURCE
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SKIPPED = 77 };

static void die(const char *what, const char *which) {
    fprintf(stderr, "launch: %s: %s\n", what, which);
    exit(1);
}

static void allow(scmp_filter_ctx filter, const char *name, const char *behind) {
    int number = seccomp_syscall_resolve_name(name);
    int given = 0;
    if (number == __NR_SCMP_ERROR && sscanf(behind, " (%d)", &given) == 1)
        number = given;
    if (number == __NR_SCMP_ERROR)
        die("no such call, and no number", name);
    if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0) != 0)
        die("no rule for", name);
}

/* The names in the first cell of a row; how many. */
static unsigned read_row(scmp_filter_ctx filter, char *row) {
    unsigned count = 0;
    char *end = strchr(row + 1, '|');
    if (end)
        *end = '\0';
    for (char *name = strchr(row, '`'); name; name = strchr(name, '`')) {
        char *behind = strchr(++name, '`');
        if (!behind)
            die("no end of a name", name);
        *behind++ = '\0';
        allow(filter, name, behind);
        name = behind;
        count++;
    }
    return count;
}

static void read_list(scmp_filter_ctx filter, const char *path) {
    char line[1024];
    unsigned count = 0;
    FILE *list = fopen(path, "re");
    if (!list)
        die("cannot be read", path);
    while (fgets(line, sizeof line, list))
        if (strncmp(line, "| `", 3) == 0)
            count += read_row(filter, line);
    fclose(list);
    if (count == 0)
        die("no calls in", path);
}

int main(int count, char **arguments) {
    int at = 1;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        die("no filter", "seccomp_init");
    for (; at < count && strcmp(arguments[at], "--") != 0; at++)
        read_list(filter, arguments[at]);
    if (at + 1 >= count)
        die("no program", "launch LIST... -- PROGRAM [ARGUMENT...]");
    if (seccomp_load(filter) != 0) {
        fprintf(stderr, "launch: this kernel takes no filter\n");
        return SKIPPED;
    }
    execv(arguments[at + 1], arguments + at + 1);
    die("cannot be run", arguments[at + 1]);
}
