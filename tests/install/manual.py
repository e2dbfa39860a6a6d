#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The manual: a page of each function and object that the library exports, which says what it does,
how it is called, what it returns and in which threads; each word of the headers' comments; no line
that groff, lexgrog or mandoc complains of; the exit statuses of each program; and completions that
bash offers."""

import collections
import pathlib
import re
import shutil
import subprocess

import common
import symbols

MAP = "src/moat.map.in"
# Every call has these. (A call that cannot fail has nothing to return.)
SECTIONS = ("NAME", "SYNOPSIS", "DESCRIPTION", "ATTRIBUTES", "HISTORY", "SEE ALSO")
OBJECTS = {"moat_abort_text"}
BECOME_TITLES = {"Returns", "Threads", "Since", "Contract"}


def sections(text):
    """{title: what stands below it} of a page."""
    parts = re.split(r'^\.SH "(.*)"\n', text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def lacking(pages, exported):
    """What is not in the pages, {name: text}, of what is exported."""
    for name in sorted(exported - set(pages)):
        yield f"{name} has no page"
    for name, text in sorted(pages.items()):
        if redirect := re.fullmatch(r"\.so man3/(.*)\.3\n", text):
            if redirect[1] not in pages:
                yield f"{name}.3 leads to {redirect[1]}.3, which is not there"
            continue
        found = sections(text)
        required = SECTIONS if name in exported - OBJECTS else SECTIONS[:3]
        if missing := [title for title in required if not found.get(title, "").strip()]:
            yield f"{name}.3 says nothing under {', '.join(missing)}"
        synopsis = found.get("SYNOPSIS", "")
        if name in exported and name not in synopsis:
            yield f"{name}.3 does not say how it is called"
        returns = not re.search(r'^\.B "(void|VOID) \w', synopsis, re.M)
        if name in exported - OBJECTS and returns and "RETURN VALUE" not in found:
            yield f"{name}.3 does not say what it returns"
        if re.search(r"\breturn\b.*;$", found.get("TYPES AND CONSTANTS", ""), re.M):
            yield f"{name}.3 has statements among its types"
        for other in re.findall(r"^\.BR (\S+) \(3\)", found.get("SEE ALSO", ""), re.M):
            if other not in pages:
                yield f"{name}.3 refers to {other}.3, which is not there"


def words(text):
    return collections.Counter(re.findall(r"[A-Za-z0-9_]{2,}", text))


def lost(header, pages):
    """The words of a header's comments that none of its pages, {name: text}, has as often."""
    text = header.read_text()
    own = "moat" if header.name == "moat.h" else "moat_" + header.name
    said = "".join(pages[name] for name in {own, *symbols.declared(text)})
    for character, escape in (("-", "\\-"), ("'", "\\(aq"), ("`", "\\(ga"), ("~", "\\(ti")):
        said = said.replace(escape, character)
    text = re.sub(r"^#endif.*", "", text.partition("\n")[2], flags=re.M)
    comments = re.findall(r"/\*.*?\*/", text, re.S)
    return sorted(word for word in words(" ".join(comments)) - words(said)
                  if word not in BECOME_TITLES)


def dead_links(reference):
    """What the pages for a browser, {file: text}, refer to and do not have; how many links it was
    that were followed."""
    links = [(file, *link) for file, text in sorted(reference.items())
             for link in re.findall(r'href="([^"#]*)#?([^"]*)"', text)]
    return [f"{file} refers to {other}#{anchor}" for file, other, anchor in links
            if other not in reference or anchor and f'id="{anchor}"' not in reference[other]
            ], len(links)


