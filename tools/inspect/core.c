/* SPDX-License-Identifier: MIT */
/*
 * core: the segments of a core dump, and which of them were mapped from files.
 *
 * A dump may be cut, made up or of another machine: every number is checked against the file before
 * it is used.
 */
#define _GNU_SOURCE
#include "target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTES_MAX ((uint64_t)256 << 20)

static enum ending refuse(const char *path, const char *why) {
    complain("%s: %s", path, why);
    return OUT_OF_REACH;
}

static void add_segment(struct target *target, const Elf64_Phdr *segment, uint64_t file_size) {
    struct mapping mapping = {
        .start = segment->p_vaddr,
        .end = segment->p_vaddr + segment->p_memsz,
        .in_dump = segment->p_filesz < segment->p_memsz ? segment->p_filesz : segment->p_memsz,
        .offset = segment->p_offset,
        .executable = (segment->p_flags & PF_X) != 0,
    };

    if (mapping.end < mapping.start)
        return;
    if (mapping.offset > file_size)
        mapping.in_dump = 0;
    else if (mapping.in_dump > file_size - mapping.offset)
        mapping.in_dump = file_size - mapping.offset; /* the dump was cut */
    target_add(target, &mapping);
}

/* NT_FILE: a count, a page size, then start, end and offset of each, and their names. */
static void mark_files(struct target *target, const unsigned char *notes, size_t size) {
    uint64_t head[2], range[3];

    if (size < sizeof head)
        return;
    memcpy(head, notes, sizeof head);
    for (uint64_t i = 0; i < head[0] && (i + 1) * sizeof range + sizeof head <= size; i++) {
        memcpy(range, notes + sizeof head + i * sizeof range, sizeof range);
        for (size_t j = 0; j < target->mapping_count; j++)
            if (target->mappings[j].start >= range[0] && target->mappings[j].end <= range[1])
                target->mappings[j].of_file = true;
    }
}

static void read_notes(struct target *target, const Elf64_Phdr *segment) {
    uint64_t size = segment->p_filesz;
    Elf64_Nhdr note;

    if (size > NOTES_MAX)
        return;
    unsigned char *notes = need(NULL, (size_t)size + 1);
    if (pread(target->file, notes, (size_t)size, (off_t)segment->p_offset) == (ssize_t)size)
        for (uint64_t at = 0; at + sizeof note <= size;) {
            memcpy(&note, notes + at, sizeof note);
            uint64_t content = at + sizeof note + (note.n_namesz + UINT64_C(3)) / 4 * 4;
            at = content + (note.n_descsz + UINT64_C(3)) / 4 * 4;
            if (note.n_type == NT_FILE && content + note.n_descsz <= size)
                mark_files(target, notes + content, note.n_descsz);
        }
    free(notes);
}

/* Each segment is passed to one of the two, as its type is. */
static void read_segments(struct target *target, const Elf64_Ehdr *header, uint32_t type,
                          uint64_t file_size) {
    Elf64_Phdr segment;

    for (unsigned i = 0; i < header->e_phnum; i++) {
        off_t at = (off_t)(header->e_phoff + i * sizeof segment);
        if (pread(target->file, &segment, sizeof segment, at) != (ssize_t)sizeof segment)
            return;
        if (segment.p_type != type)
            continue;
        if (type == PT_LOAD)
            add_segment(target, &segment, file_size);
        else
            read_notes(target, &segment);
    }
}

enum ending target_open_core(struct target *target, const char *path) {
    Elf64_Ehdr header;
    struct stat status;

    *target = (struct target){.file = open(path, O_RDONLY | O_CLOEXEC)};
    snprintf(target->name, sizeof target->name, "%s", path);
    if (target->file < 0 || fstat(target->file, &status) != 0)
        return refuse(path, strerror(errno));
    if (pread(target->file, &header, sizeof header, 0) != (ssize_t)sizeof header ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_type != ET_CORE)
        return refuse(path, "is no core dump; pass a process id, or the file that the kernel or "
                            "gcore left (of systemd: coredumpctl dump -o FILE)");
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr))
        return refuse(path, "is a dump of a 32-bit program, which cannot have Moat");
    read_segments(target, &header, PT_LOAD, (uint64_t)status.st_size);
    read_segments(target, &header, PT_NOTE, (uint64_t)status.st_size);
    return SHOWN;
}
