#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""look.py TOOL COUNTING SCENE...: what moat-inspect says of processes and of core dumps, against
what the programs themselves say; and what it says of what it cannot look at."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

from scenes import Scene, core_of

SVG = "{http://www.w3.org/2000/svg}"
SNAPSHOTS = 40

# <moat/inspect.h>
MAGIC = b"\x93moat-layout\r\n\x1a\n"
ADDRESSES, NAMES = 48, 48 + 12 * 8 + 68 * 4

SHOWN, DAMAGED, USAGE, OUT_OF_REACH, NO_MOAT, OTHER_VERSION = range(6)


def run(tool, *arguments, **more):
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=600,
                          check=False, **more)
    assert done.returncode >= 0, f"{arguments}: killed by {-done.returncode}"
    return done.returncode, done.stdout, done.stderr


def regions_of(text):
    """{base: (size, committed)} of a JSON text, whose parts go with each other."""
    told = json.loads(text)
    found = {}
    for region in told["regions"]:
        base, end = int(region["start"], 16), int(region["end"], 16)
        assert end - base == region["size"]
        found[base] = (region["size"], region["committed"])
        if region["entry"] != "whole":
            continue
        at = base
        committed = 0
        for part in region["runs"]:
            assert int(part["start"], 16) == at, "runs are side by side"
            at = int(part["end"], 16)
            committed += (at - int(part["start"], 16)) * (part["state"] != "reserved")
        assert at == end and committed == region["committed"], hex(base)
        assert int(region["guard_start"], 16) < base and int(region["guard_end"], 16) > end
    return told, found


def check_all(tool, target, scene, status=SHOWN):
    """The whole of a scene that stands still, as JSON, table and picture."""
    code, text, errors = run(tool, "--json", target)
    assert (code, errors) == (status, ""), (code, errors)
    told, found = regions_of(text)
    assert found == scene.regions, "the regions are those of the program"
    assert told["reserved"] == sum(size for size, _ in scene.regions.values())
    assert told["committed"] == sum(committed for _, committed in scene.regions.values())
    assert told["managers"] == [0, 1] and len(told["arenas"]) >= 1
    assert sum(int(rests["end"], 16) - int(rests["start"], 16) for rests in told["resting"]) > 0
    by_base = {int(region["start"], 16): region for region in told["regions"]}
    bases = list(scene.regions)
    assert by_base[bases[0]]["resident"] == scene.regions[bases[0]][1], "all of it was touched"
    rights = [part.get("rights") for part in by_base[bases[1]]["runs"]]
    assert rights == [None, "rw-", None, "r--", None, "---", None], rights
    assert [part.get("rights") for part in by_base[bases[3]]["runs"]] == [None, "r-x", None]
    code, text, errors = run(tool, target)
    assert (code, errors) == (status, ""), errors
    for base, (size, _) in scene.regions.items():
        assert text.count("\n%012x-%012x " % (base, base + size)) == 1, hex(base)
    return check_picture(tool, target, scene.regions, status)


def check_picture(tool, target, regions, status=SHOWN):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "map.svg")
        assert run(tool, "--svg", path, target) == (status, "", "")
        root = xml.parse(path).getroot()
    drawn = [group for group in root.iter(SVG + "g") if group.get("class") == "region"]
    assert sorted(int(group.get("id")[1:].split("-")[0], 16) for group in drawn) == sorted(regions)
    height, width = float(root.get("height")), float(root.get("width"))
    for group in drawn:
        assert len(group.findall(SVG + "title")) == 1
        bars = group.findall(SVG + "rect")
        assert bars, group.get("id")
        for bar in bars:
            assert 0 <= float(bar.get("x")) <= width and 0 <= float(bar.get("y")) <= height - 16
            assert float(bar.get("width")) > 0
    classes = {bar.get("class") for bar in root.iter(SVG + "rect")}
    assert classes >= {"committed", "reserved", "guard", "resting", "resident", "readonly"}
    return len(drawn)


