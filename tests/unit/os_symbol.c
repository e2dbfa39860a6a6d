/* SPDX-License-Identifier: MIT */
/*
 * symbol: the names of functions of this program, of a library, and of addresses that have none.
 */
#define _GNU_SOURCE
#include "os/os.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static const char *symbol_of(uintptr_t address) {
    static char text[256];
    errno = 4711;
    size_t length = moat_os_symbol(address, text, sizeof text);
    cr_assert_eq(errno, 4711);
    cr_assert_eq(length, strlen(text));
    return text;
}

static __attribute__((noinline)) int somebody(int number) {
    return number * 3 + 1;
}

/* The name, and an offset that addr2line understands: that of the symbol table. */
Test(os_symbol, a_function_of_the_program_is_named) {
    uintptr_t inside = (uintptr_t)somebody + 1;
    const char *text = symbol_of(inside);
    unsigned long offset;
    char module[64];
    cr_assert_eq(sscanf(text, "%63[^+]+%lx", module, &offset), 2, "%s", text);
    cr_assert_str_eq(module, "unit_os_symbol");
    cr_assert_eq(offset % 4096, inside % 4096);
    cr_assert(strstr(text, " (somebody)"), "%s", text);
    cr_assert_eq(somebody(2), 7);
}

/* Whose table of all symbols is stripped, as a rule. No sanitizer replaces this one. */
Test(os_symbol, an_exported_function_of_a_library_is_named) {
#ifdef __GLIBC__
    const char *text = symbol_of((uintptr_t)&memfrob + 4);
    cr_assert_eq(strncmp(text, "libc.so", 7), 0, "%s", text);
    cr_assert(strstr(text, "memfrob"), "%s", text);
#else
    cr_skip_test("the C library may be a part of this program");
#endif
}

Test(os_symbol, what_has_no_name_is_a_number) {
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char wanted[32];
    snprintf(wanted, sizeof wanted, "%#lx", (unsigned long)page);
    cr_assert_str_eq(symbol_of((uintptr_t)page), wanted);
    munmap(page, 4096);
    cr_assert_str_eq(symbol_of((uintptr_t)page), wanted);
    cr_assert_str_eq(symbol_of(16), "0x10");
    cr_assert_str_eq(symbol_of(UINTPTR_MAX), "0xffffffffffffffff");
}

/* Data of the program lies in its file too, and is nobody's code. */
Test(os_symbol, data_has_a_place_and_no_function) {
    static const int constant = 5;
    const char *text = symbol_of((uintptr_t)&constant);
    cr_assert_eq(strncmp(text, "unit_os_symbol+0x", 17), 0, "%s", text);
    cr_assert_not(strchr(text, '('), "%s", text);
}

Test(os_symbol, the_text_is_cut_to_fit) {
    char text[8];
    size_t whole = moat_os_symbol((uintptr_t)somebody, text, sizeof text);
    cr_assert_gt(whole, sizeof text);
    cr_assert_str_eq(text, "unit_os");
    cr_assert_eq(moat_os_symbol((uintptr_t)somebody, NULL, 0), whole);
}
