# SPDX-License-Identifier: MIT
"""Programs that have told what their regions are, and wait to be looked at: scene.c."""

import os
import resource
import subprocess


class Scene:
    def __init__(self, program, what, folder=None, options=None):
        environment = dict(os.environ)
        environment.pop("MOAT_OPTIONS", None)
        if options:
            environment["MOAT_OPTIONS"] = options
        self.process = subprocess.Popen(
            [program, what], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder,
            stderr=subprocess.DEVNULL, env=environment,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE,
                                                  (resource.RLIM_INFINITY,) * 2))
        self.regions = {}
        self.released = None
        for line in self.process.stdout:
            words = line.split()
            if words[0] == "ready":
                break
            if words[0] == "released":
                self.released = int(words[1], 16)
            else:
                self.regions[int(words[1], 16)] = (int(words[2]), int(words[3]))
        assert self.regions, f"{program} {what} has told nothing"

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=600)

    @property
    def pid(self):
        return str(self.process.pid)


def core_of(folder):
    """The dump that the kernel left in a folder; None: it leaves none there."""
    cores = [name for name in os.listdir(folder) if name.startswith("core")]
    return os.path.join(folder, cores[0]) if cores else None