def check_still(tool, program):
    with Scene(program, "still") as scene:
        count = check_all(tool, scene.pid, scene)
    print(f"{os.path.basename(program)}: {count} regions as table, JSON and picture")


def check_busy(tool, program):
    """Regions that stand still are whole in each snapshot, whatever goes on beside them."""
    met = passed = torn = 0
    with Scene(program, "busy") as scene:
        for _ in range(SNAPSHOTS):
            code, text, errors = run(tool, "--json", scene.pid)
            assert code in (SHOWN, DAMAGED), (code, errors)
            told, found = regions_of(text)
            for base, what in scene.regions.items():
                assert found[base] == what, hex(base)
            entries = [region["entry"] for region in told["regions"]]
            assert set(entries) <= {"whole", "torn"}, set(entries)
            torn += entries.count("torn")
            met += len(entries) - len(scene.regions)
            passed += told["passed"]
    assert met + passed > 0, "no region was met that comes and goes"
    print(f"{os.path.basename(program)}: {SNAPSHOTS} snapshots of a busy process, {met} regions "
          f"that came and went, {torn} torn, {passed} passed over")


def check_torn(tool, program):
    """A record whose life changes between two looks is never told as whole, and soon as torn. Its
    thread may not run while one of them is taken."""
    with Scene(program, "torn") as scene:
        for tries in range(1000):
            code, text, errors = run(tool, "--json", scene.pid)
            assert (code, errors) == (DAMAGED, "")
            entries = [region["entry"] for region in json.loads(text)["regions"]]
            assert entries.count("whole") == len(entries) - 1 == len(scene.regions) - 1
            if "torn" in entries:
                break
        else:
            raise AssertionError("never torn")
        assert run(tool, scene.pid)[0] == DAMAGED
    print(f"{os.path.basename(program)}: a record that changes is torn, at look {tries + 1}")


def check_overwritten(tool, path):
    """A dump in which the numbers by which the books are read, and the addresses, are any."""
    with open(path, "r+b") as core:
        text = core.read()
        count = 0
        for start in (at.start() for at in re.finditer(re.escape(MAGIC), text)):
            if int.from_bytes(text[start + 16:start + 24], "little") % 16:
                continue
            for at in range(start + ADDRESSES, start + NAMES, 4):
                core.seek(at)
                core.write(b"\xff\xff\xff\x7f")
                core.flush()
                assert run(tool, "--json", path)[0] in range(OTHER_VERSION + 1)
                core.seek(at)
                core.write(text[at:at + 4])
                count += 1
        core.flush()
    assert count > 50, "the layout was not found"
    return count


