# SPDX-License-Identifier: MIT
"""What the public headers say, as pages: of each header its purpose, its types and its calls.

A header is written to be read, and this reads it by its layout: a comment in column 0 belongs to
what follows it, "Returns", "Threads" and the like begin a section whose text stands ten columns in,
two spaces in a line divide a term from what it means, and four at its start are code. A call that
is not understood in this way loses words, which a test counts.
"""

import collections
import re

LABELS = ("Returns", "Threads", "Since", "Contract")
Header = collections.namedtuple("Header", "file purpose body types calls others")
Call = collections.namedtuple("Call", "name declaration body sections")

CHUNK = re.compile(r"^/\*(?P<comment>(?:(?!\*/).)*)\*/\n(?P<code>(?:[^\n]+\n)+?)(?=\n|/\*)",
                   re.S | re.M)
FUNCTION = re.compile(r"\b(\w+)\(")
SCAFFOLD = re.compile(r"^(#(?!define \w+[ (]).*|#define MOAT_\w+_H(PP)?)\n|"
                      r'^extern "C" \{\n|^\}\n|^struct \w+;\n', re.M)
TERM = re.compile(r"(\S+(?: \S+)*)  +(\S.*)")


def lines_of(comment):
    """The lines of a comment without its stars."""
    lines = [re.sub(r"^ \* ?", "", line).rstrip() for line in comment.strip("\n").splitlines()]
    lines = [re.sub(r"^ \*?$", "", line) for line in lines]
    while lines and not lines[0].strip():
        lines.pop(0)
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def indent(line):
    return len(line) - len(line.lstrip())


def take_deeper(lines, start, base):
    """The lines from `start` on that are further in than `base`."""
    end = start
    while end < len(lines) and lines[end] and indent(lines[end]) > base:
        end += 1
    return lines[start:end], end


def blocks(lines):
    """[("text", words) | ("code", lines) | ("terms", [(term, blocks)])] of lines of a comment."""
    made, at = [], 0
    while at < len(lines):
        line = lines[at]
        base = indent(line)
        if not line:
            at += 1
        elif base >= 4:
            code = []
            while at < len(lines) and (indent(lines[at]) >= 4 or not lines[at]):
                code.append(lines[at][4:])
                at += 1
            made.append(("code", "\n".join(code).rstrip().splitlines()))
        elif base >= 2 or TERM.fullmatch(line):
            at = add_term(made, lines, at)
        else:
            words = []
            while at < len(lines) and lines[at] and indent(lines[at]) == base and \
                    not (words and TERM.fullmatch(lines[at])):
                words.append(lines[at].strip())
                at += 1
            made.append(("text", " ".join(words)))
    return made


def add_term(made, lines, at):
    """A term with what it means, or an item that begins with a dash; the line after it."""
    line, base = lines[at].strip(), indent(lines[at])
    rest, end = take_deeper(lines, at + 1, base)
    if line.startswith("- "):
        term, text = "-", [line[2:]] + [each.strip() for each in rest]
    elif found := TERM.fullmatch(line):
        term, text = found[1], [found[2]] + [each.strip() for each in rest]
    else:
        # The words alone, and what follows them if it is further in: "FALSE, with the last error".
        nested = results([each[indent(rest[0]):] for each in rest]) if rest else []
        term, text = line, None
    if text is not None:
        nested = [("text", " ".join(text))]
    if made and made[-1][0] == "terms":
        made[-1][1].append((term, nested))
    else:
        made.append(("terms", [(term, nested)]))
    return end


def results(lines):
    """What stands behind "Returns": codes with their meaning, or sentences."""
    made, at = [], 0
    while at < len(lines):
        line = lines[at]
        rest, end = take_deeper(lines, at + 1, 0)
        if TERM.fullmatch(line) or rest or re.fullmatch(r"[A-Z_0-9]{4,}(, [A-Z_0-9]+)*", line):
            at = add_term(made, lines, at)
            continue
        if made and made[-1][0] == "text":
            made[-1] = ("text", made[-1][1] + " " + line)
        else:
            made.append(("text", line))
        at = end
    return made


