/* SPDX-License-Identifier: MIT */
/*
 * elf_symbol: any file that is mapped names the code at an address as another reader of ELF does,
 * which has all of it in memory, or names none; the text is print, and fits.
 *
 * The first two bytes of an input say where in the file the address lies, the rest is the file.
 */
#define _GNU_SOURCE
#include "os/os.h"
#include "support/plant.h"
#include "support/verify.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const plant_names[] = {"end-of-symbol", "any-symbol", "segment-of-memory",
                                   "name-uncut",    "undefined",  NULL};

/* Names are cut to 95 characters. */
enum { FILE_MAX = 1 << 15, NAME_MAX_SIZE = 95, TEXT_SIZE = 256 };

static const uint8_t *file;
static size_t file_size;

/* Bytes that are in the file; NULL: not all of them are. */
static const void *at(uint64_t offset, uint64_t size) {
    return offset <= file_size && size <= file_size - offset ? file + offset : NULL;
}

static bool get(uint64_t offset, void *to, size_t size) {
    const void *from = at(offset, size);

    if (from)
        memcpy(to, from, size);
    return from != NULL;
}

/* --- The other reader --- */

static bool get_section(const Elf64_Ehdr *header, uint64_t number, Elf64_Shdr *section) {
    return number < header->e_shnum &&
           get(header->e_shoff + number * sizeof(*section), section, sizeof(*section));
}

static bool find_address(const Elf64_Ehdr *header, uint64_t offset, uint64_t *address) {
    Elf64_Phdr segment;

    for (unsigned i = 0; i < header->e_phnum && i < 4096; i++) {
        if (!get(header->e_phoff + i * sizeof(segment), &segment, sizeof(segment)))
            return false;
        uint64_t size = plant_is("segment-of-memory") ? segment.p_memsz : segment.p_filesz;
        if (segment.p_type == PT_LOAD && offset >= segment.p_offset &&
            offset - segment.p_offset < size) {
            *address = offset - segment.p_offset + segment.p_vaddr;
            return true;
        }
    }
    return false;
}

/* All symbols, or else those of the dynamic linker. */
static bool find_table(const Elf64_Ehdr *header, Elf64_Shdr *table) {
    static const uint32_t kinds[] = {SHT_SYMTAB, SHT_DYNSYM};

    for (unsigned kind = 0; kind < 2; kind++)
        for (unsigned i = 0; i < header->e_shnum && i < 4096; i++) {
            if (!get_section(header, i, table))
                break;
            if (table->sh_type == kinds[kind])
                return true;
        }
    return false;
}

static bool covers(const Elf64_Sym *symbol, uint64_t address) {
    bool function = (symbol->st_info & 15) == STT_FUNC || plant_is("any-symbol");
    bool defined = symbol->st_shndx != SHN_UNDEF || plant_is("undefined");

    return function && defined && address >= symbol->st_value &&
           (address - symbol->st_value < symbol->st_size ||
            (plant_is("end-of-symbol") && address - symbol->st_value == symbol->st_size));
}

static bool find_name(const Elf64_Ehdr *header, uint64_t address, char *name) {
    Elf64_Shdr table, strings;
    Elf64_Sym symbol;

    if (!find_table(header, &table) || !get_section(header, table.sh_link, &strings))
        return false;
    uint64_t count = table.sh_size / sizeof(symbol);
    for (uint64_t i = 0; i < count && i < UINT64_C(1) << 24; i++) {
        /* They are read 32 at a time: what is cut short is not looked at. */
        uint64_t batch = i / 32 * 32, here = count - batch < 32 ? count - batch : 32;
        if (!at(table.sh_offset + batch * sizeof(symbol), here * sizeof(symbol)) ||
            !get(table.sh_offset + i * sizeof(symbol), &symbol, sizeof(symbol)))
            return false;
        if (!covers(&symbol, address) || symbol.st_name >= strings.sh_size)
            continue;
        uint64_t room = strings.sh_size - symbol.st_name;
        uint64_t length = room < NAME_MAX_SIZE ? room : NAME_MAX_SIZE;
        const char *from = at(strings.sh_offset + symbol.st_name, length);
        if (!from)
            return false;
        memcpy(name, from, length);
        name[length] = '\0';
        return name[0] != '\0';
    }
    return false;
}

static void say(uint64_t offset, char *text) {
    uint64_t address = offset;
    char name[NAME_MAX_SIZE + 1];
    Elf64_Ehdr header;

    bool named = get(0, &header, sizeof(header)) && memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
                 header.e_ident[EI_CLASS] == ELFCLASS64 &&
                 find_address(&header, offset, &address) && find_name(&header, address, name);
    if (named && plant_is("name-uncut"))
        strcat(name, "?");
    for (char *c = name; named && *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    snprintf(text, TEXT_SIZE, named ? "+%#lx (%s)" : "+%#lx", (unsigned long)address, name);
}

/* --- An input --- */

static int memory = -1; /* holds the file; the list of mappings names it so: */
static const char listed[] = "/memfd:symbols (deleted)";

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

int __wrap_open(const char *path, int flags, ...) {
    char link[64];

    if (strcmp(path, listed) != 0)
        return __real_open(path, flags, 0600);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", memory);
    return __real_open(link, flags);
}

static void compare(size_t offset) {
    char is[TEXT_SIZE], should[TEXT_SIZE], cut[24];
    char *mapped = mmap(NULL, file_size, PROT_READ, MAP_PRIVATE, memory, 0);

    if (mapped == MAP_FAILED)
        abort();
    size_t length = moat_os_symbol((uintptr_t)mapped + offset, is, sizeof(is));
    size_t again = moat_os_symbol((uintptr_t)mapped + offset, cut, sizeof(cut));
    munmap(mapped, file_size);
    strcpy(should, listed + 1);
    say(offset, should + strlen(should));
    if (strcmp(is, should) != 0)
        verify_fail("byte %zu of the file is \"%s\", not \"%s\"", offset, is, should);
    if (length != strlen(is) || again != length || strlen(cut) != sizeof(cut) - 1 ||
        strncmp(cut, is, sizeof(cut) - 1) != 0)
        verify_fail("\"%s\" has the length %zu, and is cut to \"%s\"", is, length, cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3 || size > FILE_MAX)
        return 0;
    file = data + 2;
    file_size = size - 2;
    if (memory < 0)
        memory = memfd_create("symbols", 0);
    if (memory < 0 || ftruncate(memory, (off_t)file_size) != 0 ||
        pwrite(memory, file, file_size, 0) != (ssize_t)file_size)
        abort();
    compare((data[0] | (size_t)data[1] << 8) % file_size);
    return 0;
}
