#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""redis.py PLUGIN OBSERVER [--measure ROUNDS]: Debian's Redis, unchanged, with its memory in Moat.

The server links libjemalloc.so.2; PLUGIN (libmoat_jemalloc.so) is preloaded. A client writes,
reads, changes and deletes values of many sizes and kinds, has the server save in a forked child and
load again what it saved, and compares every answer with what Python knows. At its end the server
says, through OBSERVER, what Moat's counters are and whose memory malloc hands out.

Fails on a wrong answer, a crash, a refused free, memory that is not Moat's, and if the same check
passes of a server without the plug-in. Exit status 77: there is no Redis here (redis-tools).

With --measure it measures instead: redis-benchmark against the server with and without the plug-in,
in turns, the server on the first processor and the client on the last. The server's own time says
more than the calls a second where others run.
"""

import argparse
import csv
import io
import os
import pathlib
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SEED = 20261
# One binary: what it is called decides what it does, and its package starts no service.
SERVER = shutil.which("redis-server") or shutil.which("redis-check-rdb")
STARTS, HANG = 20, 120  # seconds; only a hang takes as long
SIZES = (0, 1, 15, 64, 500, 4000, 4096, 20000, 65536, 300000, 1 << 20, 3 << 20, 9 << 20)
LOADS = (("64 B", ["-d", "64", "-n", "300000", "-r", "100000", "-P", "16"]),
         ("4 KiB", ["-d", "4096", "-n", "150000", "-r", "20000", "-P", "16"]),
         ("64 KiB", ["-d", "65536", "-n", "40000", "-r", "2000", "-P", "4"]))


class Server:
    """A server on a socket in a folder of its own, and a connection to it."""

    def __init__(self, folder, preload, processor=None, conf=None):
        self.path = f"{folder}/socket"
        self.told = f"{folder}/told"
        environment = {**os.environ, "LD_PRELOAD": ":".join(preload), "MOAT_OBSERVED": self.told}
        environment.pop("MOAT_OPTIONS", None)
        if conf:
            environment["MALLOC_CONF"] = conf
        pin = [] if processor is None else ["taskset", "-c", str(processor)]
        arguments = ["redis-server", "--port", "0", "--unixsocket", self.path, "--dir", folder,
                     "--save", "", "--enable-debug-command", "yes", "--daemonize", "no"]
        self.process = subprocess.Popen(
            [*pin, "bash", "-c", 'exec -a redis-server "$0" "$@"', SERVER, *arguments[1:]],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(HANG)
        end = time.monotonic() + STARTS
        while True:
            try:
                self.socket.connect(self.path)
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.process.kill()
                    raise RuntimeError("the server did not start:\n"
                                       + self.process.communicate()[0]) from None
                time.sleep(0.02)
        self.file = self.socket.makefile("rb")

    def _answer(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self._answer() for _ in range(int(rest))]
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest
        raise RuntimeError(f"the server answered {line!r}")

    def call(self, *words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(
            b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        return self._answer()

    def resident(self):
        """KiB of memory."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def processor_time(self):
        """Seconds, of the program and of the kernel for it."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        """End the server; what the observer said as a dictionary."""
        try:
            self.call("SHUTDOWN", "NOSAVE")
        except (RuntimeError, OSError):
            pass
        output = self.process.communicate(timeout=HANG)[0]
        if self.process.returncode:
            raise RuntimeError(f"the server ended with {self.process.returncode}:\n{output}")
        told = pathlib.Path(self.told)
        if not told.exists():
            return {}
        return {name: int(value) for name, value in
                (line.split() for line in told.read_text().splitlines())}


def expect(what, is_so):
    if not is_so:
        raise RuntimeError(f"wrong: {what}")


def values_of_all_sizes(server, rng, calls):
    """Write, overwrite, grow, read and delete; returns what the server has to hold now."""
    held = {}
    for i in range(calls):
        key = f"key:{rng.randrange(calls // 3)}"
        size = rng.choice(SIZES[:9]) if i % 40 else rng.choice(SIZES)
        deed = rng.randrange(10)
        if deed < 5:
            held[key] = rng.randbytes(size)
            expect("SET", server.call("SET", key, held[key]) == b"OK")
        elif deed < 7:
            held[key] = held.get(key, b"") + rng.randbytes(size // 2)
            expect("APPEND", server.call("APPEND", key, held[key][len(held[key]) - size // 2:])
                   == len(held[key]))
        elif deed < 8:
            expect("DEL", server.call("DEL", key) == (held.pop(key, None) is not None))
        else:
            expect("GET", server.call("GET", key) == held.get(key))
    return held


def kinds_of_values(server, rng):
    lists = [str(rng.random()).encode() for _ in range(3000)]
    expect("RPUSH", server.call("RPUSH", "a list", *lists) == len(lists))
    fields = {b"field %d" % i: rng.randbytes(i % 200) for i in range(2000)}
    for field, value in fields.items():
        server.call("HSET", "a hash", field, value)
    return lists, fields


def all_held(server, held, lists, fields):
    for key, value in held.items():
        expect(f"the value of {key}", server.call("GET", key) == value)
    expect("the list", server.call("LRANGE", "a list", 0, -1) == lists)
    flat = server.call("HGETALL", "a hash")
    expect("the hash", dict(zip(flat[::2], flat[1::2])) == fields)


def save_in_child(server):
    expect("BGSAVE", b"started" in server.call("BGSAVE"))
    end = time.monotonic() + HANG
    while b"rdb_bgsave_in_progress:1" in (said := server.call("INFO", "persistence")):
        expect("the child that saves ends", time.monotonic() < end)
        time.sleep(0.02)
    expect("the child saved", b"rdb_last_bgsave_status:ok" in said)


def check(preload, observer, calls):
    """The whole scene, and what is to be true of Moat's counters after it."""
    rng = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder, [*preload, observer])
        held = values_of_all_sizes(server, rng, calls)
        lists, fields = kinds_of_values(server, rng)
        all_held(server, held, lists, fields)
        save_in_child(server)
        expect("DEBUG RELOAD", server.call("DEBUG", "RELOAD") == b"OK")
        all_held(server, held, lists, fields)
        expect("FLUSHALL", server.call("FLUSHALL") == b"OK")
        expect("MEMORY PURGE", server.call("MEMORY", "PURGE") == b"OK")
        values_of_all_sizes(server, rng, calls // 4)
        told = server.stop()
    expect("the observer said something", told)
    # Slabs from before the plug-in was there still have room for a few small blocks.
    expect("of 1000 small blocks 900 lie in regions", told["small"] >= 900)
    expect("of 1000 large blocks all lie in regions", told["large"] == 1000)
    expect("regions are live and used", told["regions_live"] > 0 and told["commits"] > 0 and
           told["bytes_committed"] > 1 << 20)
    expect("memory was given back", told["decommits"] > 0)
    expect("nothing was refused", told["refused"] == 0 and told["guard_failures"] == 0)
    return told, calls + calls // 4 + 2 * len(held) + len(fields)


def benchmark(preload, conf, load, processors):
    """Calls a second for SET and GET, the server's time for a call of either in microseconds, and
    its memory in KiB when they were done."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder, preload, processors[0], conf)
        text = subprocess.run(
            ["taskset", "-c", str(processors[1]), "redis-benchmark", "-s", server.path, "-t",
             "set,get", "--csv", *load], check=True, capture_output=True, text=True).stdout
        resident = server.resident()
        time_a_call = server.processor_time() / int(load[3]) / 2 * 1e6
        server.stop()
    rows = {row["test"]: float(row["rps"]) for row in csv.DictReader(io.StringIO(text))}
    return rows["SET"], rows["GET"], time_a_call, resident


def measure(plugin, rounds):
    processors = sorted(os.sched_getaffinity(0))
    ways = {"plain": ([], None), "moat": ([plugin], None),
            "moat, a region an extent": (
                [plugin], "retain:false,dirty_decay_ms:0,muzzy_decay_ms:0")}
    print(f"{rounds} rounds, server on processor {processors[0]}, client on {processors[-1]}; "
          "median (least..most)")
    for name, load in LOADS:
        found = {way: [] for way in ways}
        for turn in range(rounds):
            order = list(ways)[turn % 3:] + list(ways)[:turn % 3]
            for way in order:
                found[way].append(benchmark(*ways[way], load, (processors[0], processors[-1])))
        for way, rows in found.items():
            print(f"{name:7} {way:25}" + "".join(
                f"  {what} {statistics.median(each):.{digits}f} "
                f"({min(each):.{digits}f}..{max(each):.{digits}f})"
                for (what, digits), each in zip(
                    (("SET/s", 0), ("GET/s", 0), ("us a call", 2), ("KiB", 0)), zip(*rows))),
                flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("plugin")
    parser.add_argument("observer")
    parser.add_argument("--measure", type=int, metavar="ROUNDS")
    parser.add_argument("--calls", type=int, default=4000)
    arguments = parser.parse_args()
    if not SERVER or "libjemalloc.so.2" not in subprocess.run(
            ["ldd", SERVER], capture_output=True, text=True, check=False).stdout:
        print("skipped: no redis-server that uses libjemalloc.so.2 (Debian: redis-tools)")
        sys.exit(77)
    if arguments.measure:
        measure(arguments.plugin, arguments.measure)
        return
    told, calls = check([arguments.plugin], arguments.observer, arguments.calls)
    print(f"seed {SEED}: {calls} calls and as many right answers; at its end the server held "
          f"{told['regions_live']} regions of {told['bytes_reserved'] >> 20} MiB, "
          f"{told['bytes_committed'] >> 20} MiB committed, after {told['commits']} commits and "
          f"{told['decommits']} decommits")
    try:
        check([], arguments.observer, arguments.calls // 4)
    except RuntimeError as error:
        print(f"without the plug-in the check fails, as it has to: {error}")
        return
    print("the check passes of a server without the plug-in: it sees nothing")
    sys.exit(1)


main()
