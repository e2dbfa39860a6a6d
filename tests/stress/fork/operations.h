/* SPDX-License-Identifier: MIT */
/* operations: what fork_steps stops a thread in. */
#ifndef MOAT_TESTS_STRESS_FORK_OPERATIONS_H
#define MOAT_TESTS_STRESS_FORK_OPERATIONS_H

#include <moat/heap.h>
#include <moat/moat.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fork_scene {
    struct moat_manager *manager;
    struct moat_heap *heap;
    uintptr_t base; /* of what is worked on; 0: nothing that a child could ask for */
    size_t size;
};
extern struct fork_scene fork_scene;

struct fork_operation {
    const char *name;
    void (*set)(void);
    void (*run)(void);
    void (*check)(void); /* NULL: nothing besides */
    void (*undo)(void);
    bool takes_place; /* works on a place where nothing is */
    bool makes_own;   /* regions that are not in the scene: they are left in a child */
};
extern const struct fork_operation fork_operations[];
extern const unsigned fork_operation_count;

void fork_ok(enum moat_status status);

/* Have a region that is worked on. */
void fork_reserve(size_t bytes, bool commit);

void fork_stamp(uintptr_t at, size_t bytes, unsigned char value);
bool fork_is_stamped(uintptr_t at, size_t bytes, unsigned char value);

#endif
