/* SPDX-License-Identifier: MIT */
/* input: choices that need not know what is there. */
#include "input.h"

#include "model.h"

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)

static struct {
    const uint8_t *data;
    size_t left;
} input;

static const uint32_t protections[] = {
    MOAT_PAGE_READWRITE,
    MOAT_PAGE_READWRITE,
    MOAT_PAGE_READWRITE,
    MOAT_PAGE_READWRITE,
    MOAT_PAGE_READONLY,
    MOAT_PAGE_NOACCESS,
    MOAT_PAGE_EXECUTE,
    MOAT_PAGE_EXECUTE_READ,
    MOAT_PAGE_EXECUTE_READWRITE,
    MOAT_PAGE_READWRITE | MOAT_PAGE_GUARD,
    MOAT_PAGE_READONLY | MOAT_PAGE_GUARD,
    MOAT_PAGE_READWRITE | MOAT_PAGE_NOCACHE,
    MOAT_PAGE_READWRITE | MOAT_PAGE_WRITECOMBINE,
    MOAT_PAGE_READONLY,
    /* from here on invalid */
    0,
    MOAT_PAGE_READONLY | MOAT_PAGE_READWRITE,
    MOAT_PAGE_NOACCESS | MOAT_PAGE_GUARD,
    MOAT_PAGE_READWRITE | MOAT_PAGE_GUARD | MOAT_PAGE_NOCACHE,
    0x08,
    0x80000000u | MOAT_PAGE_READWRITE,
};
enum { PROTECTIONS = sizeof(protections) / sizeof(protections[0]), VALID = 14 };

void input_begin(const uint8_t *data, size_t size) {
    input.data = data;
    input.left = size;
}

size_t input_left(void) {
    return input.left;
}

unsigned input_take(unsigned bytes) {
    unsigned value = 0;
    while (bytes-- > 0 && input.left > 0) {
        value = value << 8 | *input.data++;
        input.left--;
    }
    return value;
}

uint32_t input_protection(void) {
    unsigned choice = input_take(1);
    /* One in eight may be an invalid one. */
    return protections[choice < 32 ? choice % PROTECTIONS : choice % VALID];
}

uintptr_t input_wild_address(void) {
    static const uintptr_t wild[] = {0,
                                     1,
                                     0xFFFF,
                                     MODEL_USER_END - 1,
                                     MODEL_USER_END,
                                     (uintptr_t)1 << 47,
                                     (uintptr_t)1 << 63,
                                     UINTPTR_MAX - 0xFFF,
                                     UINTPTR_MAX};
    return wild[input_take(1) % (sizeof(wild) / sizeof(wild[0]))];
}

size_t input_size(void) {
    unsigned choice = input_take(1);

    if (choice < 4)
        return UINTPTR_MAX - input_take(2);
    if (choice < 8)
        return 0;
    if (choice < 120)
        return (input_take(1) % 20 + 1) * MODEL_PAGE;
    if (choice < 200)
        return input_take(2) + 1;
    if (choice < 230)
        return (input_take(1) % 8 + 1) * 64 * KIB;
    if (choice < 250)
        return (input_take(1) % 3 + 1) * MIB;
    return 4 * MIB + input_take(1) * MODEL_PAGE;
}
