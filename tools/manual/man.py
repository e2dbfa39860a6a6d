# SPDX-License-Identifier: MIT
"""The pages of headers and of programs as manual pages, in the macros of man(7)."""

import os
import re
import time

SECTIONS = (("Returns", "RETURN VALUE"), ("After", "AFTER A FAILURE"), ("Threads", "ATTRIBUTES"),
            ("Contract", "CONTRACT"), ("Since", "HISTORY"))
# The manual's other pages that a text may mention.
MENTION = re.compile(r"\b(?:moat_\w+|[A-Z][a-z]\w*[A-Z]\w+)\b")


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("^", "\\(ha")
    text = text.replace("'", "\\(aq").replace("~", "\\(ti")
    return re.sub(r"^\.", "\\&.", text)


def code(lines):
    return [".PP", ".in +4n", ".EX", *(escape(line) for line in lines), ".EE", ".in"]


def roff(blocks):
    """Lines of a page for blocks of headers.py."""
    lines = []
    for kind, content in blocks:
        if kind == "text":
            lines += [".PP", escape(content)]
        elif kind == "code":
            lines += code(content)
        else:
            for term, meaning in content:
                lines += [".TP", ".B " + escape(term)] if term != "-" else [".IP \\(bu 3"]
                if meaning and meaning[0][0] == "text":
                    lines += [escape(meaning[0][1])]
                    meaning = meaning[1:]
                elif term != "-":
                    lines += ["\\&"]
                if meaning:
                    lines += [".RS", *roff(meaning), ".RE"]
    return lines


def date():
    """Of the source, if whoever packages it says when that is; of today."""
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def heading(name, number, version):
    return ['.\\" SPDX-License-Identifier: MIT',
            '.\\" Made by tools/manual/make from the headers and the programs of Moat.',
            f'.TH {name} {number} {date()} "Moat {version}" "Moat"']


def section(title, lines):
    """A section without an empty paragraph at its start."""
    return [f'.SH "{title}"', *(lines[1:] if lines[:1] == [".PP"] else lines)] if lines else []


def brief(text):
    """What a list of all pages has of one: a clause, in lower case if it begins with a word."""
    text = re.split(r"[.;:?] |[.;:?]$", text)[0].replace("`", "")
    return text[0].lower() + text[1:] if re.match(r"[A-Z][a-z]*[ ,]", text) else text


def dedent(declaration):
    """The lines of a declaration, the later ones as far in as a page has room for."""
    return [re.sub(r"^ +", " " * 8, line) for line in declaration.splitlines()]


def header_page(header):
    return "moat" if header.file == "moat.h" else "moat_" + header.file


def see_also(names):
    pages = [f".BR {name} (3)" for name in names]
    return [line + " ," for line in pages[:-1]] + pages[-1:]


def call_page(call, header, known, version):
    first = next((words for kind, words in call.body if kind == "text"), "")
    text = [*call.body, *(block for blocks in call.sections.values() for block in blocks)]
    mentioned = {name for name in MENTION.findall(str(text)) if name in known} - {call.name}
    # The parameters have a section of their own, where they come in a list before other words.
    at = next((at for at, (kind, _) in enumerate(call.body) if kind == "terms"), None)
    parameters = [call.body[at]] if at is not None else []
    body = [block for block in call.body if block not in parameters]
    lines = heading(call.name, 3, version)
    lines += section("NAME", [f"{call.name} \\- {escape(brief(first))}"])
    lines += section("SYNOPSIS", [".nf", f".B #include <moat/{header.file}>", ".PP",
                                  *(".B \"" + escape(line).replace('"', '\\(dq') + '"'
                                    for line in dedent(call.declaration)), ".fi"])
    lines += section("DESCRIPTION", roff(body))
    lines += section("PARAMETERS", roff(parameters))
    for label, title in SECTIONS:
        blocks = call.sections.get(label, [])
        if label == "Threads" and blocks:
            blocks = [("terms", [("Threads and signals", blocks)])]
        if label == "Since" and blocks:
            blocks = [("text", f"Since Moat {blocks[0][1]}.")]
        lines += section(title, roff(blocks))
    return lines + section("SEE ALSO", see_also([header_page(header), *sorted(mentioned)]))


def list_of(calls):
    return [("terms", [(f"{call.name}(3)", [("text", brief(next(
        (words for kind, words in call.body if kind == "text"), "")))]) for call in calls])]


