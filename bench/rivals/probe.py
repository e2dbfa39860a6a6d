# SPDX-License-Identifier: MIT
"""What contenders do with wrong accesses, and whether that is what they promise."""

import os

from .cell import words
from .plan import amount
from .turns import start


def probe(contenders, sizes):
    """[{contender, KiB and answers}]; not a timing, so the sizes are tried at once."""
    answers = []
    for contender in contenders:
        started = [(kib, start(contender, "probe", kib)) for kib in sizes]
        for kib, process in started:
            out, complaint = process.communicate()
            found = words(out, "\t")
            answer = {"contender": contender.name, "kib": kib, "malloc": found.pop("malloc", ""),
                      **found}
            if process.returncode != 0 or "double_free" not in found:
                answer["error"] = f"the probe failed: {out} {complaint}".strip()
            answers.append(answer)
    return answers


def changed(contender):
    """Whether the environment has options for Moat, under which it may promise something else."""
    return contender.allocator == "moat" and "MOAT_OPTIONS" in os.environ


def broken_promises(contender, answers):
    """What a contender claims and a probe did not find, in words; "" if there is none."""
    broken = []
    promises = {} if changed(contender) else contender.promises
    for answer in answers:
        if answer["contender"] != contender.name:
            continue
        if "error" in answer:
            broken.append(answer["error"])
        for question, expected in promises.items():
            if answer.get(question) != expected:
                broken.append(f"{amount(answer['kib'])}: {question} is {answer.get(question)!r}, "
                              f"not {expected!r}")
    return "; ".join(broken)


def probe_text(answers):
    """The answers about one contender; sizes that answer alike stand together."""
    texts = {}
    for answer in answers:
        text = answer.get("error") or ", ".join(
            f"{question.replace('_', ' ')} {answer[question]}"
            for question in ("after_free", "before", "past", "zero", "double_free"))
        texts.setdefault(text, []).append(amount(answer["kib"]))
    return "; ".join(f"{' '.join(sizes)}: {text}" if len(texts) > 1 else text
                     for text, sizes in texts.items())
