/* SPDX-License-Identifier: MIT */
#include "smaps.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

bool smaps_flag(const void *address, const char *flag) {
    FILE *smaps = fopen("/proc/self/smaps", "re");
    unsigned long start, end, at = (unsigned long)(uintptr_t)address;
    bool inside = false, found = false;
    char line[1024], word[8];

    cr_assert_not_null(smaps);
    snprintf(word, sizeof word, " %s", flag);
    while (fgets(line, sizeof line, smaps)) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            inside = at >= start && at < end;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, word) != NULL;
    }
    fclose(smaps);
    return found;
}

size_t smaps_without(const void *start, size_t size, const char *flag) {
    FILE *smaps = fopen("/proc/self/smaps", "re");
    unsigned long from, to, overlap = 0, first = (unsigned long)(uintptr_t)start;
    char line[1024], word[8];
    size_t sum = 0;

    cr_assert_not_null(smaps);
    snprintf(word, sizeof word, " %s", flag);
    while (fgets(line, sizeof line, smaps)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
            from = from < first ? first : from;
            to = to > first + size ? first + size : to;
            overlap = from < to ? to - from : 0;
        } else if (strncmp(line, "VmFlags:", 8) == 0 && !strstr(line, word)) {
            sum += overlap;
        }
    }
    fclose(smaps);
    return sum;
}
