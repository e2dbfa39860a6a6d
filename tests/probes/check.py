#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The probes of the library: that each is there as documented, a nop, and tells the truth.

    check.py --library libmoat.so --deeds PROGRAM [--build-for aarch64-linux-gnu-gcc]
    check.py --library libmoat.so --deeds PROGRAM --self-test     planted faults

The notes are read here, byte by byte, and compared with the table of TOOLS.md. Then gdb stops at
each probe of a program that does everything once and says what a tool has to see. 77: no gdb, or it
may trace nothing here.
"""

import argparse
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOPS = {62: b"\x90", 183: b"\x1f\x20\x03\xd5"}  # by machine: x86-64, AArch64
REGISTER = {62: r"%r[a-z0-9]+", 183: r"x[0-9]+|sp"}
CONSTANT = {62: r"\$-?[0-9]+", 183: r"-?[0-9]+"}
ROW = re.compile(r"^\| `(\w+):(\w+)` \| `([^`]*)` \|", re.M)
# What a heap does to have room, and a manager to have a heap.
INNER = {"moat:reserve", "moat:commit", "moat:release", "otel_memory:mmap", "otel_memory:munmap"}


class Wrong(Exception):
    pass


def sections(data):
    """(name, type, flags, address, bytes) of each section of a 64-bit little-endian ELF file."""
    start, = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3A)
    heads = [struct.unpack_from("<IIQQQQ", data, start + i * size) for i in range(count)]
    texts = heads[names]
    for name, kind, flags, address, offset, length in heads:
        begin = texts[4] + name
        text = data[begin:data.index(b"\0", begin)].decode()
        yield text, kind, flags, address, b"" if kind == 8 else data[offset:offset + length]


def read_notes(data):
    """(address, base, semaphore, provider, name, arguments) of each probe."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise Wrong("not a 64-bit little-endian ELF file")
    notes = []
    for name, kind, flags, _, body in sections(data):
        if name != ".note.stapsdt":
            continue
        if kind != 7 or flags & 2:
            raise Wrong(".note.stapsdt is not a note, or is loaded with the program")
        at = 0
        while at < len(body):
            owner, length, number = struct.unpack_from("<III", body, at)
            start = at + 12 + (owner + 3) // 4 * 4
            if body[at + 12:at + 12 + owner] != b"stapsdt\0" or number != 3:
                raise Wrong(f"a note of {body[at + 12:at + 12 + owner]}, number {number}")
            words = struct.unpack_from("<QQQ", body, start)
            texts = body[start + 24:start + length].split(b"\0")
            if len(texts) != 4 or texts[3]:
                raise Wrong(f"a note has not three texts: {texts}")
            notes.append((*words, *(text.decode() for text in texts[:3])))
            at = start + (length + 3) // 4 * 4
    return notes


def check_notes(data, table, linked):
    """What is in the file is what the table says."""
    machine, = struct.unpack_from("<H", data, 18)
    operand = re.compile(rf"8@(?:{REGISTER[machine]}|{CONSTANT[machine]})")
    code = [(address, body) for _, _, flags, address, body in sections(data) if flags & 4]
    bases = {address for name, _, _, address, _ in sections(data) if name == ".stapsdt.base"}
    seen = {}
    notes = read_notes(data)
    for address, base, semaphore, provider, name, arguments in notes:
        probe = f"{provider}:{name}"
        seen[probe] = seen.get(probe, 0) + 1
        operands = arguments.split()
        if probe not in table:
            raise Wrong(f"{probe} is not in the table of TOOLS.md")
        if len(operands) != len(table[probe]):
            raise Wrong(f"{probe} has {len(operands)} arguments, its row {len(table[probe])}")
        for text in operands:
            if not operand.fullmatch(text):
                raise Wrong(f"{probe}: an argument that not every tool can read: {text}")
        if not linked:
            continue
        if semaphore or base not in bases:
            raise Wrong(f"{probe}: semaphore {semaphore:#x}, base {base:#x} of {bases}")
        nop = NOPS[machine]
        there = [body[address - start:][:len(nop)] for start, body in code
                 if start <= address < start + len(body)]
        if there != [nop]:
            raise Wrong(f"{probe} at {address:#x} is no nop: {there}")
    if linked and seen.keys() != table.keys():
        raise Wrong(f"in the table of TOOLS.md, and not there: {table.keys() - seen.keys()}")
    return seen


def gdb_script(probes):
    yield from ("set pagination off", "set confirm off", "set debuginfod enabled off",
                "set width 0", "handle SIGSEGV nostop noprint pass", "tbreak main", "run")
    for probe, arguments in probes.items():
        yield f"break -probe-stap {probe}"
        values = ", ".join(f"(unsigned long)$_probe_arg{i}" for i in range(len(arguments)))
        yield "commands\nsilent"
        yield f'printf "probe {probe}{" %lx" * len(arguments)}\\n", {values}'
        yield "continue\nend"
    yield from ("continue", "quit")