def page_of_header(header, headers, version):
    """moat.3 is of moat.h and, as the page that one looks for first, of all other headers."""
    name = header_page(header)
    whole = name == "moat"
    purpose = "a hardened page allocator with the semantics of VirtualAlloc" if whole \
        else header.purpose
    lines = heading(name, 3, version)
    lines += section("NAME", [f"{name} \\- {escape(brief(purpose))}"])
    lines += section("SYNOPSIS", [".nf", f".B #include <moat/{header.file}>", ".PP",
                                  "cc host.c $(pkg\\-config \\-\\-cflags \\-\\-libs moat)"
                                  if whole else ".B cc \\&... \\-lmoat", ".fi"])
    lines += section("DESCRIPTION", roff([("text", header.purpose + "."), *header.body]))
    if whole:
        pages = [("terms", [(f"<moat/{each.file}>, {header_page(each)}(3)",
                             [("text", each.purpose)]) for each in headers if each != header])]
        lines += section("HEADERS", roff(pages))
    if header.calls:
        lines += section("CALLS", roff(list_of(header.calls)))
    if header.types.strip():
        lines += section("TYPES AND CONSTANTS", code(header.types.splitlines()))
    if whole:
        lines += section("ENVIRONMENT", roff([("terms", [("MOAT_OPTIONS", [
            ("text", "Options by name, as trap=protect,timeout=500; moat_options(7).")])])]))
    return lines + section("SEE ALSO", see_also([call.name for call in header.calls] +
                                                ([] if whole else ["moat"])))


def program_page(name, text, version):
    """A page of what a program says to --help: what it is, how it is called, examples, notes and
    exit statuses."""
    paragraphs = [each for each in text.split("\n\n") if each.strip()]
    purpose = re.sub(r"\s+", " ", paragraphs[0].split(". ")[0].replace(name + " ", "", 1))
    synopsis, description, examples, statuses = [], [], [], []
    for each in paragraphs:
        lines = each.splitlines()
        if each.startswith("usage: "):
            synopsis = [".nf", *(escape(line[7:]) for line in lines), ".fi"]
        elif each.startswith("Exit status"):
            found = [re.match(r"(?:Exit status)? +(\d+)  (.*)", line) for line in lines]
            statuses = roff([("terms", [(match[1], [("text", match[2])]) for match in found])])
        elif each.startswith("    "):
            examples = code([line[4:] for line in lines])[1:]
        else:
            description += roff([("text", " ".join(each.split()))])
    return [*heading(name, 1, version), *section("NAME", [f"{name} \\- {escape(purpose)}"]),
            *section("SYNOPSIS", synopsis), *section("DESCRIPTION", description),
            *section("EXIT STATUS", statuses), *section("EXAMPLES", examples),
            *section("SEE ALSO", [".BR moat (3)"])]


def options_page(options, version):
    """A page of what MOAT_OPTIONS understands: [(word=value, default, paragraphs, [(word, what it
    means)])]."""
    terms = []
    for form, default, paragraphs, words in options:
        meaning = [("text", f"Default {default}.")] + [("text", each) for each in paragraphs]
        if words:
            meaning.append(("terms", [(word, [("text", text)]) for word, text in words]))
        terms.append((form, meaning))
    name = "moat_options"
    about = "A manager takes its options from the host, and the environment has the last word " \
        "on them. A word that does not parse is an error that names it and the nearest right " \
        "one, and no manager is made. Numbers of bytes may end with K, M, G or T. Programs that " \
        "run with more rights than their user's ignore the variable."
    return [*heading(name, 7, version),
            *section("NAME", [f"{name} \\- how Moat behaves, by name"]),
            *section("SYNOPSIS", [".nf", ".B MOAT_OPTIONS=name=value,name=value,\\&...", ".fi"]),
            *section("DESCRIPTION", roff([("text", about)])),
            *section("OPTIONS", roff([("terms", terms)])),
            *section("EXAMPLES", code([
                "MOAT_OPTIONS=misuse=report,faults=report,leaks=report ./host",
                "MOAT_OPTIONS=quota=2G,reserve=64M ./host"])[1:]),
            *section("SEE ALSO", see_also(["moat", "moat_options.h"]))]


def manual(headers, programs, options, version):
    """{path below man: text} of all pages."""
    known = {call.name for header in headers for call in header.calls}
    pages = {"man7/moat_options.7": options_page(options, version)}
    for header in headers:
        pages[f"man3/{header_page(header)}.3"] = page_of_header(header, headers, version)
        for call in header.calls:
            pages[f"man3/{call.name}.3"] = call_page(call, header, known, version)
        for other in header.others:
            pages[f"man3/{other}.3"] = [f".so man3/{header_page(header)}.3"]
    for name, text in programs.items():
        pages[f"man1/{name}.1"] = program_page(name, text, version)
    return {path: "\n".join(lines) + "\n" for path, lines in pages.items()}
