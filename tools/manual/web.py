# SPDX-License-Identifier: MIT
"""The pages of headers for a browser: one of each header, and one that lists them and all calls."""

import html
import re

TITLES = {"Returns": "Returns", "After": "", "Threads": "Threads and signals", "Since": "Since",
          "Contract": "Contract"}
STYLE = """body { max-width: 50em; margin: 2em auto; padding: 0 1em; font: 16px/1.5 sans-serif;
    color-scheme: light dark; }
pre, code { font: 14px/1.4 monospace; }
pre { overflow-x: auto; padding: .6em; border: 1px solid gray; }
h2 { margin-top: 2.5em; border-top: 1px solid gray; }
dd { margin: 0 0 .3em 2em; }"""


def sentence(text):
    """What a header is for, as a sentence; a name at its start keeps its letters."""
    first = text[0].upper() if re.match(r"[a-z]+\b", text) else text[0]
    return html.escape(first + text[1:] + ("" if text.endswith("?") else "."), quote=False)


def link(text, places):
    """Text with the names of calls as links to them, and what is in backquotes as code."""
    words = re.sub(r"\b\w+\b", lambda word: f'<a href="{places[word[0]]}">{word[0]}</a>'
                   if word[0] in places else word[0], html.escape(text, quote=False))
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", words)


def body(blocks, places):
    made = []
    for kind, content in blocks:
        if kind == "text":
            made.append(f"<p>{link(content, places)}</p>")
        elif kind == "code":
            made.append("<pre>" + html.escape("\n".join(content), quote=False) + "</pre>")
        else:
            made.append("<dl>")
            for term, meaning in content:
                if term != "-":
                    made.append(f"<dt><code>{link(term, places)}</code></dt>")
                made.append(f"<dd>{body(meaning, places)}</dd>")
            made.append("</dl>")
    return "\n".join(made)


def page(title, content):
    return ("<!DOCTYPE html>\n"
            f'<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
            f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
            f"<body>\n{content}\n</body></html>\n")


def header_page(header, places):
    made = ['<p><a href="index.html">All headers and calls</a></p>',
            f"<h1>&lt;moat/{header.file}&gt;</h1>", f"<p>{sentence(header.purpose)}</p>",
            body(header.body, places)]
    if header.types.strip():
        made += ["<h2>Types and constants</h2>",
                 f"<pre>{html.escape(header.types, quote=False)}</pre>"]
    for call in header.calls:
        others = {name: place for name, place in places.items() if name != call.name}
        made += [f'<h2 id="{call.name}">{call.name}</h2>',
                 f"<pre>{html.escape(call.declaration, quote=False)}</pre>",
                 body(call.body, others)]
        for label, title in TITLES.items():
            if label in call.sections:
                made += [f"<h3>{title}</h3>"] if title else []
                made.append(body(call.sections[label], others))
    return page(f"moat/{header.file}", "\n".join(made))


def reference(headers, version):
    """{file: text} of all pages."""
    places = {call.name: f"{header.file}.html#{call.name}"
              for header in headers for call in header.calls}
    rows = []
    for header in headers:
        calls = ", ".join(f'<a href="{places[call.name]}"><code>{call.name}</code></a>'
                          for call in header.calls)
        rows.append(f'<dt><a href="{header.file}.html"><code>&lt;moat/{header.file}&gt;</code></a>'
                    f"</dt><dd>{sentence(header.purpose)}<br>{calls}</dd>")
    index = f"<h1>Moat {version}</h1>\n<dl>\n" + "\n".join(rows) + "\n</dl>"
    pages = {f"{header.file}.html": header_page(header, places) for header in headers}
    return {"index.html": page(f"Moat {version}", index), **pages}
