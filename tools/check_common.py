# SPDX-License-Identifier: MIT
"""What the checks share: finding the files, reporting, and proving that a rule can fail.

A check is a function from {path: text} to a list of (path, line, message). Its self-test plants
violations in files that do not exist and expects the messages named, so that a rule which has
stopped seeing anything fails the tests instead of passing them.
"""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOP_FOLDERS = (".ci", "bench", "include", "plugins", "src", "tests", "tools")


def read_files(*patterns, folders=TOP_FOLDERS):
    """The text files below `folders`, and beside them in the root, that match a pattern. Inputs of
    fuzzers are as they were found."""
    files = {}
    candidates = list(ROOT.iterdir()) if folders == TOP_FOLDERS else []
    for folder in folders:
        candidates += (ROOT / folder).rglob("*")
    for path in sorted(filter(pathlib.Path.is_file, candidates)):
        if any(path.match(pattern) for pattern in patterns) and \
                not {"__pycache__", "corpus"} & set(path.parts):
            try:
                files[path.relative_to(ROOT).as_posix()] = path.read_text()
            except UnicodeDecodeError:
                continue
    return files


def self_test(check, clean, planted):
    """`clean` must give no finding; each {path: text} of `planted` a finding with its fragment."""
    failures = [f"a clean file is reported: {finding}" for finding in check(clean)]
    for fragment, files in planted:
        if not any(fragment in message for _, _, message in check({**clean, **files})):
            failures.append(f"a planted violation is not reported: {fragment}")
    return failures


STATUSES = """
  {0}               all files
  {0} --self-test   is each planted violation reported?

The exit status is 0 when there are no problems, 1 when there are."""


def main(check, files, clean, planted):
    if sys.argv[1:] in (["-h"], ["--help"]):
        command = "tools/" + pathlib.Path(sys.argv[0]).name
        print(sys.modules["__main__"].__doc__.strip() + "\n" + STATUSES.format(command))
        sys.exit(0)
    if sys.argv[1:] == ["--self-test"]:
        problems = self_test(check, clean, planted)
        summary = f"{len(planted)} planted violations"
    else:
        problems = [f"{path}:{line}: {message}" for path, line, message in check(files)]
        summary = f"{len(files)} files"
    for problem in problems:
        print(problem)
    print(f"{pathlib.Path(sys.argv[0]).stem}: {summary}, {len(problems)} problems")
    sys.exit(1 if problems else 0)