def complaints(files):
    """What programs that read manual pages say of these, and how many programs were asked."""
    said, asked = [], 0
    readers = (("groff", ["-man", "-Tutf8", "-ww", "-z"], None),
               ("lexgrog", [], r"parse failed"),
               ("mandoc", ["-T", "lint", "-W", "warning"], None))
    for program, arguments, pattern in readers:
        if not shutil.which(program):
            print(f"{program} was not asked: it is not here")
            continue
        done = subprocess.run([program, *arguments, *files], text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said += [f"{program}: {line}" for line in done.stdout.splitlines()
                 if pattern is None or re.search(pattern, line)]
        asked += 1
    return said, asked


def offered(completion, *words):
    """What bash offers for the last of the words."""
    script = f'. "{completion}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); ' \
        '_${1//-/_}; printf "%s\\n" "${COMPREPLY[@]}"'
    return set(common.run("bash", "-c", script, "bash", *words).split())


def check_program(build, name):
    """A program's page has the exit statuses that its help has, and bash knows its options."""
    program = next(build.glob(f"tools/*/{name}"), None)
    page = (build / f"manual/man/man1/{name}.1").read_text()
    if program is None:
        return "its program is not in this build"
    text = common.run(program, "--help")
    statuses = re.findall(r"^(?:Exit status)? +(\d+)  ", text, re.M)
    if not statuses or re.findall(r"^\.B (\d+)$", page, re.M) != statuses:
        common.fail(f"{name}.1 has not the exit statuses {statuses} of --help")
    flags = set(re.findall(r"--\w+", text))
    completion = build / "manual/completions" / name
    if offered(completion, name, "--") != flags:
        common.fail(f"bash offers {offered(completion, name, '--')} and not {flags}")
    if offered(completion, name, "--h") != {"--help"} or "1" not in offered(completion, name, ""):
        common.fail(f"bash does not complete --h, or offers no processes for {name}")
    if offered(completion, name, "--svg", "/usr/incl") != {"/usr/include"}:
        common.fail("bash offers no files")
    return f"{len(statuses)} exit statuses, {len(flags)} options, completed by bash"


def self_test(pages, exported, work):
    """Each kind of fault is planted in a page that is right."""
    right = pages["moat_commit"]
    planted = (
        ("has no page", {"moat_commit": None}),
        ("under SYNOPSIS", {"moat_commit": re.sub(r'(?s)\.SH "SYNOPSIS".*?(?=\.SH)', "", right)}),
        ("under ATTRIBUTES", {"moat_commit": right.replace('"ATTRIBUTES"', '"ATTRIBUTE"')}),
        ("how it is called", {"moat_commit": right.replace("moat_commit(", "moat_comit(")}),
        ("what it returns", {"moat_commit": right.replace('"RETURN VALUE"', '"RESULT"')}),
        ("refers to", {"moat_commit": right.replace(".BR moat (3)", ".BR moat_boat (3)")}),
        ("statements among", {"moat": pages["moat"].replace(
            "AND CONSTANTS\"\n", "AND CONSTANTS\"\n    return MOAT_OK;\n")}),
        ("leads to", {"IID_IUnknown": ".so man3/moat_boat.3\n"}),
    )
    for fragment, change in planted:
        changed = {name: text for name, text in {**pages, **change}.items() if text is not None}
        if not any(fragment in each for each in lacking(changed, exported)):
            common.fail(f"not reported: {fragment}")
    if other_options('    {"trap",\n', '.SH "OPTIONS"\n.B trip=auto\n') != {"trap", "trip"}:
        common.fail("an option that is not there is not reported")
    header = common.ROOT / "include/moat/moat.h"
    if "rounded" not in lost(header, {**pages, "moat_commit": right.replace("rounded", "", 1)}):
        common.fail("a word that is lost is not reported")
    for link in ("boat.html", "watch.html#moat_boat"):
        if not dead_links({"watch.html": f'<h2 id="moat"><a href="{link}">'})[0]:
            common.fail(f"not reported: {link}")
    work.mkdir(parents=True, exist_ok=True)
    for number, fault in enumerate((right.replace(".PP\n", ".XX\n", 1),
                                    right.replace(" \\- ", " ", 1))):
        file = work / f"planted{number}.3"
        file.write_text(fault)
        said, asked = complaints([file])
        if asked and not said:
            common.fail(f"{file}: nobody complains of it")
    print(f"{len(planted) + 6} planted faults reported")


def check_words(pages):
    """No word of a header is lost on the way. (Of inline functions some are nobody's business.)"""
    headers = [path for path in sorted((common.ROOT / "include/moat").glob("*.h"))
               if path.name != "export.h" and "static inline" not in path.read_text()]
    for header in headers:
        if missing := lost(header, pages):
            common.fail(f"of {header.name} the manual lacks: {' '.join(missing)}")
    return len(headers)


def other_options(table, page):
    """The options that only one of the library's table and the page of options has."""
    rows = re.findall(r'^    \{"(\w+)",', table, re.M)
    return set(rows) ^ set(re.findall(r"^\.B (\w+)=", sections(page)["OPTIONS"], re.M))


def main():
    given = common.arguments(__doc__, "build", "work", "cc", "cxx", "flags")
    build = pathlib.Path(given.build)
    if not (build / "manual").is_dir():
        common.skip("this build makes no manual")
    files = sorted((build / "manual/man/man3").glob("*.3"))
    pages = {path.stem: path.read_text() for path in files}
    exported = set(re.findall(r"^    (\w+);", (common.ROOT / MAP).read_text(), re.M))
    if given.self_test:
        self_test(pages, exported, pathlib.Path(given.work))
        return
    files += sorted((build / "manual/man").glob("man[17]/*"))
    options = (build / "manual/man/man7/moat_options.7").read_text()
    if differ := other_options((common.ROOT / "src/base/options.c").read_text(), options):
        common.fail(f"moat_options.7 and the table of options differ in {differ}")
    said, asked = complaints([path for path in files if not path.read_text().startswith(".so ")])
    if found := [*lacking(pages, exported), *said]:
        common.fail("\n".join(found))
    complete = check_words(pages)
    dead, links = dead_links({path.name: path.read_text()
                              for path in (build / "manual/reference").iterdir()})
    if dead or links < len(exported):
        common.fail("\n".join(dead) or f"the reference has only {links} links")
    for path in (build / "manual/man/man1").glob("*.1"):
        print(f"{path.stem}: {check_program(build, path.stem)}")
    print(f"{len(files)} pages, {len(exported)} names exported, all words of {complete} headers; "
          f"{asked} programs read them without a complaint; {links} links in the reference lead "
          "somewhere")


if __name__ == "__main__":
    main()
