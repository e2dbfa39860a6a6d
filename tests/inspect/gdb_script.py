#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""gdb_script.py SCRIPT SCENE...: the commands for gdb in a process and in its dump: every region as
the program has it, what is at an address or was, and the report that ended the process."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

import scenes

LINE = re.compile(r"^0x([0-9a-f]+)-0x([0-9a-f]+) +([0-9.]+ \w+) +([0-9.]+ \w+)", re.M)
UNITS = {"B": 0, "KiB": 10, "MiB": 20, "GiB": 30}
SKIPPED = 77


def gdb(script, target, *commands):
    """What gdb says. Attaching is refused here: None."""
    words = ["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", *target,
             "-ex", "source " + script]
    for command in commands:
        words += ["-ex", command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600)
    return None if "ptrace: Operation not permitted" in done.stderr else done.stdout + done.stderr


def bytes_of(text):
    number, unit = text.split()
    return float(number) * 2 ** UNITS[unit]


def check_regions(text, regions):
    told = {int(base, 16): (int(end, 16), size, committed)
            for base, end, size, committed in LINE.findall(text)}
    assert set(told) == set(regions), text
    for base, (size, committed) in regions.items():
        assert told[base][0] == base + size
        assert abs(bytes_of(told[base][1]) - size) <= size / 500
        assert abs(bytes_of(told[base][2]) - committed) <= committed / 500


def check_words(script, target, scene):
    """An address in a committed page, in a hole, behind the end, and none at all."""
    holes = list(scene.regions)[1]
    size = scene.regions[holes][0]
    page = size // 40
    text = gdb(script, target, *(f"moat describe {holes + at * page:#x}" for at in (2, 9, 5, 40)),
               "moat describe 16+1", "moat describe", "moat report")
    inside = f"into the region of {size} bytes at {holes:#x}; the page is "
    assert f"{2 * page} bytes {inside}committed, rw-" in text, text
    assert f"{9 * page} bytes {inside}committed, r--" in text, text
    assert f"{5 * page} bytes {inside}reserved, and traps" in text, text
    assert f"0 B behind the end of the region of {size} bytes at {holes:#x}" in text, text
    assert "0x11 is in no region of Moat" in text and "which address?" in text, text
    assert "scene.c:" in text and "reserved by thread" in text, text


def check_process(script, program):
    with scenes.Scene(program, "still") as scene:
        text = gdb(script, ["-p", scene.pid], "moat regions", "moat report")
        if text is None:
            print("gdb may not attach to processes here")
            return
        check_regions(text, scene.regions)
        assert "Moat has not ended this process" in text
        check_words(script, ["-p", scene.pid], scene)
    with scenes.Scene(program, "damaged") as scene:
        text = gdb(script, ["-p", scene.pid], "moat regions")
        assert "1 records are not as Moat wrote them" in text, text
        check_regions(text, {base: what for base, what in scene.regions.items()
                             if base != list(scene.regions)[1]})
    with scenes.Scene(program, "strange") as scene:
        text = gdb(script, ["-p", scene.pid], "moat regions")
        assert "load the script that came with it" in text, text
    print(f"{os.path.basename(program)}: {len(scene.regions)} regions in gdb, of a process")


def check_core(script, program):
    with tempfile.TemporaryDirectory() as folder:
        with scenes.Scene(program, "misuse", folder, "misuse=abort,retain=0") as scene:
            pass
        core = scenes.core_of(folder)
        if not core:
            print("the kernel leaves no dumps here: none was looked at")
            return
        target = [program, core]
        text = gdb(script, target, "moat regions", "moat report",
                   f"moat describe {scene.released + 5:#x}")
        check_regions(text, scene.regions)
        assert "moat: already-freed: release at %#x" % scene.released in text, text
        assert "was 5 bytes into a region of" in text and "which was released" in text, text
        assert re.search(r"released [0-9.]+ s later by thread \d+ at ", text), text
        check_words(script, target, scene)
    print(f"{os.path.basename(program)}: {len(scene.regions)} regions in gdb, of a dump; the "
          f"report, and who released what")


def main(script, *programs):
    if not shutil.which("gdb"):
        print("gdb is not installed: nothing was tried")
        return SKIPPED
    with tempfile.TemporaryDirectory():
        text = gdb(script, ["/bin/true"], "moat regions")
    assert "no Moat is in this program" in text, text
    for program in programs:
        check_process(script, program)
        check_core(script, program)
    return 0


sys.exit(main(*sys.argv[1:]))
