# SPDX-License-Identifier: MIT
"""A small project with a mutant of each fate: what a test must notice, what hangs, what no test
looks at, what no test reaches, what does not compile."""

import argparse
import pathlib
import subprocess
import tempfile

import schemata

FILES = {
    "CMakeLists.txt": """cmake_minimum_required(VERSION 3.25)
project(planted LANGUAGES C)
enable_testing()
add_subdirectory(tests)
""",
    "src/planted.c": """#include <stdatomic.h>
#define TWICE(x) ((x) + (x))
static _Atomic int stored;
int looked_at(int a, int b) {
    if (!a)
        return 7;
    return a + b;
}
int goes_on(int n) {
    while (n > 0)
        n -= 3;
    return TWICE(n);
}
void not_looked_at(int a) {
    atomic_store_explicit(&stored, a, memory_order_release);
}
int distance(const char *start, const char *end) {
    return (int)(end - start);
}
int not_reached(int a) {
    return a * 2;
}
""",
    "tests/CMakeLists.txt": """add_library(planted STATIC ../src/planted.c)
foreach(test planted broken)
    add_executable(unit_${test} ${test}.c)
    target_link_libraries(unit_${test} planted)
    add_test(NAME unit_${test} COMMAND unit_${test})
endforeach()
""",
    "tests/planted.c": """int looked_at(int, int), goes_on(int);
int distance(const char *, const char *);
void not_looked_at(int);
static const char text[2];
int main(void) {
    not_looked_at(looked_at(1, 1));
    return looked_at(2, 3) != 5 || looked_at(0, 3) != 7 || goes_on(9) != 0 ||
           distance(text, text + 1) != 1;
}
""",
    "tests/broken.c": """int not_reached(int);
int main(void) {
    return not_reached(1);
}
""",
}
# What becomes of a mutant: its line before, its line after, its verdict. None: there is none.
FATES = [
    ("return a + b;", "return a - b;", "killed"),
    ("if (!a)", "if (!!a)", "killed"),
    ("return 7;", "/* removed */", "killed"),
    ("n -= 3;", "/* removed */", "killed"),  # by the clock
    ("while (n > 0)", "while (n >= 0)", "killed"),
    ("n -= 3;", "n -= 4;", "killed"),
    ("atomic_store_explicit(&stored, a, memory_order_release);", "/* removed */", "survived"),
    ("return (int)(end - start);", "return (int)(end + start);", None),  # does not compile
    ("return a * 2;", "return a * 3;", "unreached"),  # but by a test that fails as it is
]


def problems_of(verdicts, stale, told):
    found = {(key[2], key[3]): result["verdict"] for key, result in verdicts.items()}
    for before, after, verdict in FATES:
        if found.get((before, after)) != verdict:
            yield f"{before} -> {after} is {found.get((before, after))} instead of {verdict}"
    if any("memory_order" in after and "removed" not in after for _, after in found):
        yield "a memory order was changed"
    if any("TWICE" in before and before != "return TWICE(n);" for before, _ in found):
        yield "the inside of a macro was changed"
    if [key[1] for key in stale] != ["gone"]:
        yield "a stale entry of the accepted ones was not noticed"
    if not any("unit_broken: failed without a mutant" in line for line in told):
        yield "a test that fails without a mutant was used"
    if "| all |" not in told[-1] or not told[-1].endswith(f"| {round(score(found))}% |"):
        yield f"the table does not end with the score of {score(found):.0f}%: {told[-1]}"


def score(found):
    """Without the one that is accepted."""
    return 100 * list(found.values()).count("killed") / (len(found) - 1)


def main(mutate, tell):
    options = argparse.Namespace(tests="^unit_", sample=0, again=False, seed=1, jobs=2, budget=9,
                                 patience=60, results=None)
    accepted = {
        ("src/planted.c", "gone", "return 1;", "return 0;"): ("planted", "is not there"),
        ("src/planted.c", "not_looked_at", FATES[6][0], FATES[6][1]): ("planted", "no one looks"),
    }
    told = []
    with tempfile.TemporaryDirectory(prefix="mutate-") as work:
        root = pathlib.Path(work)
        for name, text in FILES.items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(text)
        (root / "work").mkdir()
        subprocess.run(["cmake", "-G", "Ninja", "-S", root, "-B", root / "build"], check=True,
                       stdout=subprocess.DEVNULL)
        subprocess.run(["ninja", "-C", root / "build"], check=True, stdout=subprocess.DEVNULL)
        verdicts, stale = mutate(options, root, schemata.Build(root / "build"),
                                 [root / "src/planted.c"], accepted, root / "work",
                                 lambda *words: told.append(" ".join(words)))
    problems = list(problems_of(verdicts, stale, told))
    for problem in problems:
        tell(problem)
    tell(f"mutate: {len(FATES)} planted fates, {len(problems)} problems")
    return 1 if problems else 0
