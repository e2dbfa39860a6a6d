/* SPDX-License-Identifier: MIT */
/*
 * scenes: the state of the world in which a method of the hosting interfaces is called, and the
 * calls. Each scene is set once in the life of a process.
 */
#ifndef MOAT_TESTS_COM_SCENES_H
#define MOAT_TESTS_COM_SCENES_H

#include <moat/moat.h>
#include <moat/mscoree.h>
#include <moat/win32.h>

#include <stdbool.h>

#define WIN32_487  HRESULT_FROM_WIN32(ERROR_INVALID_ADDRESS)
#define WIN32_24   HRESULT_FROM_WIN32(ERROR_BAD_LENGTH)
#define WIN32_31   HRESULT_FROM_WIN32(ERROR_GEN_FAILURE)
#define WIN32_1314 HRESULT_FROM_WIN32(ERROR_PRIVILEGE_NOT_HELD)
#define WIN32_1655 HRESULT_FROM_WIN32(ERROR_DYNAMIC_CODE_BLOCKED)

/* A method, a result, and how it comes to it: a scene and a call, or the reason why never. */
struct cell {
    const char *method;
    HRESULT result;
    const char *cause;
    bool (*scene)(void); /* false: this machine cannot show it */
    HRESULT (*call)(void);
};

#define NEVER NULL, NULL

enum { PAGE = MOAT_PAGE_BYTES, REGION = 16 * PAGE, LARGE = 4 << 20 };

/* What every scene begins with. */
extern IHostMemoryManager *host;
extern struct moat_manager *native;
extern IHostMalloc *heap;
extern char *region;  /* REGION bytes, committed */
extern char *mapping; /* of the test's own, acquired */
extern void *block;   /* of the heap */

/* What a scene relies on; ends the process when it does not hold. */
void must(bool condition, const char *what);

/* A committed region of REGION bytes. */
char *allocated(IHostMemoryManager *from);

/* A manager, a region of 16 committed pages, a heap with a live block, an acquired range. */
bool plain(void);
bool unloaded(void);
bool latched(void);
bool unmapped(void);           /* a page of the region, by munmap */
bool record_overwritten(void); /* that of the region, by a stray write */
bool large_block_unmapped(void);
bool locked_for_long(void);
bool locked_and_called_off(void);
bool locked_until_end(void);
bool quota_full(void);
bool no_new_code(void);    /* execute=wx */
bool no_large_pages(void); /* are set aside on this machine */
bool at_map_limit(void);
bool no_more_address_space(void); /* no mapping may be made */
bool no_more_heaps(void);         /* there is memory for */
bool no_more_acquired(void);      /* ranges there is memory for */

HRESULT create_malloc(void);
HRESULT create_malloc_null(void);
HRESULT create_malloc_bits(void);
HRESULT commit(void);
HRESULT commit_more(void);
HRESULT commit_readonly(void);
HRESULT alloc_null(void);
HRESULT alloc_invalid(void);
HRESULT reserve_over(void);
HRESULT alloc_large_pages(void);
HRESULT undo_too_late(void);
HRESULT undo_without_access(void);
HRESULT release(void);
HRESULT release_twice(void);
HRESULT release_of_another(void);
HRESULT release_adopted(void);
HRESULT decommit(void);
HRESULT decommit_inside(void);
HRESULT decommit_middle(void);
HRESULT free_invalid(void);
HRESULT free_null(void);
HRESULT query(void);
HRESULT query_null(void);
HRESULT query_above(void);
HRESULT query_short(void);
HRESULT protect(void);
HRESULT protect_null(void);
HRESULT protect_invalid(void);
HRESULT protect_free(void);
HRESULT protect_middle(void);
HRESULT alloc_code(void);
HRESULT protect_code(void);
HRESULT free_own_stack(void);
HRESULT heap_free_own_stack(void);
HRESULT memory_load(void);
HRESULT memory_load_null(void);
HRESULT register_callback(void);
HRESULT needs(void);
HRESULT needs_too_much(void);
HRESULT needs_outside(void);
HRESULT acquired(void);
HRESULT acquired_nothing(void);
HRESULT acquired_region(void);
HRESULT released(void);
HRESULT released_unknown(void);
HRESULT heap_alloc(void);
HRESULT heap_alloc_null(void);
HRESULT heap_alloc_level(void);
HRESULT heap_alloc_large(void);
HRESULT heap_debug_alloc(void);
HRESULT heap_debug_alloc_null(void);
HRESULT heap_debug_alloc_level(void);
HRESULT heap_debug_alloc_large(void);
HRESULT heap_free(void);
HRESULT heap_free_null(void);
HRESULT heap_free_foreign(void);
HRESULT heap_free_twice(void);

#endif
