# SPDX-License-Identifier: MIT
"""Which programs there are, how long each measures, and the command line that makes it do so."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

# Program, seconds a measurement, repetitions: chosen so that all of it takes under eight minutes
# on two processors.
PLAN = (
    ("table", 0.03, 3),
    ("regions", 0.02, 3),
    ("races", 0.05, 3),
    ("replay", 0.05, 3),
    ("million", 0.05, 1),
    ("growth", 0.05, 1),
    ("cost", 0.05, 2),
    ("heap", 0.02, 3),
    ("host", 0.03, 3),
    ("describe", 0.03, 3),
    ("watch", 0.02, 3),
    ("commit", 0.02, 3),
    ("price", 0.02, 3),
    ("code", 0.02, 3),
    ("start", 0.02, 3),
    ("proportion", 0.02, 1),
    ("rivals", 0.02, 9),
)
PROGRAMS = tuple(name for name, _, _ in PLAN)

# What the programs need of their surroundings: scudo wants room beside the program's own
# thread-local storage, and is loaded late.
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=16384"}

SEED = 1

# Programs that run in their own order, because what a row leaves behind weighs on the next: after
# a hundred thousand regions every fork copies their page tables.
IN_ORDER = ("proportion",)


def path_of(build, name):
    if name == "rivals": # starts a worker a contender, and else behaves like a program
        return ROOT / "bench" / "rivals" / "run"
    for folder in (build / "bench", build):
        path = folder / f"moat_bench_{name}"
        if path.exists():
            return path
    sys.exit(f"there is no moat_bench_{name} in {build}: build it first, or run tools/bench")


def start_of(path):
    """How a command line begins that starts a program or the script among them."""
    return [sys.executable, "-B", str(path)] if path.name == "run" else [str(path)]


def own_options(name, arguments):
    """Options of the programs themselves."""
    options = []
    if name == "replay":
        options.append(f"--copies={arguments.copies}")
        options.append(f"--traces={ROOT / 'bench' / 'traces'}")
    if name == "million" and arguments.quick:
        options.append("--regions=100000")
    if name == "growth" and (arguments.churn_pairs or arguments.quick):
        options.append(f"--churn_pairs={arguments.churn_pairs or 1000000}")
    return options


def measure_options(name, arguments):
    """How long, how often and in which order."""
    _, seconds, rounds = next(entry for entry in PLAN if entry[0] == name)
    if arguments.quick:
        seconds, rounds = seconds / 3, 1
    rounds = arguments.repeats or rounds
    return [f"--benchmark_min_time={seconds:.4g}", f"--rounds={rounds}",
            f"--seed={0 if name in IN_ORDER else arguments.seed}"], rounds


def command_of(path, name, arguments, pattern, output):
    options, rounds = measure_options(name, arguments)
    command = start_of(path) + [f"--benchmark_filter={pattern}", f"--out={output}"]
    return command + options + own_options(name, arguments), rounds


def selected(path, name, arguments):
    """The filter to give to a program, and the measurements it selects."""
    pattern = "." if arguments.only in ("", name) else arguments.only
    command = start_of(path) + ["--benchmark_list_tests=true", f"--benchmark_filter={pattern}"]
    listed = subprocess.run(command + own_options(name, arguments), capture_output=True, text=True,
                            check=False)
    if listed.returncode != 0:
        sys.exit(f"{path} failed:\n{listed.stderr}")
    return pattern, [line for line in listed.stdout.splitlines() if line.count("/") >= 2]