def check_crash(tool, program, folder):
    with Scene(program, "crash", folder) as scene:
        pass
    path = core_of(folder)
    if not path:
        print("the kernel leaves no dumps here: none of its own was looked at")
        return
    count = check_all(tool, path, scene)
    overwritten = check_overwritten(tool, path)
    whole = os.path.getsize(path)
    for part in range(1, 13):
        os.truncate(path, whole * (13 - part) // 13)
        code = run(tool, path)[0]
        assert code in (SHOWN, DAMAGED, NO_MOAT, OUT_OF_REACH), f"cut by {part}/13: {code}"
    os.unlink(path)
    print(f"{os.path.basename(program)}: {count} regions in the kernel's dump; cut at 12 places, "
          f"overwritten at {overwritten}")


def check_gcore(tool, program, folder):
    if not shutil.which("gcore"):
        print("gcore is not installed: no dump of gdb's was looked at")
        return
    with Scene(program, "still") as scene:
        done = subprocess.run(["gcore", "-o", os.path.join(folder, "dump"), scene.pid],
                              capture_output=True, text=True, check=False, timeout=600)
        path = os.path.join(folder, "dump." + scene.pid)
        if not os.path.exists(path):
            print("gcore may not look into processes here: " + done.stderr.strip()[-100:])
            return
        count = check_all(tool, path, scene)
    print(f"{os.path.basename(program)}: {count} regions in a dump of gcore's")


def check_wrong(tool, program):
    with Scene(program, "strange") as scene:
        code, text, errors = run(tool, scene.pid)
        assert (code, text) == (OTHER_VERSION, ""), (code, errors)
        assert "version 2" in errors and "moat-inspect that came with that Moat" in errors, errors
    with Scene(program, "damaged") as scene:
        code, text, errors = run(tool, "--json", scene.pid)
        told, found = regions_of(text)
        assert code == DAMAGED and told["dubious"] == 1
        bad = [region for region in told["regions"] if region["entry"] == "damaged"]
        assert len(bad) == 1 and int(bad[0]["start"], 16) == list(scene.regions)[1]
        assert {base: what for base, what in found.items() if base != int(bad[0]["start"], 16)} \
            == {base: what for base, what in scene.regions.items()
                if base != int(bad[0]["start"], 16)}
        check_picture(tool, scene.pid, scene.regions, DAMAGED)
        assert run(tool, scene.pid)[1].count("DAMAGED") == 1
    print(f"{os.path.basename(program)}: another version, and a record that was changed")


def check_strangers(tool, counting):
    with subprocess.Popen(["sleep", "600"]) as sleep:
        time.sleep(0.1)
        code, text, errors = run(tool, str(sleep.pid))
        assert (code, text) == (NO_MOAT, "") and "no Moat is in it" in errors, (code, errors)
        sleep.kill()
    code, text, errors = run(tool, str(sleep.pid))
    assert (code, text) == (OUT_OF_REACH, "") and "there is no such process" in errors, errors
    code, text, errors = run(tool, "/nowhere/core")
    assert (code, text) == (OUT_OF_REACH, "") and "No such file" in errors, errors
    code, text, errors = run(tool, tool)
    assert (code, text) == (OUT_OF_REACH, "") and "is no core dump" in errors, errors
    if os.getuid() == 0:
        with subprocess.Popen([counting, "json"], stdout=subprocess.PIPE) as own:
            own.communicate()
        done = run(tool, str(os.getpid()), user=65534, group=65534)
        if "Permission" in done[2] or "permitted" in done[2]:
            assert done[0] == OUT_OF_REACH and "ptrace_scope" in done[2], done
    for arguments in ([], ["--nonsense"], ["1", "2"], ["--svg"], ["--watch", "core"],
                      ["--watch", "--json", "1"]):
        code, text, errors = run(tool, *arguments)
        assert (code, text) == (USAGE, "") and "try moat-inspect --help" in errors, errors
    code, text, errors = run(tool, "--help")
    assert code == SHOWN and errors == "" and "Exit status" in text
    print("strangers and wrong arguments: each with its words and exit status")


def check_watch(tool, program):
    """On a terminal, until q."""
    with Scene(program, "busy") as scene:
        main, side = pty.openpty()
        with subprocess.Popen([tool, "--watch", scene.pid], stdin=side, stdout=side) as watching:
            os.close(side)
            text = b""
            while text.count(b"\x1b[2J") < 2:
                text += os.read(main, 65536)
            os.write(main, b"q")
            try:
                while os.read(main, 65536):
                    pass
            except OSError:
                pass
            assert watching.wait(timeout=600) == SHOWN
        os.close(main)
        assert text.count(b"REGION") >= 1 and b"q ends this" in text, text
    print("watch: two frames, ended by q")


def main(tool, counting, *scenes):
    check_strangers(tool, counting)
    for program in scenes:
        check_still(tool, program)
        check_busy(tool, program)
        check_wrong(tool, program)
        check_torn(tool, program)
        with tempfile.TemporaryDirectory() as folder:
            check_crash(tool, program, folder)
    with tempfile.TemporaryDirectory() as folder:
        check_gcore(tool, scenes[-1], folder)
    check_watch(tool, scenes[0])


main(*sys.argv[1:])
