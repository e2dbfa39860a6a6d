#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who may include whom. Includes point down only, and only src/os talks to the system."""

import re

import check_common

# A folder of src, and the folders whose headers it may include besides its own.
BELOW = {
    # region and below hold policy; a face only translates
    "face": {"heap", "vm", "os", "base"},
    "heap": {"vm", "region", "lockfree", "os", "base"},
    "code": {"vm", "region", "lockfree", "os", "base"},
    "vm": {"region", "lockfree", "os", "backend", "base"},
    "region": {"lockfree", "os", "backend", "base"},
    "backend": {"os", "base"},
    "os": {"base"},
    "base": set(),
    "lockfree": set(),
}

FREESTANDING = {"stdatomic.h", "stdbool.h", "stddef.h", "stdint.h"}
# The parts of the C library that neither map memory nor start, stop or interrupt a thread.
STANDARD = FREESTANDING | {
    "assert.h", "errno.h", "inttypes.h", "limits.h", "stdalign.h", "stdarg.h", "stdio.h",
    "stdlib.h", "stdnoreturn.h", "string.h",
}
SYSTEM = {
    "backend": STANDARD | {"dlfcn.h"},
    "lockfree": FREESTANDING,
}
PUBLIC_SYSTEM = {"stdbool.h", "stddef.h", "stdint.h"}
# Plug-ins are headers that include what they plug into.
PUBLIC_PLUGGED = {
    "include/moat/jemalloc.h": {"jemalloc/jemalloc.h"},
    "include/moat/mimalloc.h": {"mimalloc.h"},
}
# Ours give way to these where they exist.
PUBLIC_WINDOWS = {"corerror.h", "mscoree.h", "unknwn.h", "windows.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')
FEATURE = re.compile(r"^\s*#\s*define\s+(_GNU_SOURCE|_DEFAULT_SOURCE|_POSIX_C_SOURCE)\b")
PLATFORM = re.compile(r"^\s*#\s*(?:if|ifdef|ifndef|elif)\b.*\b(_WIN32|__linux__|__APPLE__)\b")


def check_include(layer, form, name):
    """Why this include is wrong, or None."""
    if form == '"':
        if ".." in name:
            return f'"{name}": name the layer, as in "os/os.h"'
        if name.startswith("moat/"):
            return f"write <{name}>, as users of the library do"
        target = name.split("/")[0] if "/" in name else layer
        if target == layer or target in BELOW[layer]:
            return None
        allowed = ", ".join(sorted(BELOW[layer])) or "nothing"
        return f"{layer} may not include {target} (below it: {allowed}); move the code or the need"
    if layer == "os":
        return None
    if name.startswith("moat/"):
        return "lockfree stands alone: no public header" if layer == "lockfree" else None
    if name not in SYSTEM.get(layer, STANDARD):
        return f"<{name}> is not for {layer}; system services come from src/os, through os.h"
    return None


def check_public(path, form, name):
    allowed = PUBLIC_SYSTEM | PUBLIC_WINDOWS | PUBLIC_PLUGGED.get(path, set())
    if form == "<" and (name.startswith("moat/") or name in allowed):
        return None
    return f"a public header includes <moat/...> and {', '.join(sorted(PUBLIC_SYSTEM))} only"


def check(files):
    findings = []
    for path, text in files.items():
        public = path.startswith("include/")
        layer = "" if public else path.split("/")[1]
        if not public and layer not in BELOW:
            findings.append((path, 1, f"src/{layer} is not a layer; add it to {__file__}"))
            continue
        for number, line in enumerate(text.splitlines(), 1):
            problem = None
            if found := INCLUDE.match(line):
                form, name = found.groups()
                problem = (check_public(path, form, name) if public else
                           check_include(layer, form, name))
            elif layer != "os" and (found := FEATURE.match(line)):
                problem = f"{found[1]} belongs in src/os: elsewhere plain C11 must compile"
            elif layer not in ("os", "base", "") and (found := PLATFORM.match(line)):
                problem = f"{found[1]} outside src/os and src/base: let the build pick the file"
            if problem:
                findings.append((path, number, problem))
    return findings


CLEAN = {
    "src/face/a.c": '#include "vm/vm.h"\n#include <moat/moat.h>\n#include <string.h>\n',
    "src/heap/a.c": '#include "vm/vm.h"\n#include "region/region.h"\n',
    "src/vm/a.c": '#include "vm.h"\n#include "os/os.h"\n',
    "src/backend/a.c": "#include <dlfcn.h>\n",
    "src/os/linux_a.c": "#define _GNU_SOURCE\n#include <sys/mman.h>\n",
    "src/lockfree/a.c": '#include "a.h"\n#include <stdatomic.h>\n',
    "include/moat/a.h": "#include <stdint.h>\n#ifdef _WIN32\n#endif\n",
}
PLANTED = [
    ("os may not include region", {"src/os/p.c": '#include "region/region.h"\n'}),
    ("face may not include region", {"src/face/p.c": '#include "region/region.h"\n'}),
    ("vm may not include heap", {"src/vm/p.c": '#include "heap/heap.h"\n'}),
    ("heap may not include backend", {"src/heap/p.c": '#include "backend/backend.h"\n'}),
    ("region may not include vm", {"src/region/p.c": '  #  include "vm/vm.h"\n'}),
    ("backend may not include region", {"src/backend/p.c": '#include "region/region.h"\n'}),
    ("base may not include os", {"src/base/p.h": '#include "os/os.h"\n'}),
    ("lockfree may not include base", {"src/lockfree/p.c": '#include "base/check.h"\n'}),
    ("<string.h> is not for lockfree", {"src/lockfree/p.c": "#include <string.h>\n"}),
    ("no public header", {"src/lockfree/p.c": "#include <moat/status.h>\n"}),
    ("<sys/mman.h> is not for region", {"src/region/p.c": "#include <sys/mman.h>\n"}),
    ("<pthread.h> is not for vm", {"src/vm/p.c": "#include <pthread.h>\n"}),
    ("<unistd.h> is not for face", {"src/face/p.c": "#include <unistd.h>\n"}),
    ("<dlfcn.h> is not for region", {"src/region/p.c": "#include <dlfcn.h>\n"}),
    ("name the layer", {"src/vm/p.c": '#include "../os/os.h"\n'}),
    ("write <moat/moat.h>", {"src/vm/p.c": '#include "moat/moat.h"\n'}),
    ("is not a layer", {"src/util/p.c": "\n"}),
    ("_GNU_SOURCE belongs in src/os", {"src/base/p.c": "#define _GNU_SOURCE\n"}),
    ("_WIN32 outside src/os", {"src/vm/p.c": "#if defined(_WIN32)\n#endif\n"}),
    ("a public header includes", {"include/moat/p.h": "#include <sys/types.h>\n"}),
    ("a public header includes", {"include/moat/p.h": "#include <jemalloc/jemalloc.h>\n"}),
]

if __name__ == "__main__":
    check_common.main(
        check, check_common.read_files("*.c", "*.h", folders=("src", "include")), CLEAN, PLANTED)