def sections_of(lines):
    """The lines before the first label, and {label: lines}; "After" is a section of its own."""
    body, sections, current = [], {}, None
    for line in lines:
        label, _, rest = line.partition("  ")
        if label in LABELS:
            current = sections[label] = [rest.strip()]
        elif current is not None and line.startswith("After "):
            current = sections["After"] = [line]
        elif current is not None and line.startswith(" " * 10):
            current.append(line[10:])
        elif current is not None and line:
            # A sentence in column 0 goes on where the section ended.
            if "After" not in sections or current is not sections["After"]:
                current = sections.setdefault("After", [])
            current.append(line)
        elif current is None:
            body.append(line)
    return body, sections


def call_of(comment, code):
    """The call that a comment and the code behind it are about; None: it is another thing."""
    lines = lines_of(comment)
    if "MOAT_API" not in code and not any(line.startswith("Since  ") for line in lines):
        return None
    declaration = re.split(r";\n| \{\n", code)[0]
    declaration = re.sub(r"\b(extern )?MOAT_API |\bMOAT_CHECKED |\bstatic inline ", "", declaration)
    name = FUNCTION.search(declaration) or re.search(r"(\w+)\[", declaration)
    if name is None or declaration.startswith(("#", "struct", "enum")) and "(" not in declaration:
        return None
    body, sections = sections_of(lines)
    parsed = {label: results(text) if label == "Returns" else blocks(text)
              for label, text in sections.items()}
    return Call(name[1], declaration + ";", blocks(body), parsed)


def head_of(text):
    """The first comment, without its license: (what the header is for, blocks, where it ends)."""
    head = re.match(r"/\* SPDX[^\n]*\n/\*\n(.*?) \*/\n|// SPDX[^\n]*\n//\n((?://[^\n]*\n)+)", text,
                    re.S)
    lines = lines_of(head[1] or re.sub(r"^//", " *", head[2], flags=re.M))
    title = []
    while lines and lines[0]:
        title.append(lines.pop(0))
    purpose, _, more = " ".join(title).partition(": ")[2].partition(". ")
    body = [("text", more)] if more else []
    return purpose.rstrip("."), body + blocks(lines), head.end()


def classes_of(text):
    """The classes of a header for C++, each with the comment before it."""
    found = re.findall(r"^((?://[^\n]*\n)+)class (\w+)", text, re.M)
    terms = [(f"class moat::{name}", blocks(lines_of(re.sub(r"^//", " *", comment, flags=re.M))))
             for comment, name in found]
    return [("terms", terms)] if terms else []


def types_of(text, has_code):
    """Code that is no call: types and constants. What C++ has besides is the same once more, and of
    what is inline only what it works on is for others."""
    if has_code:
        text = "".join(re.findall(r"^(?:/\*(?:(?!\*/).)*\*/\n)?struct \w+ \{\n.*?^\};\n", text,
                                  re.S | re.M))
    text = re.sub(r"^#ifdef __cplusplus\nextern.*?#endif\n", "", text, flags=re.S | re.M)
    text = re.sub(r"^MOAT_LAYOUT\(.*?;\n", "", text, flags=re.S | re.M)
    return re.sub(r"\n\s*\n\s*\n+", "\n\n", SCAFFOLD.sub("", text)).strip("\n")


def read(path):
    """The pages of a header."""
    text = path.read_text()
    purpose, body, end = head_of(text)
    rest = text[end:]
    if path.suffix == ".hpp":
        return Header(path.name, purpose, body + classes_of(rest), "", [], [])
    calls = []
    for chunk in CHUNK.finditer(rest):
        if call := call_of(chunk["comment"], chunk["code"]):
            calls.append(call)
            rest = rest.replace(chunk[0], "")
    others = re.findall(r"^extern MOAT_API [^;]*?(\w+);", rest, re.M)
    return Header(path.name, purpose, body, types_of(rest, "static inline" in text), calls,
                  others)
