/* SPDX-License-Identifier: MIT */
/*
 * face_model: any sequence of calls by the two foreign faces does what the model of an array of
 * pages says, and answers with the code that the contract has for it, to the letter: win32.h on the
 * manager of the process, and a hosting interface on a manager of its own, each with the memory of
 * the other beside it.
 *
 * What both have in common with the native face are the acts of core_model; here is what only they
 * can be asked for.
 */
#include "support/act.h"
#include "support/face.h"
#include "support/face_malloc.h"
#include "support/input.h"
#include "support/plant.h"
#include "support/resting.h"
#include "support/verify.h"
#include "support/world.h"

#include <moat/win32.h>

#include <string.h>

enum { OPERATIONS_MAX = 512, FULL_CHECK_EVERY = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const plant_names[] = {"decommit-past-the-end-is-487", "not-ours-is-invalid-address",
                                   "length-before-pointer",        "free-needs-no-type",
                                   "commit-needs-reserve",         "free-of-null-is-refused",
                                   "offers-need-no-priority",      NULL};

/* --- VirtualQuery --- */

static uint32_t state_of(const struct moat_page_info *info) {
    return info->state == MOAT_STATE_FREE       ? MEM_FREE
           : info->state == MOAT_STATE_RESERVED ? MEM_RESERVE
                                                : MEM_COMMIT;
}

static uint32_t kind_of(const struct moat_page_info *info) {
    return info->kind == MOAT_KIND_PRIVATE  ? MEM_PRIVATE
           : info->kind == MOAT_KIND_MAPPED ? MEM_MAPPED
           : info->kind == MOAT_KIND_IMAGE  ? MEM_IMAGE
                                            : 0;
}

static size_t query(unsigned face, void *address, void *buffer, size_t length) {
    size_t written = length;

    face_before();
    if (face == FACE_WIN32) {
        written = VirtualQuery(address, buffer, length);
        (void)face_after_win32(written != 0);
    } else {
        (void)face_after_com(
            face_host->lpVtbl->VirtualQuery(face_host, address, buffer, length, &written));
    }
    return written;
}

/* What the native query says is compared with the model already. */
static void check_answer(const MEMORY_BASIC_INFORMATION *is, uintptr_t address) {
    MEMORY_BASIC_INFORMATION should;
    struct moat_page_info info;

    if (moat_query((const void *)address, &info))
        verify_fail("%#lx cannot be queried", (unsigned long)address);
    memset(&should, 0, sizeof(should));
    should.BaseAddress = info.base;
    should.AllocationBase = info.allocation_base;
    should.AllocationProtect = info.allocation_protection;
    should.RegionSize = info.size;
    should.State = state_of(&info);
    should.Protect = info.protection;
    should.Type = kind_of(&info);
    if (memcmp(is, &should, sizeof(should)) != 0)
        verify_fail("query of %#lx: base %p of %p, size %#zx, state %#x, protection %#x, type %#x",
                    (unsigned long)address, is->BaseAddress, is->AllocationBase, is->RegionSize,
                    is->State, is->Protect, is->Type);
}

static void act_query_face(unsigned face) {
    unsigned choice = input_take(1);
    uintptr_t address = world_address();
    char buffer[sizeof(MEMORY_BASIC_INFORMATION) + 16], before[sizeof(buffer)];
    size_t length = choice & 1 ? sizeof(buffer) : sizeof(MEMORY_BASIC_INFORMATION);
    enum moat_status should = address < MODEL_USER_END ? MOAT_OK : MOAT_INVALID_ARGUMENT;
    void *out = choice >= 248 ? NULL : buffer;

    if (choice >= 232 && choice < 248)
        length = choice % 48;
    if (!out)
        should = MOAT_NO_ACCESS;
    if (length < sizeof(MEMORY_BASIC_INFORMATION) && (out || !plant_is("length-before-pointer")))
        should = MOAT_BAD_LENGTH;
    if (choice == 255 && face == FACE_COM) {
        face_before();
        (void)face_after_com(
            face_host->lpVtbl->VirtualQuery(face_host, (void *)address, buffer, length, NULL));
        face_expect(MOAT_NO_ACCESS);
        return;
    }
    if (choice == 254)
        length = 0;
    if (choice == 254 && !plant_is("length-before-pointer"))
        should = MOAT_BAD_LENGTH;
    memset(buffer, 0xA5, sizeof(buffer));
    memcpy(before, buffer, sizeof(buffer));
    verify_note("%u query %#lx length %zu", face, (unsigned long)address, length);
    size_t written = query(face, (void *)address, out, length);
    face_expect(should);
    if (written != (should ? 0 : sizeof(MEMORY_BASIC_INFORMATION)))
        verify_fail("query wrote %zu bytes", written);
    size_t kept = should ? 0 : sizeof(MEMORY_BASIC_INFORMATION);
    if (memcmp(buffer + kept, before + kept, sizeof(buffer) - kept) != 0)
        verify_fail("query changed what it should not");
    if (!should) {
        MEMORY_BASIC_INFORMATION answer;
        memcpy(&answer, buffer, sizeof(answer));
        check_answer(&answer, address);
    }
}

/* --- What no state makes right --- */

static bool one_bit(uint32_t bits) {
    return bits != 0 && (bits & (bits - 1)) == 0;
}

/* By the table of flags of VirtualAlloc. */
static bool type_valid(uint32_t type) {
    const uint32_t both = MEM_RESERVE | MEM_COMMIT, resets = MEM_RESET | MEM_RESET_UNDO;

    if (type & ~(both | resets | MEM_TOP_DOWN | MEM_WRITE_WATCH | MEM_LARGE_PAGES))
        return false;
    if (type & resets)
        return one_bit(type);
    if (type == MEM_COMMIT && plant_is("commit-needs-reserve"))
        return false;
    if (!(type & both) || ((type & MEM_WRITE_WATCH) && !(type & MEM_RESERVE)))
        return false;
    return !(type & MEM_LARGE_PAGES) || ((type & both) == both && !(type & MEM_WRITE_WATCH));
}

static bool protection_valid(uint32_t protection) {
    uint32_t basic = protection & 0xFF, modifier = protection & ~0xFFu;
    const uint32_t basics = 0x01 | 0x02 | 0x04 | 0x10 | 0x20 | 0x40;

    if (!one_bit(basic) || !(basic & basics) || (modifier & ~0x700u))
        return false;
    return modifier == 0 ||
           (one_bit(modifier) && (basic != PAGE_NOACCESS || plant_is("commit-needs-reserve")));
}

static uint32_t take_type(void) {
    static const uint32_t bits[] = {MEM_COMMIT,   MEM_RESERVE,     MEM_RESET,       MEM_RESET_UNDO,
                                    MEM_TOP_DOWN, MEM_WRITE_WATCH, MEM_LARGE_PAGES, MEM_PHYSICAL,
                                    MEM_DECOMMIT, MEM_RELEASE,     MEM_FREE,        0x1,
                                    0x40000,      0x40000000,      0x4000,          MEM_MAPPED};
    uint32_t type = 0;

    for (unsigned count = input_take(1) % 4; count > 0; count--)
        type |= bits[input_take(1) % 16];
    return type;
}

/* A type, protection, size, level or pointer that is wrong whatever is there. */
static void act_alloc_wrong(unsigned face) {
    unsigned choice = input_take(1);
    uint32_t type = take_type(), protection = choice & 4 ? input_protection() : input_take(2);
    uintptr_t address = world_address();
    size_t size = choice & 1 ? 0 : MODEL_PAGE;
    unsigned level = choice & 2 ? 3 + choice : 0;
    enum moat_status should = MOAT_INVALID_ARGUMENT;
    void *start = &start, **out = choice >= 240 ? NULL : &start;

    if (face == FACE_WIN32
            ? type_valid(type) && protection_valid(protection) && size
            : type_valid(type) && protection_valid(protection) && size && out && level == 0)
        return;
    verify_note("%u alloc %#lx size %zu type %#x protection %#x", face, (unsigned long)address,
                size, type, protection);
    face_before();
    if (face == FACE_WIN32) {
        start = VirtualAlloc((void *)address, size, type, protection);
        (void)face_after_win32(start != NULL);
    } else {
        (void)face_after_com(face_host->lpVtbl->VirtualAlloc(
            face_host, (void *)address, size, type, protection, (EMemoryCriticalLevel)level, out));
        if (!out)
            should = MOAT_NO_ACCESS;
    }
    face_expect(should);
    if ((face == FACE_WIN32 || out) && start)
        verify_fail("a failed alloc left %p", start);
}

static bool free_type_valid(uint32_t type, size_t size) {
    if (type == MEM_DECOMMIT || (type == MEM_RELEASE && size == 0))
        return true;
    return size != 0 && (type == (MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS) ||
                         type == (MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER));
}

static void act_free_wrong(unsigned face) {
    static const uint32_t types[] = {0,
                                     MEM_RELEASE,
                                     MEM_DECOMMIT,
                                     MEM_RELEASE | MEM_DECOMMIT,
                                     MEM_FREE,
                                     MEM_RELEASE | 1,
                                     MEM_RELEASE | 2,
                                     MEM_RELEASE | 3,
                                     MEM_DECOMMIT | 1,
                                     MEM_COMMIT,
                                     2,
                                     0xFFFFFFFFu};
    unsigned choice = input_take(1);
    uint32_t type = types[choice % 12];
    uintptr_t address = world_address();
    size_t size = choice & 16 ? 0 : world_size(address);
    bool above = face == FACE_WIN32 && address >= MODEL_USER_END;

    if (free_type_valid(type, size) && !above && !plant_is("free-needs-no-type"))
        return;
    verify_note("%u free %#lx size %#zx type %#x", face, (unsigned long)address, size, type);
    face_before();
    enum moat_status is = face == FACE_WIN32
                              ? face_after_win32(VirtualFree((void *)address, size, type))
                              : face_after_com(face_host->lpVtbl->VirtualFree(
                                    face_host, (void *)address, size, type));
    world_expect(is, MOAT_INVALID_ARGUMENT);
    world.model.reports[face]++;
}

/* OfferVirtualMemory, its undo and VirtualAllocExNuma, with what is wrong whatever is there. */
static void act_extended_wrong(unsigned face) {
    unsigned choice = input_take(1);
    uintptr_t address = world_address();
    void *start = (void *)address;
    DWORD error = ERROR_SUCCESS, should = ERROR_INVALID_PARAMETER;

    (void)face;
    verify_note("offer, reclaim or alloc %#lx, wrongly by %u", (unsigned long)address, choice % 8);
    face_before();
    if (choice % 8 < 4) {
        HANDLE process = choice & 1 ? NULL : GetCurrentProcess();
        start = VirtualAllocExNuma(process, start, MODEL_PAGE, MEM_RESERVE, PAGE_READWRITE,
                                   64u + choice);
        if (choice & 1)
            should = ERROR_INVALID_HANDLE;
        if (start || GetLastError() != should)
            verify_fail("%p of a node of nobody, and the error %u", start, GetLastError());
        return;
    }
    if (choice % 8 == 4)
        error = OfferVirtualMemory(start, MODEL_PAGE, (OFFER_PRIORITY)(choice & 8 ? 0 : 5));
    else if (choice % 8 == 5)
        error = ReclaimVirtualMemory(start, choice & 8 ? 0 : MODEL_PAGE + 1);
    else
        error = OfferVirtualMemory((void *)(address | 1), MODEL_PAGE, VmOfferPriorityNormal);
    if (choice % 8 == 4 && plant_is("offers-need-no-priority"))
        should = ERROR_SUCCESS;
    if (GetLastError() != FACE_UNTOUCHED || error != should)
        verify_fail("the error is %u, the last one %u", error, GetLastError());
}

/* --- Load, notices and identity --- */

static void act_ask_host(unsigned face) {
    unsigned choice = input_take(1) % 8;
    const IID *ids[] = {&IID_IUnknown, &IID_IHostMemoryManager, &IID_IHostMalloc, NULL};
    DWORD load = 101;
    SIZE_T available = 0;
    void *same = &same;

    (void)face;
    verify_note("ask the host for %u", choice);
    if (choice < 4) {
        HRESULT result = face_host->lpVtbl->QueryInterface(face_host, ids[choice], &same);
        HRESULT should = choice < 2 ? S_OK : choice == 2 ? E_NOINTERFACE : E_POINTER;
        if (result != should || same != (should ? NULL : face_host) ||
            (!result && face_host->lpVtbl->Release(face_host) != 1))
            verify_fail("QueryInterface of %u answers %#x and %p", choice, (unsigned)result, same);
        return;
    }
    face_before();
    if (choice < 6) {
        (void)face_after_com(
            face_host->lpVtbl->GetMemoryLoad(face_host, &load, choice == 4 ? &available : NULL));
        face_expect(choice == 4 ? MOAT_OK : MOAT_NO_ACCESS);
        if (load > 100 || (choice == 5 && load))
            verify_fail("%u percent are in use", load);
        return;
    }
    (void)face_after_com(face_host->lpVtbl->RegisterMemoryNotificationCallback(face_host, NULL));
    face_expect(MOAT_OK);
}

/* --- An input --- */

/* How often each call comes, in a hundred and twenty-eight. */
static const struct {
    void (*act)(unsigned face);
    unsigned weight;
} acts[] = {
    {act_reserve, 12},    {act_commit, 12},        {act_reset, 5},
    {act_decommit, 8},    {act_release, 6},        {act_protect, 8},
    {act_fill, 6},        {act_watch_get, 4},      {act_watch_reset, 2},
    {act_lock_pages, 2},  {act_unlock_pages, 2},   {act_discard, 2},
    {act_reset_undo, 4},  {act_drop_content, 2},   {act_touch, 3},
    {act_placeholder, 4}, {act_replace, 4},        {act_preserve, 4},
    {act_coalesce, 3},    {act_reserve_within, 3}, {act_map, 3},
    {act_unmap, 1},       {act_adopt, 2},          {act_disown, 1},
    {act_trim, 1},        {act_level, 1},          {act_query_face, 6},
    {act_alloc_wrong, 4}, {act_free_wrong, 4},     {act_ask_host, 1},
    {act_life, 4},        {act_malloc, 2},         {act_extended_wrong, 2},
};

static void operate(void) {
    unsigned choice = input_take(1);
    unsigned face = choice & 1;

    choice >>= 1;
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
        if (choice < acts[i].weight) {
            acts[i].act(face);
            return;
        }
        choice -= acts[i].weight;
    }
}

