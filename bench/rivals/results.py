# SPDX-License-Identifier: MIT
"""Measured rows in the form that Google Benchmark writes, which the report reads."""

from .cell import ratios
from .plan import YARDSTICK


def results(row, threads, contenders, cells):
    """The repetitions of a row as Google Benchmark writes them."""
    entries = []
    for contender in contenders:
        cell = cells[contender.name]
        entry = {"name": row.full_name(contender, threads), "run_type": "iteration",
                 "threads": threads, "time_unit": "ns"}
        if cell.error:
            entries.append(entry | {"error_occurred": True, "error_message": cell.error,
                                    "real_time": 0.0, "cpu_time": 0.0, "iterations": 0})
            continue
        to_yardstick = ratios(cell, cells.get(YARDSTICK))
        for i, time in enumerate(cell.times):
            own = {"to_guarded": to_yardstick[i]} if to_yardstick else {}
            entries.append(entry | {"repetition_index": i, "repetitions": len(cell.times),
                                    "iterations": int(cell.operations / len(cell.times)),
                                    "real_time": time, "cpu_time": cell.cpu[i],
                                    "cpu_ns": cell.cpu[i]} | own | cell.counters())
    return entries
