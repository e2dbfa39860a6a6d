/* SPDX-License-Identifier: MIT */
/*
 * driver: runs a libFuzzer target without libFuzzer, on inputs that are the same every time.
 *
 *   program                   INPUT_COUNT inputs, made from their numbers
 *   program -input NUMBER     one of them, to look at a failure
 *   program PATH...           inputs that a fuzzer saved; of a folder all of them
 *   program -corpus FOLDER    the inputs of a folder, if there is one, and then those of numbers
 *   program -plants FOLDER    the same for each fault that the target can plant into what it
 *                             compares with, in a child, which has to fail
 *
 * What comes next is written before it runs, because a failing target does not come back. Inputs
 * are copied to blocks of their own, so that AddressSanitizer sees who reads behind one.
 */
#define _DEFAULT_SOURCE
#include "support/plant.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* A target whose inputs take longer says so in <target>.cmake. */
#ifndef INPUT_COUNT
#define INPUT_COUNT 4000
#endif

enum { NUMBER_SIZE_MAX = 4096, FILE_SIZE_MAX = 1 << 20, PATH_SIZE = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t input[FILE_SIZE_MAX];

/* Inputs that were begun; shared with children. */
static unsigned long *begun;

static void run(size_t size) {
    uint8_t *own = malloc(size ? size : 1);

    if (!own)
        abort();
    memcpy(own, input, size);
    fflush(stdout);
    ++*begun;
    LLVMFuzzerTestOneInput(own, size);
    free(own);
}

/* --- Numbers --- */

/* SplitMix64: any seed is as good as any other, so consecutive numbers make unrelated inputs. */
static uint64_t next_random(uint64_t *state) {
    uint64_t mixed = *state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

static void run_number(uint64_t number) {
    uint64_t state = number;
    size_t size = next_random(&state) % (NUMBER_SIZE_MAX + 1);
    for (size_t i = 0; i < size; i++)
        input[i] = (uint8_t)next_random(&state);
    printf("\rinput %llu", (unsigned long long)number);
    run(size);
}

static void run_numbers(void) {
    for (uint64_t number = 0; number < INPUT_COUNT; number++)
        run_number(number);
}

/* --- Files --- */

static int run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    size_t size = fread(input, 1, sizeof(input), file);
    fclose(file);
    printf("\r%s", path);
    run(size);
    return 0;
}

static int is_input(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

/* In the order of their names; *count is how many. False: no such folder. */
static bool run_folder(const char *path, int *count) {
    struct dirent **entries;
    char name[PATH_SIZE];

    *count = scandir(path, &entries, is_input, alphasort);
    if (*count < 0)
        return false;
    for (int i = 0; i < *count; i++) {
        snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
        (void)run_file(name);
        free(entries[i]);
    }
    free(entries);
    return true;
}

static int run_paths(char **paths) {
    int failures = 0, count;

    for (; *paths; paths++)
        if (!run_folder(*paths, &count))
            failures += run_file(*paths);
    printf("\n");
    return failures != 0;
}

static int run_all(const char *folder) {
    int count = 0;

    if (!run_folder(folder, &count))
        count = 0;
    run_numbers();
    printf("\r%d inputs of the corpus, and %d of numbers\n", count, INPUT_COUNT);
    return 0;
}

/* --- Plants --- */

static bool fails(const char *plant, const char *folder) {
    int status;

    *begun = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        plant_in_force = plant;
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
            _exit(0);
        _exit(run_all(folder));
    }
    return child > 0 && waitpid(child, &status, 0) == child && status != 0;
}

static int run_plants(const char *folder) {
    int missed = 0;

    for (const char *const *plant = plant_names; *plant; plant++) {
        bool found = fails(*plant, folder);
        printf("%s: %s by input %lu\n", *plant, found ? "found" : "NOT FOUND", *begun);
        missed += !found;
    }
    return missed != 0;
}

int main(int argc, char **argv) {
    /* Without address randomisation the stack lies beyond user space, where models know nothing and
     * a random protect would hit it. */
    if ((uintptr_t)__builtin_frame_address(0) >= UINT64_C(0x7FFFFFFF0000)) {
        printf("skipped: the stack lies beyond 0x7FFFFFFF0000; run with address randomisation\n");
        return 77;
    }
    begun = mmap(NULL, sizeof(*begun), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (begun == MAP_FAILED)
        return 1;
    if (argc == 1)
        return run_all("");
    if (argc == 3 && strcmp(argv[1], "-corpus") == 0)
        return run_all(argv[2]);
    if (argc == 3 && strcmp(argv[1], "-plants") == 0)
        return run_plants(argv[2]);
    if (argc == 3 && strcmp(argv[1], "-input") == 0) {
        run_number(strtoull(argv[2], NULL, 10));
        printf("\n");
        return 0;
    }
    return run_paths(argv + 1);
}
