/* SPDX-License-Identifier: MIT */
/*
 * driver: runs a libFuzzer target without libFuzzer, on inputs that are the same every time.
 *
 *   program                 INPUT_COUNT inputs, made from their numbers
 *   program -input NUMBER   one of them, to look at a failure
 *   program FILE...         inputs that libFuzzer saved
 *
 * The number is written before each input runs, because a failing target does not come back.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A target whose inputs take longer says so in <target>.cmake. */
#ifndef INPUT_COUNT
#define INPUT_COUNT 4000
#endif
#define INPUT_SIZE_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t input[INPUT_SIZE_MAX];

/* SplitMix64: any seed is as good as any other, so consecutive numbers make unrelated inputs. */
static uint64_t next_random(uint64_t *state) {
    uint64_t mixed = *state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

static void run_number(uint64_t number) {
    uint64_t state = number;
    size_t size = next_random(&state) % (INPUT_SIZE_MAX + 1);
    for (size_t i = 0; i < size; i++)
        input[i] = (uint8_t)next_random(&state);
    printf("\rinput %llu", (unsigned long long)number);
    fflush(stdout);
    LLVMFuzzerTestOneInput(input, size);
}

static int run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    size_t size = fread(input, 1, sizeof(input), file);
    fclose(file);
    LLVMFuzzerTestOneInput(input, size);
    return 0;
}

int main(int argc, char **argv) {
    /* Without address randomisation the stack lies beyond user space, where models know nothing and
     * a random protect would hit it. */
    if ((uintptr_t)__builtin_frame_address(0) >= UINT64_C(0x7FFFFFFF0000)) {
        printf("skipped: the stack lies beyond 0x7FFFFFFF0000; run with address randomisation\n");
        return 77;
    }
    if (argc == 3 && strcmp(argv[1], "-input") == 0) {
        run_number(strtoull(argv[2], NULL, 10));
        return 0;
    }
    int failures = 0;
    for (int i = 1; i < argc; i++)
        failures += run_file(argv[i]);
    for (uint64_t number = 0; argc == 1 && number < INPUT_COUNT; number++)
        run_number(number);
    printf("\n");
    return failures != 0;
}
