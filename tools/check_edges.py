#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every atomic operation says its order, and every order says what it is for.

A file that orders memory lists its edges under the word "Edges" in a comment, one a line:

     publish   insert writes the record, then the slot -> find reads the slot, then record

The comment directly above an operation begins with R(publish) at the releasing end, A(publish) at
the acquiring end, both for acq_rel, or "relaxed: reason". The name is listed in the same file or in
a header that this file includes, and each listed edge has both ends.
"""

import re

import check_common

# Functions that are one atomic step each: they have no ends, their callers do.
WRAPPERS = "src/lockfree/atomic.h"

ORDERS = "relaxed|acquire|release|acq_rel|seq_cst"
WRAPPER = re.compile(rf"^static inline .*\b(moat_\w+_(?:{ORDERS}))\(", re.M)
EXPLICIT = re.compile(r"\batomic_(?:\w+_explicit|thread_fence|signal_fence)\s*\(")
IMPLICIT = re.compile(
    r"\batomic_(?:load|store|exchange|fetch_\w+|compare_exchange_\w+|flag_\w+)\s*\("
    r"|\b__(?:atomic|sync)_\w+\s*\(")
ORDER = re.compile(rf"\bmemory_order_({ORDERS})\b")
END = re.compile(r"\b([RA])\(([\w-]+)\)")
BEGINS = re.compile(r"\s*(?:[RA]\([\w-]+\)|relaxed: \S)")
INCLUDE = re.compile(r'^#include "([^"]+)"', re.M)
LISTED = re.compile(r" \*\s{2,6}([a-z][\w-]*)\s{2,}\S")
COMMENT = re.compile(r"/\*.*?\*/", re.S)

NEEDS = {
    "relaxed": {"relaxed"},
    "acquire": {"A"},
    "release": {"R"},
    "acq_rel": {"R", "A"},
    "seq_cst": {"R", "A"},
}


def split_comments(text):
    """The code with its comments blanked, and {last line of a comment: its words}."""
    comments = {}
    for found in COMMENT.finditer(text):
        last = text.count("\n", 0, found.end()) + 1
        words = re.sub(r"\n\s*\*+ ?", " ", found[0][2:-2].strip("*"))
        comments[last] = " ".join(words.split())
    code = COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    return code, comments


def arguments(code, start):
    """The text from an opening parenthesis to the one that closes it."""
    depth = 0
    for index in range(start, len(code)):
        depth += {"(": 1, ")": -1}.get(code[index], 0)
        if depth == 0:
            return code[start:index]
    return code[start:]


def operations(code, wrappers):
    """(line, orders) of every atomic operation; no orders when it does not say."""
    found_all = []
    for found in re.finditer(r"\bmoat_\w+(?=\()", code):
        if found[0] in wrappers:
            found_all.append((found.start(), {re.search(rf"_({ORDERS})$", found[0])[1]}))
    for found in EXPLICIT.finditer(code):
        orders = set(ORDER.findall(arguments(code, found.end() - 1)))
        # The failing half of a compare-and-exchange is a load that decides nothing more.
        found_all.append((found.start(), orders - {"relaxed"} or orders))
    found_all += [(found.start(), set()) for found in IMPLICIT.finditer(code)
                  if not EXPLICIT.match(code, found.start())]
    found_all.sort(key=lambda item: item[0])
    return [(code.count("\n", 0, start) + 1, orders) for start, orders in found_all]


def comment_above(lines, comments, line):
    """The comment above the statement that `line` belongs to, or the empty string."""
    while line > 1:
        line -= 1
        if line in comments and not lines[line - 1].strip():
            return comments[line]
        if re.search(r"[;{}:]\s*$", lines[line - 1]) or not lines[line - 1].strip():
            return ""
    return ""


def listed_edges(text):
    """{name: line} of the edges that the comments of a file list."""
    edges = {}
    listing = False
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"(?:/| )\*\s+Edges\b", line):
            listing = True
        elif "*/" in line or re.match(r" \* ?\S", line):
            listing = False
        if listing and (found := LISTED.match(line)) and found[1] != "Edges":
            edges[found[1]] = number
    return edges


def check_sites(path, text, wrappers):
    """Findings at the operations of one file, and (line, end, edge) of what they name."""
    findings, ends = [], []
    code, comments = split_comments(text)
    lines = code.splitlines()
    for number, orders in operations(code, wrappers):
        if not orders:
            findings.append((path, number, "spell the memory order of this atomic operation"))
            continue
        comment = comment_above(lines, comments, number)
        named = END.findall(comment)
        ends += [(number, end, edge) for end, edge in named]
        has = {end for end, _ in named} | ({"relaxed"} if "relaxed: " in comment else set())
        needs = set().union(*(NEEDS[order] for order in orders))
        if not BEGINS.match(comment) or not needs <= has:
            missing = ", ".join("relaxed: reason" if end == "relaxed" else f"{end}(edge)"
                                for end in sorted(needs - has or needs))
            findings.append((path, number, f"begin the comment directly above with {missing}"))
    return findings, ends


def check(files):
    findings, met = [], {}
    listed = {path: listed_edges(text) for path, text in files.items()}
    wrappers = set(WRAPPER.findall(files.get(WRAPPERS, "")))
    for path, text in files.items():
        sites, ends = check_sites(path, text, wrappers if path != WRAPPERS else set())
        if path == WRAPPERS:
            findings += [site for site in sites if site[2].startswith("spell")]
            continue
        findings += sites
        visible = [path] + ["src/" + name if "/" in name else f"{path.rpartition('/')[0]}/{name}"
                            for name in INCLUDE.findall(text)]
        for number, end, edge in ends:
            owners = [owner for owner in visible if edge in listed.get(owner, {})]
            if not owners:
                findings.append((path, number, f'list edge {edge} under "Edges" in the header '
                                 "comment of this file, or of one that it includes"))
            elif len(owners) > 1:
                findings.append((path, number, f"edge {edge} is listed in {' and '.join(owners)}; "
                                 "rename one"))
            for owner in owners:
                met.setdefault((owner, edge), set()).add(end)
    for path, edges in listed.items():
        for edge, number in edges.items():
            for end in sorted({"R", "A"} - met.get((path, edge), set())):
                findings.append((path, number, f"no operation is marked {end}({edge})"))
    return findings


CLEAN = {
    WRAPPERS: """\
