/* SPDX-License-Identifier: MIT */
/*
 * jit: a compiler as small as one can be, on a code heap under execute=wx. Expressions in Polish
 * notation become x86-64 functions of x; each answers what an interpreter answers. Functions are
 * cut from a shared block as long as it has room, patched in place, and freed with their block.
 */
#include <moat/code.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 65536, FUNCTIONS = 2000, TEXT = 256, SKIPPED = 77 };

typedef int64_t (*function)(int64_t x);

static struct moat_manager *manager;
static struct moat_code_heap *heap;

static void must(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "%s: %s\n", what, moat_last_error_text());
    exit(1);
}

static uint32_t random_below(uint32_t bound) {
    static uint64_t state = 1;
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(state >> 33) % bound;
}

/* An operator and two operands, the argument, or a digit. */
static char *generate(char *text, unsigned depth) {
    if (depth == 0 || random_below(5) == 0) {
        *text = random_below(3) ? (char)('0' + random_below(10)) : 'x';
        return text + 1;
    }
    *text = "+-*"[random_below(3)];
    return generate(generate(text + 1, depth - 1), depth - 1);
}

static int64_t interpret(const char **text, int64_t x) {
    char word = *(*text)++;
    if (word == 'x')
        return x;
    if (word >= '0' && word <= '9')
        return word - '0';
    uint64_t left = (uint64_t)interpret(text, x), right = (uint64_t)interpret(text, x);
    return (int64_t)(word == '+' ? left + right : word == '-' ? left - right : left * right);
}

static unsigned char *emit(unsigned char *code, const char *bytes, size_t count) {
    memcpy(code, bytes, count);
    return code + count;
}

#define EMIT(code, bytes) emit(code, bytes, sizeof(bytes) - 1)

/* The value goes to rax; rdi is x. */
static unsigned char *compile(const char **text, unsigned char *code) {
    char word = *(*text)++;
    if (word == 'x')
        return EMIT(code, "\x48\x89\xF8"); /* mov rax, rdi */
    if (word >= '0' && word <= '9') {
        code = EMIT(code, "\x48\xC7\xC0"); /* mov rax, imm32 */
        int32_t digit = word - '0';
        return emit(code, (const char *)&digit, sizeof digit);
    }
    code = EMIT(compile(text, code), "\x50");             /* push rax */
    code = EMIT(compile(text, code), "\x48\x89\xC1\x58"); /* mov rcx, rax; pop rax */
    if (word == '+')
        return EMIT(code, "\x48\x01\xC8"); /* add rax, rcx */
    if (word == '-')
        return EMIT(code, "\x48\x29\xC8"); /* sub rax, rcx */
    return EMIT(code, "\x48\x0F\xAF\xC1"); /* imul rax, rcx */
}

static function as_function(void *code) {
    function result;
    memcpy(&result, &code, sizeof result);
    return result;
}

static void check(const char *text, void *code) {
    for (int64_t x = -3; x < 4; x++) {
        const char *at = text;
        must(as_function(code)(x) == interpret(&at, x), text);
    }
}

static void compile_all(void) {
    struct moat_code_block block = {0};
    size_t used = 0;

    for (unsigned i = 0; i < FUNCTIONS; i++) {
        char text[TEXT] = "";
        const char *at = text;
        *generate(text, 1 + random_below(5)) = '\0';
        if (!block.execute || used + 16 * TEXT > block.size) {
            /* What is full is sealed and still runs; every second one is thrown away. */
            if (block.execute)
                must(moat_code_seal(heap, block.execute) == MOAT_OK, "seal");
            if (block.execute && random_below(2))
                must(moat_code_free(heap, block.execute) == MOAT_OK, "free");
            must(moat_code_alloc(heap, BLOCK, &block) == MOAT_OK, "alloc");
            used = 0;
        }
        unsigned char *start = (unsigned char *)block.write + used;
        unsigned char *end = EMIT(compile(&at, start), "\xC3");
        must(moat_code_publish(heap, block.execute) == MOAT_OK, "publish");
        check(text, (unsigned char *)block.execute + used);
        used += ((size_t)(end - start) + 15) & ~(size_t)15;
    }
}

/* A sealed function is opened, changed where it is, and sealed again. */
static void patch(void) {
    struct moat_code_block block;
    const char *at = "7";
    must(moat_code_alloc(heap, 1, &block) == MOAT_OK, "alloc");
    EMIT(compile(&at, block.write), "\xC3");
    must(moat_code_publish(heap, block.execute) == MOAT_OK, "publish");
    must(moat_code_seal(heap, block.execute) == MOAT_OK, "seal");
    must(as_function(block.execute)(0) == 7, "before");
    must(moat_code_open(heap, block.execute, &block) == MOAT_OK, "open");
    ((unsigned char *)block.write)[3] = 8;
    must(moat_code_publish(heap, block.execute) == MOAT_OK, "publish again");
    must(moat_code_seal(heap, block.execute) == MOAT_OK, "seal again");
    must(as_function(block.execute)(0) == 8, "after");
}

int main(void) {
#if !defined(__x86_64__)
    puts("this compiler knows x86-64 alone: nothing was tried");
    return SKIPPED;
#endif
    struct moat_options options;
    void *base;
    uint32_t old;

    moat_options_init(&options);
    options.execute = MOAT_EXECUTE_WX;
    must(moat_manager_create(&options, &manager) == MOAT_OK, "create");
    must(moat_code_heap_create(manager, (size_t)256 << 20, NULL, &heap) == MOAT_OK, "heap");
    compile_all();
    patch();
    /* There is no other way under this policy. */
    must(moat_reserve(manager, NULL, BLOCK, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &base) ==
             MOAT_OK,
         "reserve");
    must(moat_protect(manager, base, BLOCK, MOAT_PAGE_EXECUTE_READ, &old) == MOAT_CODE_BLOCKED,
         "protect");
    moat_code_heap_destroy(heap);
    moat_manager_destroy(manager);
    return 0;
}
