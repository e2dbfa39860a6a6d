# SPDX-License-Identifier: MIT
"""The tests, one by one: each test of Criterion by itself, any other program as a whole.

What a case passes on its way is recorded by the mutated program itself, in children too. A case
that ends otherwise than it did without a mutant has killed it; so has one that does not end.
"""

import collections
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

TEST = re.compile(r"^\W*(\w+)$")
SUITE = re.compile(r"^(\w+): \d+ tests?$")
SKIPPED = 77


@dataclasses.dataclass
class Case:
    name: str
    program: pathlib.Path
    arguments: list
    folder: str
    environment: dict
    seconds: float = 0
    seen: frozenset = frozenset()
    kills: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    @property
    def patience(self):
        return 5 * self.seconds + 5


def programs(build, wanted):
    """{name: how CTest runs it} of those programs of a build that are built and wanted."""
    listed = subprocess.run(["ctest", "--show-only=json-v1"], cwd=build.folder, text=True,
                            stdout=subprocess.PIPE, check=True).stdout
    found = {}
    for test in json.loads(listed)["tests"]:
        properties = {p["name"]: p["value"] for p in test["properties"]}
        is_program = "command" in test and f"tests/{test['name']}" in build.links
        if is_program and re.search(wanted, test["name"]):
            found[test["name"]] = {
                "folder": properties["WORKING_DIRECTORY"],
                "environment": dict(e.split("=", 1) for e in properties.get("ENVIRONMENT", [])),
                "arguments": test["command"][1:],
            }
    return found


def tests_of(program):
    """The tests of a Criterion program, as its filter takes them."""
    listed = subprocess.run([program, "--list"], stdout=subprocess.PIPE, text=True, check=True)
    suite, names = "", []
    for line in listed.stdout.splitlines():
        if SUITE.match(line.strip()):
            suite = SUITE.match(line.strip())[1]
        elif TEST.match(line.strip()):
            names.append(f"{suite}/{TEST.match(line.strip())[1]}")
    return names


def cases_of(name, how, program, is_criterion):
    if not is_criterion:
        return [Case(name, program, how["arguments"], how["folder"], how["environment"])]
    return [Case(f"{name} {test}", program, ["-j1", "--filter", test], how["folder"],
                 how["environment"]) for test in tests_of(program)]


def end_session(leader):
    """Criterion's children have groups of their own, but not sessions."""
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
                if session == leader:
                    os.kill(int(entry.name), signal.SIGKILL)
        except (OSError, ValueError, IndexError):
            pass  # it ended by itself


def run(case, patience, **variables):
    """How the case ended: "passed", "skipped", "failed", or "hung"; and its seconds."""
    environment = {**os.environ, **case.environment, **variables}
    environment.pop("MOAT_OPTIONS", None)
    begun = time.monotonic()
    process = subprocess.Popen([case.program, *case.arguments], cwd=case.folder, env=environment,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        status = process.wait(patience)
        ending = {0: "passed", SKIPPED: "skipped"}.get(status, "failed")
    except subprocess.TimeoutExpired:
        ending = "hung"
    if ending in ("hung", "failed"):
        end_session(process.pid)
        process.wait()
    return ending, time.monotonic() - begun


def record(case, count, patience):
    """Run a case without any mutant, and note what it takes and which mutants it passes."""
    with tempfile.NamedTemporaryFile() as seen:
        seen.write(bytes(count + 1))
        seen.flush()
        ending, case.seconds = run(case, patience, MOAT_MUTANTS_SEEN=seen.name)
        bytes_seen = pathlib.Path(seen.name).read_bytes()
    case.seen = frozenset(number for number, byte in enumerate(bytes_seen) if byte)
    return ending


def record_all(cases, count, jobs, patience, tell):
    """Those cases that pass and see a mutant."""
    useful = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for case, ending in zip(cases, pool.map(lambda c: record(c, count, patience), cases)):
            if ending != "passed":
                tell(f"{case.name}: {ending} without a mutant, and is left out")
            elif case.seen:
                useful.append(case)
    return useful


def judge(mutant, cases, budget):
    """(verdict, what killed it): by the cases that pass it, as long as what they take without a
    mutant stays within the budget. Those first that are short, pass little else, and have killed
    in this file before."""
    passing = sorted((case for case in cases if mutant.number in case.seen),
                     key=lambda c: c.seconds * len(c.seen) / (1 + c.kills[mutant.file]))
    spent = 0
    for case in passing:
        spent += case.seconds
        if spent > budget and case is not passing[0]:
            break
        ending, _ = run(case, case.patience, MOAT_MUTANT=str(mutant.number))
        if ending in ("failed", "hung"):
            case.kills[mutant.file] += 1
            return "killed", case.name + (" (hung)" if ending == "hung" else "")
    return ("survived", "") if passing else ("unreached", "")
