#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Which system calls may be made: those that SYSCALLS.md lists, and it lists no others.

Every function of the C library that a source file calls is either known to stay in the process, or
stands here with the system calls that it makes. A new one has to be put in its place. And each has
a row in the table of what fault injection makes fail, as has each advice, each number of a call and
each errno that a source names."""

import re

import check_common

PUBLISHED = "SYSCALLS.md"
FAILING = "tests/every/support/calls.c"
ROW = re.compile(r"^\| (`[^|]*)\|")
NAME = re.compile(r"`([a-z0-9_]+)`")
CALL = re.compile(r"\b([a-z][a-z0-9_]*)\s*\(")
NUMBER = re.compile(r"\bSYS_([a-z0-9_]+)\b(?!.*\bdefine\b)")
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
TEXT = re.compile(r'"(?:[^"\\\n]|\\.)*"')
OWN = re.compile(r"^[a-z_][^\n;{}=]*?\b(\w+)\([^;{}]*\)\s*\{", re.M)
MACRO = re.compile(r"^\s*#\s*define\s+(\w+)\(", re.M)
ADVICE = re.compile(r"\bmadvise\([^;]*\bMADV_([A-Z_]+)")
ADVICE_NAME = re.compile(r"`([A-Z_]+)`")
FAILING_ROW = re.compile(r"\{CALL_(\w+),\s*(?:(?:ADVICE|NUMBER)\()?\"?(?:MADV_|SYS_)?(\w+)")
ERRNO = re.compile(r"\bE[A-Z]{3,}[A-Z0-9]*\b")
# Not of a call: what os answers by itself, names of the ELF format, and the like.
NO_ERRNO = {"ENOTSUP", "ETIMEDOUT", "ENTRIES", "ELFMAG", "ELFCLASS64"}
POINTER = re.compile(r"\(\s*\*\s*(?:_Atomic\s+)?(\w+)\s*\)\s*\(")

# Those that cannot fail, or whose answer is not looked at; and what stands for a list of its own.
CANNOT_FAIL = {"clock_gettime", "getpid", "gettid", "pthread_join", "process_vm_readv"}

# What functions of libc ask of the kernel.
MAKES = {
    "clock_gettime": ["clock_gettime"],
    "close": ["close"],
    "eventfd": ["eventfd2"],
    "fcntl": ["fcntl"],
    "fstat": ["newfstatat", "fstat"],
    "ftruncate": ["ftruncate"],
    "getpid": ["getpid"],
    "getrlimit": ["prlimit64"],
    "gettid": ["gettid"],
    "ioctl": ["ioctl"],
    "lseek": ["lseek"],
    "madvise": ["madvise"],
    "memfd_create": ["memfd_create"],
    "mlock": ["mlock"],
    "mmap": ["mmap"],
    "mprotect": ["mprotect"],
    "mremap": ["mremap"],
    "munlock": ["munlock"],
    "munmap": ["munmap"],
    "open": ["openat", "open"],
    "poll": ["poll"],
    "pread": ["pread64"],
    "process_vm_readv": ["process_vm_readv"],
    "pthread_create": ["clone3", "clone"],
    "pthread_join": ["futex"],
    "pthread_setname_np": ["prctl"],
    "pthread_sigmask": ["rt_sigprocmask"],
    "pwrite": ["pwrite64"],
    "read": ["read"],
    "sched_getaffinity": ["sched_getaffinity"],
    "sigaction": ["rt_sigaction"],
    "sigpending": ["rt_sigpending"],
    "sigtimedwait": ["rt_sigtimedwait"],
    "sysconf": ["sched_getaffinity", "openat", "read"],
    "sysinfo": ["sysinfo"],
    "write": ["write"],
}
# Those that libc makes with a list of its own.
LIBC = {
    "abort", "dlclose", "dlerror", "dlopen", "dlsym", "free", "getenv", "malloc",
}
# Those that make none; sched_getcpu reads what the kernel has left in memory.
STAY = {
    "atomic_compare_exchange_strong_explicit", "atomic_compare_exchange_weak_explicit",
    "atomic_exchange_explicit", "atomic_fetch_add_explicit", "atomic_fetch_and_explicit",
    "atomic_fetch_or_explicit", "atomic_fetch_sub_explicit", "atomic_flag_clear_explicit",
    "atomic_init", "atomic_load_explicit", "atomic_signal_fence", "atomic_store_explicit",
    "atomic_thread_fence",
    "getauxval", "memchr", "memcmp", "memcpy", "memmove", "memset", "offsetof",
    "pthread_atfork", "pthread_attr_destroy", "pthread_attr_init", "pthread_attr_setstacksize",
    "pthread_detach", "pthread_key_create", "pthread_key_delete", "pthread_once", "pthread_self",
    "pthread_setspecific", "sched_getcpu", "sigaddset", "sigdelset", "sigemptyset", "sigfillset",
    "sigismember", "strchr", "strcmp", "strcpy", "strlen", "strncmp", "strrchr", "strstr",
    "syscall", "va_arg", "va_copy", "va_end", "va_start",
}
WORDS = {
    "alignas", "bool", "defined", "for", "if", "int", "return", "sizeof", "switch", "tls_model",
    "void", "while",
}


def published(text):
    """The calls of the first table, which are Moat's own, and all others."""
    own, others = set(), set()
    calls = None
    for line in text.splitlines():
        if line.startswith("## "):
            calls = own if calls is None else others
        if row := ROW.match(line):
            (others if calls is None else calls).update(NAME.findall(row[1]))
    return own, others


