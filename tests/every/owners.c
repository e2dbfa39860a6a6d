/* SPDX-License-Identifier: MIT */
/*
 * owners: what has regions, or is told of them: managers, heaps, code heaps, watches of memory
 * pressure, the handler of faults, forked children; and calls by the other two faces.
 */
#define _GNU_SOURCE
#include "support/product.h"

#include <moat/code.h>
#include <moat/fault.h>
#include <moat/heap.h>
#include <moat/limits.h>
#include <moat/mscoree.h>
#include <moat/numa.h>
#include <moat/pressure.h>
#include <moat/win32.h>

#include <string.h>
#include <unistd.h>

enum { RW = MOAT_PAGE_READWRITE, SMALL = 1000, LARGE = 200000, BLOCKS = 40 };
enum { CODE = 1 << 20, CODE_SIZE = 4 * PAGE };

static struct moat_manager *made;
static struct moat_heap *heap;
static struct moat_code_heap *code;
static struct moat_code_block block;
static unsigned char *blocks[BLOCKS];
static char *base;

/* Managers. */

static enum moat_status create(const char *text) {
    struct moat_options options;
    moat_options_init(&options);
    must(moat_options_parse(&options, text, NULL, 0));
    return moat_manager_create(&options, &made);
}

static enum moat_status create_plain(void) {
    return create("");
}

static enum moat_status create_with_thread(void) {
    return create("defer=8");
}

static enum moat_status create_on_nodes(void) {
    return create("numa=bind,numa_nodes=1");
}

static enum moat_status create_for_children(void) {
    return create("fork=wipe,faults=report,trap=protect");
}

static void destroy_made(void) {
    moat_manager_destroy(made);
}

static void some_regions(void) {
    void *found;
    must(moat_reserve(the_manager, NULL, 40 * PAGE, RW, MOAT_RESERVE_COMMIT, &found));
    base = found;
    memset(base, 's', 9 * PAGE);
    must(moat_reserve(the_manager, NULL, (size_t)300 << 20, RW, 0, &found));
    must(moat_reserve(the_manager, NULL, 2 << 20, RW, MOAT_RESERVE_COMMIT, &found));
}

static enum moat_status destroy(void) {
    moat_manager_destroy(the_manager);
    the_manager = NULL;
    return MOAT_OK;
}

static enum moat_status read_all(void) {
    struct moat_memory_load load;
    struct moat_limits limits;
    uint64_t nodes;
    enum moat_status status = moat_memory_load_read(the_manager, &load);
    if (!status)
        status = moat_limits_read(&limits);
    return status ? status : moat_numa_nodes(&nodes);
}

/* Heaps. */

static void heap_alone(void) {
    must(moat_heap_create(the_manager, 0, &heap));
}

static void *allocated(size_t size) {
    void *found;
    must(moat_heap_alloc(heap, size, &found));
    memset(found, (int)(size % 251), size);
    return found;
}

static void heap_in_use(void) {
    heap_alone();
    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = allocated(i ? SMALL * (i % 8 + 1) : LARGE);
}

static void destroy_heap(void) {
    moat_heap_destroy(heap);
}

static enum moat_status heap_create(void) {
    return moat_heap_create(the_manager, 0, &heap);
}

static enum moat_status heap_alloc_small(void) {
    void *found;
    return moat_heap_alloc(heap, SMALL, &found);
}

static enum moat_status heap_alloc_noted(void) {
    void *found;
    return moat_heap_alloc_debug(heap, SMALL, "owners.c", 1, &found);
}

static enum moat_status heap_alloc_large(void) {
    void *found;
    return moat_heap_alloc(heap, 5 * LARGE, &found);
}

static enum moat_status heap_free_large(void) {
    return moat_heap_free(heap, blocks[0]);
}

/* A span that the kernel does not take back is no failure of the caller's. */
static enum moat_status heap_free_small(void) {
    enum moat_status status = MOAT_OK;
    for (unsigned i = 1; i < BLOCKS && !status; i++)
        status = moat_heap_free(heap, blocks[i]);
    return status;
}

static enum moat_status heap_destroy(void) {
    moat_heap_destroy(heap);
    return MOAT_OK;
}

/* Code heaps. */

static void code_heap(void) {
    must(moat_code_heap_create(the_manager, CODE, NULL, &code));
}

static void code_block(void) {
    code_heap();
    must(moat_code_alloc(code, CODE_SIZE, &block));
    memset(block.write, 0xC3, CODE_SIZE);
}

static void code_published(void) {
    code_block();
    must(moat_code_publish(code, block.execute));
}

static void code_sealed(void) {
    code_published();
    must(moat_code_seal(code, block.execute));
}

static void destroy_code(void) {
    moat_code_heap_destroy(code);
}

