#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the libraries let out: the shared one each function and object that a public header marks
with MOAT_API, under the version of this interface, and no more; the static one, whose other names
cannot be hidden, nothing else that does not begin with moat_ and that C could name."""

import pathlib
import re

import common

MAP = "src/moat.map.in"


def declared(text):
    """The names marked with MOAT_API in the text of a header."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"^#.*", "", text, flags=re.M)
    text = re.sub(r"__attribute__\(\(.*?\)\)", "", text)
    return re.findall(r"\bMOAT_API\b[^;({\[]*?(\w+)\s*[;(\[]", text)


def findings(public, mapped, exported, linked, node):
    """What is wrong with the names of the headers, of the map, of the shared library, which carry
    their version, and of the static library."""
    return [f"{name} {what}" for names, what in (
        (public - mapped, f"has MOAT_API in a public header: add it to {MAP}"),
        (mapped - public, f"is in {MAP}: no public header declares it with MOAT_API"),
        (mapped - {name.partition("@")[0] for name in exported},
         f"is in {MAP}, but the shared library does not have it"),
        ({name for name in exported if name.partition("@")[0] not in public},
         "is exported, but no public header declares it with MOAT_API"),
        ({name for name in exported if not name.endswith("@@" + node)},
         f"is not exported under the version {node}"),
        ({name for name in linked - public if re.match(r"(?!moat_)\w+$", name)},
         "would take a name of the host's in a program that is linked with the static library"),
    ) for name in sorted(names)]


def self_test():
    header = "/* MOAT_API a(b); */\n#define MOAT_API __attribute__((c))\nMOAT_API\n" \
        "MOAT_CHECKED int d(void);\nMOAT_API int e(int f) __attribute__((g(1)));\n" \
        "extern MOAT_API const char h[8]; MOAT_API void *\ni (void); extern MOAT_API int j;\n"
    if declared(header) != ["d", "e", "h", "i", "j"]:
        common.fail(f"of the names in a header these were seen: {declared(header)}")
    fine = {"e"}, {"e"}, {"e@@V"}, {"e", "moat_x", "_.e"}, "V"
    if found := findings(*fine):
        common.fail(f"what is right is reported: {found}")
    planted = (
        ("add it to", 0, {"e", "f"}), ("no public header", 1, {"e", "f"}),
        ("does not have it", 2, set()), ("is exported, but", 2, {"e@@V", "f@@V"}),
        ("not exported under", 2, {"e"}), ("not exported under", 2, {"e@@W"}),
        ("name of the host's", 3, {"e", "f"}),
    )
    for text, at, names in planted:
        if not any(text in found for found in findings(*fine[:at], names, *fine[at + 1:])):
            common.fail(f"not reported: {text}")
    print(f"{len(planted)} planted violations reported")


def main():
    given = common.arguments(__doc__, "build", "work", "cc", "cxx", "flags")
    if given.self_test:
        self_test()
        return
    build = pathlib.Path(given.build)
    headers = common.headers()
    public = {name for header in headers for name in declared(header.read_text())}
    mapped = set(re.findall(r"^    (\w+);", (common.ROOT / MAP).read_text(), re.M))
    node = "MOAT_" + common.interface()

    def names(*command):
        lines = [line.split() for line in common.run("nm", "--defined-only", *command).splitlines()]
        return {words[0] for words in lines if len(words) > 1 and words[1] != "A"}

    exported = names("--format=posix", "-D", build / "libmoat.so")
    linked = names("--format=posix", "-g", build / "libmoat.a")
    if found := findings(public, mapped, exported, linked, node):
        common.fail("\n".join(found))
    print(f"{len(public)} names in {len(headers)} headers, {len(exported)} exported as {node}; "
          f"{len(linked - public)} more in the static library, none a host's")


if __name__ == "__main__":
    main()