def made_by(text):
    """(line, function or number, calls) for all that a source file asks of the kernel."""
    plain = COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    plain = TEXT.sub(lambda found: '"' + " " * (len(found[0]) - 2) + '"', plain)
    own = set(OWN.findall(plain)) | set(MACRO.findall(plain)) | set(POINTER.findall(plain))
    for number, line in enumerate(plain.splitlines(), 1):
        if re.match(r"\s*#", line):
            continue
        for name in CALL.findall(line):
            if name not in own and not name.startswith(("moat_", "__builtin")):
                yield number, name, MAKES.get(name)
        for name in NUMBER.findall(line):
            yield number, "SYS_" + name, [name]


def failing(text):
    """The functions, the advices and numbers, and the errnos that the table of faults has."""
    rows = FAILING_ROW.findall(text)
    return {name for name, _ in rows}, {which for _, which in rows}, set(ERRNO.findall(text))


def check_failing(path, text, table):
    """What a source asks of the kernel, or hears from it, that no fault is made of."""
    names, which, errnos = table
    for line, name, calls in made_by(text):
        number = name.removeprefix("SYS_")
        known = number in which if number != name else name in names
        if calls and not known and name not in CANNOT_FAIL:
            yield path, line, f"{name} never fails in a test: {FAILING} has no row for it"
    for advice in sorted(set(ADVICE.findall(text)) - which):
        yield path, 1, f"advice {advice} never fails in a test: {FAILING} has no row for it"
    for errno in sorted(set(ERRNO.findall(COMMENT.sub("", text))) - errnos - NO_ERRNO):
        yield path, 1, f"{errno} is no answer to any call of {FAILING}"


def check(files):
    findings = []
    table = failing(files[FAILING])
    own, others = published(files[PUBLISHED])
    known = set(ADVICE_NAME.findall(files[PUBLISHED]))
    used = set()
    for path, text in files.items():
        if not path.endswith(".c") or not path.startswith(("src/os/", "src/backend/")):
            continue
        if path.startswith("src/os/"):
            findings += check_failing(path, text, table)
        for advice in sorted(set(ADVICE.findall(text)) - known):
            findings.append((path, 1, f"advice {advice}, which {PUBLISHED} lacks"))
        for line, name, calls in made_by(text):
            if calls is None and name not in STAY | LIBC | WORDS:
                findings.append((path, line, f"{name}: what does it ask of the kernel? Put it in "
                                 "its place in tools/check_calls.py"))
            for call in calls or []:
                used.add(call)
                if call not in own | others:
                    findings.append((path, line, f"{name} makes {call}, which {PUBLISHED} lacks"))
    for call in sorted(own - used):
        findings.append((PUBLISHED, 1, f"{call} is listed, and no source makes it"))
    return findings


LIST = "## Own\n| `read`, `mseal` (462) | needed |\n## libc\n| `brk` | start |\n"
ROWS = """    {CALL_read, NULL, 0, 0, 0, {EIO}, {0}},
    {CALL_syscall, "SYS_mseal", -1, 462, 0, {EPERM}, {0}},
    {CALL_syscall, NUMBER(SYS_brk), 0, {ENOMEM}, {0}},
    {CALL_madvise, ADVICE(MADV_FREE), HALF, {EINVAL}, {0}},
"""
CLEAN = {
    PUBLISHED: LIST,
    FAILING: ROWS,
    "src/os/a.c": "/* open( */\nstatic int f(void) {\n    return read(syscall(SYS_mseal));\n}\n",
}
PLANTED = [
    ("which SYSCALLS.md lacks", {"src/os/p.c": "int a = ioctl(1);\n"}),
    ("which SYSCALLS.md lacks", {"src/os/p.c": "int a = syscall(SYS_ioctl);\n"}),
    ("advice COLD", {"src/os/p.c": "int a = madvise(0, 1, MADV_COLD);\n"}),
    ("what does it ask", {"src/backend/p.c": "int a = reboot(1);\n"}),
    ("read never fails", {FAILING: ROWS.replace("CALL_read", "CALL_write")}),
    ("mseal never fails", {FAILING: ROWS.replace("SYS_mseal", "SYS_other")}),
    ("advice COLD never fails", {"src/os/p.c": "int a = madvise(0, 1, MADV_COLD);\n"}),
    ("EBUSY is no answer", {"src/os/p.c": "int a = errno == EBUSY;\n"}),
    ("is listed, and no source", {PUBLISHED: LIST.replace("`read`", "`read`, `ioctl`")}),
]

if __name__ == "__main__":
    FILES = check_common.read_files("*.c", folders=("src",))
    for name in (PUBLISHED, FAILING):
        FILES[name] = (check_common.ROOT / name).read_text()
    check_common.main(check, FILES, CLEAN, PLANTED)