static enum moat_status code_create(void) {
    return moat_code_heap_create(the_manager, CODE, NULL, &code);
}

static enum moat_status code_alloc(void) {
    struct moat_code_block more;
    return moat_code_alloc(code, CODE_SIZE, &more);
}

static enum moat_status code_publish(void) {
    return moat_code_publish(code, block.execute);
}

static enum moat_status code_seal(void) {
    return moat_code_seal(code, block.execute);
}

static enum moat_status code_open(void) {
    return moat_code_open(code, block.execute, NULL);
}

static enum moat_status code_free(void) {
    return moat_code_free(code, block.execute);
}

/* What notifies. */

static void heard(enum moat_memory_level level, void *context) {
    (void)level;
    (void)context;
}

static enum moat_status watch_pressure(void) {
    return moat_pressure_watch(the_manager, heard, NULL);
}

static void stop_pressure(void) {
    moat_pressure_stop(the_manager);
}

static enum moat_status install_handler(void) {
    return moat_fault_handler_install(NULL, NULL);
}

static void handler(void) {
    must(install_handler());
}

static enum moat_status remove_handler(void) {
    return moat_fault_handler_remove();
}

static void without_handler(void) {
    (void)!moat_fault_handler_remove();
}

/* Forked children: their first calls mend what the fork left. */

static void refused_or_done(enum moat_status status) {
    if (status && status != MOAT_NO_MEMORY && status != MOAT_COMMIT_LIMIT)
        wrong("in the child: %s: %s", moat_status_describe(status)->name, moat_last_error_text());
}

static enum moat_status work_in_child(void) {
    pid_t child = fork();
    if (child == 0) {
        void *found;
        refused_or_done(moat_commit(the_manager, base, 40 * PAGE, RW, NULL));
        refused_or_done(moat_decommit(the_manager, base + 9 * PAGE, 9 * PAGE));
        refused_or_done(moat_reserve(the_manager, NULL, 5 * PAGE, RW, 0, &found));
        steps_disarm();
        must(moat_reserve(the_manager, NULL, 5 * PAGE, RW, MOAT_RESERVE_COMMIT, &found));
        must(moat_release(the_manager, found));
        end_child();
    }
    await_child(child);
    return MOAT_OK;
}

/* The other faces: what they answer, in the words of this one. */

static enum moat_status from_last_error(bool good) {
    DWORD error = GetLastError();
    if (good)
        return MOAT_OK;
    if (error != ERROR_NOT_ENOUGH_MEMORY && error != ERROR_COMMITMENT_LIMIT)
        wrong("the last error is %u: %s", (unsigned)error, moat_last_error_text());
    return error == ERROR_NOT_ENOUGH_MEMORY ? MOAT_NO_MEMORY : MOAT_COMMIT_LIMIT;
}