/* The manager of the process is the same for all inputs, and goes on counting. */
static void begin(void) {
    struct moat_options options;
    unsigned choice;

    calls = &calls_foreign;
    world_open();
    choice = input_take(1);
    moat_options_init(&options);
    world_draw(FACE_COM, choice, &options);
    face_before();
    (void)face_after_com(moat_create_host_memory_manager(&options, &face_host));
    face_expect(MOAT_OK);
    world.managers[FACE_COM] = moat_host_native_manager(face_host);
    world_know(FACE_COM, &options);
    if (moat_manager_default(&world.managers[FACE_WIN32]) ||
        moat_stats_read(world.managers[FACE_WIN32], &world.model.stats[FACE_WIN32]))
        verify_fail("there is no manager of the process: %s", moat_last_error_text());
}

/* What is left goes with the host, or is given back one by one. */
static void end(void) {
    world_check_all();
    face_malloc_end();
    verify_note("%u destroy", FACE_COM);
    if (face_host->lpVtbl->Release(face_host) != 0)
        verify_fail("somebody holds the host");
    world.managers[FACE_COM] = NULL;
    model_drop_owner(&world.model, FACE_COM);
    world_check_all();
    while (world.model.region_count > 0) {
        uintptr_t base = world.model.regions[0].base;
        verify_note("%u release %#lx", FACE_WIN32, (unsigned long)base);
        (void)model_release(&world.model, FACE_WIN32, base);
        if (!VirtualFree((void *)base, 0, MEM_RELEASE))
            verify_fail("%#lx is not given back", (unsigned long)base);
    }
    for (size_t i = world.model.told_count; i-- > 0;)
        world_expect(calls->disown(FACE_WIN32, (void *)world.model.told[i].start), MOAT_OK);
    model_disown_all(&world.model, FACE_WIN32);
    world_check_all();
    if (world.model.stats[FACE_WIN32].regions_live || world.model.stats[FACE_WIN32].bytes_reserved)
        verify_fail("the manager of the process holds something");
    model_drop_owner(&world.model, FACE_WIN32);
    world_close();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input_begin(data, size);
    begin();
    for (unsigned count = 0; input_left() > 0 && count < OPERATIONS_MAX; count++) {
        operate();
        world_check();
        if (count % FULL_CHECK_EVERY == FULL_CHECK_EVERY - 1)
            world_check_all();
    }
    end();
    return 0;
}
