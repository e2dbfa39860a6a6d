/* SPDX-License-Identifier: MIT */
/*
 * fake_root: folders in the temporary directory.
 */
#define _GNU_SOURCE
#include "fake_root.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, ROOTS = 64 };

static char roots[ROOTS][64];
static unsigned root_count;
static pid_t maker;

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static void remove_all(void) {
    /* A forked child has the list, but not the right. */
    for (unsigned i = 0; i < root_count && maker == getpid(); i++)
        nftw(roots[i], remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void fake_write(const char *root, const char *path, const char *text) {
    char full[PATH_SIZE];

    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    cr_assert_not_null(file, "%s", full);
    fputs(text, file);
    cr_assert_eq(fclose(file), 0, "%s", full);
}

const char *fake_root(const struct fake_file *files) {
    cr_assert_lt(root_count, ROOTS);
    if (root_count == 0) {
        maker = getpid();
        atexit(remove_all);
    }
    char *root = roots[root_count++];
    snprintf(root, sizeof roots[0], "%s", "/tmp/moat-root-XXXXXX");
    cr_assert_not_null(mkdtemp(root), "no folder in /tmp");
    for (; files->path; files++)
        fake_write(root, files->path, files->text);
    return root;
}