static void virtual_region(void) {
    base = VirtualAlloc(NULL, 40 * PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    must(base ? MOAT_OK : MOAT_NO_MEMORY);
    memset(base, 'v', 40 * PAGE);
}

static void virtual_end(void) {
    (void)VirtualFree(base, 0, MEM_RELEASE);
}

static enum moat_status virtual_alloc(void) {
    base = VirtualAlloc(NULL, 40 * PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    return from_last_error(base != NULL);
}

static enum moat_status virtual_protect(void) {
    DWORD old;
    return from_last_error(VirtualProtect(base, 3 * PAGE, PAGE_READONLY, &old));
}

static enum moat_status virtual_decommit(void) {
    return from_last_error(VirtualFree(base + PAGE, 3 * PAGE, MEM_DECOMMIT));
}

static enum moat_status virtual_free(void) {
    return from_last_error(VirtualFree(base, 0, MEM_RELEASE));
}

static IHostMemoryManager *host;

static enum moat_status from_result(HRESULT result) {
    if (result == S_OK)
        return MOAT_OK;
    if (result != E_OUTOFMEMORY)
        wrong("the result is %#x: %s", (unsigned)result, moat_last_error_text());
    return MOAT_NO_MEMORY;
}

static void create_host(void) {
    must(from_result(moat_create_host_memory_manager(NULL, &host)));
    the_manager = moat_host_native_manager(host);
}

static void release_host(void) {
    host->lpVtbl->Release(host);
    the_manager = NULL;
}

static enum moat_status host_create(void) {
    return from_result(moat_create_host_memory_manager(NULL, &host));
}

static void release_created(void) {
    host->lpVtbl->Release(host);
}

static enum moat_status host_alloc(void) {
    void *found;
    return from_result(host->lpVtbl->VirtualAlloc(host, NULL, 40 * PAGE, MEM_RESERVE | MEM_COMMIT,
                                                  PAGE_READWRITE, eTaskCritical, &found));
}

static enum moat_status host_malloc(void) {
    IHostMalloc *made_malloc;
    HRESULT result = host->lpVtbl->CreateMalloc(host, 0, &made_malloc);
    if (result == S_OK)
        made_malloc->lpVtbl->Release(made_malloc);
    return from_result(result);
}

static enum moat_status host_load(void) {
    DWORD load;
    SIZE_T available;
    return from_result(host->lpVtbl->GetMemoryLoad(host, &load, &available));
}

#define LESS SAYS(MOAT_NOT_SUPPORTED)

static const struct operation bare[] = {
    {"create a manager", NULL, create_plain, destroy_made, OP_BARE | OP_WEAKER, 0},
    {"create one with a thread", NULL, create_with_thread, destroy_made,
     OP_BARE | OP_WEAKER | OP_THREAD, LESS},
    {"create one on nodes", NULL, create_on_nodes, destroy_made, OP_BARE | OP_WEAKER,
     LESS | SAYS(MOAT_INVALID_ARGUMENT)},
    {"create one for children", NULL, create_for_children, destroy_made, OP_BARE | OP_WEAKER, LESS},
    {"create a host", NULL, host_create, release_created, OP_BARE | OP_WEAKER, 0},
    {"VirtualAlloc", NULL, virtual_alloc, virtual_end, OP_BARE | OP_ANYWHERE | OP_LEAVES, 0},
    {"VirtualProtect", virtual_region, virtual_protect, virtual_end, OP_BARE, 0},
    {"VirtualFree, decommit", virtual_region, virtual_decommit, virtual_end, OP_BARE | OP_TRAPS, 0},
    {"VirtualFree", virtual_region, virtual_free, NULL, OP_BARE | OP_TRAPS, 0},
    {"host: VirtualAlloc", create_host, host_alloc, release_host, OP_BARE | OP_ANYWHERE, 0},
    {"host: CreateMalloc", create_host, host_malloc, release_host, OP_BARE | OP_WEAKER, 0},
    {"host: GetMemoryLoad", create_host, host_load, release_host, OP_BARE, 0},
};

static const struct operation owners[] = {
    {"destroy a manager", some_regions, destroy, NULL, OP_SUCCEEDS | OP_WEAKER | OP_LEAVES, 0},
    {"read loads and limits", NULL, read_all, NULL, 0, LESS},
    {"create a heap", NULL, heap_create, destroy_heap, OP_WEAKER, 0},
    {"alloc the first block", heap_alone, heap_alloc_small, destroy_heap, OP_ANYWHERE, 0},
    {"alloc a block", heap_in_use, heap_alloc_small, destroy_heap, OP_ANYWHERE, 0},
    {"alloc a block with a note", heap_in_use, heap_alloc_noted, destroy_heap, OP_ANYWHERE, 0},
    {"alloc a large block", heap_in_use, heap_alloc_large, destroy_heap, OP_ANYWHERE, 0},
    {"free a large block", heap_in_use, heap_free_large, destroy_heap, OP_TRAPS, 0},
    {"free small blocks", heap_in_use, heap_free_small, destroy_heap, OP_SUCCEEDS | OP_WEAKER, 0},
    {"destroy a heap", heap_in_use, heap_destroy, NULL, OP_SUCCEEDS | OP_WEAKER, 0},
    {"watch pressure", NULL, watch_pressure, stop_pressure, OP_THREAD | OP_WEAKER, LESS},
    {"install the handler of faults", NULL, install_handler, without_handler, 0, LESS},
    {"remove the handler of faults", handler, remove_handler, without_handler, 0, LESS},
    {"a forked child", some_regions, work_in_child, NULL, OP_SUCCEEDS, 0},
};

static const struct operation codes[] = {
    {"create a code heap", NULL, code_create, destroy_code, OP_ANYWHERE, LESS},
    {"alloc code", code_heap, code_alloc, destroy_code, OP_OPENS | OP_ANYWHERE, 0},
    {"publish code", code_block, code_publish, destroy_code, 0, 0},
    {"seal code", code_published, code_seal, destroy_code, OP_STEPS, 0},
    {"open code", code_sealed, code_open, destroy_code, 0, 0},
    {"free code", code_published, code_free, destroy_code, OP_STEPS, 0},
};

static const char *const usual[] = {"", NULL};
static const char *const rungs[] = {"trap=auto", "trap=protect", NULL};
static const char *const writing[] = {"execute=wx", NULL};

int main(int count, char **arguments) {
#define GROUP(operations, options)                                                                 \
    { operations, sizeof operations / sizeof operations[0], options }
    static const struct group groups[] = {
        GROUP(bare, usual),
        GROUP(owners, rungs),
        GROUP(codes, writing),
    };
    return product_main(count, arguments, groups, sizeof groups / sizeof groups[0]);
}
