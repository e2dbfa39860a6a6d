# SPDX-License-Identifier: MIT
"""Runs one program and shows how far it is."""

import os
import selectors
import shlex
import subprocess
import sys
import time

from . import plan

PROGRAM_SECONDS_MAX = 1800


class Progress:
    """One line that is rewritten on a terminal; elsewhere a line every few seconds."""

    def __init__(self):
        self.start = time.monotonic()
        self.shown = -1e9
        self.live = sys.stderr.isatty()

    def show(self, text):
        now = time.monotonic()
        if now - self.shown < (0.1 if self.live else 10):
            return
        self.shown = now
        line = f"[{now - self.start:4.0f} s] {text}"
        sys.stderr.write(f"\r\033[K{line[:110]}" if self.live else line + "\n")
        sys.stderr.flush()

    def clear(self):
        if self.live:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


class Announcements:
    """Counts measurements by what a program announces: "NAME ROUND".

    It does so each time it begins one, and begins with rising numbers of iterations until one
    takes long enough.
    """

    def __init__(self):
        self.begun = set()
        self.rest = b""

    def take(self, chunk):
        """The name that was announced last, or None."""
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        self.begun.update(lines)
        return lines[-1].rpartition(b" ")[0].decode(errors="replace") if lines else None


def run_program(command, title, total, progress):
    """Run to the end while showing what is being measured; the program's complaints on failure."""
    reader, writer = os.pipe()
    environment = dict(os.environ, MOAT_BENCH_PROGRESS_FD=str(writer), **plan.ENVIRONMENT)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               pass_fds=[writer], env=environment)
    os.close(writer)
    announced = Announcements()
    complaints = bytearray()
    deadline = time.monotonic() + PROGRAM_SECONDS_MAX
    selector = selectors.DefaultSelector()
    selector.register(reader, selectors.EVENT_READ)
    selector.register(process.stderr, selectors.EVENT_READ)
    progress.show(f"{title}: preparing")
    while selector.get_map():
        for key, _ in selector.select(timeout=1):
            chunk = os.read(key.fd, 65536)
            if not chunk:
                selector.unregister(key.fileobj)
            elif key.fd != reader:
                complaints += chunk
            elif name := announced.take(chunk):
                done = min(len(announced.begun), total)
                progress.show(f"{title}: {done} of {total}  {name}")
        if time.monotonic() > deadline:
            process.kill()
    os.close(reader)
    if process.wait() != 0:
        progress.clear()
        text = complaints.decode(errors="replace")[-2000:]
        sys.stderr.write(f"{shlex.join(command)}\nended with {process.returncode}:\n{text}\n")
        return False
    return True