def look_in(program, table, folder):
    """What the program says, and what gdb sees: two lists of lists of words."""
    script = pathlib.Path(folder, "script")
    script.write_text("\n".join(gdb_script(table)) + "\n")
    run = subprocess.run(["gdb", "-nx", "-batch", "-x", script, program], timeout=600,
                         text=True, stdin=subprocess.DEVNULL, capture_output=True)
    output = run.stdout + run.stderr
    if re.search(r"ptrace: Operation not permitted|Could not trace the inferior", output):
        print("probes: nothing can be traced here; the notes alone were checked")
        sys.exit(77)
    if "deeds: done" not in output:
        raise Wrong(f"the program did not end as it should:\n{output[-3000:]}")
    said = [line.split()[1:] for line in output.splitlines() if line.startswith("deed ")]
    seen = [line.split()[1:] for line in output.splitlines() if line.startswith("probe ")]
    return said, seen


def alike(said, seen):
    return len(said) == len(seen) and all(a in (b, "*") for a, b in zip(said, seen))


def compare(said, seen, table):
    """Each deed was seen, in order, and nothing else but what is done inside."""
    inner, at = 0, 0
    for words in seen:
        if at < len(said) and alike(said[at], words):
            at += 1
        elif words[0] in INNER:
            inner += 1
        else:
            next_deed = " ".join(said[at]) if at < len(said) else "nothing"
            raise Wrong(f"seen: {' '.join(words)}; done: {next_deed}")
    if at < len(said):
        raise Wrong(f"done and not seen: {' '.join(said[at])}")
    missing = table.keys() - {words[0] for words in said}
    if missing:
        raise Wrong(f"not tried: {missing}")
    return inner


def build_for(compiler, folder):
    """The notes of one source, compiled for another machine."""
    made = pathlib.Path(folder, "other.o")
    subprocess.run([compiler, "-std=c11", "-O2", "-fPIC", f"-I{ROOT}/include", f"-I{ROOT}/src",
                    "-DMOAT_PAGE_BYTES=4096", "-c", f"{ROOT}/src/vm/reserve.c", "-o", made],
                   check=True)
    return made.read_bytes()


def self_test(data, table, said, seen):
    """Each of these faults has to be found."""
    def without(line):
        return [words for words in seen if words is not line]

    one = next(words for words in seen if words[0] == "moat:decommit")
    changed = [["moat:decommit", *one[1:4], "7", one[5]] if words is one else words
               for words in seen]
    address = next(note[0] for note in read_notes(data) if note[4] == "commit")
    broken = bytearray(data)
    text, = [s for s in sections(data) if s[0] == ".text"]
    broken[data.index(text[4]) + address - text[3]] = 0xCC
    short = {**table, "moat:commit": table["moat:commit"][1:]}
    faults = {
        "a probe that does not fire": lambda: compare(said, without(one), table),
        "a status that is another": lambda: compare(said, changed, table),
        "a probe that fires twice": lambda: compare(said, [*seen, one], table),
        "a probe that no deed tries": lambda: compare(said, seen, {**table, "moat:none": []}),
        "a probe without a row": lambda: check_notes(
            data, {p: a for p, a in table.items() if p != "moat:lock"}, True),
        "a row without a probe": lambda: check_notes(data, {**table, "moat:none": []}, True),
        "an argument that the row lacks": lambda: check_notes(data, short, True),
        "no nop": lambda: check_notes(bytes(broken), table, True),
        "an operand in memory": lambda: check_notes(
            re.sub(rb"8@%r[a-z0-9]{2}(?= )", b"8@(%r)", data), table, True),
    }
    for name, run in faults.items():
        try:
            run()
        except Wrong as found:
            print(f"found, {name}: {str(found)[:100]}")
        else:
            raise Wrong(f"not found: {name}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", type=pathlib.Path, required=True)
    parser.add_argument("--deeds", required=True)
    parser.add_argument("--build-for", default="")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    rows = ROW.findall((ROOT / "TOOLS.md").read_text())
    table = {f"{provider}:{name}": [a.strip() for a in text.split(",")]
             for provider, name, text in rows}
    data = arguments.library.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        places = check_notes(data, table, True)
        other = "no other compiler"
        if shutil.which(arguments.build_for):
            found = check_notes(build_for(arguments.build_for, folder), table, False)
            if not found:
                raise Wrong(f"{arguments.build_for} made no notes")
            other = f"{sum(found.values())} for {arguments.build_for}"
        print(f"notes: {len(places)} probes at {sum(places.values())} places, {other}")
        if not shutil.which("gdb"):
            print("probes: gdb is not installed")
            return 77
        said, seen = look_in(arguments.deeds, table, folder)
    inner = compare(said, seen, table)
    print(f"gdb: {len(seen)} stops, {len(said)} as the program said, {inner} inside of these")
    if arguments.self_test:
        self_test(data, table, said, seen)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Wrong as wrong:
        sys.exit(f"probes: {wrong}")
