#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What every file looks like: short, licensed, tidy, and free of the place where it was written."""

import re

import check_common

FILE_LINES_MAX = 450
FUNCTION_LINES_MAX = 80
LINE_COLUMNS_MAX = 100

# Character classes keep this list from finding itself.
FORBIDDEN = [
    (re.compile(r"/wor[k]/|/home/[a-z]|/roo[t]/|\.\./share[d]"), "a path of one workplace"),
    (re.compile(r"\bissue #?[0-9]", re.I), "a ticket number: say what it says"),
    (re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X])\b"), "unfinished work: finish it or leave it out"),
    (re.compile(r"\b(?:Claud[e]|Chat ?GP[T]|LL[M]|AI agen[t]|AI assistan[t])\b", re.I),
     "not about the project"),
]

CODE = (".c", ".h", ".cpp", ".hpp")
SPDX = re.compile(r"(?:/\*|#|//) SPDX-License-Identifier: MIT")
FUNCTION_OPENS = re.compile(r"^\{$|\)[^;=]*\{$")


def check_functions(path, lines):
    """Length of each function: from the first line of its signature to the brace in column 0."""
    findings = []
    start = opened = 0
    for number, line in enumerate(lines, 1):
        if opened:
            if line.startswith("}"):
                if number - start + 1 > FUNCTION_LINES_MAX:
                    findings.append((path, start, f"{number - start + 1} lines in one function "
                                     f"(at most {FUNCTION_LINES_MAX}): name its parts"))
                opened = 0
        else:
            if re.match(r"[A-Za-z_]", line):
                start = number
            opened = start and FUNCTION_OPENS.search(line)
    return findings


def check(files):
    findings = []
    for path, text in files.items():
        lines = text.splitlines()
        source = path.endswith(CODE + (".py", ".sh")) or text.startswith("#!")
        if source:
            if len(lines) > FILE_LINES_MAX:
                findings.append((path, len(lines), f"{len(lines)} lines (at most "
                                 f"{FILE_LINES_MAX}): split the file by what it is about"))
        if source and not any(SPDX.match(line) for line in lines[:2]):
            findings.append((path, 1, "begin with the line SPDX-License-Identifier: MIT"))
        if path.endswith(CODE):
            findings += check_functions(path, lines)
        if text and not text.endswith("\n"):
            findings.append((path, len(lines), "end the last line"))
        for number, line in enumerate(lines, 1):
            if source and len(line) > LINE_COLUMNS_MAX:
                findings.append((path, number, f"{len(line)} columns (at most {LINE_COLUMNS_MAX})"))
            if line != line.rstrip():
                findings.append((path, number, "remove the space at the end of the line"))
            if source and "\t" in line:
                findings.append((path, number, "indent with spaces, not a tab"))
            for pattern, why in FORBIDDEN:
                if found := pattern.search(line):
                    findings.append((path, number, f'"{found[0]}" does not belong here: {why}'))
    return findings


HEAD = "/* SPDX-License-Identifier: MIT */\n"
LONG = "static int\nf(int a,\n  int b) {\n" + "    a++;\n" * FUNCTION_LINES_MAX + "}\n"
CLEAN = {
    "src/vm/a.c": HEAD + "int f(void) {\n    return 1;\n}\n",
    "src/vm/table.c": HEAD + "static const int t[] = {\n" + "    1,\n" * 90 + "};\n",
    "README.md": "A session of /tmp/x is fine here.\n",
}
PLANTED = [
    ("split the file", {"src/vm/p.c": HEAD + "int a;\n" * FILE_LINES_MAX}),
    ("lines in one function", {"src/vm/p.c": HEAD + LONG}),
    ("SPDX-License-Identifier", {"src/vm/p.c": "int a;\n"}),
    ("SPDX-License-Identifier", {"tools/p": "#!/bin/sh\n"}),
    ("end the last line", {"README.md": "Moat"}),
    ("101 columns", {"src/vm/p.c": HEAD + "/" * 101 + "\n"}),
    ("space at the end", {"README.md": "Moat \n"}),
    ("not a tab", {"src/vm/p.c": HEAD + "\tint a;\n"}),
    ("a path of one workplace", {"README.md": "see /wor" + "k/main\n"}),
    ("a path of one workplace", {"README.md": "see ../share" + "d/x\n"}),
    ("a ticket number", {"README.md": "as in issue " + "7\n"}),
    ("unfinished work", {"src/vm/p.c": HEAD + "/* TOD" + "O */\n"}),
    ("not about the project", {"README.md": "an AI " + "agent\n"}),
]

if __name__ == "__main__":
    check_common.main(check, check_common.read_files("*"), CLEAN, PLANTED)
