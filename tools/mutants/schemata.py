# SPDX-License-Identifier: MIT
"""Many mutants in one program: each stands behind a question whether it is the one that lives.

Only one lives at a time. So what a mutant puts in place of an expression is written as it was, and
only what stands there otherwise has further mutants in it: the text grows with the depth of nesting
and not with its power. Objects and programs are made by the commands of an existing build, the
programs with the mutated objects in front of the library.
"""

import concurrent.futures
import json
import pathlib
import re
import shlex
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
DROPPED = {"-g", "-Werror", "-MD"}  # and what follows a name of the next line
DROPPED_WITH_VALUE = {"-o", "-c", "-MT", "-MF"}
# Warnings are about text that nobody reads; what a removed assignment leaves is always the same.
ADDED = ["-w", "-g0", "-ftrivial-auto-var-init=pattern"]
QUESTION = re.compile(r"moat_mutant\((\d+)\)")
ERROR = re.compile(r":(\d+):\d+: (?:fatal )?error:")


class Build:
    """What Ninja does to compile and to link, to be done a little differently."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        answer = subprocess.run(["ninja", "-C", self.folder, "-t", "compdb"],
                                stdout=subprocess.PIPE, text=True, check=True).stdout
        entries = json.loads(answer[answer.index("["):])
        # The first is the library's own; tests may compile a file of it once more, for themselves.
        self.compiles = {}
        for e in sorted(entries, key=lambda e: e["output"].startswith("tests/")):
            if " -c " in e["command"]:
                self.compiles.setdefault(e["file"], e["command"])
        self.links = {e["output"]: e["command"] for e in entries
                      if f" -o {e['output']} " in e["command"] and " -c " not in e["command"]}

    def arguments(self, path):
        """Compiler and options for a file of the library, without input and output."""
        words = iter(shlex.split(self.compiles[str(path)]))
        kept = []
        for word in words:
            if word in DROPPED_WITH_VALUE:
                next(words)
            elif word not in DROPPED and not word.endswith("ccache"):
                kept.append(word)
        return kept

    def compile(self, path, source, output):
        """The compiler's complaints; none if there is an object now."""
        command = [*self.arguments(path), *ADDED, "-include", str(HERE / "mutant.h"),
                   "-o", str(output), "-c", str(source)]
        done = subprocess.run(command, cwd=self.folder, stderr=subprocess.PIPE, text=True)
        return done.stderr if done.returncode else ""

    def uses(self, program, library):
        return library in self.links[program]

    def link(self, program, objects, output):
        command = self.links[program].replace(
            f"-o {program}", f"-o {output} " + " ".join(map(str, objects)), 1)
        # What is hidden in the shared library is not there to be replaced.
        command = re.sub(r"\S*libmoat\.so\S*", "libmoat.a", command)
        subprocess.run(command, shell=True, cwd=self.folder, check=True)
        return output


def nested(mutants):
    """Spans of text with the mutants of each, from outside to inside."""
    groups = {}
    for mutant in mutants:
        groups.setdefault((mutant.start, mutant.end), []).append(mutant)
    outermost = []
    enclosing = []
    for (start, end), group in sorted(groups.items(), key=lambda item: (item[0][0], -item[0][1])):
        while enclosing and enclosing[-1]["end"] <= start:
            enclosing.pop()
        span = {"start": start, "end": end, "mutants": group, "inner": []}
        (enclosing[-1]["inner"] if enclosing else outermost).append(span)
        enclosing.append(span)
    return outermost


def render(text, start, end, spans):
    parts = []
    for span in spans:
        inner = render(text, span["start"], span["end"], span["inner"])
        parts += [text[start:span["start"]], guarded(span["mutants"], inner)]
        start = span["end"]
    return "".join(parts) + text[start:end]


def guarded(mutants, inner):
    """A line a question, so that the compiler's complaints tell which mutant they are about."""
    if mutants[0].text is None:
        return f"{{\nif (!moat_mutant({mutants[0].number})) {inner}\n}}"
    questions = "".join(f"\nmoat_mutant({m.number}) ? ({m.text}) : " for m in mutants)
    return f"({questions}\n({inner}))"


def about(complaints, text):
    """The numbers of the mutants that the compiler does not like: those on the line, or of the
    operand that begins behind it, or of what began before it."""
    lines = ["", *text.split("\n"), ""]
    numbers = set()
    for match in ERROR.finditer(complaints):
        line = int(match[1])
        nearest = next((n for n in (line, line + 1, *range(line - 1, 0, -1))
                        if QUESTION.search(lines[n])), 0)
        numbers.update(map(int, QUESTION.findall(lines[nearest])))
    return numbers


def mutate_file(build, path, mutants, work):
    """An object with those mutants in it that compile, which are returned too."""
    text = path.read_bytes().decode("latin-1")
    name = "_".join(path.parts[-3:])[:-2]
    source, output = work / f"{name}.c", work / f"{name}.o"
    while True:
        mutated = render(text, 0, len(text), nested(mutants))
        source.write_bytes(mutated.encode("latin-1"))
        complaints = build.compile(path, source, output)
        if not complaints:
            return output, mutants
        disliked = about(complaints, mutated)
        if not disliked:
            raise SystemExit(f"{path} does not compile:\n{complaints}")
        mutants = [mutant for mutant in mutants if mutant.number not in disliked]


def mutate(build, root, mutants, work, jobs):
    """Objects of all files, that of the question itself among them, and the numbers in them."""
    files = {}
    for mutant in mutants:
        files.setdefault(mutant.file, []).append(mutant)
    runtime = work / "mutant.o"
    compiler = build.arguments(root / next(iter(files)))[0]
    subprocess.run([compiler, "-O2", "-fPIC", "-c", HERE / "mutant.c", "-o", runtime], check=True)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        done = list(pool.map(
            lambda file: mutate_file(build, root / file, files[file], work), files))
    return [runtime, *(output for output, _ in done)], {m.number for _, ms in done for m in ms}
