/* SPDX-License-Identifier: MIT */
/*
 * linux_symbol: which function is at this address? The file that is mapped there says so.
 *
 * For reports out of signal handlers: no allocation, no lock, a small stack, and only open, read
 * and the question for a mapping. The dynamic linker is not asked, for it may be what was
 * interrupted. What the file says is not trusted: offsets only ever go to pread, and counts are
 * bounded. Each thing that cannot be found out makes the name shorter.
 */
#define _GNU_SOURCE
#include "base/format.h"
#include "os/linux_internal.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A path that is longer is cut, and then not found. */
enum { PATH_SIZE = 512, NAME_SIZE = 96, SYMBOLS_AT_ONCE = 32 };

/* More than any file has; a file that says more is not read to its end. */
#define HEADERS_MAX 4096u
#define SYMBOLS_MAX ((uint64_t)1 << 24)

/* A file, and where in it. */
struct image {
    int file;
    uint64_t address; /* as the file itself numbers it */
    Elf64_Ehdr header;
};

static bool read_at(const struct image *image, uint64_t offset, void *bytes, size_t size) {
    if (offset > INT64_MAX)
        return false;
    ssize_t length;
    do
        length = pread(image->file, bytes, size, (off_t)offset);
    while (length < 0 && errno == EINTR);
    return length == (ssize_t)size;
}

/* Open the file, if it is still the one that is mapped. */
static int open_mapped(const char *path, const struct moat_os_mapping *mapping) {
    struct stat status;
    /* What has taken the place of the file may be a pipe, which must not be waited for. */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return -1;
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_ino == mapping->inode)
        return file;
    close(file);
    return -1;
}

/* Read the header, and turn an offset into the file into an address. */
static bool find_address(struct image *image, uint64_t offset) {
    Elf64_Ehdr *header = &image->header;
    Elf64_Phdr segment;

    if (!read_at(image, 0, header, sizeof *header) ||
        memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64)
        return false;
    for (unsigned i = 0; i < header->e_phnum && i < HEADERS_MAX; i++) {
        if (!read_at(image, header->e_phoff + i * sizeof segment, &segment, sizeof segment))
            return false;
        if (segment.p_type == PT_LOAD && offset >= segment.p_offset &&
            offset - segment.p_offset < segment.p_filesz) {
            image->address = offset - segment.p_offset + segment.p_vaddr;
            return true;
        }
    }
    return false;
}

static bool read_section(const struct image *image, unsigned number, Elf64_Shdr *section) {
    return number < image->header.e_shnum &&
           read_at(image, image->header.e_shoff + number * sizeof *section, section,
                   sizeof *section);
}

/* The table of all symbols, or of those that the dynamic linker knows. */
static bool find_symbols(const struct image *image, Elf64_Shdr *symbols) {
    Elf64_Shdr section;
    bool found = false;

    for (unsigned i = 0; i < image->header.e_shnum && i < HEADERS_MAX; i++) {
        if (!read_section(image, i, &section))
            break;
        if (section.sh_type == SHT_SYMTAB || (section.sh_type == SHT_DYNSYM && !found)) {
            *symbols = section;
            found = true;
        }
        if (section.sh_type == SHT_SYMTAB)
            break;
    }
    return found;
}

static bool covers(const Elf64_Sym *symbol, uint64_t address) {
    return ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF &&
           address >= symbol->st_value && address - symbol->st_value < symbol->st_size;
}

/* The name of the first symbol that covers the address; cut to fit. */
static bool find_name(const struct image *image, char name[static NAME_SIZE]) {
    Elf64_Sym some[SYMBOLS_AT_ONCE];
    Elf64_Shdr symbols, strings;

    if (!find_symbols(image, &symbols) || !read_section(image, symbols.sh_link, &strings))
        return false;
    uint64_t count = symbols.sh_size / sizeof some[0];
    for (uint64_t done = 0; done < count && done < SYMBOLS_MAX; done += SYMBOLS_AT_ONCE) {
        size_t here = count - done < SYMBOLS_AT_ONCE ? count - done : SYMBOLS_AT_ONCE;
        if (!read_at(image, symbols.sh_offset + done * sizeof some[0], some, here * sizeof some[0]))
            return false;
        for (size_t i = 0; i < here; i++) {
            if (!covers(&some[i], image->address) || some[i].st_name >= strings.sh_size)
                continue;
            uint64_t room = strings.sh_size - some[i].st_name;
            size_t size = room < NAME_SIZE - 1 ? room : NAME_SIZE - 1;
            memset(name, 0, NAME_SIZE);
            return read_at(image, strings.sh_offset + some[i].st_name, name, size) &&
                   name[0] != '\0';
        }
    }
    return false;
}

/* Names are others' words: what is not print is not printed. */
static void clean(char *name) {
    for (; *name != '\0'; name++)
        if (*name < ' ' || *name > '~')
            *name = '?';
}

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* What is mapped there, and from which file. */
static int find_file(uintptr_t address, struct moat_os_mapping *mapping,
                     char path[static PATH_SIZE]) {
    int maps = moat_linux_maps_open();

    if (maps < 0)
        return -maps;
    int error = moat_linux_name_ask(maps, address, mapping, path, PATH_SIZE);
    if (error != 0)
        error = moat_linux_name_read(maps, address, mapping, path, PATH_SIZE);
    close(maps);
    return error;
}

static size_t print_symbol(uintptr_t address, char *text, size_t size) {
    struct moat_os_mapping mapping;
    char path[PATH_SIZE], name[NAME_SIZE];

    if (find_file(address, &mapping, path) != 0 || !mapping.mapped || path[0] == '\0')
        return moat_format(text, size, "%#lx", (unsigned long)address);
    uint64_t offset = address - mapping.start + mapping.offset;
    struct image image = {.file = -1, .address = offset};
    bool named = false;
    if (mapping.file)
        image.file = open_mapped(path, &mapping);
    if (image.file >= 0) {
        named = find_address(&image, offset) && find_name(&image, name);
        close(image.file);
    }
    clean(path);
    if (named)
        clean(name);
    return moat_format(text, size, named ? "%s+%#lx (%s)" : "%s+%#lx", last_part(path),
                       (unsigned long)image.address, name);
}

size_t moat_os_symbol(uintptr_t address, char *text, size_t size) {
    int saved = errno;
    size_t length = print_symbol(address, text, size);
    errno = saved;
    return length;
}