static inline uint64_t moat_load_relaxed(const _Atomic uint64_t *at)
static inline uint64_t moat_load_acquire(const _Atomic uint64_t *at)
static inline void moat_store_release(_Atomic uint64_t *at, uint64_t value)
static inline bool moat_cas_acq_rel(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired)
    return atomic_load_explicit(at, memory_order_relaxed);
""",
    "src/lockfree/a.h": """\
/*
 * a: an example.
 *
 * Edges. R() marks the releasing end, A() the acquiring end.
 *
 *   publish   put writes the value, then the key -> get reads the key,
 *             then the value
 *
 * Anything else  follows.
 */
""",
    "src/lockfree/a.c": """\
#include "lockfree/a.h"
    moat_region_release(region);
    /* R(publish) */
    moat_store_release(&slot->key, key);
    /* A(publish): and more
     * words; see moat_load_relaxed(x) */
    uintptr_t key =
        moat_load_acquire(&slot->key);
    /* relaxed: ordered by A(publish) above. */
    atomic_load_explicit(&slot->value, memory_order_relaxed);
    do {
        /* R(publish) A(publish) */
    } while (!atomic_compare_exchange_weak_explicit(&a, &b, c, memory_order_acq_rel,
                                                    memory_order_relaxed));
""",
}
HALF = ("/*", " * Edges", " *", " *   half   a -> b", " */")


def planted(*lines):
    return {"src/lockfree/p.c": "\n".join(('#include "a.h"',) + lines) + "\n"}


PLANTED = [
    ("spell the memory order", planted("/* A(publish) */", "atomic_load(&x);")),
    ("spell the memory order", planted("/* A(publish) */", "__atomic_load_n(&x, 0);")),
    ("above with A(edge)", planted("moat_load_acquire(&x);")),
    ("above with A(edge)", planted("/* R(publish) */", "moat_load_acquire(&x);")),
    ("above with A(edge)", planted("/* R(publish) */", "moat_cas_acq_rel(&x, 1, 2);")),
    ("above with R(edge)", planted("/* As A(publish) says. */", "moat_store_release(&x, 1);")),
    ("above with R(edge)", planted("/* R(publish) */", "y();", "moat_store_release(&x, 1);")),
    ("above with R(edge)", planted("y(); /* R(publish) */", "moat_store_release(&x, 1);")),
    ("above with relaxed: reason", planted("/* A(publish) */", "moat_load_relaxed(&x);")),
    ("above with relaxed: reason", planted("/* relaxed: */", "moat_load_relaxed(&x);")),
    ("above with A(edge), R(edge)", planted("atomic_thread_fence(memory_order_seq_cst);")),
    ("list edge gone", planted("/* R(gone) */", "moat_store_release(&x, 1);")),
    ("list edge publish", {"src/vm/p.c": "/* R(publish) */\nmoat_store_release(&x, 1);\n"}),
    ("rename one", planted("/*", " * Edges", " *", " *   publish   a -> b", " */",
                           "/* R(publish) */", "moat_store_release(&x, 1);")),
    ("marked A(half)", planted(*HALF, "/* R(half) */", "moat_store_release(&x, 1);")),
    ("marked R(half)", planted(*HALF, "/* A(half) */", "moat_load_acquire(&x);")),
    ("spell the memory order", {WRAPPERS: "    atomic_load(at);\n"}),
]

if __name__ == "__main__":
    check_common.main(
        check, check_common.read_files("*.c", "*.h", folders=("src",)), CLEAN, PLANTED)
