#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every atomic operation says its order, and every order says what it is for.

A file that orders memory lists its edges under the word "Edges" in a comment, one a line:

     publish   insert writes the record, then the slot -> find reads the slot, then record

The comment directly above an operation begins with R(publish) at the releasing end, A(publish) at
the acquiring end, both for acq_rel, or "relaxed: reason". A name belongs to one folder of src: it
is listed there once, and has both ends there.
"""

import re

import check_common

# The wrappers themselves have no ends; their callers do.
WRAPPERS = "src/lockfree/atomic.h"

ORDERS = "relaxed|acquire|release|acq_rel|seq_cst"
WRAPPED = re.compile(rf"\bmoat_\w+?_({ORDERS})\s*\(")
EXPLICIT = re.compile(r"\batomic_(?:\w+_explicit|thread_fence|signal_fence)\s*\(")
IMPLICIT = re.compile(
    r"\batomic_(?:load|store|exchange|fetch_\w+|compare_exchange_\w+|flag_\w+)\s*\("
    r"|\b__(?:atomic|sync)_\w+\s*\(")
ORDER = re.compile(rf"\bmemory_order_({ORDERS})\b")
END = re.compile(r"\b([RA])\(([\w-]+)\)")
BEGINS = re.compile(r"\s*(?:[RA]\([\w-]+\)|relaxed: \S)")
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


def operations(code):
    """(line, orders) of every atomic operation; no orders when it does not say."""
    found_all = [(found.start(), {found[1]}) for found in WRAPPED.finditer(code)]
    for found in EXPLICIT.finditer(code):
        orders = set(ORDER.findall(arguments(code, found.end() - 1)))
        # The failing half of a compare-and-exchange is a load that decides nothing more.
        found_all.append((found.start(), orders - {"relaxed"} or orders))
    found_all += [(found.start(), set()) for found in IMPLICIT.finditer(code)
                  if not EXPLICIT.match(code, found.start())]
    return [(code.count("\n", 0, start) + 1, orders) for start, orders in sorted(
        found_all, key=lambda item: item[0])]


def comment_above(lines, comments, line):
    """The comment above the statement that `line` belongs to, or the empty string."""
    while line > 1:
        line -= 1
        if line in comments:
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


def check_sites(path, text):
    """Findings at the operations of one file, and the set of (end, edge) that it names."""
    findings, ends = [], set()
    code, comments = split_comments(text)
    lines = code.splitlines()
    for number, orders in operations(code):
        if not orders:
            findings.append((path, number, "spell the memory order of this atomic operation"))
            continue
        comment = comment_above(lines, comments, number)
        named = END.findall(comment)
        ends.update(named)
        has = {end for end, _ in named} | ({"relaxed"} if "relaxed: " in comment else set())
        needs = set().union(*(NEEDS[order] for order in orders))
        if not BEGINS.match(comment) or not needs <= has:
            missing = ", ".join("relaxed: reason" if end == "relaxed" else f"{end}(edge)"
                                for end in sorted(needs - has or needs))
            findings.append((path, number, f"begin the comment directly above with {missing}"))
    return findings, ends


def check(files):
    findings, listed, ends = [], {}, {}
    for path, text in files.items():
        folder = path.split("/")[1]
        for edge, number in listed_edges(text).items():
            if (folder, edge) in listed:
                findings.append((path, number, f"edge {edge} is already listed in "
                                 f"{listed[folder, edge][0]}; give it a name of its own"))
            listed.setdefault((folder, edge), (path, number))
        if path == WRAPPERS:
            continue
        sites, named = check_sites(path, text)
        findings += sites
        for end, edge in named:
            ends.setdefault((folder, edge), {})[end] = path
    for (folder, edge), where in ends.items():
        if (folder, edge) not in listed:
            path = next(iter(where.values()))
            findings.append((path, 1, f'edge {edge} is not listed under "Edges" in a file header'))
    for (folder, edge), (path, number) in listed.items():
        for end in {"R", "A"} - ends.get((folder, edge), {}).keys():
            findings.append((path, number, f"no operation is marked {end}({edge})"))
    return findings


CLEAN = {"src/lockfree/a.c": """\
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
"""}


def planted(*lines):
    return {"src/lockfree/p.c": "\n".join(lines) + "\n"}


PLANTED = [
    ("spell the memory order", planted("/* A(publish) */", "atomic_load(&x);")),
    ("spell the memory order", planted("/* A(publish) */", "__atomic_load_n(&x, 0);")),
    ("above with A(edge)", planted("moat_load_acquire(&x);")),
    ("above with A(edge)", planted("/* R(publish) */", "moat_load_acquire(&x);")),
    ("above with A(edge)", planted("/* R(publish) */", "moat_cas_acq_rel(&x, 1, 2);")),
    ("above with R(edge)", planted("/* As A(publish) says. */", "moat_store_release(&x, 1);")),
    ("above with R(edge)", planted("/* R(publish) */", "y();", "moat_store_release(&x, 1);")),
    ("above with relaxed: reason", planted("/* A(publish) */", "moat_load_relaxed(&x);")),
    ("above with relaxed: reason", planted("/* relaxed: */", "moat_load_relaxed(&x);")),
    ("above with A(edge), R(edge)", planted("atomic_thread_fence(memory_order_seq_cst);")),
    ("gone is not listed", planted("/* R(gone) */", "moat_store_release(&x, 1);")),
    ("already listed", planted("/*", " * Edges", " *", " *   publish   a -> b", " */")),
    ("marked A(half)", planted("/*", " * Edges", " *", " *   half   a -> b", " */",
                               "/* R(half) */", "moat_store_release(&x, 1);")),
    ("marked R(half)", planted("/*", " * Edges", " *", " *   half   a -> b", " */",
                               "/* A(half) */", "moat_load_acquire(&x);")),
]

if __name__ == "__main__":
    check_common.main(
        check, check_common.read_files("*.c", "*.h", folders=("src",)), CLEAN, PLANTED)
