/* SPDX-License-Identifier: MIT */
/*
 * lua: a language runtime lives on an IHostMalloc: scripts that build strings, tables, closures and
 * coroutines under every mode of its collector, and one that runs into the quota and goes on.
 *
 * Fails when a script's own assertions do, when a free is refused, or when anything is live after
 * the state was closed.
 */
#include "support/host_heap.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include <stdio.h>

static void *reallocate(void *heap, void *block, size_t old_size, size_t size) {
    if (size == 0) {
        host_heap_free(heap, block);
        return NULL;
    }
    /* Without a block the old size is a kind of object. Shrinking must not fail. */
    void *moved = host_heap_resize(heap, block, block ? old_size : 0, size);
    return !moved && block && size <= old_size ? block : moved;
}

static void run(const char *name, const char *mode, uint64_t quota) {
    IHostMalloc *heap = host_heap_create(quota);
    lua_State *state = lua_newstate(reallocate, heap);
    uint64_t before = host_heap_count();

    CHECK(state != NULL, "%s: no state", name);
    luaL_openlibs(state);
    lua_pushstring(state, mode);
    lua_setglobal(state, "MODE");
    if (luaL_loadstring(state, host_read_file(SCRIPTS, name)) != LUA_OK ||
        lua_pcall(state, 0, 0, 0) != LUA_OK)
        CHECK(false, "%s, %s: %s", name, mode, lua_tostring(state, -1));
    lua_close(state);
    printf("%s, %s: %llu blocks\n", name, mode, (unsigned long long)(host_heap_count() - before));
    CHECK(host_heap_destroy(heap) == 0, "%s, %s: not all was freed", name, mode);
}

/* A state that is not closed is noticed: nought above means something. */
static void forget(void) {
    IHostMalloc *heap = host_heap_create(0);
    lua_State *state = lua_newstate(reallocate, heap);
    CHECK(state != NULL, "no state");
    CHECK(host_heap_destroy(heap) > 10, "a whole state was forgotten, and nobody noticed");
}

int main(void) {
    static const char *const scripts[] = {"strings.lua", "tables.lua", "closures.lua",
                                          "coroutines.lua", "collector.lua"};
    static const char *const modes[] = {"incremental", "generational", "stress"};

    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++)
        for (size_t j = 0; j < sizeof modes / sizeof modes[0]; j++)
            run(scripts[i], modes[j], 0);
    run("quota.lua", "incremental", (uint64_t)24 << 20);
    forget();
    return 0;
}
