#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The code of the guides compiles without a warning, and what has a main runs and ends with 0; the
calls and constants that their text names are in the headers. Links of all documents lead somewhere.
Pictures of the design are shown there, well-formed, and in the colours of moat-inspect."""

import pathlib
import re
import xml.etree.ElementTree

import common

GUIDES = ("PORTING.md", "HOSTING.md")
FOLDERS = (".", "src", "tests", "bench", "tools")
# A class of a style sheet, and its colour.
COLOUR = re.compile(r"\.([a-z]+)\{fill:(#[0-9a-f]+)")
# Code spans with a name that only Moat can have.
NAME = re.compile(r"\b(?:moat_[a-z_]+[a-z]|MOAT_(?!OPTIONS)[A-Z_]+[A-Z])\b")
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function")


def unknown(text, headers):
    """What the code spans of a guide name, and no header has."""
    spans = " ".join(re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text,
                                                       flags=re.S | re.M)))
    return sorted({name for name in NAME.findall(spans) if not re.search(rf"\b{name}\b", headers)})


def dead(text, root):
    """Links to files that are not there, and to headings that the text does not have."""
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
               for heading in re.findall(r"^#+ (.*)", text, re.M)}
    for file, anchor in re.findall(r"\]\(([^)#:]*)#?([^)]*)\)", text):
        if file and not (root / file).exists() or not file and anchor not in anchors:
            yield f"{file}#{anchor}"


def wrong(picture, colours):
    """What is wrong with the text of a picture, or None."""
    try:
        tree = xml.etree.ElementTree.fromstring(picture)
    except xml.etree.ElementTree.ParseError as error:
        return str(error)
    for name in ("title", "desc"):
        if not tree.findtext(f"{{http://www.w3.org/2000/svg}}{name}"):
            return f"it has no {name}"
    for name, colour in COLOUR.findall(picture):
        if colours.get(name, colour) != colour:
            return f"{name} is {colour}, and {colours[name]} in what moat-inspect draws"
    return None


def check_documents(root):
    """Links and pictures; how many documents and pictures there are."""
    documents = [path for folder in FOLDERS
                 for path in (root / folder).glob("*.md" if folder == "." else "**/*.md")]
    for path in documents:
        if links := list(dead(path.read_text(), path.parent)):
            common.fail(f"{path} has links that lead nowhere: {links}")
    colours = dict(COLOUR.findall((root / "tools/inspect/svg.c").read_text()))
    pictures = list((root / "src/pictures").iterdir())
    for path in pictures:
        if f"(pictures/{path.name})" not in (root / "src/README.md").read_text():
            common.fail(f"{path} is shown nowhere")
        if what := wrong(path.read_text(), colours):
            common.fail(f"{path}: {what}")
    if not documents or not pictures or len(colours) < 9:
        common.fail("there is nothing to check")
    return len(documents), len(pictures)


def build(code, work, number, given):
    """Compiles a piece of code; runs it if it is a program."""
    source = work / f"guide{number}.c"
    source.write_text(code)
    include = f"-I{common.ROOT / 'include'}"
    flags = [*STRICT, *given.flags.split(), include]
    if "int main(" not in code:
        common.run(given.cc, *flags, "-c", source, "-o", work / f"guide{number}.o")
        return 0
    program = work / f"guide{number}"
    common.run(given.cc, *flags, source, "-o", program, f"-L{given.build}", "-lmoat",
               f"-Wl,-rpath,{given.build}")
    common.run(program)
    return 1


PICTURE = ('<svg xmlns="http://www.w3.org/2000/svg"><title>a</title><desc>b</desc>'
           '<style>.guard{fill:#e0483e}</style></svg>')


def self_test(headers):
    if unknown("`moat_commit`, `MOAT_COMMIT_LIMIT`, `x`\n```c\nmoat_boat();\n```\n", headers):
        common.fail("what is right is reported")
    if unknown("`moat_boat`, `MOAT_BOAT`", headers) != ["MOAT_BOAT", "moat_boat"]:
        common.fail("a call that is not there is not reported")
    if list(dead("# A b\n[x](#a-b) [y](#c) [z](CMakeLists.txt) [u](NONE.md)", common.ROOT)) != \
            ["#c", "NONE.md#"]:
        common.fail("a dead link is not reported")
    if wrong(PICTURE, {"guard": "#e0483e"}):
        common.fail("a picture that is right is reported")
    planted = [("</svg>", ""), ("<title>a</title>", ""), ("<desc>b</desc>", ""), ("#e0", "#e1")]
    for old, new in planted:
        if not wrong(PICTURE.replace(old, new), {"guard": "#e0483e"}):
            common.fail(f"a picture without {old} is not reported")
    print("8 planted faults reported")


def main():
    given = common.arguments(__doc__, "build", "work", "cc", "cxx", "flags")
    headers = "\n".join(path.read_text() for path in (common.ROOT / "include/moat").iterdir())
    if given.self_test:
        self_test(headers)
        return
    work = pathlib.Path(given.work)
    work.mkdir(parents=True, exist_ok=True)
    pieces = programs = 0
    documents, pictures = check_documents(common.ROOT)
    for guide in GUIDES:
        text = (common.ROOT / guide).read_text()
        if names := unknown(text, headers):
            common.fail(f"{guide} names what no header has: {names}")
        for code in re.findall(r"^```c\n(.*?)^```$", text, re.S | re.M):
            programs += build(code, work, pieces, given)
            pieces += 1
    if pieces < len(GUIDES):
        common.fail(f"the guides have only {pieces} pieces of code")
    print(f"{pieces} pieces of code in {len(GUIDES)} guides compile, {programs} programs run; "
          f"the links of {documents} documents, and {pictures} pictures")


if __name__ == "__main__":
    main()
