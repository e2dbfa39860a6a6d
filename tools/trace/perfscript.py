# SPDX-License-Identifier: MIT
"""From the text of `perf script` (with the options FIELDS) to a recording (rawfile.py).

usage: python3 perfscript.py PROGRAM < TEXT > OUT.raw
"""

import re
import sys

sys.dont_write_bytecode = True

import rawfile

FIELDS = ["--show-task-events", "--show-lost-events", "--ns",
          "--fields", "pid,tid,time,event,addr,trace"]
PERF_LINE = re.compile(r"\s*(-?\d+)/(-?\d+)\s+(\d+)\.(\d{9}):\s+(.*)")
PERF_CALL = re.compile(r"syscalls:sys_(enter|exit)_(\w+):\s*(.*)")


class Collector:
    def __init__(self, script):
        self.lines = []
        self.open_calls = {}  # tid -> (call, arguments, index of its line or None)
        self.lost = 0
        self.start = None
        for text in script:
            self.line(text)

    def write(self, program, out):
        print(rawfile.MAGIC, file=out)
        print("program", program, file=out)
        print("lost", self.lost, file=out)
        out.writelines(line + "\n" for line in self.lines)

    def add(self, time, pid, tid, text):
        self.lines.append("%d %s %s %s" % (time - self.start, pid, tid, text))

    def line(self, text):
        if "PERF_RECORD_LOST" in text:
            found = re.search(r"lost\s+(\d+)", text)
            self.lost += int(found.group(1)) if found else 1
            return
        match = PERF_LINE.match(text)
        if not match:
            return
        pid, tid, seconds, nanoseconds, rest = match.groups()
        time = int(seconds) * 10**9 + int(nanoseconds)
        if time == 0:
            return
        self.start = self.start or time
        call = PERF_CALL.match(rest)
        if call:
            self.call(time, pid, tid, *call.groups())
        elif rest.startswith("page-faults:"):
            self.add(time, pid, tid, "fault " + rest.split()[1])
        else:
            self.task(time, rest)

    def task(self, time, rest):
        fork = re.match(r"PERF_RECORD_FORK\((\d+):(\d+)\):\((\d+):(\d+)\)", rest)
        ended = re.match(r"PERF_RECORD_EXIT\((\d+):(\d+)\)", rest)
        executed = re.match(r"PERF_RECORD_COMM exec: .*:(\d+)/(\d+)", rest)
        if fork:
            self.add(time, fork.group(1), fork.group(2), "fork %s %s" % fork.groups()[2:])
        elif ended:
            self.add(time, ended.group(1), ended.group(2), "exit")
        elif executed:
            self.add(time, executed.group(1), executed.group(2), "exec")

    def call(self, time, pid, tid, side, call, rest):
        if side == "enter":
            values = dict(re.findall(r"(\w+): (0x[0-9a-f]+)", rest))
            arguments = [values[name] for name in rawfile.CALLS[call]]
            index = None
            if call in rawfile.AT_ENTRY:
                index = len(self.lines)
                self.add(time, pid, tid, " ".join([call, *arguments, "= ?"]))
            self.open_calls[tid] = (call, arguments, index)
            return
        opened = self.open_calls.pop(tid, None)
        if opened is None or opened[0] != call:
            return  # entered before the recording began
        _, arguments, index = opened
        result = rest.split()[0]
        if index is None:
            self.add(time, pid, tid, " ".join([call, *arguments, "=", result]))
        else:
            self.lines[index] = self.lines[index][:-1] + result


if __name__ == "__main__":
    Collector(sys.stdin).write(sys.argv[1], sys.stdout)
